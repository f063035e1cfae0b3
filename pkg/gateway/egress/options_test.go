package egress

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
)

// Every field has a flag, or nobody could set it; but for the one that nobody is to set.
func TestOptionsBindEveryField(t *testing.T) {
	var o Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(fs)
	if err := o.Validate(); err != nil {
		t.Errorf("defaults are not valid: %v", err)
	}
	before := o
	fs.VisitAll(func(f *pflag.Flag) {
		value := map[string]string{"string": "other", "int": "77", "duration": "7s"}[f.Value.Type()]
		if err := f.Value.Set(value); err != nil {
			t.Errorf("setting --%s: %v", f.Name, err)
		}
	})
	was, is := reflect.ValueOf(before), reflect.ValueOf(o)
	for i := range is.NumField() {
		name := is.Type().Field(i).Name
		if same := is.Field(i).Interface() == was.Field(i).Interface(); same != (name == "Loopback") {
			t.Errorf("flags leave %s: %t", name, same)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	cases := map[string]struct {
		change func(*Options)
		want   string
	}{
		"defaults":                      {func(*Options) {}, ""},
		"an IPv4 address":               {func(o *Options) { o.BindAddress = "0.0.0.0" }, ""},
		"an IPv6 address":               {func(o *Options) { o.BindAddress = "::" }, ""},
		"no namespace":                  {func(o *Options) { o.Namespace = "" }, "--namespace"},
		"a namespace that cannot be":    {func(o *Options) { o.Namespace = "Shop" }, "--namespace"},
		"a bind address with a port":    {func(o *Options) { o.BindAddress = "0.0.0.0:80" }, "--bind-address"},
		"a bind address that is a name": {func(o *Options) { o.BindAddress = "localhost" }, "--bind-address"},
		"no room for anybody":           {func(o *Options) { o.MaxConnections = 0 }, "--max-connections"},
		"no room for one client":        {func(o *Options) { o.MaxClientConnections = -1 }, "--max-client-connections"},
		"no time to connect":            {func(o *Options) { o.ConnectTimeout = 0 }, "--connect-timeout"},
		"too much time to connect":      {func(o *Options) { o.ConnectTimeout = time.Hour }, "--connect-timeout"},
		"no lanes":                      {func(o *Options) { o.Lanes = -1 }, "--lanes"},
		"too many lanes":                {func(o *Options) { o.Lanes = 1_000_000 }, "--lanes"},
		"no sessions":                   {func(o *Options) { o.Sessions = 0 }, "--sessions"},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			var o Options
			o.Default()
			c.change(&o)
			err := o.Validate()
			if (err != nil) != (c.want != "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error = %v, want it to name %q", err, c.want)
			}
		})
	}
}

func TestOptionsOfTheTunnel(t *testing.T) {
	o := Options{Lanes: 3, Sessions: 4, ConnectTimeout: time.Second}
	if got := o.Tunnel(); got != (tunnel.Options{Lanes: 3, Sessions: 4, ConnectTimeout: time.Second}) {
		t.Errorf("tunnel options %+v", got)
	}
}

func TestMetricNames(t *testing.T) {
	reg := prometheus.NewRegistry()
	NewMetrics(reg).failures.WithLabelValues("links", "list").Inc()
	problems, err := testutil.GatherAndLint(reg)
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

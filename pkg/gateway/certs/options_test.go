package certs

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// Every exported field has a flag, or nobody could set it.
func TestOptionsBindEveryField(t *testing.T) {
	t.Parallel()
	var o Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(fs, "probe-")
	before := o
	fs.VisitAll(func(f *pflag.Flag) {
		if !strings.HasPrefix(f.Name, "probe-") {
			t.Errorf("--%s is without its prefix", f.Name)
		}
		value := "x"
		if f.Value.Type() == "duration" {
			value = "7s"
		}
		if err := f.Value.Set(value); err != nil {
			t.Errorf("setting --%s: %v", f.Name, err)
		}
	})
	was, is := reflect.ValueOf(before), reflect.ValueOf(o)
	for i, field := range reflect.VisibleFields(is.Type()) {
		if field.IsExported() && is.Field(i).Interface() == was.Field(i).Interface() {
			t.Errorf("no flag sets %s", field.Name)
		}
	}
	if err := o.Validate(); err != nil {
		t.Errorf("all flags are set: %v", err)
	}
}

func TestOptionsHaveTheFlagsThatAreDocumented(t *testing.T) {
	t.Parallel()
	var o Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(fs, "")
	err := fs.Parse([]string{
		"--tls-cert=c", "--tls-key=k", "--trust-anchors=a", "--identity=gw.example", "--tls-reload-interval=1s",
	})
	want := Options{CertFile: "c", KeyFile: "k", AnchorsFile: "a", Identity: "gw.example", ReloadInterval: time.Second}
	if err != nil || o != want {
		t.Errorf("options = %+v, want %+v: %v", o, want, err)
	}
}

// CERT-13: without certificates there is a message that names the flag, never a silent default.
func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"all that is needed":   {args: []string{"--probe-tls-cert=c", "--probe-tls-key=k", "--probe-trust-anchors=a"}},
		"nothing at all":       {want: []string{"--probe-tls-cert", "--probe-tls-key", "--probe-trust-anchors"}},
		"no key":               {args: []string{"--probe-tls-cert=c", "--probe-trust-anchors=a"}, want: []string{"--probe-tls-key"}},
		"an identity of spite": {args: []string{"--probe-identity=a b"}, want: []string{"--probe-identity"}},
		"reading all the time": {args: []string{"--probe-tls-reload-interval=1ms"}, want: []string{"--probe-tls-reload-interval"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var o Options
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.Bind(fs, "probe-")
			if err := fs.Parse(c.args); err != nil {
				t.Fatal(err)
			}
			err := o.Validate()
			if (err == nil) != (c.want == nil) {
				t.Fatalf("error = %v, want it to name %q", err, c.want)
			}
			for _, flag := range c.want {
				if !strings.Contains(err.Error(), flag) {
					t.Errorf("error = %v, want it to name %s", err, flag)
				}
			}
		})
	}
}

func TestOptionsKnowWhetherAnythingIsConfigured(t *testing.T) {
	t.Parallel()
	if (Options{Identity: "gw.example", ReloadInterval: time.Second}).Configured() {
		t.Error("no file is given")
	}
	if !(Options{AnchorsFile: "a"}).Configured() {
		t.Error("a file is given")
	}
}

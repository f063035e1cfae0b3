package controller

import (
	"errors"
	"math"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// unbound are the options that are no flags, each for a reason.
var unbound = map[string]string{
	"Options.Registry":            "tests count series in a registry of their own",
	"Options.Resolver":            "tests answer for names themselves",
	"Options.Version":             "main gives it",
	"Options.Mirror.OwnNamespace": "follows from --namespace",
	"Options.Mirror.PodNamespace": "the pod knows it",
}

// style.md H9: an option that no flag sets is an option that nobody can use. This covers the options
// of pkg/mirror and pkg/probe, which are part of ours.
func TestEveryOptionHasAFlag(t *testing.T) {
	t.Parallel()
	var o Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(fs, "linkspan", false)
	bound := map[uintptr]string{}
	fs.VisitAll(func(f *pflag.Flag) {
		v := reflect.ValueOf(f.Value)
		if v.Elem().Kind() == reflect.Struct { // lists keep a pointer to the field
			v = v.Elem().FieldByName("value")
		}
		bound[v.Pointer()] = f.Name
		if f.Usage == "" {
			t.Errorf("--%s says nothing of itself", f.Name)
		}
	})
	seen := map[string]bool{}
	walk(reflect.ValueOf(&o).Elem(), "Options", func(path string, field reflect.Value) {
		seen[path] = true
		_, has := bound[field.Addr().Pointer()]
		if _, excused := unbound[path]; has == excused {
			t.Errorf("%s: bound to a flag is %v, excused is %v", path, has, excused)
		}
	})
	for path := range unbound {
		if !seen[path] {
			t.Errorf("%s is excused and does not exist", path)
		}
	}
	if len(seen) != len(bound)+len(unbound) {
		t.Errorf("%d options, %d flags and %d excused", len(seen), len(bound), len(unbound))
	}
}

// walk visits every exported option, those of structs in it included.
func walk(v reflect.Value, path string, visit func(string, reflect.Value)) {
	for i := range v.NumField() {
		field, at := v.Type().Field(i), path+"."+v.Type().Field(i).Name
		switch {
		case !field.IsExported():
		case field.Type.Kind() == reflect.Struct:
			walk(v.Field(i), at, visit)
		default:
			visit(at, v.Field(i))
		}
	}
}

// Every message names the flag, so that it can be mended where it was given.
func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"the defaults":                {},
		"no admin address":            {args: []string{"--admin-address=0"}},
		"a namespace that is none":    {args: []string{"--namespace=Shop"}, want: "--namespace"},
		"an address without a port":   {args: []string{"--admin-address=localhost"}, want: "--admin-address"},
		"a lease that is too short":   {args: []string{"--lease-duration=1s"}, want: "--lease-duration"},
		"a negative rate":             {args: []string{"--kube-api-qps=-1"}, want: "--kube-api-qps"},
		"a negative burst":            {args: []string{"--kube-api-burst=-1"}, want: "--kube-api-burst"},
		"a level that does not exist": {args: []string{"--log-level=loud"}, want: "--log-level"},
		"a format that nobody knows":  {args: []string{"--log-format=xml"}, want: "--log-format"},
		"an option of the mirrors":    {args: []string{"--workers=0"}, want: "--workers"},
		"an option of the probes":     {args: []string{"--probe-max-addresses=0"}, want: "--probe-max-addresses"},
	} {
		var o Options
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.Bind(fs, "linkspan", true)
		if err := fs.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		err := o.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one about %q", name, err, c.want)
		}
		if err == nil && (!o.LeaderElect || o.LeaseDuration != 15*time.Second || o.Mirror.OwnNamespace != "linkspan") {
			t.Errorf("%s: in a cluster the options are %+v", name, o)
		}
	}
}

// A rate without a burst would get client-go's default of 10 at once, which is less than a second's worth of most rates.
func TestRateLimits(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		qps       float32
		burst     int
		wantQPS   float32
		wantBurst int
	}{
		"neither: no limit":             {0, 0, -1, 0},
		"a burst without a rate":        {0, 5, -1, 0},
		"a rate alone":                  {50, 0, 50, 100},
		"a rate of less than one":       {0.1, 0, 0.1, 1},
		"a rate beyond what a burst is": {1e30, 0, 1e30, math.MaxInt32},
		"both":                          {50, 7, 50, 7},
	} {
		qps, burst := (&Options{QPS: c.qps, Burst: c.burst}).limits()
		if qps != c.wantQPS || burst != c.wantBurst {
			t.Errorf("%s: limits are %v and %d, want %v and %d", name, qps, burst, c.wantQPS, c.wantBurst)
		}
	}
}

// SEC-4: whoever may write Services in our own namespaces may stand in for the gateway and the egress. They are that of the
// pod and that of the Links, which --namespace makes another one.
func TestOurOwnNamespacesGetNoMirrors(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args      []string
		inCluster bool
		refused   []string
	}{
		"in a pod":                        {inCluster: true, refused: []string{"linkspan"}},
		"Links of another namespace":      {args: []string{"--namespace=links"}, inCluster: true, refused: []string{"linkspan", "links"}},
		"the pod's is allowed":            {args: []string{"--namespace=links", "--allow-namespaces=linkspan"}, inCluster: true, refused: []string{"links"}},
		"in no pod":                       {refused: []string{"linkspan"}},
		"in no pod, of another namespace": {args: []string{"--namespace=links"}, refused: []string{"links"}},
	} {
		var o Options
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.Bind(fs, "linkspan", c.inCluster)
		if err := errors.Join(fs.Parse(c.args), o.Validate()); err != nil {
			t.Fatal(err)
		}
		var refused []string
		for _, namespace := range []string{"linkspan", "links", "shop"} {
			if !plan.NamespaceAllowed(o.Mirror.Policy(), namespace) {
				refused = append(refused, namespace)
			}
		}
		if diff := cmp.Diff(c.refused, refused); diff != "" {
			t.Errorf("%s: namespaces without mirrors (-want +got):\n%s", name, diff)
		}
	}
}

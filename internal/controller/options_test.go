package controller

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// unbound are the options that are no flags, each for a reason.
var unbound = map[string]string{
	"Options.Registry":            "tests count series in a registry of their own",
	"Options.Version":             "main gives it",
	"Options.Mirror.OwnNamespace": "follows from --namespace",
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

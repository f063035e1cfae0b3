package gateway

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/spf13/pflag"
)

// unbound are the options that are no flags, each for a reason.
var unbound = map[string]string{
	"Options.Egress.Loopback":           "for tests, with gateways on this host",
	"Options.Ingress.HTTP.DrainTimeout": "--drain-timeout is for these too",
	"Options.Options.Version":           "main gives it",
}

// style.md H9: an option that no flag sets is an option that nobody can use. This covers the options of
// all packages that the commands have.
func TestEveryOptionHasAFlag(t *testing.T) {
	t.Parallel()
	var in ingressOptions
	var out egressOptions
	inFlags, outFlags := pflag.NewFlagSet("ingress", pflag.ContinueOnError), pflag.NewFlagSet("egress", pflag.ContinueOnError)
	in.bind(inFlags)
	out.bind(outFlags, "")
	for _, c := range []struct {
		flags   *pflag.FlagSet
		options reflect.Value
	}{{inFlags, reflect.ValueOf(&in).Elem()}, {outFlags, reflect.ValueOf(&out).Elem()}} {
		bound := map[uintptr]string{}
		c.flags.VisitAll(func(f *pflag.Flag) {
			v := reflect.ValueOf(f.Value)
			if v.Elem().Kind() == reflect.Struct { // lists keep a pointer to the field
				v = v.Elem().FieldByName("value")
			}
			bound[v.Pointer()] = f.Name
			if f.Usage == "" {
				t.Errorf("--%s of %s says nothing of itself", f.Name, c.flags.Name())
			}
		})
		walk(c.options, "Options", func(path string, field reflect.Value) {
			_, has := bound[field.Addr().Pointer()]
			if _, excused := unbound[path]; has == excused {
				t.Errorf("%s of %s: bound to a flag is %v, excused is %v", path, c.flags.Name(), has, excused)
			}
			delete(bound, field.Addr().Pointer())
		})
		for _, flag := range bound {
			t.Errorf("--%s of %s sets no option", flag, c.flags.Name())
		}
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
	files := []string{"--tls-cert=c", "--tls-key=k", "--trust-anchors=a"}
	for name, c := range map[string]struct {
		args []string
		want []string
	}{
		"certificates and defaults":      {args: files},
		"no admin address, no drain":     {args: append([]string{"--admin-address=0", "--drain-delay=0s", "--drain-timeout=0s"}, files...)},
		"nothing at all (CERT-13)":       {want: []string{"--tls-cert is missing", "--tls-key is missing", "--trust-anchors is missing"}},
		"probes without a port":          {args: append([]string{"--probe-address=localhost"}, files...), want: []string{"--probe-address"}},
		"an address without a port":      {args: append([]string{"--admin-address=localhost"}, files...), want: []string{"--admin-address"}},
		"a negative delay":               {args: append([]string{"--drain-delay=-1s"}, files...), want: []string{"--drain-delay"}},
		"a negative time limit":          {args: append([]string{"--drain-timeout=-1s"}, files...), want: []string{"--drain-timeout"}},
		"two at once, both are reported": {args: append([]string{"--log-level=loud", "--access-log=some"}, files...), want: []string{"--log-level", "--access-log"}},
		"an option of one side":          {args: append([]string{"--max-connections=-1"}, files...), want: []string{"--max-connections"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var in ingressOptions
			var out egressOptions
			for side, o := range map[string]struct {
				bind     func(*pflag.FlagSet)
				validate func() error
			}{
				"ingress": {in.bind, in.validate},
				"egress":  {func(fs *pflag.FlagSet) { out.bind(fs, "") }, out.validate},
			} {
				fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
				o.bind(fs)
				if err := fs.Parse(c.args); err != nil {
					t.Fatal(err)
				}
				err := o.validate()
				if (err == nil) != (len(c.want) == 0) {
					t.Errorf("%s: error is %v, want one about %q", side, err, c.want)
				}
				for _, want := range c.want {
					if err != nil && !strings.Contains(err.Error(), want) {
						t.Errorf("%s: error is %v, want one about %q", side, err, want)
					}
				}
			}
		})
	}
}

// An option of the other packages is reported beside ours.
func TestAnOptionOfTheExportsIsChecked(t *testing.T) {
	t.Parallel()
	_, err := command(t, "ingress", "--export-selector=!secret")
	if err == nil || !strings.Contains(err.Error(), "--export-selector") || !strings.Contains(err.Error(), "--tls-cert") {
		t.Errorf("error is %v", err)
	}
}

// Who sets no terminationGracePeriodSeconds gets thirty seconds, and a clean end all the same.
func TestTheDefaultDrainFitsThePodsDefault(t *testing.T) {
	t.Parallel()
	var o Options
	o.Bind(pflag.NewFlagSet("test", pflag.ContinueOnError))
	if total := o.DrainDelay + o.DrainTimeout + stopTimeout; total > 30*time.Second {
		t.Errorf("ending takes up to %v", total)
	}
}

// What --drain-timeout gives, requests of HTTP/2 have too: they are not cut before, and are not promised more.
func TestHTTP2DrainsWithinTheDrainTimeout(t *testing.T) {
	t.Parallel()
	var o ingressOptions
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.bind(fs)
	for _, args := range [][]string{nil, {"--drain-timeout=90s"}} {
		if err := fs.Parse(args); err != nil {
			t.Fatal(err)
		}
		if got := o.ingress().HTTP.DrainTimeout; got != o.DrainTimeout {
			t.Errorf("after %q HTTP/2 has %v to drain, of %v", args, got, o.DrainTimeout)
		}
	}
}

// The Links are in the pod's own namespace, unless a flag says otherwise.
func TestTheEgressReadsLinksInItsOwnNamespace(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		own  string
		args []string
		want string
	}{
		"in a pod":            {own: "links", want: "links"},
		"elsewhere":           {want: "linkerd-multicluster"},
		"a flag says another": {own: "links", args: []string{"--namespace=other"}, want: "other"},
	} {
		var o egressOptions
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.bind(fs, c.own)
		if err := fs.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if o.Egress.Namespace != c.want {
			t.Errorf("%s: Links are read in %q, want %q", name, o.Egress.Namespace, c.want)
		}
	}
}

package exports

import (
	"reflect"
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

// Every field has a flag, or nobody could set it.
func TestOptionsBindEveryField(t *testing.T) {
	var o Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(fs)
	if err := o.Validate(); err != nil {
		t.Errorf("defaults are not valid: %v", err)
	}
	before := o
	fs.VisitAll(func(f *pflag.Flag) {
		if err := f.Value.Set("other"); err != nil {
			t.Errorf("setting --%s: %v", f.Name, err)
		}
	})
	was, is := reflect.ValueOf(before), reflect.ValueOf(o)
	for i := range is.NumField() {
		if is.Field(i).Interface() == was.Field(i).Interface() {
			t.Errorf("no flag sets %s", is.Type().Field(i).Name)
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	const selector, domain = "--export-selector", "--cluster-domain"
	cases := map[string]struct {
		options Options
		want    string
	}{
		"defaults":                            {Options{}, ""},
		"a set of values":                     {Options{Selector: "mirror.linkerd.io/exported in (true,both)"}, ""},
		"presence is enough":                  {Options{Selector: "mirror.linkerd.io/exported"}, ""},
		"an exception beside a label":         {Options{Selector: "exported=true,team!=red"}, ""},
		"a domain of one label":               {Options{ClusterDomain: "cluster"}, ""},
		"not a selector":                      {Options{Selector: "exported=(true"}, selector},
		"white space selects everything":      {Options{Selector: " "}, selector},
		"only an exception selects the rest":  {Options{Selector: "team!=red"}, selector},
		"an absent label selects most":        {Options{Selector: "!secret,team notin (red, blue)"}, selector},
		"a dot at the end of the domain":      {Options{ClusterDomain: "cluster.local."}, domain},
		"a dot in front of the domain":        {Options{ClusterDomain: ".cluster.local"}, domain},
		"capital letters in the domain":       {Options{ClusterDomain: "Cluster.Local"}, domain},
		"something else than a domain":        {Options{ClusterDomain: "cluster local"}, domain},
		"both at once, and both are reported": {Options{Selector: "a!=b", ClusterDomain: "-"}, domain},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			tc.options.Default()
			err := tc.options.Validate()
			if tc.want == "" {
				if err != nil {
					t.Fatalf("unexpected error: %v", err)
				}
				return
			}
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("error = %v, want it to name %s", err, tc.want)
			}
		})
	}
}

// LESSON-36: without defaults nothing is exported, rather than everything.
func TestTableRefusesOptionsThatWouldExportEverything(t *testing.T) {
	if _, err := NewTable(discard(), Options{ClusterDomain: "cluster.local"}, newTestMetrics(), nil); err == nil {
		t.Error("an empty selector was accepted")
	}
}

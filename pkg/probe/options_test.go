package probe

import (
	"reflect"
	"strings"
	"testing"
	"time"

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
		value := "7"
		if f.Value.Type() == "duration" {
			value = "7s"
		}
		if err := f.Value.Set(value); err != nil {
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
	valid := Options{ResolveInterval: time.Second, SuccessThreshold: 1, MaxAddresses: 1}
	cases := map[string]struct {
		edit func(*Options)
		want string
	}{
		"valid":               {func(*Options) {}, ""},
		"resolve too often":   {func(o *Options) { o.ResolveInterval = time.Millisecond }, "--probe-resolve-interval"},
		"no success is alive": {func(o *Options) { o.SuccessThreshold = -1 }, "--probe-success-threshold"},
		"no address":          {func(o *Options) { o.MaxAddresses = -1 }, "--probe-max-addresses"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			o := valid
			tc.edit(&o)
			err := o.Validate()
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

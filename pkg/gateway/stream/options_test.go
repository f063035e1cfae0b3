package stream

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestLogOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"off by default (LOG-6)": {},
		"denials as JSON":        {args: []string{"--access-log=denied", "--access-log-format=json"}},
		"a word for no streams":  {args: []string{"--access-log=some"}, want: "--access-log is"},
		"a format nobody knows":  {args: []string{"--access-log-format=xml"}, want: "--access-log-format is"},
	} {
		var o LogOptions
		fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
		o.Bind(fs)
		if err := fs.Parse(c.args); err != nil {
			t.Fatal(err)
		}
		if len(c.args) == 0 && (o != LogOptions{Streams: LogOff, Format: FormatText}) {
			t.Errorf("%s: defaults are %+v", name, o)
		}
		err := o.Validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: error is %v, want one about %q", name, err, c.want)
		}
	}
}

func TestWhichStreamsGetALine(t *testing.T) {
	t.Parallel()
	for streams, want := range map[string][]Result{
		LogOff:    nil,
		LogDenied: {Denied, Refused, Failed},
		LogAll:    {Done, Aborted, Denied, Refused, Failed},
	} {
		var got []Result
		for _, result := range []Result{Done, Aborted, Denied, Refused, Failed} {
			if (LogOptions{Streams: streams}).wants(&Record{Result: result}) {
				got = append(got, result)
			}
		}
		if len(got) != len(want) {
			t.Errorf("%s has lines for %v, want %v", streams, got, want)
		}
	}
}

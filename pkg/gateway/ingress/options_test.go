package ingress

import (
	"strings"
	"testing"

	"github.com/spf13/pflag"
)

func TestOptionsAreValidByDefault(t *testing.T) {
	t.Parallel()
	var o Options
	o.Default()
	if err := o.Validate(); err != nil {
		t.Error(err)
	}
}

func TestEveryFlagIsReadAndNamedWhenItCannotWork(t *testing.T) {
	t.Parallel()
	for flag, value := range map[string]string{
		"listen":                 "nowhere",
		"allow-clients":          "web..shop",
		"max-connections":        "0",
		"max-client-connections": "-1",
		"max-streams":            "0",
		"max-client-streams":     "0",
		"max-handshakes":         "0",
		"handshake-timeout":      "0s",
		"header-timeout":         "1ms",
		"connect-timeout":        "-1s",
		"http-stall-timeout":     "0s",
	} {
		t.Run(flag, func(t *testing.T) {
			t.Parallel()
			var o Options
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.Bind(fs)
			if err := fs.Parse([]string{"--" + flag + "=" + value}); err != nil {
				t.Fatal(err)
			}
			if err := o.Validate(); err == nil || strings.Count(err.Error(), "--") != 1 || !strings.Contains(err.Error(), "--"+flag) {
				t.Errorf("Validate gives %v", err)
			}
		})
	}
}

func TestFlagsWithoutALimitOfTheirOwnAreRead(t *testing.T) {
	t.Parallel()
	var o Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(fs)
	if err := fs.Parse([]string{"--allow-clients=" + webClient + "," + batClient, "--allow-clients-file=/f", "--allow-clients-dry-run"}); err != nil {
		t.Fatal(err)
	}
	if err := o.Validate(); err != nil || len(o.AllowClients) != 2 || o.AllowFile != "/f" || !o.DryRun {
		t.Errorf("%+v, %v", o, err)
	}
}

// An empty list that a template joins must not open the gateway: only who gives no list at all gets that.
func TestAnAllowListThatIsGivenButEmptyIsRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--allow-clients="},
		{"--allow-clients=,"},
		{"--allow-clients", ""},
		{"--allow-clients=", "--allow-clients-file=/f"},
		{"--allow-clients-file="},
		{"--allow-clients-file=", "--allow-clients=" + webClient},
	} {
		t.Run(strings.Join(args, " "), func(t *testing.T) {
			t.Parallel()
			var o Options
			fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
			o.Bind(fs)
			err := fs.Parse(args)
			if err == nil {
				err = o.Validate()
			}
			flag, _, _ := strings.Cut(args[0], "=")
			if err == nil || !strings.Contains(err.Error(), flag) || !strings.Contains(err.Error(), `"*"`) {
				t.Errorf("it is taken, or not told how to mend: %v", err)
			}
		})
	}
}

package cli

import (
	"bytes"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/internal/install/render"
)

// result is what a command printed and how it ended.
type result struct {
	code     int
	out, err string
}

// full is the program for people.
func full(version string) Program { return Program{Version: version, Charts: render.Charts{}} }

func runMirror(t *testing.T, args ...string) result {
	t.Helper()
	var out, errs bytes.Buffer
	code := Main(t.Context(), Streams{In: strings.NewReader(""), Out: &out, Err: &errs}, full("v0.1.2"), args)
	return result{code: code, out: out.String(), err: errs.String()}
}

// LINK-6: a boolean flag and a value that follows it belong together.
func TestNormalizeArgs(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ args, want string }{
		"two words":                       {"link --gateway false", "link --gateway=false"},
		"two words, true":                 {"link --gateway true --cluster-name east", "link --gateway=true --cluster-name east"},
		"one word":                        {"link --gateway=false", "link --gateway=false"},
		"alone":                           {"link --gateway", "link --gateway"},
		"alone before another flag":       {"link --gateway --cluster-name east", "link --gateway --cluster-name east"},
		"not a boolean":                   {"link --gateway maybe", "link --gateway maybe"},
		"value of another flag":           {"link --cluster-name false", "link --cluster-name false"},
		"value that looks like a flag":    {"link --cluster-name --gateway false", "link --cluster-name --gateway false"},
		"value that looks like a command": {"--context link link --gateway false", "--context link link --gateway=false"},
		"global flag before the command":  {"--verbose false link", "--verbose=false link"},
		"global flag after the command":   {"link --verbose false", "link --verbose=false"},
		"command of another flag":         {"unlink --gateway false", "unlink --gateway false"},
		"shorthand with its value":        {"link -o json --gateway false", "link -o json --gateway=false"},
		"shorthand glued to its value":    {"link -ojson --gateway false", "link -ojson --gateway=false"},
		"global shorthand":                {"link -L link --gateway false", "link -L link --gateway=false"},
		"help":                            {"link -h false", "link -h false"},
		"after the end of flags":          {"link -- --gateway false", "link -- --gateway false"},
		"nothing":                         {"", ""},
		"missing value":                   {"link --cluster-name", "link --cluster-name"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := newRootCommand(Streams{}, full("v0"))
			got := normalizeArgs(root, strings.Fields(tc.args))
			if diff := cmp.Diff(strings.Fields(tc.want), got, cmp.Transformer("join", func(s []string) string { return strings.Join(s, " ") })); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

// LINK-6: every boolean flag of every command takes its value all three ways.
func TestEveryBooleanFlag(t *testing.T) {
	t.Parallel()
	parsed := func(path []string, flag string, tail ...string) string {
		root := newRootCommand(Streams{}, full("v0"))
		args := normalizeArgs(root, append(append(append([]string{}, path...), "--"+flag), tail...))
		cmd, rest, err := root.Find(args)
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Fatal(err)
		}
		if cmd.Flags().NArg() > 0 {
			t.Errorf("%v --%s %v leaves stray arguments %q", path, flag, tail, cmd.Flags().Args())
		}
		return cmd.Flag(flag).Value.String()
	}
	n := 0
	for _, sub := range newRootCommand(Streams{}, full("v0")).Commands() {
		visit := func(f *pflag.Flag) {
			if f.Value.Type() != "bool" {
				return
			}
			n++
			for want, tail := range map[string][]string{"false": {"false"}, "true": nil} {
				if got := parsed([]string{sub.Name()}, f.Name, tail...); got != want {
					t.Errorf("%s --%s %v gives %s", sub.Name(), f.Name, tail, got)
				}
			}
		}
		sub.Flags().VisitAll(visit)
		sub.InheritedFlags().VisitAll(visit)
	}
	if n < 5 {
		t.Errorf("only %d boolean flags were found", n)
	}
}

// Mistakes end with an error that says what to do, and with nothing on standard output (LINK-9).
func TestMistakes(t *testing.T) {
	t.Parallel()
	cases := map[string]struct{ args, want string }{
		"unknown command":                  {"lnk", `has no command "lnk": did you mean link?`},
		"stray argument":                   {"link east", `unexpected argument "east"`},
		"LINK-6: value that is no boolean": {"link --gateway no --cluster-name east", `unexpected argument "no"`},
		"unknown flag":                     {"link --cluster east", "unknown flag"},
		"LINK-5: no name":                  {"link", "--cluster-name is required"},
		"LINK-5: dotted name":              {"link --cluster-name a.b", "must be a DNS label"},
		"format":                           {"link --cluster-name a -o xml", "--output"},
		"gateway and none":                 {"link --cluster-name a --gateway false --gateway-port 1", "--gateway=false excludes"},
		"short token":                      {"link --cluster-name a --token-expiry 1m", "--token-expiry"},
		"namespace":                        {"allow --namespace A", "--namespace"},
		"service account":                  {"allow --service-account-name a_b", "--service-account-name"},
		"unlink without a name":            {"unlink", "--cluster-name is required"},
		"group without user":               {"gateways --as-group a", "--as-group needs --as"},
		"metrics URL":                      {"gateways --metrics-url localhost", "--metrics-url"},
		"YAML version":                     {"version -o yaml", "--output"},
		"no such kubeconfig":               {"gateways --kubeconfig /does/not/exist", "kubeconfig"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := runMirror(t, strings.Fields(tc.args)...)
			if got.code == 0 || got.out != "" || !strings.Contains(got.err, tc.want) {
				t.Errorf("got %+v; want an error with %q and nothing on standard output", got, tc.want)
			}
		})
	}
}

// CLI-2: scripts written for Linkerd's command give --api-addr to any command; here it has no effect, and no line in the help.
func TestAPIAddrIsAcceptedEverywhere(t *testing.T) {
	t.Parallel()
	for _, sub := range newRootCommand(Streams{}, full("v0")).Commands() {
		got := runMirror(t, sub.Name(), "--api-addr", "127.0.0.1:1", "--help")
		if got.code != 0 || strings.Contains(got.out, "api-addr") {
			t.Errorf("%s: %+v", sub.Name(), got)
		}
	}
}

// CLI-1: every command and flag explains itself.
func TestCommandsHaveHelp(t *testing.T) {
	t.Parallel()
	var visit func(cmd *cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Short == "" {
			t.Errorf("%s has no help", cmd.CommandPath())
		}
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Usage == "" {
				t.Errorf("%s --%s has no help", cmd.CommandPath(), f.Name)
			}
		})
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	visit(newRootCommand(Streams{}, full("v0")))
	if got := runMirror(t); got.code != 0 || !strings.Contains(got.out, "link") {
		t.Errorf("without a command: %+v", got)
	}
}

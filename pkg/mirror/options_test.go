package mirror

import (
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

func defaults(t *testing.T, args ...string) Options {
	t.Helper()
	var o Options
	fs := pflag.NewFlagSet("test", pflag.ContinueOnError)
	o.Bind(fs)
	if err := fs.Parse(args); err != nil {
		t.Fatal(err)
	}
	return o
}

// Every message names the flag, so that it can be mended where it was given.
func TestOptionsValidate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args []string
		want string // what the message names; empty for none
	}{
		"the defaults":              {},
		"no worker":                 {args: []string{"--workers=0"}, want: "--workers"},
		"too many workers":          {args: []string{"--workers=1001"}, want: "--workers"},
		"a negative number":         {args: []string{"--max-mirrors=-1"}, want: "--max-mirrors"},
		"negative endpoints":        {args: []string{"--max-endpoints=-1"}, want: "--max-endpoints"},
		"no limits":                 {args: []string{"--max-mirrors=0", "--max-endpoints=0"}},
		"a hold that ended before":  {args: []string{"--mass-deletion-hold=-1s"}, want: "--mass-deletion-hold"},
		"a hold without an end":     {args: []string{"--mass-deletion-hold=0"}},
		"an egress for all":         {args: []string{"--gateway-clients=egress"}},
		"the mesh for all":          {args: []string{"--gateway-clients=mesh"}},
		"a third way":               {args: []string{"--gateway-clients=Mesh"}, want: "--gateway-clients"},
		"a Service that is none":    {args: []string{"--egress-service=a.b"}, want: "--egress-service"},
		"one port of the egress":    {args: []string{"--egress-ports=20000-20000"}},
		"ports that need root":      {args: []string{"--egress-ports=80-20000"}, want: "--egress-ports"},
		"no range":                  {args: []string{"--egress-ports=20000"}, want: "--egress-ports"},
		"ports that do not rest":    {args: []string{"--egress-port-hold=0"}},
		"a rest that ended before":  {args: []string{"--egress-port-hold=-1s"}, want: "--egress-port-hold"},
		"a namespace that is none":  {args: []string{"--import-namespaces=shop,Team"}, want: `--import-namespaces: "Team"`},
		"some namespaces":           {args: []string{"--import-namespaces=shop,team"}},
		"some, and new ones":        {args: []string{"--import-namespaces=shop", "--create-namespaces"}, want: "--create-namespaces and --import-namespaces exclude each other"},
		"a network that is none":    {args: []string{"--local-networks=10.0.0.0/8,10.0.0.1"}, want: `--local-networks: "10.0.0.1"`},
		"networks of both families": {args: []string{"--local-networks=10.0.0.0/8,fd00::/8"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := defaults(t, c.args...)
			err := o.Validate()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("error is %v, want one about %q", err, c.want)
			}
		})
	}
}

func TestOptionsPolicy(t *testing.T) {
	t.Parallel()
	o := defaults(t, "--create-namespaces", "--allow-namespaces=kube-public", "--local-networks=10.42.7.0/16")
	o.OwnNamespace = "linkspan"
	for range 2 { // a second validation must not add the networks again
		if err := o.Validate(); err != nil {
			t.Fatal(err)
		}
	}
	want := plan.Policy{
		CreateNamespaces: true, OwnNamespaces: []string{"linkspan"}, AllowedNamespaces: []string{"kube-public"},
		MaxMirrors: 10_000, MaxEndpoints: 5_000, LocalNetworks: []netip.Prefix{netip.MustParsePrefix("10.42.0.0/16")},
	}
	if diff := cmp.Diff(want, o.Policy(), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("policy (-want +got):\n%s", diff)
	}
	some := defaults(t, "--import-namespaces=shop,team")
	if got := some.Policy().ImportNamespaces; !slices.Equal(got, []string{"shop", "team"}) {
		t.Errorf("mirrors are made in %q", got)
	}
	if o.MassDeletionHold != time.Hour {
		t.Errorf("a mass deletion is held for %s by default, want an hour", o.MassDeletionHold)
	}
}

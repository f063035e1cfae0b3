package plan_test

import (
	"maps"
	"net/netip"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// TestGatewayAddressesEdited: addresses that the gateway no longer has serve on until there is a
// verdict on one that it has (MIR-12), and only where they served before.
func TestGatewayAddressesEdited(t *testing.T) {
	const a, b, c, refused = "192.0.2.1", "192.0.2.2", "192.0.2.3", "127.0.0.1"
	for name, tc := range map[string]struct {
		was, now health
		down     bool
		want     map[string]bool
	}{
		"replaced, no verdict":          {was: health{a: plan.HealthAlive}, now: health{b: plan.HealthUnknown}, want: map[string]bool{a: true, b: false}},
		"replaced, alive":               {was: health{a: plan.HealthAlive}, now: health{b: plan.HealthAlive}, want: map[string]bool{b: true}},
		"replaced, dead":                {was: health{a: plan.HealthAlive}, now: health{b: plan.HealthDead}, want: map[string]bool{b: false}},
		"replaced by two, one verdict":  {was: health{a: plan.HealthAlive}, now: health{b: plan.HealthUnknown, c: plan.HealthDead}, want: map[string]bool{b: false, c: false}},
		"replaced by two, no verdict":   {was: health{a: plan.HealthAlive}, now: health{b: plan.HealthUnknown, c: plan.HealthUnknown}, want: map[string]bool{a: true, b: false, c: false}},
		"the dead one goes at once":     {was: health{a: plan.HealthDead, c: plan.HealthAlive}, now: health{b: plan.HealthUnknown}, want: map[string]bool{b: false, c: true}},
		"one stays":                     {was: health{a: plan.HealthAlive, b: plan.HealthAlive}, now: health{b: plan.HealthAlive}, want: map[string]bool{b: true}},
		"replaced by one never used":    {was: health{a: plan.HealthAlive}, now: health{refused: plan.HealthUnknown}, want: map[string]bool{}},
		"a verdict on one never used":   {was: health{a: plan.HealthAlive}, now: health{refused: plan.HealthDead, b: plan.HealthUnknown}, want: map[string]bool{a: true, b: false}},
		"the service is down meanwhile": {was: health{a: plan.HealthAlive}, now: health{b: plan.HealthUnknown}, down: true, want: map[string]bool{b: false}},
	} {
		t.Run(name, func(t *testing.T) {
			in, _ := exported(t, "true", 1)
			in.Gateway = tc.was.addresses()
			cl := newCluster(plan.Local{})
			if err := cl.settle(in, 1); err != nil {
				t.Fatal(err)
			}
			in.Gateway = tc.now.addresses()
			if tc.down {
				in.Remote.Slices = nil
			}
			if err := cl.settle(in, 2); err != nil {
				t.Fatal(err)
			}
			got := map[string]bool{}
			for _, s := range cl.slices {
				for _, e := range s.Endpoints {
					got[e.Addresses[0]] = *e.Conditions.Ready
				}
			}
			if diff := cmp.Diff(tc.want, got); diff != "" {
				t.Errorf("readiness (-want +got):\n%s", diff)
			}
		})
	}
}

type health map[string]plan.Health

func (h health) addresses() (all []plan.GatewayAddress) {
	for _, ip := range slices.Sorted(maps.Keys(h)) {
		all = append(all, plan.GatewayAddress{IP: netip.MustParseAddr(ip), Health: h[ip]})
	}
	return all
}

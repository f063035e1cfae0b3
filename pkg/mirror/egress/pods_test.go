package egress

import (
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"

	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

func TestPodsIn(t *testing.T) {
	t.Parallel()
	ip := netip.MustParseAddr
	endpoint := func(address string, change func(*discoveryv1.Endpoint)) discoveryv1.Endpoint {
		e := discoveryv1.Endpoint{Addresses: []string{address}}
		change(&e)
		return e
	}
	plain := func(*discoveryv1.Endpoint) {}
	for name, c := range map[string]struct {
		endpoints []discoveryv1.Endpoint
		want      []plan.EgressPod
	}{
		"nothing": {},
		"conditions that are not set mean ready, serving and not terminating": {
			endpoints: []discoveryv1.Endpoint{endpoint("10.42.0.7", plain)},
			want:      []plan.EgressPod{{IP: ip("10.42.0.7"), Ready: true, Serving: true}},
		},
		"a pod that is not ready serves only if it says so": {
			endpoints: []discoveryv1.Endpoint{
				endpoint("10.42.0.7", func(e *discoveryv1.Endpoint) { e.Conditions.Ready = new(false) }),
				endpoint("10.42.0.8", func(e *discoveryv1.Endpoint) {
					e.Conditions = discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true), Terminating: new(true)}
				}),
			},
			want: []plan.EgressPod{{IP: ip("10.42.0.7")}, {IP: ip("10.42.0.8"), Serving: true, Terminating: true}},
		},
		"zone and node are kept, and a pod has one address": {
			endpoints: []discoveryv1.Endpoint{endpoint("10.42.0.7", func(e *discoveryv1.Endpoint) {
				e.Addresses = append(e.Addresses, "10.42.0.8")
				e.Zone, e.NodeName = new("a"), new("node-1")
			})},
			want: []plan.EgressPod{{IP: ip("10.42.0.7"), Ready: true, Serving: true, Zone: "a", Node: "node-1"}},
		},
		"sorted, each once": {
			endpoints: []discoveryv1.Endpoint{
				endpoint("10.42.0.9", plain), endpoint("2001:db8::1", plain), endpoint("10.42.0.7", plain), endpoint("10.42.0.9", plain),
			},
			want: []plan.EgressPod{
				{IP: ip("10.42.0.7"), Ready: true, Serving: true}, {IP: ip("10.42.0.9"), Ready: true, Serving: true},
				{IP: ip("2001:db8::1"), Ready: true, Serving: true},
			},
		},
		"what is no address is left out": {
			endpoints: []discoveryv1.Endpoint{endpoint("egress.example", plain), {}},
		},
	} {
		// Two slices, to see that both are read.
		half := len(c.endpoints) / 2
		got := podsIn([]discoveryv1.EndpointSlice{{Endpoints: c.endpoints[half:]}, {Endpoints: c.endpoints[:half]}})
		if diff := cmp.Diff(c.want, got, cmp.Comparer(func(a, b netip.Addr) bool { return a == b })); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Slices of a mirror that has the name of the egress Service are no pods of ours.
func TestSelector(t *testing.T) {
	t.Parallel()
	s, err := Selector("linkspan-egress")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		labels labels.Set
		want   bool
	}{
		"of the Service":        {labels.Set{"kubernetes.io/service-name": "linkspan-egress"}, true},
		"of another":            {labels.Set{"kubernetes.io/service-name": "linkspan"}, false},
		"of a mirror":           {labels.Set{"kubernetes.io/service-name": "linkspan-egress", "mirror.linkerd.io/mirrored-service": "true"}, false},
		"of nothing in special": {labels.Set{}, false},
	} {
		if got := s.Matches(c.labels); got != c.want {
			t.Errorf("slices %s: picked %t, want %t", name, got, c.want)
		}
	}
	if _, err := Selector("not a label!"); err == nil {
		t.Error("a name that is no label value is accepted")
	}
}

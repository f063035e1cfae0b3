package plan_test

import (
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

func TestParseEgressPorts(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]plan.EgressPorts{
		"":                       {},
		"80=20001":               {80: 20001},
		"443=20002,80=20001":     {80: 20001, 443: 20002},
		"80=20001,":              {80: 20001},
		"80=20001,80=20002":      {80: 20001},
		"80=20001,81=20001":      {80: 20001},
		"80=20001,x,81=y,82=":    {80: 20001},
		"80=0,0=20001,-1=20001":  {},
		"80=65536,65536=80":      {},
		"80=65535,65535=1":       {80: 65535, 65535: 1},
		"80 = 20001":             {},
		"80=20001=5,81=20002":    {81: 20002},
		"80:20001;81:20002":      {},
		strings.Repeat(",", 100): {},
	} {
		if diff := cmp.Diff(want, plan.ParseEgressPorts(text)); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
	}
}

// What an annotation holds is somebody else's hand for all we know: it is bounded, and what is taken
// from it is written as it is read.
func FuzzParseEgressPorts(f *testing.F) {
	var many strings.Builder
	for i := range plan.MaxPorts + 5 {
		many.WriteString(strconv.Itoa(i+1) + "=" + strconv.Itoa(20000+i) + ",")
	}
	for _, seed := range []string{"", "80=20001,443=20002", "443=20002,80=20001", "80=20001,80=20001", "=", "80==1", "１=２", many.String()} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		ports := plan.ParseEgressPorts(text)
		if len(ports) > plan.MaxPorts {
			t.Fatalf("%d ports", len(ports))
		}
		egress := slices.Sorted(maps.Values(ports))
		if len(slices.Compact(egress)) != len(ports) {
			t.Fatalf("an egress port twice: %s", ports)
		}
		for service, egress := range ports {
			if service < 1 || service > 65535 || egress < 1 {
				t.Fatalf("port out of range: %s", ports)
			}
		}
		if diff := cmp.Diff(ports, plan.ParseEgressPorts(ports.String())); diff != "" {
			t.Fatalf("read again (-first +second):\n%s", diff)
		}
	})
}

// Ports are asked for only where the mirror is going to lead to the egress: what is refused, or served
// otherwise, holds none.
func TestEgressPortsNeeded(t *testing.T) {
	t.Parallel()
	const begun = "without-a-mesh-a-mirror-leads-to-the-pods-of-the-egress"
	for name, c := range map[string]struct {
		after  string
		change func(*plan.Input)
		want   []int32
	}{
		"a new mirror": {after: begun, change: func(*plan.Input) {}, want: []int32{80}},
		"several ports, in order": {after: begun, change: func(in *plan.Input) {
			in.Remote.Service.Spec.Ports = []corev1.ServicePort{{Name: "b", Port: 443}, {Name: "a", Port: 80, Protocol: corev1.ProtocolTCP}}
		}, want: []int32{80, 443}},
		"none was free the last time": {after: begun, change: func(in *plan.Input) { in.Egress.Lacks = plan.EgressLimitRange }, want: []int32{80}},
		"a new mirror without pods":   {after: begun, change: func(in *plan.Input) { in.Egress.Pods = nil }, want: []int32{80}},
		"through the mesh":            {after: begun, change: func(in *plan.Input) { in.Clients = link.ClientsMesh }},
		"nobody said":                 {after: begun, change: func(in *plan.Input) { in.Clients = link.ClientsUnset }},
		"the target says nothing":     {after: begun, change: func(in *plan.Input) { in.Remote = plan.Remote{State: plan.Unknown} }},
		"the service is gone":         {after: begun, change: func(in *plan.Input) { in.Remote = plan.Remote{State: plan.Absent} }},
		"the Link is going":           {after: begun, change: func(in *plan.Input) { in.Link.Deleting = true }},
		"the name is taken":           {after: begun, change: func(in *plan.Input) { in.Local = plan.Local{Foreign: true} }},
		"the namespace is missing":    {after: begun, change: func(in *plan.Input) { in.LocalNamespace = plan.NamespaceMissing }},
		"the Link has no gateway":     {after: begun, change: func(in *plan.Input) { in.Link.Gateway = nil }},
		"the service has a UDP port":  {after: begun, change: func(in *plan.Input) { in.Remote.Service.Spec.Ports[0].Protocol = corev1.ProtocolUDP }},
		"the limit of mirrors is met": {after: begun, change: func(in *plan.Input) { in.Mirrors, in.Policy.MaxMirrors = 3, 3 }},
		"it is exported pod to pod": {after: begun, change: func(in *plan.Input) {
			in.Remote.Service.Labels[v1alpha3.LabelExported] = v1alpha3.ExportedRemoteDiscovery
		}},
		"it is exported no more":       {after: begun, change: func(in *plan.Input) { delete(in.Remote.Service.Labels, v1alpha3.LabelExported) }},
		"the egress is awaited":        {after: "a-mirror-stays-as-it-is-until-there-is-an-egress", change: func(*plan.Input) {}},
		"it turns, and there are pods": {after: "a-mirror-turns-to-the-egress-in-three-steps", change: func(*plan.Input) {}, want: []int32{80}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			in, _ := load(t, c.after)
			c.change(&in)
			if diff := cmp.Diff(c.want, plan.EgressPortsNeeded(in)); diff != "" {
				t.Errorf("ports (-want +got):\n%s", diff)
			}
		})
	}
}

package egress

import (
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// appendClaim writes what parsePorts reads.
func appendClaim(b []byte, c claim) []byte { return fmt.Appendf(b, "%d=%d", c.service, c.egress) }

const toWeb = "20001 shop/web-east:80 in east as web.shop.svc.cluster.local:80 opaque at 192.0.2.10:4143"

// GW-2: which mirrors have routes, and where these go.
func TestRoutesOfMirrors(t *testing.T) {
	label := func(key, value string) func(*corev1.Service) {
		return func(svc *corev1.Service) { svc.Labels[key] = value }
	}
	annotation := func(key, value string) func(*corev1.Service) {
		return func(svc *corev1.Service) { svc.Annotations[key] = value }
	}
	const fqName = v1alpha3.AnnotationRemoteServiceFQName
	cases := map[string]struct {
		objects   []any
		want      []string
		faults    []Cause
		conflicts []string
	}{
		"a mirror leads to its gateway": {
			objects: []any{newMirror(), newLink()}, want: []string{toWeb},
		},
		"each port has its own": {
			objects: []any{newMirror(withPorts(tcp(80), tcp(443)), egressPorts("80=20001,443=20002")), newLink()},
			want:    []string{toWeb, "20002 shop/web-east:443 in east as web.shop.svc.cluster.local:443 opaque at 192.0.2.10:4143"},
		},
		"a mirror without egress ports has none": {
			objects: []any{newMirror(egressPorts("")), newLink()},
		},
		"a port that the Service has no more is not listened on": {
			objects: []any{newMirror(egressPorts("80=20001,443=20002")), newLink()}, want: []string{toWeb},
		},
		"a port that is not TCP is not listened on": {
			objects: []any{newMirror(withPorts(corev1.ServicePort{Port: 80, Protocol: corev1.ProtocolUDP})), newLink()},
		},
		"a port without a protocol is TCP": {
			objects: []any{newMirror(withPorts(corev1.ServicePort{Port: 80})), newLink()}, want: []string{toWeb},
		},
		"TCP counts beside UDP of the same number": {
			objects: []any{newMirror(withPorts(tcp(80), corev1.ServicePort{Port: 80, Protocol: corev1.ProtocolUDP})), newLink()}, want: []string{toWeb},
		},
		"a bad entry does not take the good ones": {
			objects: []any{newMirror(egressPorts("80=20001,443=443")), newLink()}, want: []string{toWeb}, faults: []Cause{CausePorts},
		},
		"a Service that is no mirror": {
			objects: []any{newMirror(label(v1alpha3.LabelMirroredService, "false")), newLink()},
		},
		"a federated service, which is of no one cluster": {
			objects: []any{newMirror(func(svc *corev1.Service) { delete(svc.Labels, v1alpha3.LabelClusterName) }), newLink()},
		},
		"a mirror that is being deleted": {
			objects: []any{newMirror(func(svc *corev1.Service) { svc.DeletionTimestamp = new(day(3)) }), newLink()},
		},
		// MIR-12: egress slices outlive the mode until others are in place.
		"a mirror that turns to remote discovery is served as long as it has egress ports": {
			objects: []any{newMirror(label(v1alpha3.LabelRemoteDiscovery, "east")), newLink()}, want: []string{toWeb},
		},
		"a mirror that does not say what it stands for": {
			objects: []any{newMirror(func(svc *corev1.Service) { delete(svc.Annotations, fqName) }), newLink()}, faults: []Cause{CauseTarget},
		},
		"the mirror of one pod": {
			objects: []any{newMirror(annotation(fqName, "web-0.web.shop.svc.cluster.local")), newLink()}, faults: []Cause{CauseTarget},
		},
		"a mirror that is none, and has no egress ports, is nobody's business": {
			objects: []any{newMirror(annotation(fqName, "nonsense"), egressPorts("")), newLink()},
		},
		// Who may write Services in one namespace must not reach another's.
		"a hand-made mirror that points to another namespace": {
			objects: []any{newMirror(annotation(fqName, "web.bank.svc.cluster.local")), newLink()}, faults: []Cause{CauseName},
		},
		"a hand-made mirror that points to another service": {
			objects: []any{newMirror(annotation(fqName, "vault.shop.svc.cluster.local")), newLink()}, faults: []Cause{CauseName},
		},
		"a hand-made mirror that points to another cluster": {
			objects: []any{newMirror(label(v1alpha3.LabelClusterName, "west")), newLink()}, faults: []Cause{CauseName},
		},
		"a name that ends in the cluster's without being made of it": {
			objects: []any{newMirror(func(svc *corev1.Service) { svc.Name = "xweb-east" }), newLink()}, faults: []Cause{CauseName},
		},
		"the domain is the Link's, whatever the mirror says": {
			objects: []any{
				newMirror(annotation(fqName, "web.shop.svc.evil.example")),
				newLink(func(l *v1alpha3.Link) { l.Spec.TargetClusterDomain = "east.example" }),
			},
			want: []string{"20001 shop/web-east:80 in east as web.shop.svc.east.example:80 opaque at 192.0.2.10:4143"},
		},
		"two clusters": {
			objects: []any{
				newMirror(), newMirror(of("api", "west"), egressPorts("80=20002")), newLink(),
				newLink(func(l *v1alpha3.Link) {
					l.Name, l.Spec.TargetClusterName, l.Spec.GatewayPort = "west", "west", "30143"
				}, status("198.51.100.7", "Alive")),
			},
			want: []string{toWeb, "20002 shop/api-west:80 in west as api.shop.svc.cluster.local:80 opaque at 198.51.100.7:30143"},
		},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			checkRoutes(t, newTestTable(t, c.objects...).Routes(), c.want, c.faults, c.conflicts)
		})
	}
}

func checkRoutes(t *testing.T, got Routes, want []string, faults []Cause, conflicts []string) {
	t.Helper()
	if diff := cmp.Diff(want, described(got)); diff != "" {
		t.Errorf("routes (-want +got):\n%s", diff)
	}
	var causes []Cause
	for _, f := range got.Faults {
		causes = append(causes, f.Cause)
		if f.Object == "" || f.Text == "" {
			t.Errorf("fault %+v says too little", f)
		}
	}
	if diff := cmp.Diff(faults, causes); diff != "" {
		t.Errorf("faults (-want +got):\n%s\n%v", diff, got.Faults)
	}
	var said []string
	for _, c := range got.Conflicts {
		said = append(said, fmt.Sprintf("%d %s %s", c.Port, c.Mirror, c.Holder))
	}
	if diff := cmp.Diff(conflicts, said); diff != "" {
		t.Errorf("conflicts (-want +got):\n%s", diff)
	}
}

// SEC-4: who may write Services in a namespace takes no port of another mirror, whatever they say, and however
// old they are; only the service mirror writes slices.
func TestWhoHasAPort(t *testing.T) {
	evil := newMirror(in("evil"), created(0))
	const toEvil, toAPI = "20001 evil/web-east:80 in east as web.evil.svc.cluster.local:80 opaque at 192.0.2.10:4143",
		"20001 shop/api-east:80 in east as api.shop.svc.cluster.local:80 opaque at 192.0.2.10:4143"
	changed := func(slice *discoveryv1.EndpointSlice, change func(*discoveryv1.EndpointSlice)) *discoveryv1.EndpointSlice {
		change(slice)
		return slice
	}
	for name, c := range map[string]struct {
		objects   []any
		want      []string
		conflicts []string
	}{
		"one that claims it before there are slices": {
			objects: []any{newMirror()}, want: []string{toWeb},
		},
		"the one that slices lead to, though another is older": {
			objects: []any{newMirror(), leading(newMirror(), 5), evil}, want: []string{toWeb},
			conflicts: []string{"20001 evil/web-east shop/web-east"},
		},
		"the one that slices lead to, whoever claimed it before": {
			objects: []any{evil, newMirror(created(9)), leading(newMirror(), 9)}, want: []string{toWeb},
			conflicts: []string{"20001 evil/web-east shop/web-east"},
		},
		"nobody, where two claim it and slices lead to neither": {
			objects: []any{newMirror(), evil}, conflicts: []string{"20001 evil/web-east /", "20001 shop/web-east /"},
		},
		"nobody, where slices lead to a mirror that does not say so": {
			objects: []any{newMirror(egressPorts("80=20009")), leading(newMirror(), 5), evil},
			want:    []string{"20009" + strings.TrimPrefix(toWeb, "20001")}, conflicts: []string{"20001 evil/web-east shop/web-east"},
		},
		"nobody, where slices lead to a mirror that is gone": {
			objects: []any{leading(newMirror(), 5), evil}, conflicts: []string{"20001 evil/web-east shop/web-east"},
		},
		"slices of another kind lead nowhere here": {
			objects: []any{evil, newMirror(), changed(leading(newMirror(), 5), func(s *discoveryv1.EndpointSlice) {
				delete(s.Annotations, v1alpha3.AnnotationEgressPorts)
			})},
			conflicts: []string{"20001 evil/web-east /", "20001 shop/web-east /"},
		},
		"slices that Kubernetes made of a Service prove nothing": {
			objects: []any{newMirror(), leading(newMirror(), 5), evil, changed(leading(evil, 0), func(s *discoveryv1.EndpointSlice) {
				s.Labels[discoveryv1.LabelManagedBy] = "endpointslice-controller.k8s.io"
			})},
			want: []string{toWeb}, conflicts: []string{"20001 evil/web-east shop/web-east"},
		},
		"the same port for another port of the mirror": {
			objects:   []any{newMirror(withPorts(tcp(80), tcp(443)), egressPorts("443=20001")), leading(newMirror(), 5)},
			conflicts: []string{"20001 shop/web-east shop/web-east"},
		},
		"a name that could be of two clusters, turned into the other's": {
			objects: []any{
				newMirror(of("web-a", "east"), func(svc *corev1.Service) {
					svc.Labels[v1alpha3.LabelClusterName] = "a-east"
					svc.Annotations[v1alpha3.AnnotationRemoteServiceFQName] = "web.shop.svc.cluster.local"
				}), leading(newMirror(of("web-a", "east")), 5),
			},
			conflicts: []string{"20001 shop/web-a-east shop/web-a-east"},
		},
		"slices of two mirrors, which is the service mirror's own mistake: the older": {
			objects: []any{newMirror(), leading(newMirror(), 5), newMirror(of("api", "east")), leading(newMirror(of("api", "east")), 4)},
			want:    []string{toAPI}, conflicts: []string{"20001 shop/web-east shop/api-east"},
		},
		"slices of two mirrors of the same age: the first by name": {
			objects: []any{newMirror(), leading(newMirror(), 5), evil, leading(evil, 5)},
			want:    []string{toEvil}, conflicts: []string{"20001 shop/web-east evil/web-east"},
		},
		"the loser of one port keeps its others": {
			objects: []any{
				newMirror(withPorts(tcp(80), tcp(443)), egressPorts("443=20001,80=20005")),
				newMirror(of("api", "east")), leading(newMirror(of("api", "east")), 5),
			},
			want:      []string{toAPI, "20005 shop/web-east:80 in east as web.shop.svc.cluster.local:80 opaque at 192.0.2.10:4143"},
			conflicts: []string{"20001 shop/web-east shop/api-east"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			checkRoutes(t, newTestTable(t, append(c.objects, newLink())...).Routes(), c.want, nil, c.conflicts)
		})
	}
}

// SEC-4: claims that no slice proves open so many ports for each namespace and no more.
func TestUnprovedPortsAreLimited(t *testing.T) {
	table := newTestTable(t, newLink())
	claimAll := func(namespace, service string, first int) {
		var ports []corev1.ServicePort
		var text []string
		for i := range maxClaims {
			ports = append(ports, tcp(int32(i+1)))
			text = append(text, fmt.Sprintf("%d=%d", i+1, first+i))
		}
		svc := newMirror(of(service, "east"), in(namespace), withPorts(ports...), egressPorts(strings.Join(text, ",")))
		table.SetService(svc)
		if namespace == "bank" {
			table.SetSlice(leading(svc, 1))
		}
	}
	claimAll("evil", "a", 20000)
	claimAll("evil", "b", 30000)
	claimAll("shop", "a", 40000)
	claimAll("bank", "a", 50000)
	claimAll("bank", "b", 52000)
	got := table.Routes()
	count := map[string]int{}
	for _, route := range got.ByPort {
		count[route.Target.Mirror.Namespace]++
	}
	if diff := cmp.Diff(map[string]int{"evil": maxUnproved, "shop": maxClaims, "bank": 2 * maxClaims}, count); diff != "" {
		t.Errorf("routes by namespace (-want +got):\n%s", diff)
	}
	if len(got.Faults) != 1 || got.Faults[0].Object != "Namespace evil" || got.Faults[0].Cause != CausePorts {
		t.Errorf("faults are %v", got.Faults)
	}
}

// Which gateway is dialed, and why none is.
func TestRoutesOfLinks(t *testing.T) {
	const refused = "20001 shop/web-east:80 in east refused "
	at := func(addresses string) []string {
		return []string{strings.Replace(toWeb, "192.0.2.10:4143", addresses, 1)}
	}
	spec := func(change func(*v1alpha3.LinkSpec)) func(*v1alpha3.Link) {
		return func(l *v1alpha3.Link) { change(&l.Spec) }
	}
	rival := func(n int, state string) *v1alpha3.Link {
		return newLink(func(l *v1alpha3.Link) { l.Name, l.CreationTimestamp = "other", day(n) }, status("198.51.100.7", state))
	}
	cases := map[string]struct {
		links  []*v1alpha3.Link
		want   []string
		faults []Cause
	}{
		"alive":                         {links: []*v1alpha3.Link{newLink()}, want: []string{toWeb}},
		"alive, found by name":          {links: []*v1alpha3.Link{newLink(status("192.0.2.10 (gw.east.example)", "Alive"))}, want: []string{toWeb}},
		"alive over IPv6":               {links: []*v1alpha3.Link{newLink(status("2001:db8::7 (gw.east.example)", "Alive"))}, want: at("[2001:db8::7]:4143")},
		"alive in a private network":    {links: []*v1alpha3.Link{newLink(status("10.1.2.3", "Alive"))}, want: at("10.1.2.3:4143")},
		"two alive, in order":           {links: []*v1alpha3.Link{newLink(status("192.0.2.12", "Alive", "192.0.2.11", "Alive"))}, want: at("192.0.2.11:4143 192.0.2.12:4143")},
		"one address by two names":      {links: []*v1alpha3.Link{newLink(status("192.0.2.10 (a.example)", "Alive", "192.0.2.10 (b.example)", "Alive"))}, want: []string{toWeb}},
		"only those alive are dialed":   {links: []*v1alpha3.Link{newLink(status("192.0.2.9", "Dead", "192.0.2.10", "Alive", "192.0.2.11", "Unknown"))}, want: []string{toWeb}},
		"all dead":                      {links: []*v1alpha3.Link{newLink(status("192.0.2.10", "Dead", "192.0.2.11", "Dead"))}, want: []string{refused + "gateway_dead"}},
		"one dead and one not known":    {links: []*v1alpha3.Link{newLink(status("192.0.2.10", "Dead", "192.0.2.11", "Unknown"))}, want: at("192.0.2.11:4143")},
		"not known":                     {links: []*v1alpha3.Link{newLink(status("192.0.2.10", "Unknown"))}, want: []string{toWeb}},
		"several, none known":           {links: []*v1alpha3.Link{newLink(status("192.0.2.12", "Unknown", "192.0.2.9", "Dead", "192.0.2.11", "Unknown"))}, want: at("192.0.2.11:4143 192.0.2.12:4143")},
		"a state that nobody writes":    {links: []*v1alpha3.Link{newLink(status("192.0.2.10", "alive"))}, want: []string{refused + "gateway_unknown"}},
		"not probed yet":                {links: []*v1alpha3.Link{newLink(status())}, want: []string{refused + "gateway_unknown"}},
		"no Link":                       {want: []string{refused + "no_link"}},
		"a Link to somewhere else":      {links: []*v1alpha3.Link{newLink(spec(func(s *v1alpha3.LinkSpec) { s.TargetClusterName = "north" }))}, want: []string{refused + "no_link"}},
		"a Link without a gateway":      {links: []*v1alpha3.Link{newLink(spec(func(s *v1alpha3.LinkSpec) { s.GatewayAddress = "" }))}, want: []string{refused + "no_route"}},
		"nobody to verify (GW-10)":      {links: []*v1alpha3.Link{newLink(spec(func(s *v1alpha3.LinkSpec) { s.GatewayIdentity = "" }))}, want: []string{refused + "no_identity"}},
		"a Link with a broken port":     {links: []*v1alpha3.Link{newLink(spec(func(s *v1alpha3.LinkSpec) { s.GatewayPort = "70000" }))}, want: []string{refused + "no_link"}, faults: []Cause{CauseLink}},
		"a broken Link to nowhere":      {links: []*v1alpha3.Link{newLink(spec(func(s *v1alpha3.LinkSpec) { s.TargetClusterName = "" }))}, want: []string{refused + "no_link"}, faults: []Cause{CauseLink}},
		"a Link that is being deleted":  {links: []*v1alpha3.Link{newLink(func(l *v1alpha3.Link) { l.DeletionTimestamp = new(day(2)) })}, want: []string{toWeb}},
		"the older of two Links":        {links: []*v1alpha3.Link{newLink(), rival(2, "Alive")}, want: []string{toWeb}, faults: []Cause{CauseDuplicate}},
		"the older, which is the other": {links: []*v1alpha3.Link{newLink(), rival(0, "Alive")}, want: at("198.51.100.7:4143"), faults: []Cause{CauseDuplicate}},
		"the older, though it is dead":  {links: []*v1alpha3.Link{newLink(), rival(0, "Dead")}, want: []string{refused + "gateway_dead"}, faults: []Cause{CauseDuplicate}},
		// What the egress does not use is for the service mirror to refuse, which goes on with what it had.
		"a mistake that is none of ours does not cut traffic": {
			links: []*v1alpha3.Link{newLink(func(l *v1alpha3.Link) {
				l.Annotations = map[string]string{v1alpha3.AnnotationGatewayClients: "both", v1alpha3.AnnotationReleaseMassDeletion: "now"}
				l.Spec.ClusterCredentialsSecret, l.Spec.ProbeSpec.Period = "", "often"
			})},
			want: []string{toWeb},
		},
	}
	for _, bad := range []string{
		"127.0.0.1", "::1", "0.0.0.0", "0.1.2.3", "::", "169.254.169.254", "fe80::1", "fe80::1%eth0", "224.0.0.1", "ff02::1",
		"255.255.255.255", "::ffff:127.0.0.1", "::ffff:192.0.2.10", "gw.east.example", "", " 192.0.2.10", "192.0.2.10:4143",
	} {
		cases["an address that must not be dialed: "+bad] = struct {
			links  []*v1alpha3.Link
			want   []string
			faults []Cause
		}{links: []*v1alpha3.Link{newLink(status(bad, "Alive"))}, want: []string{refused + "gateway_dead"}, faults: []Cause{CauseAddress}}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			table := newTestTable(t, newMirror())
			for _, l := range c.links {
				table.SetLink(l)
			}
			checkRoutes(t, table.Routes(), c.want, c.faults, nil)
		})
	}
}

func TestTestsMayDialLoopback(t *testing.T) {
	table := NewTable(nil, true)
	table.SetService(newMirror())
	table.SetLink(newLink(status("127.0.0.1", "Alive")))
	checkRoutes(t, table.Routes(), []string{strings.Replace(toWeb, "192.0.2.10", "127.0.0.1", 1)}, nil, nil)
}

// Which changes let open streams go on.
func TestServes(t *testing.T) {
	target := Target{Mirror: types.NamespacedName{Namespace: "shop", Name: "web-east"}, UID: "web-1", Port: 80}
	cases := map[string]struct {
		change func(*Table)
		want   bool
	}{
		"nothing happens":                {func(*Table) {}, true},
		"the mirror leads elsewhere":     {func(t *Table) { t.SetService(newMirror(egressPorts(""))) }, true},
		"its egress port is another":     {func(t *Table) { t.SetService(newMirror(egressPorts("80=20009"))) }, true},
		"another port is added":          {func(t *Table) { t.SetService(newMirror(withPorts(tcp(80), tcp(443)))) }, true},
		"an older mirror takes the port": {func(t *Table) { t.SetService(newMirror(of("api", "east"), created(0))) }, true},
		"the gateway is dead":            {func(t *Table) { t.SetLink(newLink(status("192.0.2.10", "Dead"))) }, true},
		"the Link is deleted":            {func(t *Table) { t.DeleteLink("east") }, true},
		"the mirror is deleted":          {func(t *Table) { t.DeleteService("shop", "web-east") }, false},
		"the mirror is being deleted": {func(t *Table) {
			t.SetService(newMirror(func(svc *corev1.Service) { svc.DeletionTimestamp = new(day(3)) }))
		}, false},
		"the mirror is no mirror any more": {func(t *Table) { t.SetService(newMirror(func(svc *corev1.Service) { svc.Labels = nil })) }, false},
		"the mirror was made again":        {func(t *Table) { t.SetService(newMirror(func(svc *corev1.Service) { svc.UID = "web-2" })) }, false},
		"its port is gone":                 {func(t *Table) { t.SetService(newMirror(withPorts(tcp(443)))) }, false},
		"its port is no longer TCP": {func(t *Table) {
			t.SetService(newMirror(withPorts(corev1.ServicePort{Port: 80, Protocol: corev1.ProtocolSCTP})))
		}, false},
		"it is missing from the next list": {func(t *Table) { t.ReplaceServices([]*corev1.Service{newMirror(of("api", "east"))}) }, false},
		"somebody turned it into another's": {func(t *Table) {
			t.SetService(newMirror(of("api", "east"), func(svc *corev1.Service) { svc.Name, svc.UID = "web-east", "web-1" }))
		}, false},
		"all Links are missing from a list":  {func(t *Table) { t.ReplaceLinks(nil) }, true},
		"it is in the next list as it was":   {func(t *Table) { t.ReplaceServices([]*corev1.Service{newMirror()}) }, true},
		"another Service is deleted":         {func(t *Table) { t.DeleteService("shop", "api-east") }, true},
		"one of another namespace is, alike": {func(t *Table) { t.DeleteService("bank", "web-east") }, true},
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			table := newTestTable(t, newMirror(), newLink())
			c.change(table)
			if got := table.Serves(target); got != c.want {
				t.Errorf("streams go on: %t, want %t", got, c.want)
			}
		})
	}
}

// A Link's status is written often. Nobody is woken by what changes nothing.
func TestTellsOfChangesOnly(t *testing.T) {
	told := 0
	table := NewTable(func() { told++ }, false)
	steps := []struct {
		name string
		do   func()
		want int
	}{
		{"the first list of mirrors, though it is empty", func() { table.ReplaceServices(nil) }, 1},
		{"the first list of slices, though it is empty", func() { table.ReplaceSlices(nil) }, 1},
		{"the first list of Links, though it is empty", func() { table.ReplaceLinks(nil) }, 1},
		{"the same again", func() { table.ReplaceServices(nil); table.ReplaceSlices(nil); table.ReplaceLinks(nil) }, 0},
		{"a mirror", func() { table.SetService(newMirror()) }, 1},
		{"the same mirror", func() { table.SetService(newMirror()) }, 0},
		{"an annotation that says nothing here", func() {
			table.SetService(newMirror(func(svc *corev1.Service) { svc.Annotations["users.example/note"], svc.ResourceVersion = "1", "9" }))
		}, 0},
		{"a port", func() { table.SetService(newMirror(egressPorts("80=20002"))) }, 1},
		{"a slice", func() { table.SetSlice(leading(newMirror(), 1)) }, 1},
		{"endpoints in it", func() {
			slice := leading(newMirror(), 1)
			slice.Endpoints = []discoveryv1.Endpoint{{Addresses: []string{"10.42.0.7"}}}
			table.SetSlice(slice)
		}, 0},
		{"a slice that leads elsewhere", func() { table.SetSlice(&discoveryv1.EndpointSlice{}) }, 0},
		{"the end of the slice", func() { table.DeleteSlice("shop", "web-east-egress-ipv4") }, 1},
		{"a Link", func() { table.SetLink(newLink()) }, 1},
		{"counts in its status", func() {
			table.SetLink(newLink(func(l *v1alpha3.Link) { l.Status.Services = &v1alpha3.ServiceCounts{Mirrored: 7} }))
		}, 0},
		{"a verdict", func() { table.SetLink(newLink(status("192.0.2.10", "Dead"))) }, 1},
		{"a fault", func() { table.SetLink(newLink(status("192.0.2.10", "Dead", "::1", "Dead"))) }, 1},
		{"a Service that is no mirror", func() { table.SetService(&corev1.Service{}) }, 0},
		{"the end of one that was not there", func() { table.DeleteService("shop", "api-east"); table.DeleteLink("west") }, 0},
		{"the end", func() { table.DeleteService("shop", "web-east") }, 1},
		{"the end of the Link", func() { table.DeleteLink("east") }, 1},
	}
	for _, step := range steps {
		told = 0
		if step.do(); told != step.want {
			t.Errorf("%s: told %d times, want %d", step.name, told, step.want)
		}
	}
}

func TestSyncedNeedsAllLists(t *testing.T) {
	table := NewTable(nil, false)
	table.SetService(newMirror())
	table.SetLink(newLink())
	if table.Synced() {
		t.Error("synced without lists")
	}
	table.ReplaceServices(nil)
	if table.Synced() {
		t.Error("synced without Links")
	}
	table.ReplaceLinks(nil)
	if table.Synced() {
		t.Error("synced without slices")
	}
	table.ReplaceSlices(nil)
	if !table.Synced() {
		t.Error("not synced")
	}
}

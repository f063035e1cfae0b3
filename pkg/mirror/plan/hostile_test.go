package plan_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"unicode"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// remoteSlices are slices of so many endpoints each, in the order of their names.
func remoteSlices(sizes ...int) []*discoveryv1.EndpointSlice {
	var all []*discoveryv1.EndpointSlice
	next := 0
	for i, size := range sizes {
		slice := &discoveryv1.EndpointSlice{
			ObjectMeta:  metav1.ObjectMeta{Name: fmt.Sprintf("web-%06d", i), Namespace: "shop"},
			AddressType: discoveryv1.AddressTypeIPv4,
		}
		for range size {
			slice.Endpoints = append(slice.Endpoints, endpointAt(next))
			next++
		}
		all = append(all, slice)
	}
	return all
}

// TestSliceNamesDoNotCollide: a target chooses the names that are hashed. These two share the first
// ten digits of their digests, which is quickly found.
func TestSliceNamesDoNotCollide(t *testing.T) {
	in, c := exported(t, "remote-discovery", 0)
	in.Remote.Slices = remoteSlices(1, 1)
	in.Remote.Slices[0].Name, in.Remote.Slices[1].Name = "web-1061694", "web-1625425"
	in.Local = c.local()
	p := plan.Compute(in)
	if len(p.Slices) != 2 || *p.Slices[0].Name == *p.Slices[1].Name {
		t.Fatalf("%s", describe(p))
	}
	for _, s := range p.Slices {
		if digest := strings.TrimPrefix(*s.Name, "web-east-"); len(digest) < 32 {
			t.Errorf("%s has %d digits", *s.Name, len(digest))
		}
	}
	if err := c.settle(in, 1); err != nil {
		t.Error(err)
	}
}

// TestSlicesAreLimited: a target cannot make us create any number of slices.
func TestSlicesAreLimited(t *testing.T) {
	repeat := func(n, size int) []int { return slices.Repeat([]int{size}, n) }
	for name, tc := range map[string]struct {
		sizes        []int
		maxEndpoints int
		slices       int
		endpoints    int
		dropped      string
	}{
		"no more than the limit":             {sizes: repeat(100, 1), maxEndpoints: 5000, slices: 100, endpoints: 100},
		"one more":                           {sizes: repeat(101, 1), maxEndpoints: 5000, slices: 100, endpoints: 100, dropped: "1 × EndpointSlice beyond the limit for one mirror (web-000100)"},
		"empty ones":                         {sizes: repeat(5000, 0), maxEndpoints: 5000, slices: 100, dropped: "4900 ×"},
		"empty ones, endpoints without end":  {sizes: repeat(5000, 0), slices: 100, dropped: "4900 ×"},
		"full ones, endpoints without end":   {sizes: repeat(150, 2), slices: 150, endpoints: 300},
		"room goes to endpoints":             {sizes: append(repeat(150, 0), repeat(60, 1)...), maxEndpoints: 5000, slices: 100, endpoints: 60, dropped: "110 ×"},
		"more endpoints may have more":       {sizes: repeat(250, 1), maxEndpoints: 10_000, slices: 200, endpoints: 200, dropped: "50 ×"},
		"large ones are parted, within it":   {sizes: append(repeat(98, 1), 250, 1), maxEndpoints: 5000, slices: 100, endpoints: 298, dropped: "2 × EndpointSlice beyond the limit for one mirror (web-000098 and others)"},
		"beyond the limit of endpoints, too": {sizes: repeat(200, 1), maxEndpoints: 50, slices: 100, endpoints: 50, dropped: "150 × endpoint beyond the limit"},
	} {
		t.Run(name, func(t *testing.T) {
			in, _ := exported(t, "remote-discovery", 0)
			in.Policy.MaxEndpoints = tc.maxEndpoints
			in.Remote.Slices = remoteSlices(tc.sizes...)
			c := newCluster(plan.Local{})
			if err := c.settle(in, 1); err != nil {
				t.Fatal(err)
			}
			endpoints := 0
			for _, size := range chunkSizes(c) {
				endpoints += size
			}
			if n := len(c.slices); n != tc.slices || endpoints != tc.endpoints {
				t.Errorf("%d slices with %d endpoints, want %d with %d", n, endpoints, tc.slices, tc.endpoints)
			}
			in.Local = c.local()
			said := fmt.Sprint(plan.Compute(in).Events)
			if strings.Contains(said, v1alpha3.ReasonEndpointsDropped) != (tc.dropped != "") || !strings.Contains(said, tc.dropped) {
				t.Errorf("events: %s", said)
			}
		})
	}
}

// TestSliceLimitDoesNotFlap: at the limit too, a slice that becomes empty and fills again is that one
// slice's write.
func TestSliceLimitDoesNotFlap(t *testing.T) {
	in, _ := exported(t, "remote-discovery", 0)
	in.Policy.MaxEndpoints = 5000
	in.Remote.Slices = remoteSlices(append(slices.Repeat([]int{0}, 120), slices.Repeat([]int{1}, 60)...)...)
	c := newCluster(plan.Local{})
	if err := c.settle(in, 1); err != nil {
		t.Fatal(err)
	}
	last := in.Remote.Slices[len(in.Remote.Slices)-1]
	for _, endpoints := range [][]discoveryv1.Endpoint{nil, last.Endpoints, nil, last.Endpoints} {
		last.Endpoints = endpoints
		in.Local = c.local()
		p := plan.Compute(in)
		if len(p.Slices) != 1 || p.Slices[0].UID == nil || len(p.DeleteSlices) != 0 {
			t.Fatalf("%d endpoints: %s", len(endpoints), describe(p))
		}
		if err := c.settle(in, 1); err != nil {
			t.Fatal(err)
		}
	}
}

// TestRelabelledSlices: what somebody changes on a slice of ours is put back on that very object, and
// deleted with it; what somebody took over is left alone, and its name with it (LESSON-8).
func TestRelabelledSlices(t *testing.T) {
	for name, tc := range map[string]struct {
		change func(*discoveryv1.EndpointSlice)
		ours   bool
	}{
		"service-name":         {func(s *discoveryv1.EndpointSlice) { s.Labels[discoveryv1.LabelServiceName] = "other" }, true},
		"service-name removed": {func(s *discoveryv1.EndpointSlice) { delete(s.Labels, discoveryv1.LabelServiceName) }, true},
		"annotation removed":   {func(s *discoveryv1.EndpointSlice) { delete(s.Annotations, v1alpha3.AnnotationRemoteServiceFQName) }, true},
		"both": {func(s *discoveryv1.EndpointSlice) {
			delete(s.Labels, discoveryv1.LabelServiceName)
			delete(s.Annotations, v1alpha3.AnnotationRemoteServiceFQName)
		}, false},
		"of another service": {func(s *discoveryv1.EndpointSlice) {
			s.Annotations[v1alpha3.AnnotationRemoteServiceFQName] = "api.shop.svc.cluster.local"
		}, false},
		"managed-by":                  {func(s *discoveryv1.EndpointSlice) { s.Labels[discoveryv1.LabelManagedBy] = "somebody" }, false},
		"managed-by removed":          {func(s *discoveryv1.EndpointSlice) { delete(s.Labels, discoveryv1.LabelManagedBy) }, false},
		"no longer a mirror's":        {func(s *discoveryv1.EndpointSlice) { s.Labels[v1alpha3.LabelMirroredService] = "false" }, false},
		"of another cluster":          {func(s *discoveryv1.EndpointSlice) { s.Labels[v1alpha3.LabelClusterName] = "north" }, false},
		"managed-by and service-name": {func(s *discoveryv1.EndpointSlice) { s.Labels = map[string]string{} }, false},
	} {
		for _, mode := range []string{"true", "remote-discovery"} {
			t.Run(name+"/"+mode, func(t *testing.T) {
				in, c := exported(t, mode, 1)
				was := c.local().Slices[0]
				changed := c.slices[was.Name]
				tc.change(changed)
				before := changed.DeepCopy()
				if err := c.settle(in, 1); err != nil {
					t.Fatal(err)
				}
				if !tc.ours {
					second := c.slices[was.Name+"-2"]
					if diff := cmp.Diff(before, changed); diff != "" || second == nil || len(second.Endpoints) != 1 {
						t.Fatalf("the next name has %v; the slice changed:\n%s", second, diff)
					}
				} else if diff := cmp.Diff(was, changed); diff != "" || len(c.slices) != 1 {
					t.Fatalf("%d slices; not put back (-want +got):\n%s", len(c.slices), diff)
				}
				tc.change(changed)
				in.Remote = plan.Remote{State: plan.Absent}
				if err := c.settle(in, 1); err != nil {
					t.Fatal(err)
				}
				if _, left := c.slices[was.Name]; left == tc.ours || len(c.slices) > 1 {
					t.Errorf("after the export's end there are slices %v", slices.Sorted(maps.Keys(c.slices)))
				}
			})
		}
	}
}

// TestRelabelledSliceServesNobody: a slice that names another Service does not make the mirror ready.
func TestRelabelledSliceServesNobody(t *testing.T) {
	in, c := exported(t, "remote-discovery", 1)
	c.slices[in.Local.Slices[0].Name].Labels[discoveryv1.LabelServiceName] = "other"
	in.Local, in.Remote = c.local(), plan.Remote{State: plan.Unknown}
	if p := plan.Compute(in); p.Outcome.Ready {
		t.Errorf("ready: %+v", p.Outcome)
	}
}

// TestRefusedPorts: what the local API server would reject is refused, naming the port and the mend.
func TestRefusedPorts(t *testing.T) {
	tcp := func(name string, number int32) corev1.ServicePort {
		return corev1.ServicePort{Name: name, Port: number, Protocol: corev1.ProtocolTCP}
	}
	udp := tcp("dns-udp", 53)
	udp.Protocol = corev1.ProtocolUDP
	var many []corev1.ServicePort
	for i := range plan.MaxPorts + 1 {
		many = append(many, tcp(fmt.Sprintf("p%d", i), int32(1+i)))
	}
	for name, tc := range map[string]struct {
		ports []corev1.ServicePort
		want  string
	}{
		"one without a name":               {ports: []corev1.ServicePort{{Port: 80}}},
		"two protocols on one number":      {ports: []corev1.ServicePort{tcp("dns", 53), udp}},
		"a name of 63 characters":          {ports: []corev1.ServicePort{tcp(strings.Repeat("p", 63), 65535)}},
		"all that are possible":            {ports: many[:plan.MaxPorts]},
		"number 0":                         {[]corev1.ServicePort{tcp("a", 80), tcp("b", 0)}, `spec.ports[1] of the Service (name "b", port 0, protocol "TCP") has an invalid number`},
		"number -1":                        {[]corev1.ServicePort{tcp("a", -1)}, "invalid number"},
		"number 65536":                     {[]corev1.ServicePort{tcp("a", 65536)}, "invalid number"},
		"no name":                          {[]corev1.ServicePort{tcp("a", 80), tcp("", 81)}, "has no name"},
		"name with capitals":               {[]corev1.ServicePort{tcp("Web", 80)}, "invalid name"},
		"name of 64 characters":            {[]corev1.ServicePort{tcp(strings.Repeat("p", 64), 80)}, "invalid name"},
		"name twice":                       {[]corev1.ServicePort{tcp("a", 80), tcp("a", 81)}, "has the name of an earlier port"},
		"number and protocol twice":        {[]corev1.ServicePort{tcp("a", 80), tcp("b", 80)}, "has the number and protocol of an earlier port"},
		"number and default protocol":      {[]corev1.ServicePort{{Name: "a", Port: 80}, tcp("b", 80)}, "has the number and protocol of an earlier port"},
		"unknown protocol":                 {[]corev1.ServicePort{{Port: 80, Protocol: "ICMP"}}, "unknown protocol"},
		"one more than possible":           {many, "has 1001 ports and at most 1000 are mirrored"},
		"a protocol that says all manner":  {[]corev1.ServicePort{{Port: 80, Protocol: corev1.Protocol("\x1b[2J" + strings.Repeat("x", 5000))}}, `protocol "[2Jxxx`},
		"a name that says all manner":      {[]corev1.ServicePort{tcp("\n"+strings.Repeat("\u202ex", 5000), 80)}, `(name "xxx`},
		"a name of quotes is not too long": {[]corev1.ServicePort{tcp(strings.Repeat(`"`, 5000), 80)}, "invalid name"},
	} {
		t.Run(name, func(t *testing.T) {
			in, _ := exported(t, "remote-discovery", 1)
			in.Local, in.Remote.Service.Spec.Ports = plan.Local{}, tc.ports
			checkRefused(t, in, tc.want)
		})
	}
}

// checkRefused holds a plan against a refusal for an invalid Service, or none if want is empty.
func checkRefused(t *testing.T, in plan.Input, want string) {
	t.Helper()
	p := plan.Compute(in)
	if want == "" {
		if p.Outcome.State != plan.StateMirrored {
			t.Errorf("outcome %+v", p.Outcome)
		}
		if err := newCluster(plan.Local{}).settle(in, 1); err != nil {
			t.Error(err)
		}
		return
	}
	if out := p.Outcome; !p.Empty() || out.State != plan.StateRefused || out.Reason != v1alpha3.ReasonInvalidService || !strings.Contains(out.Message, want) {
		t.Errorf("want %q: outcome %+v, %s", want, out, describe(p))
	}
	if strings.Contains(p.Outcome.Message, strings.Repeat("x", 101)) || !strings.Contains(p.Outcome.Message, ": ") {
		t.Errorf("message %q", p.Outcome.Message)
	}
	checkMessages(t, p)
}

// checkMessages: whatever a target writes, what we say of it is short, and plain text.
func checkMessages(t *testing.T, p plan.Plan) {
	t.Helper()
	messages := []string{p.Outcome.Message}
	for _, e := range p.Events {
		messages = append(messages, e.Message)
	}
	for _, message := range messages {
		if len(message) > 1024 || strings.ContainsFunc(message, func(r rune) bool { return !unicode.IsPrint(r) }) {
			t.Errorf("message of %d bytes: %q", len(message), message)
		}
	}
}

// TestRefusedNames: names that no API server accepts are not written, and not repeated at length.
func TestRefusedNames(t *testing.T) {
	for name, tc := range map[string]struct{ namespace, service, want string }{
		"fine":               {"shop", "web-2", ""},
		"namespace":          {"Shop", "web", `namespace "Shop" is not a DNS label`},
		"empty namespace":    {"", "web", `namespace "" is not a DNS label`},
		"name":               {"shop", "web.evil", `name "web.evil" is not a DNS label`},
		"name with a path":   {"shop", "../../nodes", "is not a DNS label"},
		"endless name":       {"shop", strings.Repeat("x", 1<<20), "is not a DNS label"},
		"endless namespace":  {strings.Repeat("x", 1<<20), "web", "is not a DNS label"},
		"control characters": {"shop", "web\x1b[31m\nred", `name "web[31mred" is not a DNS label`},
	} {
		t.Run(name, func(t *testing.T) {
			in, _ := exported(t, "remote-discovery", 1)
			in.Local, in.Namespace, in.Name = plan.Local{}, tc.namespace, tc.service
			in.LocalNamespace, in.Policy.CreateNamespaces = plan.NamespaceMissing, true
			if tc.want == "" {
				in.LocalNamespace = plan.NamespaceActive
			}
			checkRefused(t, in, tc.want)
		})
	}
}

// TestMessagesAboutHostileData: what a target gives as addresses, names and keys is cut short where
// it is repeated, and the mend is still said.
func TestMessagesAboutHostileData(t *testing.T) {
	in, _ := exported(t, "remote-discovery", 0)
	long := "\x1b[2J\u202e" + strings.Repeat("𝄞", 5000)
	for i := range 20 {
		in.Remote.Service.Labels[fmt.Sprintf("%d%s", i, long)] = "x"
		in.Remote.Service.Annotations[fmt.Sprintf("%d%s", i, long)] = "x"
	}
	for i, address := range []string{long, "127.0.0.1", "fe80::1%" + long, "169.254.169.254", "224.0.0.1", "0.0.0.0", "::ffff:192.0.2.1", "2001:db8::1%" + long} {
		slice := remoteSlices(1)[0]
		slice.Name = fmt.Sprintf("%d%s", i, long)
		slice.Endpoints[0].Addresses[0] = address
		slice.Ports = []discoveryv1.EndpointPort{{Name: new(long)}}
		in.Remote.Slices = append(in.Remote.Slices, slice)
	}
	fqdn := remoteSlices(0)[0]
	fqdn.Name, fqdn.AddressType = long, discoveryv1.AddressTypeFQDN
	in.Remote.Slices = append(in.Remote.Slices, fqdn)
	p := plan.Compute(in)
	checkMessages(t, p)
	if len(p.Events) != 2 || !strings.HasSuffix(p.Events[0].Message, "limits and local networks") || !strings.HasSuffix(p.Events[1].Message, "exclude them in the Link") {
		t.Errorf("events %+v", p.Events)
	}
}

// TestMessagesAreBoundedInTheEnd: whatever goes into a message unchecked.
func TestMessagesAreBoundedInTheEnd(t *testing.T) {
	in, _ := exported(t, "true", 1)
	in.Link.Gateway, in.Link.Name = nil, link.Name("\x1b[2J"+strings.Repeat("x", 5000))
	p := plan.Compute(in)
	if p.Outcome.Reason != v1alpha3.ReasonGatewayMissing || len(p.Events) != 1 {
		t.Fatalf("outcome %+v", p.Outcome)
	}
	checkMessages(t, p)
}

// TestFieldsBeyondValidation: a field that no API server accepts does not cost the mirror.
func TestFieldsBeyondValidation(t *testing.T) {
	for _, timeout := range []int32{-1, 0, 86401} {
		in, _ := exported(t, "remote-discovery", 1)
		in.Remote.Service.Spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{TimeoutSeconds: &timeout}}
		if p := plan.Compute(in); !p.Empty() { // the default, as before
			t.Errorf("timeout %d: %s", timeout, describe(p))
		}
	}
	in, _ := exported(t, "remote-discovery", 1)
	in.Local, in.Remote.Service.ResourceVersion = plan.Local{}, strings.Repeat("9", 1<<20)
	if p := plan.Compute(in); len(p.Service.Annotations[v1alpha3.AnnotationRemoteResourceVersion]) > 200 {
		t.Error("a resource version of a megabyte is copied")
	}
}

// TestSlicePortsAreLimited: a slice with more ports than can be stored loses the rest, not its endpoints.
func TestSlicePortsAreLimited(t *testing.T) {
	in, _ := exported(t, "remote-discovery", 1)
	ports := make([]discoveryv1.EndpointPort, 0, 25_000)
	for i := range cap(ports) {
		ports = append(ports, discoveryv1.EndpointPort{Name: new(fmt.Sprintf("p%d", i)), Port: new(int32(1 + i))})
	}
	in.Remote.Slices[0].Ports = ports
	c := newCluster(plan.Local{})
	if err := c.settle(in, 1); err != nil {
		t.Fatal(err)
	}
	in.Local = c.local()
	p := plan.Compute(in)
	slice := in.Local.Slices[0]
	if len(slice.Ports) != plan.MaxPorts || *slice.Ports[plan.MaxPorts-1].Name != fmt.Sprintf("p%d", plan.MaxPorts-1) || len(slice.Endpoints) != 1 {
		t.Errorf("%d ports and %d endpoints", len(slice.Ports), len(slice.Endpoints))
	}
	if len(p.Events) != 1 || p.Events[0].Reason != v1alpha3.ReasonEndpointsDropped || !strings.Contains(p.Events[0].Message, "24000 × port beyond the limit") {
		t.Errorf("events %+v", p.Events)
	}
}

package egress

import (
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// dice turns the fuzzer's bytes into choices.
type dice struct{ data []byte }

func (d *dice) roll(sides int) int {
	if len(d.data) == 0 {
		return 0
	}
	b := d.data[0]
	d.data = d.data[1:]
	return int(b) % sides
}

func pick[T any](d *dice, of ...T) T { return of[d.roll(len(of))] }

// cluster is what a fuzzed cluster holds, as its API server has it.
type cluster struct {
	services map[types.NamespacedName]*corev1.Service
	slices   map[types.NamespacedName]*discoveryv1.EndpointSlice
	links    map[string]*v1alpha3.Link
}

func fuzzService(d *dice) *corev1.Service {
	return newMirror(
		of(pick(d, "web", "api", "a-b"), pick(d, "east", "west", "b-east")),
		created(d.roll(3)),
		egressPorts(pick(d, "80=20001", "80=20001,443=20002", "443=20001", "80=20002,443=20002", "80=80", "", "x")),
		withPorts(pick(d, []corev1.ServicePort{tcp(80)}, []corev1.ServicePort{tcp(80), tcp(443)}, []corev1.ServicePort{{Port: 443, Protocol: corev1.ProtocolUDP}})...),
		func(svc *corev1.Service) {
			svc.UID = types.UID(fmt.Sprint(d.roll(2)))
			if d.roll(6) == 5 {
				svc.Annotations[v1alpha3.AnnotationRemoteServiceFQName] = pick(d, "web.bank.svc.cluster.local", "x", "b.shop.svc.cluster.local")
			}
			if d.roll(8) == 7 {
				svc.Labels[v1alpha3.LabelClusterName] = pick(d, "", "north")
			}
		})
}

func fuzzLink(d *dice) *v1alpha3.Link {
	return newLink(func(l *v1alpha3.Link) {
		l.Name, l.CreationTimestamp = pick(d, "east", "west", "second"), day(d.roll(2))
		l.Spec.TargetClusterName = pick(d, "east", "west", "b-east", "")
		l.Spec.GatewayIdentity = pick(d, eastIdentity, "", "gateway.west.example")
		l.Spec.GatewayPort = pick(d, "4143", "0", "30143")
		l.Status.Gateway = nil
		for range d.roll(4) {
			l.Status.Gateway = append(l.Status.Gateway, v1alpha3.GatewayAddressStatus{
				Address: pick(d, "192.0.2.10", "192.0.2.11 (gw.example)", "127.0.0.1", "::ffff:192.0.2.12", "2001:db8::7", "fe80::1"),
				State:   pick(d, "Alive", "Dead", "Unknown", ""),
			})
		}
	})
}

// play changes the cluster at random, and tells a Table of each change.
func (c *cluster) play(d *dice, table *Table) {
	for len(d.data) > 0 {
		switch d.roll(8) {
		case 0, 1:
			svc := fuzzService(d)
			c.services[nameOf(svc)] = svc
			table.SetService(svc)
		case 2, 3:
			l := fuzzLink(d)
			c.links[l.Name] = l
			table.SetLink(l)
		case 4:
			name := types.NamespacedName{Namespace: "shop", Name: pick(d, "web-east", "api-east", "web-west", "a-b-east")}
			delete(c.services, name)
			table.DeleteService(name.Namespace, name.Name)
		case 5:
			name := pick(d, "east", "west", "second")
			delete(c.links, name)
			table.DeleteLink(name)
		case 6:
			slice := leading(fuzzService(d), d.roll(3))
			c.slices[nameOf(slice)] = slice
			table.SetSlice(slice)
		case 7:
			name := types.NamespacedName{Namespace: "shop", Name: pick(d, "web-east", "api-east", "web-west") + "-egress-ipv4"}
			delete(c.slices, name)
			table.DeleteSlice(name.Namespace, name.Name)
		}
	}
}

// dialable says whether a Link of the cluster has an address for an identity, and its status calls it alive, or
// calls none alive and this one not dead.
func (c *cluster) dialable(target, identity string, at netip.AddrPort) bool {
	for _, l := range c.links {
		if l.Spec.TargetClusterName != target || l.Spec.GatewayIdentity != identity || l.Spec.GatewayPort != fmt.Sprint(at.Port()) {
			continue
		}
		alive := slices.ContainsFunc(l.Status.Gateway, func(s v1alpha3.GatewayAddressStatus) bool {
			_, usable := parseAddress(s.Address, false)
			return usable && s.State == "Alive"
		})
		for _, s := range l.Status.Gateway {
			address, _, _ := strings.Cut(s.Address, " ")
			if (s.State == "Alive" || !alive && s.State == "Unknown") && address == at.Addr().String() {
				return true
			}
		}
	}
	return false
}

// Whatever happens, in whatever order: routes follow from what there is, each leads where its mirror may
// lead, and no address is dialed that is dead, or not known while others are alive.
func FuzzRoutes(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{0, 0, 0, 1, 0, 0, 0, 0, 0, 2, 0, 0, 0, 0, 0, 1, 0, 0})
	f.Add([]byte("0123456789abcdefghijklmnopqrstuvwxyz0123456789abcdefghijklmnopqrstuvwxyz"))
	f.Fuzz(func(t *testing.T, data []byte) {
		c := &cluster{services: map[types.NamespacedName]*corev1.Service{}, slices: map[types.NamespacedName]*discoveryv1.EndpointSlice{}, links: map[string]*v1alpha3.Link{}}
		table := newTestTable(t)
		c.play(&dice{data}, table)
		got := table.Routes()
		c.check(t, got)

		// The same objects, told at once, in two orders.
		for _, reversed := range []bool{false, true} {
			other := newTestTable(t)
			services, links := slices.Collect(maps.Values(c.services)), slices.Collect(maps.Values(c.links))
			if reversed {
				slices.Reverse(services)
				for _, l := range links {
					other.SetLink(l)
				}
			}
			other.ReplaceServices(services)
			other.ReplaceSlices(slices.Collect(maps.Values(c.slices)))
			other.ReplaceLinks(links)
			if diff := cmp.Diff(got, other.Routes(), cmp.Comparer(func(a, b netip.AddrPort) bool { return a == b })); diff != "" {
				t.Errorf("another order gives other routes (-want +got):\n%s", diff)
			}
		}
	})
}

// ledTo are the mirrors whose slices lead to a port.
func (c *cluster) ledTo(port uint16) (mirrors []string) {
	for _, slice := range c.slices {
		claims, _ := parsePorts(slice.Annotations[v1alpha3.AnnotationEgressPorts])
		if slices.ContainsFunc(claims, func(cl claim) bool { return cl.egress == port }) {
			mirrors = append(mirrors, slice.Labels[discoveryv1.LabelServiceName])
		}
	}
	return mirrors
}

func (c *cluster) check(t *testing.T, got Routes) {
	t.Helper()
	has := map[Target]uint16{}
	for port, route := range got.ByPort {
		svc := c.services[route.Target.Mirror]
		if svc == nil || svc.UID != route.Target.UID || port < minPort {
			t.Fatalf("port %d leads to %v, which is not there", port, route.Target)
		}
		if other, twice := has[route.Target]; twice {
			t.Errorf("ports %d and %d are of %s", port, other, route.Target)
		}
		has[route.Target] = port
		if !strings.Contains(","+svc.Annotations[v1alpha3.AnnotationEgressPorts]+",", fmt.Sprintf(",%d=%d,", route.Target.Port, port)) {
			t.Errorf("port %d is not what %s says", port, route.Target)
		}
		if owners := c.ledTo(port); len(owners) > 0 && !slices.Contains(owners, route.Target.Mirror.Name) {
			t.Errorf("port %d leads to %s, and slices lead to it for %v", port, route.Target, owners)
		}
		g := route.Gateway
		if (g.Refused == "") != (len(g.Addresses) > 0) || g.Refused == "" && g.Identity == "" {
			t.Errorf("gateway %+v", g)
		}
		service, _, _ := strings.Cut(route.Header.Name, ".")
		if g.Refused == "" && (service+"-"+route.Cluster != svc.Name || !strings.HasPrefix(route.Header.Name, service+"."+svc.Namespace+".svc.")) {
			t.Errorf("mirror %s leads to %q", route.Target, route.Header.Name)
		}
		for _, address := range g.Addresses {
			if !c.dialable(route.Cluster, g.Identity, address) || address.Addr().IsLoopback() || address.Addr().IsLinkLocalUnicast() {
				t.Errorf("%s of %s is dialed", address, route.Cluster)
			}
		}
	}
}

package exports

import (
	"fmt"
	"net/netip"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
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
	services map[key]*corev1.Service
	slices   map[key]*discoveryv1.EndpointSlice
}

const (
	fuzzNamespaces = 2
	fuzzNames      = 3
)

func fuzzName(d *dice) key {
	return key{Namespace: fmt.Sprintf("ns%d", d.roll(fuzzNamespaces)), Name: fmt.Sprintf("svc%d", d.roll(fuzzNames))}
}

func fuzzService(d *dice) *corev1.Service {
	k := fuzzName(d)
	svc := newService(called(k.Namespace, k.Name))
	svc.Labels = pick(d, map[string]string{v1alpha3.LabelExported: "true"}, map[string]string{v1alpha3.LabelExported: "true", v1alpha3.LabelMirroredService: "true"},
		map[string]string{v1alpha3.LabelExported: "remote-discovery"}, nil, map[string]string{v1alpha3.LabelExported: "true", "a": "b"})
	svc.Spec.Type = pick(d, corev1.ServiceTypeClusterIP, corev1.ServiceTypeLoadBalancer, corev1.ServiceTypeExternalName)
	ips := pick(d, []string{"10.96.0.1"}, []string{corev1.ClusterIPNone}, []string{"10.96.0.2", "fd00::2"}, []string{""}, []string{"127.0.0.1"}, []string{"fd00::3"})
	svc.Spec.ClusterIP, svc.Spec.ClusterIPs = ips[0], ips
	svc.Spec.IPFamilies = pick(d, []corev1.IPFamily{v4}, nil, []corev1.IPFamily{v6, v4})
	svc.Spec.Ports = nil
	for range d.roll(4) {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{
			Name: pick(d, "a", "", "b"), Port: pick(d, int32(80), 443, 0, 70000), Protocol: pick(d, corev1.ProtocolTCP, "", corev1.ProtocolUDP),
		})
	}
	if d.roll(4) == 1 {
		beingDeleted()(svc)
	}
	switch d.roll(4) {
	case 1:
		allowing(webClient)(svc)
	case 2:
		allowing(",/,")(svc)
	}
	return svc
}

func fuzzSlice(d *dice) *discoveryv1.EndpointSlice {
	owner := fuzzName(d)
	es := newSlice(newService(called(owner.Namespace, owner.Name)), sliceCalled(fmt.Sprintf("slice%d", d.roll(4))))
	es.AddressType = pick(d, discoveryv1.AddressTypeIPv4, discoveryv1.AddressTypeIPv6, discoveryv1.AddressTypeFQDN)
	for range d.roll(4) {
		with(pick(d, "10.1.0.1", "10.1.0.2", "fd00:1::1", "127.0.0.1", "::1", "169.254.0.1", "fe80::1", "224.0.0.1", "ff02::1", "0.0.0.0", "::", "::ffff:10.1.0.1", "pod.example"),
			pick(d, "", "web-0", "web-1"), ready(pick(d, new(true), nil, new(false))))(es)
	}
	es.Ports = nil
	for range d.roll(3) {
		es.Ports = append(es.Ports, discoveryv1.EndpointPort{
			Name: pick(d, new("a"), nil, new("b")), Port: pick(d, new(int32(8080)), nil, new(int32(0))), Protocol: pick(d, new(corev1.ProtocolTCP), nil, new(corev1.ProtocolUDP)),
		})
	}
	switch d.roll(5) {
	case 1:
		delete(es.Labels, corev1.IsHeadlessService)
	case 2:
		delete(es.Labels, v1alpha3.LabelExported)
	}
	return es
}

// step changes the cluster and tells the table.
func (c *cluster) step(d *dice, table *Table) {
	switch d.roll(6) {
	case 0, 1:
		svc := fuzzService(d)
		c.services[serviceKey(svc)] = svc
		table.SetService(svc)
	case 2:
		k := fuzzName(d)
		delete(c.services, k)
		table.DeleteService(k.Namespace, k.Name)
	case 3, 4:
		es := fuzzSlice(d)
		c.slices[sliceKey(es)] = es
		table.SetSlice(es)
	default:
		var services []*corev1.Service
		var endpoints []*discoveryv1.EndpointSlice
		for k, svc := range c.services {
			if d.roll(3) == 1 {
				delete(c.services, k)
				continue
			}
			services = append(services, svc)
		}
		for k, es := range c.slices {
			if d.roll(3) == 1 {
				delete(c.slices, k)
				continue
			}
			endpoints = append(endpoints, es)
		}
		table.ReplaceServices(services)
		table.ReplaceSlices(endpoints)
	}
}

// justified looks for what makes an answer right, in the cluster and not in the table (GW-2, LESSON-36,
// LESSON-54). It is written from the rules, and knows nothing of how the table keeps them.
func (c *cluster) justified(target wire.Target, port uint16, export Export, address netip.AddrPort) error {
	svc := c.services[key{Namespace: target.Namespace, Name: target.Service}]
	switch {
	case svc == nil:
		return fmt.Errorf("there is no such Service")
	case svc.Labels[v1alpha3.LabelExported] != "true" || svc.Labels[v1alpha3.LabelMirroredService] != "":
		return fmt.Errorf("labels %v are not those of an export", svc.Labels)
	case svc.DeletionTimestamp != nil || svc.Spec.Type == corev1.ServiceTypeExternalName:
		return fmt.Errorf("%v of type %s is not to be reached", svc.DeletionTimestamp, svc.Spec.Type)
	case export.Namespace != svc.Namespace || export.Name != svc.Name || export.Port != int32(port):
		return fmt.Errorf("the export is that of another Service or port")
	case (export.Allowed != nil) != (svc.Annotations[v1alpha3.AnnotationAllowedClients] != ""):
		return fmt.Errorf("the list of clients is not the Service's")
	}
	ip := address.Addr()
	if ip.IsLoopback() || ip.IsUnspecified() || ip.IsMulticast() || ip.IsLinkLocalUnicast() || ip.Is4In6() {
		return fmt.Errorf("%s must never be dialed", ip)
	}
	for _, p := range svc.Spec.Ports {
		if p.Port != int32(port) || p.Protocol == corev1.ProtocolUDP {
			continue
		}
		if svc.Spec.ClusterIP != corev1.ClusterIPNone {
			for _, text := range svc.Spec.ClusterIPs {
				if text == ip.String() && address.Port() == port && target.Hostname == "" {
					return nil
				}
			}
		} else if c.hasEndpoint(svc, target.Hostname, p.Name, address) {
			return nil
		}
	}
	return fmt.Errorf("no port of the Service leads there")
}

func (c *cluster) hasEndpoint(svc *corev1.Service, hostname, portName string, address netip.AddrPort) bool {
	for _, es := range c.slices {
		_, isHeadless := es.Labels[corev1.IsHeadlessService]
		if es.Namespace != svc.Namespace || es.Labels[discoveryv1.LabelServiceName] != svc.Name || !isHeadless || es.Labels[v1alpha3.LabelExported] != "true" {
			continue
		}
		for _, p := range es.Ports {
			tcp := p.Protocol == nil || *p.Protocol == corev1.ProtocolTCP
			if !tcp || p.Port == nil || *p.Port != int32(address.Port()) || value(p.Name) != portName {
				continue
			}
			for _, e := range es.Endpoints {
				if e.Addresses[0] == address.Addr().String() && (e.Conditions.Ready == nil || *e.Conditions.Ready) &&
					(hostname == "" || value(e.Hostname) == hostname) && es.AddressType != discoveryv1.AddressTypeFQDN {
					return true
				}
			}
		}
	}
	return false
}

func value(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

// FuzzResolve changes a cluster at random and asks for everything that could be in it: there is never an
// address that is not of an exported Service, an announcement is never missed, and a table that was fed
// step by step answers as one that was told everything at once.
func FuzzResolve(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0})
	f.Add([]byte{0, 1, 1, 0, 0, 1, 0, 1, 0, 0, 0, 0, 0, 3, 1, 1, 0, 0, 2, 0, 1, 0, 1, 2, 1, 1, 0, 0, 0, 0})
	f.Add([]byte{5, 0, 0, 0, 0, 4, 1, 2, 2, 1, 3, 0, 0, 5, 1, 2, 3, 4, 2, 0, 0})
	f.Fuzz(func(t *testing.T, data []byte) {
		d := &dice{data: data}
		c := &cluster{services: map[key]*corev1.Service{}, slices: map[key]*discoveryv1.EndpointSlice{}}
		var seen changes
		table := newTestTable(t, seen.note)
		before := c.answers(t, table)
		for len(d.data) > 0 {
			c.step(d, table)
			announced, after := seen.take(), c.answers(t, table)
			for question, answer := range after {
				if answer != before[question] && announced[question.namespace+"/"+question.service] == 0 {
					t.Errorf("%+v: the answer went from %q to %q and nobody was told", question, before[question], answer)
				}
			}
			before = after
		}
		fresh := newTestTable(t, nil)
		var services []*corev1.Service
		var endpoints []*discoveryv1.EndpointSlice
		for _, svc := range c.services {
			services = append(services, svc)
		}
		for _, es := range c.slices {
			endpoints = append(endpoints, es)
		}
		fresh.ReplaceSlices(endpoints)
		fresh.ReplaceServices(services)
		for question, answer := range c.answers(t, fresh) {
			if answer != before[question] {
				t.Errorf("%+v: told at once %q, step by step %q", question, answer, before[question])
			}
		}
	})
}

type question struct {
	namespace, service, hostname string
	port                         uint16
}

// answers asks for everything and judges each address.
func (c *cluster) answers(t *testing.T, table *Table) map[question]string {
	t.Helper()
	out := map[question]string{}
	for n := range fuzzNamespaces {
		for s := range fuzzNames {
			for _, hostname := range []string{"", "web-0"} {
				for _, port := range []uint16{0, 80, 443, 8080, 4464} { // 70000 wraps around to 4464
					q := question{fmt.Sprintf("ns%d", n), fmt.Sprintf("svc%d", s), hostname, port}
					target := wire.Target{Namespace: q.namespace, Service: q.service, Hostname: hostname}
					export, err := table.Resolve(target, port)
					out[q] = fmt.Sprintf("%v %v %t %t", ReasonOf(err), export.Addresses, export.Allows(webClient), export.Allows(batClient))
					if err != nil && len(export.Addresses) > 0 || err == nil && len(export.Addresses) == 0 {
						t.Errorf("%+v: addresses %v with error %v", q, export.Addresses, err)
					}
					for _, address := range export.Addresses {
						if err := c.justified(target, port, export, address); err != nil {
							t.Errorf("%+v leads to %s: %v", q, address, err)
						}
					}
				}
			}
		}
	}
	return out
}

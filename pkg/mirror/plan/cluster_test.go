package plan_test

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/validation"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	"k8s.io/utils/ptr"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// cluster stands in for the part of a local API server that plans are applied to: one namespace, one
// mirror's name, server-side apply with one manager that owns what it applied last, and the
// validation that a plan could fail.
type cluster struct {
	namespaceExists bool
	service         *corev1.Service
	slices          map[string]*discoveryv1.EndpointSlice
	// managed is what our manager applied last, by object.
	managedService map[types.UID]*corev1ac.ServiceApplyConfiguration
	managedSlice   map[types.UID]*discoveryv1ac.EndpointSliceApplyConfiguration
	uids           int
	// nameTaken says that a Service of the mirror's name is known of that no cache shows.
	nameTaken bool
	// step is called after every single write, observe with every plan that settle computes.
	step    func()
	observe func(plan.Plan)
}

func newCluster(local plan.Local) *cluster {
	c := &cluster{
		namespaceExists: true,
		service:         local.Service.DeepCopy(),
		slices:          map[string]*discoveryv1.EndpointSlice{},
		managedService:  map[types.UID]*corev1ac.ServiceApplyConfiguration{},
		managedSlice:    map[types.UID]*discoveryv1ac.EndpointSliceApplyConfiguration{},
		step:            func() {},
		observe:         func(plan.Plan) {},
	}
	for _, s := range local.Slices {
		c.slices[s.Name] = s.DeepCopy()
	}
	return c
}

// local is what a cache of objects with the label mirrored-service shows.
func (c *cluster) local() plan.Local {
	l := plan.Local{Foreign: c.nameTaken}
	if c.service != nil {
		if _, ok := c.service.Labels[v1alpha3.LabelMirroredService]; ok {
			l.Service = c.service.DeepCopy()
		} else {
			l.Foreign = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(c.slices)) {
		l.Slices = append(l.Slices, c.slices[name].DeepCopy())
	}
	return l
}

// ready says whether the mirror serves anybody.
func (c *cluster) ready() bool {
	for _, s := range c.slices {
		if c.service != nil && s.Labels[discoveryv1.LabelServiceName] == c.service.Name && plan.RemoteReady([]*discoveryv1.EndpointSlice{s}) {
			return true
		}
	}
	return false
}

func (c *cluster) uid() types.UID {
	c.uids++
	return types.UID(fmt.Sprintf("made-%d", c.uids))
}

// apply carries out a plan in the order that Plan promises.
func (c *cluster) apply(p plan.Plan) error {
	if p.CreateNamespace != "" {
		c.namespaceExists = true
	}
	if p.Adopt != nil {
		c.takeOver(p.Adopt)
	}
	if ref := p.Unselect; ref != nil {
		if c.service == nil || c.service.UID != ref.UID || c.service.Name != ref.Name {
			return fmt.Errorf("removing the selector of Service %s: not there with UID %s", ref.Name, ref.UID)
		}
		c.service = c.service.DeepCopy()
		c.service.Spec.Selector = nil
	}
	if p.DeleteEndpoints != nil {
		c.deleteMirrored()
	}
	if p.Service != nil {
		if err := c.applyService(p.Service); err != nil {
			return err
		}
	}
	for _, s := range p.Slices {
		if err := c.applySlice(s); err != nil {
			return err
		}
	}
	for _, ref := range p.DeleteSlices {
		if have := c.slices[ref.Name]; have == nil || have.UID != ref.UID {
			return fmt.Errorf("deleting slice %s: not there with UID %s", ref.Name, ref.UID)
		}
		delete(c.slices, ref.Name)
		c.step()
	}
	if ref := p.DeleteService; ref != nil {
		if c.service == nil || c.service.UID != ref.UID || c.service.Name != ref.Name {
			return fmt.Errorf("deleting Service %s: not there with UID %s", ref.Name, ref.UID)
		}
		c.deleteService()
		c.step()
	}
	return nil
}

// deleteService takes Endpoints of the same name along, as Kubernetes does, and with them their slices.
func (c *cluster) deleteService() {
	c.service = nil
	c.deleteMirrored()
}

func (c *cluster) deleteMirrored() {
	maps.DeleteFunc(c.slices, func(_ string, s *discoveryv1.EndpointSlice) bool {
		return s.Labels[discoveryv1.LabelManagedBy] == "endpointslicemirroring-controller.k8s.io"
	})
}

// takeOver gives our manager what Linkerd's controller owned, and lets its Endpoints go with the
// slices made of them.
func (c *cluster) takeOver(a *plan.Adoption) {
	if _, ok := c.managedService[a.Mirror.UID]; !ok {
		owned := corev1ac.Service(c.service.Name, c.service.Namespace).
			WithLabels(c.service.Labels).WithAnnotations(c.service.Annotations).WithSpec(corev1ac.ServiceSpec())
		for _, port := range c.service.Spec.Ports {
			owned.Spec.WithPorts(corev1ac.ServicePort().WithName(port.Name).WithProtocol(port.Protocol).WithPort(port.Port))
		}
		c.managedService[a.Mirror.UID] = owned
	}
	if a.RemoveEndpoints {
		c.deleteMirrored()
		c.step()
	}
}

func (c *cluster) applyService(ac *corev1ac.ServiceApplyConfiguration) error {
	if !c.namespaceExists {
		return errors.New("applying Service: no such namespace")
	}
	if err := precondition(c.service != nil, ac.UID, func() types.UID { return c.service.UID }); err != nil {
		return fmt.Errorf("applying Service %s: %w", *ac.Name, err)
	}
	if c.service == nil {
		c.service = &corev1.Service{}
		c.service.Name, c.service.Namespace, c.service.UID = *ac.Name, *ac.Namespace, c.uid()
		c.service.Spec.ClusterIP = "10.96.0.10"
	}
	last := c.managedService[c.service.UID]
	if last == nil {
		last = corev1ac.Service(*ac.Name, *ac.Namespace).WithSpec(corev1ac.ServiceSpec())
	}
	applyMetadata(&c.service.Labels, &c.service.Annotations, last.ObjectMetaApplyConfiguration, ac.ObjectMetaApplyConfiguration)
	applyPorts(&c.service.Spec, last.Spec.Ports, ac.Spec.Ports)
	applyFields(&c.service.Spec, last.Spec, ac.Spec)
	c.managedService[c.service.UID] = ac
	c.step()
	return validateService(c.service)
}

func precondition(exists bool, uid *types.UID, have func() types.UID) error {
	switch {
	case !exists && uid != nil:
		return fmt.Errorf("no object with UID %s", *uid)
	case exists && uid == nil:
		return errors.New("it exists already and is not to be updated")
	case exists && *uid != have():
		return fmt.Errorf("its UID is %s, not %s", have(), *uid)
	default:
		return nil
	}
}

func applyMetadata(labels, annotations *map[string]string, last, ac *metav1ac.ObjectMetaApplyConfiguration) {
	var lastLabels, lastAnnotations map[string]string
	if last != nil {
		lastLabels, lastAnnotations = last.Labels, last.Annotations
	}
	applyMap(labels, lastLabels, ac.Labels)
	applyMap(annotations, lastAnnotations, ac.Annotations)
}

func applyMap(have *map[string]string, last, want map[string]string) {
	if *have == nil {
		*have = map[string]string{}
	}
	for key := range last {
		delete(*have, key)
	}
	maps.Copy(*have, want)
}

type portKey struct {
	number   int32
	protocol corev1.Protocol
}

func applyPorts(spec *corev1.ServiceSpec, last, want []corev1ac.ServicePortApplyConfiguration) {
	key := func(p corev1ac.ServicePortApplyConfiguration) portKey { return portKey{*p.Port, *p.Protocol} }
	wanted, owned := map[portKey]bool{}, map[portKey]corev1ac.ServicePortApplyConfiguration{}
	for _, p := range want {
		wanted[key(p)] = true
	}
	for _, p := range last {
		owned[key(p)] = p
	}
	spec.Ports = slices.DeleteFunc(spec.Ports, func(p corev1.ServicePort) bool {
		k := portKey{p.Port, p.Protocol}
		_, ours := owned[k]
		return ours && !wanted[k]
	})
	for _, p := range want {
		i := slices.IndexFunc(spec.Ports, func(h corev1.ServicePort) bool { return portKey{h.Port, h.Protocol} == key(p) })
		if i < 0 {
			spec.Ports = append(spec.Ports, corev1.ServicePort{Port: *p.Port, Protocol: *p.Protocol})
			i = len(spec.Ports) - 1
		}
		spec.Ports[i].Name = *p.Name
		if p.AppProtocol != nil || owned[key(p)].AppProtocol != nil {
			spec.Ports[i].AppProtocol = p.AppProtocol
		}
	}
}

func applyFields(spec *corev1.ServiceSpec, last, want *corev1ac.ServiceSpecApplyConfiguration) {
	spec.Type, spec.IPFamilyPolicy = *want.Type, want.IPFamilyPolicy
	if last.SessionAffinity != nil {
		spec.SessionAffinity, spec.SessionAffinityConfig = corev1.ServiceAffinityNone, nil
	}
	if want.SessionAffinity != nil {
		spec.SessionAffinity = *want.SessionAffinity
		spec.SessionAffinityConfig = &corev1.SessionAffinityConfig{ClientIP: &corev1.ClientIPConfig{
			TimeoutSeconds: want.SessionAffinityConfig.ClientIP.TimeoutSeconds,
		}}
	}
	if last.TrafficDistribution != nil || want.TrafficDistribution != nil {
		spec.TrafficDistribution = want.TrafficDistribution
	}
	if spec.SessionAffinity == "" {
		spec.SessionAffinity = corev1.ServiceAffinityNone
	}
}

func validateService(svc *corev1.Service) error {
	spec := &svc.Spec
	if len(spec.Ports) == 0 {
		return errors.New("a Service needs ports")
	}
	for _, name := range []string{svc.Namespace, svc.Name} {
		if len(validation.IsDNS1123Label(name)) > 0 {
			return fmt.Errorf("a Service may not be named %q", name)
		}
	}
	if c := spec.SessionAffinityConfig; c != nil {
		if spec.SessionAffinity == corev1.ServiceAffinityNone {
			return errors.New("sessionAffinityConfig without affinity")
		}
		if t := *c.ClientIP.TimeoutSeconds; t < 1 || t > 86400 {
			return fmt.Errorf("affinity timeout %d", t)
		}
	}
	names, keys := map[string]bool{}, map[portKey]bool{}
	for _, p := range spec.Ports {
		key := portKey{p.Port, p.Protocol}
		if names[p.Name] || keys[key] || (p.Name == "" && len(spec.Ports) > 1) {
			return fmt.Errorf("port %+v twice, or without a name", p)
		}
		names[p.Name], keys[key] = true, true
		if (p.Name != "" && len(validation.IsDNS1123Label(p.Name)) > 0) || p.Port < 1 || p.Port > 65535 || !protocolExists(p.Protocol) {
			return fmt.Errorf("port %+v is invalid", p)
		}
	}
	return nil
}

func protocolExists(p corev1.Protocol) bool {
	return p == corev1.ProtocolTCP || p == corev1.ProtocolUDP || p == corev1.ProtocolSCTP
}

func (c *cluster) applySlice(ac *discoveryv1ac.EndpointSliceApplyConfiguration) error {
	have := c.slices[*ac.Name]
	if err := precondition(have != nil, ac.UID, func() types.UID { return have.UID }); err != nil {
		return fmt.Errorf("applying slice %s: %w", *ac.Name, err)
	}
	if have == nil {
		have = &discoveryv1.EndpointSlice{AddressType: *ac.AddressType}
		have.Name, have.Namespace, have.UID = *ac.Name, *ac.Namespace, c.uid()
		c.slices[*ac.Name] = have
	}
	last := c.managedSlice[have.UID]
	if last == nil {
		last = discoveryv1ac.EndpointSlice(*ac.Name, *ac.Namespace)
	}
	applyMetadata(&have.Labels, &have.Annotations, last.ObjectMetaApplyConfiguration, ac.ObjectMetaApplyConfiguration)
	c.managedSlice[have.UID] = ac
	have.Ports, have.Endpoints = nil, nil
	for _, p := range ac.Ports {
		have.Ports = append(have.Ports, discoveryv1.EndpointPort{
			Name: new(ptr.Deref(p.Name, "")), Protocol: new(ptr.Deref(p.Protocol, corev1.ProtocolTCP)),
			Port: p.Port, AppProtocol: p.AppProtocol,
		})
	}
	for _, e := range ac.Endpoints {
		endpoint := discoveryv1.Endpoint{Addresses: slices.Clone(e.Addresses), Hostname: e.Hostname, Zone: e.Zone, NodeName: e.NodeName}
		if s := e.Conditions; s != nil {
			endpoint.Conditions = discoveryv1.EndpointConditions{Ready: s.Ready, Serving: s.Serving, Terminating: s.Terminating}
		}
		have.Endpoints = append(have.Endpoints, endpoint)
	}
	c.step()
	return validateSlice(have, *ac.AddressType)
}

func validateSlice(s *discoveryv1.EndpointSlice, applied discoveryv1.AddressType) error {
	if s.AddressType != applied {
		return fmt.Errorf("slice %s: addressType is immutable", s.Name)
	}
	if len(s.Endpoints) > plan.MaxEndpointsPerSlice {
		return fmt.Errorf("slice %s has %d endpoints", s.Name, len(s.Endpoints))
	}
	if len(s.Ports) > 20000 {
		return fmt.Errorf("slice %s has %d ports", s.Name, len(s.Ports))
	}
	names := map[string]bool{}
	for _, p := range s.Ports {
		if names[*p.Name] || !protocolExists(*p.Protocol) {
			return fmt.Errorf("slice %s: port name %q twice, or of an unknown protocol", s.Name, *p.Name)
		}
		names[*p.Name] = true
	}
	for _, e := range s.Endpoints {
		if len(e.Addresses) == 0 || len(e.Addresses) > 100 {
			return fmt.Errorf("slice %s: endpoint with %d addresses", s.Name, len(e.Addresses))
		}
		for _, a := range e.Addresses {
			if strings.Contains(a, ":") != (s.AddressType == discoveryv1.AddressTypeIPv6) {
				return fmt.Errorf("slice %s: address %s in a slice of %s", s.Name, a, s.AddressType)
			}
		}
	}
	return nil
}

// settle computes and applies until nothing is left to do.
func (c *cluster) settle(in plan.Input, rounds int) error {
	for range rounds + 1 {
		in.Local = c.local()
		p := plan.Compute(in)
		c.observe(p)
		if p.Empty() {
			return nil
		}
		if err := c.apply(p); err != nil {
			return err
		}
		if c.namespaceExists && in.LocalNamespace == plan.NamespaceMissing {
			in.LocalNamespace = plan.NamespaceActive
		}
	}
	return fmt.Errorf("not settled after %d rounds: %s", rounds, describe(plan.Compute(in)))
}

func describe(p plan.Plan) string {
	var b strings.Builder
	fmt.Fprintf(&b, "namespace %q, service %t, %d slices, adopt %v, delete %v %v", p.CreateNamespace, p.Service != nil,
		len(p.Slices), p.Adopt, p.DeleteSlices, p.DeleteService)
	return b.String()
}

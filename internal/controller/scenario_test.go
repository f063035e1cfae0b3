package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	eventsv1 "k8s.io/api/events/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// The usual gateway of these tests.
const (
	gatewayIP      = "203.0.113.10"
	gatewayAddress = gatewayIP + ":4191"
)

// throughGateway is the Link's side of the usual gateway.
func throughGateway() rig.LinkOption { return rig.WithGateway(gatewayIP, 4143, 4191) }

// sharedPair is a pair on the shared clusters. Whatever its test does, neither account may ask for
// something that it is not granted (LESSON-34).
func sharedPair(t *testing.T) *pair {
	t.Helper()
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	p.neverForbidden(t)
	return p
}

// neverForbidden fails the test when an account of the pair was refused anything from here on. It is
// for tests in which nothing but access rules could answer 401 or 403.
func (p *pair) neverForbidden(t *testing.T) {
	t.Helper()
	source, target := rig.Mark(t, p.source), rig.Mark(t, p.target)
	forbidden := func(r rig.Request) bool { return r.Code == 401 || r.Code == 403 }
	t.Cleanup(func() {
		rig.ExpectRequests(t, p.source, source, nil, rig.By(p.controller.Name), forbidden)
		rig.ExpectRequests(t, p.target, target, nil, rig.By(p.remote.Name), forbidden)
	})
}

// byUs keeps the requests of the controller in its own cluster that are no watches.
func (p *pair) byUs() rig.Filter {
	return func(r rig.Request) bool { return r.User == p.controller.Name && r.Verb != "watch" }
}

// toTarget keeps the requests of the controller in the target that are no watches.
func (p *pair) toTarget() rig.Filter {
	return func(r rig.Request) bool { return r.User == p.remote.Name && r.Verb != "watch" }
}

// slice is the EndpointSlice that export made for a service.
func (p *pair) slice(service string) *discoveryv1.EndpointSlice {
	return sliceNamed(p.apps, service+"-1")
}

// service names a Service in the namespace of the apps.
func (p *pair) service(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: p.apps, Name: name}}
}

// remoteReady makes the endpoints of an exported service ready or not.
func (p *pair) remoteReady(t *testing.T, service string, ready bool) {
	t.Helper()
	rig.Update(t, p.target, p.slice(service), func(slice *discoveryv1.EndpointSlice) {
		for i := range slice.Endpoints {
			slice.Endpoints[i].Conditions.Ready = &ready
		}
	})
}

// someReady wants a ready endpoint in a state of a mirror's slices.
func someReady(m rig.Moment) error {
	for _, object := range m.Objects {
		if ready(object.(*discoveryv1.EndpointSlice)) {
			return nil
		}
	}
	return errors.New("no endpoint is ready")
}

// noneReady wants no ready endpoint in a state of a mirror's slices.
func noneReady(m rig.Moment) error {
	for _, object := range m.Objects {
		if ready(object.(*discoveryv1.EndpointSlice)) {
			return fmt.Errorf("slice %s has a ready endpoint", object.GetName())
		}
	}
	return nil
}

func ready(slice *discoveryv1.EndpointSlice) bool {
	return slices.ContainsFunc(slice.Endpoints, func(e discoveryv1.Endpoint) bool {
		return e.Conditions.Ready == nil || *e.Conditions.Ready
	})
}

// alwaysStill wants one and the same Service in every state.
func alwaysStill(before *corev1.Service) func(rig.Moment) error {
	return func(m rig.Moment) error {
		if len(m.Objects) != 1 {
			return fmt.Errorf("there are %d Services, want 1", len(m.Objects))
		}
		return rig.IsStill(before)(m.Objects[0].(*corev1.Service))
	}
}

// watchSlices records the slices of a mirror.
func (p *pair) watchSlices(t *testing.T, mirror string) *rig.History {
	t.Helper()
	return rig.Watch(t, p.source, &discoveryv1.EndpointSlice{}, rig.SlicesOf(p.apps, mirror))
}

// watchService records a mirror.
func (p *pair) watchService(t *testing.T, mirror string) *rig.History {
	t.Helper()
	return rig.Watch(t, p.source, &corev1.Service{}, rig.In(p.apps).And(rig.Named(mirror)))
}

// expectEvent waits for an event about an object, of a reason, in the local cluster (LESSON-41).
func (p *pair) expectEvent(t *testing.T, kind, namespace, name, reason, note string) {
	t.Helper()
	rig.ExpectList(t, p.source, &eventsv1.Event{}, rig.In(namespace), func(events []*eventsv1.Event) error {
		for _, e := range events {
			if e.Regarding.Kind == kind && e.Regarding.Name == name && e.Reason == reason && strings.Contains(e.Note, note) {
				return nil
			}
		}
		return fmt.Errorf("no event %s about %s %s that says %q", reason, kind, name, note)
	})
}

// expectLinkEvent waits for an event about the Link and one of its services.
func (p *pair) expectLinkEvent(t *testing.T, link client.ObjectKey, reason, service string) {
	t.Helper()
	p.expectEvent(t, "Link", link.Namespace, link.Name, reason, service)
}

// expectCounts waits for the counts in a Link's status.
func (p *pair) expectCounts(t *testing.T, link client.ObjectKey, want v1alpha3.ServiceCounts) *v1alpha3.Link {
	t.Helper()
	return rig.Expect(t, p.source, linkNamed(link), func(l *v1alpha3.Link) error {
		if diff := cmp.Diff(&want, l.Status.Services); diff != "" {
			return fmt.Errorf("counts (-want +got):\n%s", diff)
		}
		return nil
	})
}

// expectEntry waits for a service's entry in the Link's status.
func (p *pair) expectEntry(t *testing.T, link client.ObjectKey, service string, status metav1.ConditionStatus, reason string) {
	t.Helper()
	rig.Expect(t, p.source, linkNamed(link), func(l *v1alpha3.Link) error { return hasEntry(l, service, status, reason) })
}

func hasEntry(l *v1alpha3.Link, service string, status metav1.ConditionStatus, reason string) error {
	for _, entry := range l.Status.MirrorServices {
		if entry.RemoteRef.Name != service || len(entry.Conditions) != 1 {
			continue
		}
		if c := entry.Conditions[0]; c.Status != status || c.Reason != reason {
			return fmt.Errorf("entry of %s is %s (%s: %s), want %s (%s)", service, c.Status, c.Reason, c.Message, status, reason)
		}
		return nil
	}
	return fmt.Errorf("the Link's status has no entry for %s", service)
}

func linkNamed(key client.ObjectKey) *v1alpha3.Link {
	return &v1alpha3.Link{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
}

// expectProbed waits for so many more probes of a gateway: time passes, and ends.
func expectProbed(t *testing.T, g *rig.Gateway, more int) {
	t.Helper()
	want := g.Requests() + more
	rig.ExpectSoon(t, func(context.Context) error {
		if got := g.Requests(); got < want {
			return fmt.Errorf("the gateway was probed %d times, want %d", got, want)
		}
		return nil
	})
}

// expectGauge waits until the series of a metric that carry some labels add up to a value.
func expectGauge(t *testing.T, run *process, name string, labels prometheus.Labels, want float64) {
	t.Helper()
	rig.ExpectSoon(t, func(context.Context) error {
		families, err := run.registry.Gather()
		if err != nil {
			return err
		}
		got := 0.0
		for _, family := range families {
			for _, m := range family.GetMetric() {
				matches := 0
				for _, pair := range m.GetLabel() {
					if value, ok := labels[pair.GetName()]; ok && value == pair.GetValue() {
						matches++
					}
				}
				if family.GetName() == name && matches == len(labels) {
					got += m.GetGauge().GetValue() + m.GetCounter().GetValue()
				}
			}
		}
		if got != want {
			return fmt.Errorf("%s%v is %v, want %v", name, labels, got, want)
		}
		return nil
	})
}

// expectWithin waits for a Service with a time limit of its own.
func expectWithin(t *testing.T, c *rig.Cluster, limit time.Duration, namespace, name string) *corev1.Service {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	found, err := rig.Await(ctx, c, &corev1.Service{}, rig.In(namespace).And(rig.Named(name)), func(objects []client.Object) error {
		if len(objects) == 0 {
			return fmt.Errorf("Service %s/%s does not exist", namespace, name)
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s, within %s: %v", c.Name(), limit, err)
	}
	return found[0].(*corev1.Service)
}

// sweep removes what is left in a namespace: without a namespace controller it would stay, and be
// exported to the next test on the same clusters.
func sweep(t *testing.T, namespace string, clusters ...*rig.Cluster) {
	t.Helper()
	for _, c := range clusters {
		if c.PID() == 0 {
			continue
		}
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		for _, kind := range []client.Object{&corev1.Service{}, &discoveryv1.EndpointSlice{}} {
			if err := c.Client().DeleteAllOf(ctx, kind, client.InNamespace(namespace)); err != nil {
				t.Logf("sweep %s of %s: %v", namespace, c.Name(), err)
			}
		}
		cancel()
	}
}

// hasAnnotation wants an annotation on every slice.
func hasAnnotation(list []*discoveryv1.EndpointSlice, key, value string) error {
	for _, slice := range list {
		if got := slice.Annotations[key]; got != value {
			return fmt.Errorf("annotation %s of slice %s is %q, want %q", key, slice.Name, got, value)
		}
	}
	return nil
}

// expectAnyEvent waits for an event about a service: on its mirror or, from before there was one, on the Link.
func (p *pair) expectAnyEvent(t *testing.T, reason, note, service string) {
	t.Helper()
	rig.ExpectList(t, p.source, &eventsv1.Event{}, nil, func(events []*eventsv1.Event) error {
		for _, e := range events {
			about := e.Namespace == p.apps && e.Regarding.Name == service+"-east" ||
				e.Namespace == p.links && strings.HasPrefix(e.Note, p.apps+"/"+service+": ")
			if about && e.Reason == reason && strings.Contains(e.Note, note) {
				return nil
			}
		}
		return fmt.Errorf("no event %s about %s that says %q", reason, service, note)
	})
}

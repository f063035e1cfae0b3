package egress

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// What the egress may do, and no more (LESSON-34, POL-7): the first two in the whole cluster, the third in
// the namespace of the Links.
var (
	sliceRule  = rbacv1.PolicyRule{APIGroups: []string{discoveryv1.GroupName}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}}
	mirrorRule = rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"list", "watch"}}
	linkRule   = rbacv1.PolicyRule{APIGroups: []string{v1alpha3.GroupVersion.Group}, Resources: []string{"links"}, Verbs: []string{"list", "watch"}}
)

// following is an egress that follows a real API server, with an account that may do little.
type following struct {
	*world
	cluster *rig.Cluster
	user    rig.User
	// shop is where mirrors are, links where the Links are.
	shop, links string
}

func watching(t *testing.T, c *rig.Cluster) *following {
	t.Helper()
	f := &following{
		world:   &world{gateways: newGateways(t), records: &records{}, lines: &lines{}, ended: make(chan struct{})},
		cluster: c, shop: c.Namespace(t), links: c.Namespace(t),
	}
	t.Cleanup(func() { // the ports are the same whenever a test is run, and a port claimed twice is nobody's
		if c.PID() == 0 { // it was killed
			return
		}
		if err := c.Client().DeleteAllOf(context.Background(), &corev1.Service{}, client.InNamespace(f.shop)); err != nil {
			t.Error(err)
		}
	})
	var err error
	if f.user, err = c.ServiceAccount(t.Context(), f.links, "linkspan-egress"); err != nil {
		t.Fatal(err)
	}
	config, err := c.RESTConfig(f.user)
	if err != nil {
		t.Fatal(err)
	}
	opts := Options{Namespace: f.links, BindAddress: "127.0.0.1"}
	opts.Default()
	f.Server, err = New(f.lines.logger(), opts, config, f.gateways, f.records, NewMetrics(prometheus.NewRegistry()))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	f.stop = cancel
	go func() {
		defer close(f.ended)
		if err := f.Run(ctx); err != nil {
			t.Errorf("Run: %v", err)
		}
	}()
	t.Cleanup(func() { f.end(t) })
	return f
}

func (f *following) grant(t *testing.T) {
	t.Helper()
	if err := f.cluster.Grant(t.Context(), f.user, mirrorRule, sliceRule); err != nil {
		t.Fatal(err)
	}
	f.grantLinks(t)
}

func (f *following) grantLinks(t *testing.T) {
	t.Helper()
	rig.Create(t, f.cluster,
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: f.links, Name: "egress"}, Rules: []rbacv1.PolicyRule{linkRule}},
		&rbacv1.RoleBinding{
			ObjectMeta: metav1.ObjectMeta{Namespace: f.links, Name: "egress"},
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "egress"},
			Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: f.user.Name}},
		})
}

// mirror is what the service mirror would make of a Service of namespace shop.
func (f *following) mirror(service string, egressPort int) *corev1.Service {
	return rig.Service(f.shop, service+"-east",
		rig.WithLabel(v1alpha3.LabelMirroredService, "true"), rig.WithLabel(v1alpha3.LabelClusterName, "east"),
		rig.WithAnnotation(v1alpha3.AnnotationRemoteServiceFQName, service+"."+f.shop+".svc.cluster.local"),
		rig.WithAnnotation(v1alpha3.AnnotationEgressPorts, fmt.Sprintf("80=%d", egressPort)))
}

func (f *following) createLink(t *testing.T) *v1alpha3.Link {
	t.Helper()
	l := rig.Link(f.links, "east", rig.WithGateway("192.0.2.10", 4143, 4191))
	rig.Create(t, f.cluster, l)
	f.judge(t, l, "Alive")
	return l
}

// judge writes a verdict as the service mirror does.
func (f *following) judge(t *testing.T, l *v1alpha3.Link, state string) {
	t.Helper()
	l.Status.Gateway = []v1alpha3.GatewayAddressStatus{{Address: "192.0.2.10 (gw.east.example)", State: state}}
	if err := f.cluster.Client().Status().Update(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// expectServed waits until clients of a port get their answers.
func (f *following) expectServed(t *testing.T, port int) {
	t.Helper()
	soon(t, func() error {
		conn, err := f.connect(port)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		return exchanged(conn, "hello", "192.0.2.10")
	})
}

// GW-2, MIR-11: ports and verdicts follow the API server.
func TestFollowsTheAPIServer(t *testing.T) {
	f := watching(t, rig.Shared(t, 1)[0])
	f.grant(t)
	web := f.mirror("web", 20101)
	rig.Create(t, f.cluster, web, rig.Service(f.shop, "no-mirror"))
	soon(t, func() error { return f.turnedAway(20101) })
	l := f.createLink(t)
	f.expectServed(t, 20101)

	t.Log("the gateway dies, and comes back")
	f.judge(t, l, "Dead")
	soon(t, func() error { return f.turnedAway(20101) })
	f.judge(t, l, "Alive")
	f.expectServed(t, 20101)

	t.Log("another mirror, another port")
	rig.Create(t, f.cluster, f.mirror("api", 20102))
	f.expectServed(t, 20102)
	web = rig.Update(t, f.cluster, web, func(svc *corev1.Service) { svc.Annotations[v1alpha3.AnnotationEgressPorts] = "80=20103" })
	f.expectServed(t, 20103)
	f.expectClosed(t, 20101)

	t.Log("somebody claims the port, as the mirror of another namespace, and then the slices come")
	evil := f.cluster.Namespace(t)
	thief := f.mirror("web", 20103)
	thief.Namespace, thief.Annotations[v1alpha3.AnnotationRemoteServiceFQName] = evil, "web."+evil+".svc.cluster.local"
	rig.Create(t, f.cluster, thief)
	f.expectClosed(t, 20103)
	proof := leading(web, 1)
	proof.AddressType, proof.CreationTimestamp = discoveryv1.AddressTypeIPv4, metav1.Time{}
	rig.Create(t, f.cluster, proof)
	f.expectServed(t, 20103)
	if route := f.table.Routes().ByPort[20103]; route.Target.Mirror.Namespace != f.shop {
		t.Errorf("the port leads to %s", route.Target.Mirror)
	}
	rig.Delete(t, f.cluster, thief)
	rig.Delete(t, f.cluster, proof)

	t.Log("the mirror is no mirror any more, and is again")
	rig.Update(t, f.cluster, web, func(svc *corev1.Service) { delete(svc.Labels, v1alpha3.LabelMirroredService) })
	f.expectClosed(t, 20103)
	rig.Update(t, f.cluster, web, func(svc *corev1.Service) { svc.Labels[v1alpha3.LabelMirroredService] = "true" })
	f.expectServed(t, 20103)

	t.Log("deleted with a stream open")
	client := f.client(t, 20103)
	exchange(t, client, "one", "192.0.2.10")
	rig.Delete(t, f.cluster, web)
	expectReset(t, client)
	f.expectClosed(t, 20103)

	t.Log("the Link goes, and one of another namespace does not count")
	rig.Delete(t, f.cluster, l)
	elsewhere := rig.Link(f.shop, "east", rig.WithGateway("192.0.2.10", 4143, 4191))
	rig.Create(t, f.cluster, elsewhere)
	f.judge(t, elsewhere, "Alive")
	soon(t, func() error { return f.turnedAway(20102) })
}

// LESSON-34: the egress reads mirrors, their slices, and the Links of one namespace, and nothing else, which the audit
// log proves, and needs no permission beyond that.
func TestAsksForNothingButMirrorsAndLinks(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	from := rig.Mark(t, c)
	f := watching(t, c)
	f.grant(t)
	f.createLink(t)
	rig.Create(t, c, f.mirror("web", 20111))
	f.expectServed(t, 20111)
	f.end(t)

	requests, err := c.Requests(from, rig.By(f.user.Name))
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]bool{}
	for _, r := range requests {
		parsed, err := url.Parse(r.URI)
		if err != nil {
			t.Fatal(err)
		}
		query := parsed.Query()
		if query.Get("resourceVersion") == "0" {
			t.Errorf("%s may be answered from a cache that lies behind", r.URI)
		}
		asked[fmt.Sprintf("%s %s?%s", r.Verb, parsed.Path, query.Get("labelSelector"))] = true
	}
	links := "/apis/multicluster.linkerd.io/v1alpha3/namespaces/" + f.links + "/links?"
	mirrors := "/api/v1/services?mirror.linkerd.io/mirrored-service=true"
	proofs := "/apis/discovery.k8s.io/v1/endpointslices?endpointslice.kubernetes.io/managed-by=mirror.linkspan.io"
	want := map[string]bool{}
	for _, what := range []string{links, mirrors, proofs} {
		want["list "+what], want["watch "+what] = true, true
	}
	if diff := cmp.Diff(want, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// LESSON-41: what is missing is told once, in words, and counted; granted, it is noticed without a restart.
func TestSaysOnceWhatItMayNotDo(t *testing.T) {
	f := watching(t, rig.Shared(t, 1)[0])
	if err := f.cluster.Grant(t.Context(), f.user, mirrorRule, sliceRule); err != nil {
		t.Fatal(err)
	}
	failures := f.metrics.failures.WithLabelValues("links", "list")
	soon(t, func() error {
		if n := testutil.ToFloat64(failures); n < 3 {
			return fmt.Errorf("%v failures are counted, want a few", n)
		}
		return nil
	})
	if err := f.Ready(); err == nil {
		t.Error("ready without Links")
	}
	told := func() (n int) {
		f.lines.mu.Lock()
		defer f.lines.mu.Unlock()
		for _, line := range f.lines.all {
			if strings.Contains(line, "links.multicluster.linkerd.io is forbidden") {
				n++
			}
		}
		return n
	}
	if n := told(); n != 1 {
		t.Errorf("%d lines tell what is forbidden, want 1", n)
	}
	f.grantLinks(t)
	soon(t, f.Ready)
}

// While the API server is away traffic goes on; when it comes back, what happened meanwhile counts.
func TestOutlivesTheAPIServer(t *testing.T) {
	c := rig.New(t, rig.ClusterOptions{Name: "away"})[0]
	f := watching(t, c)
	f.grant(t)
	web := f.mirror("web", 20121)
	rig.Create(t, c, web)
	f.createLink(t)
	f.expectServed(t, 20121)
	client := f.client(t, 20121)
	exchange(t, client, "one", "192.0.2.10")

	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	soon(t, func() error {
		if f.lines.count("which stay as they were last seen") == 0 {
			return errors.New("the outage has not been told")
		}
		return nil
	})
	if err := f.Ready(); err != nil {
		t.Errorf("not ready: %v", err)
	}
	exchange(t, client, "two", "192.0.2.10")
	f.expectServed(t, 20121)

	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	rig.Delete(t, c, web)
	expectReset(t, client)
	f.expectClosed(t, 20121)

	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	f.end(t)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s to stop without an API server", took)
	}
}

// What is wrong with options or configuration comes back at once: no retry mends it.
func TestNewRefusesWhatCannotWork(t *testing.T) {
	var opts Options
	opts.Default()
	log := (&lines{}).logger()
	broken := &rest.Config{Host: "https://203.0.113.1", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("no PEM")}}
	if _, err := New(log, opts, broken, nil, nil, NewMetrics(prometheus.NewRegistry())); err == nil || !strings.Contains(err.Error(), "follow mirrors and Links") {
		t.Errorf("error = %v, want one that names what was being done", err)
	}
	if _, err := New(log, Options{}, &rest.Config{}, nil, nil, NewMetrics(prometheus.NewRegistry())); err == nil || !strings.Contains(err.Error(), "--namespace") {
		t.Errorf("error = %v, want one that names the option", err)
	}
}

package exports

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/wire"
	"github.com/linkspan/linkspan/test/rig"
)

// rules is what the ingress may do in its cluster, and no more (LESSON-34, POL-7).
var rules = []rbacv1.PolicyRule{
	{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"list", "watch"}},
	{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"list", "watch"}},
}

// view is a Table that follows a cluster, with an account that may do only what rules say.
type view struct {
	*Table
	cluster   *rig.Cluster
	namespace string
	user      rig.User
	seen      changes

	stop  context.CancelFunc
	ended chan error

	mu  sync.Mutex
	log []string
}

func watching(t *testing.T, c *rig.Cluster, granted ...rbacv1.PolicyRule) *view {
	t.Helper()
	v := &view{cluster: c, namespace: c.Namespace(t), ended: make(chan error, 1)}
	user, err := c.ServiceAccount(t.Context(), v.namespace, "linkspan-gateway")
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Grant(t.Context(), user, granted...); err != nil {
		t.Fatal(err)
	}
	v.user = user
	config, err := c.RESTConfig(user)
	if err != nil {
		t.Fatal(err)
	}
	v.run(t, config)
	return v
}

func (v *view) run(t *testing.T, config *rest.Config) {
	t.Helper()
	var opts Options
	opts.Default()
	table, err := NewTable(v.logger(), opts, newTestMetrics(), v.seen.note)
	if err != nil {
		t.Fatal(err)
	}
	v.Table = table
	ctx, cancel := context.WithCancel(context.Background())
	v.stop = cancel
	go func() { v.ended <- table.Watch(ctx, config) }()
	t.Cleanup(func() { v.end(t) })
}

// end stops following and waits, not for long: nobody waits for an API server when the process ends.
func (v *view) end(t *testing.T) {
	t.Helper()
	v.stop()
	if v.ended == nil {
		return
	}
	select {
	case err := <-v.ended:
		if err != nil {
			t.Errorf("Watch: %v", err)
		}
	case <-time.After(rig.DefaultPatience):
		t.Error("Watch has not returned")
	}
	v.ended = nil
}

func (v *view) logger() logr.Logger {
	return funcr.New(func(_, args string) {
		v.mu.Lock()
		defer v.mu.Unlock()
		v.log = append(v.log, args)
	}, funcr.Options{Verbosity: 0})
}

func (v *view) lines(containing string) int {
	v.mu.Lock()
	defer v.mu.Unlock()
	n := 0
	for _, line := range v.log {
		if strings.Contains(line, containing) {
			n++
		}
	}
	return n
}

func (v *view) expectSynced(t *testing.T) {
	t.Helper()
	rig.ExpectSoon(t, func(context.Context) error {
		if !v.Synced() {
			return errors.New("the table is not synced")
		}
		return nil
	})
}

func (v *view) target(service string) wire.Target {
	return wire.Target{Service: service, Namespace: v.namespace}
}

// expect waits until a target leads to the wanted addresses.
func (v *view) expect(t *testing.T, target wire.Target, port uint16, want ...string) {
	t.Helper()
	rig.ExpectSoon(t, func(context.Context) error {
		export, err := v.Resolve(target, port)
		if err != nil {
			return err
		}
		if got := texts(export.Addresses); !slices.Equal(got, want) {
			return fmt.Errorf("%s leads to %v, want %v", target, got, want)
		}
		return nil
	})
}

// expectClosed waits until a target leads nowhere, for a reason.
func (v *view) expectClosed(t *testing.T, target wire.Target, port uint16, reason Reason) {
	t.Helper()
	rig.ExpectSoon(t, func(context.Context) error {
		if _, err := v.Resolve(target, port); ReasonOf(err) != reason {
			return fmt.Errorf("error is %w, want reason %s", err, reason)
		}
		return nil
	})
}

// GW-2, MIR-1: what is exported, and what is not any more, follows the API server.
func TestFollowsServices(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	v := watching(t, c, rules...)
	v.expectSynced(t)

	web := rig.Service(v.namespace, "web", rig.Exported(v1alpha3.ExportedGateway))
	rig.Create(t, c, web, rig.Service(v.namespace, "private"))
	ip := web.Spec.ClusterIP
	v.expect(t, v.target("web"), 80, ip+":80")
	v.expectClosed(t, v.target("private"), 80, ReasonNotExported)

	t.Log("another port")
	rig.Update(t, c, web, func(svc *corev1.Service) { svc.Spec.Ports = []corev1.ServicePort{rig.Port("http", 8080)} })
	v.expect(t, v.target("web"), 8080, ip+":8080")
	v.expectClosed(t, v.target("web"), 80, ReasonNoSuchPort)

	t.Log("narrowed, and opened again")
	rig.Update(t, c, web, func(svc *corev1.Service) {
		svc.Annotations = map[string]string{v1alpha3.AnnotationAllowedClients: webClient}
	})
	v.expectAllowed(t, v.target("web"), 8080, webClient)
	rig.Update(t, c, web, func(svc *corev1.Service) { delete(svc.Annotations, v1alpha3.AnnotationAllowedClients) })
	v.expectAllowed(t, v.target("web"), 8080, webClient, batClient)

	t.Log("exported past the gateway, and back")
	label := func(value string) {
		rig.Update(t, c, web, func(svc *corev1.Service) { svc.Labels[v1alpha3.LabelExported] = value })
	}
	label(v1alpha3.ExportedRemoteDiscovery)
	v.expectClosed(t, v.target("web"), 8080, ReasonNotExported)
	label(v1alpha3.ExportedGateway)
	v.expect(t, v.target("web"), 8080, ip+":8080")

	t.Log("not exported, and back")
	rig.Update(t, c, web, func(svc *corev1.Service) { delete(svc.Labels, v1alpha3.LabelExported) })
	v.expectClosed(t, v.target("web"), 8080, ReasonNotExported)
	rig.Update(t, c, web, rig.Exported(v1alpha3.ExportedGateway))
	v.expect(t, v.target("web"), 8080, ip+":8080")

	t.Log("LESSON-54: turned into a mirror")
	rig.Update(t, c, web, rig.WithLabel(v1alpha3.LabelMirroredService, "true"))
	v.expectClosed(t, v.target("web"), 8080, ReasonNotExported)
	rig.Update(t, c, web, func(svc *corev1.Service) { delete(svc.Labels, v1alpha3.LabelMirroredService) })
	v.expect(t, v.target("web"), 8080, ip+":8080")

	t.Log("held by a finalizer while it is deleted")
	rig.Update(t, c, web, func(svc *corev1.Service) { svc.Finalizers = []string{"users.example/hold"} })
	rig.Delete(t, c, web)
	v.expectClosed(t, v.target("web"), 8080, ReasonNotExported)
	rig.Update(t, c, web, func(svc *corev1.Service) { svc.Finalizers = nil })
	rig.ExpectNoService(t, c, v.namespace, "web")

	t.Log("created again")
	again := rig.Service(v.namespace, "web", rig.Exported(v1alpha3.ExportedGateway))
	rig.Create(t, c, again)
	v.expect(t, v.target("web"), 80, again.Spec.ClusterIP+":80")
	v.seen.take()

	t.Log("a status changes and nobody is told, but of the next Service")
	rig.Update(t, c, again, func(svc *corev1.Service) { svc.Annotations = map[string]string{"users.example/note": "1"} })
	rig.Create(t, c, rig.Service(v.namespace, "last", rig.Exported(v1alpha3.ExportedGateway)))
	rig.ExpectSoon(t, func(context.Context) error {
		_, err := v.Resolve(v.target("last"), 80)
		return err
	})
	if diff := cmp.Diff(map[string]int{v.namespace + "/last": 1}, v.seen.take()); diff != "" {
		t.Errorf("announced (-want +got):\n%s", diff)
	}
}

func (v *view) expectAllowed(t *testing.T, target wire.Target, port uint16, identities ...string) {
	t.Helper()
	rig.ExpectSoon(t, func(context.Context) error {
		export, err := v.Resolve(target, port)
		if err != nil {
			return err
		}
		for _, identity := range []string{webClient, batClient} {
			if got := export.Allows(identity); got != slices.Contains(identities, identity) {
				return fmt.Errorf("%s allowed: %t", identity, got)
			}
		}
		return nil
	})
}

// The labels that slices are found by are the EndpointSlice controller's own work, so here it runs.
func TestFollowsPodsOfHeadlessServices(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	v := watching(t, c, rules...)
	if err := c.StartControllers(t.Context(), rig.EndpointSliceController, rig.ServiceAccountController); err != nil {
		t.Fatal(err)
	}
	v.expectSynced(t)
	rig.Expect(t, c, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: v.namespace, Name: "default"}})

	node := &corev1.Node{ObjectMeta: metav1.ObjectMeta{Name: v.namespace}}
	rig.Create(t, c, node)
	t.Cleanup(func() { _ = c.Client().Delete(context.Background(), node) })
	db := rig.Service(v.namespace, "db", rig.Exported(v1alpha3.ExportedGateway), rig.Headless(), rig.WithSelector("app", "db"))
	rig.Create(t, c, db)
	v.expectClosed(t, v.target("db"), 80, ReasonNoEndpoints)
	v.createPod(t, "db-0", "203.0.113.10")
	v.createPod(t, "db-1", "203.0.113.11")
	v.expect(t, v.target("db"), 80, "203.0.113.10:80", "203.0.113.11:80")
	first, second := v.target("db"), v.target("db")
	first.Hostname, second.Hostname = "db-0", "db-1"
	v.expect(t, first, 80, "203.0.113.10:80")
	v.expect(t, second, 80, "203.0.113.11:80")

	t.Log("a pod that is not ready")
	v.setReady(t, "db-1", corev1.ConditionFalse)
	v.expectClosed(t, second, 80, ReasonNoEndpoints)
	v.expect(t, v.target("db"), 80, "203.0.113.10:80")
	v.setReady(t, "db-1", corev1.ConditionTrue)
	v.expect(t, second, 80, "203.0.113.11:80")

	t.Log("not exported, and back")
	rig.Update(t, c, db, func(svc *corev1.Service) { delete(svc.Labels, v1alpha3.LabelExported) })
	v.expectClosed(t, first, 80, ReasonNotExported)
	rig.Update(t, c, db, rig.Exported(v1alpha3.ExportedGateway))
	v.expect(t, first, 80, "203.0.113.10:80")

	t.Log("a pod that goes")
	rig.Delete(t, c, &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: v.namespace, Name: "db-0"}})
	v.expectClosed(t, first, 80, ReasonNoEndpoints)
}

// createPod makes a ready pod of the headless Service db.
func (v *view) createPod(t *testing.T, name, ip string) {
	t.Helper()
	pod := &corev1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: v.namespace, Name: name, Labels: map[string]string{"app": "db"}},
		Spec: corev1.PodSpec{
			NodeName: v.namespace, // the controller leaves out pods on no node
			Hostname: name, Subdomain: "db", TerminationGracePeriodSeconds: new(int64(0)),
			Containers: []corev1.Container{{Name: "db", Image: "example.invalid/db"}},
		},
	}
	rig.Create(t, v.cluster, pod)
	pod.Status = corev1.PodStatus{Phase: corev1.PodRunning, PodIP: ip, PodIPs: []corev1.PodIP{{IP: ip}}}
	v.writeStatus(t, pod, corev1.ConditionTrue)
}

func (v *view) setReady(t *testing.T, name string, is corev1.ConditionStatus) {
	t.Helper()
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: v.namespace, Name: name}}
	v.writeStatus(t, rig.Expect(t, v.cluster, pod), is)
}

func (v *view) writeStatus(t *testing.T, pod *corev1.Pod, is corev1.ConditionStatus) {
	t.Helper()
	pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodReady, Status: is, LastTransitionTime: metav1.Now()}}
	if err := v.cluster.Client().Status().Update(t.Context(), pod); err != nil {
		t.Fatal(err)
	}
}

// LESSON-34, LESSON-36: the ingress reads what is exported and nothing else, which the audit log proves,
// and needs no permission beyond that.
func TestAsksForNothingButExports(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	from := rig.Mark(t, c)
	v := watching(t, c, rules...)
	v.expectSynced(t)
	web := rig.Service(v.namespace, "web", rig.Exported(v1alpha3.ExportedGateway))
	db := rig.Service(v.namespace, "db", rig.Exported(v1alpha3.ExportedGateway), rig.Headless())
	byHand := rig.EndpointSlice(db, []string{"203.0.113.20"}, func(es *discoveryv1.EndpointSlice) { es.Labels[corev1.IsHeadlessService] = "" })
	rig.Create(t, c, web, db, byHand)
	v.expect(t, v.target("web"), 80, web.Spec.ClusterIP+":80")
	v.expect(t, v.target("db"), 80, "203.0.113.20:80")
	v.end(t)

	requests, err := c.Requests(from, rig.By(v.user.Name))
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"services":       "mirror.linkerd.io/exported=true",
		"endpointslices": "mirror.linkerd.io/exported=true,service.kubernetes.io/headless",
	}
	asked := map[string]int{}
	for _, r := range requests {
		parsed, err := url.Parse(r.URI)
		if err != nil {
			t.Fatal(err)
		}
		if got := parsed.Query().Get("labelSelector"); want[r.Resource] == "" || got != want[r.Resource] || r.Code >= 300 {
			t.Errorf("%s was answered %d, selector %q, want %q", r.URI, r.Code, got, want[r.Resource])
		}
		if parsed.Query().Get("resourceVersion") == "0" {
			t.Errorf("%s may be answered from a cache that lies behind", r.URI)
		}
		asked[r.String()]++
	}
	if diff := cmp.Diff(map[string]int{
		"list services": 1, "watch services": 1,
		"list endpointslices.discovery.k8s.io": 1, "watch endpointslices.discovery.k8s.io": 1,
	}, asked); diff != "" {
		t.Errorf("requests (-want +got):\n%s", diff)
	}
}

// LESSON-41: what is missing is told once, in words, and counted; granted, it is noticed without a restart.
func TestSaysOnceWhatItMayNotDo(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	v := watching(t, c, rules[0])
	failures := v.metrics.failures.WithLabelValues("endpointslices", "list")
	rig.ExpectSoon(t, func(context.Context) error {
		if n := testutil.ToFloat64(failures); n < 3 {
			return fmt.Errorf("%v failures are counted, want a few", n)
		}
		return nil
	})
	if v.Synced() {
		t.Error("the table is synced without EndpointSlices")
	}
	v.expectClosed(t, v.target("web"), 80, ReasonNotSynced)
	if n := v.lines("forbidden"); n != 1 {
		t.Errorf("%d lines tell what is forbidden, want 1: %q", n, v.log)
	}
	if err := c.Grant(t.Context(), v.user, rules...); err != nil {
		t.Fatal(err)
	}
	v.expectSynced(t)
	if n := v.lines("again"); n != 1 {
		t.Errorf("%d lines tell that it works again, want 1: %q", n, v.log)
	}
}

// While the API server is away traffic goes on; when it comes back, what happened meanwhile counts.
func TestOutlivesTheAPIServer(t *testing.T) {
	c := rig.New(t, rig.ClusterOptions{Name: "away", SkipCRDs: true})[0]
	v := watching(t, c, rules...)
	web := rig.Service(v.namespace, "web", rig.Exported(v1alpha3.ExportedGateway))
	rig.Create(t, c, web)
	v.expect(t, v.target("web"), 80, web.Spec.ClusterIP+":80")

	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSoon(t, func(context.Context) error {
		if n := v.lines("which stay as they were last seen"); n == 0 {
			return errors.New("the outage has not been told")
		}
		return nil
	})
	if !v.Synced() {
		t.Error("the table is no longer synced")
	}
	v.expect(t, v.target("web"), 80, web.Spec.ClusterIP+":80")

	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	rig.Update(t, c, web, func(svc *corev1.Service) { delete(svc.Labels, v1alpha3.LabelExported) })
	v.expectClosed(t, v.target("web"), 80, ReasonNotExported)

	told := v.lines("which stay as they were last seen")
	if err := c.Kill(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSoon(t, func(context.Context) error {
		if n := v.lines("which stay as they were last seen"); n == told {
			return errors.New("the second outage has not been told")
		}
		return nil
	})
	began := time.Now()
	v.end(t)
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("it took %s to stop without an API server", took)
	}
}

// What is wrong with the configuration comes back at once: no retry mends it.
func TestWatchRefusesABadConfiguration(t *testing.T) {
	table := newUnsyncedTable(t, nil)
	err := table.Watch(t.Context(), &rest.Config{Host: "https://203.0.113.1", TLSClientConfig: rest.TLSClientConfig{CAData: []byte("no PEM")}})
	if err == nil || !strings.Contains(err.Error(), "watch what is exported") {
		t.Errorf("error = %v, want one that names what was being done", err)
	}
}

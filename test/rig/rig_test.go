package rig_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

func TestMain(m *testing.M) {
	if os.Getenv(envProgram) != "" {
		os.Exit(program())
	}
	os.Exit(rig.Main(m))
}

// shortly is how long a call may take that is expected to hang.
const shortly = time.Second

func TestTwoClustersOnOneEtcdAreSeparate(t *testing.T) {
	clusters := rig.Shared(t, 2)
	ns := rig.NamespaceIn(t, clusters...)
	rig.Create(t, clusters[0], rig.Service(ns, "web"))
	rig.ExpectService(t, clusters[0], ns, "web", rig.HasPorts(rig.Port("http", 80)))
	rig.ExpectNoService(t, clusters[1], ns, "web")

	var uids [2]string
	for i, c := range clusters {
		system := rig.Expect(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}})
		uids[i] = string(system.UID)
	}
	if uids[0] == uids[1] {
		t.Errorf("both clusters have kube-system UID %s, want two", uids[0])
	}
}

// The reason for the network namespace: slices accept the rig's addresses and refuse loopback ones.
func TestEndpointSliceAddresses(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	ns := c.Namespace(t)
	web := rig.Service(ns, "web")
	rig.Create(t, c, web,
		rig.EndpointSlice(web, []string{"203.0.113.7", "203.0.113.8"}),
		rig.EndpointSlice(web, []string{"2001:db8::7"}, rig.SliceNamed("web-6"), rig.NotReady()))
	rig.ExpectSlices(t, c, ns, "web", rig.ReadyAddresses("203.0.113.8", "203.0.113.7"))
	rig.ExpectSlices(t, c, ns, "web", rig.UnreadyAddresses("2001:db8::7"))

	for _, address := range []string{"127.0.0.1", "169.254.1.1", "::1"} {
		err := c.Client().Create(t.Context(), rig.EndpointSlice(web, []string{address}, rig.SliceNamed("refused")))
		if !apierrors.IsInvalid(err) {
			t.Errorf("a slice with %s: got error %v, want Invalid", address, err)
		}
	}
}

// Audit counts are what "zero writes" and "two writes per mirror" rest on, so they must be exact.
func TestAuditCountsAreExact(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	ns := c.Namespace(t)
	user := rig.User{Name: "counted-" + ns, Groups: []string{"system:masters"}}
	asUser, err := c.ClientFor(user)
	if err != nil {
		t.Fatal(err)
	}
	from := rig.Mark(t, c)
	const services = 20
	for i := range services {
		if err := asUser.Create(t.Context(), rig.Service(ns, fmt.Sprintf("s%d", i))); err != nil {
			t.Fatal(err)
		}
	}
	if err := asUser.Create(t.Context(), rig.Service(ns, "s0")); !apierrors.IsAlreadyExists(err) {
		t.Fatalf("create a Service twice: %v, want AlreadyExists", err)
	}
	watcher, err := asUser.Watch(t.Context(), &corev1.ServiceList{}, client.InNamespace(ns))
	if err != nil {
		t.Fatal(err)
	}
	open := map[string]int{"create services": services + 1, "watch services": 1}
	rig.ExpectRequests(t, c, from, open, rig.By(user.Name))
	watcher.Stop()
	rig.ExpectRequests(t, c, from, map[string]int{"create services": 1}, rig.By(user.Name), rig.Refused())
	rig.ExpectRequests(t, c, from, map[string]int{"create services": services + 1}, rig.By(user.Name), rig.NotWatches())
	rig.ExpectNothingWritten(t, c, func() {
		if err := asUser.List(t.Context(), &corev1.ServiceList{}, client.InNamespace(ns)); err != nil {
			t.Error(err)
		}
	}, user.Name)
}

func TestFreezeAndResume(t *testing.T) {
	c := rig.New(t, rig.ClusterOptions{SkipCRDs: true})[0]
	if err := c.Freeze(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), shortly)
	defer cancel()
	if err := c.Client().List(ctx, &corev1.NamespaceList{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a frozen API server: got error %v, want no answer", err)
	}
	if err := c.Resume(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectList(t, c, &corev1.Namespace{}, nil, notEmpty)
}

func TestStopStartAndWipe(t *testing.T) {
	c := rig.New(t, rig.ClusterOptions{OwnEtcd: true, SkipCRDs: true, ServiceCIDRs: []string{"10.1.0.0/16", "fd00:1::/108"}})[0]
	ns := c.NamespaceNamed(t, "kept")
	dual := rig.Service(ns, "dual", func(service *corev1.Service) {
		service.Spec.IPFamilyPolicy = new(corev1.IPFamilyPolicyRequireDualStack)
	})
	rig.Create(t, c, dual)
	if got := len(dual.Spec.ClusterIPs); got != 2 {
		t.Errorf("a dual-stack Service has %d cluster IPs, want 2", got)
	}
	if err := c.Stop(); err != nil {
		t.Fatal(err)
	}
	if err := c.Client().List(t.Context(), &corev1.NamespaceList{}); err == nil {
		t.Error("a stopped API server answers")
	}
	if err := c.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	rig.ExpectService(t, c, ns, "dual", rig.IsStill(dual))
	before := rig.Expect(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}})
	if err := c.WipeData(t.Context()); err != nil {
		t.Fatal(err)
	}
	rig.ExpectNoService(t, c, ns, "dual")
	after := rig.Expect(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "kube-system"}})
	if before.UID == after.UID {
		t.Error("kube-system has the same UID after its data was wiped")
	}
}

func TestControllers(t *testing.T) {
	c := rig.New(t, rig.ClusterOptions{SkipCRDs: true, Controllers: []string{rig.EndpointSliceController, rig.NamespaceController}})[0]
	ns := c.NamespaceNamed(t, "pods")
	web := rig.Service(ns, "web", rig.WithSelector("app", "web"), rig.Exported(v1alpha3.ExportedGateway))
	rig.Create(t, c, web)
	rig.ExpectSlices(t, c, ns, "web", func(slices []*discoveryv1.EndpointSlice) error {
		if len(slices) != 1 || slices[0].Labels[v1alpha3.LabelExported] != v1alpha3.ExportedGateway {
			return fmt.Errorf("got %d slices, want one with the labels of its Service", len(slices))
		}
		return nil
	})
	rig.Delete(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
	rig.ExpectGone(t, c, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}})
}

// LESSON-5 needs tokens that stop working.
func TestRevokeToken(t *testing.T) {
	static := rig.User{Name: "static", Groups: []string{"system:masters"}, Token: "static-secret"}
	c := rig.New(t, rig.ClusterOptions{SkipCRDs: true, Users: []rig.User{static}})[0]
	account, err := c.ServiceAccount(t.Context(), "default", "reader")
	if err != nil {
		t.Fatal(err)
	}
	rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"list"}}
	if err := c.Grant(t.Context(), account, rule); err != nil {
		t.Fatal(err)
	}
	for _, user := range []rig.User{account, static} {
		asUser, err := c.ClientFor(user)
		if err != nil {
			t.Fatal(err)
		}
		rig.ExpectSoon(t, func(ctx context.Context) error { return asUser.List(ctx, &corev1.ServiceList{}) })
		if err := c.RevokeToken(t.Context(), user.Token); err != nil {
			t.Fatal(err)
		}
		if err := asUser.List(t.Context(), &corev1.ServiceList{}); !apierrors.IsUnauthorized(err) {
			t.Errorf("%s after its token was revoked: got error %v, want Unauthorized", user.Name, err)
		}
	}
}

// The create-only apply of the design: resourceVersion "1" creates what is missing and never
// touches what exists; a wrong UID changes nothing (LESSON-8).
func TestCreateOnlyApply(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	ns := c.Namespace(t)
	intent := func(name string) *corev1ac.ServiceApplyConfiguration {
		return corev1ac.Service(name, ns).WithLabels(map[string]string{"ours": "yes"}).
			WithSpec(corev1ac.ServiceSpec().WithPorts(corev1ac.ServicePort().WithName("http").WithPort(81)))
	}
	apply := func(intent *corev1ac.ServiceApplyConfiguration) error {
		return c.Client().Apply(t.Context(), intent, client.FieldOwner("linkspan"), client.ForceOwnership)
	}
	if err := apply(intent("missing").WithResourceVersion("1")); err != nil {
		t.Errorf("create-only apply of a missing Service: %v", err)
	}
	rig.ExpectService(t, c, ns, "missing", rig.HasLabel("ours", "yes"))

	foreign := rig.Service(ns, "foreign", rig.WithLabel("theirs", "yes"))
	rig.Create(t, c, foreign)
	if err := apply(intent("foreign").WithResourceVersion("1")); !apierrors.IsConflict(err) {
		t.Errorf("create-only apply over a foreign Service: got error %v, want Conflict", err)
	}
	if err := apply(intent("foreign").WithUID("00000000-0000-0000-0000-000000000000")); err == nil {
		t.Error("apply with the wrong UID succeeds, want a refusal")
	}
	now := rig.ExpectService(t, c, ns, "foreign")
	foreign.TypeMeta, now.TypeMeta = metav1.TypeMeta{}, metav1.TypeMeta{}
	if diff := cmp.Diff(foreign, now); diff != "" {
		t.Errorf("the foreign Service changed (-before +after):\n%s", diff)
	}
}

func TestTableOfLinks(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	ns := c.Namespace(t)
	rig.Create(t, c, rig.Link(ns, "east", rig.WithGateway("203.0.113.9", 4143, 4191)))
	table, err := c.TableOf(t.Context(), v1alpha3.GroupVersion.WithResource("links"), ns)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) != 2 {
		t.Fatalf("got %d lines, want a heading and one Link:\n%s", len(lines), table)
	}
	heading := strings.Fields(lines[0])
	if diff := cmp.Diff([]string{"NAME", "CLUSTER", "READY", "REASON", "SERVICES", "GATEWAY", "AGE"}, heading); diff != "" {
		t.Errorf("columns (-want +got):\n%s", diff)
	}
	if row := strings.Fields(lines[1]); row[0] != "east" || row[1] != "east" {
		t.Errorf("the row starts with %v, want the Link's name and its cluster", row[:2])
	}
}

// Never-assertions (MIR-12, LESSON-3) rest on the history having every state.
func TestHistoryHasEveryState(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	ns := c.Namespace(t)
	web := rig.Service(ns, "web")
	rig.Create(t, c, web)
	history := rig.Watch(t, c, &corev1.Service{}, rig.In(ns))
	const states = 30
	for i := range states {
		rig.Update(t, c, web, func(service *corev1.Service) {
			service.Annotations = map[string]string{"state": fmt.Sprint(i)}
		})
	}
	stateOf := func(moment rig.Moment) string { return moment.Objects[0].GetAnnotations()["state"] }
	history.Eventually(t, func(moment rig.Moment) error {
		if got := stateOf(moment); got != fmt.Sprint(states-1) {
			return fmt.Errorf("state %q, want %d", got, states-1)
		}
		return nil
	})
	history.Unbroken(t)
	var seen []string
	for _, moment := range history.Moments() {
		seen = append(seen, stateOf(moment))
	}
	want := []string{""}
	for i := range states {
		want = append(want, fmt.Sprint(i))
	}
	if diff := cmp.Diff(want, seen); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

func notEmpty(namespaces []*corev1.Namespace) error {
	if len(namespaces) == 0 {
		return errors.New("no namespaces")
	}
	return nil
}

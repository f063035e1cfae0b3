package remote

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// linkCache is the cache as far as the Controller sees it: Links, and one Secret or an error in its place.
type linkCache struct {
	client.Client
	links      map[string]*v1alpha3.Link
	secrets    error
	kubeconfig []byte
}

// Get implements client.Client.
func (c *linkCache) Get(_ context.Context, key client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	if secret, ok := obj.(*corev1.Secret); ok {
		secret.Data = map[string][]byte{v1alpha3.SecretKeyKubeconfig: c.kubeconfig}
		return c.secrets
	}
	l, ok := c.links[key.Name]
	if !ok {
		return apierrors.NewNotFound(schema.GroupResource{Resource: "links"}, key.Name)
	}
	l.DeepCopyInto(obj.(*v1alpha3.Link))
	return nil
}

// List implements client.Client.
func (c *linkCache) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	for _, l := range c.links {
		out := list.(*v1alpha3.LinkList)
		out.Items = append(out.Items, *l.DeepCopy())
	}
	return nil
}

// noGateways implements Gateways.
type noGateways struct{}

// Set implements Gateways.
func (noGateways) Set(link.Link) {}

// Remove implements Gateways.
func (noGateways) Remove(link.Name) {}

// controlled is a Controller that is not the leader, and what it tells.
type controlled struct {
	*Controller
	cache     *linkCache
	changed   []link.Name
	forgotten []link.Link
}

func newControlled(objects ...*v1alpha3.Link) *controlled {
	c := &controlled{cache: &linkCache{
		links: map[string]*v1alpha3.Link{}, secrets: apierrors.NewNotFound(schema.GroupResource{Resource: "secrets"}, "s"),
	}}
	for _, l := range objects {
		c.cache.links[l.Name] = l
	}
	metrics := NewMetrics(prometheus.NewRegistry())
	c.Controller = &Controller{
		Client: c.cache, Links: NewLinks(), Gateways: noGateways{}, Metrics: metrics,
		Connections: NewConnections(logr.Discard(), "test", metrics, nil, Events{}),
		Changed:     func(n link.Name) { c.changed = append(c.changed, n) },
		Status:      func(link.Name) {},
		Forget:      func(l link.Link) { c.forgotten = append(c.forgotten, l) },
		ResumeHold:  func(link.Name, time.Time) {},
	}
	return c
}

func (c *controlled) reconcile(t *testing.T, name string) error {
	t.Helper()
	_, err := c.Reconcile(t.Context(), reconcile.Request{NamespacedName: types.NamespacedName{Name: name}})
	return err
}

// refusal is the reason and text for which a Link is not used as it stands.
func (c *controlled) refusal(name string) (reason, text string) {
	if e, _ := c.Links.entry(link.Name(name)); e.refusal != nil {
		return e.refusal.Reason, e.refusal.Error()
	}
	return "", ""
}

func linkTo(name, cluster string, created int64) *v1alpha3.Link {
	return &v1alpha3.Link{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(name), CreationTimestamp: metav1.Unix(created, 0)},
		Spec:       v1alpha3.LinkSpec{TargetClusterName: cluster, ClusterCredentialsSecret: "s"},
	}
}

// The mirrors of a cluster carry its name: a Link that is renamed keeps the old one, says how to mend
// it, and neither loses its place nor takes that of another.
func TestClusterNameCannotBeChanged(t *testing.T) {
	t.Parallel()
	older, west := linkTo("older", "east", 100), linkTo("west", "west", 200)
	younger := linkTo("younger", "east", 300)
	c := newControlled(older, west)
	reconcileAll := func() {
		t.Helper()
		for name := range c.cache.links {
			if err := c.reconcile(t, name); err != nil {
				t.Fatal(err)
			}
		}
	}
	cluster := func(name link.Name) string {
		l, _ := c.Links.Get(name)
		return l.Cluster
	}
	reconcileAll()
	older.Spec.TargetClusterName = "west"
	c.cache.links["younger"] = younger
	reconcileAll()
	reason, text := c.refusal("older")
	if reason != v1alpha3.ReasonInvalidLink || !strings.Contains(text, "spec.targetClusterName") || !strings.Contains(text, "make a new Link instead") {
		t.Errorf("the renamed Link is refused with %q (%s)", reason, text)
	}
	if cluster("older") != "east" || cluster("west") != "west" {
		t.Errorf("the clusters are %q and %q, want them as before", cluster("older"), cluster("west"))
	}
	if reason, _ := c.refusal("west"); reason != "" {
		t.Errorf("the Link that has the new name is refused: %s", reason)
	}
	if reason, _ := c.refusal("younger"); reason != v1alpha3.ReasonDuplicateCluster {
		t.Errorf("a younger Link with the old name: %q, want %s", reason, v1alpha3.ReasonDuplicateCluster)
	}
	woken := map[string]bool{}
	for _, r := range c.rivals(t.Context(), older) {
		woken[r.Name] = true
	}
	if diff := cmp.Diff(map[string]bool{"older": true, "younger": true}, woken); diff != "" {
		t.Errorf("looked at when the renamed Link changes (-want +got):\n%s", diff)
	}

	now := metav1.Now()
	older.DeletionTimestamp = &now
	reconcileAll()
	if l, _ := c.Links.Get("older"); !l.Deleting || l.Cluster != "east" {
		t.Errorf("a renamed Link that goes is %+v, want the mirrors of east to go", l)
	}

	older.Spec.TargetClusterName, older.DeletionTimestamp = "north", nil
	older.UID = "another Link of that name"
	reconcileAll()
	if reason, _ := c.refusal("older"); reason != "" || cluster("older") != "north" {
		t.Errorf("a new Link of the same name is refused: %q", reason)
	}
}

// What was recorded is told, whatever comes after that: the next pass finds nothing changed.
func TestChangedIsToldInSpiteOfAnError(t *testing.T) {
	t.Parallel()
	c := newControlled(linkTo("east", "east", 100))
	c.cache.secrets = errors.New("the API server is away")
	for range 2 {
		if err := c.reconcile(t, "east"); err == nil {
			t.Fatal("no error, want that of the Secret")
		}
	}
	if diff := cmp.Diff([]link.Name{"east"}, c.changed); diff != "" {
		t.Errorf("told of changes (-want +got):\n%s", diff)
	}
}

// LESSON-59: what is remembered under a Link's name goes with it, also when it was never accepted.
func TestForgetNamesTheLink(t *testing.T) {
	t.Parallel()
	c := newControlled(linkTo("east", "east", 100), linkTo("second", "east", 200))
	for _, name := range []string{"east", "second"} {
		if err := c.reconcile(t, name); err != nil {
			t.Fatal(err)
		}
	}
	clear(c.cache.links)
	for _, name := range []string{"second", "east", "never-heard-of"} {
		if err := c.reconcile(t, name); err != nil {
			t.Fatal(err)
		}
	}
	var got []string
	for _, l := range c.forgotten {
		got = append(got, string(l.Name)+" of "+l.Cluster)
	}
	if diff := cmp.Diff([]string{"second of ", "east of east"}, got); diff != "" {
		t.Errorf("forgotten (-want +got):\n%s", diff)
	}
}

// LESSON-27: a Link that is deleted waits for what its plan deletes, and for nothing else.
func TestOwn(t *testing.T) {
	t.Parallel()
	l := link.Link{Cluster: "east"}
	meta := func(name string, changes ...func(*metav1.ObjectMeta)) metav1.ObjectMeta {
		m := metav1.ObjectMeta{
			Namespace: "shop", Name: name,
			Labels: map[string]string{
				v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: "east",
				discoveryv1.LabelServiceName: "web-east", discoveryv1.LabelManagedBy: v1alpha3.SliceManagedBy,
			},
			Annotations: map[string]string{v1alpha3.AnnotationRemoteServiceFQName: "web.shop.svc.cluster.local"},
		}
		for _, change := range changes {
			change(&m)
		}
		return m
	}
	annotated := func(value string) func(*metav1.ObjectMeta) {
		return func(m *metav1.ObjectMeta) { m.Annotations[v1alpha3.AnnotationRemoteServiceFQName] = value }
	}
	labelled := func(key, value string) func(*metav1.ObjectMeta) {
		return func(m *metav1.ObjectMeta) { m.Labels[key] = value }
	}
	for name, c := range map[string]struct {
		meta metav1.ObjectMeta
		ip   string
		want bool
	}{
		"a mirror":                          {meta: meta("web-east"), want: true},
		"a copy of it under another name":   {meta: meta("web-copy")},
		"a headless mirror":                 {meta: meta("web-east"), ip: corev1.ClusterIPNone},
		"a mirror of one pod":               {meta: meta("web-east", labelled(v1alpha3.LabelHeadlessMirrorName, "web-east"))},
		"it does not say of what":           {meta: meta("web-east", annotated(""))},
		"it says nothing that makes sense":  {meta: meta("web-east", annotated("web"))},
		"the service of another namespace":  {meta: meta("web-east", annotated("web.bank.svc.cluster.local"))},
		"the service of a corrected domain": {meta: meta("web-east", annotated("web.shop.svc.example.org")), want: true},
	} {
		if got := ownServices([]corev1.Service{{ObjectMeta: c.meta, Spec: corev1.ServiceSpec{ClusterIP: c.ip}}}, l); got != c.want {
			t.Errorf("service, %s: own is %v, want %v", name, got, c.want)
		}
	}
	for name, c := range map[string]struct {
		meta metav1.ObjectMeta
		want bool
	}{
		"a slice of a mirror":     {meta: meta("web-east-1"), want: true},
		"of somebody else":        {meta: meta("web-east-1", labelled(discoveryv1.LabelManagedBy, "somebody"))},
		"of another service":      {meta: meta("web-copy-1", labelled(discoveryv1.LabelServiceName, "web-copy"))},
		"it does not say of what": {meta: meta("web-east-1", annotated(""))},
		"of another namespace":    {meta: meta("web-east-1", annotated("web.bank.svc.cluster.local"))},
	} {
		if got := ownSlices([]discoveryv1.EndpointSlice{{ObjectMeta: c.meta}}, l); got != c.want {
			t.Errorf("slice, %s: own is %v, want %v", name, got, c.want)
		}
	}
}

// LESSON-59: a Secret that stays bad is one error, however often its Link is looked at; another bad one is another.
func TestCredentialErrorsCountChanges(t *testing.T) {
	t.Parallel()
	c := newControlled(linkTo("east", "east", 100))
	expect := func(what, reason string, want float64) {
		t.Helper()
		for range 3 {
			if err := c.reconcile(t, "east"); err != nil {
				t.Fatal(err)
			}
		}
		if got := testutil.ToFloat64(c.Metrics.credentialErrors.WithLabelValues("east", reason)); got != want {
			t.Errorf("%s: %v errors with reason %s are counted, want %v", what, got, reason, want)
		}
	}
	use := func(kubeconfig string) { c.cache.kubeconfig, c.cache.secrets = []byte(kubeconfig), nil }
	expect("no Secret", v1alpha3.ReasonCredentialsMissing, 1)
	use("{")
	expect("a bad one", v1alpha3.ReasonCredentialsInvalid, 1)
	use("[")
	expect("another bad one", v1alpha3.ReasonCredentialsInvalid, 2)
	good := `{current-context: c, contexts: [{name: c, context: {cluster: c, user: u}}],
clusters: [{name: c, cluster: {server: "https://192.0.2.1"}}], users: [{name: u, user: {token: t}}]}`
	use(good)
	expect("a good one", v1alpha3.ReasonCredentialsInvalid, 2)
	if e, _ := c.Links.entry("east"); e.credentials.failure != nil {
		t.Fatalf("a kubeconfig that should be good is refused: %v", e.credentials.failure)
	}
	use("[")
	expect("a bad one once more", v1alpha3.ReasonCredentialsInvalid, 3)
}

// LESSON-55: a slip in who dials the gateway moves no traffic; a new Link of the same name has nothing to keep.
func TestClientsAreKeptOfTheSameLinkOnly(t *testing.T) {
	t.Parallel()
	east := linkTo("east", "east", 100)
	c := newControlled(east)
	for _, step := range []struct {
		uid   types.UID
		value string
		want  link.Clients
	}{
		{"first", "egress", link.ClientsEgress},
		{"first", "meshed", link.ClientsEgress},
		{"first", "", link.ClientsUnset},
		{"first", "meshed", link.ClientsUnset},
		{"first", "mesh", link.ClientsMesh},
		{"second", "meshed", link.ClientsUnset},
	} {
		east.UID, east.Annotations = step.uid, map[string]string{v1alpha3.AnnotationGatewayClients: step.value}
		if err := c.reconcile(t, "east"); err != nil {
			t.Fatal(err)
		}
		if l, ok := c.Links.Get("east"); !ok || l.GatewayClients != step.want {
			t.Errorf("Link %s with %q has clients %q (in use: %v), want %q", step.uid, step.value, l.GatewayClients, ok, step.want)
		}
	}
}

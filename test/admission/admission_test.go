package admission

import (
	"errors"
	"os"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const golden = "../../charts/test/testdata/ha.golden.yaml"

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// held is a cluster with the policy, a namespace in it, and the controller's account, whom RBAC allows everything.
func held(t *testing.T) (c *rig.Cluster, namespace string, account client.Client) {
	t.Helper()
	c = rig.Shared(t, 1)[0]
	Install(t, c, golden, TheChartsOwn())
	account, err := c.ClientFor(Almighty(TheChartsOwn().Example))
	if err != nil {
		t.Fatal(err)
	}
	return c, c.Namespace(t), account
}

func mark(value string) rig.ServiceOption { return rig.WithLabel(v1alpha3.LabelMirroredService, value) }

func slice(namespace, name string, labels map[string]string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels},
		AddressType: discoveryv1.AddressTypeIPv4,
	}
}

func merge(patch string) client.Patch {
	return client.RawPatch(types.MergePatchType, []byte(patch))
}

// LESSON-35: a token of the controller is of no use for what is not a mirror, whatever RBAC says.
func TestForeignObjectsAreOutOfReach(t *testing.T) {
	c, ns, account := held(t)
	marked := map[string]string{v1alpha3.LabelMirroredService: "true"}
	foreign, mirror := rig.Service(ns, "foreign"), rig.Service(ns, "web-east", mark("true"))
	almost := rig.Service(ns, "almost", mark("false"))
	foreignSlice, ownSlice := slice(ns, "foreign-1", nil), slice(ns, "web-east-1", marked)
	foreignEndpoints := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "foreign"}} //nolint:staticcheck // Linkerd's mirrors have them, and others do
	rig.Create(t, c, foreign, mirror, almost, foreignSlice, ownSlice, foreignEndpoints)
	// It stays: without the namespace controller a namespace that is deleted can never be made again.
	own := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	if err := c.Client().Create(t.Context(), own); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
	system, atHome := rig.Service("kube-public", "there-east", mark("true")), slice(metav1.NamespaceDefault, "web-east-1", marked)
	rig.Create(t, c, system, atHome)
	defer rig.Delete(t, c, system, atHome)
	const adopt = `{"metadata":{"labels":{"mirror.linkerd.io/mirrored-service":"true"}}}`
	const disown = `{"metadata":{"labels":{"mirror.linkerd.io/mirrored-service":null}}}`

	for name, c := range map[string]struct {
		try  func() error
		want string
	}{
		"creating a Service": {func() error { return account.Create(t.Context(), rig.Service(ns, "new")) }, "without the label mirror.linkerd.io/mirrored-service=true"},
		"changing a Service": {func() error {
			return account.Patch(t.Context(), foreign.DeepCopy(), merge(`{"spec":{"selector":{"app":"mine"}}}`))
		}, "so it is somebody else's"},
		"adopting a Service by the label":   {func() error { return account.Patch(t.Context(), foreign.DeepCopy(), merge(adopt)) }, "so it is somebody else's"},
		"adopting one with the label false": {func() error { return account.Patch(t.Context(), almost.DeepCopy(), merge(adopt)) }, "so it is somebody else's"},
		"taking the label off a mirror":     {func() error { return account.Patch(t.Context(), mirror.DeepCopy(), merge(disown)) }, "without the label"},
		"deleting a Service":                {func() error { return account.Delete(t.Context(), foreign.DeepCopy()) }, "so it is somebody else's"},
		"deleting all Services":             {func() error { return account.DeleteAllOf(t.Context(), &corev1.Service{}, client.InNamespace(ns)) }, "so it is somebody else's"},
		"a Service that is a name elsewhere": {func() error {
			s := rig.Service(ns, "alias", mark("true"))
			s.Spec = corev1.ServiceSpec{Type: corev1.ServiceTypeExternalName, ExternalName: "example.org"}
			return account.Create(t.Context(), s)
		}, "type ClusterIP alone"},
		"a mirror that becomes a load balancer": {func() error {
			return account.Patch(t.Context(), mirror.DeepCopy(), merge(`{"spec":{"type":"LoadBalancer"}}`))
		}, "type ClusterIP alone"},
		"a mirror that takes over addresses": {func() error {
			return account.Patch(t.Context(), mirror.DeepCopy(), merge(`{"spec":{"externalIPs":["192.0.2.1"]}}`))
		}, "no Service external addresses"},
		"creating a slice":              {func() error { return account.Create(t.Context(), slice(ns, "new", nil)) }, "without the label"},
		"adopting a slice by the label": {func() error { return account.Patch(t.Context(), foreignSlice.DeepCopy(), merge(adopt)) }, "so it is somebody else's"},
		"deleting a slice":              {func() error { return account.Delete(t.Context(), foreignSlice.DeepCopy()) }, "so it is somebody else's"},
		"taking the label off a slice":  {func() error { return account.Patch(t.Context(), ownSlice.DeepCopy(), merge(disown)) }, "without the label"},
		"deleting endpoints":            {func() error { return account.Delete(t.Context(), foreignEndpoints.DeepCopy()) }, "so it is somebody else's"},
		// As the controller itself decides (MIR-5).
		"a mirror among what runs the cluster": {func() error {
			return account.Create(t.Context(), rig.Service(metav1.NamespaceSystem, "web-east", mark("true")))
		}, "no mirrors in namespace kube-system unless controller.allowNamespaces"},
		"a slice there": {func() error {
			return account.Create(t.Context(), slice(metav1.NamespaceSystem, "kube-dns-east", map[string]string{v1alpha3.LabelMirroredService: "true", discoveryv1.LabelServiceName: "kube-dns"}))
		}, "no mirrors in namespace kube-system"},
		"changing a mirror there": {func() error {
			return account.Patch(t.Context(), system.DeepCopy(), merge(`{"metadata":{"annotations":{"note":"more"}}}`))
		}, "no mirrors in namespace kube-public"},
		"a mirror beside the controller": {func() error {
			return account.Create(t.Context(), rig.Service(namespace, "web-east", mark("true")))
		}, "no mirrors in namespace linkerd-multicluster"},
		"a slice of the API server's Service": {func() error {
			return account.Create(t.Context(), slice(metav1.NamespaceDefault, "more", map[string]string{v1alpha3.LabelMirroredService: "true", discoveryv1.LabelServiceName: "kubernetes"}))
		}, "may not say where this cluster's API server is"},
		"a slice that becomes one": {func() error {
			return account.Patch(t.Context(), atHome.DeepCopy(), merge(`{"metadata":{"labels":{"kubernetes.io/service-name":"kubernetes"}}}`))
		}, "may not say where this cluster's API server is"},
		"a slice of its name": {func() error {
			return account.Create(t.Context(), slice(metav1.NamespaceDefault, "kubernetes", marked))
		}, "may not say where this cluster's API server is"},
		"creating a namespace": {func() error {
			return account.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns + "-new"}})
		}, "without the label linkspan.io/created-namespace=true"},
		"labelling a namespace": {func() error {
			return account.Patch(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}, merge(`{"metadata":{"labels":{"pod-security.kubernetes.io/enforce":"privileged"}}}`))
		}, "so it is somebody else's"},
	} {
		t.Run(name, func(t *testing.T) {
			err := c.try()
			if !Refused(err) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want it refused by the policy, with %q", err, c.want)
			}
		})
	}
	rig.Expect(t, c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "foreign"}})
}

// All that the controller does to mirrors passes; its scenarios, which run under the policy, say so at length.
func TestMirrorsAreWithinReach(t *testing.T) {
	c, ns, account := held(t)
	mirror := rig.Service(ns, "web-east", mark("true"))
	own := slice(ns, "web-east-1", map[string]string{v1alpha3.LabelMirroredService: "true"})
	stripped := slice(ns, "web-east-2", map[string]string{discoveryv1.LabelManagedBy: v1alpha3.SliceManagedBy})
	rig.Create(t, c, stripped)
	// What others make of a mirror stays, and is no reason to refuse what we do.
	balanced := rig.Service(ns, "balanced-east", mark("true"))
	balanced.Spec.Type, balanced.Spec.ExternalIPs = corev1.ServiceTypeLoadBalancer, []string{"192.0.2.1"}
	rig.Create(t, c, balanced)
	// Linkerd's controller leaves these behind.
	endpoints := &corev1.Endpoints{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: "web-east", Labels: mirror.Labels}} //nolint:staticcheck // Linkerd's mirrors have them
	rig.Create(t, c, endpoints)

	system := rig.Service("kube-public", "late-east", mark("true"))
	rig.Create(t, c, system)

	const note = `{"metadata":{"annotations":{"note":"more"}}}`
	for _, step := range []struct {
		what string
		do   func() error
	}{
		{"creating a mirror", func() error { return account.Create(t.Context(), mirror) }},
		{"creating its slice", func() error { return account.Create(t.Context(), own) }},
		{"changing both", func() error {
			if err := account.Patch(t.Context(), mirror, merge(note)); err != nil {
				return err
			}
			return account.Patch(t.Context(), own, merge(note))
		}},
		{"changing one that others extended", func() error { return account.Patch(t.Context(), balanced, merge(note)) }},
		{"putting the label back on a slice of ours", func() error {
			return account.Patch(t.Context(), stripped, merge(`{"metadata":{"labels":{"mirror.linkerd.io/mirrored-service":"true"}}}`))
		}},
		{"deleting endpoints of a mirror", func() error { return account.Delete(t.Context(), endpoints) }},
		{"deleting all three", func() error {
			for _, object := range []client.Object{own, stripped, mirror} {
				if err := account.Delete(t.Context(), object); err != nil {
					return err
				}
			}
			return nil
		}},
		{"deleting one where none may be any more", func() error { return account.Delete(t.Context(), system) }},
		{"creating a namespace", func() error {
			labels := map[string]string{v1alpha3.LabelCreatedNamespace: "true"}
			return account.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns + "-made", Labels: labels}})
		}},
	} {
		if err := step.do(); err != nil {
			t.Errorf("%s: %v", step.what, err)
		}
	}
}

// Nobody else is held: not another account of the namespace, and not one of the same name elsewhere.
func TestOthersAreNotHeld(t *testing.T) {
	c, ns, _ := held(t)
	for i, name := range []string{"system:serviceaccount:" + namespace + ":linkspan-ingress", "system:serviceaccount:" + ns + ":" + account, "admin"} {
		other, err := c.ClientFor(Almighty(name))
		if err != nil {
			t.Fatal(err)
		}
		if err := other.Create(t.Context(), rig.Service(ns, "theirs-"+string(rune('a'+i)))); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// Kubernetes looks at the expressions once, for each kind of object, and tells what could not work.
func TestExpressionsFitTheObjects(t *testing.T) {
	c := rig.New(t, rig.ClusterOptions{Controllers: []string{"validatingadmissionpolicy-status-controller"}})[0]
	Install(t, c, golden, TheChartsOwn())
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: "linkspan." + namespace}}
	policy = rig.Expect(t, c, policy, func(p *admissionregistrationv1.ValidatingAdmissionPolicy) error {
		if p.Status.TypeChecking == nil {
			return errors.New("the expressions have not been looked at")
		}
		return nil
	})
	for _, w := range policy.Status.TypeChecking.ExpressionWarnings {
		t.Errorf("%s: %s", w.FieldRef, w.Warning)
	}
}

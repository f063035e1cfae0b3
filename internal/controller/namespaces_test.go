package controller

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// soon is how long an obstacle that went may still hold a mirror up, on a busy machine (LESSON-62).
const soon = 10 * time.Second

// exportIn exports a service in a namespace that the target alone has so far.
func (p *pair) exportIn(t *testing.T, namespace, name string) *corev1.Service {
	t.Helper()
	svc := rig.Service(namespace, name, rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithSelector("app", name))
	rig.Create(t, p.target, svc, rig.EndpointSlice(svc, []string{"203.0.113.50"}))
	t.Cleanup(func() { sweep(t, namespace, p.source, p.target) })
	return svc
}

// remove ends a namespace for good, as the namespace controller does when it is empty.
func remove(t *testing.T, c *rig.Cluster, name string) {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(namespace), namespace); err != nil {
		t.Fatal(err)
	}
	namespace.Spec.Finalizers = nil
	if err := c.Client().SubResource("finalize").Update(t.Context(), namespace); err != nil {
		t.Fatal(err)
	}
	rig.ExpectGone(t, c, namespace)
}

// MIR-5, LESSON-18: a missing namespace is reported, and the mirror appears with it.
func TestMissingNamespaceIsWaitedFor(t *testing.T) {
	p := sharedPair(t)
	team := p.target.Namespace(t)
	p.exportIn(t, team, "web")
	key := p.link(t, "east")
	p.run(t)

	p.expectLinkEvent(t, key, v1alpha3.ReasonMissingNamespace, team+"/web")
	p.expectEntry(t, key, "web", metav1.ConditionFalse, v1alpha3.ReasonMissingNamespace)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Waiting: 1})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionSynced, metav1.ConditionTrue, v1alpha3.ReasonServicesWaiting)

	p.source.NamespaceNamed(t, team)
	expectWithin(t, p.source, soon, team, "web-east")
	rig.ExpectSlices(t, p.source, team, "web-east", rig.ReadyAddresses("203.0.113.50"))
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Mirrored: 1})
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}

// MIR-5: --create-namespaces makes what is missing, and marks it as ours.
func TestNamespacesAreCreatedOnRequest(t *testing.T) {
	p := sharedPair(t)
	team := p.target.Namespace(t)
	p.exportIn(t, team, "web")
	p.exportIn(t, team, "api")
	p.link(t, "east")
	p.run(t, func(o *Options) { o.Mirror.CreateNamespaces = true })
	t.Cleanup(func() {
		namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team}}
		if err := client.IgnoreNotFound(p.source.Client().Delete(context.Background(), namespace)); err != nil {
			t.Error(err)
		}
	})
	rig.ExpectSlices(t, p.source, team, "web-east", rig.ReadyAddresses("203.0.113.50"))
	rig.ExpectSlices(t, p.source, team, "api-east", rig.ReadyAddresses("203.0.113.50"))
	rig.Expect(t, p.source, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team}}, func(ns *corev1.Namespace) error {
		return same("label "+v1alpha3.LabelCreatedNamespace, "true", ns.Labels[v1alpha3.LabelCreatedNamespace])
	})
}

// MIR-5: the namespaces that run a cluster get no mirrors, unless they are allowed to.
func TestSystemNamespacesGetNoMirrors(t *testing.T) {
	p := sharedPair(t)
	p.target.NamespaceNamed(t, p.links)
	p.exportIn(t, metav1.NamespaceSystem, "web")
	p.exportIn(t, p.links, "api")
	p.exportIn(t, "kube-public", "info")
	key := p.link(t, "east")
	p.run(t, func(o *Options) { o.Mirror.AllowedNamespaces = []string{"kube-public"} })

	rig.ExpectService(t, p.source, "kube-public", "info-east")
	for namespace, name := range map[string]string{metav1.NamespaceSystem: "web", p.links: "api"} {
		p.expectLinkEvent(t, key, v1alpha3.ReasonNamespaceForbidden, namespace+"/"+name)
		p.expectEntry(t, key, name, metav1.ConditionFalse, v1alpha3.ReasonNamespaceForbidden)
		rig.ExpectNoService(t, p.source, namespace, name+"-east")
	}
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 3, Mirrored: 1, Refused: 2})
}

// LESSON-18, LESSON-62: a namespace that is being deleted is left in peace, and its mirrors come back with it.
func TestTerminatingNamespaceIsLeftInPeace(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1]) // a write that is under way when the namespace ends is forbidden
	team := p.target.Namespace(t)
	p.source.NamespaceNamed(t, team)
	p.exportIn(t, team, "web")
	key := p.link(t, "east")
	first := p.run(t)
	rig.ExpectSlices(t, p.source, team, "web-east", rig.ReadyAddresses("203.0.113.50"))
	first.stop(t)

	rig.Delete(t, p.source, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: team}})
	p.run(t)
	// Told of the Link, though the mirror is there still: its namespace takes no new events.
	p.expectLinkEvent(t, key, v1alpha3.ReasonNamespaceTerminating, team+"/web")
	// The namespace controller empties it, and a new service is exported meanwhile.
	sweep(t, team, p.source)
	p.exportIn(t, team, "late")
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Waiting: 2})
	p.expectEntry(t, key, "late", metav1.ConditionFalse, v1alpha3.ReasonNamespaceTerminating)
	rig.ExpectNoService(t, p.source, team, "web-east")

	remove(t, p.source, team)
	p.expectEntry(t, key, "late", metav1.ConditionFalse, v1alpha3.ReasonMissingNamespace)
	p.source.NamespaceNamed(t, team)
	expectWithin(t, p.source, soon, team, "web-east")
	expectWithin(t, p.source, soon, team, "late-east")
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2})
}

// LESSON-62: an exceeded quota is reported, and the mirror follows as soon as there is room.
func TestExceededQuotaIsWaitedFor(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	hard := corev1.ResourceList{corev1.ResourceServices: resource.MustParse("0")}
	quota := &corev1.ResourceQuota{
		ObjectMeta: metav1.ObjectMeta{Namespace: p.apps, Name: "none"},
		Spec:       corev1.ResourceQuotaSpec{Hard: hard},
	}
	rig.Create(t, p.source, quota)
	quota.Status = corev1.ResourceQuotaStatus{Hard: hard, Used: hard} // as the quota controller would
	if err := p.source.Client().Status().Update(t.Context(), quota); err != nil {
		t.Fatal(err)
	}
	p.expectDenied(t, true)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	p.run(t)

	p.expectLinkEvent(t, key, v1alpha3.ReasonQuotaExceeded, "web")
	p.expectEntry(t, key, "web", metav1.ConditionFalse, v1alpha3.ReasonQuotaExceeded)
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionSynced, metav1.ConditionFalse, v1alpha3.ReasonServicesFailing)
	rig.Delete(t, p.source, quota)
	p.expectDenied(t, false)
	expectWithin(t, p.source, soon, p.apps, "web-east")
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}

// expectDenied waits until the API server refuses, or admits, what looks like a mirror.
func (p *pair) expectDenied(t *testing.T, denied bool) {
	t.Helper()
	rig.ExpectSoon(t, func(ctx context.Context) error {
		try := rig.Service(p.apps, "try-"+rand.String(5), rig.WithLabel(v1alpha3.LabelMirroredService, "true"))
		err := p.source.Client().Create(ctx, try, client.DryRunAll)
		if refused := apierrors.IsForbidden(err) || apierrors.IsInvalid(err); refused != denied {
			return fmt.Errorf("refused is %v, want %v: %w", refused, denied, errors.Join(err))
		}
		return nil
	})
}

// LESSON-62: a policy that denies our writes is reported in its own words, and retried for ever.
func TestDeniedWritesAreRetried(t *testing.T) {
	for name, reason := range map[string]metav1.StatusReason{"as invalid": metav1.StatusReasonInvalid, "as forbidden": metav1.StatusReasonForbidden} {
		t.Run(name, func(t *testing.T) {
			clusters := rig.Shared(t, 2)
			p := newPair(t, clusters[0], clusters[1])
			policy, binding := p.denyMirrors(reason)
			rig.Create(t, p.source, policy, binding)
			t.Cleanup(func() {
				for _, object := range []client.Object{binding, policy} {
					if err := client.IgnoreNotFound(p.source.Client().Delete(context.Background(), object)); err != nil {
						t.Error(err)
					}
				}
			})
			p.expectDenied(t, true)
			p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
			key := p.link(t, "east")
			p.run(t)

			rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionSynced, metav1.ConditionFalse, v1alpha3.ReasonServicesFailing)
			link := p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 1, Waiting: 1})
			if entry := link.Status.MirrorServices[0].Conditions[0]; entry.Message == "" {
				t.Error("the entry of the service does not say what was denied")
			}
			rig.Delete(t, p.source, binding, policy)
			p.expectDenied(t, false)
			expectWithin(t, p.source, soon, p.apps, "web-east")
			rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
			rig.ExpectCondition(t, p.source, key, v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
		})
	}
}

// denyMirrors is a policy that admits no mirror in the namespace of the apps.
func (p *pair) denyMirrors(reason metav1.StatusReason) (*admissionregistrationv1.ValidatingAdmissionPolicy, *admissionregistrationv1.ValidatingAdmissionPolicyBinding) {
	name := "no-mirrors-" + p.apps
	policy := &admissionregistrationv1.ValidatingAdmissionPolicy{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
			FailurePolicy: new(admissionregistrationv1.Fail),
			MatchConstraints: &admissionregistrationv1.MatchResources{
				NamespaceSelector: &metav1.LabelSelector{MatchLabels: map[string]string{corev1.LabelMetadataName: p.apps}},
				ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{RuleWithOperations: admissionregistrationv1.RuleWithOperations{
					Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create, admissionregistrationv1.Update},
					Rule:       admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"services"}},
				}}},
			},
			Validations: []admissionregistrationv1.Validation{{
				Expression: "!('" + v1alpha3.LabelMirroredService + "' in object.metadata.?labels.orValue({}))",
				Message:    "no mirrors here", Reason: &reason,
			}},
		},
	}
	binding := &admissionregistrationv1.ValidatingAdmissionPolicyBinding{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{
			PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny},
		},
	}
	return policy, binding
}

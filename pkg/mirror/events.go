package mirror

import (
	"context"
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// maxNote is the most that the events API takes.
const maxNote = 1000

// tell records what is new, in the local cluster: on the mirror where there is one, else on the Link. A namespace
// that is being deleted takes no new events, so the Link hears of what is in it.
func (r *Reconciler) tell(_ context.Context, k Key, in plan.Input, p plan.Plan, out plan.Outcome, failing bool) {
	events := p.Events
	if failing || out.State == plan.StateWaiting && out.Reason != p.Outcome.Reason {
		events = append(slices.Clip(events), plan.Event{Warning: true, Reason: out.Reason, Message: out.Message})
	}
	// The recorder takes events of one reason about the same objects for repetitions of the first: the
	// service keeps those of two services of a Link apart.
	var about, related runtime.Object = linkObject(in.Link), serviceObject(k)
	subject := k.Namespace + "/" + k.Name + ": "
	ending := in.LocalNamespace == plan.NamespaceTerminating || out.Reason == v1alpha3.ReasonNamespaceTerminating
	if in.Local.Service != nil && !ending && out.Reason != v1alpha3.ReasonNameConflict {
		about, related, subject = in.Local.Service, nil, ""
	}
	for _, e := range r.outcomes.news(k, events) {
		kind := corev1.EventTypeNormal
		if e.Warning {
			kind = corev1.EventTypeWarning
		}
		note := subject + e.Message
		if len(note) > maxNote {
			note = note[:maxNote-3] + "..."
		}
		r.events.Eventf(about, related, kind, e.Reason, "Mirror", "%s", note)
	}
}

func linkObject(l link.Link) *v1alpha3.Link {
	return &v1alpha3.Link{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha3.GroupVersion.String(), Kind: "Link"},
		ObjectMeta: metav1.ObjectMeta{Namespace: l.Namespace, Name: string(l.Name), UID: l.UID},
	}
}

func serviceObject(k Key) *corev1.Service {
	return &corev1.Service{
		TypeMeta:   metav1.TypeMeta{APIVersion: corev1.SchemeGroupVersion.String(), Kind: "Service"},
		ObjectMeta: metav1.ObjectMeta{Namespace: k.Namespace, Name: k.Name},
	}
}

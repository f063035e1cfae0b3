package check

import (
	"fmt"
	"slices"
	"strings"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/utils/ptr"
)

// recently is how long a pod that is well again is told of: Kubernetes remembers its end until it is deleted.
const recently = 24 * time.Hour

func controllerReady(f Facts) []Finding { return ready(f, controllers(f)) }

func ready(f Facts, deployments []appsv1.Deployment) []Finding {
	var findings []Finding
	for _, d := range deployments {
		findings = append(findings, rolledOut(f, d))
	}
	return findings
}

// rolledOut judges a Deployment by its last version: an older pod that is ready must not hide that an upgrade is stuck.
func rolledOut(f Facts, d appsv1.Deployment) Finding {
	want := ptr.Deref(d.Spec.Replicas, 1)
	text := "Deployment " + d.Name + " is ready"
	have := fmt.Sprintf("%d of %d replicas are ready", d.Status.ReadyReplicas, want) + whyNotReady(f, d)
	const mend = "kubectl describe its pods, and read their logs"
	upgrading := d.Status.UpdatedReplicas < want || d.Status.Replicas > d.Status.UpdatedReplicas
	stuck := deploymentSays(d, appsv1.DeploymentProgressing, corev1.ConditionFalse)
	switch {
	case want == 0:
		return bad(text, "it is scaled to zero", "kubectl scale deployment "+d.Name+" --replicas=1")
	case d.Status.ObservedGeneration < d.Generation:
		return passing(text, "Kubernetes has not looked at its last change yet", "wait a moment, and check again")
	case stuck != "" && (upgrading || d.Status.ReadyReplicas == 0):
		return bad(text, stuck+"; "+have, mend)
	case d.Status.ReadyReplicas == 0:
		return passing(text, have, mend)
	case upgrading:
		return passing(text, fmt.Sprintf("%d of %d replicas are of the last version; %s", d.Status.UpdatedReplicas, max(want, d.Status.Replicas), have), mend)
	case d.Status.ReadyReplicas < want:
		return warn(text, have, mend)
	}
	if killed := killedRecently(f, d); killed != "" {
		return warn(text, "pod "+killed+" was killed for want of memory ("+reasonOOMKilled+"), and is ready again", "raise the memory limit in its resources")
	}
	return Finding{Text: fmt.Sprintf("%s (%d of %d replicas)", text, d.Status.ReadyReplicas, want)}
}

// podsOf are those that the Deployment's selector picks.
func podsOf(f Facts, d appsv1.Deployment) []corev1.Pod {
	selector := labels.SelectorFromSet(labels.Set{labelComponent: d.Labels[labelComponent]})
	if d.Spec.Selector != nil {
		if given, err := metav1.LabelSelectorAsSelector(d.Spec.Selector); err == nil { // the API server lets no other pass
			selector = given
		}
	}
	var pods []corev1.Pod
	for _, pod := range f.Pods.Value {
		if selector.Matches(labels.Set(pod.Labels)) {
			pods = append(pods, pod)
		}
	}
	return pods
}

// whyNotReady quotes what Kubernetes says of the first pod that is in trouble, or why there is no pod.
func whyNotReady(f Facts, d appsv1.Deployment) string {
	for _, pod := range podsOf(f, d) {
		if why := podTrouble(pod); why != "" {
			return ": pod " + pod.Name + " " + why
		}
	}
	if why := deploymentSays(d, appsv1.DeploymentReplicaFailure, corev1.ConditionTrue); why != "" {
		return ": " + why
	}
	return ""
}

// deploymentSays quotes a condition that has the status, and is empty otherwise.
func deploymentSays(d appsv1.Deployment, kind appsv1.DeploymentConditionType, status corev1.ConditionStatus) string {
	for _, c := range d.Status.Conditions {
		if c.Type == kind && c.Status == status {
			return strings.TrimSuffix(c.Reason+": "+c.Message, ": ")
		}
	}
	return ""
}

func podTrouble(pod corev1.Pod) string {
	for _, s := range slices.Concat(pod.Status.InitContainerStatuses, pod.Status.ContainerStatuses) {
		if why := containerTrouble(s); why != "" {
			return why
		}
	}
	for _, c := range pod.Status.Conditions {
		if c.Type == corev1.PodScheduled && c.Status == corev1.ConditionFalse {
			return "has no node: " + c.Message
		}
	}
	return ""
}

func containerTrouble(s corev1.ContainerStatus) string {
	if ended := s.LastTerminationState.Terminated; ended != nil && ended.Reason == reasonOOMKilled && !s.Ready {
		return "was killed for want of memory (" + reasonOOMKilled + ")"
	}
	if waits := s.State.Waiting; waits != nil && !slices.Contains([]string{"", "ContainerCreating", "PodInitializing"}, waits.Reason) {
		return strings.TrimSuffix("waits: "+waits.Reason+": "+waits.Message, ": ")
	}
	return ""
}

const reasonOOMKilled = "OOMKilled"

// killedRecently names the first pod of which a container is well now, and was not within a day.
func killedRecently(f Facts, d appsv1.Deployment) string {
	for _, pod := range podsOf(f, d) {
		for _, s := range pod.Status.ContainerStatuses {
			ended := s.LastTerminationState.Terminated
			if ended != nil && ended.Reason == reasonOOMKilled && f.clock().Sub(ended.FinishedAt.Time) < recently {
				return pod.Name
			}
		}
	}
	return ""
}

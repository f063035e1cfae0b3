package test

import (
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

// TestPodsAreRestricted wants what the level restricted of the Pod Security Standards wants, a root that cannot be
// written to (SEC-1), and no token that nobody asked for.
func TestPodsAreRestricted(t *testing.T) {
	for _, d := range deployments(t, rendered(t, readValues(t, "testdata/ha.values.yaml"))) {
		pod := d.Spec.Template.Spec
		if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.InitContainers) > 0 || len(pod.Containers) != 1 {
			t.Errorf("%s: more than one container of its own", d.Name)
		}
		s := pod.SecurityContext
		if !*s.RunAsNonRoot || *s.RunAsUser == 0 || s.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
			t.Errorf("%s: security context of the pod is %v", d.Name, s)
		}
		c := pod.Containers[0].SecurityContext
		if *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !slices.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) || len(c.Capabilities.Add) > 0 {
			t.Errorf("%s: security context of the container is %v", d.Name, c)
		}
		for _, v := range pod.Volumes {
			if v.ConfigMap == nil && v.Secret == nil {
				t.Errorf("%s: volume %s is neither a ConfigMap nor a Secret", d.Name, v.Name)
			}
		}
		for _, m := range pod.Containers[0].VolumeMounts {
			if m.SubPath != "" || !m.ReadOnly {
				t.Errorf("%s: %s must be a whole folder, to follow changes, and read-only", d.Name, m.MountPath)
			}
		}
	}
	for _, m := range rendered(t, readValues(t, "testdata/ha.values.yaml")) {
		if m.GetKind() == "ServiceAccount" && *into[corev1.ServiceAccount](t, m).AutomountServiceAccountToken {
			t.Errorf("the token of %s is given to any pod that uses it", m.GetName())
		}
	}
}

// TestTimeToDrain wants pods to be given the time that they are told to take.
func TestTimeToDrain(t *testing.T) {
	proxy := rendered(t, readValues(t, "testdata/proxy.values.yaml"), parse(t, "gateway: {ingress: {drainDelaySeconds: 7, drainTimeoutSeconds: 11}}"))
	for _, d := range append(deployments(t, rendered(t, readValues(t, "testdata/everything.values.yaml"))), deployments(t, proxy)...) {
		want := map[string]int64{"linkspan-ingress": 75, "linkspan-egress": 10, "linkerd-gateway": 23}[d.Name]
		got := int64(corev1.DefaultTerminationGracePeriodSeconds)
		if given := d.Spec.Template.Spec.TerminationGracePeriodSeconds; given != nil {
			got = *given
		}
		if want != 0 && got != want {
			t.Errorf("%s has %d s, want %d: both times and 5", d.Name, got, want)
		}
	}
}

// TestHighAvailability wants of each workload three pods on three nodes, of which one at a time may go (HA-1, HA-4, LESSON-51).
func TestHighAvailability(t *testing.T) {
	all := rendered(t, readValues(t, mainChart+"/values-ha.yaml"), readValues(t, "testdata/ha.values.yaml"))
	found := deployments(t, all)
	if len(found) != 3 {
		t.Fatalf("%d workloads, want 3", len(found))
	}
	for _, d := range found {
		pod := d.Spec.Template.Spec
		if *d.Spec.Replicas != 3 || len(pod.TopologySpreadConstraints) != 1 || len(pod.Affinity.PodAntiAffinity.RequiredDuringSchedulingIgnoredDuringExecution) != 1 {
			t.Errorf("%s is not spread", d.Name)
		}
		if pod.TopologySpreadConstraints[0].LabelSelector == nil {
			t.Errorf("%s: the spread has no selector", d.Name)
		}
		if r := pod.Containers[0].Resources; len(r.Requests) != 2 || r.Limits.Memory().IsZero() {
			t.Errorf("%s has no requests and limits", d.Name)
		}
		if s := d.Spec.Strategy.RollingUpdate; s.MaxSurge.IntVal != 0 || s.MaxUnavailable.IntVal != 1 {
			t.Errorf("%s: with a fourth pod, and three nodes, it can never be replaced", d.Name)
		}
		find(t, all, "PodDisruptionBudget", d.Name)
	}
}

// TestRecreate wants values-ha.yaml to go together with pods that are never two, such as those of a small cluster.
func TestRecreate(t *testing.T) {
	recreate := parse(t, "{controller: {strategy: {type: Recreate}}, gateway: {ingress: {strategy: {type: Recreate}}, egress: {strategy: {type: Recreate}}}}")
	for _, d := range deployments(t, rendered(t, readValues(t, mainChart+"/values-ha.yaml"), readValues(t, "testdata/ha.values.yaml"), recreate)) {
		if s := d.Spec.Strategy; s.Type != appsv1.RecreateDeploymentStrategyType || s.RollingUpdate != nil {
			t.Errorf("%s is replaced by %v, want Recreate alone", d.Name, s)
		}
	}
}

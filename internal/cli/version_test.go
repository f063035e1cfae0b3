package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/rig"
)

// workload is a Deployment as the charts make it, with a pod of each version.
func workload(namespace, name, component string, versions ...string) []client.Object {
	labels := func(version string) map[string]string {
		return map[string]string{"app.kubernetes.io/name": "linkspan", "app.kubernetes.io/component": component, labelVersion: version}
	}
	spec := corev1.PodSpec{Containers: []corev1.Container{{Name: "c", Image: "example.com/c"}}}
	d := &appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels(versions[0])}}
	d.Spec.Selector = &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/component": component}}
	d.Spec.Template = corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: labels(versions[0])}, Spec: spec}
	objects := []client.Object{d}
	for _, version := range versions {
		pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name + "-" + version, Labels: labels(version)}, Spec: spec}
		if component == "controller" {
			pod.Labels[labelComponent] = componentMirror
		}
		objects = append(objects, pod)
	}
	return objects
}

// withPods is a namespace that pods can be made in, which takes the account that Kubernetes' controllers make.
func withPods(t *testing.T, c *rig.Cluster) string {
	t.Helper()
	namespace := c.Namespace(t)
	if _, err := c.ServiceAccount(t.Context(), namespace, "default"); err != nil {
		t.Fatal(err)
	}
	return namespace
}

// CLI-3: the text is Linkerd's; wide and JSON list what runs, also where an upgrade is under way.
func TestVersionsOfWorkloads(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	namespace := withPods(t, west)
	rig.Create(t, west, workload(namespace, "linkspan-controller", "controller", "v0.1.2")...)
	rig.Create(t, west, workload(namespace, "linkspan-ingress", "ingress", "v0.1.2", "v0.1.1")...)
	for format, want := range map[string]string{
		"": "Client version: v0.1.2\nServer version: v0.1.2\n",
		"wide": `Client version: v0.1.2
Server version: v0.1.2
WORKLOAD             VERSIONS
linkspan-controller  v0.1.2
linkspan-ingress     v0.1.1, v0.1.2
`,
		"json": `{
  "client": "v0.1.2",
  "server": "v0.1.2",
  "workloads": [
    {
      "name": "linkspan-controller",
      "versions": [
        "v0.1.2"
      ]
    },
    {
      "name": "linkspan-ingress",
      "versions": [
        "v0.1.1",
        "v0.1.2"
      ]
    }
  ]
}
`,
	} {
		got := runMirror(t, "version", "--kubeconfig", kubeconfigFile(t, west), "--namespace", namespace, "-o", format)
		if diff := cmp.Diff(result{out: want}, got, cmp.AllowUnexported(result{})); diff != "" {
			t.Errorf("-o %q: -want +got:\n%s", format, diff)
		}
	}
}

// CLI-3: who may read pods and no more learns what it did before, and why there is no list.
func TestVersionWithoutTheRightToListWorkloads(t *testing.T) {
	west := rig.Shared(t, 1)[0]
	namespace := withPods(t, west)
	rig.Create(t, west, workload(namespace, "linkspan-controller", "controller", "v0.1.2")...)
	user := "reader-of-" + namespace
	pods := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"list"}}
	if err := west.Grant(t.Context(), rig.User{Name: user}, pods); err != nil {
		t.Fatal(err)
	}
	got := runMirror(t, "version", "--kubeconfig", kubeconfigFile(t, west), "--namespace", namespace, "-o", "wide", "--as", user)
	if got.code != 0 || got.out != "Client version: v0.1.2\nServer version: v0.1.2\n" || !strings.Contains(got.err, "deployments") {
		t.Errorf("%+v", got)
	}
}

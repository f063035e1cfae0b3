package charts

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/rig"
)

// TestPodsAreRestricted has API servers hold the pods of each example to the level restricted of the Pod Security
// Standards (SEC-1), sysctls among them. The example of every value is left out, for its contexts are not the defaults.
func TestPodsAreRestricted(t *testing.T) {
	cluster := rig.Shared(t, 1)[0]
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
		GenerateName: "test-restricted-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
	}}
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "any"}}
	rig.Create(t, cluster, namespace)
	account.Namespace = namespace.Name
	rig.Create(t, cluster, account)

	loose := &corev1.Pod{Spec: corev1.PodSpec{Containers: []corev1.Container{{Name: "a", Image: "example.org/a"}}}}
	if err := try(t, cluster, namespace.Name, loose); err == nil {
		t.Fatal("the level is not enforced: a pod without any security context is taken")
	}
	examples, err := filepath.Glob("../../charts/test/testdata/*.golden.yaml")
	if err != nil || len(examples) == 0 {
		t.Fatalf("no examples: %v", err)
	}
	for _, path := range slices.DeleteFunc(examples, func(p string) bool { return filepath.Base(p) == "everything.golden.yaml" }) {
		t.Run(filepath.Base(path), func(t *testing.T) {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			for _, object := range decode(t, text) {
				if object.GetKind() != "Deployment" {
					continue
				}
				d := &appsv1.Deployment{}
				if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, d); err != nil {
					t.Fatal(err)
				}
				if err := try(t, cluster, namespace.Name, &corev1.Pod{Spec: d.Spec.Template.Spec}); err != nil {
					t.Errorf("the pods of %s: %v", d.Name, err)
				}
			}
		})
	}
}

// try asks whether a pod would be taken.
func try(t *testing.T, cluster *rig.Cluster, namespace string, pod *corev1.Pod) error {
	t.Helper()
	pod.Namespace, pod.GenerateName, pod.Spec.ServiceAccountName = namespace, "pod-", "any"
	return cluster.Client().Create(t.Context(), pod, client.DryRunAll)
}

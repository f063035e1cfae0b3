package rig

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

func TestRenderHidesSecretsAndNoise(t *testing.T) {
	secret := CredentialsSecret("ns", "east", []byte("top-secret"))
	secret.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "somebody"}}
	secret.StringData = map[string]string{"plain": "top-secret"}
	secret.Annotations = map[string]string{corev1.LastAppliedConfigAnnotation: "top-secret"}
	text := render([]client.Object{secret})
	for _, hidden := range []string{"top-secret", "dG9wLXNlY3JldA", "somebody"} {
		if strings.Contains(text, hidden) {
			t.Errorf("%q is printed:\n%s", hidden, text)
		}
	}
	if !strings.Contains(text, "cluster-credentials-east") {
		t.Errorf("the object's name is not printed:\n%s", text)
	}
	if string(secret.Data["kubeconfig"]) != "top-secret" {
		t.Error("the object itself was changed")
	}
}

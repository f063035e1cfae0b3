package rig

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// renderLimit is how many objects a failure prints.
const renderLimit = 10

// render prints objects as YAML for a failure, without managed fields and without secrets.
func render(objects []client.Object) string {
	if len(objects) == 0 {
		return "last seen: no object"
	}
	var text strings.Builder
	fmt.Fprintf(&text, "last seen: %d object(s)", len(objects))
	for i, object := range objects {
		if i == renderLimit {
			fmt.Fprintf(&text, "\n# and %d more", len(objects)-renderLimit)
			break
		}
		fmt.Fprintf(&text, "\n---\n%s", renderOne(object))
	}
	return text.String()
}

func renderOne(object client.Object) string {
	shown, ok := object.DeepCopyObject().(client.Object)
	if !ok {
		return fmt.Sprintf("%T", object)
	}
	shown.SetManagedFields(nil)
	if secret, ok := shown.(*corev1.Secret); ok {
		for key := range secret.Data {
			secret.Data[key] = nil
		}
		secret.StringData, secret.Annotations = nil, nil
	}
	text, err := yaml.Marshal(shown)
	if err != nil {
		return err.Error()
	}
	return string(text)
}

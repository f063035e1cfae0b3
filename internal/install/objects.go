package install

import (
	"fmt"
	"strings"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	// ReleaseName is a part of the labels by which Deployments find their pods: it can never change.
	ReleaseName = "linkspan"
	// ManagedBy is where Helm would put its own name: the value of label app.kubernetes.io/managed-by.
	ManagedBy = "linkspan-cli"
	// PartOf is the value of label app.kubernetes.io/part-of.
	PartOf = "linkspan"

	labelManagedBy = "app.kubernetes.io/managed-by"
	labelPartOf    = "app.kubernetes.io/part-of"
)

// Rendered is an installation as objects.
type Rendered struct {
	// Objects are in the order in which they can be applied.
	Objects []*unstructured.Unstructured
	// Notes tell the reader what was chosen, and what is left to do.
	Notes string
}

// Own are the objects that a chart does not have: Helm makes the namespace, and remembers values, itself.
func (s Settings) Own(namespace string) ([]*unstructured.Unstructured, error) {
	record, err := s.record(namespace)
	if err != nil {
		return nil, err
	}
	typed := []runtime.Object{record}
	if s.CreateNamespace {
		labels := ownLabels(s.Version)
		labels["linkerd.io/extension"] = "linkspan"
		typed = append(typed, &corev1.Namespace{
			TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
			ObjectMeta: metav1.ObjectMeta{Name: namespace, Labels: labels, Annotations: map[string]string{
				"linkerd.io/inject":             "enabled",
				"config.linkerd.io/proxy-await": "enabled",
			}},
		})
	}
	var objects []*unstructured.Unstructured
	for _, obj := range typed {
		fields, err := runtime.DefaultUnstructuredConverter.ToUnstructured(obj)
		if err != nil {
			return nil, fmt.Errorf("converting a %T: %w", obj, err)
		}
		delete(fields, "status")
		delete(fields, "spec") // of the Namespace, and empty
		objects = append(objects, &unstructured.Unstructured{Object: fields})
	}
	return objects, nil
}

// ownLabels are those that the charts give to their objects.
func ownLabels(version string) map[string]string {
	return map[string]string{
		"app.kubernetes.io/name":     ReleaseName,
		"app.kubernetes.io/instance": ReleaseName,
		"app.kubernetes.io/version":  labelValue(version),
		labelPartOf:                  PartOf,
		labelManagedBy:               ManagedBy,
	}
}

// labelValue makes a version fit into a label, as the charts do.
func labelValue(version string) string {
	version = strings.ReplaceAll(version, "+", "_")
	return strings.Trim(version[:min(len(version), 63)], "-_.")
}

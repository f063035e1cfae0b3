package rig

import (
	"context"
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Namespace makes a fresh namespace, named by the API server, and asks for its deletion when the
// test ends. The same name can then be made in other clusters with NamespaceNamed.
func (c *Cluster) Namespace(t testing.TB) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{GenerateName: "test-"}}
	Create(t, c, namespace)
	c.deleteAfter(t, namespace)
	return namespace.Name
}

// NamespaceNamed makes a namespace of a given name.
func (c *Cluster) NamespaceNamed(t testing.TB, name string) string {
	t.Helper()
	namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}
	Create(t, c, namespace)
	c.deleteAfter(t, namespace)
	return name
}

// NamespaceIn makes one fresh namespace of the same name in several clusters.
func NamespaceIn(t testing.TB, clusters ...*Cluster) string {
	t.Helper()
	name := clusters[0].Namespace(t)
	for _, c := range clusters[1:] {
		c.NamespaceNamed(t, name)
	}
	return name
}

// deleteAfter only asks: without the namespace controller the namespace stays, empty or not, and
// the cluster may be broken by then.
func (c *Cluster) deleteAfter(t testing.TB, namespace *corev1.Namespace) {
	t.Cleanup(func() {
		if c.PID() == 0 {
			return
		}
		if err := client.IgnoreNotFound(c.Client().Delete(context.Background(), namespace)); err != nil {
			t.Logf("delete namespace %s of %s: %v", namespace.Name, c.name, err)
		}
	})
}

// Create creates objects and fails the test when one is refused. The objects become what the API
// server made of them.
func Create(t testing.TB, c *Cluster, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := c.Client().Create(t.Context(), object); err != nil {
			t.Fatalf("create %T %s in %s: %v", object, client.ObjectKeyFromObject(object), c.name, err)
		}
	}
}

// Update reads an object, changes it and writes it, without looking at what others changed meanwhile.
func Update[T client.Object](t testing.TB, c *Cluster, object T, change func(T)) T {
	t.Helper()
	if err := c.Client().Get(t.Context(), client.ObjectKeyFromObject(object), object); err != nil {
		t.Fatalf("get %T %s in %s: %v", object, client.ObjectKeyFromObject(object), c.name, err)
	}
	before, ok := object.DeepCopyObject().(T)
	if !ok {
		t.Fatalf("copy %T", object)
	}
	change(object)
	if err := c.Client().Patch(t.Context(), object, client.MergeFrom(before)); err != nil {
		t.Fatalf("patch %T %s in %s: %v", object, client.ObjectKeyFromObject(object), c.name, err)
	}
	return object
}

// Delete deletes objects; one that is gone already is fine.
func Delete(t testing.TB, c *Cluster, objects ...client.Object) {
	t.Helper()
	for _, object := range objects {
		if err := client.IgnoreNotFound(c.Client().Delete(t.Context(), object)); err != nil {
			t.Fatalf("delete %T %s in %s: %v", object, client.ObjectKeyFromObject(object), c.name, err)
		}
	}
}

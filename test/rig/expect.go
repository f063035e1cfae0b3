package rig

import (
	"errors"
	"fmt"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Expect waits until the named object exists and passes every check, and returns it.
func Expect[T client.Object](t testing.TB, c *Cluster, named T, checks ...func(T) error) T {
	t.Helper()
	found, err := Await(t.Context(), c, named, scopeOf(named), func(objects []client.Object) error {
		if len(objects) == 0 {
			return fmt.Errorf("%T %s does not exist", named, client.ObjectKeyFromObject(named))
		}
		return checkAll(objects[0], checks)
	})
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	object, ok := found[0].(T)
	if !ok {
		t.Fatalf("%s: found %T, want %T", c.name, found[0], named)
	}
	return object
}

// ExpectGone waits until the named object does not exist.
func ExpectGone(t testing.TB, c *Cluster, named client.Object) {
	t.Helper()
	_, err := Await(t.Context(), c, named, scopeOf(named), func(objects []client.Object) error {
		if len(objects) > 0 {
			return fmt.Errorf("%T %s exists", named, client.ObjectKeyFromObject(named))
		}
		return nil
	})
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
}

// ExpectList waits until all objects of one kind in a scope, together, pass a check.
func ExpectList[T client.Object](t testing.TB, c *Cluster, kind T, scope Scope, check func([]T) error) []T {
	t.Helper()
	found, err := Await(t.Context(), c, kind, scope, func(objects []client.Object) error {
		typed, err := typedList[T](objects)
		if err != nil {
			return err
		}
		return check(typed)
	})
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	typed, err := typedList[T](found)
	if err != nil {
		t.Fatalf("%s: %v", c.name, err)
	}
	return typed
}

// ExpectService waits for a Service that passes every check.
func ExpectService(t testing.TB, c *Cluster, namespace, name string, checks ...func(*corev1.Service) error) *corev1.Service {
	t.Helper()
	return Expect(t, c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}, checks...)
}

// ExpectNoService waits until there is no Service of that name.
func ExpectNoService(t testing.TB, c *Cluster, namespace, name string) {
	t.Helper()
	ExpectGone(t, c, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}})
}

// ExpectSlices waits until the EndpointSlices of a Service, together, pass a check.
func ExpectSlices(t testing.TB, c *Cluster, namespace, service string, check func([]*discoveryv1.EndpointSlice) error) []*discoveryv1.EndpointSlice {
	t.Helper()
	return ExpectList(t, c, &discoveryv1.EndpointSlice{}, SlicesOf(namespace, service), check)
}

// SlicesOf picks the EndpointSlices of a Service.
func SlicesOf(namespace, service string) Scope {
	return In(namespace).And(Labelled(map[string]string{discoveryv1.LabelServiceName: service}))
}

// ExpectCondition waits until a Link has a condition in the given status and, unless it is empty,
// with the given reason.
func ExpectCondition(t testing.TB, c *Cluster, link client.ObjectKey, kind string, status metav1.ConditionStatus, reason string) *v1alpha3.Link {
	t.Helper()
	named := &v1alpha3.Link{ObjectMeta: metav1.ObjectMeta{Namespace: link.Namespace, Name: link.Name}}
	return Expect(t, c, named, func(link *v1alpha3.Link) error {
		found := meta.FindStatusCondition(link.Status.Conditions, kind)
		if found == nil {
			return fmt.Errorf("the Link has no condition %s yet, want %s (%s)", kind, status, reason)
		}
		if found.Status != status || reason != "" && found.Reason != reason {
			return fmt.Errorf("condition %s is %s (%s: %s), want %s (%s)", kind, found.Status, found.Reason, found.Message, status, reason)
		}
		return nil
	})
}

// ExpectNothingWritten runs act, which must itself wait until whatever it causes is over, and fails
// when the given users (everybody but the rig when there are none) wrote anything meanwhile.
func ExpectNothingWritten(t testing.TB, c *Cluster, act func(), users ...string) {
	t.Helper()
	from := Mark(t, c)
	act()
	filters := []Filter{Writes(), NotByRig()}
	if len(users) > 0 {
		filters = []Filter{Writes(), By(users...)}
	}
	ExpectRequests(t, c, from, nil, filters...)
}

// scopeOf picks the object itself.
func scopeOf(named client.Object) Scope {
	return In(named.GetNamespace()).And(Named(named.GetName()))
}

func checkAll[T client.Object](object client.Object, checks []func(T) error) error {
	typed, ok := object.(T)
	if !ok {
		return fmt.Errorf("unexpected type %T", object)
	}
	var errs []error
	for _, check := range checks {
		errs = append(errs, check(typed))
	}
	return errors.Join(errs...)
}

func typedList[T client.Object](objects []client.Object) ([]T, error) {
	typed := make([]T, 0, len(objects))
	for _, object := range objects {
		one, ok := object.(T)
		if !ok {
			return nil, fmt.Errorf("unexpected type %T", object)
		}
		typed = append(typed, one)
	}
	return typed, nil
}

package manifests_test

import (
	"bytes"
	"errors"
	"io"
	"os"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

func files() map[string]string {
	return map[string]string{"west": manifests.West(), "east": manifests.East(), "talk": manifests.Talk()}
}

// API servers take every object, without a field that they do not know, and the pods at the strictest level (SEC-1).
func TestAPIServersTakeTheApplication(t *testing.T) {
	cluster := rig.Shared(t, 1)[0]
	for name, text := range files() {
		t.Run(name, func(t *testing.T) {
			namespace := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{
				GenerateName: "vote-", Labels: map[string]string{"pod-security.kubernetes.io/enforce": "restricted"},
			}}
			rig.Create(t, cluster, namespace)
			for _, object := range decode(t, text) {
				if object.GetKind() == "Namespace" {
					if level := object.GetLabels()["pod-security.kubernetes.io/enforce"]; object.GetName() != manifests.Namespace || level != "restricted" {
						t.Errorf("the namespace %s is held to the level %q", object.GetName(), level)
					}
					continue
				}
				if object.GetNamespace() != manifests.Namespace {
					t.Errorf("%s %s is in %q", object.GetKind(), object.GetName(), object.GetNamespace())
				}
				object.SetNamespace(namespace.Name)
				strict := client.WithFieldValidation(cluster.Client(), metav1.FieldValidationStrict)
				if err := strict.Create(t.Context(), object.DeepCopy(), client.DryRunAll); err != nil {
					t.Errorf("%s %s: %v", object.GetKind(), object.GetName(), err)
				}
				if object.GetKind() == "Deployment" {
					expectRestricted(t, cluster, namespace.Name, object)
				}
			}
		})
	}
}

// expectRestricted has the API server judge a Deployment's pods, and the same with more rights, which it must refuse.
func expectRestricted(t *testing.T, cluster *rig.Cluster, namespace string, object *unstructured.Unstructured) {
	t.Helper()
	var d appsv1.Deployment
	convert(t, object, &d)
	pod := &corev1.Pod{ObjectMeta: metav1.ObjectMeta{GenerateName: "pod-", Namespace: namespace}, Spec: d.Spec.Template.Spec}
	pod.Spec.ServiceAccountName = "any"
	account := &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "any", Namespace: namespace}}
	if err := client.IgnoreAlreadyExists(cluster.Client().Create(t.Context(), account)); err != nil {
		t.Fatal(err)
	}
	if err := cluster.Client().Create(t.Context(), pod.DeepCopy(), client.DryRunAll); err != nil {
		t.Errorf("the pods of %s: %v", d.Name, err)
	}
	pod.Spec.Containers[0].SecurityContext = nil
	if err := cluster.Client().Create(t.Context(), pod, client.DryRunAll); err == nil {
		t.Errorf("the level is not enforced: the pods of %s are taken without a security context", d.Name)
	}
}

// Every Service leads to a port that a pod of its own file has, and every container runs the one image.
func TestServicesLeadToPods(t *testing.T) {
	for name, text := range files() {
		ports := map[string]map[string]bool{}
		var services []corev1.Service
		for _, object := range decode(t, text) {
			switch object.GetKind() {
			case "Service":
				var s corev1.Service
				convert(t, object, &s)
				services = append(services, s)
			case "Deployment":
				var d appsv1.Deployment
				convert(t, object, &d)
				app := d.Spec.Template.Labels["app"]
				ports[app] = map[string]bool{}
				for _, c := range d.Spec.Template.Spec.Containers {
					if c.Image != manifests.Image || c.ImagePullPolicy != corev1.PullIfNotPresent {
						t.Errorf("%s/%s runs %s, pulled %s", name, c.Name, c.Image, c.ImagePullPolicy)
					}
					for _, port := range c.Ports {
						ports[app][port.Name+"/"+string(port.Protocol)] = true
					}
				}
			}
		}
		for _, s := range services {
			for _, port := range s.Spec.Ports {
				if port.TargetPort.Type != intstr.String || !ports[s.Spec.Selector["app"]][port.TargetPort.StrVal+"/"+string(port.Protocol)] {
					t.Errorf("%s/%s leads to %s of %s, which has none", name, s.Name, port.TargetPort.String(), s.Spec.Selector["app"])
				}
			}
		}
	}
}

func TestAnotherClusterIsNamed(t *testing.T) {
	if got := manifests.In("north", manifests.East()); strings.Contains(got, "cluster=east") || strings.Count(got, "--cluster=north") != 2 {
		t.Errorf("for north it is\n%s", got)
	}
}

func convert(t *testing.T, object *unstructured.Unstructured, to any) {
	t.Helper()
	if err := runtime.DefaultUnstructuredConverter.FromUnstructured(object.Object, to); err != nil {
		t.Fatal(err)
	}
}

func decode(t *testing.T, text string) (all []*unstructured.Unstructured) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(bytes.NewReader([]byte(text)), 4096)
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(&object.Object)
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, object)
	}
}

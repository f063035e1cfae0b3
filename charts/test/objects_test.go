package test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	certmanagerv1 "github.com/cert-manager/cert-manager/pkg/apis/certmanager/v1"
	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rights"
)

// everyExample runs a test with all objects of each example.
func everyExample(t *testing.T, test func(t *testing.T, all []manifest)) {
	for _, path := range examples(t) {
		t.Run(strings.TrimSuffix(filepath.Base(path), ".values.yaml"), func(t *testing.T) {
			test(t, rendered(t, readValues(t, path)))
		})
	}
}

// TestObjectsAreOfTheirTypes reads each object as its type, which refuses fields that it does not have.
func TestObjectsAreOfTheirTypes(t *testing.T) {
	known := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{scheme.AddToScheme, certmanagerv1.AddToScheme, monitoringv1.AddToScheme, v1alpha3.AddToScheme} {
		if err := add(known); err != nil {
			t.Fatal(err)
		}
	}
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, known, known, json.SerializerOptions{Yaml: true, Strict: true})
	// TestLinkerdPolicies reads these, whose types would be Linkerd itself.
	others := []string{"policy.linkerd.io/v1beta3", "policy.linkerd.io/v1alpha1"}
	everyExample(t, func(t *testing.T, all []manifest) {
		seen := map[string]bool{}
		for _, m := range all {
			id := m.GetKind() + " " + m.GetNamespace() + "/" + m.GetName()
			if seen[id] {
				t.Errorf("%s is rendered twice", id)
			}
			seen[id] = true
			if slices.Contains(others, m.GetAPIVersion()) {
				continue
			}
			if _, _, err := strict.Decode(m.text, nil, nil); err != nil {
				t.Errorf("%s in %s: %v", id, m.file, err)
			}
		}
	})
}

// TestLabels wants each object to carry our labels, those of everybody, and not the one that a control plane's upgrade
// deletes by (UPG-5).
func TestLabels(t *testing.T) {
	everyExample(t, func(t *testing.T, all []manifest) {
		for _, m := range all {
			for _, key := range []string{"app.kubernetes.io/name", "app.kubernetes.io/instance", "app.kubernetes.io/version", "helm.sh/chart"} {
				if m.GetLabels()[key] == "" {
					t.Errorf("%s %s has no label %s", m.GetKind(), m.GetName(), key)
				}
			}
			if _, has := m.GetLabels()[v1alpha3.LabelControlPlaneNamespace]; has {
				t.Errorf("%s %s has label %s", m.GetKind(), m.GetName(), v1alpha3.LabelControlPlaneNamespace)
			}
		}
	})
	for _, m := range rendered(t, readValues(t, "testdata/everything.values.yaml")) {
		if m.GetLabels()["team"] != "network" {
			t.Errorf("%s %s has no label of commonLabels", m.GetKind(), m.GetName())
		}
	}
}

// deployments are all Deployments, typed.
func deployments(t *testing.T, all []manifest) []*appsv1.Deployment {
	t.Helper()
	var found []*appsv1.Deployment
	for _, m := range all {
		if m.GetKind() == "Deployment" {
			found = append(found, into[appsv1.Deployment](t, m))
		}
	}
	return found
}

var flagOf = regexp.MustCompile(`^--([a-z0-9-]+)(=|$)`)

// documented are the flags of a command in docs/flags.md.
func documented(t *testing.T, command string) []string {
	t.Helper()
	_, section, found := strings.Cut(readFile(t, "../../docs/flags.md"), "\n## "+command+"\n")
	if !found {
		t.Fatalf("docs/flags.md does not know %s", command)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	var flags []string
	for _, match := range regexp.MustCompile("(?m)^\\|.*?`--([a-z0-9-]+)` \\|").FindAllStringSubmatch(section, -1) {
		flags = append(flags, match[1])
	}
	return flags
}

// TestFlagsExist compares what the programs are started with and the reference of their flags.
func TestFlagsExist(t *testing.T) {
	everyExample(t, func(t *testing.T, all []manifest) {
		for _, d := range deployments(t, all) {
			container := d.Spec.Template.Spec.Containers[0]
			program := "gateway"
			if strings.Contains(container.Image, "/mirror") && container.Args[0] == "controller" {
				program = "mirror"
			}
			known := documented(t, program+" "+container.Args[0])
			given := map[string]bool{}
			for _, arg := range container.Args[1:] {
				match := flagOf.FindStringSubmatch(arg)
				if match == nil || !slices.Contains(known, match[1]) {
					t.Errorf("%s: %s %s has no flag %s", d.Name, program, container.Args[0], arg)
					continue
				}
				if given[match[1]] {
					t.Errorf("%s: %s is given twice", d.Name, arg)
				}
				given[match[1]] = true
				if strings.HasSuffix(arg, "=") {
					t.Errorf("%s: %s is given, and empty", d.Name, arg)
				}
			}
		}
	})
}

// TestRights compares what each account is granted with what the scenarios run with (LESSON-34, POL-7, SEC-2).
func TestRights(t *testing.T) {
	all := rendered(t, readValues(t, "testdata/ha.values.yaml"), parse(t, "remoteAccess: {accounts: [{name: remote}]}"))
	for account, want := range map[string]rights.Rights{
		"linkspan": rights.Controller(), "linkspan-ingress": rights.Ingress(), "linkspan-egress": rights.Egress(), "remote": rights.Remote(),
	} {
		if diff := cmp.Diff(want, granted(t, all, account), cmpopts.EquateEmpty()); diff != "" {
			t.Errorf("%s (-needs +may):\n%s", account, diff)
		}
	}
	creator := rights.Controller()
	creator.Everywhere = slices.Insert(creator.Everywhere, 4, rights.NamespaceCreator())
	if diff := cmp.Diff(creator, granted(t, rendered(t, parse(t, "{gateway: {enabled: false}, controller: {createNamespaces: true}}")), "linkspan")); diff != "" {
		t.Errorf("the controller with createNamespaces (-needs +may):\n%s", diff)
	}
}

// TestRightsInSomeNamespaces wants Roles in place of ClusterRoles, except for the names of namespaces (SEC-2, LESSON-35).
func TestRightsInSomeNamespaces(t *testing.T) {
	all := rendered(t, readValues(t, "testdata/imports.values.yaml"), parse(t, "controller: {importNamespaces: [shop, "+namespace+"]}"))
	want, inEach := rights.Importing()
	if diff := cmp.Diff(want.Everywhere, granted(t, all, "linkspan").Everywhere); diff != "" {
		t.Errorf("in the whole cluster (-needs +may):\n%s", diff)
	}
	got := map[string][]rbacv1.PolicyRule{}
	for _, m := range all {
		if m.GetKind() == "RoleBinding" {
			role := find(t, all, "Role", into[rbacv1.RoleBinding](t, m).RoleRef.Name)
			for _, r := range all { // of one name in each namespace
				if r.GetKind() == "Role" && r.GetName() == role.GetName() && r.GetNamespace() == m.GetNamespace() {
					got[m.GetNamespace()] = append(got[m.GetNamespace()], into[rbacv1.Role](t, r).Rules...)
				}
			}
		}
	}
	if diff := cmp.Diff(map[string][]rbacv1.PolicyRule{"shop": inEach, namespace: slices.Concat(want.AtHome, inEach)}, got); diff != "" {
		t.Errorf("in namespaces (-needs +may):\n%s", diff)
	}
}

// granted is what the bindings to an account give it.
func granted(t *testing.T, all []manifest, account string) rights.Rights {
	t.Helper()
	var may rights.Rights
	find(t, all, "ServiceAccount", account)
	for _, m := range all {
		if m.GetKind() != "RoleBinding" && m.GetKind() != "ClusterRoleBinding" {
			continue
		}
		// Both have the same fields.
		binding := into[rbacv1.RoleBinding](t, m)
		if !slices.Contains(binding.Subjects, rbacv1.Subject{Kind: "ServiceAccount", Name: account, Namespace: namespace}) {
			continue
		}
		if binding.RoleRef.Kind == "ClusterRole" {
			if m.GetKind() != "ClusterRoleBinding" {
				t.Errorf("%s %s binds a ClusterRole", m.GetKind(), m.GetName())
			}
			may.Everywhere = append(may.Everywhere, into[rbacv1.ClusterRole](t, find(t, all, "ClusterRole", binding.RoleRef.Name)).Rules...)
			continue
		}
		may.AtHome = append(may.AtHome, into[rbacv1.Role](t, find(t, all, "Role", binding.RoleRef.Name)).Rules...)
	}
	return may
}

// TestRemoteAccess compares accounts with what `mirror allow` prints, as recorded in its own tests.
func TestRemoteAccess(t *testing.T) {
	for file, account := range map[string]string{
		"allow.yaml":         "{name: linkerd-service-mirror-remote-access-default}",
		"allow-linkerd.yaml": "{name: west, linkerd: true}",
	} {
		t.Run(file, func(t *testing.T) {
			var want []map[string]any
			for text := range strings.SplitSeq(readFile(t, "../../internal/cli/testdata/"+file), "---\n") {
				text = strings.ReplaceAll(text, "namespace: remote\n", "namespace: "+namespace+"\n")
				text = strings.ReplaceAll(text, "name: remote:", "name: "+namespace+":")
				object := map[string]any{}
				if err := yaml.Unmarshal([]byte(text), &object); err != nil {
					t.Fatal(err)
				}
				if len(object) > 0 && object["kind"] != "Namespace" { // which Helm makes
					want = append(want, object)
				}
			}
			var got []map[string]any
			for _, m := range rendered(t, parse(t, "{controller: {enabled: false}, gateway: {enabled: false}, remoteAccess: {accounts: ["+account+"]}}")) {
				unstructured.RemoveNestedField(m.Object, "metadata", "labels") // Helm's
				got = append(got, m.Object)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("(-mirror allow +chart):\n%s", diff)
			}
		})
	}
	for _, m := range rendered(t, parse(t, "{controller: {enabled: false}, gateway: {enabled: false}, remoteAccess: {accounts: [{name: a, token: false}]}}")) {
		if m.GetKind() == "Secret" {
			t.Error("a token that never expires is made, although token is false")
		}
	}
}

// TestSelectors wants everything that looks for pods to find those of one Deployment.
func TestSelectors(t *testing.T) {
	everyExample(t, func(t *testing.T, all []manifest) {
		pods := map[string]labels.Set{}
		for _, d := range deployments(t, all) {
			pods[d.Name] = d.Spec.Template.Labels
			if d.Spec.Template.Labels["app.kubernetes.io/version"] == "" {
				t.Errorf("%s: mirror version does not find a version on the pods", d.Name)
			}
		}
		for _, m := range all {
			var selector map[string]string
			switch m.GetKind() {
			case "Service":
				selector, _, _ = unstructured.NestedStringMap(m.Object, "spec", "selector")
			case "Deployment", "PodDisruptionBudget":
				selector, _, _ = unstructured.NestedStringMap(m.Object, "spec", "selector", "matchLabels")
			default:
				continue
			}
			var found []string
			for name, set := range pods {
				if labels.SelectorFromSet(selector).Matches(set) {
					found = append(found, name)
				}
			}
			if len(selector) == 0 || len(found) != 1 {
				t.Errorf("%s %s selects the pods of %q, want those of one", m.GetKind(), m.GetName(), found)
			}
		}
	})
}

// TestGatewayService wants what `mirror link` and Linkerd's read from the gateway's Service (GW-*), and metrics to stay
// behind it.
func TestGatewayService(t *testing.T) {
	all := rendered(t, readValues(t, "testdata/target.values.yaml"))
	service := into[corev1.Service](t, find(t, all, "Service", "linkerd-gateway"))
	container := into[appsv1.Deployment](t, find(t, all, "Deployment", "linkspan-ingress")).Spec.Template.Spec.Containers[0]
	identity := "linkspan-ingress.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	if diff := cmp.Diff(map[string]string{
		v1alpha3.AnnotationMulticlusterGateway: "true",
		v1alpha3.AnnotationGatewayIdentity:     identity,
		v1alpha3.AnnotationProbePath:           "/ready",
		v1alpha3.AnnotationProbePeriod:         "3",
	}, service.Annotations); diff != "" {
		t.Error(diff)
	}
	if !slices.Contains(container.Args, "--identity="+identity) {
		t.Errorf("the ingress is not held to %s", identity)
	}
	targets := map[string]int32{}
	for _, port := range container.Ports {
		targets[port.Name] = port.ContainerPort
	}
	for _, port := range service.Spec.Ports {
		if port.Name == v1alpha3.PortNameGateway && (port.Port != 4143 || targets[port.TargetPort.StrVal] != 4143) {
			t.Errorf("%v leads to %d", port, targets[port.TargetPort.StrVal])
		}
		if targets[port.TargetPort.StrVal] == 4191 {
			t.Errorf("%v leads to the port of metrics", port)
		}
	}
	if !slices.Contains(container.Args, fmt.Sprintf("--probe-address=:%d", targets["mc-probe"])) {
		t.Errorf("nothing listens where probes are led to: %q", container.Args)
	}
}

// TestEgressIsFound wants the controller to look for the egress under the name that its Service has.
func TestEgressIsFound(t *testing.T) {
	everyExample(t, func(t *testing.T, all []manifest) {
		names := map[string]bool{}
		for _, m := range all {
			if m.GetKind() == "Service" {
				names[m.GetName()] = true
			}
		}
		deployed := map[string]*appsv1.Deployment{}
		for _, d := range deployments(t, all) {
			deployed[d.Name] = d
		}
		if deployed["linkspan"] == nil || deployed["linkspan-egress"] == nil {
			return
		}
		for _, arg := range deployed["linkspan"].Spec.Template.Spec.Containers[0].Args {
			if name, is := strings.CutPrefix(arg, "--egress-service="); is && !names[name] {
				t.Errorf("the controller looks for Service %s, there are %q", name, slices.Sorted(maps.Keys(names)))
			}
		}
	})
}

// TestCRDs compares the chart's CRD with the one that the product has.
func TestCRDs(t *testing.T) {
	files, err := render(load(t, crdsChart))
	if err != nil {
		t.Fatal(err)
	}
	all := manifests(t, files)
	if len(all) != 1 {
		t.Fatalf("%d objects, want the CRD", len(all))
	}
	if all[0].GetAnnotations()["helm.sh/resource-policy"] != "keep" {
		t.Error("uninstalling the chart would delete all Links")
	}
	unstructured.RemoveNestedField(all[0].Object, "metadata", "annotations", "helm.sh/resource-policy")
	var want map[string]any
	if err := yaml.Unmarshal(v1alpha3.CRD(), &want); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, all[0].Object); diff != "" {
		t.Error(diff)
	}
}

// TestNothingRunsAtInstallation wants no hooks, and nothing that is called while objects are written (HA-5, INST-17).
func TestNothingRunsAtInstallation(t *testing.T) {
	everyExample(t, func(t *testing.T, all []manifest) {
		for _, m := range all {
			if _, hook := m.GetAnnotations()["helm.sh/hook"]; hook || strings.Contains(m.GetKind(), "Webhook") || m.GetKind() == "Job" {
				t.Errorf("%s %s", m.GetKind(), m.GetName())
			}
		}
	})
}

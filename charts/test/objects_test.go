package test

import (
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/labels"
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
	strict := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme.Scheme, scheme.Scheme, json.SerializerOptions{Yaml: true, Strict: true})
	// Whose types would be a dependency each. TestLinkerdPolicies and TestLinks read the last three.
	others := []string{"cert-manager.io/v1", "monitoring.coreos.com/v1", "policy.linkerd.io/v1beta3", "policy.linkerd.io/v1alpha1", "multicluster.linkerd.io/v1alpha3"}
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

// TestTimeToDrain wants pods to be given the time that they are told to take.
func TestTimeToDrain(t *testing.T) {
	for _, d := range deployments(t, rendered(t, readValues(t, "testdata/everything.values.yaml"))) {
		want := map[string]int64{"linkspan-ingress": 75, "linkspan-egress": 10}[d.Name]
		if got := d.Spec.Template.Spec.TerminationGracePeriodSeconds; want != 0 && *got != want {
			t.Errorf("%s has %d s, want %d: both times and 5", d.Name, *got, want)
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

// TestMissingValues renders what `helm upgrade --reuse-values` gives a chart that has values which the release before
// did not have: none of them (UPG-3). Values that are maps and lists may all be missing.
func TestMissingValues(t *testing.T) {
	c := load(t, mainChart)
	for _, e := range entries(t, mainChart) {
		switch e.Default.(type) {
		case map[string]any, []any:
		default:
			continue
		}
		if e.Group {
			continue
		}
		if _, err := render(c, readValues(t, "testdata/ha.values.yaml"), only(e.Path, nil)); err != nil {
			t.Errorf("without %s: %v", e, err)
		}
	}
}

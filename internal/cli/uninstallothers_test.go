package cli

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/rig"
)

// installedCluster is a cluster with an installation.
func installedCluster(t *testing.T, args ...string) piped {
	t.Helper()
	c := emptyCluster(t)
	c.kubectl(t, c.mirror(t, append([]string{"install", "--gateway", "false"}, args...)...).out, "apply", "-f", "-")
	return c
}

// installationLabels are all that `mirror install` puts on its objects and that say so.
func installationLabels() map[string]string {
	return map[string]string{
		"linkspan.io/installation":     "linkerd-multicluster",
		"app.kubernetes.io/managed-by": "linkspan-cli",
		"app.kubernetes.io/part-of":    "linkspan",
	}
}

// An installation's objects are where it has objects. Labels alone, which anybody may set, make nothing ours.
func TestLabelsAloneMakeNothingOurs(t *testing.T) {
	c := emptyCluster(t)
	c.NamespaceNamed(t, "apps")
	c.NamespaceNamed(t, "shop")
	rules := []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}}
	team := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "team-a", Labels: installationLabels()}}
	crd := strings.ReplaceAll(c.mirror(t, "install", "--crds").out, "\n  name:", "\n  labels: {linkspan.io/installation: linkerd-multicluster}\n  name:")
	install := []string{"install", "--gateway", "false", "--skip-crds", "--set", "controller.importNamespaces={shop}"}
	c.kubectl(t, crd+c.mirror(t, install...).out, "apply", "-f", "-")
	rig.Create(t, c.Cluster, team,
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "tenants", Labels: installationLabels()}},
		&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "linkerd-multicluster", Name: "tenants", Labels: map[string]string{"linkspan.io/installation": "linkerd-multicluster"}}},
		&rbacv1.Role{ObjectMeta: metav1.ObjectMeta{Namespace: "apps", Name: "tenants", Labels: installationLabels()}, Rules: rules},
	)

	// What was made in a namespace that is imported into no more is ours all the same.
	upgraded := c.mirror(t, "upgrade", "--set", "controller.importNamespaces=null")
	const role = "Role shop/linkerd-multicluster:linkspan"
	if !strings.Contains(upgraded.err, role) || strings.Contains(upgraded.err, "tenants") {
		t.Errorf("upgrade tells: %s\nwant %s alone, with its namespace", upgraded.err, role)
	}
	c.kubectl(t, upgraded.out, "apply", "-f", "-")
	want := []string{"RoleBinding shop/linkerd-multicluster:linkspan", role}
	if got := references(t, c.mirror(t, "prune").out); !slices.Equal(got, want) {
		t.Errorf("prune prints %v, want %v", got, want)
	}

	uninstalled := c.mirror(t, "uninstall")
	for _, ref := range references(t, uninstalled.out) {
		if strings.Contains(ref, "tenants") || strings.HasPrefix(ref, "Namespace ") || strings.HasPrefix(ref, "CustomResourceDefinition ") {
			t.Errorf("uninstall prints %s", ref)
		}
	}
	if !strings.Contains(uninstalled.err, "ConfigMap tenants") {
		t.Errorf("nothing is said of what keeps the namespace: %s", uninstalled.err)
	}
	rig.Delete(t, c.Cluster, team)
}

// Deleting a namespace deletes everything in it, whatever its kind and whoever made it.
func TestNamespaceWithThingsOfOthersStays(t *testing.T) {
	c := installedCluster(t)
	account := &corev1.ServiceAccount{}
	if err := c.Client().Get(t.Context(), client.ObjectKey{Namespace: "linkerd-multicluster", Name: "linkspan"}, account); err != nil {
		t.Fatal(err)
	}
	// Made from an object of ours, directly or not, or of no account: these do not count.
	child := ownedBy("child", "ServiceAccount", account)
	rig.Create(t, c.Cluster, child)
	rig.Create(t, c.Cluster, ownedBy("grandchild", "ConfigMap", child),
		&corev1.Event{ObjectMeta: objectMeta("scheduled"), InvolvedObject: corev1.ObjectReference{Namespace: "linkerd-multicluster"}})
	// What is being deleted goes in any case, such as a pod of ours that drains.
	going := &corev1.ConfigMap{ObjectMeta: objectMeta("going")}
	going.Finalizers = []string{"example.org/held"}
	rig.Create(t, c.Cluster, going)
	if err := c.Client().Delete(t.Context(), going); err != nil {
		t.Fatal(err)
	}
	if got := c.mirror(t, "uninstall"); !strings.Contains(got.out, "kind: Namespace") || strings.Contains(got.err, "holds more") {
		t.Errorf("the namespace is nobody else's, and stays: %s", got.err)
	}
	c.kubectl(t, "", "patch", "configmap", "going", "-n", "linkerd-multicluster", "--type=merge", "-p", `{"metadata":{"finalizers":null}}`)

	users := &corev1.ConfigMap{ObjectMeta: objectMeta("operator")}
	rig.Create(t, c.Cluster, users)
	rig.Delete(t, c.Cluster, users)
	for name, obj := range map[string]client.Object{
		"Ingress shop":         &networkingv1.Ingress{ObjectMeta: objectMeta("shop"), Spec: networkingv1.IngressSpec{DefaultBackend: &networkingv1.IngressBackend{Service: &networkingv1.IngressServiceBackend{Name: "shop", Port: networkingv1.ServiceBackendPort{Number: 80}}}}},
		"ResourceQuota limits": &corev1.ResourceQuota{ObjectMeta: objectMeta("limits")},
		// Kubernetes' garbage collector does not run here, and would need a while.
		"ConfigMap of-nobody": ownedBy("of-nobody", "ConfigMap", users),
		"ConfigMap of-both":   withOwner(ownedBy("of-both", "ConfigMap", users), "ServiceAccount", account),
	} {
		rig.Create(t, c.Cluster, obj)
		if got := c.mirror(t, "uninstall"); strings.Contains(got.out, "kind: Namespace") || !strings.Contains(got.err, "holds more: "+name+".") {
			t.Errorf("%s would be deleted with the namespace: %s", name, got.err)
		}
		rig.Delete(t, c.Cluster, obj)
	}
	c.unreadable(t)
}

// unreadable: somebody who may not list a kind does not know whether there is one, and may uninstall all the same.
func (c piped) unreadable(t *testing.T) {
	t.Helper()
	c.addUser(t, "reader", nil, append(beyondNamespace(), reads("networking.k8s.io", "networkpolicies"),
		reads("", "*"), reads("apps", "*"), reads("autoscaling", "*"), reads("batch", "*"), reads("coordination.k8s.io", "*"), reads("discovery.k8s.io", "*"),
		reads("events.k8s.io", "*"), reads("policy", "*"), reads("resource.k8s.io", "*"), reads("storage.k8s.io", "*")))
	got := c.mirror(t, "uninstall", "--as", "reader")
	if strings.Contains(got.out, "kind: Namespace") || !strings.Contains(got.err, "holds more: maybe objects of kind Ingress.networking.k8s.io, which cannot be listed") {
		t.Errorf("nobody knows of Ingresses, and the namespace would go: %s", got.err)
	}
}

// beyondNamespace are the rights that upgrade, prune and uninstall need outside the namespace.
func beyondNamespace() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		reads("", "namespaces"), reads("apiextensions.k8s.io", "customresourcedefinitions"),
		reads("admissionregistration.k8s.io", "*"), reads("rbac.authorization.k8s.io", "*"), reads("multicluster.linkerd.io", "*"),
		// Not there, but nobody is told so before they may ask.
		reads("monitoring.coreos.com", "*"), reads("cert-manager.io", "*"), reads("policy.linkerd.io", "*"),
	}
}

func reads(group string, resources ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{APIGroups: []string{group}, Resources: resources, Verbs: []string{"get", "list"}}
}

// addUser makes somebody with rights in the installation's namespace and in the whole cluster, and waits until the API server knows.
func (c piped) addUser(t *testing.T, name string, home, everywhere []rbacv1.PolicyRule) {
	t.Helper()
	subjects := []rbacv1.Subject{{Kind: "User", APIGroup: "rbac.authorization.k8s.io", Name: name}}
	role := func(kind string) rbacv1.RoleRef {
		return rbacv1.RoleRef{APIGroup: "rbac.authorization.k8s.io", Kind: kind, Name: name}
	}
	rig.Create(t, c.Cluster,
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: everywhere},
		&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, RoleRef: role("ClusterRole"), Subjects: subjects})
	asked := []authorizationv1.ResourceAttributes{{Verb: "list", Group: "rbac.authorization.k8s.io", Resource: "roles"}}
	if home != nil {
		rig.Create(t, c.Cluster, &rbacv1.Role{ObjectMeta: objectMeta(name), Rules: home},
			&rbacv1.RoleBinding{ObjectMeta: objectMeta(name), RoleRef: role("Role"), Subjects: subjects})
		asked = append(asked, authorizationv1.ResourceAttributes{Verb: "get", Resource: "secrets", Namespace: "linkerd-multicluster"})
	}
	for _, attributes := range asked {
		rig.ExpectSoon(t, func(ctx context.Context) error {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: name, ResourceAttributes: &attributes}}
			if err := c.Client().Create(ctx, review); err != nil {
				return err
			}
			if !review.Status.Allowed {
				return fmt.Errorf("%s may not %s %s yet", name, attributes.Verb, attributes.Resource)
			}
			return nil
		})
	}
}

func ownedBy(name, kind string, owner client.Object) client.Object {
	var obj client.Object = &corev1.ConfigMap{ObjectMeta: objectMeta(name)}
	if kind == "ServiceAccount" {
		obj = &corev1.ServiceAccount{ObjectMeta: objectMeta(name)}
	}
	return withOwner(obj, kind, owner)
}

func withOwner(obj client.Object, kind string, owner client.Object) client.Object {
	ref := metav1.OwnerReference{APIVersion: "v1", Kind: kind, Name: owner.GetName(), UID: owner.GetUID()}
	obj.SetOwnerReferences(append(obj.GetOwnerReferences(), ref))
	return obj
}

// LINK-9: a Link that a value asked for is a Link: nobody but a controller can finish deleting it.
func TestLinksOfValuesStay(t *testing.T) {
	c := emptyCluster(t)
	c.kubectl(t, c.mirror(t, "install", "--crds").out, "apply", "-f", "-")
	c.kubectl(t, "", "wait", "--for=condition=Established", "crd/links.multicluster.linkerd.io")
	c.kubectl(t, c.mirror(t, "install", "--gateway", "false", "--set", "links[0].name=east,links[0].kubeconfig=x").out, "apply", "-f", "-")
	c.refuses(t, "those of value links (east)", "uninstall")
	forced := c.mirror(t, "uninstall", "--force")
	if kinds := kindsOf(manifests(t, forced.out)); kinds["Link"] != 0 || kinds["Namespace"] != 0 || !strings.Contains(forced.err, "holds more: Link east.") {
		t.Errorf("--force prints %v: %s", kinds, forced.err)
	}
	// The mend that the refusal names.
	c.kubectl(t, c.mirror(t, "upgrade", "--set", "links=null").out, "apply", "-f", "-")
	pruned := c.mirror(t, "prune").out
	want := []string{"Link linkerd-multicluster/east", "Secret linkerd-multicluster/cluster-credentials-east"}
	if got := references(t, pruned); !slices.Equal(got, want) {
		t.Errorf("prune prints %v, want %v", got, want)
	}
	c.kubectl(t, pruned, "delete", "-f", "-")
	c.mirror(t, "uninstall")
}

// The type Link and the namespace are only printed by the installation that they belong to, and while nobody else needs them.
func TestUninstallKeepsWhatItWasNotAskedFor(t *testing.T) {
	c := installedCluster(t)
	other := c.Namespace(t)
	// The order that TestUninstallKeepsWhatIsOthers does not see: the settings help to try again.
	refs := references(t, c.mirror(t, "uninstall").out)
	if want := []string{"Secret linkerd-multicluster/linkspan-install", "Namespace /linkerd-multicluster"}; !slices.Equal(refs[len(refs)-2:], want) {
		t.Errorf("printed last: %v, want %v", refs, want)
	}
	c.kubectl(t, c.mirror(t, "install", "--gateway", "false", "--namespace", other, "--create-namespace=false", "--skip-crds").out, "apply", "-f", "-")
	c.refuses(t, "needed by what is installed in namespace "+other, "uninstall", "--crds")
	c.refuses(t, "--skip-crds was given", "uninstall", "--crds", "--namespace", other)
	rig.Delete(t, c.Cluster, &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: other, Name: "linkspan-install"}})
	c.refuses(t, "needed by what is installed in namespace "+other, "uninstall", "--crds") // as by Helm, which keeps no such Secret
	c.addUser(t, "tenant", []rbacv1.PolicyRule{reads("*", "*")}, beyondNamespace())
	for _, command := range []string{"upgrade", "prune"} { // none of them needs the Secrets of all namespaces
		c.mirror(t, command, "--as", "tenant")
	}
	got := c.mirror(t, "uninstall", "--crds", "--as", "tenant")
	if !strings.Contains(got.out, "kind: CustomResourceDefinition") || !strings.Contains(got.err, "was not found out") {
		t.Errorf("somebody who may not list Secrets everywhere: %s", got.err)
	}

	c.kubectl(t, c.mirror(t, "upgrade", "--create-namespace=false", "--skip-crds").out, "apply", "-f", "-")
	got = c.mirror(t, "uninstall")
	if strings.Contains(got.out, "kind: Namespace") || !strings.Contains(got.err, "--create-namespace=false was given") {
		t.Errorf("the namespace is somebody else's now: %s", got.err)
	}
}

// Not so many that nobody reads on.
func TestForeignIsReadable(t *testing.T) {
	t.Parallel()
	var foreign []string
	for i := range 100 {
		foreign = append(foreign, fmt.Sprintf("Pod p%d", i))
	}
	if got := someOf(foreign); !strings.HasPrefix(got, "Pod p0, ") || !strings.HasSuffix(got, " and 90 more") {
		t.Error(got)
	}
	if got := someOf(foreign[:10]); !strings.HasSuffix(got, ", Pod p9") {
		t.Error(got)
	}
}

package controller

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rights"
)

// importing makes an account that may write in some namespaces alone: there, and at home, it has Roles. Of the rest of
// the cluster it may read the names of namespaces.
func (p *pair) importing(t *testing.T, namespaces ...string) rig.User {
	t.Helper()
	may, inEach := rights.Importing()
	user := account(t, p.source, p.links, may.Everywhere)
	p.role(t, user, p.links, may.AtHome)
	for _, namespace := range namespaces {
		p.role(t, user, namespace, inEach)
	}
	return user
}

func (p *pair) role(t *testing.T, user rig.User, namespace string, rules []rbacv1.PolicyRule) {
	t.Helper()
	meta := metav1.ObjectMeta{Namespace: namespace, Name: "linkspan-" + rand.String(5)}
	rig.Create(t, p.source, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, &rbacv1.RoleBinding{
		ObjectMeta: meta,
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: meta.Name},
		Subjects:   []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: user.Name}},
	})
}

// SEC-2, LESSON-35: where the controller makes mirrors in some namespaces alone, Roles are enough, what is exported in
// others is told on the Link, and whatever is there stays as it is.
func TestMirrorsInSomeNamespacesAlone(t *testing.T) {
	p := sharedPair(t)
	elsewhere := rig.NamespaceIn(t, p.source, p.target)
	p.controller = p.importing(t, p.apps)
	began := rig.Mark(t, p.source)
	// As the controller left it, which then had the whole cluster.
	left := rig.Service(elsewhere, "old-east", rig.WithLabel(v1alpha3.LabelMirroredService, "true"), rig.WithLabel(v1alpha3.LabelClusterName, "east"),
		rig.WithAnnotation(v1alpha3.AnnotationRemoteServiceFQName, "old."+elsewhere+".svc.cluster.local"))
	rig.Create(t, p.source, left)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	p.exportIn(t, elsewhere, "api")
	key := p.link(t, "east")
	p.run(t, func(o *Options) { o.Mirror.ImportNamespaces = []string{p.apps} })

	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	p.expectLinkEvent(t, key, v1alpha3.ReasonNamespaceForbidden, "--import-namespaces")
	p.expectEntry(t, key, "api", metav1.ConditionFalse, v1alpha3.ReasonNamespaceForbidden)
	p.expectCounts(t, key, v1alpha3.ServiceCounts{Exported: 2, Mirrored: 1, Refused: 1})
	rig.ExpectNoService(t, p.source, elsewhere, "api-east")

	// The first mirror goes with its export, the second with the Link.
	p.export(t, "shop", v1alpha3.ExportedRemoteDiscovery)
	rig.ExpectService(t, p.source, p.apps, "shop-east")
	rig.Delete(t, p.target, &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: p.apps, Name: "web"}})
	rig.ExpectNoService(t, p.source, p.apps, "web-east")
	link := &v1alpha3.Link{ObjectMeta: metav1.ObjectMeta{Namespace: key.Namespace, Name: key.Name}}
	rig.Delete(t, p.source, link)
	rig.ExpectGone(t, p.source, link)
	rig.ExpectNoService(t, p.source, p.apps, "shop-east")
	if err := p.source.Client().Get(t.Context(), client.ObjectKeyFromObject(left), &corev1.Service{}); err != nil {
		t.Errorf("what is in another namespace did not stay: %v", err)
	}
	rig.ExpectRequests(t, p.source, began, nil, rig.By(p.controller.Name), func(r rig.Request) bool { return r.Code == 403 })
}

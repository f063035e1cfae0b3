package observe

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
)

// reviewsAtOnce bounds how many reviews of access are under way.
const reviewsAtOnce = 16

const (
	groupRBAC = "rbac.authorization.k8s.io"
	groupAuth = "authorization.k8s.io"
)

// need is a kind of object, and what is done with it.
type need struct {
	group, resource string
	verbs           []string
}

func (n need) rights(namespace string) []check.Right {
	var all []check.Right
	for _, verb := range n.verbs {
		all = append(all, right(verb, n.group, n.resource, namespace))
	}
	return all
}

// controllerNeeds are the rights of the controller's account if its container has these arguments; a test compares them with what it
// is granted. With --import-namespaces it writes in these namespaces alone.
func controllerNeeds(home string, args []string) []check.Right {
	read := []string{"get", "list", "watch"}
	write := append(slices.Clone(read), "create", "patch", "delete")
	events := need{"events.k8s.io", "events", []string{"create", "patch"}}
	mirrors := []need{
		{"", "services", write}, {"discovery.k8s.io", "endpointslices", write}, {"", "endpoints", []string{"get", "delete"}}, events,
	}
	atHome := []need{
		{v1alpha3.GroupVersion.Group, "links", append(slices.Clone(read), "patch")}, {v1alpha3.GroupVersion.Group, "links/status", []string{"patch"}},
		{"", "secrets", read}, {"coordination.k8s.io", "leases", []string{"get", "create", "update"}},
	}
	imports := importNamespaces(args)
	places := imports
	if len(imports) == 0 {
		places = []string{""}
	} else {
		// Events of Links, and the pods of the egress.
		atHome = append(atHome, events, need{"discovery.k8s.io", "endpointslices", read})
	}
	all := need{"", "namespaces", read}.rights("")
	if isOn(args, "--create-namespaces") {
		all = append(all, right("create", "", "namespaces", ""))
	}
	for _, place := range places {
		for _, one := range mirrors {
			all = append(all, one.rights(place)...)
		}
	}
	for _, one := range atHome {
		all = append(all, one.rights(home)...)
	}
	return all
}

// linkerdNeeds are what an account for other clusters is granted beside, with linkerd; a test compares them with the chart.
func linkerdNeeds() []check.Right {
	read := []string{"get", "list", "watch"}
	var all []check.Right
	for _, one := range []need{{"", "pods", read}, {"apps", "replicasets", read}, {"batch", "jobs", read}, {groupPolicy, "servers", read}} {
		all = append(all, one.rights("")...)
	}
	return all
}

func importNamespaces(args []string) []string { return valuesOf(args, "--import-namespaces") }

// arguments are those of a pod's containers.
func arguments(pod corev1.PodSpec) []string {
	var all []string
	for _, c := range pod.Containers {
		all = append(all, c.Args...)
	}
	return all
}

func isOn(args []string, flag string) bool {
	return slices.Contains(args, flag) || slices.Contains(args, flag+"=true")
}

// valuesOf are those of a flag with a list, which may come from extra arguments, too.
func valuesOf(args []string, flag string) []string {
	var all []string
	for i, arg := range args {
		value, given := strings.CutPrefix(arg, flag+"=")
		if arg == flag && i+1 < len(args) {
			value, given = args[i+1], true
		}
		if given {
			all = append(all, strings.FieldsFunc(value, func(r rune) bool { return r == ',' })...)
		}
	}
	return all
}

// controllerRights asks what the controller's account may do. Who may not ask learns so with the first question.
func (o *Observer) controllerRights(ctx context.Context, namespace string, deployments []appsv1.Deployment) check.Read[[]check.Grant] {
	needs := right("create", groupAuth, "subjectaccessreviews", "")
	i := slices.IndexFunc(deployments, func(d appsv1.Deployment) bool { return d.Labels[labelComponent] == "controller" })
	if i < 0 {
		return read[[]check.Grant](nil, nil, needs)
	}
	pod := deployments[i].Spec.Template.Spec
	user := "system:serviceaccount:" + namespace + ":" + pod.ServiceAccountName
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	rights := controllerNeeds(namespace, arguments(pod))
	ask := func(ctx context.Context, r check.Right) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user, Groups: groups, ResourceAttributes: attributes(r),
		}}
		answer, err := o.kube.AuthorizationV1().SubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	}
	if _, err := ask(ctx, rights[0]); err != nil {
		return read[[]check.Grant](nil, err, needs)
	}
	grants, err := grants(ctx, rights, ask)
	return read(grants, err, needs)
}

// mayInstall asks what the user may do with the kinds that the cluster knows.
func (o *Observer) mayInstall(ctx context.Context, namespace string, t apiTypes) check.Read[[]check.Grant] {
	var rights []check.Right
	for _, r := range o.options.Install {
		if r.Group != v1alpha3.GroupVersion.Group && t.err == nil && !t.groups[r.Group] {
			continue // the chart leaves out, unless told otherwise, what needs types of other projects
		}
		if r.Namespace != "" {
			r.Namespace = namespace
		}
		rights = append(rights, r)
	}
	grants, err := grants(ctx, rights, o.mayI)
	return read(grants, err, right("create", groupAuth, "selfsubjectaccessreviews", ""))
}

// mayGrant asks what the API server asks of who makes the chart's Roles. Those of the controller hold all that the
// others do, but for what values ask for where Linkerd runs.
func (o *Observer) mayGrant(ctx context.Context, namespace string, linkerd bool) check.Read[check.RoleRights] {
	needs := right("create", groupAuth, "selfsubjectaccessreviews", "")
	verbs := []string{"escalate", "bind"}
	leave := slices.Concat(need{groupRBAC, "clusterroles", verbs}.rights(""), need{groupRBAC, "roles", verbs}.rights(namespace))
	var may check.RoleRights
	var err error
	if may.Leave, err = grants(ctx, leave, o.mayI); err != nil {
		return read(may, err, needs)
	}
	if !slices.ContainsFunc(may.Leave, func(g check.Grant) bool { return !g.Allowed }) {
		return read(may, nil, needs)
	}
	if may.Held, err = grants(ctx, controllerNeeds(namespace, nil), o.mayI); err != nil || !linkerd {
		return read(may, err, needs)
	}
	may.Linkerd, err = grants(ctx, linkerdNeeds(), o.mayI)
	return read(may, err, needs)
}

func (o *Observer) mayI(ctx context.Context, r check.Right) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes(r)}}
	answer, err := o.kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
	return err == nil && answer.Status.Allowed, err
}

func attributes(r check.Right) *authorizationv1.ResourceAttributes {
	resource, sub, _ := strings.Cut(r.Resource, "/")
	return &authorizationv1.ResourceAttributes{Verb: r.Verb, Group: r.Group, Resource: resource, Subresource: sub, Namespace: r.Namespace}
}

// grants asks for all rights, some at a time, and keeps their order.
func grants(ctx context.Context, rights []check.Right, ask func(context.Context, check.Right) (bool, error)) ([]check.Grant, error) {
	all := make([]check.Grant, len(rights))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(reviewsAtOnce)
	for i, r := range rights {
		group.Go(func() error {
			allowed, err := ask(ctx, r)
			all[i] = check.Grant{Right: r, Allowed: allowed}
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return nil, err
	}
	return all, nil
}

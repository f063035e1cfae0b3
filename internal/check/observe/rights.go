package observe

import (
	"context"
	"slices"
	"strings"

	"golang.org/x/sync/errgroup"
	appsv1 "k8s.io/api/apps/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
)

// reviewsAtOnce bounds how many reviews of access are under way.
const reviewsAtOnce = 8

// controllerNeeds are the rights of the controller's account; a test compares them with what it is granted.
func controllerNeeds(namespace string) []check.Right {
	readAll := []string{"get", "list", "watch"}
	writeAll := append(slices.Clone(readAll), "create", "patch", "delete")
	var all []check.Right
	for _, need := range []struct {
		group, resource, namespace string
		verbs                      []string
	}{
		{"", "services", "", writeAll},
		{"discovery.k8s.io", "endpointslices", "", writeAll},
		{"", "endpoints", "", []string{"get", "delete"}},
		{"", "namespaces", "", readAll},
		{"events.k8s.io", "events", "", []string{"create", "patch"}},
		{v1alpha3.GroupVersion.Group, "links", namespace, append(slices.Clone(readAll), "patch")},
		{v1alpha3.GroupVersion.Group, "links/status", namespace, []string{"patch"}},
		{"", "secrets", namespace, readAll},
		{"coordination.k8s.io", "leases", namespace, []string{"get", "create", "update"}},
	} {
		for _, verb := range need.verbs {
			all = append(all, right(verb, need.group, need.resource, need.namespace))
		}
	}
	return all
}

// controllerRights asks what the controller's account may do. Who may not ask learns so with the first question.
func (o *Observer) controllerRights(ctx context.Context, namespace string, deployments []appsv1.Deployment) check.Read[[]check.Grant] {
	needs := right("create", "authorization.k8s.io", "subjectaccessreviews", "")
	i := slices.IndexFunc(deployments, func(d appsv1.Deployment) bool { return d.Labels["app.kubernetes.io/component"] == "controller" })
	if i < 0 {
		return read[[]check.Grant](nil, nil, needs)
	}
	pod := deployments[i].Spec.Template.Spec
	user := "system:serviceaccount:" + namespace + ":" + pod.ServiceAccountName
	groups := []string{"system:serviceaccounts", "system:serviceaccounts:" + namespace, "system:authenticated"}
	rights := controllerNeeds(namespace)
	for _, c := range pod.Containers {
		if slices.Contains(c.Args, "--create-namespaces") {
			rights = append(rights, right("create", "", "namespaces", ""))
		}
	}
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

// mayCreate asks what the user may create, of the kinds that the cluster knows.
func (o *Observer) mayCreate(ctx context.Context, namespace string, t apiTypes) check.Read[[]check.Grant] {
	var rights []check.Right
	for _, r := range o.options.Create {
		if r.Group != v1alpha3.GroupVersion.Group && t.err == nil && !t.groups[r.Group] {
			continue // the chart leaves out, unless told otherwise, what needs types of other projects
		}
		if r.Namespace != "" {
			r.Namespace = namespace
		}
		rights = append(rights, r)
	}
	grants, err := grants(ctx, rights, func(ctx context.Context, r check.Right) (bool, error) {
		review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{ResourceAttributes: attributes(r)}}
		answer, err := o.kube.AuthorizationV1().SelfSubjectAccessReviews().Create(ctx, review, metav1.CreateOptions{})
		return err == nil && answer.Status.Allowed, err
	})
	return read(grants, err, right("create", "authorization.k8s.io", "selfsubjectaccessreviews", ""))
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

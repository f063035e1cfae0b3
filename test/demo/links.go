package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/test/rig"
)

// columns are what `kubectl get links` says of the Link, apart from its name and age.
type columns struct{ cluster, ready, reason, services, gateway string }

// healthy is a Link with nothing to complain of.
func healthy(services string) columns {
	return columns{
		cluster: nameEast, ready: string(metav1.ConditionTrue), reason: v1alpha3.ReasonReady,
		services: services, gateway: v1alpha3.ReasonGatewayAlive,
	}
}

// gatewayless is a Link whose gateway is dead.
func gatewayless(services string) columns {
	return columns{
		cluster: nameEast, ready: string(metav1.ConditionFalse), reason: v1alpha3.ReasonGatewayDead,
		services: services, gateway: v1alpha3.ReasonGatewayDead,
	}
}

// awaitLink waits until the Link says what is expected.
func (s *stage) awaitLink(ctx context.Context, want columns) (*v1alpha3.Link, error) {
	var found *v1alpha3.Link
	_, err := rig.Await(ctx, s.west, &v1alpha3.Link{}, rig.In(linksNamespace), func(objects []client.Object) error {
		if len(objects) != 1 {
			return fmt.Errorf("west has %d Links, expected one", len(objects))
		}
		l, ok := objects[0].(*v1alpha3.Link)
		if !ok {
			return fmt.Errorf("unexpected type %T", objects[0])
		}
		if got := columnsOf(l); got != want {
			return fmt.Errorf("the Link says %+v, expected %+v", got, want)
		}
		found = l
		return nil
	})
	return found, err
}

func columnsOf(l *v1alpha3.Link) columns {
	c := columns{cluster: l.Spec.TargetClusterName}
	if ready := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionReady); ready != nil {
		c.ready, c.reason = string(ready.Status), ready.Reason
	}
	if l.Status.Services != nil {
		c.services = fmt.Sprint(l.Status.Services.Mirrored)
	}
	if gateway := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionGatewayReady); gateway != nil {
		c.gateway = gateway.Reason
	}
	return c
}

// showLink waits for the Link and shows it as users see it.
func (s *stage) showLink(ctx context.Context, want columns) error {
	if _, err := s.awaitLink(ctx, want); err != nil {
		return err
	}
	text, err := s.shell.run(ctx, "kubectl --context=west -n "+linksNamespace+" get links")
	if err != nil {
		return err
	}
	return expectRow(text, nameEast, want.cluster, want.ready, want.reason, want.services, want.gateway)
}

// showGateways shows what `mirror gateways` says, and checks that it says alive.
func (s *stage) showGateways(ctx context.Context, alive metav1.ConditionStatus, services string) error {
	text, err := s.shell.run(ctx, "mirror --context=west gateways --metrics-url="+metricsURL(adminAddress))
	if err != nil {
		return err
	}
	return expectRow(text, nameEast, string(alive), services)
}

// whyDead is what the Link says of its dead gateway: that it answered that it was about to end, or that
// it had ended, whichever the last probe met.
func whyDead(l *v1alpha3.Link) (string, error) {
	if len(l.Status.Gateway) != 1 {
		return "", fmt.Errorf("the Link's status has %d gateway addresses, expected one", len(l.Status.Gateway))
	}
	address := l.Status.Gateway[0]
	const ending = "status 503"
	if address.Address != gatewayIP || !strings.Contains(address.LastError, ending) && !strings.Contains(address.LastError, refused) {
		return "", fmt.Errorf("the Link's status says of %s: %q, expected %s and %q or %q", address.Address, address.LastError, gatewayIP, ending, refused)
	}
	return address.LastError, nil
}

// expectRow wants the first row under a table's heading to begin with these cells.
func expectRow(table string, cells ...string) error {
	lines := strings.Split(strings.TrimSpace(table), "\n")
	if len(lines) < 2 {
		return fmt.Errorf("the table has no row, expected one that begins with %q", cells)
	}
	if got := strings.Fields(lines[1]); len(got) < len(cells) || !slices.Equal(got[:len(cells)], cells) {
		return fmt.Errorf("the table's first row is %q, expected it to begin with %q", got, cells)
	}
	return nil
}

// awaitToken waits until east's controller has written the token that `mirror allow` asks for.
func (s *stage) awaitToken(ctx context.Context) error {
	named := rig.In(linksNamespace).And(rig.Named(link.DefaultServiceAccount + "-token"))
	_, err := rig.Await(ctx, s.east, &corev1.Secret{}, named, func(objects []client.Object) error {
		if len(objects) == 0 {
			return errors.New("expected the Secret of the account's token")
		}
		secret, ok := objects[0].(*corev1.Secret)
		if !ok || len(secret.Data[corev1.ServiceAccountTokenKey]) == 0 {
			return errors.New("the Secret has no token, expected one")
		}
		return nil
	})
	return err
}

// right is something that an account may or must not do.
type right struct {
	resource  schema.GroupResource
	verb      string
	namespace string // empty: in all
	want      bool
}

func services() schema.GroupResource { return schema.GroupResource{Resource: "services"} }
func endpointSlices() schema.GroupResource {
	return schema.GroupResource{Group: discoveryv1.GroupName, Resource: "endpointslices"}
}
func linkResource() schema.GroupResource {
	return schema.GroupResource{Group: v1alpha3.GroupVersion.Group, Resource: "links"}
}

// noMore are things that no account of ours may do, not even in the namespace that it lives in.
func noMore() []right {
	return []right{
		{services(), "update", linksNamespace, false},
		{schema.GroupResource{Resource: "secrets"}, "get", linksNamespace, false},
		{schema.GroupResource{Resource: "pods"}, "list", linksNamespace, false},
	}
}

// checkAccount asks a cluster what an account in the links' namespace may do there: what is listed, and
// no more. An API server takes a moment to know of a new binding.
func checkAccount(ctx context.Context, c *rig.Cluster, account string, rights ...right) error {
	for _, question := range append(rights, noMore()...) {
		if err := soon(ctx, func(ctx context.Context) error { return checkRight(ctx, c, account, question) }); err != nil {
			return err
		}
	}
	return nil
}

func checkRight(ctx context.Context, c *rig.Cluster, account string, question right) error {
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User:   "system:serviceaccount:" + linksNamespace + ":" + account,
		Groups: []string{"system:serviceaccounts", "system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: question.resource.Group, Resource: question.resource.Resource, Verb: question.verb, Namespace: question.namespace,
		},
	}}
	if err := c.Client().Create(ctx, review); err != nil {
		return fmt.Errorf("ask %s what account %s may do: %w", c.Name(), account, err)
	}
	if review.Status.Allowed != question.want {
		return fmt.Errorf("account %s of %s may %s %s: %t, expected %t", account, c.Name(), question.verb, question.resource, review.Status.Allowed, question.want)
	}
	return nil
}

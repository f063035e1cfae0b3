package e2e

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rights"
)

// rightsOf are the permissions of each account, and no more (LESSON-34, POL-7).
func rightsOf(account string) rights.Rights {
	switch account {
	case ingressAccount:
		return rights.Ingress()
	case egressAccount:
		return rights.Egress()
	case remoteAccount:
		return rights.Remote()
	default:
		return rights.Controller()
	}
}

// home is the cluster that an account lives in.
func (w *world) home(account string) *rig.Cluster {
	if account == ingressAccount || account == remoteAccount {
		return w.east
	}
	return w.west
}

// account makes an account with its permissions, and returns when its API server knows of them.
func (w *world) account(t *testing.T, name string) rig.User {
	t.Helper()
	c, may := w.home(name), rightsOf(name)
	user, err := c.ServiceAccount(t.Context(), w.links, name)
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Grant(t.Context(), user, may.Everywhere...); err != nil {
		t.Fatal(err)
	}
	if len(may.AtHome) > 0 {
		meta := metav1.ObjectMeta{Namespace: w.links, Name: name}
		rig.Create(t, c, &rbacv1.Role{ObjectMeta: meta, Rules: may.AtHome}, &rbacv1.RoleBinding{
			ObjectMeta: meta,
			RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: name},
			Subjects:   []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: w.links, Name: name}},
		})
		awaitRight(t, c, user, w.links, may.AtHome[0])
	}
	awaitRight(t, c, user, "", may.Everywhere[0])
	return user
}

// awaitRight waits until an API server grants what a new binding says, which takes it a moment.
func awaitRight(t *testing.T, c *rig.Cluster, user rig.User, namespace string, one rbacv1.PolicyRule) {
	t.Helper()
	expectSoon(t, func() error {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
			User: user.Name, Groups: user.Groups,
			ResourceAttributes: &authorizationv1.ResourceAttributes{
				Group: one.APIGroups[0], Resource: one.Resources[0], Verb: one.Verbs[0], Namespace: namespace,
			},
		}}
		if err := c.Client().Create(t.Context(), review); err != nil {
			return err
		}
		if !review.Status.Allowed {
			return fmt.Errorf("%s may not %s %s in %s", user.Name, one.Verbs[0], one.Resources[0], c.Name())
		}
		return nil
	})
}

// kubeconfig is a file for an account, which is made when it is first asked for.
func (w *world) kubeconfig(t *testing.T, account string) string {
	t.Helper()
	if path := w.kubeconfigs[account]; path != "" {
		return path
	}
	path, err := w.home(account).KubeconfigFile(w.account(t, account))
	if err != nil {
		t.Fatal(err)
	}
	w.kubeconfigs[account] = path
	return path
}

// checkAudit reads in the audit logs what all accounts of all worlds have asked for: nothing that was
// refused, and of the gateways' permissions every one. Those that nobody needs would not be least.
func checkAudit(t *testing.T, clusters ...*rig.Cluster) {
	ours := func(r rig.Request) bool { return strings.HasPrefix(r.User, "system:serviceaccount:test-") }
	for _, c := range clusters {
		rig.ExpectRequests(t, c, 0, nil, rig.NotByRig(), func(r rig.Request) bool { return r.Code == 401 || r.Code == 403 })
		requests, err := c.Requests(0, ours)
		if err != nil {
			t.Fatal(err)
		}
		used := map[string][]string{}
		for _, r := range requests {
			account := r.User[strings.LastIndexByte(r.User, ':')+1:]
			if asked := r.String(); !slices.Contains(used[account], asked) {
				used[account] = append(used[account], asked)
			}
		}
		for _, account := range []string{ingressAccount, egressAccount} {
			if len(used[account]) > 0 {
				checkUsed(t, account, used[account])
			}
		}
	}
}

// checkUsed wants all that an account may to have been asked for, and nothing else.
func checkUsed(t *testing.T, account string, used []string) {
	t.Helper()
	var want []string
	may := rightsOf(account)
	for _, one := range slices.Concat(may.Everywhere, may.AtHome) {
		for _, verb := range one.Verbs {
			want = append(want, rig.Request{Verb: verb, Group: one.APIGroups[0], Resource: one.Resources[0]}.String())
		}
	}
	slices.Sort(want)
	slices.Sort(used)
	if !slices.Equal(want, used) {
		t.Errorf("%s asked for %q, want exactly what it may: %q", account, used, want)
	}
}

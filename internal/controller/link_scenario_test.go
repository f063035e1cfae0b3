package controller

import (
	"context"
	"fmt"
	"net/netip"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// promised is how soon a fault of a target shows on its Link (LESSON-41).
const promised = 15 * time.Second

// anonymousRules leave out the permission to read the target's identity, as Linkerd's own do. With
// them one cluster can stand for many.
var anonymousRules = remoteRules[:2]

// wanted is one condition that a Link is to show.
type wanted struct {
	kind   string
	status metav1.ConditionStatus
	reason string
	says   string
}

func (w wanted) check(l *v1alpha3.Link) error {
	c := meta.FindStatusCondition(l.Status.Conditions, w.kind)
	if c == nil {
		return fmt.Errorf("the Link has no condition %s yet", w.kind)
	}
	if c.Status != w.status || c.Reason != w.reason || !strings.Contains(c.Message, w.says) {
		return fmt.Errorf("condition %s is %s (%s: %s), want %s (%s: …%s…)", w.kind, c.Status, c.Reason, c.Message, w.status, w.reason, w.says)
	}
	return nil
}

func isTrue(kind, reason string) wanted {
	return wanted{kind: kind, status: metav1.ConditionTrue, reason: reason}
}

func isFalse(kind, reason, says string) wanted {
	return wanted{kind: kind, status: metav1.ConditionFalse, reason: reason, says: says}
}

// expectLink waits until a Link shows all of some conditions.
func expectLink(t *testing.T, c *rig.Cluster, key client.ObjectKey, conditions ...wanted) *v1alpha3.Link {
	t.Helper()
	return rig.Expect(t, c, linkNamed(key), checksOf(conditions)...)
}

func checksOf(conditions []wanted) []func(*v1alpha3.Link) error {
	checks := make([]func(*v1alpha3.Link) error, 0, len(conditions))
	for _, w := range conditions {
		checks = append(checks, w.check)
	}
	return checks
}

// expectLinkWithin is expectLink with a promise.
func expectLinkWithin(t *testing.T, c *rig.Cluster, limit time.Duration, key client.ObjectKey, conditions ...wanted) {
	t.Helper()
	start := time.Now()
	expectLink(t, c, key, conditions...)
	if took := time.Since(start); took > limit {
		t.Errorf("Link %s showed %v after %s, promised are %s", key.Name, conditions, took.Round(time.Millisecond), limit)
	}
}

// useSecret puts a kubeconfig into the credentials of a Link.
func (p *pair) useSecret(t *testing.T, cluster string, kubeconfig []byte) {
	t.Helper()
	rig.Update(t, p.source, p.secretNamed(cluster), func(s *corev1.Secret) { s.Data = map[string][]byte{v1alpha3.SecretKeyKubeconfig: kubeconfig} })
}

func (p *pair) secretNamed(cluster string) *corev1.Secret {
	return &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: p.links, Name: rig.CredentialsName(cluster)}}
}

func (p *pair) kubeconfig(t *testing.T, user rig.User, options ...rig.KubeconfigOption) []byte {
	t.Helper()
	data, err := p.target.Kubeconfig(user, options...)
	if err != nil {
		t.Fatal(err)
	}
	return data
}

// as is the same pair with another account in the target.
func (p *pair) as(user rig.User) *pair {
	other := *p
	other.remote = user
	return &other
}

// anonymous is the same pair with an account that may not read the target's identity.
func (p *pair) anonymous(t *testing.T) *pair {
	t.Helper()
	return p.as(account(t, p.target, p.apps, anonymousRules))
}

// to is the same source with another target, and an account in it.
func (p *pair) to(t *testing.T, target *rig.Cluster, rules ...rbacv1.PolicyRule) *pair {
	t.Helper()
	other := *p
	other.target = target
	other.remote = account(t, target, p.apps, rules)
	return &other
}

// mirrorWrites keeps the controller's writes to mirrors.
func (p *pair) mirrorWrites() []rig.Filter {
	return []rig.Filter{rig.By(p.controller.Name), rig.Writes(), rig.Of("services", "endpointslices")}
}

// exportDirect exports services that need no gateway: s00, s01, ….
func (p *pair) exportDirect(t *testing.T, n int) []string {
	t.Helper()
	names := make([]string, n)
	for i := range names {
		names[i] = fmt.Sprintf("s%02d", i)
		p.export(t, names[i], v1alpha3.ExportedRemoteDiscovery)
	}
	return names
}

// expectMirrors waits until a cluster has so many mirrors.
func (p *pair) expectMirrors(t *testing.T, cluster string, n int) []*corev1.Service {
	t.Helper()
	scope := rig.In(p.apps).And(rig.Labelled(map[string]string{v1alpha3.LabelClusterName: cluster}))
	return rig.ExpectList(t, p.source, &corev1.Service{}, scope, func(list []*corev1.Service) error {
		if len(list) != n {
			return fmt.Errorf("cluster %s has %d mirrors, want %d", cluster, len(list), n)
		}
		return nil
	})
}

// proxied is a proxy before a target; it ends with the test.
func proxied(t *testing.T, target *rig.Cluster) *rig.Proxy {
	t.Helper()
	proxy, err := target.Proxy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	return proxy
}

// expectNoConnections waits until this process has no TCP connection to an address any more.
func expectNoConnections(t *testing.T, address string) {
	t.Helper()
	to := netip.MustParseAddrPort(address)
	ip := to.Addr().As4()
	remote := fmt.Sprintf("%02X%02X%02X%02X:%04X", ip[3], ip[2], ip[1], ip[0], to.Port())
	rig.ExpectSoon(t, func(context.Context) error {
		table, err := os.ReadFile("/proc/net/tcp")
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(table)) {
			const local, peer, state, established = 1, 2, 3, "01"
			if f := strings.Fields(line); len(f) > state && f[peer] == remote && f[state] == established {
				return fmt.Errorf("a connection from %s to %s is open", f[local], address)
			}
		}
		return nil
	})
}

// sameMirrors wants the very same mirrors as before, and nothing written to them meanwhile.
func sameMirrors(t *testing.T, p *pair, from rig.AuditMark, before, after []*corev1.Service) {
	t.Helper()
	uids := func(list []*corev1.Service) map[string]string {
		out := map[string]string{}
		for _, svc := range list {
			out[svc.Name] = string(svc.UID)
		}
		return out
	}
	if diff := cmp.Diff(uids(before), uids(after)); diff != "" {
		t.Errorf("mirrors (-before +after):\n%s", diff)
	}
	rig.ExpectRequests(t, p.source, from, nil, p.mirrorWrites()...)
}

package controller

import (
	"bytes"
	"context"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/rand"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/logging"
	"github.com/linkspan/linkspan/test/admission"
	"github.com/linkspan/linkspan/test/rig"
)

func TestMain(m *testing.M) { os.Exit(rig.Main(m)) }

// localRules is what the controller may do in its own cluster, and no more: every test runs with it,
// so a verb that is missing here fails them (LESSON-34, POL-7).
var localRules = []rbacv1.PolicyRule{
	{APIGroups: []string{"multicluster.linkerd.io"}, Resources: []string{"links"}, Verbs: []string{"get", "list", "watch", "patch"}},
	{APIGroups: []string{"multicluster.linkerd.io"}, Resources: []string{"links/status"}, Verbs: []string{"patch"}},
	{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
	{APIGroups: []string{""}, Resources: []string{"endpoints"}, Verbs: []string{"get", "delete"}},
	{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch", "create"}},
	{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
	{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"}},
}

// policyFile has the policy that holds the controller's account to mirrors, as the chart renders it. Every test runs
// under it, so what it refuses wrongly fails them (LESSON-35).
const policyFile = "../../charts/test/testdata/ha.golden.yaml"

// remoteRules is what `mirror allow` grants in the target.
var remoteRules = []rbacv1.PolicyRule{
	{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch"}},
	{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"kube-system"}, Verbs: []string{"get"}},
}

// pair is a source with a controller's namespace and a target, linked or about to be.
type pair struct {
	source, target *rig.Cluster
	// links is the namespace of the Links in source, apps one that exists in both.
	links, apps string
	// controller is the account that the controller runs as in source, remote the one in target.
	controller, remote rig.User
}

func newPair(t *testing.T, source, target *rig.Cluster) *pair {
	t.Helper()
	p := &pair{source: source, target: target, links: source.Namespace(t), apps: rig.NamespaceIn(t, source, target)}
	p.controller = account(t, source, p.links, localRules)
	admission.Install(t, source, policyFile, admission.Accounts{
		Pattern: "^system:serviceaccount:test-[^:]+:linkspan-[^:]+$", Example: p.controller.Name,
		AllowNamespaces: []string{"kube-public"}, // as TestSystemNamespacesGetNoMirrors gives the controller
	})
	p.remote = account(t, target, p.apps, remoteRules)
	t.Cleanup(func() { sweep(t, p.apps, source, target) })
	return p
}

func account(t *testing.T, c *rig.Cluster, namespace string, rules []rbacv1.PolicyRule) rig.User {
	t.Helper()
	user, err := c.ServiceAccount(t.Context(), namespace, "linkspan-"+rand.String(5))
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Grant(t.Context(), user, rules...); err != nil {
		t.Fatal(err)
	}
	return user
}

// secret is the target's credentials in the source.
func (p *pair) secret(t *testing.T, cluster string, options ...rig.KubeconfigOption) *corev1.Secret {
	t.Helper()
	kubeconfig, err := p.target.Kubeconfig(p.remote, options...)
	if err != nil {
		t.Fatal(err)
	}
	return rig.CredentialsSecret(p.links, cluster, kubeconfig)
}

// link creates the two objects of a link.
func (p *pair) link(t *testing.T, cluster string, options ...rig.LinkOption) client.ObjectKey {
	t.Helper()
	l := rig.Link(p.links, cluster, options...)
	rig.Create(t, p.source, p.secret(t, cluster), l)
	return client.ObjectKeyFromObject(l)
}

// process is a running controller.
type process struct {
	cancel   context.CancelFunc
	ended    chan error
	log      *syncBuffer
	registry *prometheus.Registry
}

// run starts the controller of a pair; it stops with the test.
func (p *pair) run(t *testing.T, change ...func(*Options)) *process {
	t.Helper()
	cfg, err := p.source.RESTConfig(p.controller)
	if err != nil {
		t.Fatal(err)
	}
	registry := prometheus.NewRegistry()
	opts := Options{Namespace: p.links, AdminAddress: "0", LeaseDuration: 15 * time.Second, Registry: registry}
	opts.Log = logging.Options{Level: "debug", Format: "text"}
	opts.Mirror.Workers = 4
	opts.Mirror.MassDeletionHold = time.Hour
	// As where clients have a Linkerd proxy; the tests of the egress say otherwise.
	opts.Mirror.GatewayClients = v1alpha3.GatewayClientsMesh
	opts.Mirror.EgressService, opts.Mirror.EgressPorts, opts.Mirror.EgressPortHold = "linkspan-egress", "20000-59999", time.Minute
	opts.Probe.Default()
	for _, c := range change {
		c(&opts)
	}
	ctx, cancel := context.WithCancel(context.Background())
	started := &process{cancel: cancel, ended: make(chan error, 1), log: &syncBuffer{}, registry: registry}
	if err := opts.Validate(); err != nil {
		t.Fatal(err)
	}
	// Not Run: it sets the loggers of the whole process, under the feet of the rig's clients.
	log, level := logging.New(opts.Log, started.log)
	go func() { started.ended <- run(ctx, cfg, opts, log, level) }()
	t.Cleanup(func() {
		started.stop(t)
		if t.Failed() {
			t.Logf("controller log:\n%s", started.log.String())
		}
	})
	return started
}

// stop ends the controller and waits for it; a second call does nothing.
func (r *process) stop(t *testing.T) {
	t.Helper()
	if r.ended == nil {
		return
	}
	r.cancel()
	select {
	case err := <-r.ended:
		if err != nil {
			t.Errorf("the controller ended with an error: %v", err)
		}
	case <-time.After(30 * time.Second):
		t.Error("the controller did not stop within 30 s")
	}
	r.ended = nil
}

// syncBuffer is a log that many goroutines write and the test reads.
type syncBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

// Write implements io.Writer.
func (b *syncBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

// String returns all that was written.
func (b *syncBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// gateway is a live stand-in gateway at an address of its own; it ends with the test.
func gateway(t *testing.T, address string) *rig.Gateway {
	t.Helper()
	g, err := rig.NewGateway(address, "ready")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := g.Close(); err != nil {
			t.Error(err)
		}
	})
	return g
}

// export creates a Service with the export label and one ready endpoint in the target.
func (p *pair) export(t *testing.T, name, mode string, options ...rig.ServiceOption) *corev1.Service {
	t.Helper()
	svc := rig.Service(p.apps, name, append([]rig.ServiceOption{rig.Exported(mode), rig.WithSelector("app", name)}, options...)...)
	rig.Create(t, p.target, svc)
	rig.Create(t, p.target, rig.EndpointSlice(svc, []string{"203.0.113.50"}))
	return svc
}

// mirrorsOf lists the mirrors of a cluster in the source.
func (p *pair) mirrorsOf(t *testing.T, cluster string) []corev1.Service {
	t.Helper()
	var list corev1.ServiceList
	err := p.source.Client().List(t.Context(), &list, client.InNamespace(p.apps), client.MatchingLabels{v1alpha3.LabelClusterName: cluster})
	if err != nil {
		t.Fatal(err)
	}
	return list.Items
}

func sliceNamed(namespace, name string) *discoveryv1.EndpointSlice {
	return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
}

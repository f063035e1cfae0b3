package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"

	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/figures"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	linksNamespace = "linkspan"
	appsNamespace  = "shop"
	target         = "east"

	gatewayIP   = "203.0.113.10"
	gatewayPort = 4143
	probePort   = 4191

	// setupParallel is how many objects are prepared at a time; it is not part of what is measured.
	setupParallel = 16
)

// localRules is what the controller may do in its own cluster: all that it needs, and nothing else.
func localRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{v1alpha3.GroupVersion.Group}, Resources: []string{"links"}, Verbs: []string{"get", "list", "watch", "patch"}},
		{APIGroups: []string{v1alpha3.GroupVersion.Group}, Resources: []string{"links/status"}, Verbs: []string{"patch"}},
		{APIGroups: []string{""}, Resources: []string{"secrets"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch", "create", "patch", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"endpoints"}, Verbs: []string{"get", "delete"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"events.k8s.io"}, Resources: []string{"events"}, Verbs: []string{"create", "patch"}},
		{APIGroups: []string{"coordination.k8s.io"}, Resources: []string{"leases"}, Verbs: []string{"get", "create", "update"}},
	}
}

// remoteRules is what the controller may do in the target, as `mirror allow` grants it.
func remoteRules() []rbacv1.PolicyRule {
	return []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{"services"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{"discovery.k8s.io"}, Resources: []string{"endpointslices"}, Verbs: []string{"get", "list", "watch"}},
		{APIGroups: []string{""}, Resources: []string{"namespaces"}, ResourceNames: []string{"kube-system"}, Verbs: []string{"get"}},
	}
}

// world is two linked clusters with services to mirror, and no controller.
type world struct {
	opts     options
	progress *figures.Progress

	rig        *rig.Rig
	west, east *rig.Cluster
	gateway    *rig.Gateway
	version    string
	// controller and remote are the accounts that the controller has in west and east.
	controller, remote rig.User
	kubeconfig         string
	program            string
	// unexported is how many services of east nobody exports.
	unexported int
}

func newWorld(ctx context.Context, opts options, p *figures.Progress) (*world, error) {
	r, err := rig.Start(ctx, rig.Options{Clusters: []rig.ClusterOptions{
		{Name: "west", OwnEtcd: true}, {Name: target, OwnEtcd: true},
	}})
	if err != nil {
		return nil, err
	}
	w := &world{opts: opts, progress: p, rig: r, west: r.Cluster("west"), east: r.Cluster(target), program: os.Getenv(envProgram)}
	if err := w.setUp(ctx); err != nil {
		return nil, errors.Join(err, w.close())
	}
	return w, nil
}

func (w *world) close() error {
	var err error
	if w.gateway != nil {
		err = w.gateway.Close()
	}
	return errors.Join(err, w.rig.Close())
}

func (w *world) setUp(ctx context.Context) error {
	for cluster, names := range map[*rig.Cluster][]string{w.west: {linksNamespace, appsNamespace}, w.east: {linksNamespace, appsNamespace}} {
		for _, name := range names {
			if err := cluster.Client().Create(ctx, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}}); err != nil {
				return fmt.Errorf("creating namespace %s in %s: %w", name, cluster.Name(), err)
			}
		}
	}
	var err error
	if w.controller, err = account(ctx, w.west, localRules()); err != nil {
		return err
	}
	if w.remote, err = account(ctx, w.east, remoteRules()); err != nil {
		return err
	}
	if w.kubeconfig, err = w.west.KubeconfigFile(w.controller); err != nil {
		return err
	}
	if w.gateway, err = rig.NewGateway(fmt.Sprintf("%s:%d", gatewayIP, probePort), "ready"); err != nil {
		return err
	}
	if w.version, err = serverVersion(w.west); err != nil {
		return err
	}
	if err := w.link(ctx); err != nil {
		return err
	}
	w.progress.Say("creating %d exported and %d other services", w.opts.services, w.opts.services)
	err = each(ctx, w.opts.services, func(ctx context.Context, i int) error {
		return w.createRemote(ctx, exportedName(i), i, rig.Exported(v1alpha3.ExportedGateway))
	})
	if err != nil {
		return err
	}
	return w.setUnexported(ctx, w.opts.services)
}

func account(ctx context.Context, c *rig.Cluster, rules []rbacv1.PolicyRule) (rig.User, error) {
	user, err := c.ServiceAccount(ctx, linksNamespace, "linkspan-mirror")
	if err != nil {
		return user, err
	}
	return user, c.Grant(ctx, user, rules...)
}

func serverVersion(c *rig.Cluster) (string, error) {
	config, err := c.RESTConfig(c.Admin())
	if err != nil {
		return "", err
	}
	set, err := kubernetes.NewForConfig(config)
	if err != nil {
		return "", fmt.Errorf("making a client of %s: %w", c.Name(), err)
	}
	version, err := set.Discovery().ServerVersion()
	if err != nil {
		return "", fmt.Errorf("asking %s for its version: %w", c.Name(), err)
	}
	return version.GitVersion, nil
}

// link links west to east through the stand-in gateway.
func (w *world) link(ctx context.Context) error {
	kubeconfig, err := w.east.Kubeconfig(w.remote)
	if err != nil {
		return err
	}
	for _, object := range []client.Object{
		rig.CredentialsSecret(linksNamespace, target, kubeconfig),
		rig.Link(linksNamespace, target, rig.WithGateway(gatewayIP, gatewayPort, probePort)),
	} {
		if err := w.west.Client().Create(ctx, object); err != nil {
			return fmt.Errorf("creating %T: %w", object, err)
		}
	}
	return nil
}

func exportedName(i int) string   { return fmt.Sprintf("svc-%05d", i) }
func unexportedName(i int) string { return fmt.Sprintf("other-%05d", i) }
func mirrorName(name string) string {
	return name + "-" + target
}

// createRemote creates a Service with one ready endpoint in east.
func (w *world) createRemote(ctx context.Context, name string, i int, more ...rig.ServiceOption) error {
	svc := rig.Service(appsNamespace, name, append(more,
		rig.WithSelector("app", name), rig.WithLabel("app", name), rig.WithLabel("app.kubernetes.io/part-of", "shop"),
		rig.WithAnnotation("example.com/owner", "team-"+name))...)
	if err := w.east.Client().Create(ctx, svc); err != nil {
		return fmt.Errorf("creating service %s in %s: %w", name, target, err)
	}
	// 198.18.0.0/15 is set aside for benchmarks.
	address := netip.AddrFrom4([4]byte{198, 18, byte(i >> 8), byte(i)})
	if err := w.east.Client().Create(ctx, rig.EndpointSlice(svc, []string{address.String()})); err != nil {
		return fmt.Errorf("creating the slice of %s in %s: %w", name, target, err)
	}
	return nil
}

func (w *world) deleteRemote(ctx context.Context, name string) error {
	meta := metav1.ObjectMeta{Namespace: appsNamespace, Name: name}
	slice := metav1.ObjectMeta{Namespace: appsNamespace, Name: name + "-1"}
	err := errors.Join(
		w.east.Client().Delete(ctx, &discoveryv1.EndpointSlice{ObjectMeta: slice}),
		w.east.Client().Delete(ctx, &corev1.Service{ObjectMeta: meta}),
	)
	if err != nil {
		return fmt.Errorf("deleting service %s in %s: %w", name, target, err)
	}
	return nil
}

// setUnexported makes or removes services of east that nobody exports until there are n.
func (w *world) setUnexported(ctx context.Context, n int) error {
	have := w.unexported
	if n == have {
		return nil
	}
	w.progress.Say("changing the number of unexported services from %d to %d", have, n)
	err := each(ctx, n-have, func(ctx context.Context, i int) error {
		return w.createRemote(ctx, unexportedName(have+i), have+i)
	})
	if err != nil {
		return err
	}
	err = each(ctx, have-n, func(ctx context.Context, i int) error {
		return w.deleteRemote(ctx, unexportedName(n+i))
	})
	w.unexported = n
	return err
}

// exportOddAs changes how every second exported service is mirrored.
func (w *world) exportOddAs(ctx context.Context, mode string) error {
	patch := client.RawPatch(types.MergePatchType, fmt.Appendf(nil, `{"metadata":{"labels":{%q:%q}}}`, v1alpha3.LabelExported, mode))
	return each(ctx, w.opts.services/2, func(ctx context.Context, i int) error {
		name := exportedName(2*i + 1)
		svc := &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: appsNamespace, Name: name}}
		slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: appsNamespace, Name: name + "-1"}}
		return errors.Join(w.east.Client().Patch(ctx, svc, patch), w.east.Client().Patch(ctx, slice, patch))
	})
}

// clear removes all mirrors from west.
func (w *world) clear(ctx context.Context) error {
	scope := []client.DeleteAllOfOption{client.InNamespace(appsNamespace), client.MatchingLabels{v1alpha3.LabelMirroredService: "true"}}
	err := errors.Join(
		w.west.Client().DeleteAllOf(ctx, &discoveryv1.EndpointSlice{}, scope...),
		w.west.Client().DeleteAllOf(ctx, &corev1.Service{}, scope...),
	)
	if err != nil {
		return fmt.Errorf("removing the mirrors: %w", err)
	}
	return nil
}

// each runs do for 0 to n-1, several at a time; a negative n is none.
func each(ctx context.Context, n int, do func(context.Context, int) error) error {
	return eachIn(ctx, n, setupParallel, do)
}

func eachIn(ctx context.Context, n, parallel int, do func(context.Context, int) error) error {
	group, running := errgroup.WithContext(ctx)
	group.SetLimit(parallel)
	for i := range max(n, 0) {
		if running.Err() != nil {
			break
		}
		group.Go(func() error { return do(running, i) })
	}
	return errors.Join(group.Wait(), context.Cause(ctx))
}

// file names a file of a controller in the rig's folder, which goes with it.
func (w *world) file(name string) string { return filepath.Join(w.west.Dir(), name) }

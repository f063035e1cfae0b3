package remote

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/linkspan/linkspan/api/v1alpha3"
	linkac "github.com/linkspan/linkspan/api/v1alpha3/applyconfiguration/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// deletionPoll is how often a Link that is being deleted looks, in the cache, whether its mirrors are gone.
const deletionPoll = 250 * time.Millisecond

// Gateways is where the gateways of Links are probed.
type Gateways interface {
	Set(l link.Link)
	Remove(name link.Name)
}

// Controller reconciles Link objects into Links, Connections and Gateways. It runs on every replica,
// so that standbys are warm; only the leader writes.
type Controller struct {
	Client client.Client
	// Live reads from the API server itself.
	Live        client.Reader
	Namespace   string
	Imports     []string // the only namespaces that may have mirrors, and be read; all when empty
	Links       *Links
	Connections *Connections
	Gateways    Gateways
	Metrics     *Metrics
	// Changed is called when a Link came, changed or went: everything of it is to be looked at again.
	Changed func(link.Name)
	// Status is called when the Link's status may differ.
	Status func(link.Name)
	// Forget is called when a Link is gone for good.
	Forget func(l link.Link)
	// ResumeHold is told since when the Link's status reports a held mass deletion; zero when it does not.
	ResumeHold func(name link.Name, since time.Time)
	// Elected is closed once this replica is the leader.
	Elected <-chan struct{}
}

// SetupWithManager registers the controller.
func (c *Controller) SetupWithManager(mgr ctrl.Manager) error {
	everyReplica := false
	elected := make(chan event.GenericEvent)
	err := ctrl.NewControllerManagedBy(mgr).
		Named("link").
		WithOptions(controller.Options{NeedLeaderElection: &everyReplica, MaxConcurrentReconciles: 4, ReconciliationTimeout: 30 * time.Second}).
		Watches(&v1alpha3.Link{}, handler.EnqueueRequestsFromMapFunc(c.rivals)).
		Watches(&corev1.Secret{}, handler.EnqueueRequestsFromMapFunc(c.linksUsing)).
		WatchesRawSource(source.Channel(elected, &handler.EnqueueRequestForObject{})).
		Complete(c)
	if err != nil {
		return fmt.Errorf("setting up the link controller: %w", err)
	}
	return mgr.Add(leaderTask(func(ctx context.Context) error { return c.takeOver(ctx, elected) }))
}

// takeOver looks at every known Link once more when this replica leads: what a standby left undone.
// Links that come to be known later find that it leads.
func (c *Controller) takeOver(ctx context.Context, elected chan<- event.GenericEvent) error {
	select {
	case <-c.Elected: // closed a moment after the tasks of the leader have started
	case <-ctx.Done():
		return nil
	}
	for _, name := range c.Links.names() {
		obj := &v1alpha3.Link{}
		obj.Namespace, obj.Name = c.Namespace, string(name)
		select {
		case elected <- event.GenericEvent{Object: obj}:
		case <-ctx.Done():
			return nil
		}
	}
	return nil
}

// leaderTask runs once, when this replica becomes the leader.
type leaderTask func(context.Context) error

// Start implements manager.Runnable.
func (t leaderTask) Start(ctx context.Context) error { return t(ctx) }

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (leaderTask) NeedLeaderElection() bool { return true }

// rivals maps a Link to itself and to every other Link with the same cluster name: when one goes,
// another may take its place.
func (c *Controller) rivals(ctx context.Context, obj client.Object) []reconcile.Request {
	self, ok := obj.(*v1alpha3.Link)
	if !ok {
		return nil
	}
	cluster := c.clusterOf(self)
	out := []reconcile.Request{{NamespacedName: client.ObjectKeyFromObject(obj)}}
	return append(out, c.requests(ctx, func(other *v1alpha3.Link) bool {
		return other.Name != self.Name && other.Spec.TargetClusterName == cluster
	})...)
}

// clusterOf is the name of a Link's cluster that is in force, which an edit does not change.
func (c *Controller) clusterOf(obj *v1alpha3.Link) string {
	if l, ok := c.Links.Get(link.Name(obj.Name)); ok && l.UID == obj.UID {
		return l.Cluster
	}
	return obj.Spec.TargetClusterName
}

func (c *Controller) linksUsing(ctx context.Context, obj client.Object) []reconcile.Request {
	return c.requests(ctx, func(l *v1alpha3.Link) bool { return l.Spec.ClusterCredentialsSecret == obj.GetName() })
}

func (c *Controller) requests(ctx context.Context, pick func(*v1alpha3.Link) bool) []reconcile.Request {
	var list v1alpha3.LinkList
	if err := c.Client.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "Listing Links from the cache")
		return nil
	}
	var out []reconcile.Request
	for i := range list.Items {
		if pick(&list.Items[i]) {
			out = append(out, reconcile.Request{NamespacedName: client.ObjectKeyFromObject(&list.Items[i])})
		}
	}
	return out
}

// Reconcile brings everything that hangs on one Link in step with it.
func (c *Controller) Reconcile(ctx context.Context, req reconcile.Request) (reconcile.Result, error) {
	name := link.Name(req.Name)
	var obj v1alpha3.Link
	if err := c.Client.Get(ctx, req.NamespacedName, &obj); apierrors.IsNotFound(err) {
		c.forget(name)
		return reconcile.Result{}, nil
	} else if err != nil {
		return reconcile.Result{}, fmt.Errorf("reading Link %s: %w", req, err)
	}
	defer c.Status(name)
	parsed, refusal, err := c.accept(ctx, &obj)
	if err != nil {
		return reconcile.Result{}, err
	}
	c.ResumeHold(name, heldSince(obj.Status))
	changed := c.record(name, parsed, refusal)
	if refusal == nil && !parsed.Deleting {
		c.Gateways.Set(parsed)
	}
	err = c.connect(ctx, name, &obj)
	if changed {
		c.Changed(name) // also after an error: the next pass finds nothing changed
	}
	if err != nil {
		return reconcile.Result{}, err
	}
	return c.finalize(ctx, &obj)
}

// accept says whether the Link may be used as it stands.
func (c *Controller) accept(ctx context.Context, obj *v1alpha3.Link) (link.Link, *Failure, error) {
	parsed, invalid := c.Links.parse(obj)
	// Of a Link that is going only the cluster's name matters, and that it is not another Link's.
	if invalid != nil && (!parsed.Deleting || parsed.Cluster == "") {
		return parsed, &Failure{Reason: v1alpha3.ReasonInvalidLink, Err: invalid}, nil
	}
	if cluster := c.clusterOf(obj); cluster != parsed.Cluster {
		err := fmt.Errorf("spec.targetClusterName: cannot be changed from %q to %q, because the mirrors of the old name would stay behind: "+
			"put the old name back, or make a new Link instead", cluster, parsed.Cluster)
		return parsed, &Failure{Reason: v1alpha3.ReasonInvalidLink, Err: err}, nil
	}
	var list v1alpha3.LinkList
	if err := c.Client.List(ctx, &list, client.InNamespace(c.Namespace)); err != nil {
		return parsed, nil, fmt.Errorf("listing Links: %w", err)
	}
	c.Connections.Record(recordedTargets(list.Items))
	for i := range list.Items {
		other := &list.Items[i]
		rival := link.Link{Name: link.Name(other.Name), Created: other.CreationTimestamp.Time}
		if other.Name != obj.Name && c.clusterOf(other) == parsed.Cluster && older(rival, parsed) {
			err := fmt.Errorf("spec.targetClusterName: Link %s has the name %q already: give this cluster another name, or delete one of the two", other.Name, parsed.Cluster)
			return parsed, &Failure{Reason: v1alpha3.ReasonDuplicateCluster, Err: err}, nil
		}
	}
	return parsed, nil, nil
}

// record keeps what was read, and says whether it differs from before.
func (c *Controller) record(name link.Name, parsed link.Link, refusal *Failure) (changed bool) {
	c.Links.update(name, func(e *entry) {
		switch {
		case parsed.Deleting && e.usable:
			// Whatever else became of it: what it owned is to go.
			changed = !e.link.Deleting
			e.link.Deleting = true
		case refusal == nil:
			changed = !e.usable || !reflect.DeepEqual(e.link, parsed)
			e.link, e.usable = parsed, true
		case refusal.Reason == v1alpha3.ReasonDuplicateCluster:
			changed, e.usable = e.usable, false
		}
		e.refusal, e.ignored = refusal, parsed.Ignored
	})
	return changed
}

// connect reads the credentials and sets the connection's target. What is wrong with either leaves
// the connection that there is alone.
func (c *Controller) connect(ctx context.Context, name link.Name, obj *v1alpha3.Link) error {
	l, ok := c.Links.Get(name)
	if !ok {
		c.Connections.Remove(name)
		c.Gateways.Remove(name)
		return nil
	}
	if l.Deleting {
		c.Connections.Remove(name)
		return nil
	}
	creds, fingerprint, failure, err := c.credentials(ctx, l)
	if err != nil {
		return err
	}
	expiry, _ := creds.Expiry()
	newFault := c.Links.setCredentials(name, credentials{failure: failure, fingerprint: fingerprint, expiry: expiry})
	c.Metrics.credentials(name, l.Cluster, failure, newFault, expiry)
	if failure != nil {
		return nil
	}
	target := Target{Link: l, Credentials: creds, Fingerprint: fingerprint}
	if obj.Status.Target != nil {
		target.KnownUID = obj.Status.Target.UID
	}
	c.Connections.Set(target)
	return nil
}

func (c *Controller) credentials(ctx context.Context, l link.Link) (link.Credentials, string, *Failure, error) {
	var secret corev1.Secret
	err := c.Client.Get(ctx, client.ObjectKey{Namespace: l.Namespace, Name: l.CredentialsSecret}, &secret)
	if apierrors.IsNotFound(err) {
		err := fmt.Errorf("secret %s/%s of type %s does not exist: apply the one that `mirror link` printed", l.Namespace, l.CredentialsSecret, v1alpha3.SecretTypeRemoteKubeconfig)
		return link.Credentials{}, "", &Failure{Reason: v1alpha3.ReasonCredentialsMissing, Err: err}, nil
	}
	if err != nil {
		return link.Credentials{}, "", nil, fmt.Errorf("reading Secret %s/%s: %w", l.Namespace, l.CredentialsSecret, err)
	}
	data, ok := secret.Data[v1alpha3.SecretKeyKubeconfig]
	if !ok {
		err := fmt.Errorf("secret %s/%s has no key %q: put the target's kubeconfig there", l.Namespace, l.CredentialsSecret, v1alpha3.SecretKeyKubeconfig)
		return link.Credentials{}, "", &Failure{Reason: v1alpha3.ReasonCredentialsInvalid, Err: err}, nil
	}
	creds, err := link.ParseKubeconfig(data, link.KubeconfigOptions{AllowInsecure: l.InsecureSkipTLSVerify})
	if err != nil {
		err := fmt.Errorf("secret %s/%s: %w", l.Namespace, l.CredentialsSecret, err)
		return link.Credentials{}, link.Fingerprint(data), &Failure{Reason: v1alpha3.ReasonCredentialsInvalid, Err: err}, nil
	}
	return creds, link.Fingerprint(data), nil, nil
}

// finalize holds the Link until its mirrors are gone, whatever the state of its target.
func (c *Controller) finalize(ctx context.Context, obj *v1alpha3.Link) (reconcile.Result, error) {
	held, deleting := slices.Contains(obj.Finalizers, v1alpha3.FinalizerMirrors), !obj.DeletionTimestamp.IsZero()
	if !c.leading() || held != deleting {
		return reconcile.Result{}, nil
	}
	intent := linkac.Link(obj.Name, obj.Namespace).WithUID(obj.UID)
	if deleting {
		left, err := c.mirrorsLeft(ctx, link.Name(obj.Name))
		if err != nil {
			return reconcile.Result{}, err
		}
		if left {
			return reconcile.Result{RequeueAfter: deletionPoll}, nil
		}
	} else {
		// The cache may be older than our own write: ask once, rather than write twice.
		if written, err := c.finalizerWritten(ctx, obj); written || err != nil {
			return reconcile.Result{}, err
		}
		intent = intent.WithFinalizers(v1alpha3.FinalizerMirrors)
	}
	err := c.Client.Apply(ctx, intent, client.FieldOwner(v1alpha3.FieldManager), client.ForceOwnership)
	if err != nil && !apierrors.IsConflict(err) && !apierrors.IsNotFound(err) {
		return reconcile.Result{}, fmt.Errorf("writing the finalizers of Link %s/%s: %w", obj.Namespace, obj.Name, err)
	}
	return reconcile.Result{}, nil
}

// finalizerWritten says whether the Link has its finalizer already, or is gone.
func (c *Controller) finalizerWritten(ctx context.Context, obj *v1alpha3.Link) (bool, error) {
	var live v1alpha3.Link
	err := c.Live.Get(ctx, client.ObjectKeyFromObject(obj), &live)
	if apierrors.IsNotFound(err) {
		return true, nil
	} else if err != nil {
		return false, fmt.Errorf("reading Link %s/%s: %w", obj.Namespace, obj.Name, err)
	}
	return live.UID != obj.UID || slices.Contains(live.Finalizers, v1alpha3.FinalizerMirrors), nil
}

// mirrorsLeft looks in the cache first and, when it has none left, asks the API server: the last
// mirror may be too young for the cache. A Link that never owned its cluster name has none.
func (c *Controller) mirrorsLeft(ctx context.Context, name link.Name) (bool, error) {
	l, owner := c.Links.Get(name)
	if !owner {
		return false, nil
	}
	labels := client.MatchingLabels{v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: l.Cluster}
	namespaces := c.Imports
	if len(namespaces) == 0 {
		namespaces = []string{corev1.NamespaceAll}
	}
	for _, reader := range []client.Reader{c.Client, c.Live} {
		for _, namespace := range namespaces {
			var services corev1.ServiceList
			var endpointSlices discoveryv1.EndpointSliceList
			in := client.InNamespace(namespace)
			if err := errors.Join(reader.List(ctx, &services, labels, in), reader.List(ctx, &endpointSlices, labels, in)); err != nil {
				return false, fmt.Errorf("looking for mirrors of cluster %s: %w", l.Cluster, err)
			}
			if ownServices(services.Items, l) || ownSlices(endpointSlices.Items, l) {
				return true, nil
			}
		}
	}
	return false, nil
}

// ownServices leaves out what a plan never touches, and what would therefore hold the Link for ever:
// headless mirrors of Linkerd's controller and their per-pod mirrors, what does not say which service
// it mirrors, and copies of a mirror under other names.
func ownServices(services []corev1.Service, l link.Link) bool {
	for i := range services {
		svc := &services[i]
		_, perPod := svc.Labels[v1alpha3.LabelHeadlessMirrorName]
		mirror, ok := mirrorOf(svc, l)
		if ok && mirror == svc.Name && !perPod && svc.Spec.ClusterIP != corev1.ClusterIPNone {
			return true
		}
	}
	return false
}

// ownSlices leaves out the slices that a plan never touches: those of other controllers, and those of
// no mirror.
func ownSlices(found []discoveryv1.EndpointSlice, l link.Link) bool {
	for i := range found {
		slice := &found[i]
		mirror, ok := mirrorOf(slice, l)
		if ok && slice.Labels[discoveryv1.LabelManagedBy] == v1alpha3.SliceManagedBy && slice.Labels[discoveryv1.LabelServiceName] == mirror {
			return true
		}
	}
	return false
}

// mirrorOf is the name of the mirror that an object says it belongs to.
func mirrorOf(obj client.Object, l link.Link) (name string, ok bool) {
	namespace, service, ok := link.SplitFQName(obj.GetAnnotations()[v1alpha3.AnnotationRemoteServiceFQName])
	return l.MirrorName(service), ok && namespace == obj.GetNamespace()
}

func (c *Controller) leading() bool {
	select {
	case <-c.Elected:
		return true
	default:
		return false
	}
}

func (c *Controller) forget(name link.Name) {
	e, ok := c.Links.entry(name)
	if !ok {
		return
	}
	c.Connections.Remove(name)
	c.Gateways.Remove(name)
	c.Links.remove(name)
	e.link.Name = name // it has no other value when it was never accepted
	c.Forget(e.link)
}

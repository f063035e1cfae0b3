package remote

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/tools/cache"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// ServiceKey names a Service in a target.
type ServiceKey struct{ Namespace, Name string }

// maxRemembered bounds how many deletions a connection remembers having seen.
const maxRemembered = 10_000

// Connection is one set of synced watches on one target, made with one set of credentials. It is a
// value in spirit: built whole or not at all, and thrown away when it is lost.
type Connection struct {
	target Target
	// uid is the target's kube-system UID, empty when the credentials may not read it.
	uid    types.UID
	client *remoteClient
	// changed is called for each change of a service, once the connection is live.
	changed func(key ServiceKey, initial bool)
	live    atomic.Bool

	services, slices []*feed
	manual           *manualSlices
	life             context.Context //nolint:containedctx // the connection's own, not a call's
	end              context.CancelFunc

	// problems carries refusals that end the connection, relisted that a fresh list lacked objects.
	problems chan *Failure
	relisted chan struct{}

	mu      sync.Mutex
	deleted map[ServiceKey]struct{}                     // seen to be deleted, and not seen since
	leaving map[ServiceKey][]*discoveryv1.EndpointSlice // which one of several watches lost a moment ago, oldest first
}

// connect builds a connection. The end of ctx ends the building; the connection lives until stop or the end of life.
func connect(ctx, life context.Context, t Target, userAgent string, check func(context.Context, types.UID) error, changed func(ServiceKey, bool)) (*Connection, error) {
	client, err := newRemoteClient(t.Credentials, userAgent)
	if err != nil {
		return nil, &Failure{Reason: v1alpha3.ReasonCredentialsInvalid, Err: err, Permanent: true}
	}
	c := &Connection{
		target: t, client: client, changed: changed, problems: make(chan *Failure, 1), relisted: make(chan struct{}, 1),
		deleted: map[ServiceKey]struct{}{}, leaving: map[ServiceKey][]*discoveryv1.EndpointSlice{},
	}
	if c.uid, err = c.reach(ctx, check); err != nil {
		client.close()
		return nil, classify("connecting to "+t.Credentials.Server, err)
	}
	c.life, c.end = context.WithCancel(life)
	if err := c.sync(ctx, c.life); err != nil {
		c.stop()
		return nil, classify("reading the services of "+t.Credentials.Server, err)
	}
	return c, nil
}

// reach makes sure that the target answers, and that it may be used.
func (c *Connection) reach(ctx context.Context, check func(context.Context, types.UID) error) (types.UID, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	uid, err := c.identity(ctx)
	if err != nil {
		return "", err
	}
	return uid, check(ctx, uid)
}

// identity reads the UID of kube-system, which tells one cluster from another. Linkerd's own access
// rules do not permit that: then the identity is unknown and only the checks that need it are left out.
func (c *Connection) identity(ctx context.Context) (types.UID, error) {
	ns, err := c.client.CoreV1().Namespaces().Get(ctx, metav1.NamespaceSystem, metav1.GetOptions{})
	switch {
	case apierrors.IsForbidden(err):
		return "", nil
	case err != nil:
		return "", err
	case !legalUID(string(ns.UID)):
		return "", errors.New("the UID of the target's namespace kube-system is none")
	}
	return ns.UID, nil
}

// sync starts the watches, services first, and waits until each has its first list.
func (c *Connection) sync(ctx, life context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, listTimeout)
	defer cancel()
	serviceHandler := feedHandler{changed: c.serviceChanged, deleted: c.serviceDeleted, failed: c.watchFailed}
	sliceHandler := feedHandler{changed: c.sliceChanged, deleted: c.sliceDeleted, failed: c.watchFailed}
	c.manual = newManualSlices(c.client, sliceHandler)
	for _, s := range watchSelectors(c.target.Link.Exported, c.target.Link.RemoteDiscovery) {
		services, err := newServiceFeed(c.client, s, serviceHandler)
		if err != nil {
			return err
		}
		// The EndpointSlice controller copies a Service's labels to its slices, so the same selector
		// picks the slices of what is exported and nothing else.
		endpoints, err := newSliceFeed(c.client, s, sliceHandler)
		if err != nil {
			return err
		}
		c.services, c.slices = append(c.services, services), append(c.slices, endpoints)
	}
	// Not before all are there: what the first one brings is looked up in all of them.
	for _, f := range slices.Concat(c.services, c.slices) {
		f.start(life)
	}
	if err := c.synced(ctx, slices.Concat(c.services, c.slices)...); err != nil {
		return err
	}
	for _, key := range c.keys() {
		c.note(key, false)
	}
	return c.manual.start(ctx, life, c)
}

// synced waits for the first list of each feed, or for the first refusal. It is for the time before
// the connection is in use: after that its session hears of problems.
func (c *Connection) synced(ctx context.Context, feeds ...*feed) error {
	for _, f := range feeds {
		if err := c.listed(ctx, f); err != nil {
			return err
		}
	}
	return nil
}

// listed waits for the first list of a feed, as long as something of it comes.
func (c *Connection) listed(ctx context.Context, f *feed) error {
	for {
		left, failure := c.lost("reading the services of")
		if failure != nil {
			return failure
		}
		silent := connectTimeout - time.Since(c.client.health.Heard())
		if silent <= 0 {
			return fmt.Errorf("nothing more of the first list came for %s: %w", connectTimeout, context.DeadlineExceeded)
		}
		select {
		case <-f.informer.HasSyncedChecker().Done():
			return nil
		case failure := <-c.problems:
			return failure
		case <-ctx.Done():
			return fmt.Errorf("the first list took too long: %w", ctx.Err())
		case <-c.client.health.Changed():
		case <-time.After(min(left, silent)):
		}
	}
}

// lost says why the connection counts as lost, or else how long it has left to recover.
func (c *Connection) lost(doing string) (time.Duration, *Failure) {
	err := c.client.health.Failing()
	if err == nil {
		return math.MaxInt64, nil
	}
	left := lostAfter - time.Since(c.client.health.Since())
	if left > 0 && !errors.Is(err, errUnauthorized) {
		return left, nil
	}
	return 0, classify(doing+" "+c.target.Credentials.Server, err)
}

// stop ends the watches and waits for them. Safe on a connection that was only half built.
func (c *Connection) stop() {
	c.live.Store(false)
	c.end()
	if c.manual != nil {
		c.manual.stop()
	}
	for _, f := range slices.Concat(c.services, c.slices) {
		f.stop()
	}
	c.client.close()
}

// watchFailed hears each failed list or watch. Refusals end the connection; the watches retry
// everything else by themselves, and health counts how long that goes on.
func (c *Connection) watchFailed(err error) {
	if apierrors.IsForbidden(err) || apierrors.IsUnauthorized(err) {
		select {
		case c.problems <- classify("watching "+c.target.Credentials.Server, err):
		default:
		}
	}
}

func (c *Connection) serviceChanged(obj any, initial bool) {
	if key, ok := keyOf(obj); ok {
		c.note(key, false)
		c.tell(key, initial)
	}
}

func (c *Connection) serviceDeleted(obj any, missing bool) {
	if key, ok := keyOf(obj); ok {
		if missing {
			select {
			case c.relisted <- struct{}{}:
			default:
			}
		}
		c.note(key, !missing)
		c.tell(key, false)
	}
}

// note keeps what follows from the present state of a service; seenToGo says that a watch saw it go.
// It may be there all the same: of two watches, one can see a service that moves between them before
// the other misses it. Hence one lock over the look and what is made of it.
func (c *Connection) note(key ServiceKey, seenToGo bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	svc := c.service(key)
	c.manual.want(key, svc != nil && len(svc.Spec.Selector) == 0)
	switch {
	case svc != nil:
		delete(c.deleted, key)
	case seenToGo:
		if len(c.deleted) >= maxRemembered {
			clear(c.deleted)
		}
		c.deleted[key] = struct{}{}
	}
}

func (c *Connection) sliceChanged(obj any, initial bool) {
	if key, ok := keyOf(obj); ok {
		c.tell(key, initial)
	}
}

// sliceDeleted lets a slice that one of several watches lost count for a while: of two, one can lose a slice that moves
// between them before the other finds it, and a pass in between must not take its endpoints away (MIR-12).
func (c *Connection) sliceDeleted(obj any, _ bool) {
	slice, isSlice := obj.(*discoveryv1.EndpointSlice)
	key, ok := keyOf(obj)
	if len(c.slices) < 2 || !ok || !isSlice {
		c.sliceChanged(obj, false)
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.leaving[key] = append(c.leaving[key], slice)
	time.AfterFunc(settle, func() {
		c.mu.Lock()
		if c.leaving[key] = c.leaving[key][1:]; len(c.leaving[key]) == 0 {
			delete(c.leaving, key)
		}
		c.mu.Unlock()
		c.tell(key, false)
	})
}

func (c *Connection) tell(key ServiceKey, initial bool) {
	if c.live.Load() {
		c.changed(key, initial)
	}
}

// service returns the exported Service, or nil.
func (c *Connection) service(key ServiceKey) *corev1.Service {
	for _, f := range c.services {
		obj, ok, err := f.informer.GetStore().GetByKey(key.Namespace + "/" + key.Name)
		if svc := c.exported(obj); err == nil && ok && svc != nil {
			return svc
		}
	}
	return nil
}

// exported returns a cached object as what the Link selects, or nil: a target can send anything.
func (c *Connection) exported(obj any) *corev1.Service {
	svc, ok := obj.(*corev1.Service)
	if !ok || c.target.Link.Mode(svc.Labels) == link.ModeNone || !(ServiceKey{svc.Namespace, svc.Name}).legal() {
		return nil
	}
	return svc
}

// slicesOf returns the slices of a service, each once, whichever watches saw it.
func (c *Connection) slicesOf(key ServiceKey) ([]*discoveryv1.EndpointSlice, error) {
	found := map[string]*discoveryv1.EndpointSlice{}
	indexers := make([]cache.Indexer, 0, len(c.slices)+1)
	for _, f := range c.slices {
		indexers = append(indexers, f.informer.GetIndexer())
	}
	if manual := c.manual.indexer(); manual != nil {
		indexers = append(indexers, manual)
	}
	for _, indexer := range indexers {
		objs, err := indexer.ByIndex(byService, key.Namespace+"/"+key.Name)
		if err != nil {
			return nil, fmt.Errorf("reading the cached slices of %s/%s: %w", key.Namespace, key.Name, err)
		}
		for _, obj := range objs {
			if slice, ok := obj.(*discoveryv1.EndpointSlice); ok && legalSliceName(slice.Name) {
				found[slice.Name] = slice
			}
		}
	}
	c.mu.Lock() // last, so that one that leaves a watch meanwhile is not missed
	defer c.mu.Unlock()
	for _, slice := range slices.Backward(c.leaving[key]) {
		if found[slice.Name] == nil && legalSliceName(slice.Name) {
			found[slice.Name] = slice
		}
	}
	return sortedByName(found), nil
}

// keys lists every exported service that the connection knows.
func (c *Connection) keys() []ServiceKey {
	out := []ServiceKey{} // never nil, which would mean that nothing is known
	for _, f := range c.services {
		for _, obj := range f.informer.GetStore().List() {
			if svc := c.exported(obj); svc != nil {
				out = append(out, ServiceKey{svc.Namespace, svc.Name})
			}
		}
	}
	return out
}

// sawDeletion says whether the service was seen to be deleted or unexported, and not just found
// missing from a list.
func (c *Connection) sawDeletion(key ServiceKey) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, ok := c.deleted[key]
	return ok
}

// confirmGone asks the target itself whether a service is gone or exported no more.
func (c *Connection) confirmGone(ctx context.Context, key ServiceKey) (bool, error) {
	if !c.sawDeletion(key) {
		// Missing from a list: another cluster behind the same address would miss it too.
		if err := c.recheck(ctx); err != nil {
			return false, err
		}
	}
	svc, err := c.client.CoreV1().Services(key.Namespace).Get(ctx, key.Name, metav1.GetOptions{})
	switch {
	case apierrors.IsNotFound(err):
		return true, nil
	case err != nil:
		return false, fmt.Errorf("asking %s for service %s/%s: %w", c.target.Credentials.Server, key.Namespace, key.Name, err)
	default:
		return c.target.Link.Mode(svc.Labels) == link.ModeNone, nil
	}
}

// recheck makes sure that the same cluster still answers, after a fresh list lacked objects or after
// the connection failed: another etcd behind the same address must not delete our mirrors, nor let us
// wait for ever for changes that come after those we knew (LESSON-28).
func (c *Connection) recheck(ctx context.Context) error {
	if c.uid == "" {
		return nil
	}
	switch uid, err := c.identity(ctx); {
	case err != nil:
		return err
	case uid == "":
		return &Failure{Reason: v1alpha3.ReasonForbidden, Err: errors.New("namespace kube-system may not be read any more")}
	case uid != c.uid:
		return &Failure{Reason: v1alpha3.ReasonTargetChanged, Err: errors.New("another cluster now answers at " + c.target.Credentials.Server)}
	default:
		return nil
	}
}

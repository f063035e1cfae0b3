package remote

import (
	"cmp"
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/sets"
	"k8s.io/client-go/tools/cache"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// The manager name that Kubernetes' own EndpointSlice controller puts on its slices.
const endpointSliceController = "endpointslice-controller.k8s.io"

// Beyond this many names the watch is no longer narrowed to them: a selector has to fit in a URL.
const maxNamedServices = 100

// settle gathers changes of the wanted services before the watch is built anew.
const settle = 200 * time.Millisecond

// manualSlices watches the slices of exported services that have no selector: nobody copies the
// Service's labels to them, so they are picked by the Service's name instead. The watch is rebuilt
// when the set of such services changes, new one first; there is none while there is no such service.
type manualSlices struct {
	client  *remoteClient
	handler feedHandler
	wake    chan struct{}
	ended   chan struct{}
	cancel  context.CancelFunc

	mu       sync.Mutex
	services map[ServiceKey]struct{}
	// affected are the services whose slices the next watch may show, or show no more: those that the
	// current one was built for, and all that were wanted since.
	affected map[ServiceKey]struct{}
	current  *feed
}

func newManualSlices(c *remoteClient, h feedHandler) *manualSlices {
	return &manualSlices{
		client: c, handler: h, wake: make(chan struct{}, 1),
		services: map[ServiceKey]struct{}{}, affected: map[ServiceKey]struct{}{},
	}
}

// want says whether key is an exported service without a selector.
func (m *manualSlices) want(key ServiceKey, wanted bool) {
	m.mu.Lock()
	_, had := m.services[key]
	if wanted {
		m.services[key], m.affected[key] = struct{}{}, struct{}{}
	} else {
		delete(m.services, key)
	}
	m.mu.Unlock()
	if had != wanted {
		m.nudge()
	}
}

func (m *manualSlices) nudge() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// picks are the services that a watch is for, and the selector that picks their slices; it is empty
// when there are none.
type picks struct {
	services map[ServiceKey]struct{}
	selector string
}

// start syncs the first watch within ctx and keeps it right until the end of life.
func (m *manualSlices) start(ctx, life context.Context, c *Connection) error {
	first := m.picks()
	err := m.rebuild(life, c, first, func(f *feed) error { return c.synced(ctx, f) })
	if err != nil {
		return err
	}
	life, m.cancel = context.WithCancel(life)
	m.ended = make(chan struct{})
	go func() {
		defer close(m.ended)
		m.follow(life, c, first.selector)
	}()
	return nil
}

// follow rebuilds the watch when it must pick other services. The connection is in use meanwhile: its
// session, and nobody here, hears of refusals and of trouble with the target.
func (m *manualSlices) follow(ctx context.Context, c *Connection, built string) {
	backoff, pause := newBackoff(), settle
	for {
		select {
		case <-ctx.Done():
			return
		case <-m.wake:
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(pause):
		}
		next := m.picks()
		if next.selector == built {
			continue
		}
		syncing, cancel := context.WithTimeout(ctx, listTimeout)
		err := m.rebuild(ctx, c, next, func(f *feed) error { return f.listed(syncing) })
		cancel()
		if err != nil {
			// The connection is being lost, or the target is slow: try again until one of them is over.
			pause = backoff.Step()
			m.nudge()
			continue
		}
		backoff, pause, built = newBackoff(), settle, next.selector
	}
}

// rebuild starts a watch of the given services, waits until it is synced, puts it in place of the
// current one, and stops that. Services that it picks no more are told of like those that it picks now.
func (m *manualSlices) rebuild(life context.Context, c *Connection, p picks, synced func(*feed) error) error {
	var next *feed
	if p.selector != "" {
		parsed, err := labels.Parse(p.selector)
		if err != nil {
			return err
		}
		if next, err = newSliceFeed(m.client, parsed, m.handler); err != nil {
			return err
		}
		next.start(life)
		if err := synced(next); err != nil {
			next.stop()
			return err
		}
	}
	m.mu.Lock()
	old := m.current
	m.current = next
	affected := slices.Collect(maps.Keys(m.affected))
	m.affected = maps.Clone(m.services)
	maps.Copy(m.affected, p.services)
	m.mu.Unlock()
	if old != nil {
		old.stop()
	}
	for _, key := range affected {
		c.tell(key, true)
	}
	return nil
}

// picks picks the slices of the wanted services that no label picks.
func (m *manualSlices) picks() picks {
	m.mu.Lock()
	wanted := maps.Clone(m.services)
	m.mu.Unlock()
	if len(wanted) == 0 {
		return picks{}
	}
	names := sets.New[string]()
	for key := range wanted {
		names.Insert(key.Name)
	}
	sel := labels.NewSelector()
	byOthers, _ := labels.NewRequirement(discoveryv1.LabelManagedBy, selection.NotIn, []string{endpointSliceController})
	noMirror, _ := labels.NewRequirement(v1alpha3.LabelMirroredService, selection.DoesNotExist, nil)
	sel = sel.Add(*byOthers, *noMirror)
	if len(names) <= maxNamedServices {
		named, _ := labels.NewRequirement(discoveryv1.LabelServiceName, selection.In, sets.List(names))
		sel = sel.Add(*named)
	}
	return picks{services: wanted, selector: sel.String()}
}

func (m *manualSlices) indexer() cache.Indexer {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.current == nil {
		return nil
	}
	return m.current.informer.GetIndexer()
}

func (m *manualSlices) stop() {
	if m.cancel != nil {
		m.cancel()
		<-m.ended
	}
	m.mu.Lock()
	current := m.current
	m.current = nil
	m.mu.Unlock()
	if current != nil {
		current.stop()
	}
}

func sortedByName(byName map[string]*discoveryv1.EndpointSlice) []*discoveryv1.EndpointSlice {
	return slices.SortedFunc(maps.Values(byName), func(a, b *discoveryv1.EndpointSlice) int { return cmp.Compare(a.Name, b.Name) })
}

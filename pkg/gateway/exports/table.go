package exports

import (
	"math/rand/v2"
	"sync"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Table knows the exported Services and the endpoints of those that are headless. It is safe for
// concurrent use; see the package's comment for how it may be fed.
type Table struct {
	log      logr.Logger
	metrics  *Metrics
	onChange func(namespace, name string)
	// exported selects Services, and headless the EndpointSlices of headless ones.
	exported, headless labels.Selector
	// shuffle is rand.Shuffle, but in tests.
	shuffle func(n int, swap func(i, j int))

	mu       sync.RWMutex
	services map[key]*service
	// slices are by their own names, and byService holds the same once more by Service.
	slices    map[key]*slice
	byService map[key]map[key]*slice
	// servicesListed and slicesListed say that all there were have been told once.
	servicesListed, slicesListed bool
}

type key = types.NamespacedName

// NewTable makes a Table that knows nothing yet. onChange is called after each change of what Resolve
// answers for a Service, endpoints included, so that streams that are open can be judged again; nil is
// allowed. The error is that of opts.Validate.
func NewTable(log logr.Logger, opts Options, metrics *Metrics, onChange func(namespace, name string)) (*Table, error) {
	if err := opts.Validate(); err != nil {
		return nil, err
	}
	exported, err := opts.selector()
	if err != nil {
		return nil, err
	}
	headless, err := ofHeadless(exported)
	if err != nil {
		return nil, err
	}
	if onChange == nil {
		onChange = func(string, string) {}
	}
	return &Table{
		log: log, metrics: metrics, onChange: onChange,
		exported: exported, headless: headless, shuffle: rand.Shuffle,
		services: map[key]*service{}, slices: map[key]*slice{}, byService: map[key]map[key]*slice{},
	}, nil
}

// Synced says whether all Services and EndpointSlices have been told once. It stays true after that,
// whatever becomes of the API server.
func (t *Table) Synced() bool {
	t.mu.RLock()
	defer t.mu.RUnlock()
	return t.synced()
}

func (t *Table) synced() bool { return t.servicesListed && t.slicesListed }

// SetService tells of a Service as it is now. One that is not exported is forgotten.
func (t *Table) SetService(svc *corev1.Service) {
	t.takeServices(map[key]*service{serviceKey(svc): t.read(svc)}, false)
}

// DeleteService tells that a Service is gone, or no longer exported.
func (t *Table) DeleteService(namespace, name string) {
	t.takeServices(map[key]*service{{Namespace: namespace, Name: name}: nil}, false)
}

// ReplaceServices tells of all Services that there are. Others are forgotten.
func (t *Table) ReplaceServices(all []*corev1.Service) {
	next := make(map[key]*service, len(all))
	for _, svc := range all {
		next[serviceKey(svc)] = t.read(svc)
	}
	t.takeServices(next, true)
}

// SetSlice tells of an EndpointSlice as it is now. One that does not carry the labels of an exported
// headless Service is forgotten.
func (t *Table) SetSlice(es *discoveryv1.EndpointSlice) {
	t.takeSlices(map[key]*slice{sliceKey(es): t.readSlice(es)}, false)
}

// DeleteSlice tells that an EndpointSlice is gone, or no longer one of an exported headless Service.
func (t *Table) DeleteSlice(namespace, name string) {
	t.takeSlices(map[key]*slice{{Namespace: namespace, Name: name}: nil}, false)
}

// ReplaceSlices tells of all EndpointSlices that there are. Others are forgotten.
func (t *Table) ReplaceSlices(all []*discoveryv1.EndpointSlice) {
	next := make(map[key]*slice, len(all))
	for _, es := range all {
		next[sliceKey(es)] = t.readSlice(es)
	}
	t.takeSlices(next, true)
}

func serviceKey(svc *corev1.Service) key { return key{Namespace: svc.Namespace, Name: svc.Name} }

func sliceKey(es *discoveryv1.EndpointSlice) key { return key{Namespace: es.Namespace, Name: es.Name} }

// read is nil for what is not exported. The API server has asked the same of the labels already, unless
// somebody else feeds the Table.
func (t *Table) read(svc *corev1.Service) *service {
	if !t.exported.Matches(labels.Set(svc.Labels)) {
		return nil
	}
	s := describe(svc)
	if text, ok := svc.Annotations[v1alpha3.AnnotationAllowedClients]; ok {
		s.clients = t.readClients(serviceKey(svc), text)
	}
	return s
}

// readClients parses a list, and complains of it, only when it is a new one.
func (t *Table) readClients(k key, text string) clientele {
	t.mu.RLock()
	known := t.services[k]
	t.mu.RUnlock()
	if known != nil && known.clients.narrowed && known.clients.text == text {
		return known.clients
	}
	parsed, err := parseClients(text)
	if err != nil {
		t.log.Error(err, "Refusing all clients of an exported service", "service", k.String())
	}
	return parsed
}

func (t *Table) readSlice(es *discoveryv1.EndpointSlice) *slice {
	if !t.headless.Matches(labels.Set(es.Labels)) {
		return nil
	}
	return describeSlice(es)
}

// takeServices puts services, nil for none, in their places. The whole means that there are no others.
func (t *Table) takeServices(next map[key]*service, whole bool) {
	for _, k := range t.swapServices(next, whole) {
		if s := next[k]; s != nil && s.refused != (refusal{}) {
			t.log.Info("Refusing an exported service", "service", k.String(), "cause", s.refused.text)
		}
		t.onChange(k.Namespace, k.Name)
	}
}

func (t *Table) swapServices(next map[key]*service, whole bool) (changed []key) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if whole {
		t.servicesListed = true
		addMissing(next, t.services)
	}
	for k, s := range next {
		old := t.services[k]
		if s.same(old) {
			continue
		}
		put(t.services, k, s)
		t.metrics.count(old, -1)
		t.metrics.count(s, 1)
		changed = append(changed, k)
	}
	return changed
}

// takeSlices puts slices, nil for none, in their places. The whole means that there are no others.
func (t *Table) takeSlices(next map[key]*slice, whole bool) {
	for k := range t.swapSlices(next, whole) {
		t.onChange(k.Namespace, k.Name)
	}
}

func (t *Table) swapSlices(next map[key]*slice, whole bool) map[key]struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	if whole {
		t.slicesListed = true
		addMissing(next, t.slices)
	}
	changed := map[key]struct{}{}
	for k, s := range next {
		old := t.slices[k]
		if s.same(old) {
			continue
		}
		put(t.slices, k, s)
		if old != nil {
			changed[t.putByService(old, k, nil)] = struct{}{}
		}
		if s != nil {
			changed[t.putByService(s, k, s)] = struct{}{}
		}
	}
	return changed
}

// putByService puts a slice, nil for none, in its place with the Service that of belongs to, which it returns.
func (t *Table) putByService(of *slice, k key, s *slice) key {
	owner := key{Namespace: k.Namespace, Name: of.service}
	if t.byService[owner] == nil {
		t.byService[owner] = map[key]*slice{}
	}
	put(t.byService[owner], k, s)
	if len(t.byService[owner]) == 0 {
		delete(t.byService, owner)
	}
	return owner
}

// addMissing adds to next, as none, what is known and not in it.
func addMissing[V any](next, known map[key]*V) {
	for k := range known {
		if _, ok := next[k]; !ok {
			next[k] = nil
		}
	}
}

// put keeps maps free of what is not there.
func put[V any](m map[key]*V, k key, v *V) {
	if v == nil {
		delete(m, k)
		return
	}
	m[k] = v
}

package mirror

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/resourceversion"
)

// writeMemory is how long a write is waited for in the cache before the cache is believed again:
// somebody may have deleted what we wrote before the cache ever saw it.
const writeMemory = 5 * time.Second

// object names a local object of one of the two kinds that we write.
type object struct {
	kind string // serviceKind or sliceKind
	types.NamespacedName
}

const (
	serviceKind = "Service"
	sliceKind   = "EndpointSlice"
)

// writes remembers what we wrote until the cache has seen it. Without it, the pass that our own write
// wakes would still see the object as it was, and write it again: a mirror costs two writes, not four.
type writes struct {
	now func() time.Time

	mu      sync.Mutex
	pending map[object]write
	// slices finds the pending slices of a mirror, by the mirror's name.
	slices map[types.NamespacedName]map[object]struct{}
}

type write struct {
	mirror          types.NamespacedName
	resourceVersion string
	deleted         types.UID // set instead of resourceVersion when the write was a deletion
	at              time.Time
}

func newWrites(now func() time.Time) *writes {
	return &writes{now: now, pending: map[object]write{}, slices: map[types.NamespacedName]map[object]struct{}{}}
}

// wrote remembers a write to the mirror itself, or to a slice of it.
func (w *writes) wrote(mirror types.NamespacedName, o object, resourceVersion string) {
	w.remember(o, write{mirror: mirror, resourceVersion: resourceVersion, at: w.now()})
}

// deleted remembers a deletion.
func (w *writes) deleted(mirror types.NamespacedName, o object, uid types.UID) {
	w.remember(o, write{mirror: mirror, deleted: uid, at: w.now()})
}

func (w *writes) remember(o object, p write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[o] = p
	if o.kind != sliceKind {
		return
	}
	if w.slices[p.mirror] == nil {
		w.slices[p.mirror] = map[object]struct{}{}
	}
	w.slices[p.mirror][o] = struct{}{}
}

// forget leaves nothing behind: an idle mirror costs no memory here.
func (w *writes) forget(o object, p write) {
	delete(w.pending, o)
	delete(w.slices[p.mirror], o)
	if len(w.slices[p.mirror]) == 0 {
		delete(w.slices, p.mirror)
	}
}

// slicesOf lists the slices of a mirror that were written and perhaps not seen yet.
func (w *writes) slicesOf(mirror types.NamespacedName) []object {
	w.mu.Lock()
	defer w.mu.Unlock()
	out := make([]object, 0, len(w.slices[mirror]))
	for o := range w.slices[mirror] {
		out = append(out, o)
	}
	return out
}

// stale says whether the cache's view of o (empty strings when it has none) is older than our last write.
func (w *writes) stale(o object, uid types.UID, resourceVersion string) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	last, ok := w.pending[o]
	if !ok {
		return false
	}
	if w.now().Sub(last.at) > writeMemory || last.seenIn(uid, resourceVersion) {
		w.forget(o, last)
		return false
	}
	return true
}

// sweep forgets writes that the cache is not waited for any more.
func (w *writes) sweep() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for o, p := range w.pending {
		if w.now().Sub(p.at) > writeMemory {
			delete(w.pending, o)
		}
	}
	for mirror, objects := range w.slices {
		for o := range objects {
			if _, ok := w.pending[o]; !ok {
				delete(objects, o)
			}
		}
		if len(objects) == 0 {
			delete(w.slices, mirror)
		}
	}
}

func (p write) seenIn(uid types.UID, resourceVersion string) bool {
	if p.deleted != "" {
		return uid != p.deleted
	}
	if resourceVersion == "" {
		return false
	}
	order, err := resourceversion.CompareResourceVersion(resourceVersion, p.resourceVersion)
	return err != nil || order >= 0
}

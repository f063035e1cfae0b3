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
	resourceVersion string
	deleted         types.UID // set instead of resourceVersion when the write was a deletion
	at              time.Time
}

func newWrites(now func() time.Time) *writes {
	return &writes{now: now, pending: map[object]write{}, slices: map[types.NamespacedName]map[object]struct{}{}}
}

// wrote remembers a write to the mirror itself, or to a slice of it.
func (w *writes) wrote(mirror types.NamespacedName, o object, resourceVersion string) {
	w.remember(mirror, o, write{resourceVersion: resourceVersion, at: w.now()})
}

// deleted remembers a deletion.
func (w *writes) deleted(mirror types.NamespacedName, o object, uid types.UID) {
	w.remember(mirror, o, write{deleted: uid, at: w.now()})
}

func (w *writes) remember(mirror types.NamespacedName, o object, p write) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.pending[o] = p
	if o.kind != sliceKind {
		return
	}
	if w.slices[mirror] == nil {
		w.slices[mirror] = map[object]struct{}{}
	}
	w.slices[mirror][o] = struct{}{}
}

// slicesOf lists the slices of a mirror that were written and perhaps not seen yet.
func (w *writes) slicesOf(mirror types.NamespacedName) []object {
	w.mu.Lock()
	defer w.mu.Unlock()
	var out []object
	for o := range w.slices[mirror] {
		if _, ok := w.pending[o]; ok {
			out = append(out, o)
		} else {
			delete(w.slices[mirror], o)
		}
	}
	if len(w.slices[mirror]) == 0 {
		delete(w.slices, mirror)
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
		delete(w.pending, o)
		return false
	}
	return true
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

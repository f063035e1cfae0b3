package mirror

import (
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

func named(kind, name string) object {
	return object{kind, types.NamespacedName{Namespace: "shop", Name: name}}
}

// A pass must not act on a cache that is older than our own last write: a mirror costs two writes (LESSON-1).
func TestWritesStale(t *testing.T) {
	t.Parallel()
	svc := named(serviceKind, "web-east")
	for name, c := range map[string]struct {
		do              func(*writes)
		uid             types.UID
		resourceVersion string
		after           time.Duration
		want            bool
	}{
		"never written": {do: func(*writes) {}, uid: "u1", resourceVersion: "5"},
		"not in the cache yet": {
			do: func(w *writes) { w.wrote(svc.NamespacedName, svc, "7") }, want: true,
		},
		"an older version in the cache": {
			do: func(w *writes) { w.wrote(svc.NamespacedName, svc, "7") }, uid: "u1", resourceVersion: "6", want: true,
		},
		"versions are numbers, not text": {
			do: func(w *writes) { w.wrote(svc.NamespacedName, svc, "10") }, uid: "u1", resourceVersion: "9", want: true,
		},
		"our version": {
			do: func(w *writes) { w.wrote(svc.NamespacedName, svc, "7") }, uid: "u1", resourceVersion: "7",
		},
		"a newer version": {
			do: func(w *writes) { w.wrote(svc.NamespacedName, svc, "7") }, uid: "u1", resourceVersion: "100",
		},
		"the last of two writes counts": {
			do: func(w *writes) {
				w.wrote(svc.NamespacedName, svc, "7")
				w.wrote(svc.NamespacedName, svc, "9")
			}, uid: "u1", resourceVersion: "8", want: true,
		},
		"a write that the cache never shows is believed lost in the end": {
			do: func(w *writes) { w.wrote(svc.NamespacedName, svc, "7") }, after: writeMemory + time.Second,
		},
		"deleted, and still in the cache": {
			do: func(w *writes) { w.deleted(svc.NamespacedName, svc, "u1") }, uid: "u1", resourceVersion: "7", want: true,
		},
		"deleted and gone": {
			do: func(w *writes) { w.deleted(svc.NamespacedName, svc, "u1") },
		},
		"deleted and made anew by somebody": {
			do: func(w *writes) { w.deleted(svc.NamespacedName, svc, "u1") }, uid: "u2", resourceVersion: "9",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			clock := newClock()
			w := newWrites(clock.Now)
			c.do(w)
			clock.advance(c.after)
			if got := w.stale(svc, c.uid, c.resourceVersion); got != c.want {
				t.Errorf("stale is %v, want %v", got, c.want)
			}
			if !c.want && len(w.pending) != 0 {
				t.Errorf("seen, and still remembered: %v", w.pending)
			}
		})
	}
}

// Slices are found by their mirror, so that one that is not in the cache yet is missed.
func TestWritesSlicesOf(t *testing.T) {
	t.Parallel()
	clock := newClock()
	w := newWrites(clock.Now)
	mirror := types.NamespacedName{Namespace: "shop", Name: "web-east"}
	v4, v6 := named(sliceKind, "web-east-4"), named(sliceKind, "web-east-6")
	w.wrote(mirror, named(serviceKind, "web-east"), "1")
	w.wrote(mirror, v4, "2")
	w.wrote(mirror, v6, "3")
	w.wrote(types.NamespacedName{Namespace: "shop", Name: "api-east"}, named(sliceKind, "api-east-4"), "4")
	if got := w.slicesOf(mirror); len(got) != 2 {
		t.Fatalf("slices are %v, want two", got)
	}
	if w.stale(v4, "u", "2") {
		t.Error("seen in its version, and stale")
	}
	if got := w.slicesOf(mirror); len(got) != 1 || got[0] != v6 {
		t.Errorf("slices are %v, want only the one that was not seen", got)
	}
	clock.advance(writeMemory + time.Second)
	w.stale(v6, "", "")
	w.slicesOf(mirror)
	if len(w.slices) != 1 {
		t.Errorf("%d mirrors are remembered, want the other one alone", len(w.slices))
	}
}

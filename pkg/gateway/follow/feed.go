package follow

import (
	"fmt"

	"k8s.io/apimachinery/pkg/runtime"
)

// Feed hands what a reflector sees to whoever keeps it.
type Feed[T runtime.Object] struct {
	Set func(T)
	// Swap gives all that there are, in place of those that were.
	Swap   func([]T)
	Remove func(T)
}

// Add implements cache.ReflectorStore.
func (f Feed[T]) Add(obj any) error { return give(obj, f.Set) }

// Update implements cache.ReflectorStore.
func (f Feed[T]) Update(obj any) error { return give(obj, f.Set) }

// Delete implements cache.ReflectorStore.
func (f Feed[T]) Delete(obj any) error { return give(obj, f.Remove) }

// Replace implements cache.ReflectorStore.
func (f Feed[T]) Replace(list []any, _ string) error {
	all := make([]T, 0, len(list))
	for _, obj := range list {
		if err := give(obj, func(typed T) { all = append(all, typed) }); err != nil {
			return err
		}
	}
	f.Swap(all)
	return nil
}

// Resync implements cache.ReflectorStore. It is never called: nothing here is done for the clock's sake.
func (f Feed[T]) Resync() error { return nil }

func give[T any](obj any, to func(T)) error {
	typed, ok := obj.(T)
	if !ok {
		return fmt.Errorf("the API server sent a %T, want a %T", obj, *new(T))
	}
	to(typed)
	return nil
}

package rig

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/fields"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/apiutil"
)

// DefaultPatience is how long Await and the Expect… functions wait when the context has no deadline.
const DefaultPatience = 30 * time.Second

// Scope picks objects, in the words of controller-runtime's list options.
type Scope []client.ListOption

// Named picks the object of one name.
func Named(name string) Scope {
	return Scope{client.MatchingFieldsSelector{Selector: fields.OneTermEqualSelector("metadata.name", name)}}
}

// In picks the objects of one namespace.
func In(namespace string) Scope { return Scope{client.InNamespace(namespace)} }

// And joins two scopes.
func (s Scope) And(other Scope) Scope { return append(slices.Clone(s), other...) }

// Labelled picks the objects that carry all of the labels.
func Labelled(labels map[string]string) Scope { return Scope{client.MatchingLabels(labels)} }

// Await watches the objects of one kind until check accepts them, and returns them sorted by
// namespace and name. kind is any object of the kind. Check sees objects that it must not change.
// The error is check's last one, with the objects it was about.
func Await(ctx context.Context, c *Cluster, kind client.Object, scope Scope, check func([]client.Object) error) ([]client.Object, error) {
	if _, bounded := ctx.Deadline(); !bounded {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultPatience)
		defer cancel()
	}
	var objects []client.Object
	last := errors.New("the API server has not answered yet")
	f := &feed{client: c.Client(), kind: kind, scope: scope}
	err := f.run(ctx, func(state map[client.ObjectKey]client.Object, _ *watch.Event) bool {
		objects = sorted(state)
		last = check(objects)
		return last == nil
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w%s\n%s", err, last, f.trouble(), render(objects))
	}
	return objects, nil
}

// feed is a list and a watch that starts again when it breaks.
type feed struct {
	client client.WithWatch
	kind   client.Object
	scope  Scope

	state   map[client.ObjectKey]client.Object
	lastErr error // of the API server, for the report
}

// retryInterval is how soon a broken watch is started again.
const retryInterval = 50 * time.Millisecond

// run calls seen with the objects after the list (with no event) and after every event, until seen
// returns true or ctx ends.
func (f *feed) run(ctx context.Context, seen func(map[client.ObjectKey]client.Object, *watch.Event) bool) error {
	for {
		done, err := f.once(ctx, seen)
		if done {
			return nil
		}
		if ctx.Err() == nil {
			f.lastErr = err
		}
		retry := time.NewTimer(retryInterval)
		select {
		case <-ctx.Done():
			retry.Stop()
			return ctx.Err()
		case <-retry.C:
		}
	}
}

func (f *feed) once(ctx context.Context, seen func(map[client.ObjectKey]client.Object, *watch.Event) bool) (bool, error) {
	list, err := f.newList()
	if err != nil {
		return false, err
	}
	if err := f.client.List(ctx, list, f.scope...); err != nil {
		return false, err
	}
	if f.state, err = objectsOf(list); err != nil {
		return false, err
	}
	if seen(f.state, nil) {
		return true, nil
	}
	options := append(slices.Clone(f.scope), &client.ListOptions{Raw: &metav1.ListOptions{ResourceVersion: list.GetResourceVersion()}})
	watcher, err := f.client.Watch(ctx, list, options...)
	if err != nil {
		return false, err
	}
	defer watcher.Stop()
	return f.follow(ctx, watcher, seen)
}

// follow shows each change until seen is content, or the watch ends.
func (f *feed) follow(ctx context.Context, watcher watch.Interface, seen func(map[client.ObjectKey]client.Object, *watch.Event) bool) (bool, error) {
	for {
		select {
		case <-ctx.Done():
			return false, ctx.Err()
		case event, open := <-watcher.ResultChan():
			if !open {
				return false, errors.New("the watch ended")
			}
			if event.Type == watch.Error {
				return false, apierrors.FromObject(event.Object)
			}
			if f.take(event) && seen(f.state, &event) {
				return true, nil
			}
		}
	}
}

// take puts an event into the state and says whether it changed anything.
func (f *feed) take(event watch.Event) bool {
	object, ok := event.Object.(client.Object)
	if !ok || event.Type == watch.Bookmark {
		return false
	}
	key := client.ObjectKeyFromObject(object)
	if event.Type == watch.Deleted {
		delete(f.state, key)
	} else {
		f.state[key] = object
	}
	return true
}

func (f *feed) trouble() string {
	if f.lastErr == nil {
		return ""
	}
	return fmt.Sprintf(" (API server: %v)", f.lastErr)
}

// newList makes an empty list of the feed's kind.
func (f *feed) newList() (client.ObjectList, error) {
	kind, err := apiutil.GVKForObject(f.kind, f.client.Scheme())
	if err != nil {
		return nil, fmt.Errorf("find the kind: %w", err)
	}
	return newList(f.client.Scheme(), kind)
}

func newList(scheme *runtime.Scheme, kind schema.GroupVersionKind) (client.ObjectList, error) {
	kind.Kind += "List"
	if !scheme.Recognizes(kind) {
		list := &unstructured.UnstructuredList{}
		list.SetGroupVersionKind(kind)
		return list, nil
	}
	made, err := scheme.New(kind)
	if err != nil {
		return nil, fmt.Errorf("make a %s: %w", kind.Kind, err)
	}
	list, ok := made.(client.ObjectList)
	if !ok {
		return nil, fmt.Errorf("%s is no list", kind.Kind)
	}
	return list, nil
}

func objectsOf(list client.ObjectList) (map[client.ObjectKey]client.Object, error) {
	items, err := meta.ExtractList(list)
	if err != nil {
		return nil, fmt.Errorf("read a list: %w", err)
	}
	state := make(map[client.ObjectKey]client.Object, len(items))
	for _, item := range items {
		object, ok := item.(client.Object)
		if !ok {
			return nil, fmt.Errorf("a list holds %T, which is no object", item)
		}
		state[client.ObjectKeyFromObject(object)] = object
	}
	return state, nil
}

func sorted(state map[client.ObjectKey]client.Object) []client.Object {
	keys := slices.SortedFunc(maps.Keys(state), func(a, b client.ObjectKey) int {
		return cmp.Compare(a.String(), b.String())
	})
	objects := make([]client.Object, 0, len(keys))
	for _, key := range keys {
		objects = append(objects, state[key])
	}
	return objects
}

package remote

import (
	"context"
	"errors"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/tools/cache"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// stored is a feed that is never started: the test fills its cache.
func stored(kind runtime.Object) *feed {
	return &feed{informer: cache.NewSharedIndexInformer(&cache.ListWatch{}, kind, 0, cache.Indexers{byService: indexByService})}
}

// bench is a live connection without a target, and what it tells.
type bench struct {
	*Connection
	mu   sync.Mutex
	told []ServiceKey
}

// newBench makes a connection with two watches of services and one of slices.
func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{}
	tg := target("east", time.Time{})
	tg.Link.Exported, tg.Link.RemoteDiscovery = parsed(t, "export"), parsed(t, "direct=yes")
	client := &remoteClient{health: newHealth(nil)}
	b.Connection = &Connection{
		target: tg, client: client, problems: make(chan *Failure, 1), relisted: make(chan struct{}, 1),
		deleted: map[ServiceKey]struct{}{}, leaving: map[ServiceKey][]*discoveryv1.EndpointSlice{},
		services: []*feed{
			{informer: cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.Service{}, 0, nil)},
			{informer: cache.NewSharedIndexInformer(&cache.ListWatch{}, &corev1.Service{}, 0, nil)},
		},
		slices: []*feed{stored(&discoveryv1.EndpointSlice{})},
		manual: newManualSlices(client, feedHandler{}),
		changed: func(key ServiceKey, _ bool) {
			b.mu.Lock()
			defer b.mu.Unlock()
			b.told = append(b.told, key)
		},
	}
	b.live.Store(true)
	return b
}

func (b *bench) takeTold() []ServiceKey {
	b.mu.Lock()
	defer b.mu.Unlock()
	told := b.told
	b.told = nil
	return told
}

// put and remove change the cache of one watch, as its informer does before it tells.
func (b *bench) put(t *testing.T, f *feed, obj any) {
	t.Helper()
	if err := f.informer.GetStore().Add(obj); err != nil {
		t.Fatal(err)
	}
}

func (b *bench) remove(t *testing.T, f *feed, obj any) {
	t.Helper()
	if err := f.informer.GetStore().Delete(obj); err != nil {
		t.Fatal(err)
	}
}

// addressesOf are those of a service's slices.
func (b *bench) addressesOf(t *testing.T, key ServiceKey) []string {
	t.Helper()
	list, err := b.slicesOf(key)
	if err != nil {
		t.Fatal(err)
	}
	var addresses []string
	for _, slice := range list {
		for _, e := range slice.Endpoints {
			addresses = append(addresses, e.Addresses...)
		}
	}
	return addresses
}

func service(namespace, name string, labels map[string]string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name, Labels: labels}}
}

// A service that moves from one watch to another is there, whichever watch speaks last, and so are the
// slices that it needs when it has no selector.
func TestServiceThatMovesBetweenWatches(t *testing.T) {
	t.Parallel()
	key := ServiceKey{"shop", "web"}
	before, after := service("shop", "web", map[string]string{"export": ""}), service("shop", "web", map[string]string{"direct": "yes"})
	for name, addedFirst := range map[string]bool{"the other watch first": true, "the old watch first": false} {
		b := newBench(t)
		b.put(t, b.services[0], before)
		b.serviceChanged(before, true)
		move := []func(){
			func() { b.put(t, b.services[1], after); b.serviceChanged(after, false) },
			func() { b.remove(t, b.services[0], before); b.serviceDeleted(before, false) },
		}
		if !addedFirst {
			slices.Reverse(move)
		}
		for _, step := range move {
			step()
		}
		if b.sawDeletion(key) {
			t.Errorf("%s: it counts as deleted", name)
		}
		if _, wanted := b.manual.picks().services[key]; !wanted {
			t.Errorf("%s: its slices are not watched any more", name)
		}
		if told := b.takeTold(); len(told) != 3 {
			t.Errorf("%s: told of %v, want all three events", name, told)
		}
		b.remove(t, b.services[1], after)
		b.serviceDeleted(after, false)
		if _, wanted := b.manual.picks().services[key]; wanted || !b.sawDeletion(key) {
			t.Errorf("%s: it is gone and still wanted, or not seen to go", name)
		}
	}
}

// MIR-12: a slice that moves from one watch to another is there all the time, whichever watch speaks first. One that goes
// for good does so a moment later, and is told of then.
func TestSliceThatMovesBetweenWatches(t *testing.T) {
	t.Parallel()
	key := ServiceKey{"shop", "web"}
	labelled := func(label, address string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{
			ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{label: "yes", discoveryv1.LabelServiceName: "web"}},
			Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{address}}},
		}
	}
	before, after := labelled("export", "192.0.2.1"), labelled("direct", "192.0.2.2")
	for name, addedFirst := range map[string]bool{"the other watch first": true, "the old watch first": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.slices = append(b.slices, stored(&discoveryv1.EndpointSlice{}))
				b.put(t, b.slices[0], before)
				b.sliceChanged(before, true)
				move := []func(){
					func() { b.put(t, b.slices[1], after); b.sliceChanged(after, false) },
					func() { b.remove(t, b.slices[0], before); b.sliceDeleted(before, false) },
				}
				if !addedFirst {
					slices.Reverse(move)
				}
				for i, step := range move {
					step()
					if addresses := b.addressesOf(t, key); len(addresses) != 1 {
						t.Errorf("after step %d it has %v, want one address", i+1, addresses)
					}
				}
				time.Sleep(2 * settle) //nolint:forbidigo // moves the bubble's clock
				synctest.Wait()
				if diff := cmp.Diff([]string{"192.0.2.2"}, b.addressesOf(t, key)); diff != "" {
					t.Errorf("after the move (-want +got):\n%s", diff)
				}

				b.takeTold()
				b.remove(t, b.slices[1], after)
				b.sliceDeleted(after, false)
				if told := b.takeTold(); len(told) > 0 {
					t.Errorf("told of %v, before the other watch had its say", told)
				}
				time.Sleep(2 * settle) //nolint:forbidigo // moves the bubble's clock
				synctest.Wait()
				if told, addresses := b.takeTold(), b.addressesOf(t, key); len(told) != 1 || len(addresses) > 0 {
					t.Errorf("it is gone: told of %v, and it has %v", told, addresses)
				}
				if len(b.leaving) > 0 {
					t.Errorf("remembered for ever: %v", b.leaving)
				}
			})
		})
	}
}

// With one watch nothing moves, so nothing is waited for.
func TestSliceThatGoesFromTheOnlyWatch(t *testing.T) {
	t.Parallel()
	key := ServiceKey{"shop", "web"}
	slice := &discoveryv1.EndpointSlice{
		ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "web-1", Labels: map[string]string{discoveryv1.LabelServiceName: "web"}},
		Endpoints:  []discoveryv1.Endpoint{{Addresses: []string{"192.0.2.1"}}},
	}
	b := newBench(t)
	b.put(t, b.slices[0], slice)
	b.remove(t, b.slices[0], slice)
	b.sliceDeleted(slice, false)
	if told, addresses := b.takeTold(), b.addressesOf(t, key); len(told) != 1 || len(addresses) > 0 {
		t.Errorf("told of %v, and it has %v", told, addresses)
	}
}

// SEC-4: objects that no API server would have let in are as good as not there.
func TestIllegalObjectsAreDropped(t *testing.T) {
	t.Parallel()
	exported := map[string]string{"export": ""}
	long := strings.Repeat("a", 64)
	b := newBench(t)
	web := service("shop", "web", exported)
	for _, svc := range []*corev1.Service{
		web, service("shop", "a,b", exported), service("shop", long, exported), service("../shop", "web", exported),
		service(long, "web", exported), service("shop", "private", nil),
	} {
		b.put(t, b.services[0], svc)
		b.serviceChanged(svc, true)
	}
	if diff := cmp.Diff([]ServiceKey{{"shop", "web"}}, b.keys()); diff != "" {
		t.Errorf("keys (-want +got):\n%s", diff)
	}
	if got := b.manual.picks(); len(got.services) != 1 || !strings.Contains(got.selector, discoveryv1.LabelServiceName+" in (web)") {
		t.Errorf("slices are watched of %v, with %q", got.services, got.selector)
	}
	b.serviceDeleted(service("shop", "a,b", exported), false)
	if b.sawDeletion(ServiceKey{"shop", "a,b"}) {
		t.Error("the deletion of an illegal service is remembered")
	}
	b.takeTold()

	slice := func(name, of string) *discoveryv1.EndpointSlice {
		return &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: name, Labels: map[string]string{discoveryv1.LabelServiceName: of}}}
	}
	for _, s := range []*discoveryv1.EndpointSlice{slice("web-1.x", "web"), slice("web/2", "web"), slice(strings.Repeat("a", 254), "web"), slice("odd", "a,b"), slice("none", "")} {
		b.put(t, b.slices[0], s)
		b.sliceChanged(s, false)
	}
	got, err := b.slicesOf(ServiceKey{"shop", "web"})
	if err != nil || len(got) != 1 || got[0].Name != "web-1.x" {
		t.Errorf("slices of web: %v (error %v), want web-1.x alone", got, err)
	}
	for _, key := range b.takeTold() {
		if key != (ServiceKey{"shop", "web"}) {
			t.Errorf("told of %v", key)
		}
	}
}

// watched runs watch over a bench and returns what it said; nil while it still watches.
func watched(t *testing.T, b *bench, timeUp <-chan time.Time) <-chan *Failure {
	t.Helper()
	s := &session{name: "east", wake: make(chan struct{}, 1)}
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out := make(chan *Failure, 1)
	go func() { out <- s.watch(ctx, b.Connection, timeUp) }()
	return out
}

// LESSON-41: a failure counts from when it began, also when the session was busy with something else
// meanwhile and nobody took the news of it.
func TestWatchSeesAFailureThatBeganBefore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		err    error
		calls  int // how often the session is called away
		within time.Duration
		reason string
	}{
		"a cut line":          {err: errors.New("cut"), calls: 3, within: lostAfter, reason: v1alpha3.ReasonConnectionFailed},
		"refused credentials": {err: errUnauthorized, reason: v1alpha3.ReasonUnauthorized},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.client.health.set(c.err)
				<-b.client.health.Changed() // an earlier watch took it and was called away
				start := time.Now()
				for range c.calls {
					if failure := <-watched(t, b, time.After(lostAfter/4)); failure != nil {
						t.Fatalf("lost after %s: %v", time.Since(start), failure)
					}
				}
				failure := <-watched(t, b, time.After(time.Minute))
				if failure == nil || failure.Reason != c.reason || time.Since(start) != c.within {
					t.Errorf("after %s: %v, want %s after %s", time.Since(start), failure, c.reason, c.within)
				}
			})
		})
	}
}

// The target may be slow, but not silent: what hangs shows in time, and what goes on may go on.
func TestFirstListMayTakeLongButNotHang(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		during func(context.Context, *bench)
		within time.Duration
		reason string
	}{
		"nothing comes": {within: connectTimeout, reason: v1alpha3.ReasonConnectionTimeout},
		"it breaks": {
			during: func(_ context.Context, b *bench) { b.client.health.set(errors.New("cut")) },
			within: lostAfter, reason: v1alpha3.ReasonConnectionFailed,
		},
		"it is refused": {
			during: func(_ context.Context, b *bench) { b.problems <- because(v1alpha3.ReasonForbidden, "no") },
			reason: v1alpha3.ReasonForbidden,
		},
		"it comes in drops": {
			during: func(ctx context.Context, b *bench) {
				for range 12 {
					select {
					case <-ctx.Done():
					case <-time.After(connectTimeout / 2):
						b.client.health.hear()
					}
				}
			},
			within: 7 * connectTimeout, reason: v1alpha3.ReasonConnectionTimeout, // 12 drops, and then nothing
		},
		"it comes in drops for ever": {
			during: func(ctx context.Context, b *bench) {
				for ctx.Err() == nil {
					select {
					case <-ctx.Done():
					case <-time.After(connectTimeout / 2):
						b.client.health.hear()
					}
				}
			},
			within: listTimeout, reason: v1alpha3.ReasonConnectionTimeout,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				b := newBench(t)
				b.client.health.hear() // the answer to the question for its identity
				ctx, cancel := context.WithTimeout(t.Context(), listTimeout)
				defer cancel()
				if c.during != nil {
					go c.during(ctx, b)
				}
				start := time.Now()
				failure := classify("reading the services", b.synced(ctx, b.services...))
				if took := time.Since(start); took != c.within || failure.Reason != c.reason {
					t.Errorf("after %s: %v, want %s after %s", took, failure, c.reason, c.within)
				}
			})
		})
	}
}

// credentialsFor leads to a TLS server with a handler.
func credentialsFor(t *testing.T, handler http.Handler) link.Credentials {
	t.Helper()
	server := httptest.NewTLSServer(handler)
	t.Cleanup(server.Close)
	return credentialsTo(t, server.URL)
}

// credentialsTo leads to a server whose certificate nobody vouches for.
func credentialsTo(t *testing.T, url string) link.Credentials {
	t.Helper()
	kubeconfig := `{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],"users":[{"name":"u","user":{"token":"secret"}}],
		"clusters":[{"name":"k","cluster":{"server":"` + url + `","insecure-skip-tls-verify":true}}]}`
	creds, err := link.ParseKubeconfig([]byte(kubeconfig), link.KubeconfigOptions{AllowInsecure: true})
	if err != nil {
		t.Fatal(err)
	}
	return creds
}

// serving is a client for a TLS server with a handler.
func serving(t *testing.T, handler http.Handler) *remoteClient {
	t.Helper()
	client, err := newRemoteClient(credentialsFor(t, handler), "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.close)
	return client
}

// SEC-4: a target must not send our requests, and our token with them, to other addresses.
func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached.Add(1) }))
	t.Cleanup(elsewhere.Close)
	for _, code := range []int{http.StatusMovedPermanently, http.StatusFound, http.StatusTemporaryRedirect, http.StatusPermanentRedirect} {
		client := serving(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
			http.Redirect(w, req, elsewhere.URL, code)
		}))
		c := &Connection{client: client}
		if uid, err := c.identity(t.Context()); err == nil {
			t.Errorf("%d: got identity %q, want an error", code, uid)
		}
		if client.health.Failing() == nil {
			t.Errorf("%d: counts as an answer", code)
		}
	}
	if n := reached.Load(); n > 0 {
		t.Errorf("%d requests went elsewhere", n)
	}
}

// SEC-4: an identity is kept in the status and asked for in an annotation.
func TestIdentityIsBounded(t *testing.T) {
	t.Parallel()
	client := serving(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"kind":"Namespace","apiVersion":"v1","metadata":{"name":"kube-system","uid":"` + strings.Repeat("x", 40<<10) + `"}}`)) // the client says what is wrong
	}))
	if uid, err := (&Connection{client: client}).identity(t.Context()); err == nil || len(err.Error()) > maxMessage {
		t.Errorf("got an identity of %d bytes and error %v", len(uid), err)
	}
}

// A question that its caller gave up says nothing of the connection, whatever made the caller give up.
func TestGivenUpRequestsAreNoFailure(t *testing.T) {
	t.Parallel()
	client := serving(t, hanging(t, new(atomic.Int32)))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := (&Connection{client: client}).identity(ctx)
	if f := classify("connecting", err); f.Reason != v1alpha3.ReasonConnectionTimeout {
		t.Errorf("the caller sees %v, want %s", f, v1alpha3.ReasonConnectionTimeout)
	}
	if err := client.health.Failing(); err != nil {
		t.Errorf("the connection counts as failing: %v", err)
	}
}

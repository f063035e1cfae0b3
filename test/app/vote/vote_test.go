package vote

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.uber.org/goleak"

	"github.com/linkspan/linkspan/test/app/origin"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestAVoteCountsOnceHoweverOftenItComes(t *testing.T) {
	t.Parallel()
	box := NewBox("a", "1")
	for i, want := range []int{1, 2} {
		if _, received := box.Cast("v-1", "joy"); received != want {
			t.Errorf("time %d is told as %d", i+1, received)
		}
	}
	box.Cast("v-2", "ghost")
	box.Cast("other-1", "joy")
	want := Results{
		Instance: "a", Epoch: "1", Total: 3, Repeated: 1, Choices: map[string]int{"joy": 2, "ghost": 1},
		Votes: map[string]int{"v-1": 2, "v-2": 1},
	}
	if diff := cmp.Diff(want, box.Results("v-")); diff != "" {
		t.Errorf("results (-want +got):\n%s", diff)
	}
	if got := box.Results("").Votes; len(got) > 0 {
		t.Errorf("nobody asked for %v", got)
	}
}

func TestInstancesThatTellEachOtherEverythingAgree(t *testing.T) {
	t.Parallel()
	a, b := NewBox("a", "2"), NewBox("b", "1")
	a.Cast("v-1", "joy")
	b.Cast("v-1", "joy") // it came to both
	b.Cast("v-2", "joy")
	for range 3 { // hearing a thing twice changes nothing
		a.Merge(b.Since(0))
		b.Merge(a.Since(0))
	}
	left, right := a.Results("v-"), b.Results("v-")
	if want := map[string]int{"v-1": 2, "v-2": 1}; !cmp.Equal(left.Votes, want) || left.Epoch != "1" || left.Repeated != 1 {
		t.Errorf("a counts %+v, want %v in epoch 1", left, want)
	}
	left.Instance, right.Instance = "", ""
	if diff := cmp.Diff(left, right); diff != "" {
		t.Errorf("a and b differ:\n%s", diff)
	}
	if news := a.Since(a.Since(0).Next); len(news.Votes) > 0 {
		t.Errorf("a tells again what it has told: %v", news.Votes)
	}
}

// instances are servers of voting that find each other.
type instances struct {
	mu        sync.Mutex
	addresses []string
}

func (all *instances) find(context.Context) ([]string, error) {
	all.mu.Lock()
	defer all.mu.Unlock()
	return slices.Clone(all.addresses), nil
}

func (all *instances) set(addresses ...string) {
	all.mu.Lock()
	defer all.mu.Unlock()
	all.addresses = addresses
}

type instance struct {
	box    *Box
	peers  *Peers
	server *httptest.Server
}

func (all *instances) start(t *testing.T, name string) *instance {
	t.Helper()
	i := &instance{box: NewBox(name, name)}
	i.peers = newPeers(i.box, "", all.find)
	i.server = httptest.NewServer(VotingHandler(i.box, i.peers))
	_, i.peers.port, _ = net.SplitHostPort(i.address())
	t.Cleanup(func() {
		i.server.Close()
		i.peers.client.CloseIdleConnections()
	})
	return i
}

func (i *instance) address() string { return i.server.Listener.Addr().String() }

func (i *instance) cast(t *testing.T, id string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, i.server.URL+"/vote?choice=joy&id="+id, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := talk(i.server.Client(), request, nil); err != nil {
		t.Fatal(err)
	}
}

func (i *instance) expect(t *testing.T, ids ...string) {
	t.Helper()
	got := i.box.Results("v-").Votes
	for _, id := range ids {
		if got[id] != 1 {
			t.Errorf("%s counts %s %d times, want once", i.box.instance, id, got[id])
		}
	}
	if len(got) != len(ids) {
		t.Errorf("%s counts %v, want %v", i.box.instance, got, ids)
	}
}

// A vote that was acknowledged is not lost with the instance that counted it.
func TestNoVoteIsLostWithOneInstance(t *testing.T) {
	t.Parallel()
	var all instances
	a, b := all.start(t, "a"), all.start(t, "b")
	a.cast(t, "v-1") // before they know each other
	if err := b.peers.Ready(); err == nil {
		t.Error("b is ready before it has asked anybody")
	}
	all.set(a.address(), b.address())
	for _, i := range []*instance{a, b} {
		if err := i.peers.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.peers.Ready(); err != nil {
		t.Error(err)
	}
	b.expect(t, "v-1")
	a.cast(t, "v-2")
	b.expect(t, "v-1", "v-2") // at once
	a.server.Close()
	b.cast(t, "v-3") // a cannot be told
	b.expect(t, "v-1", "v-2", "v-3")
	if err := b.peers.sync(t.Context()); origin.Failure(err) != origin.Refused {
		t.Errorf("asking who is gone gives %v", err)
	}
	c := all.start(t, "c")
	all.set(b.address(), c.address())
	if err := c.peers.sync(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.expect(t, "v-1", "v-2", "v-3")
	if epoch := c.box.Results("").Epoch; epoch != "a" {
		t.Errorf("the epoch of c is %q, want that of the first", epoch)
	}
}

// Names are cached: an instance may be there for long before the others can look it up. Who has asked is told all the same.
func TestWhoAsksIsToldBeforeItsNameIsKnown(t *testing.T) {
	t.Parallel()
	var known, cached instances
	a := cached.start(t, "a")
	b := known.start(t, "b")
	cached.set(a.address())
	known.set(a.address())
	for _, i := range []*instance{a, b, a} { // a looks again, and does not find b
		if err := i.peers.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.cast(t, "v-1")
	b.expect(t, "v-1")
	b.server.Close()
	a.cast(t, "v-2") // b cannot be told, and is forgotten
	for range 2 {
		if err := a.peers.sync(t.Context()); err != nil {
			t.Errorf("who is gone and has no name is still asked: %v", err)
		}
	}
}

func TestWhoHasAnAddressNowIsAskedForEverything(t *testing.T) {
	t.Parallel()
	var all instances
	a := all.start(t, "a")
	before, after := NewBox("b", "b"), NewBox("c", "c")
	before.Cast("v-1", "joy")
	after.Cast("v-2", "joy")
	now := before
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { VotingHandler(now, nil).ServeHTTP(w, r) }))
	defer server.Close()
	all.set(server.Listener.Addr().String())
	for _, box := range []*Box{before, after} {
		now = box
		if err := a.peers.sync(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	a.expect(t, "v-1", "v-2")
}

func TestPeersNeedAPort(t *testing.T) {
	t.Parallel()
	if _, err := NewPeers(NewBox("a", "a"), "voting-peers"); err == nil || !strings.Contains(err.Error(), "--peers") {
		t.Errorf("the error is %v", err)
	}
}

// backends are an emoji and a voting that may be broken.
func backends(t *testing.T, voting http.Handler) *httptest.Server {
	t.Helper()
	emoji, counting := httptest.NewServer(EmojiHandler()), httptest.NewServer(voting)
	web := NewWeb(WebOptions{Emoji: emoji.URL, Voting: counting.URL, Timeout: patience})
	front := httptest.NewServer(web.Handler())
	t.Cleanup(func() {
		front.Close()
		web.Close()
		emoji.Close()
		counting.Close()
	})
	return front
}

// patience is a backend's. It is waited for where one is silent.
const patience = 300_000_000

// answer is what was answered.
type answer struct {
	status int
	header http.Header
	body   string
}

func get(t *testing.T, method, url string) answer {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	t.Cleanup(http.DefaultTransport.(*http.Transport).CloseIdleConnections)
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer{response.StatusCode, response.Header, string(body)}
}

func TestWebVotesAndShowsWhatWasCounted(t *testing.T) {
	t.Parallel()
	box := NewBox("voting-1", "1")
	signed := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		origin.Identity{Cluster: "east", Pod: "voting-1"}.Sign(w.Header())
		VotingHandler(box, nil).ServeHTTP(w, r)
	})
	front := backends(t, signed)
	for _, method := range []string{http.MethodGet, http.MethodPost} {
		got := get(t, method, front.URL+"/vote?choice=joy&id="+method)
		if want := (origin.Identity{Cluster: "east", Pod: "voting-1"}); origin.Of(got.header) != want || got.header.Get(origin.Epoch) != "1" {
			t.Errorf("%s is answered by %v in epoch %q, want %v", method, origin.Of(got.header), got.header.Get(origin.Epoch), want)
		}
		var voted Voted
		if err := json.Unmarshal([]byte(got.body), &voted); err != nil || voted.ID != method || voted.Emoji != "😂" {
			t.Errorf("%s is answered with %s (%v)", method, got.body, err)
		}
	}
	get(t, http.MethodGet, front.URL+"/vote?choice=ghost") // an ID is made up
	if page := get(t, http.MethodGet, front.URL+"/").body; !strings.Contains(page, "😂 joy</a>: 2<") || !strings.Contains(page, "3 votes, counted by voting-1") {
		t.Errorf("the page is\n%s", page)
	}
}

func TestWebSaysWhichBackendFailedAndHow(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		voting http.HandlerFunc
		path   string
		status int
		failed string
	}{
		"voting is silent": {func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }, "/vote?choice=joy", http.StatusGatewayTimeout, "voting timeout"},
		"voting ends": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, //nolint:forbidigo // the way of net/http to cut an answer
			"/vote?choice=joy", http.StatusBadGateway, "voting ended"},
		"voting is not ready":   {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }, "/", http.StatusBadGateway, "voting status 503"},
		"there is no such":      {func(http.ResponseWriter, *http.Request) {}, "/vote?choice=nothing", http.StatusNotFound, ""},
		"the choice is missing": {func(http.ResponseWriter, *http.Request) {}, "/vote", http.StatusBadRequest, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := get(t, http.MethodGet, backends(t, c.voting).URL+c.path)
			if failed := got.header.Get(origin.Failed); got.status != c.status || failed != c.failed {
				t.Errorf("answers %d, failed %q, want %d, %q:\n%s", got.status, failed, c.status, c.failed, got.body)
			}
		})
	}
}

func TestWebOptionsNameTheFlag(t *testing.T) {
	t.Parallel()
	good := WebOptions{Emoji: "http://emoji", Voting: "http://voting", Timeout: 1}
	for want, change := range map[string]func(*WebOptions){
		"--emoji":   func(o *WebOptions) { o.Emoji = "emoji:8080" },
		"--voting":  func(o *WebOptions) { o.Voting = "" },
		"--timeout": func(o *WebOptions) { o.Timeout = 0 },
	} {
		o := good
		change(&o)
		if err := errors.Join(good.Validate(), o.Validate()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one that names %s", err, want)
		}
	}
}

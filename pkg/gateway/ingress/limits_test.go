package ingress

import (
	"container/list"
	"testing"
	"time"
)

func TestLimitsCountInAllAndForEachClient(t *testing.T) {
	t.Parallel()
	l := newLimits(3, 2)
	for i, c := range []struct {
		client string
		leave  bool
		want   verdict
	}{
		{client: "a"}, {client: "a"}, {client: "a", want: clientFull}, {client: "b"}, {client: "b", want: full}, {client: "c", want: full},
		{client: "a", leave: true}, {client: "c"}, {client: "a", want: full},
		{client: "a", leave: true}, {client: "b", leave: true}, {client: "c", leave: true},
	} {
		if c.leave {
			l.leave(c.client)
		} else if got := l.take(c.client); got != c.want {
			t.Errorf("step %d: %s got %v, want %v", i, c.client, got, c.want)
		}
	}
	if l.open != 0 || len(l.clients) != 0 {
		t.Errorf("left: %d, %v", l.open, l.clients)
	}
}

func TestTheOldestHandshakeGivesWayAfterItsGrace(t *testing.T) {
	t.Parallel()
	h := handshakes{most: 2, grace: time.Second}
	start := time.Now()
	gone := map[string]int{}
	begin := func(name string, after time.Duration) *list.Element {
		return h.begin(start.Add(after), func() { gone[name]++ })
	}
	first, second := begin("first", 0), begin("second", 500*time.Millisecond)
	if first == nil || second == nil {
		t.Fatal("two are refused, of two")
	}
	if begin("third", 999*time.Millisecond) != nil || len(gone) != 0 {
		t.Errorf("one gave way before its grace was over: %v", gone)
	}
	third := begin("third", time.Second)
	if third == nil || gone["first"] != 1 || len(gone) != 1 {
		t.Errorf("gave way: %v, want the first", gone)
	}
	if begin("fourth", time.Second) != nil {
		t.Error("the second gave way before its grace was over")
	}
	h.end(first) // it gave its place away already
	if begin("fourth", time.Second) != nil {
		t.Error("a place was given back twice")
	}
	h.end(second)
	if begin("fourth", time.Second) == nil {
		t.Error("a place that was given back is not there")
	}
}

func TestOneLineASecondSaysHowManyThereWere(t *testing.T) {
	t.Parallel()
	var o onceASecond
	start := time.Now()
	for i, c := range []struct {
		after time.Duration
		left  int
		ok    bool
	}{
		{0, 0, true}, {1, 0, false}, {time.Second - 1, 0, false}, {time.Second, 2, true}, {time.Second + 1, 0, false}, {3 * time.Second, 1, true},
	} {
		if left, ok := o.allow(start.Add(c.after)); left != c.left || ok != c.ok {
			t.Errorf("step %d: %d, %v; want %d, %v", i, left, ok, c.left, c.ok)
		}
	}
}

package mirror

import (
	"testing"

	"github.com/linkspan/linkspan/pkg/link/remote"
)

// SEC-4: places for mirrors are taken before mirrors are made, so that workers at the same time keep
// to the limit together.
func TestClaimsKeepToTheLimit(t *testing.T) {
	a, b, c := remote.ServiceKey{Name: "a"}, remote.ServiceKey{Name: "b"}, remote.ServiceKey{Name: "c"}
	l := newLocals()
	l.add("east", a)
	for _, step := range []struct {
		name string
		key  remote.ServiceKey
		want bool
	}{
		{"a has its place: it is made again", a, true},
		{"b takes the last", b, true},
		{"c finds none", c, false},
	} {
		if got := l.claim("east", step.key, 2); got != step.want {
			t.Errorf("%s: got %v", step.name, got)
		}
	}
	if !l.claim("west", c, 2) || !l.claim("north", c, 0) {
		t.Error("other clusters, and no limit, have room")
	}
	l.unclaim("east", b)
	if !l.claim("east", c, 2) {
		t.Error("b gave its place back and c does not get it")
	}
	l.add("east", c)
	l.unclaim("east", c)
	if l.claim("east", b, 2) {
		t.Error("c is made and b finds a place")
	}
	if got := l.count("east"); got != 2 {
		t.Errorf("count is %d, want 2: claims are no mirrors", got)
	}
}

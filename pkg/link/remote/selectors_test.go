package remote

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/labels"
)

// LESSON-25: what is watched is what one of the selectors picks, in as few watches as can say it.
func TestWatchSelectors(t *testing.T) {
	t.Parallel()
	const key = "mirror.linkerd.io/exported"
	for name, c := range map[string]struct {
		a, b string
		want []string
	}{
		"the defaults need one watch": {a: key + "=true", b: key + "=remote-discovery", want: []string{key + " in (remote-discovery,true)"}},
		"the same twice":              {a: key + "=true", b: key + "=true", want: []string{key + " in (true)"}},
		"sets of values":              {a: key + " in (a,b)", b: key + "==c", want: []string{key + " in (a,b,c)"}},
		"two keys":                    {a: "x=1", b: "y=1", want: []string{"x=1", "y=1"}},
		"existence is no value":       {a: "x", b: "x=1", want: []string{"x", "x=1"}},
		"nor is what is left out":     {a: "x!=1", b: "x=1", want: []string{"x!=1", "x=1"}},
		"more than one requirement":   {a: "x=1,y=1", b: "x=2", want: []string{"x=1,y=1", "x=2"}},
		"nothing and something":       {a: "", b: key + "=remote-discovery", want: []string{key + "=remote-discovery"}},
		"nothing at all":              {a: "", b: ""},
	} {
		var got []string
		for _, s := range watchSelectors(parsed(t, c.a), parsed(t, c.b)) {
			got = append(got, s.String())
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// parsed reads a selector; as in a Link, an empty one picks nothing (LESSON-55).
func parsed(t *testing.T, s string) labels.Selector {
	t.Helper()
	if s == "" {
		return labels.Nothing()
	}
	selector, err := labels.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return selector
}

// Whatever the selectors are, a service that one of them picks is in one of the watches, and one
// that neither picks is in none.
func FuzzWatchSelectors(f *testing.F) {
	f.Add("x=1", "x=2", "x", "1")
	f.Add("x=1,y in (2,3)", "x!=1", "y", "2")
	f.Add("", "!x", "x", "")
	f.Fuzz(func(t *testing.T, a, b, key, value string) {
		sa, sb := labels.Nothing(), labels.Nothing()
		if s, err := labels.Parse(a); err == nil && a != "" {
			sa = s
		}
		if s, err := labels.Parse(b); err == nil && b != "" {
			sb = s
		}
		for _, set := range []labels.Set{{}, {key: value}, {key: value, "x": "1"}} {
			watched := false
			for _, s := range watchSelectors(sa, sb) {
				watched = watched || s.Matches(set)
			}
			if picked := sa.Matches(set) || sb.Matches(set); picked != watched {
				t.Errorf("%v: picked by %q or %q is %v, watched is %v", set, a, b, picked, watched)
			}
		}
	})
}

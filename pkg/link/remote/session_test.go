package remote

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// LESSON-6: quick at first, because most outages are a restart; never slower than some 20 s, for ever.
func TestBackoff(t *testing.T) {
	t.Parallel()
	b := newBackoff()
	for i := range 1000 {
		d := b.Step()
		if low := 500 * time.Millisecond; d < low {
			t.Fatalf("step %d is %s, want at least %s", i, d, low)
		}
		if i == 0 && d > 750*time.Millisecond {
			t.Errorf("the first step is %s, want at most 750ms", d)
		}
		if d > 23*time.Second || i > 10 && d < 15*time.Second {
			t.Fatalf("step %d is %s, want 15s to 22.5s in the end", i, d)
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	s := &session{report: Report{Failure: &Failure{Permanent: true, Err: errors.New("x")}}}
	if d := s.pause(newBackoff()); d < time.Minute || d > 90*time.Second {
		t.Errorf("a permanent failure is tried again after %s, want 60 s to 90 s", d)
	}
	s.report.Failure.Permanent = false
	if d := s.pause(newBackoff()); d > time.Second {
		t.Errorf("another failure is tried again after %s", d)
	}
}

func target(name string, created time.Time) Target {
	return Target{
		Fingerprint: "f",
		Link: link.Link{
			Name: link.Name(name), Cluster: name, Created: created, CredentialsSecret: "secret-" + name,
			Exported: labels.Nothing(), RemoteDiscovery: labels.Nothing(),
		},
	}
}

// LESSON-58: only what the watches or the credentials depend on makes a new connection.
func TestTargetKey(t *testing.T) {
	t.Parallel()
	base, selector := target("east", time.Time{}), parsed(t, "exported=true")
	for name, c := range map[string]struct {
		change func(*Target)
		other  bool
	}{
		"the same":               {change: func(*Target) {}},
		"another generation":     {change: func(t *Target) { t.Link.Generation++ }},
		"another gateway":        {change: func(t *Target) { t.Link.Gateway = &link.Gateway{Port: 1} }},
		"other filters":          {change: func(t *Target) { t.Link.ExcludedLabels = link.NewKeyFilter([]string{"team"}) }},
		"a release":              {change: func(t *Target) { t.Link.ReleaseMassDeletion = time.Unix(1, 0) }},
		"a recorded identity":    {change: func(t *Target) { t.KnownUID = "uid" }},
		"other Secret bytes":     {change: func(t *Target) { t.Fingerprint = "g" }, other: true},
		"another selector":       {change: func(t *Target) { t.Link.Exported = selector }, other: true},
		"pod to pod":             {change: func(t *Target) { t.Link.RemoteDiscovery = selector }, other: true},
		"an accepted new target": {change: func(t *Target) { t.Link.AcceptTarget = "uid" }, other: true},
	} {
		changed := base
		c.change(&changed)
		if other := changed.key() != base.key(); other != c.other {
			t.Errorf("%s: needs a new connection is %v, want %v", name, other, c.other)
		}
	}
}

// linked makes an owner whose Links are connected to the given clusters, without any network.
func linked(t *testing.T, uids map[string]string, created map[string]time.Time) *Connections {
	t.Helper()
	local := func(context.Context) (types.UID, error) { return "uid-here", nil }
	c := NewConnections(logr.Discard(), "test", NewMetrics(prometheus.NewRegistry()), local, Events{})
	for name, uid := range uids {
		c.sessions[link.Name(name)] = &session{
			owner: c, name: link.Name(name), wake: make(chan struct{}, 1), target: target(name, created[name]), report: Report{Connected: true, UID: uid},
		}
	}
	return c
}

// LINK-8: of several Links to one cluster the oldest stays, and among equals the first by name.
func TestOlderWith(t *testing.T) {
	t.Parallel()
	early, late := time.Unix(100, 0), time.Unix(200, 0)
	for name, c := range map[string]struct {
		uids    map[string]string
		created map[string]time.Time
		asks    string
		want    link.Name
	}{
		"alone":                               {uids: map[string]string{"a": "u"}, asks: "a"},
		"an older one":                        {uids: map[string]string{"a": "", "b": "u"}, created: map[string]time.Time{"a": late, "b": early}, asks: "a", want: "b"},
		"a younger one":                       {uids: map[string]string{"a": "", "b": "u"}, created: map[string]time.Time{"a": early, "b": late}, asks: "a"},
		"of the same second":                  {uids: map[string]string{"a": "u", "b": ""}, asks: "b", want: "a"},
		"the first by name":                   {uids: map[string]string{"a": "", "b": "u"}, asks: "a"},
		"an older one elsewhere":              {uids: map[string]string{"a": "", "b": "v"}, created: map[string]time.Time{"a": late, "b": early}, asks: "a"},
		"an older one, where to is not known": {uids: map[string]string{"a": "", "b": ""}, created: map[string]time.Time{"a": late, "b": early}, asks: "a"},
	} {
		owner := linked(t, c.uids, c.created)
		if got := owner.olderWith(target(c.asks, c.created[c.asks]).Link, "u"); got != c.want {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// LINK-8, LESSON-28: a target that must not be used is refused for a reason that the user can act on.
func TestCheckIdentity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		uid    types.UID
		known  string
		accept string
		want   string
	}{
		"nothing is known of it":            {uid: ""},
		"nor is it now":                     {uid: "", known: "u"},
		"the first time":                    {uid: "u"},
		"as ever":                           {uid: "u", known: "u"},
		"our own cluster":                   {uid: "uid-here", want: v1alpha3.ReasonTargetIsSelf},
		"the cluster of an older Link":      {uid: "uid-a", want: v1alpha3.ReasonTargetIsDuplicate},
		"another than before":               {uid: "v", known: "u", want: v1alpha3.ReasonTargetChanged},
		"another than before, accepted":     {uid: "v", known: "u", accept: "v"},
		"another than the accepted one":     {uid: "w", known: "u", accept: "v", want: v1alpha3.ReasonTargetChanged},
		"accepted, and yet our own cluster": {uid: "uid-here", known: "u", accept: "uid-here", want: v1alpha3.ReasonTargetIsSelf},
	} {
		owner := linked(t, map[string]string{"a": "uid-a"}, nil)
		asks := target("b", time.Unix(1, 0))
		asks.KnownUID, asks.Link.AcceptTarget = c.known, c.accept
		err := owner.checkIdentity(t.Context(), asks, c.uid)
		var f *Failure
		if c.want == "" && err != nil || c.want != "" && (!errors.As(err, &f) || f.Reason != c.want || !f.Permanent) {
			t.Errorf("%s: got %v, want a permanent failure with reason %q", name, err, c.want)
		}
	}
	owner := linked(t, nil, nil)
	owner.localUID = func(context.Context) (types.UID, error) { return "", errors.New("not now") }
	if err := owner.checkIdentity(t.Context(), target("b", time.Time{}), "u"); err == nil {
		t.Error("a target is used although it may be our own cluster")
	}
}

// LINK-8: who was refused because of another Link looks again when that has gone.
func TestWakeRivals(t *testing.T) {
	t.Parallel()
	owner := linked(t, map[string]string{"self": "u", "same": "u", "elsewhere": "v", "refused": "", "unreachable": ""}, nil)
	owner.sessions["refused"].report = Report{Failure: &Failure{Reason: v1alpha3.ReasonTargetIsDuplicate, Err: errors.New("x")}}
	owner.sessions["unreachable"].report = Report{Failure: &Failure{Reason: v1alpha3.ReasonConnectionTimeout, Err: errors.New("x")}}
	owner.wakeRivals("self", "u")
	owner.wakeRivals("self", "u") // waking twice must not block
	for name, want := range map[link.Name]int{"self": 0, "same": 1, "elsewhere": 0, "refused": 1, "unreachable": 0} {
		if got := len(owner.sessions[name].wake); got != want {
			t.Errorf("%s was woken %d times, want %d", name, got, want)
		}
	}
}

// LESSON-59: a Link takes its series with it, and nobody else's.
func TestMetricsForget(t *testing.T) {
	t.Parallel()
	registry := prometheus.NewPedanticRegistry()
	m := NewMetrics(registry)
	touch := func(name link.Name) {
		m.connection(name, string(name), true, nil)
		m.connection(name, string(name), false, &Failure{Reason: v1alpha3.ReasonUnauthorized, Err: errors.New("x")})
		m.credentials(name, string(name), nil, false, time.Unix(5000, 0))
		m.status(name, []metav1.Condition{{Type: "Ready", Status: metav1.ConditionFalse}})
	}
	touch("west")
	base, err := testutil.GatherAndCount(registry)
	if err != nil || base != 6 {
		t.Fatalf("%d series (error %v), want 6", base, err)
	}
	for range 20 {
		touch("east")
		m.Forget("east")
	}
	m.Forget("never heard of")
	if after, err := testutil.GatherAndCount(registry); err != nil || after != base {
		t.Errorf("%d series (error %v), want %d as before", after, err, base)
	}
	m.credentials("west", "west", nil, false, time.Time{})
	if after, err := testutil.GatherAndCount(registry); err != nil || after != base-1 {
		t.Errorf("%d series (error %v): credentials that do not say when they end still have an end", after, err)
	}
	problems, err := testutil.GatherAndLint(registry)
	if err != nil || len(problems) > 0 {
		t.Errorf("lint: %v, error %v", problems, err)
	}
}

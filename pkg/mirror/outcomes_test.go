package mirror

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

var (
	isMirrored = plan.Outcome{State: plan.StateMirrored, Mode: link.ModeGateway, Reason: v1alpha3.ReasonMirrored}
	kept       = plan.Outcome{State: plan.StateKept, Mode: link.ModeGateway, Reason: v1alpha3.ReasonMirrored}
	refused    = plan.Outcome{State: plan.StateRefused, Reason: v1alpha3.ReasonNoPorts, Message: "it has no ports"}
	waiting    = plan.Outcome{State: plan.StateWaiting, Reason: v1alpha3.ReasonMissingNamespace, Message: "namespace shop is missing"}
	none       = plan.Outcome{State: plan.StateNone}
)

func keyNamed(name string) Key { return Key{Link: "east", Namespace: "shop", Name: name} }

func services(names ...string) []remote.ServiceKey {
	out := make([]remote.ServiceKey, 0, len(names))
	for _, n := range names {
		out = append(out, remote.ServiceKey{Namespace: "shop", Name: n})
	}
	return out
}

func TestOutcomesSet(t *testing.T) {
	t.Parallel()
	o := newOutcomes()
	for i, step := range []struct {
		out     plan.Outcome
		failing bool
		before  plan.Outcome
		changed bool
	}{
		{out: none},
		{out: waiting, changed: true},
		{out: waiting, before: waiting},
		{out: waiting, failing: true, before: waiting, changed: true},
		{out: isMirrored, before: waiting, changed: true},
		{out: isMirrored, before: isMirrored},
		{out: none, before: isMirrored, changed: true},
		{out: none},
	} {
		before, changed := o.set(keyNamed("web"), step.out, step.failing)
		if before != step.before || changed != step.changed {
			t.Errorf("step %d: got %+v (changed %v), want %+v (changed %v)", i, before, changed, step.before, step.changed)
		}
	}
	if !o.differs(keyNamed("web"), isMirrored) {
		t.Error("a service without an outcome has the same as another")
	}
}

// LESSON-24: counts are exact, entries are bounded, what fails comes first.
func TestOutcomesReport(t *testing.T) {
	t.Parallel()
	l := link.Link{Name: "east", Cluster: "east"}
	for name, c := range map[string]struct {
		set       map[string]plan.Outcome
		failing   map[string]bool
		exported  []remote.ServiceKey
		connected bool
		want      remote.MirrorReport
		order     []string
	}{
		"nothing": {connected: true},
		"all is well": {
			set: map[string]plan.Outcome{"a": isMirrored, "b": isMirrored}, exported: services("a", "b"), connected: true,
			want:  remote.MirrorReport{Counts: v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2}},
			order: []string{"a", "b"},
		},
		"some are still to be planned": {
			set: map[string]plan.Outcome{"a": isMirrored}, exported: services("a", "b", "c"), connected: true,
			want:  remote.MirrorReport{Counts: v1alpha3.ServiceCounts{Exported: 3, Mirrored: 1}, Unseen: 2},
			order: []string{"a"},
		},
		"the target says nothing: what was known counts": {
			set:   map[string]plan.Outcome{"a": kept, "b": kept},
			want:  remote.MirrorReport{Counts: v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2}},
			order: []string{"a", "b"},
		},
		"connected to a target that exports nothing": {
			set: map[string]plan.Outcome{"a": kept}, exported: []remote.ServiceKey{}, connected: true,
			want:  remote.MirrorReport{Counts: v1alpha3.ServiceCounts{Mirrored: 1}},
			order: []string{"a"},
		},
		"what fails comes first, then what waits or is refused": {
			set:     map[string]plan.Outcome{"a": isMirrored, "b": waiting, "c": refused, "d": waiting},
			failing: map[string]bool{"d": true}, exported: services("a", "b", "c", "d"), connected: true,
			want: remote.MirrorReport{
				Counts: v1alpha3.ServiceCounts{Exported: 4, Mirrored: 1, Refused: 1, Waiting: 2}, Failing: 1,
				LastError: "shop/d: namespace shop is missing",
			},
			order: []string{"d", "b", "c", "a"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newOutcomes()
			for n, out := range c.set {
				o.set(keyNamed(n), out, c.failing[n])
			}
			got := o.report(l, c.exported, c.connected)
			var order []string
			for _, s := range got.Services {
				order = append(order, s.RemoteRef.Name)
			}
			got.Services = nil
			if diff := cmp.Diff(c.want, got); diff != "" {
				t.Errorf("report (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(c.order, order); diff != "" {
				t.Errorf("entries (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOutcomesReportIsBounded(t *testing.T) {
	t.Parallel()
	o := newOutcomes()
	var exported []remote.ServiceKey
	for i := range 250 {
		k := keyNamed(fmt.Sprintf("s%03d", i))
		exported = append(exported, k.service())
		out := isMirrored
		if i == 249 {
			out = refused
		}
		o.set(k, out, false)
	}
	got := o.report(link.Link{Name: "east", Cluster: "east"}, exported, true)
	if len(got.Services) != maxReported || got.Services[0].RemoteRef.Name != "s249" {
		t.Errorf("%d entries, the first %+v: want %d, the refused one first", len(got.Services), got.Services[0], maxReported)
	}
	if want := (v1alpha3.ServiceCounts{Exported: 250, Mirrored: 249, Refused: 1}); got.Counts != want {
		t.Errorf("counts are %+v, want %+v", got.Counts, want)
	}
}

func TestOutcomesEntry(t *testing.T) {
	t.Parallel()
	l := link.Link{Name: "east", Cluster: "east"}
	ref := v1alpha3.ObjectRef{Kind: "Service", Namespace: "shop", Name: "web"}
	for name, c := range map[string]struct {
		record record
		want   v1alpha3.ServiceCondition
	}{
		"mirrored": {
			record: record{Outcome: isMirrored},
			want: v1alpha3.ServiceCondition{
				Type: "Mirrored", Status: metav1.ConditionTrue, Reason: "Mirrored",
				LocalRef: &v1alpha3.ObjectRef{Kind: "Service", Namespace: "shop", Name: "web-east"},
			},
		},
		"refused": {
			record: record{Outcome: refused},
			want:   v1alpha3.ServiceCondition{Type: "Mirrored", Status: metav1.ConditionFalse, Reason: "NoPorts", Message: "it has no ports"},
		},
	} {
		want := v1alpha3.ServiceStatus{ControllerName: v1alpha3.ControllerName, RemoteRef: ref, Conditions: []v1alpha3.ServiceCondition{c.want}}
		got := entry{key: services("web")[0], record: &c.record}.status(l)
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Events tell what is new and nothing twice; what was over may be told again.
func TestOutcomesNews(t *testing.T) {
	t.Parallel()
	o := newOutcomes()
	k := keyNamed("web")
	warn := plan.Event{Warning: true, Reason: v1alpha3.ReasonNoPorts, Message: "it has no ports"}
	made := plan.Event{Reason: v1alpha3.ReasonMirrored, Message: "made"}
	if got := o.news(k, []plan.Event{warn}); len(got) != 1 {
		t.Errorf("news of a service that was never heard of: %v", got)
	}
	o.set(k, refused, false)
	for i, step := range []struct{ events, want []plan.Event }{
		{events: []plan.Event{warn}, want: []plan.Event{warn}},
		{events: []plan.Event{warn}},
		{events: []plan.Event{warn, made}, want: []plan.Event{made}},
		{events: nil},
		{events: []plan.Event{warn}, want: []plan.Event{warn}},
	} {
		if diff := cmp.Diff(step.want, o.news(k, step.events)); diff != "" {
			t.Errorf("step %d (-want +got):\n%s", i, diff)
		}
	}
}

// LESSON-18: what waits in a namespace is found when that changes.
func TestOutcomesWaitingIn(t *testing.T) {
	t.Parallel()
	o := newOutcomes()
	o.set(keyNamed("web"), waiting, false)
	o.set(keyNamed("api"), isMirrored, false)
	o.set(Key{Link: "west", Namespace: "shop", Name: "web"}, waiting, false)
	o.set(Key{Link: "east", Namespace: "other", Name: "web"}, waiting, false)
	got := map[Key]bool{}
	for _, k := range o.waitingIn("shop") {
		got[k] = true
	}
	if diff := cmp.Diff(map[Key]bool{keyNamed("web"): true, {Link: "west", Namespace: "shop", Name: "web"}: true}, got); diff != "" {
		t.Errorf("waiting (-want +got):\n%s", diff)
	}
	o.forget("east")
	if got := o.waitingIn("other"); len(got) != 0 {
		t.Errorf("a Link that is gone has services that wait: %v", got)
	}
}

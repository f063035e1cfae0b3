package mirror

import (
	"cmp"
	"maps"
	"slices"
	"sync"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/link/remote"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// maxReported bounds the entries of a Link's mirrorServices; the counts beside them are exact.
const maxReported = 100

// outcomes remembers what became of each service, for the Links' status, metrics and events.
type outcomes struct {
	mu     sync.Mutex
	byLink map[link.Name]map[remote.ServiceKey]*record
	errs   map[link.Name]string
	// portless are the services that wait for a free port of the egress and were not woken since they did.
	portless map[Key]struct{}
}

// record is the last outcome of one service.
type record struct {
	plan.Outcome
	// failing is true when writing met an error that is retried.
	failing bool
	// told holds the last event of each reason, so that a pass that changes nothing tells nothing.
	told map[string]string
	// way is how clients got there when the service was last looked at.
	way way
}

// way is how clients get to the gateway, as far as it can change without the service: slices that follow
// such a change are no repairs.
type way struct {
	// epoch is that of the egress's pods, where clients go by them.
	epoch   uint64
	clients link.Clients
	// told is what the mirror says of its egress ports.
	told string
}

func newOutcomes() *outcomes {
	return &outcomes{byLink: map[link.Name]map[remote.ServiceKey]*record{}, errs: map[link.Name]string{}, portless: map[Key]struct{}{}}
}

// set records an outcome and returns the one before, with changed = false when they are equal.
func (o *outcomes) set(k Key, out plan.Outcome, failing bool) (before plan.Outcome, changed bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	services := o.byLink[k.Link]
	if services == nil {
		services = map[remote.ServiceKey]*record{}
		o.byLink[k.Link] = services
	}
	r := services[k.service()]
	if r == nil {
		if out.State == plan.StateNone {
			return plan.Outcome{}, false
		}
		r = &record{told: map[string]string{}}
		services[k.service()] = r
	}
	if out.Reason == v1alpha3.ReasonEgressPortsExhausted {
		o.portless[k] = struct{}{}
	} else {
		delete(o.portless, k)
	}
	before, changed = r.Outcome, r.Outcome != out || r.failing != failing
	r.Outcome, r.failing = out, failing
	if failing {
		o.errs[k.Link] = k.Namespace + "/" + k.Name + ": " + out.Message
	}
	if out.State == plan.StateNone {
		delete(services, k.service())
	}
	return before, changed
}

// differs says whether an outcome is not the last one recorded.
func (o *outcomes) differs(k Key, out plan.Outcome) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.byLink[k.Link][k.service()]
	return r == nil || r.Outcome != out
}

// goes says whether clients still get to a service the way they did at the last look.
func (o *outcomes) goes(k Key, now way) bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.byLink[k.Link][k.service()]
	return r != nil && r.way == now
}

// went remembers the way of this look.
func (o *outcomes) went(k Key, now way) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if r := o.byLink[k.Link][k.service()]; r != nil {
		r.way = now
	}
}

// news returns the events that were not told before. Reasons that are over may be told again.
func (o *outcomes) news(k Key, events []plan.Event) []plan.Event {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := o.byLink[k.Link][k.service()]
	if r == nil {
		return events
	}
	told := map[string]string{}
	var out []plan.Event
	for _, e := range events {
		if r.told[e.Reason] != e.Message {
			out = append(out, e)
		}
		told[e.Reason] = e.Message
	}
	r.told = told
	return out
}

// waitingIn lists the services that wait for something in a namespace.
func (o *outcomes) waitingIn(namespace string) []Key {
	o.mu.Lock()
	defer o.mu.Unlock()
	var out []Key
	for name, services := range o.byLink {
		for s, r := range services {
			if s.Namespace == namespace && r.State == plan.StateWaiting {
				out = append(out, Key{Link: name, Namespace: s.Namespace, Name: s.Name})
			}
		}
	}
	return out
}

// takePortless lists the services that wait for a free port of the egress, each once until it has been looked
// at: when ten thousand mirrors go at once, what their ports cost must not depend on how many wait.
func (o *outcomes) takePortless() []Key {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := slices.Collect(maps.Keys(o.portless))
	clear(o.portless)
	return out
}

func (o *outcomes) forget(name link.Name) {
	o.mu.Lock()
	defer o.mu.Unlock()
	delete(o.byLink, name)
	maps.DeleteFunc(o.portless, func(k Key, _ struct{}) bool { return k.Link == name })
	delete(o.errs, name)
}

// report sums up a Link. exported are the services that the target is known to export; connected
// says whether that is known.
func (o *outcomes) report(l link.Link, exported []remote.ServiceKey, connected bool) remote.MirrorReport {
	o.mu.Lock()
	defer o.mu.Unlock()
	services := o.byLink[l.Name]
	out := remote.MirrorReport{LastError: o.errs[l.Name]}
	var entries []entry
	for key, r := range services {
		switch r.State {
		case plan.StateMirrored, plan.StateKept:
			out.Counts.Mirrored++
		case plan.StateRefused:
			out.Counts.Refused++
		case plan.StateWaiting:
			out.Counts.Waiting++
		}
		if r.failing {
			out.Failing++
		}
		entries = append(entries, entry{key, r})
	}
	out.Counts.Exported = int32(len(services))
	if connected {
		seen := map[remote.ServiceKey]struct{}{}
		for _, key := range exported {
			seen[key] = struct{}{}
			if services[key] == nil {
				out.Unseen++
			}
		}
		out.Counts.Exported = int32(len(seen))
	}
	slices.SortFunc(entries, func(a, b entry) int {
		return cmp.Or(-cmp.Compare(a.urgency(), b.urgency()), cmp.Compare(a.key.Namespace, b.key.Namespace), cmp.Compare(a.key.Name, b.key.Name))
	})
	for _, e := range entries[:min(len(entries), maxReported)] {
		out.Services = append(out.Services, e.status(l))
	}
	return out
}

// entry is one line of mirrorServices.
type entry struct {
	key remote.ServiceKey
	*record
}

// urgency orders entries: what fails first, then what waits or is refused, then the rest.
func (e entry) urgency() int {
	switch {
	case e.failing:
		return 2
	case e.State == plan.StateRefused, e.State == plan.StateWaiting:
		return 1
	default:
		return 0
	}
}

func (e entry) status(l link.Link) v1alpha3.ServiceStatus {
	c := v1alpha3.ServiceCondition{Type: v1alpha3.ConditionMirrored, Status: metav1.ConditionTrue, Reason: e.Reason, Message: e.Message}
	if e.urgency() > 0 {
		c.Status = metav1.ConditionFalse
	} else {
		c.LocalRef = &v1alpha3.ObjectRef{Kind: "Service", Namespace: e.key.Namespace, Name: l.MirrorName(e.key.Name)}
	}
	return v1alpha3.ServiceStatus{
		ControllerName: v1alpha3.ControllerName,
		Conditions:     []v1alpha3.ServiceCondition{c},
		RemoteRef:      v1alpha3.ObjectRef{Kind: "Service", Namespace: e.key.Namespace, Name: e.key.Name},
	}
}

package remote

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// GatewayReport is what the probes say of a Link's gateway.
type GatewayReport struct {
	Addresses []v1alpha3.GatewayAddressStatus
	// Problem is what is wrong beside the addresses, such as a name that does not resolve.
	Problem string
	// NoIdentity is true where our egress is to dial the gateway and the Link names nobody to verify.
	NoIdentity bool
}

// MirrorReport is what the mirror controller says of a Link's services.
type MirrorReport struct {
	Counts v1alpha3.ServiceCounts
	// Unseen is how many exported services were not planned yet.
	Unseen int
	// Failing is how many of the waiting ones met an error that is retried.
	Failing int
	// Services lists up to 100, those with problems first, without transition times.
	Services []v1alpha3.ServiceStatus
	// Held is set while a mass deletion is held.
	Held *HeldDeletion
	// LastError is the newest error, or empty.
	LastError string
}

// HeldDeletion is a mass deletion that waits for an operator or for its time.
type HeldDeletion struct {
	// Missing of Total mirrors were absent from a fresh list of the target's services.
	Missing, Total int
	Since, Until   time.Time
}

// observed is everything that a Link's status is computed from.
type observed struct {
	generation int64
	deleting   bool
	previous   v1alpha3.LinkStatus
	entry      entry
	connection Report
	gateway    GatewayReport
	mirrors    MirrorReport
}

// foundOut says whether everything that the status speaks of was found out by this process: whether the
// target answers, what became of each service, and whether the gateway is alive.
func (o observed) foundOut() bool {
	switch {
	case !o.entry.usable:
		return o.entry.refusal != nil
	case o.entry.credentials.failure == nil && !o.connection.Connected && o.connection.Failure == nil:
		return false
	case o.connection.Connected && o.mirrors.Unseen > 0:
		return false
	default:
		return o.gateway.Problem != "" || gatewayReady(o).status != metav1.ConditionUnknown
	}
}

// verdict is one condition before it is dated.
type verdict struct {
	status          metav1.ConditionStatus
	reason, message string
}

// noting adds which annotations of the Link have no effect, and why; a long message makes room for that.
func (v verdict) noting(ignored []*link.InvalidError) verdict {
	if len(ignored) == 0 {
		return v
	}
	var texts []string
	if v.message != "" {
		texts = append(texts, shown(v.message, maxCause))
	}
	for _, e := range ignored {
		texts = append(texts, "ignored: "+e.Error())
	}
	v.message = strings.Join(texts, "; ")
	return v
}

// status computes a Link's status. Every condition is set every time; a transition time moves only
// when the condition's status does, but that of a held mass deletion is the time of the hold: there a
// restart, and the next leader, read since when it lasts.
func status(o observed, now metav1.Time) v1alpha3.LinkStatus {
	verdicts := map[string]verdict{
		v1alpha3.ConditionCredentialsValid: credentialsValid(o),
		v1alpha3.ConditionConnected:        connected(o),
		v1alpha3.ConditionSynced:           synced(o),
		v1alpha3.ConditionGatewayReady:     gatewayReady(o),
	}
	verdicts[v1alpha3.ConditionReady] = ready(o, verdicts).noting(o.entry.ignored)

	conditions := append([]metav1.Condition(nil), o.previous.Conditions...)
	for _, kind := range conditionOrder {
		v := verdicts[kind]
		meta.SetStatusCondition(&conditions, metav1.Condition{
			Type: kind, Status: v.status, Reason: v.reason, Message: shown(v.message, maxMessage),
			ObservedGeneration: o.generation, LastTransitionTime: now,
		})
	}
	if c := meta.FindStatusCondition(conditions, v1alpha3.ConditionSynced); c.Reason == v1alpha3.ReasonMassDeletionHeld {
		c.LastTransitionTime = metav1.NewTime(o.mirrors.Held.Since).Rfc3339Copy()
	}
	counts := o.mirrors.Counts
	out := v1alpha3.LinkStatus{
		Conditions: conditions, ObservedGeneration: o.generation, Services: &counts,
		Target: o.previous.Target, Gateway: fit(lastKnown(o)), LastError: shown(lastError(o), maxMessage),
		MirrorServices:    keepTransitions(o.mirrors.Services, o.previous.MirrorServices, now),
		FederatedServices: o.previous.FederatedServices,
	}
	if o.connection.UID != "" {
		out.Target = &v1alpha3.TargetStatus{UID: o.connection.UID}
	}
	return out
}

// conditionOrder is the order in which problems are named: the first cause first.
var conditionOrder = []string{
	v1alpha3.ConditionReady, v1alpha3.ConditionCredentialsValid, v1alpha3.ConditionConnected,
	v1alpha3.ConditionSynced, v1alpha3.ConditionGatewayReady,
}

func credentialsValid(o observed) verdict {
	if f := o.entry.credentials.failure; f != nil {
		return verdict{metav1.ConditionFalse, f.Reason, f.Error()}
	}
	if f := o.connection.Failure; f != nil && (o.connection.NewCredentials || ofCredentials(f.Reason)) {
		message := f.Error()
		if o.connection.Connected {
			message += "; the previous credentials are still in use"
		}
		return verdict{metav1.ConditionFalse, f.Reason, message}
	}
	if !o.entry.usable {
		return verdict{metav1.ConditionUnknown, v1alpha3.ReasonPending, "the credentials were not looked at, because the Link cannot be used"}
	}
	return verdict{metav1.ConditionTrue, v1alpha3.ReasonCredentialsValid, ""}
}

// ofCredentials says whether a failure can only be mended in the credentials Secret.
func ofCredentials(reason string) bool {
	return reason == v1alpha3.ReasonUnauthorized || reason == v1alpha3.ReasonCertificateInvalid
}

func connected(o observed) verdict {
	switch {
	case o.connection.Connected && o.connection.Failure != nil:
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonConnected, "still connected as before; a new connection failed: " + o.connection.Failure.Error()}
	case o.connection.Connected:
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonConnected, ""}
	case o.connection.Failure != nil:
		return verdict{metav1.ConditionFalse, o.connection.Failure.Reason, o.connection.Failure.Error()}
	case o.entry.credentials.failure != nil || !o.entry.usable:
		return verdict{metav1.ConditionUnknown, v1alpha3.ReasonPending, "not tried: see the other conditions"}
	default:
		return verdict{metav1.ConditionUnknown, v1alpha3.ReasonConnecting, "the first attempt is under way"}
	}
}

func synced(o observed) verdict {
	m := o.mirrors
	switch {
	case o.deleting:
		return verdict{metav1.ConditionFalse, v1alpha3.ReasonDeleting, "the Link is being deleted, and its mirrors with it"}
	case m.Held != nil: // also while the target says nothing: a restart reads here since when
		return verdict{metav1.ConditionFalse, v1alpha3.ReasonMassDeletionHeld, held(m.Held)}
	case !o.connection.Connected:
		return verdict{metav1.ConditionUnknown, v1alpha3.ReasonPending, "the target says nothing: mirrors are kept as they are"}
	case m.Failing > 0:
		return verdict{metav1.ConditionFalse, v1alpha3.ReasonServicesFailing, fmt.Sprintf(
			"%d of %d services could not be written and are retried: %s", m.Failing, m.Counts.Exported, firstProblem(m.Services))}
	case m.Unseen > 0:
		return verdict{metav1.ConditionFalse, v1alpha3.ReasonSyncing, fmt.Sprintf("%d of %d services to go", m.Unseen, m.Counts.Exported)}
	case m.Counts.Refused > 0:
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonServicesRefused, fmt.Sprintf(
			"%d of %d services cannot be mirrored: %s", m.Counts.Refused, m.Counts.Exported, firstProblem(m.Services))}
	case m.Counts.Waiting > 0:
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonServicesWaiting, fmt.Sprintf(
			"%d of %d services wait: %s", m.Counts.Waiting, m.Counts.Exported, firstProblem(m.Services))}
	default:
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonSynced, ""}
	}
}

func held(h *HeldDeletion) string {
	missing, until := fmt.Sprintf("%d of %d mirrors are", h.Missing, h.Total), stamp(h.Until)
	if h.Total == 0 {
		missing = "many mirrors are" // resumed, and not counted yet
	}
	if h.Until.IsZero() {
		until = "they are released"
	}
	return fmt.Sprintf("%s missing from the target's services since %s and kept until %s; to delete them now, annotate the Link with %s=%s",
		missing, stamp(h.Since), until, v1alpha3.AnnotationReleaseMassDeletion, stamp(h.Since.Add(time.Second)))
}

// heldSince reads from a status since when a mass deletion is held; zero when none is.
func heldSince(s v1alpha3.LinkStatus) time.Time {
	c := meta.FindStatusCondition(s.Conditions, v1alpha3.ConditionSynced)
	if c == nil || c.Reason != v1alpha3.ReasonMassDeletionHeld {
		return time.Time{}
	}
	return c.LastTransitionTime.Time
}

func gatewayReady(o observed) verdict {
	if o.entry.usable && o.entry.link.Gateway == nil {
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonNoGateway, "the Link has no gateway: only pod-to-pod mirrors work"}
	}
	if o.gateway.NoIdentity {
		return verdict{metav1.ConditionFalse, v1alpha3.ReasonGatewayIdentityMissing, "the Link has no gatewayIdentity, and the egress dials no gateway that it cannot verify: " +
			"set spec.gatewayIdentity to the name in the gateway's certificate"}
	}
	alive, dead, problem := o.gateway.tally()
	total := len(o.gateway.Addresses)
	switch {
	case alive == total && total > 0:
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonGatewayAlive, ""}
	case alive > 0:
		return verdict{metav1.ConditionTrue, v1alpha3.ReasonGatewayPartly, fmt.Sprintf("%d of %d addresses are alive: %s", alive, total, problem)}
	case dead == total && total > 0:
		return verdict{metav1.ConditionFalse, v1alpha3.ReasonGatewayDead, problem}
	default:
		return verdict{metav1.ConditionUnknown, v1alpha3.ReasonGatewayUnknown, strings.TrimSuffix("no verdict yet: "+problem, ": ")}
	}
}

// tally counts the verdicts, and names the first thing that is wrong.
func (g GatewayReport) tally() (alive, dead int, problem string) {
	problem = g.Problem
	for _, a := range g.Addresses {
		switch a.State {
		case "Alive":
			alive++
			continue
		case "Dead":
			dead++
		}
		problem = cmp.Or(problem, a.LastError)
	}
	return alive, dead, problem
}

// ready names the first condition that is not true, and else what is worth knowing all the same.
func ready(o observed, verdicts map[string]verdict) verdict {
	if o.deleting {
		return verdict{metav1.ConditionFalse, v1alpha3.ReasonDeleting, verdicts[v1alpha3.ConditionSynced].message}
	}
	if f := o.entry.refusal; f != nil {
		return verdict{metav1.ConditionFalse, f.Reason, f.Error()}
	}
	for _, wanted := range []metav1.ConditionStatus{metav1.ConditionFalse, metav1.ConditionUnknown} {
		for _, kind := range conditionOrder[1:] {
			if v := verdicts[kind]; v.status == wanted {
				return verdict{wanted, v.reason, v.message}
			}
		}
	}
	if v := verdicts[v1alpha3.ConditionSynced]; v.message != "" {
		return verdict{metav1.ConditionTrue, v.reason, v.message}
	}
	return verdict{metav1.ConditionTrue, v1alpha3.ReasonReady, ""}
}

func lastError(o observed) string {
	switch {
	case o.entry.refusal != nil:
		return o.entry.refusal.Error()
	case o.entry.credentials.failure != nil:
		return o.entry.credentials.failure.Error()
	case o.connection.Failure != nil:
		return o.connection.Failure.Error()
	case o.mirrors.LastError != "":
		return o.mirrors.LastError
	default:
		return o.previous.LastError
	}
}

// lastKnown are the gateway's addresses. While none is found, because names do not resolve since we started, they
// are those that were known before, without a verdict: as mirrors keep their endpoints, egresses, which go by
// the status, keep where these lead. The same is so of a Link that is refused: an edit that cannot be used must not cut
// what has worked, neither at once nor at the next restart.
func lastKnown(o observed) []v1alpha3.GatewayAddressStatus {
	if len(o.gateway.Addresses) > 0 || !leads(o) {
		return o.gateway.Addresses
	}
	kept := slices.Clone(o.previous.Gateway)
	for i := range kept {
		kept[i].State, kept[i].LastError = "Unknown", o.gateway.Problem
	}
	return kept
}

// leads says whether mirrors of the Link may go through a gateway. A refused Link's are kept as they are, but for one whose
// cluster another Link has.
func leads(o observed) bool {
	switch {
	case o.deleting:
		return false
	case o.entry.usable:
		return o.entry.link.Gateway != nil
	default:
		return o.entry.refusal != nil && o.entry.refusal.Reason != v1alpha3.ReasonDuplicateCluster
	}
}

// fit bounds what the probes met.
func fit(addresses []v1alpha3.GatewayAddressStatus) []v1alpha3.GatewayAddressStatus {
	out := slices.Clone(addresses)
	for i := range out {
		out[i].LastError = shown(out[i].LastError, maxMessage)
	}
	return out
}

func firstProblem(services []v1alpha3.ServiceStatus) string {
	for _, s := range services {
		for _, c := range s.Conditions {
			if c.Status != metav1.ConditionTrue {
				return fmt.Sprintf("%s/%s: %s", s.RemoteRef.Namespace, s.RemoteRef.Name, c.Message)
			}
		}
	}
	return "see the events of the Link"
}

// keepTransitions dates the entries: an entry whose condition has the status it had keeps its time.
func keepTransitions(current, previous []v1alpha3.ServiceStatus, now metav1.Time) []v1alpha3.ServiceStatus {
	type key struct {
		ref    v1alpha3.ObjectRef
		status metav1.ConditionStatus
	}
	since := map[key]metav1.Time{}
	for _, s := range previous {
		for _, c := range s.Conditions {
			since[key{s.RemoteRef, c.Status}] = c.LastTransitionTime
		}
	}
	out := make([]v1alpha3.ServiceStatus, 0, len(current))
	for _, s := range current {
		s.Conditions = append([]v1alpha3.ServiceCondition(nil), s.Conditions...)
		for i := range s.Conditions {
			c := &s.Conditions[i]
			c.LastTransitionTime, c.Message = now, shown(c.Message, maxMessage)
			if t, ok := since[key{s.RemoteRef, c.Status}]; ok {
				c.LastTransitionTime = t
			}
		}
		out = append(out, s)
	}
	return out
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }

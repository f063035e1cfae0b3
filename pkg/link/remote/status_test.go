package remote

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

var noon = metav1.NewTime(time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC))

// healthy is a Link of which everything works; cases change it.
func healthy() observed {
	return observed{
		generation: 4,
		entry:      entry{link: link.Link{Name: "east", Cluster: "east", Gateway: &link.Gateway{}}, usable: true},
		connection: Report{Connected: true, UID: "uid-east"},
		gateway:    GatewayReport{Addresses: []v1alpha3.GatewayAddressStatus{{Address: "203.0.113.7", State: "Alive"}}},
		mirrors:    MirrorReport{Counts: v1alpha3.ServiceCounts{Exported: 2, Mirrored: 2}},
	}
}

func because(reason, text string) *Failure { return &Failure{Reason: reason, Err: errors.New(text)} }

// short is a condition in one line: status, reason.
func short(s v1alpha3.LinkStatus) map[string]string {
	out := map[string]string{}
	for _, c := range s.Conditions {
		out[c.Type] = string(c.Status) + " " + c.Reason
	}
	return out
}

// conditions are what a healthy Link shows, with differences.
func conditions(changes ...string) map[string]string {
	out := map[string]string{
		"Ready": "True Ready", "CredentialsValid": "True Valid", "Connected": "True Connected",
		"Synced": "True Synced", "GatewayReady": "True Alive",
	}
	for i := 0; i < len(changes); i += 2 {
		out[changes[i]] = changes[i+1]
	}
	return out
}

// statusCase is one state of the world and what the Link shows of it.
type statusCase struct {
	change func(*observed)
	want   map[string]string
	// says is what the message of a condition contains, by condition.
	says map[string]string
}

func (c statusCase) check(t *testing.T) {
	t.Helper()
	o := healthy()
	c.change(&o)
	got := status(o, noon)
	if diff := cmp.Diff(c.want, short(got)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	if len(got.Conditions) != 5 {
		t.Errorf("%d conditions, want always five", len(got.Conditions))
	}
	for _, condition := range got.Conditions {
		if condition.ObservedGeneration != 4 || condition.LastTransitionTime.IsZero() {
			t.Errorf("condition %s has generation %d and time %s", condition.Type, condition.ObservedGeneration, condition.LastTransitionTime)
		}
		if !strings.Contains(condition.Message, c.says[condition.Type]) {
			t.Errorf("condition %s says %q, want %q in it", condition.Type, condition.Message, c.says[condition.Type])
		}
	}
}

func TestStatusOfLinkAndCredentials(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]statusCase{
		"all is well": {change: func(*observed) {}, want: conditions()},
		"nothing is known yet": {
			change: func(o *observed) { *o = observed{generation: 4} },
			want: conditions("Ready", "Unknown Pending", "CredentialsValid", "Unknown Pending", "Connected", "Unknown Pending",
				"Synced", "Unknown Pending", "GatewayReady", "Unknown Unknown"),
		},
		"an invalid Link that was never valid": {
			change: func(o *observed) {
				*o = observed{generation: 4, entry: entry{refusal: because("InvalidLink", "spec.selector: is not a label selector")}}
			},
			want: conditions("Ready", "False InvalidLink", "CredentialsValid", "Unknown Pending", "Connected", "Unknown Pending",
				"Synced", "Unknown Pending", "GatewayReady", "Unknown Unknown"),
			says: map[string]string{"Ready": "spec.selector"},
		},
		"an invalid edit of a Link that works (LESSON-55)": {
			change: func(o *observed) { o.entry.refusal = because("InvalidLink", "spec.selector: is not a label selector") },
			want:   conditions("Ready", "False InvalidLink"),
			says:   map[string]string{"Ready": "spec.selector"},
		},
		"another Link has the name": {
			change: func(o *observed) {
				*o = observed{generation: 4, entry: entry{refusal: because("DuplicateCluster", "Link a has the name")}}
			},
			want: conditions("Ready", "False DuplicateCluster", "CredentialsValid", "Unknown Pending", "Connected", "Unknown Pending",
				"Synced", "Unknown Pending", "GatewayReady", "Unknown Unknown"),
		},
		"the Secret is missing from the start": {
			change: func(o *observed) {
				o.entry.credentials.failure, o.connection = because("SecretMissing", "Secret x does not exist"), Report{}
			},
			want: conditions("Ready", "False SecretMissing", "CredentialsValid", "False SecretMissing", "Connected", "Unknown Pending", "Synced", "Unknown Pending"),
		},
		"the Secret became bad; the old connection works on (LESSON-5)": {
			change: func(o *observed) {
				o.entry.credentials.failure = because("InvalidKubeconfig", "users[].user.exec: is refused")
			},
			want: conditions("Ready", "False InvalidKubeconfig", "CredentialsValid", "False InvalidKubeconfig"),
			says: map[string]string{"CredentialsValid": "users[].user.exec", "Ready": "users[].user.exec"},
		},
		"the token was revoked": {
			change: func(o *observed) { o.connection = Report{Failure: because("Unauthorized", "401"), UID: "uid-east"} },
			want:   conditions("Ready", "False Unauthorized", "CredentialsValid", "False Unauthorized", "Connected", "False Unauthorized", "Synced", "Unknown Pending"),
		},
		"a new token is refused while the old one works (LESSON-5)": {
			change: func(o *observed) {
				o.connection.Failure, o.connection.NewCredentials = because("Unauthorized", "401"), true
			},
			want: conditions("Ready", "False Unauthorized", "CredentialsValid", "False Unauthorized"),
			says: map[string]string{"CredentialsValid": "previous credentials are still in use", "Connected": "still connected as before"},
		},
		"new credentials lead nowhere while the old ones work": {
			change: func(o *observed) {
				o.connection.Failure, o.connection.NewCredentials = because("Timeout", "no answer"), true
			},
			want: conditions("Ready", "False Timeout", "CredentialsValid", "False Timeout"),
		},
		"the certificate of the target does not fit the kubeconfig": {
			change: func(o *observed) { o.connection = Report{Failure: because("CertificateInvalid", "x509")} },
			want: conditions("Ready", "False CertificateInvalid", "CredentialsValid", "False CertificateInvalid",
				"Connected", "False CertificateInvalid", "Synced", "Unknown Pending"),
		},
		"going": {
			change: func(o *observed) { o.deleting, o.connection = true, Report{} },
			want:   conditions("Ready", "False Deleting", "Connected", "Unknown Connecting", "Synced", "False Deleting"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

func address(a, state, problem string) v1alpha3.GatewayAddressStatus {
	return v1alpha3.GatewayAddressStatus{Address: a, State: state, LastError: problem}
}

func TestStatusOfConnectionAndGateway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]statusCase{
		"the first attempt is under way": {
			change: func(o *observed) { o.connection = Report{} },
			want:   conditions("Ready", "Unknown Connecting", "Connected", "Unknown Connecting", "Synced", "Unknown Pending"),
		},
		"the target does not answer": {
			change: func(o *observed) { o.connection = Report{Failure: because("Timeout", "no answer from 192.0.2.1")} },
			want:   conditions("Ready", "False Timeout", "Connected", "False Timeout", "Synced", "Unknown Pending"),
			says:   map[string]string{"Connected": "192.0.2.1", "Synced": "kept as they are"},
		},
		"the account may not list services": {
			change: func(o *observed) { o.connection = Report{Failure: because("Forbidden", "cannot list services")} },
			want:   conditions("Ready", "False Forbidden", "Connected", "False Forbidden", "Synced", "Unknown Pending"),
		},
		"another selector cannot be watched, the old watch goes on": {
			change: func(o *observed) { o.connection.Failure = because("Timeout", "no answer") },
			want:   conditions(),
			says:   map[string]string{"Connected": "a new connection failed: no answer"},
		},
		"no gateway (MIR-3)": {
			change: func(o *observed) { o.entry.link.Gateway, o.gateway = nil, GatewayReport{} },
			want:   conditions("GatewayReady", "True NoGateway"),
		},
		"the gateway is dead": {
			change: func(o *observed) {
				o.gateway.Addresses = []v1alpha3.GatewayAddressStatus{address("a", "Dead", "connect: refused")}
			},
			want: conditions("Ready", "False Dead", "GatewayReady", "False Dead"),
			says: map[string]string{"GatewayReady": "connect: refused"},
		},
		"one of two addresses is dead (LESSON-30)": {
			change: func(o *observed) {
				o.gateway.Addresses = []v1alpha3.GatewayAddressStatus{address("a", "Alive", ""), address("b", "Dead", "connect: refused")}
			},
			want: conditions("GatewayReady", "True PartlyAlive"),
			says: map[string]string{"GatewayReady": "1 of 2 addresses are alive: connect: refused"},
		},
		"one is dead and one has no verdict": {
			change: func(o *observed) {
				o.gateway.Addresses = []v1alpha3.GatewayAddressStatus{address("a", "Unknown", ""), address("b", "Dead", "connect: refused")}
			},
			want: conditions("Ready", "Unknown Unknown", "GatewayReady", "Unknown Unknown"),
		},
		"no verdict yet (LESSON-3)": {
			change: func(o *observed) { o.gateway.Addresses = []v1alpha3.GatewayAddressStatus{address("a", "Unknown", "")} },
			want:   conditions("Ready", "Unknown Unknown", "GatewayReady", "Unknown Unknown"),
			says:   map[string]string{"GatewayReady": "no verdict yet"},
		},
		"its name does not resolve": {
			change: func(o *observed) { o.gateway = GatewayReport{Problem: "dns: no such host"} },
			want:   conditions("Ready", "Unknown Unknown", "GatewayReady", "Unknown Unknown"),
			says:   map[string]string{"GatewayReady": "no such host"},
		},
		"our egress is to dial it and cannot verify it (GW-10)": {
			change: func(o *observed) { o.gateway.NoIdentity = true },
			want:   conditions("Ready", "False GatewayIdentityMissing", "GatewayReady", "False GatewayIdentityMissing"),
			says:   map[string]string{"GatewayReady": "set spec.gatewayIdentity", "Ready": "set spec.gatewayIdentity"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

// LESSON-3, LESSON-29: a restart that finds no address yet takes none away: mirrors keep their endpoints, and
// egresses dial what the status lists.
func TestStatusKeepsGatewayAddressesOverARestart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*observed)
		want   []v1alpha3.GatewayAddressStatus
	}{
		"its name does not resolve": {
			change: func(o *observed) { o.gateway = GatewayReport{Problem: "dns: no such host"} },
			want:   []v1alpha3.GatewayAddressStatus{address("a", "Unknown", "dns: no such host"), address("b", "Unknown", "dns: no such host")},
		},
		"it was not looked up yet": {
			change: func(o *observed) { o.gateway = GatewayReport{} },
			want:   []v1alpha3.GatewayAddressStatus{address("a", "Unknown", ""), address("b", "Unknown", "")},
		},
		"one is found": {
			change: func(o *observed) {
				o.gateway.Addresses = []v1alpha3.GatewayAddressStatus{address("c", "Unknown", "")}
			},
			want: []v1alpha3.GatewayAddressStatus{address("c", "Unknown", "")},
		},
		"an edit is refused": {
			change: func(o *observed) {
				o.gateway, o.entry = GatewayReport{}, entry{refusal: because(v1alpha3.ReasonInvalidLink, "spec.selector: nonsense")}
			},
			want: []v1alpha3.GatewayAddressStatus{address("a", "Unknown", ""), address("b", "Unknown", "")},
		},
		"its cluster is another Link's": {
			change: func(o *observed) {
				o.gateway, o.entry = GatewayReport{}, entry{refusal: because(v1alpha3.ReasonDuplicateCluster, "it is Link a's")}
			},
		},
		"it is being deleted": {
			change: func(o *observed) { o.gateway, o.deleting = GatewayReport{}, true },
		},
		"the Link has no gateway any more": {
			change: func(o *observed) { o.entry.link.Gateway, o.gateway = nil, GatewayReport{} },
		},
	} {
		o := healthy()
		o.previous.Gateway = []v1alpha3.GatewayAddressStatus{address("a", "Alive", ""), address("b", "Dead", "connect: refused")}
		c.change(&o)
		if diff := cmp.Diff(c.want, status(o, noon).Gateway); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestStatusOfMirrors(t *testing.T) {
	t.Parallel()
	problem := []v1alpha3.ServiceStatus{{
		RemoteRef:  v1alpha3.ObjectRef{Namespace: "shop", Name: "web"},
		Conditions: []v1alpha3.ServiceCondition{{Type: "Mirrored", Status: metav1.ConditionFalse, Message: "it has no ports"}},
	}}
	held := &HeldDeletion{Missing: 20, Total: 21, Since: noon.Time, Until: noon.Add(time.Hour)}
	for name, c := range map[string]statusCase{
		"not all were looked at": {
			change: func(o *observed) { o.mirrors = MirrorReport{Counts: v1alpha3.ServiceCounts{Exported: 5}, Unseen: 3} },
			want:   conditions("Ready", "False Syncing", "Synced", "False Syncing"),
			says:   map[string]string{"Synced": "3 of 5"},
		},
		"one cannot be written": {
			change: func(o *observed) { o.mirrors.Failing, o.mirrors.Services = 1, problem },
			want:   conditions("Ready", "False ServicesFailing", "Synced", "False ServicesFailing"),
			says:   map[string]string{"Synced": "shop/web: it has no ports"},
		},
		"one is refused: the others work": {
			change: func(o *observed) { o.mirrors.Counts.Refused, o.mirrors.Services = 1, problem },
			want:   conditions("Ready", "True ServicesRefused", "Synced", "True ServicesRefused"),
			says:   map[string]string{"Ready": "shop/web: it has no ports"},
		},
		"one waits: the others work": {
			change: func(o *observed) { o.mirrors.Counts.Waiting = 1 },
			want:   conditions("Ready", "True ServicesWaiting", "Synced", "True ServicesWaiting"),
			says:   map[string]string{"Synced": "see the events of the Link"},
		},
		"a mass deletion is held (LESSON-28)": {
			change: func(o *observed) { o.mirrors.Held = held },
			want:   conditions("Ready", "False MassDeletionHeld", "Synced", "False MassDeletionHeld"),
			says: map[string]string{"Synced": "20 of 21 mirrors are missing from the target's services since 2026-03-01T12:00:00Z and kept until 2026-03-01T13:00:00Z; " +
				"to delete them now, annotate the Link with linkspan.io/release-mass-deletion=2026-03-01T12:00:01Z"},
		},
		"held for ever": {
			change: func(o *observed) { o.mirrors.Held = &HeldDeletion{Missing: 20, Total: 21, Since: noon.Time} },
			want:   conditions("Ready", "False MassDeletionHeld", "Synced", "False MassDeletionHeld"),
			says:   map[string]string{"Synced": "kept until they are released;"},
		},
		"held while the target says nothing": {
			change: func(o *observed) {
				o.mirrors.Held, o.connection = &HeldDeletion{Since: noon.Time}, Report{Failure: because("Timeout", "no answer")}
			},
			want: conditions("Ready", "False Timeout", "Connected", "False Timeout", "Synced", "False MassDeletionHeld"),
			says: map[string]string{"Synced": "many mirrors are missing"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c.check(t)
		})
	}
}

// A transition time moves with the status of its condition, and with nothing else.
func TestStatusTransitionTimes(t *testing.T) {
	t.Parallel()
	o := healthy()
	first := status(o, noon)

	later := metav1.NewTime(noon.Add(time.Minute))
	o.previous, o.generation = first, 5
	o.gateway.Addresses = append(o.gateway.Addresses, v1alpha3.GatewayAddressStatus{Address: "b", State: "Dead"})
	second := status(o, later) // the reason changes, the status does not
	o.previous = second
	o.connection = Report{Failure: because("Timeout", "no answer"), UID: "uid-east"}
	third := status(o, metav1.NewTime(noon.Add(2*time.Minute)))
	moved := map[string]bool{"Ready": true, "Connected": true, "Synced": true}
	for _, kind := range conditionOrder {
		if got := meta.FindStatusCondition(second.Conditions, kind); !got.LastTransitionTime.Equal(&noon) || got.ObservedGeneration != 5 {
			t.Errorf("%s: time %s, generation %d; want noon and 5", kind, got.LastTransitionTime, got.ObservedGeneration)
		}
		got := meta.FindStatusCondition(third.Conditions, kind)
		if want := noon; !moved[kind] && !got.LastTransitionTime.Equal(&want) {
			t.Errorf("%s: time moved to %s although it is %s as before", kind, got.LastTransitionTime, got.Status)
		} else if moved[kind] && got.LastTransitionTime.Equal(&want) {
			t.Errorf("%s: became %s and kept its time", kind, got.Status)
		}
	}
	if sameStatus(second, third) || !sameStatus(third, third) {
		t.Error("sameStatus does not tell different from same")
	}
	o.previous = third
	if again := status(o, metav1.NewTime(noon.Add(time.Hour))); !sameStatus(third, again) {
		t.Errorf("nothing but time changed, and the status with it:\n%s", cmp.Diff(third, again))
	}
}

// A hold's own time is kept in the status, whatever Synced said before it, so that a restart can
// read it there.
func TestStatusKeepsSinceWhenAMassDeletionIsHeld(t *testing.T) {
	t.Parallel()
	o := healthy()
	o.mirrors.Failing = 1
	before := status(o, metav1.NewTime(noon.Add(-time.Hour)))
	if !heldSince(before).IsZero() {
		t.Errorf("held since %s, and nothing is", heldSince(before))
	}
	o.previous, o.mirrors.Held = before, &HeldDeletion{Missing: 20, Total: 20, Since: noon.Add(300 * time.Millisecond)}
	s := status(o, metav1.NewTime(noon.Add(time.Minute)))
	if got := heldSince(s); !got.Equal(noon.Time) {
		t.Errorf("held since %s, want %s", got, noon)
	}
	o.previous, o.connection = s, Report{}
	if got := heldSince(status(o, metav1.NewTime(noon.Add(time.Hour)))); !got.Equal(noon.Time) {
		t.Errorf("after a restart held since %s, want %s", got, noon)
	}
	if !heldSince(v1alpha3.LinkStatus{}).IsZero() {
		t.Error("a Link without a status holds something")
	}
}

func TestStatusCarriesTheRest(t *testing.T) {
	t.Parallel()
	o := healthy()
	o.previous.LastError = "an old trouble"
	o.previous.Target = &v1alpha3.TargetStatus{UID: "uid-before"}
	o.connection = Report{}
	got := status(o, noon)
	if got.LastError != "an old trouble" || got.Target.UID != "uid-before" {
		t.Errorf("what was known is lost: %+v", got)
	}
	o.connection = Report{Connected: true, UID: "uid-now"}
	o.mirrors.LastError = "shop/web: quota"
	if got = status(o, noon); got.Target.UID != "uid-now" || got.LastError != "shop/web: quota" || got.Services.Mirrored != 2 {
		t.Errorf("status is %+v", got)
	}
}

func TestKeepTransitions(t *testing.T) {
	t.Parallel()
	entry := func(name string, status metav1.ConditionStatus, at metav1.Time) v1alpha3.ServiceStatus {
		return v1alpha3.ServiceStatus{
			RemoteRef:  v1alpha3.ObjectRef{Namespace: "shop", Name: name},
			Conditions: []v1alpha3.ServiceCondition{{Type: "Mirrored", Status: status, LastTransitionTime: at}},
		}
	}
	later := metav1.NewTime(noon.Add(time.Minute))
	previous := []v1alpha3.ServiceStatus{entry("a", metav1.ConditionTrue, noon), entry("b", metav1.ConditionTrue, noon), entry("gone", metav1.ConditionTrue, noon)}
	current := []v1alpha3.ServiceStatus{
		entry("b", metav1.ConditionFalse, metav1.Time{}), entry("a", metav1.ConditionTrue, metav1.Time{}), entry("new", metav1.ConditionTrue, metav1.Time{}),
	}
	want := []v1alpha3.ServiceStatus{entry("b", metav1.ConditionFalse, later), entry("a", metav1.ConditionTrue, noon), entry("new", metav1.ConditionTrue, later)}
	if diff := cmp.Diff(want, keepTransitions(current, previous, later)); diff != "" {
		t.Errorf("entries (-want +got):\n%s", diff)
	}
	if !current[0].Conditions[0].LastTransitionTime.IsZero() {
		t.Error("the input was changed")
	}
}

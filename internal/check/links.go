package check

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// expiryWarning is how long before its end a trust anchor or a token is told of (CERT-6).
const expiryWarning = 60 * 24 * time.Hour

func linksCounted(f Facts) []Finding {
	const text = "Links can be read"
	if problem := f.Links.problem(text); problem != nil {
		return problem
	}
	if n := len(f.Links.Value); n != 1 {
		return good(fmt.Sprintf("%d links", n))
	}
	return good("1 link")
}

// linkAccepted says whether the controller can use the Link at all.
func linkAccepted(_ Facts, l Link) []Finding {
	text := l.Name() + ": the controller accepts the Link"
	ready := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionReady)
	const mend = "see whether the controller runs, and its logs"
	switch {
	case l.DeletionTimestamp != nil:
		return []Finding{passing(text, "it is being deleted, and its mirrors with it", "wait; the controller removes the finalizer")}
	case ready == nil:
		return []Finding{passing(text, "no controller has said anything of it yet", mend)}
	case l.Status.ObservedGeneration < l.Generation:
		return []Finding{passing(text, "the controller has not looked at the last change yet", mend)}
	}
	switch ready.Reason {
	case v1alpha3.ReasonInvalidLink, v1alpha3.ReasonDuplicateCluster, v1alpha3.ReasonTargetIsSelf, v1alpha3.ReasonTargetIsDuplicate, v1alpha3.ReasonTargetChanged:
		if ready.Status != metav1.ConditionTrue {
			return []Finding{bad(text, ready.Reason+": "+ready.Message, mends(ready.Reason))}
		}
	}
	if len(l.Ignored) > 0 {
		var findings []Finding
		for _, why := range l.Ignored {
			findings = append(findings, warn(text, why, "correct the annotation, or remove it if the default is meant"))
		}
		return findings
	}
	return good(fmt.Sprintf("%s to %s", text, l.Spec.TargetClusterName))
}

// linkSecret looks at the Secret itself, where the user may.
func linkSecret(f Facts, l Link) []Finding {
	text := l.Name() + ": the credentials Secret can be used"
	if problem := l.Credentials.problem(text); problem != nil {
		return problem
	}
	c, name := l.Credentials.Value, l.Spec.ClusterCredentialsSecret
	const mend = "run `mirror link` in the target's context, and apply what it prints here"
	switch {
	case !c.Found:
		return []Finding{bad(text, fmt.Sprintf("there is no Secret %s of type %s in namespace %s", name, v1alpha3.SecretTypeRemoteKubeconfig, f.Namespace), mend)}
	case c.Type != v1alpha3.SecretTypeRemoteKubeconfig:
		return []Finding{bad(text, fmt.Sprintf("Secret %s has type %s, and not %s", name, c.Type, v1alpha3.SecretTypeRemoteKubeconfig), "delete it; then "+mend)}
	case c.Problem != "":
		return []Finding{bad(text, fmt.Sprintf("the kubeconfig in Secret %s: %s", name, c.Problem), mend)}
	case c.Local:
		return []Finding{warn(text, "the kubeconfig's server means the machine that looks it up: from a pod that is the pod", mend+", with --api-server-address")}
	}
	return good(text)
}

func linkExpiry(f Facts, l Link) []Finding {
	text := l.Name() + ": the credentials are valid for long enough"
	ends := l.Credentials.Value.Expires
	if l.Credentials.Err != nil {
		return nil // said before
	}
	if ends.IsZero() {
		return good(l.Name() + ": the credentials do not expire, as far as they say")
	}
	left := ends.Sub(f.clock())
	const mend = "run `mirror link` again, and apply what it prints: nothing is interrupted"
	switch {
	case left <= 0:
		return []Finding{bad(text, "they expired on "+day(ends), mend)}
	case left < expiryWarning:
		return []Finding{warn(text, fmt.Sprintf("they expire on %s, in %s", day(ends), days(left)), mend)}
	}
	return good(fmt.Sprintf("%s (until %s)", text, day(ends)))
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04 UTC") }

func days(d time.Duration) string {
	if d < 48*time.Hour {
		return d.Truncate(time.Minute).String()
	}
	return fmt.Sprintf("%d days", int(d.Hours()/24))
}

func linkCredentials(_ Facts, l Link) []Finding {
	return condition(l, v1alpha3.ConditionCredentialsValid, "the target accepts the credentials")
}

func linkConnected(_ Facts, l Link) []Finding {
	findings := condition(l, v1alpha3.ConditionConnected, "the controller is connected to the target")
	if l.Credentials.Value.Local && findings[0].Level == Error {
		findings[0].Mend = "the kubeconfig's server means the controller's own pod: run `mirror link` with --api-server-address"
	}
	return findings
}

func linkSynced(_ Facts, l Link) []Finding {
	c := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionSynced)
	if c != nil && c.Reason == v1alpha3.ReasonMassDeletionHeld {
		return nil // mirrorsHeld tells of it
	}
	findings := condition(l, v1alpha3.ConditionSynced, "exported services are mirrored")
	if counts := l.Status.Services; counts != nil && findings[0].Level == OK {
		findings[0].Text += fmt.Sprintf(" (%d of %d)", counts.Mirrored, counts.Exported)
	}
	return findings
}

// condition makes a finding of a Link's condition, so that both always say the same (LESSON-38).
func condition(l Link, kind, what string) []Finding {
	text := l.Name() + ": " + what
	c := meta.FindStatusCondition(l.Status.Conditions, kind)
	if c == nil {
		return []Finding{passing(text, "the Link has no condition "+kind, "see whether the controller runs, and its logs")}
	}
	cause := c.Reason
	if c.Message != "" {
		cause += ": " + c.Message
	}
	switch {
	case c.Status == metav1.ConditionFalse:
		return []Finding{{Level: Error, Text: text, Cause: cause, Mend: mends(c.Reason), Passing: mayPass(c.Reason)}}
	case c.Status != metav1.ConditionTrue:
		return []Finding{passing(text, cause, mends(c.Reason))}
	}
	switch c.Reason {
	case v1alpha3.ReasonServicesRefused, v1alpha3.ReasonServicesWaiting, v1alpha3.ReasonGatewayPartly:
		return []Finding{warn(text, cause, mends(c.Reason))}
	}
	return good(text)
}

// mayPass says of which reasons a condition often recovers by itself.
func mayPass(reason string) bool {
	switch reason {
	case v1alpha3.ReasonSyncing, v1alpha3.ReasonServicesFailing, v1alpha3.ReasonGatewayDead,
		v1alpha3.ReasonConnectionRefused, v1alpha3.ReasonConnectionTimeout, v1alpha3.ReasonDNSFailure:
		return true
	}
	return false
}

// mends says what to do about a reason of a Link's condition. docs/operations.md says the same with more words.
func mends(reason string) string {
	const (
		linkAgain = "run `mirror link` in the target's context, and apply what it prints here"
		network   = "check the address in the kubeconfig, routes and firewalls from the controller's pods"
		gateway   = "check the gateway in the target, and routes and firewalls on the way there"
		wait      = "wait a moment, and check again"
	)
	known := map[string]string{
		v1alpha3.ReasonInvalidLink:            "correct the field that is named",
		v1alpha3.ReasonDuplicateCluster:       "give one of the two Links another targetClusterName, or delete it",
		v1alpha3.ReasonTargetIsSelf:           "run `mirror link` in the context of the other cluster",
		v1alpha3.ReasonTargetIsDuplicate:      "delete one of the two Links",
		v1alpha3.ReasonTargetChanged:          "check the Secret; if the change is meant, annotate the Link with " + v1alpha3.AnnotationAcceptTarget,
		v1alpha3.ReasonUnauthorized:           linkAgain,
		v1alpha3.ReasonCredentialsMissing:     linkAgain,
		v1alpha3.ReasonCredentialsInvalid:     linkAgain,
		v1alpha3.ReasonForbidden:              "apply what `mirror allow` prints in the target",
		v1alpha3.ReasonDNSFailure:             network,
		v1alpha3.ReasonConnectionRefused:      network,
		v1alpha3.ReasonConnectionTimeout:      network,
		v1alpha3.ReasonConnectionFailed:       network,
		v1alpha3.ReasonCertificateInvalid:     "link again, with --api-server-address if the address is another one from here",
		v1alpha3.ReasonConnecting:             wait,
		v1alpha3.ReasonPending:                wait,
		v1alpha3.ReasonSyncing:                wait,
		v1alpha3.ReasonGatewayUnknown:         wait,
		v1alpha3.ReasonGatewayDead:            gateway,
		v1alpha3.ReasonGatewayPartly:          gateway,
		v1alpha3.ReasonGatewayIdentityMissing: "set spec.gatewayIdentity, or link again",
		v1alpha3.ReasonServicesFailing:        "see the Link's events: a quota, a webhook or a policy of this cluster is in the way",
	}
	if mend := known[reason]; mend != "" {
		return mend
	}
	return "see status.mirrorServices of the Link, and its events"
}

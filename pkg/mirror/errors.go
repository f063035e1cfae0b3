package mirror

import (
	"errors"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/reconcile"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// Times after which a pass is tried again. Most of the waiting ends earlier, by an event.
const (
	staleRetry    = time.Second
	turnRetry     = 30 * time.Second
	waitRetry     = 30 * time.Second
	obstacleRetry = 3 * time.Second
	conflictRetry = 15 * time.Second
)

// Waiting is an error that is nobody's fault here: the obstacle goes by itself or by somebody else's
// hand, and the key is looked at again.
type Waiting struct {
	Reason string
	After  time.Duration
	Err    error
}

// Error implements error.
func (w *Waiting) Error() string { return w.Err.Error() }

// Unwrap implements errors.Unwrap.
func (w *Waiting) Unwrap() error { return w.Err }

// obstacle turns the API server's refusal of a write into what happens next (LESSON-62: nothing is
// ever given up). Errors that it does not know are returned as they are and backed off.
func obstacle(err error) error {
	switch {
	case err == nil:
		return nil
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause):
		return &Waiting{Reason: v1alpha3.ReasonNamespaceTerminating, After: obstacleRetry, Err: err}
	case apierrors.IsNotFound(err) && isNamespace(err):
		return &Waiting{Reason: v1alpha3.ReasonMissingNamespace, After: obstacleRetry, Err: err}
	case apierrors.IsForbidden(err) && strings.Contains(err.Error(), "exceeded quota"):
		return &Waiting{Reason: v1alpha3.ReasonQuotaExceeded, After: obstacleRetry, Err: err}
	case apierrors.IsInvalid(err):
		return &Waiting{Reason: v1alpha3.ReasonRejected, After: maxBackoff, Err: err} // an admission policy says so too
	default:
		return err
	}
}

func isNamespace(err error) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	details := status.Status().Details
	return details != nil && (details.Kind == "namespaces" || details.Kind == "Namespace") && status.Status().Reason == metav1.StatusReasonNotFound
}

// verdict is the one place where an error becomes an outcome and a time to come back.
func verdict(planned plan.Outcome, err error) (out plan.Outcome, failing bool, result reconcile.Result, retry error) {
	var waiting *Waiting
	switch {
	case err == nil:
		return planned, false, reconcile.Result{RequeueAfter: lookAgain(planned)}, nil
	case errors.As(err, &waiting):
		out = plan.Outcome{State: plan.StateWaiting, Mode: planned.Mode, Reason: waiting.Reason, Message: waiting.Error()}
		failing = waiting.Reason == v1alpha3.ReasonQuotaExceeded || waiting.Reason == v1alpha3.ReasonRejected
		return out, failing, reconcile.Result{RequeueAfter: waiting.After}, nil
	default:
		out = plan.Outcome{State: plan.StateWaiting, Mode: planned.Mode, Reason: v1alpha3.ReasonError, Message: err.Error()}
		return out, true, reconcile.Result{}, err
	}
}

// lookAgain is when a service is looked at again whose obstacle may go without an event of its own:
// a name that somebody else has, a limit, a namespace that came between our look and our note of it.
// It costs no request, except that a taken name is tried.
func lookAgain(planned plan.Outcome) time.Duration {
	switch {
	case planned.Reason == v1alpha3.ReasonNameConflict:
		return wait.Jitter(conflictRetry, 0.2)
	case planned.Reason == v1alpha3.ReasonEgressMissing:
		return 0 // its pods wake it
	case planned.Reason == v1alpha3.ReasonLimitReached, planned.Reason == v1alpha3.ReasonEgressPortsExhausted, planned.State == plan.StateWaiting:
		return wait.Jitter(waitRetry, 0.2)
	default:
		return 0
	}
}

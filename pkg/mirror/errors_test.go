package mirror

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// LESSON-62: whatever the API server says to a write, the key comes back, and the user reads why.
func TestVerdict(t *testing.T) {
	t.Parallel()
	resource := schema.GroupResource{Resource: "services"}
	quota := apierrors.NewForbidden(resource, "web-east", errors.New("exceeded quota: small, requested: services=1, used: services=1, limited: services=1"))
	terminating := apierrors.NewForbidden(resource, "web-east", errors.New("unable to create new content in namespace shop because it is being terminated"))
	terminating.ErrStatus.Details.Causes = []metav1.StatusCause{{Type: corev1.NamespaceTerminatingCause}}
	planned := plan.Outcome{State: plan.StateMirrored, Mode: link.ModeGateway, Reason: v1alpha3.ReasonMirrored}

	for name, c := range map[string]struct {
		err     error
		state   plan.State
		reason  string
		failing bool
		after   time.Duration
		retried bool // by back-off
	}{
		"no error": {state: plan.StateMirrored, reason: v1alpha3.ReasonMirrored},
		"the namespace is going": {
			err: terminating, state: plan.StateWaiting, reason: v1alpha3.ReasonNamespaceTerminating, after: obstacleRetry,
		},
		"the namespace is gone": {
			err:   apierrors.NewNotFound(schema.GroupResource{Resource: "namespaces"}, "shop"),
			state: plan.StateWaiting, reason: v1alpha3.ReasonMissingNamespace, after: obstacleRetry,
		},
		"something else is not found": {
			err: apierrors.NewNotFound(resource, "web-east"), state: plan.StateWaiting, reason: v1alpha3.ReasonError, failing: true, retried: true,
		},
		"a quota is used up": {
			err: quota, state: plan.StateWaiting, reason: v1alpha3.ReasonQuotaExceeded, failing: true, after: obstacleRetry,
		},
		"we may not": {
			err:   apierrors.NewForbidden(resource, "web-east", errors.New("no")),
			state: plan.StateWaiting, reason: v1alpha3.ReasonError, failing: true, retried: true,
		},
		"the API server finds it invalid": {
			err:   apierrors.NewInvalid(schema.GroupKind{Kind: "Service"}, "web-east", nil),
			state: plan.StateWaiting, reason: v1alpha3.ReasonRejected, failing: true, after: maxBackoff,
		},
		"a conflict": {
			err: apierrors.NewConflict(resource, "web-east", errors.New("changed")), state: plan.StateWaiting, reason: v1alpha3.ReasonError, failing: true, retried: true,
		},
		"a deletion is being confirmed": {
			err:   &Waiting{Reason: v1alpha3.ReasonConfirming, After: turnRetry, Err: errors.New("others are")},
			state: plan.StateWaiting, reason: v1alpha3.ReasonConfirming, after: turnRetry,
		},
		"anything else": {
			err: errors.New("connection refused"), state: plan.StateWaiting, reason: v1alpha3.ReasonError, failing: true, retried: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			err := c.err
			if err != nil {
				err = obstacle(fmt.Errorf("applying service shop/web-east: %w", err))
			}
			out, failing, result, retry := verdict(planned, err)
			if out.State != c.state || out.Reason != c.reason || failing != c.failing {
				t.Errorf("outcome is %+v (failing %v), want %s, %s (failing %v)", out, failing, c.state, c.reason, c.failing)
			}
			if result.RequeueAfter != c.after || (retry != nil) != c.retried {
				t.Errorf("comes back after %s, or with error %v; want %s, %v", result.RequeueAfter, retry, c.after, c.retried)
			}
			if c.err != nil && (out.Message == "" || out.Mode != link.ModeGateway) {
				t.Errorf("outcome %+v: want the API server's words and the planned mode", out)
			}
		})
	}
	if obstacle(nil) != nil {
		t.Error("no error is an obstacle")
	}
}

func TestWaitingUnwraps(t *testing.T) {
	t.Parallel()
	cause := errors.New("why")
	err := fmt.Errorf("key: %w", &Waiting{Err: cause})
	if !errors.Is(err, cause) || err.Error() != "key: why" {
		t.Error(cmp.Diff("key: why", err.Error()))
	}
}

package gateway

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Kubernetes takes an end for a failure. Where the proxy beside it ends after all other containers of the pod, what this
// one waits is what the proxy goes on accepting, until others go elsewhere (HA-6); without a delay a container that lingers
// would cost each rollout its grace period.
func TestIdleEndsWhenItIsToldToAndNotBefore(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		args  []string
		after time.Duration
	}{
		"at once":       {args: []string{"idle"}},
		"after a delay": {args: []string{"idle", "--drain-delay=5s"}, after: 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			endsAfter(t, c.args, c.after)
		})
	}
}

func endsAfter(t *testing.T, args []string, after time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, tell := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		ended := make(chan int, 1)
		go func() { ended <- Main(ctx, Streams{Out: &out, Err: &errs}, "v1", args) }()
		time.Sleep(24 * time.Hour) //nolint:forbidigo // moves the bubble's clock alone
		synctest.Wait()
		select {
		case code := <-ended:
			t.Fatalf("ended by itself, with exit code %d and %q", code, &errs)
		default:
		}
		told := time.Now()
		tell()
		if code := <-ended; code != 0 || time.Since(told) != after {
			t.Errorf("ended %v after it was told to, want %v, with exit code %d", time.Since(told), after, code)
		}
		if out.Len()+errs.Len() > 0 {
			t.Errorf("printed %q and %q", &out, &errs)
		}
	})
}

func TestIdleTakesNoArguments(t *testing.T) {
	t.Parallel()
	if _, err := command(t, "idle", "--listen=:4143"); err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("error is %v, want that there is no such flag", err)
	}
	if _, err := command(t, "idle", "--drain-delay=-1s"); err == nil || !strings.Contains(err.Error(), "--drain-delay is -1s") {
		t.Errorf("error is %v, want that a delay is not negative", err)
	}
	if _, err := command(t, "idle", "forever"); err == nil || !strings.Contains(err.Error(), "forever") {
		t.Errorf("error is %v, want that there is no such argument", err)
	}
}

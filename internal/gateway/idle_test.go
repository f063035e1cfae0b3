package gateway

import (
	"bytes"
	"context"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// Kubernetes takes an end for a failure, and a container that lingers costs each rollout its grace period.
func TestIdleEndsWhenItIsToldToAndNotBefore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, tell := context.WithCancel(t.Context())
		var out, errs bytes.Buffer
		ended := make(chan int, 1)
		go func() { ended <- Main(ctx, Streams{Out: &out, Err: &errs}, "v1", []string{"idle"}) }()
		time.Sleep(24 * time.Hour) //nolint:forbidigo // moves the bubble's clock alone
		synctest.Wait()
		select {
		case code := <-ended:
			t.Fatalf("ended by itself, with exit code %d and %q", code, &errs)
		default:
		}
		told := time.Now()
		tell()
		if code := <-ended; code != 0 || time.Since(told) != 0 {
			t.Errorf("ended %v after it was told to, with exit code %d", time.Since(told), code)
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
	if _, err := command(t, "idle", "forever"); err == nil || !strings.Contains(err.Error(), "forever") {
		t.Errorf("error is %v, want that there is no such argument", err)
	}
}

package rig

import (
	"context"
	"fmt"
	"testing"
	"time"
)

// pollInterval is how often something that tells nobody by itself is asked.
const pollInterval = 25 * time.Millisecond

// poll asks again and again, for what no watch can tell.
func poll(ctx context.Context, ask func(context.Context) error) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		last := ask(ctx)
		if last == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %w", ctx.Err(), last)
		case <-tick.C:
		}
	}
}

// ExpectSoon asks until it hears no error, for what is no API object: a metric, a port, an answer of
// a gateway. For API objects use Expect, which watches.
func ExpectSoon(t testing.TB, ask func(context.Context) error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), DefaultPatience)
	defer cancel()
	if err := poll(ctx, ask); err != nil {
		t.Fatal(err)
	}
}

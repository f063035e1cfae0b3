package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
	"time"
)

// errUnauthorized is what health reports for a 401: the credentials were revoked or have expired.
var errUnauthorized = errors.New("the API server refused the credentials (401 Unauthorized)")

// health watches every request of one connection, so that the state of the connection is known
// without asking the target anything: a request that fails, or a watch that breaks, marks it
// failing, any answer marks it well. A request that its caller gave up says nothing.
type health struct {
	base http.RoundTripper

	mu      sync.Mutex
	failing error
	since   time.Time     // when it began to fail
	heard   time.Time     // when the last byte came
	changed chan struct{} // has room for one: the latest change
}

func newHealth(base http.RoundTripper) *health {
	return &health{base: base, changed: make(chan struct{}, 1)}
}

// RoundTrip implements http.RoundTripper.
func (h *health) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.base.RoundTrip(req)
	if err == nil {
		h.hear()
	}
	switch {
	case err != nil:
		if req.Context().Err() == nil {
			h.set(err)
		}
		return nil, err
	case resp.StatusCode == http.StatusUnauthorized:
		h.set(errUnauthorized)
	case resp.StatusCode >= http.StatusInternalServerError, redirects(resp):
		// Often a load balancer before API servers that are gone.
		h.set(fmt.Errorf("the API server answers %s", resp.Status))
	default:
		h.set(nil)
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, ctx: req.Context(), health: h}
	return resp, nil
}

// redirects says whether an answer leads elsewhere, where we do not go.
func redirects(resp *http.Response) bool {
	return resp.StatusCode >= http.StatusMultipleChoices && resp.StatusCode < http.StatusBadRequest
}

// Failing is the error of the last request, or nil when the last one was answered.
func (h *health) Failing() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing
}

// Since is when the connection began to fail.
func (h *health) Since() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.since
}

// Heard is when the last byte of an answer came.
func (h *health) Heard() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.heard
}

func (h *health) hear() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.heard = time.Now()
}

// Changed has a value after each change between failing and well.
func (h *health) Changed() <-chan struct{} { return h.changed }

func (h *health) set(err error) {
	h.mu.Lock()
	differs := (err == nil) != (h.failing == nil) || errors.Is(err, errUnauthorized)
	if err != nil && h.failing == nil {
		h.since = time.Now()
	}
	h.failing = err
	h.mu.Unlock()
	if !differs {
		return
	}
	select {
	case h.changed <- struct{}{}:
	default:
	}
}

// watchedBody sees a long-running watch break: the answer came long ago, the stream fails now.
type watchedBody struct {
	io.ReadCloser
	ctx    context.Context //nolint:containedctx // the request's own, to tell a cancelled read from a broken one
	health *health
}

func (b *watchedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 {
		b.health.hear()
	}
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() == nil {
		b.health.set(fmt.Errorf("reading from the API server: %w", err))
	}
	return n, err
}

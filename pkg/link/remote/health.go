package remote

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"sync"
)

// errUnauthorized is what health reports for a 401: the credentials were revoked or have expired.
var errUnauthorized = errors.New("the API server refused the credentials (401 Unauthorized)")

// health watches every request of one connection, so that the state of the connection is known
// without asking the target anything: a request that fails, or a watch that breaks, marks it
// failing, any answer marks it well.
type health struct {
	base http.RoundTripper

	mu      sync.Mutex
	failing error
	changed chan struct{} // has room for one: the latest change
}

func newHealth(base http.RoundTripper) *health {
	return &health{base: base, changed: make(chan struct{}, 1)}
}

// RoundTrip implements http.RoundTripper.
func (h *health) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := h.base.RoundTrip(req)
	switch {
	case err != nil:
		if !errors.Is(req.Context().Err(), context.Canceled) {
			h.set(err)
		}
		return nil, err
	case resp.StatusCode == http.StatusUnauthorized:
		h.set(errUnauthorized)
	case resp.StatusCode >= http.StatusInternalServerError:
		// Often a load balancer before API servers that are gone.
		h.set(fmt.Errorf("the API server answers %s", resp.Status))
	default:
		h.set(nil)
	}
	resp.Body = &watchedBody{ReadCloser: resp.Body, ctx: req.Context(), health: h}
	return resp, nil
}

// Failing is the error of the last request, or nil when the last one was answered.
func (h *health) Failing() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.failing
}

// Changed has a value after each change between failing and well.
func (h *health) Changed() <-chan struct{} { return h.changed }

func (h *health) set(err error) {
	h.mu.Lock()
	differs := (err == nil) != (h.failing == nil) || errors.Is(err, errUnauthorized)
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
	if err != nil && !errors.Is(err, io.EOF) && b.ctx.Err() == nil {
		b.health.set(fmt.Errorf("reading from the API server: %w", err))
	}
	return n, err
}

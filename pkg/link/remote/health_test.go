package remote

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
)

// answers is a transport that gives one answer to everything.
type answers func(*http.Request) (*http.Response, error)

// RoundTrip implements http.RoundTripper.
func (a answers) RoundTrip(req *http.Request) (*http.Response, error) { return a(req) }

func answering(code int, body io.Reader) answers {
	return func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: code, Status: http.StatusText(code), Body: io.NopCloser(body)}, nil
	}
}

// breaking is a body whose stream fails after its text.
type breaking struct {
	io.Reader
	err error
}

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		err = b.err
	}
	return n, err
}

func request(ctx context.Context, t *testing.T, h *health) {
	t.Helper()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://east.example/api", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := h.RoundTrip(req)
	if err != nil {
		return // the case is about what health made of it
	}
	_, _ = io.ReadAll(resp.Body) // so is this
	if err := resp.Body.Close(); err != nil {
		t.Error(err)
	}
}

// The state of a connection is known without asking: from the answers to what is asked anyway, and
// from watches that break (LESSON-6, LESSON-41).
func TestHealth(t *testing.T) {
	t.Parallel()
	cut := errors.New("connection reset by peer")
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	for name, c := range map[string]struct {
		base answers
		ctx  context.Context //nolint:containedctx // of one request
		want error           // with errors.Is, or with its text
	}{
		"answered":                         {base: answering(200, strings.NewReader("{}"))},
		"refused a resource":               {base: answering(403, strings.NewReader(""))},
		"not found":                        {base: answering(404, strings.NewReader(""))},
		"too many requests":                {base: answering(429, strings.NewReader(""))},
		"credentials refused":              {base: answering(401, strings.NewReader("")), want: errUnauthorized},
		"a load balancer with no server":   {base: answering(503, strings.NewReader("")), want: errors.New("the API server answers Service Unavailable")},
		"no connection":                    {base: func(*http.Request) (*http.Response, error) { return nil, cut }, want: cut},
		"we gave up ourselves":             {base: func(*http.Request) (*http.Response, error) { return nil, context.Canceled }, ctx: gone},
		"a watch that breaks":              {base: answering(200, breaking{strings.NewReader("event"), cut}), want: cut},
		"a watch that ends in order":       {base: answering(200, strings.NewReader("event"))},
		"a watch that breaks after we end": {base: answering(200, breaking{strings.NewReader("event"), cut}), ctx: gone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := t.Context()
			if c.ctx != nil {
				ctx = c.ctx
			}
			h := newHealth(c.base)
			request(ctx, t, h)
			got := h.Failing()
			if !errors.Is(got, c.want) && (got == nil || c.want == nil || got.Error() != c.want.Error()) {
				t.Errorf("failing is %v, want %v", got, c.want)
			}
			if changed := len(h.Changed()) > 0; changed != (c.want != nil) {
				t.Errorf("told of a change is %v", changed)
			}
		})
	}
}

func TestHealthTellsOfChangesOnly(t *testing.T) {
	t.Parallel()
	var next answers
	h := newHealth(answers(func(r *http.Request) (*http.Response, error) { return next(r) }))
	for i, step := range []struct {
		code    int
		changed bool
	}{
		{200, false}, {500, true}, {503, false}, {200, true}, {200, false},
		{401, true}, {401, true}, // each 401 is told: credentials are refused for good
		{200, true},
	} {
		next = answering(step.code, strings.NewReader(""))
		request(t.Context(), t, h)
		changed := false
		select {
		case <-h.Changed():
			changed = true
		default:
		}
		if changed != step.changed {
			t.Errorf("step %d (%d): told of a change is %v, want %v", i, step.code, changed, step.changed)
		}
	}
}

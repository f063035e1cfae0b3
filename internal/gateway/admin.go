package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// Limits of the admin and probe servers. One of their ports is where other clusters ask whether we are ready, so
// anybody may be at the other end (SEC-6): no request needs more, and none may take from streams what they need, or
// from the kubelet and other probes their answer.
const (
	adminMaxConnections = 256
	adminMaxHeader      = 8 << 10
	adminMaxScrapes     = 4
	adminReadTimeout    = 5 * time.Second
	adminWriteTimeout   = 30 * time.Second
	adminIdleTimeout    = 30 * time.Second
	// maxReason bounds what /ready says.
	maxReason = 1 << 10
)

// admin is a server for health, and where the handler says so for metrics and the log level.
type admin struct {
	flag   string
	server *http.Server
	// listener is nil when there is nothing to serve.
	listener net.Listener
}

// newAdmin listens at once, so that a port that is in use is told before anything else starts.
func newAdmin(ctx context.Context, log logr.Logger, flag, address string, handler http.Handler) (*admin, error) {
	a := &admin{flag: flag, server: &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: adminReadTimeout,
		ReadTimeout:       adminReadTimeout,
		WriteTimeout:      adminWriteTimeout,
		IdleTimeout:       adminIdleTimeout,
		MaxHeaderBytes:    adminMaxHeader,
		ErrorLog:          slog.NewLogLogger(logr.ToSlogHandler(log), slog.LevelDebug), // of what others send
	}}
	if address == nowhere {
		return a, nil
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--%s: %w", flag, err)
	}
	a.listener = limited(listener, adminMaxConnections)
	return a, nil
}

// run serves until ctx ends. Requests that are under way then are cut: probes and scrapes come again.
func (a *admin) run(ctx context.Context) error {
	if a.listener == nil {
		<-ctx.Done()
		return nil
	}
	stopped := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(stopped)
		_ = a.server.Close() // all that it can tell is of connections that end anyway
	})
	err := a.server.Serve(a.listener)
	if !stop() {
		<-stopped
	}
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving --%s: %w", a.flag, err)
}

// address is where it listens, empty for nowhere.
func (a *admin) address() string {
	if a.listener == nil {
		return ""
	}
	return a.listener.Addr().String()
}

// close is for an admin that never runs.
func (a *admin) close() {
	if a.listener != nil {
		_ = a.listener.Close() // nobody was served
	}
}

// adminHandler serves what the admin port is for. ready says why we are not; level is for the pod itself only.
func adminHandler(ready func() error, metrics prometheus.Gatherer, level http.Handler) http.Handler {
	mux := healthHandler(func() string {
		if err := ready(); err != nil {
			text := err.Error()
			return text[:min(len(text), maxReason)]
		}
		return ""
	})
	mux.Handle("GET /metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{
		MaxRequestsInFlight: adminMaxScrapes,
		ErrorHandling:       promhttp.ContinueOnError, // one metric that fails must not hide the others
	}))
	mux.Handle("/log-level", level)
	return mux
}

// probeHandler serves strangers: reasons name files, identities and authorities.
func probeHandler(ready func() error) http.Handler {
	return healthHandler(func() string {
		if ready() != nil {
			return "not ready"
		}
		return ""
	})
}

// healthHandler serves health. missing says why we are not ready, nothing if we are.
func healthHandler(missing func() string) *http.ServeMux {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /live", func(w http.ResponseWriter, _ *http.Request) { writeLine(w, "ok") })
	mux.HandleFunc("GET /ready", func(w http.ResponseWriter, _ *http.Request) {
		if reason := missing(); reason != "" {
			http.Error(w, reason, http.StatusServiceUnavailable)
			return
		}
		writeLine(w, "ok")
	})
	return mux
}

// writeLine answers a request; a client that is gone misses nothing.
func writeLine(w io.Writer, text string) { _, _ = fmt.Fprintln(w, text) }

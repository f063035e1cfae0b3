package serve

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"time"
)

// headerPatience is for a request's header.
const headerPatience = 10 * time.Second

// Ready is the path of readiness, Live that of being there at all.
const (
	Ready = "/ready"
	Live  = "/live"
)

// HTTP serves HTTP/1.1, and HTTP/2 without TLS, until the context ends; then it drains. It adds /ready, /live and who
// answers. What ready returns is why the server is not ready; it may be nil.
func HTTP(ctx context.Context, o Options, ready func() error, handler http.Handler) error {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", o.Listen)
	if err != nil {
		return fmt.Errorf("listening at --listen=%s: %w", o.Listen, err)
	}
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{
		Handler: routes(ctx, o, ready, handler), ReadHeaderTimeout: headerPatience, Protocols: protocols,
		// Requests outlive the signal: they are served to their end.
		BaseContext: func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
	}
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	o.say("listens at %s", listener.Addr())
	select {
	case err := <-ended:
		return fmt.Errorf("serving %s: %w", listener.Addr(), err)
	case <-ctx.Done():
	}
	o.drain()
	return errors.Join(finish(ctx, server), served(<-ended))
}

// drain waits, while whoever follows the readiness goes elsewhere.
func (o Options) drain() {
	o.say("is told to end, and goes on for %v", o.Drain)
	<-time.After(o.Drain)
	o.say("ends")
}

// finish waits for requests that are being served, and cuts those that take too long.
func finish(ctx context.Context, server *http.Server) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endPatience)
	defer cancel()
	if err := server.Shutdown(ctx); err != nil {
		return errors.Join(fmt.Errorf("waiting %v for requests to end: %w", endPatience, err), server.Close())
	}
	return nil
}

func served(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return fmt.Errorf("serving: %w", err)
}

// routes puts before the handler what every server has. The server is told to end when the context ends.
func routes(ctx context.Context, o Options, ready func() error, handler http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.Handle("/", handler)
	mux.HandleFunc("GET "+Live, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusOK) })
	mux.HandleFunc("GET "+Ready, func(w http.ResponseWriter, _ *http.Request) {
		err := ctx.Err()
		if err == nil && ready != nil {
			err = ready()
		}
		if err != nil {
			http.Error(w, "not ready: "+err.Error(), http.StatusServiceUnavailable)
		}
	})
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		o.Sign(w.Header())
		if ctx.Err() != nil && r.ProtoMajor == 1 {
			w.Header().Set("Connection", "close")
		}
		mux.ServeHTTP(w, r)
	})
}

package gateway

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/linkspan/linkspan/internal/build"
	"github.com/linkspan/linkspan/internal/logging"
	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// stopTimeout is how long a server may take to end once its streams are cut. Nothing of it waits for a
// network then, so it is there for mistakes.
const stopTimeout = 5 * time.Second

// flushTimeout is for the last lines of the access log. A reader of standard output that stalls must not keep the
// process until it is killed.
const flushTimeout = 2 * time.Second

// Server is what a process serves with: one side of the gateway.
type Server interface {
	// Run serves until ctx ends, then cuts what is open, and returns when nothing of it runs any more.
	Run(ctx context.Context) error
	// Ready says what is missing before streams can be served, nil for nothing.
	Ready() error
	// Drain stops accepting. What it gives is closed once no stream is open any more.
	Drain() <-chan struct{}
}

// parts are what a Server is made from, and what the process has beside it.
type parts struct {
	log      logr.Logger
	store    *certs.Store
	recorder *stream.Recorder
	registry *prometheus.Registry
}

// process is a gateway that runs.
type process struct {
	parts
	opts   Options
	admins []*admin
	server Server

	draining atomic.Bool
}

// run runs one side of the gateway until ctx ends and it is drained. The options are valid.
func run(ctx context.Context, side stream.Side, opts Options, streams Streams, adopt func(logr.Logger), build func(context.Context, parts) (Server, error)) error {
	log, level := logging.New(opts.Log, streams.Err)
	adopt(log)
	tuneMemory()
	p := &process{parts: newParts(side, opts, log, streams.Out), opts: opts}
	logging.NewMetrics(p.registry, level)
	if err := p.prepare(ctx, level, build); err != nil {
		return err
	}
	log.Info("Starting", "side", side, "identity", p.store.Identity(), "admin", p.admins[0].address(), "probes", p.admins[1].address())
	return p.run(ctx)
}

// tuneMemory sets how often garbage is collected; GOGC has the last word. The runtime's default stays
// until measurements say otherwise.
func tuneMemory() {
	const percent = 100
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(percent)
	}
}

func newParts(side stream.Side, opts Options, log logr.Logger, accessLog io.Writer) parts {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	build.NewMetrics(registry, opts.Version)
	return parts{
		log: log, registry: registry,
		store:    certs.NewStore(log.WithName("certs"), opts.Certs, certs.NewMetrics(registry, "gateway"), time.Now),
		recorder: stream.NewRecorder(opts.AccessLog, accessLog, stream.NewMetrics(registry, side)).LogTo(log.WithName("stream")),
	}
}

// prepare does what can fail before anything runs. Certificates that cannot be used are no such thing:
// they may come later, /ready says what is wrong with them, and a restart would not mend them.
func (p *process) prepare(ctx context.Context, level http.Handler, build func(context.Context, parts) (Server, error)) error {
	if err := p.store.Load(); err != nil {
		p.log.Error(err, "The certificates cannot be used; waiting for others")
	}
	err := p.listen(ctx, level)
	if err == nil {
		p.server, err = build(ctx, p.parts)
	}
	if err != nil {
		for _, a := range p.admins {
			a.close()
		}
	}
	return err
}

func (p *process) listen(ctx context.Context, level http.Handler) error {
	for _, c := range []struct {
		flag, address string
		handler       http.Handler
	}{
		{adminFlag, p.opts.AdminAddress, adminHandler(p.ready, p.registry, level)},
		{probeFlag, p.opts.ProbeAddress, probeHandler(p.ready)},
	} {
		a, err := newAdmin(ctx, p.log.WithName("admin"), c.flag, c.address, c.handler)
		if err != nil {
			return err
		}
		p.admins = append(p.admins, a)
	}
	return nil
}

var errDraining = errors.New("draining: about to end")

// ready says why no streams should be sent here, nil for no reason.
func (p *process) ready() error {
	if p.draining.Load() {
		return errDraining
	}
	if err := p.store.Ready(); err != nil {
		return err
	}
	return p.server.Ready()
}

// readinessInterval is how often readiness is looked at for the log.
const readinessInterval = 500 * time.Millisecond

// tellReadiness logs when the process becomes ready or no longer is, and why, until ctx ends.
func (p *process) tellReadiness(ctx context.Context) {
	tick := time.NewTicker(readinessInterval)
	defer tick.Stop()
	told := "-" // nothing yet
	for {
		why := ""
		if err := p.ready(); err != nil {
			why = err.Error()
		}
		switch why {
		case told:
		case "":
			p.log.Info("Ready")
		default:
			p.log.Info("Not ready", "because", why)
		}
		told = why
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// run serves until ctx ends, and then ends in order.
func (p *process) run(ctx context.Context) error {
	// The signal that ends ctx begins the drain. What runs has contexts that outlive it.
	lifetime, end := context.WithCancel(context.WithoutCancel(ctx))
	var beside sync.WaitGroup
	defer beside.Wait()
	flushed := make(chan struct{})
	defer p.awaitAccessLog(flushed)
	defer end()
	go func() {
		defer close(flushed)
		_ = p.recorder.Start(lifetime) // gives no error
	}()
	beside.Go(func() { _ = p.store.Start(lifetime) }) // gives no error
	adminEnded := make(chan error, len(p.admins))
	for _, a := range p.admins {
		beside.Go(func() { adminEnded <- a.run(lifetime) })
	}
	beside.Go(func() { p.tellReadiness(lifetime) })

	serving, cut := context.WithCancel(lifetime)
	defer cut()
	served := make(chan error, 1)
	go func() { served <- p.server.Run(serving) }()

	var cause error
	select {
	case err := <-served:
		return endedEarly(err)
	case cause = <-adminEnded: // probes and scrapes would find nobody: a new process is better
	case <-ctx.Done():
		p.drain()
	}
	cut()
	return errors.Join(cause, p.await(served))
}

func (p *process) awaitAccessLog(flushed <-chan struct{}) {
	select {
	case <-flushed:
	case <-time.After(flushTimeout):
		p.log.Info("The last lines of the access log are lost: nobody reads standard output")
	}
}

// endedEarly is for a server that was not told to end.
func endedEarly(err error) error {
	if err == nil {
		err = errors.New("it ended by itself")
	}
	return fmt.Errorf("serving: %w", err)
}

// drain goes on for the delay without being ready, then lets open streams end.
func (p *process) drain() {
	p.draining.Store(true)
	p.log.Info("Told to end: no longer ready, still accepting", "for", p.opts.DrainDelay.String())
	<-time.After(p.opts.DrainDelay)
	p.log.Info("Accepting no more, waiting for open streams", "atMost", p.opts.DrainTimeout.String())
	select {
	case <-p.server.Drain():
		p.log.Info("No stream is open")
	case <-time.After(p.opts.DrainTimeout):
		p.log.Info("Cutting the streams that are still open")
	}
}

// await waits for the server, whose streams have been cut.
func (p *process) await(served <-chan error) error {
	select {
	case err := <-served:
		if err != nil {
			return fmt.Errorf("serving: %w", err)
		}
		p.log.Info("Ended")
		return nil
	case <-time.After(stopTimeout):
		return fmt.Errorf("the server did not end within %v of being told to", stopTimeout)
	}
}

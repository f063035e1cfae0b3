package gateway

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus/testutil"

	pki "github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	"github.com/linkspan/linkspan/test/certs"
)

// fake is a Server that tells when what was asked of it.
type fake struct {
	began   time.Time
	missing error
	// fails ends Run, and deaf keeps it from ending when it should.
	fails chan error
	deaf  chan struct{}
	// idle is closed when the last stream has ended.
	idle chan struct{}
	// cut is called when Run ends by its context.
	cut func()

	mu     sync.Mutex
	events []string
}

func newFake() *fake {
	return &fake{began: time.Now(), fails: make(chan error), idle: make(chan struct{}), cut: func() {}}
}

func (f *fake) note(event string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.events = append(f.events, time.Since(f.began).String()+" "+event)
}

func (f *fake) told() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.events)
}

func (f *fake) Run(ctx context.Context) error {
	f.note("run")
	select {
	case err := <-f.fails:
		return err
	case <-ctx.Done():
		f.note("cut")
		f.cut()
	}
	if f.deaf != nil {
		<-f.deaf
	}
	return nil
}

func (f *fake) Ready() error { return f.missing }

func (f *fake) Drain() <-chan struct{} {
	f.note("drain")
	return f.idle
}

// begin runs a process with a fake, without certificates and without an admin port. ended gives how
// it ended.
func begin(ctx context.Context, t *testing.T, f *fake, out io.Writer) (p *process, ended chan error) {
	t.Helper()
	opts := Options{
		AdminAddress: nowhere, ProbeAddress: nowhere, DrainDelay: 5 * time.Second, DrainTimeout: 20 * time.Second,
		AccessLog: stream.LogOptions{Streams: stream.LogAll, Format: stream.FormatText},
	}
	p = &process{parts: newParts(stream.Ingress, opts, logr.Discard(), out), opts: opts}
	if err := p.prepare(ctx, http.NotFoundHandler(), func(context.Context, parts) (Server, error) { return f, nil }); err != nil {
		t.Fatal(err)
	}
	ended = make(chan error, 1)
	go func() { ended <- p.run(ctx) }()
	return p, ended
}

// What is drained, when, and what is cut: the whole order of an end.
func TestADrainGoesInOrder(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		// idleAfter is when the last stream ends, counted from the drain; 0 means never.
		idleAfter time.Duration
		want      []string
	}{
		"streams that end in time are waited for, and no longer": {
			idleAfter: 7 * time.Second, want: []string{"0s run", "1m5s drain", "1m12s cut"},
		},
		"streams that do not end are cut when the time is up": {
			want: []string{"0s run", "1m5s drain", "1m25s cut"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				ctx, signal := context.WithCancel(t.Context())
				f := newFake()
				p, ended := begin(ctx, t, f, io.Discard)
				<-time.After(time.Minute)
				if errors.Is(p.ready(), errDraining) {
					t.Error("it is draining before it was told to end")
				}
				signal()
				synctest.Wait()
				if !errors.Is(p.ready(), errDraining) {
					t.Errorf("told to end, but ready says %v", p.ready())
				}
				<-time.After(p.opts.DrainDelay - time.Nanosecond)
				if told := f.told(); len(told) != 1 {
					t.Errorf("it stopped accepting within the delay: %q", told)
				}
				if c.idleAfter > 0 {
					<-time.After(c.idleAfter + time.Nanosecond)
					close(f.idle)
				}
				if err := <-ended; err != nil {
					t.Errorf("it ended with %v, want no error: exit code 0", err)
				}
				if told := f.told(); !slices.Equal(told, c.want) {
					t.Errorf("events were %q, want %q", told, c.want)
				}
			})
		})
	}
}

// stalled is a standard output that nobody reads, until the test ends.
type stalled struct{ over chan struct{} }

func (s stalled) Write(b []byte) (int, error) {
	<-s.over
	return len(b), nil
}

// Whoever reads the access log may stall. The process ends all the same, and soon.
func TestAStalledAccessLogDoesNotKeepTheProcess(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, signal := context.WithCancel(t.Context())
		f := newFake()
		out := stalled{make(chan struct{})}
		defer close(out.over)
		p, ended := begin(ctx, t, f, out)
		p.recorder.Opened(stream.Ingress, stream.ViaLane)
		p.recorder.Closed(stream.Record{Side: stream.Ingress, Via: stream.ViaLane, Result: stream.Done})
		close(f.idle)
		signal()
		told := time.Now()
		if err := <-ended; err != nil {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(told); took > p.opts.DrainDelay+flushTimeout {
			t.Errorf("it took %v to end", took)
		}
	})
}

// Lines of streams that are cut at the very end are written, and counted.
func TestTheAccessLogIsWholeAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, signal := context.WithCancel(t.Context())
		f := newFake()
		var out bytes.Buffer
		p, ended := begin(ctx, t, f, &out)
		f.cut = func() {
			p.recorder.Opened(stream.Ingress, stream.ViaTLS)
			p.recorder.Closed(stream.Record{Side: stream.Ingress, Via: stream.ViaTLS, Target: "shop/web:80", Result: stream.Aborted, Reason: stream.ReasonStopped})
		}
		signal()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		if line := out.String(); !strings.Contains(line, "shop/web:80") || !strings.HasSuffix(line, "\n") {
			t.Errorf("the access log is %q", line)
		}
	})
}

// A server that ends by itself, with or without an error, ends the process with one.
func TestAServerThatEndsByItselfEndsTheProcess(t *testing.T) {
	t.Parallel()
	for _, cause := range []error{nil, errors.New("no listener")} {
		synctest.Test(t, func(t *testing.T) {
			f := newFake()
			_, ended := begin(t.Context(), t, f, io.Discard)
			f.fails <- cause
			if err := <-ended; err == nil || cause != nil && !errors.Is(err, cause) {
				t.Errorf("it ended with %v, want an error from %v", err, cause)
			}
		})
	}
}

// A server that does not end is given up: the process must end, and say why.
func TestAServerThatDoesNotEndIsGivenUp(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		ctx, signal := context.WithCancel(t.Context())
		f := newFake()
		f.deaf = make(chan struct{})
		close(f.idle)
		_, ended := begin(ctx, t, f, io.Discard)
		signal()
		if err := <-ended; err == nil || !strings.Contains(err.Error(), "did not end") {
			t.Errorf("it ended with %v", err)
		}
		if took := time.Since(f.began); took != 5*time.Second+stopTimeout {
			t.Errorf("it took %v", took)
		}
		close(f.deaf)
	})
}

// What is missing is told in the order in which it is to be mended.
func TestReadiness(t *testing.T) {
	t.Parallel()
	makes := certs.For(t)
	anchor := makes.Anchor("root")
	issuer := makes.Issuer(anchor, "east")
	valid := makes.Dir(makes.Files(makes.Leaf(issuer, "gateway.example"), anchor))
	expired := makes.Dir(makes.Files(makes.Leaf(issuer, "gateway.example", certs.NotAfter(time.Now().Add(-time.Minute))), anchor))
	for name, c := range map[string]struct {
		dir      string
		missing  error
		draining bool
		want     string
	}{
		"nothing is missing":            {dir: valid},
		"certificates cannot be used":   {dir: expired, missing: errNotSynced, want: "expired"},
		"there are no certificates":     {dir: "nowhere", want: "nowhere"},
		"exports have not been read":    {dir: valid, missing: errNotSynced, want: "have not been read"},
		"about to end, whatever else":   {dir: expired, missing: errNotSynced, draining: true, want: "draining"},
		"about to end, and all is well": {dir: valid, draining: true, want: "draining"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := Options{AdminAddress: "0", Certs: pki.Options{
				CertFile: c.dir + "/" + certs.CertFile, KeyFile: c.dir + "/" + certs.KeyFile, AnchorsFile: c.dir + "/" + certs.AnchorsFile,
			}}
			p := &process{parts: newParts(stream.Egress, opts, logr.Discard(), io.Discard), opts: opts}
			err := p.prepare(t.Context(), http.NotFoundHandler(), func(context.Context, parts) (Server, error) { return &fake{missing: c.missing}, nil })
			if err != nil {
				t.Fatalf("certificates that cannot be used may come later, but: %v", err)
			}
			p.draining.Store(c.draining)
			err = p.ready()
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Errorf("ready says %v, want %q", err, c.want)
			}
		})
	}
}

// What cannot be built is an error at once, and leaves no port open.
func TestAServerThatCannotBeBuilt(t *testing.T) {
	t.Parallel()
	cause := errors.New("port in use")
	opts := Options{AdminAddress: "127.0.0.1:0", ProbeAddress: "127.0.0.1:0"}
	p := &process{parts: newParts(stream.Egress, opts, logr.Discard(), io.Discard), opts: opts}
	err := p.prepare(t.Context(), http.NotFoundHandler(), func(context.Context, parts) (Server, error) { return nil, cause })
	if !errors.Is(err, cause) {
		t.Errorf("error is %v", err)
	}
	if len(p.admins) != 2 {
		t.Fatalf("%d ports were opened, want two", len(p.admins))
	}
	for _, a := range p.admins {
		if _, err := a.listener.Accept(); !errors.Is(err, net.ErrClosed) {
			t.Errorf("the port of --%s is still open: %v", a.flag, err)
		}
	}
}

// Every metric of a process follows the rules, and none is there twice.
func TestMetricsOfTheProcessFollowTheRules(t *testing.T) {
	t.Parallel()
	for _, side := range []stream.Side{stream.Ingress, stream.Egress} {
		p := newParts(side, Options{}, logr.Discard(), io.Discard)
		problems, err := testutil.GatherAndLint(p.registry)
		if err != nil {
			t.Fatal(err)
		}
		for _, problem := range problems {
			t.Errorf("%s: %s: %s", side, problem.Metric, problem.Text)
		}
	}
}

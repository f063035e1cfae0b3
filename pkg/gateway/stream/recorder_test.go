package stream

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/go-logr/logr"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// sink is a writer and what was written to it. While it stalls, Write waits.
type sink struct {
	mu    sync.Mutex
	text  bytes.Buffer
	fault error
	stall chan struct{}
}

func (s *sink) Write(b []byte) (int, error) {
	if s.stall != nil {
		<-s.stall
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.fault != nil {
		return 0, s.fault
	}
	return s.text.Write(b)
}

func (s *sink) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}

func (s *sink) lines() int { return strings.Count(s.String(), "\n") }

// started is a Recorder that runs until the function given back is called.
func started(t *testing.T, to io.Writer) (r *Recorder, log *sink, stop func()) {
	t.Helper()
	log = &sink{}
	r = NewRecorder(LogOptions{Streams: LogAll}, to, NewMetrics(prometheus.NewPedanticRegistry())).
		LogTo(logr.FromSlogHandler(slog.NewTextHandler(log, nil)))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() {
		if err := r.Start(ctx); err != nil {
			t.Errorf("Start: %v", err)
		}
	})
	return r, log, func() { cancel(); running.Wait() }
}

func TestLinesAreWrittenWithinASecondAndAtTheEnd(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out sink
		r, _, stop := started(t, &out)
		synctest.Wait()
		r.Closed(full())
		synctest.Wait()
		if n := out.lines(); n != 0 {
			t.Errorf("%d lines at once, want them gathered", n)
		}
		<-time.After(flushInterval)
		synctest.Wait()
		if n := out.lines(); n != 1 {
			t.Errorf("%d lines after %v, want 1", n, flushInterval)
		}
		r.Closed(full())
		stop()
		if n := out.lines(); n != 2 {
			t.Errorf("%d lines at the end, want 2", n)
		}
	})
}

func TestManyLinesAreWrittenWithoutWaiting(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var out sink
		r, _, stop := started(t, &out)
		synctest.Wait()
		for range 500 {
			r.Closed(full())
		}
		synctest.Wait()
		if n := out.lines(); n == 0 {
			t.Error("no lines, although there is much to write")
		}
		stop()
		if n := out.lines(); n != 500 {
			t.Errorf("%d lines, want 500", n)
		}
	})
}

// A log that nobody reads costs streams no time, and little memory; what is lost is counted.
func TestAStalledWriterHoldsUpNoStream(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := sink{stall: make(chan struct{})}
		r, log, stop := started(t, &out)
		const streams = 10_000
		began := time.Now()
		for i := range streams {
			rec := full()
			rec.Sent = int64(i)
			r.Closed(rec)
			if i == 0 {
				<-time.After(flushInterval) // the first line is being written when the others come
				synctest.Wait()
				began = time.Now()
			}
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("streams waited %v", took)
		}
		if n := cap(r.journal.pending); n > 3*maxPending {
			t.Errorf("%d bytes are held", n)
		}
		lost := testutil.ToFloat64(r.metrics.droppedLines)
		if lost == 0 || !strings.Contains(log.String(), "stalls") {
			t.Errorf("%v lines lost, and the log says %q", lost, log)
		}
		close(out.stall)
		stop()
		if got := float64(out.lines()) + lost; got != streams {
			t.Errorf("%v lines written or lost, want %d", got, streams)
		}
		want := 0
		for line := range strings.Lines(out.String()) {
			if !strings.Contains(line, fmt.Sprintf(" aborted reset %d 4567 ", want)) {
				t.Fatalf("line %d is %q", want, line)
			}
			want++
		}
	})
}

func TestAWriterThatFailsIsToldOf(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		out := sink{fault: errors.New("no space left")}
		r, log, stop := started(t, &out)
		defer stop()
		r.Closed(full())
		r.Closed(full())
		<-time.After(2 * flushInterval)
		synctest.Wait()
		if n := testutil.ToFloat64(r.metrics.droppedLines); n != 2 || !strings.Contains(log.String(), "no space left") {
			t.Errorf("%v lines lost, and the log says %q", n, log)
		}
	})
}

// Lines of several streams that end at once stay whole.
func TestLinesStayWhole(t *testing.T) {
	t.Parallel()
	var out sink
	r, _, stop := started(t, &out)
	var streams sync.WaitGroup
	for i := range 8 {
		streams.Go(func() {
			rec := full()
			rec.Client = strings.Repeat(fmt.Sprint(i), 40)
			for range 200 {
				r.Closed(rec)
				r.Flush()
			}
		})
	}
	streams.Wait()
	stop()
	count := map[string]int{}
	for line := range strings.Lines(out.String()) {
		count[line]++
	}
	if len(count) != 8 {
		t.Errorf("%d different lines, want 8", len(count))
	}
	for line, n := range count {
		if n != 200 {
			t.Errorf("%d times %q, want 200", n, line)
		}
	}
}

// POL-12: every denial is told with who, what and why; LOG-4: but a flood of them is not.
func TestDenialsAreToldAndLimited(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		r, log, stop := started(t, io.Discard)
		defer stop()
		denial := Record{
			Side: Ingress, Client: "web.shop\nforged=1", Peer: "203.0.113.7:40112", Target: "shop/db:5432", Protocol: Opaque,
			Result: Denied, Reason: ReasonClientNotAllowed,
		}
		r.Closed(denial)
		first := log.String()
		for _, want := range []string{
			"level=INFO", `msg="Stream was denied"`, "client=\"web.shop?forged=1\"", "peer=203.0.113.7:40112", "target=shop/db:5432", "reason=client_not_allowed",
		} {
			if !strings.Contains(first, want) {
				t.Errorf("%q lacks %s", first, want)
			}
		}
		for range 99 {
			r.Closed(denial)
		}
		if n := log.lines(); n != denialsPerSecond {
			t.Errorf("%d lines in one second, want %d", n, denialsPerSecond)
		}
		<-time.After(time.Second + time.Millisecond)
		synctest.Wait() // Start has told what was left out
		if !strings.Contains(log.String(), fmt.Sprintf("kind=denied suppressed=%d", 100-denialsPerSecond)) {
			t.Errorf("nothing of what was left out: %s", log)
		}
		before := log.lines()
		<-time.After(2 * time.Second)
		if n := log.lines(); n != before {
			t.Errorf("%d lines more, want it told once", n-before)
		}
		r.Closed(denial)
		if n := log.lines(); n != before+1 {
			t.Errorf("%d lines, want %d: there is room again", n, before+1)
		}
		if got := testutil.ToFloat64(r.metrics.streams.WithLabelValues("ingress", "other", "denied", ReasonClientNotAllowed)); got != 101 {
			t.Errorf("%v denials counted, want all 101", got)
		}
	})
}

// Failures cannot hide denials, and the line after a pause says how many were left out.
func TestEachKindHasARoomOfItsOwn(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		log := &sink{}
		r := NewRecorder(LogOptions{}, io.Discard, NewMetrics(prometheus.NewPedanticRegistry())).
			LogTo(logr.FromSlogHandler(slog.NewTextHandler(log, nil)))
		for range 100 {
			r.Closed(Record{Side: Egress, Result: Failed, Reason: ReasonTimeout, Err: errors.New("took too long")})
			r.Closed(Record{Side: Egress, Result: Refused, Reason: "gateway_dead"})
			r.Closed(Record{Side: Egress, Result: Done})
			r.Closed(Record{Side: Egress, Result: Aborted, Reason: ReasonReset})
		}
		r.Closed(Record{Side: Ingress, Client: "web", Result: Denied})
		<-time.After(time.Second)
		r.Closed(Record{Side: Egress, Result: Failed, Reason: ReasonTimeout})
		text := log.String()
		if n := log.lines(); n != 4 {
			t.Errorf("%d lines, want one of each kind and one more:\n%s", n, text)
		}
		for _, want := range []string{"Stream failed", "took too long", "Stream was refused", "Stream was denied", "suppressed=99"} {
			if !strings.Contains(text, want) {
				t.Errorf("%q lacks %q", text, want)
			}
		}
	})
}

// POL-14: an allow-list that is being tried denies nobody, and says whom it would have.
func TestADryRunIsToldAndCountedApart(t *testing.T) {
	t.Parallel()
	log := &sink{}
	m := NewMetrics(prometheus.NewPedanticRegistry())
	r := NewRecorder(LogOptions{}, io.Discard, m).LogTo(logr.FromSlogHandler(slog.NewTextHandler(log, nil)))
	r.WouldDeny(Record{Side: Ingress, Client: "web.shop", Target: "shop/db:5432", Reason: ReasonClientNotAllowed})
	if !strings.Contains(log.String(), "would be denied") || !strings.Contains(log.String(), "client=web.shop") {
		t.Errorf("the log says %q", log)
	}
	if testutil.ToFloat64(m.ingress().dryRun) != 1 || testutil.CollectAndCount(m.streams) != 5 {
		t.Error("the dry run is not counted, or as a stream")
	}
}

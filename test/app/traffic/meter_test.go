package traffic

import (
	"context"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestTheOldestAreForgottenWhenThereIsNoRoom(t *testing.T) {
	t.Parallel()
	m := NewMeter()
	m.most = 8
	for range 9 {
		run, number := m.begin()
		m.end(run, Sample{Number: number, Cluster: "east"})
	}
	r := m.recorded()
	if len(r.Samples) != 6 || r.Samples[0].Number != 3 || r.Forgotten != 3 || r.Unanswered != 0 {
		t.Errorf("%d samples are left from number %d on, %d forgotten, %d unanswered", len(r.Samples), r.Samples[0].Number, r.Forgotten, r.Unanswered)
	}
}

func TestAnAnswerOfARunThatIsOverCountsNowhere(t *testing.T) {
	t.Parallel()
	m := NewMeter()
	run, number := m.begin()
	m.Mark("kill")
	m.Reset()
	m.end(run, Sample{Number: number})
	if r := m.recorded(); r.Run == run || len(r.Samples) > 0 || len(r.Marks) > 0 || r.Unanswered != 0 || r.Forgotten != 0 {
		t.Errorf("after the reset there is %+v", r)
	}
}

// An outage must not slow the meter down: what is due is sent, whatever became of those before.
func TestTheRateIsKeptWhileNobodyAnswers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		m := NewMeter()
		s := NewSender(Options{Target: "http://nobody/vote", Rate: 10, FreshShare: 0.25, Timeout: 3 * time.Second, Choices: []string{"joy"}}, m)
		silent := &http.Client{Transport: silence{}}
		s.kept, s.fresh = silent, silent
		ctx, stop := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { s.Run(ctx) })
		time.Sleep(10*time.Second + 50*time.Millisecond) //nolint:forbidigo // it moves the bubble's clock
		synctest.Wait()
		got := Compute(m.recorded())
		if got.Sent != 100 || got.Failures["timeout"] < 69 || got.Unanswered > 31 {
			t.Errorf("of %d votes %v failed and %d are unanswered, want 100, about 70 timeouts and 30", got.Sent, got.Failures, got.Unanswered)
		}
		stop()
		running.Wait()
		fresh := 0
		for _, sample := range m.recorded().Samples {
			if sample.Fresh {
				fresh++
			}
		}
		if fresh != 25 {
			t.Errorf("%d votes went over new connections, want a quarter of 100", fresh)
		}
	})
}

// silence answers nothing.
type silence struct{}

// RoundTrip implements http.RoundTripper.
func (silence) RoundTrip(r *http.Request) (*http.Response, error) {
	<-r.Context().Done()
	return nil, r.Context().Err()
}

// What is no answer to the vote that was sent is a failure, whatever its status.
func TestAnswersAreRead(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		want   string
	}{
		"to another vote": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":"r-8"}`)) }, wrong},
		"no JSON":         {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`hello`)) }, wrong},
		"a backend is silent": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("X-App-Failed", "voting timeout")
			w.WriteHeader(http.StatusGatewayTimeout)
		}, "504 voting timeout"},
		"web itself is wrong": {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusNotFound) }, "404 web"},
		"elsewhere":           {func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/other", http.StatusFound) }, "302 web"},
		"cut in the middle": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "100")
			_, _ = w.Write([]byte(`{"id":`))
		}, "ended"},
		"right": {func(w http.ResponseWriter, _ *http.Request) { _, _ = w.Write([]byte(`{"id":"r-7"}`)) }, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := httptest.NewServer(c.answer)
			defer server.Close()
			s := NewSender(Options{Target: server.URL, Choices: []string{"joy"}}, NewMeter())
			sample := Sample{Number: 7, Fresh: true}
			s.vote(t.Context(), "r", &sample)
			if sample.Failure != c.want {
				t.Errorf("the failure is %q, want %q", sample.Failure, c.want)
			}
		})
	}
}

func TestOptionsNameTheFlag(t *testing.T) {
	t.Parallel()
	good := Options{Target: "http://web/vote", Rate: 1, Timeout: 1, Choices: []string{"joy"}}
	if err := good.Validate(); err != nil {
		t.Fatal(err)
	}
	for want, change := range map[string]func(*Options){
		"--target":  func(o *Options) { o.Target = "web" },
		"--results": func(o *Options) { o.Results = []string{"voting"} },
		"--rate":    func(o *Options) { o.Rate = 0 },
		"--fresh":   func(o *Options) { o.FreshShare = 2 },
		"--timeout": func(o *Options) { o.Timeout = 0 },
		"--choices": func(o *Options) { o.Choices = nil },
	} {
		o := good
		change(&o)
		if err := o.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("the error is %v, want one that names %s", err, want)
		}
	}
}

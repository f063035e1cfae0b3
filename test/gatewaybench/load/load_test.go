package load

import (
	"bytes"
	"context"
	"encoding/json"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is one that listens until the test ends.
func backend(t *testing.T) string {
	t.Helper()
	b, err := Listen(t.Context(), "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	served := make(chan error, 1)
	go func() { served <- b.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-served; err != nil {
			t.Errorf("the backend ended: %v", err)
		}
	})
	return b.Addr()
}

func do(t *testing.T, s Spec) Result {
	t.Helper()
	var c Client
	defer c.Close()
	result := c.Do(t.Context(), s)
	if result.Error != "" || result.Failed > 0 {
		t.Errorf("error %q, %d failed: %q", result.Error, result.Failed, result.Failure)
	}
	return result
}

func TestEveryKindOfLoadReachesTheBackend(t *testing.T) {
	t.Parallel()
	address := backend(t)
	const window = 100 * time.Millisecond
	for name, s := range map[string]Spec{
		"connections":                  {Kind: Connect, Parallel: 4, Window: window},
		"connections, at a rate":       {Kind: ConnectAtRate, Parallel: 4, Rate: 500, Warm: window, Window: window},
		"messages, at a rate":          {Kind: EchoAtRate, Parallel: 4, Rate: 500, Window: window},
		"bytes from the backend":       {Kind: Download, Parallel: 2, Warm: window, Window: window},
		"bytes to the backend":         {Kind: Upload, Parallel: 2, Window: window},
		"connections that are held":    {Kind: Hold, Parallel: 20},
		"a given number of connection": {Kind: Connect, Parallel: 3, Total: 25},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s.Address, s.PIDs = address, []int{os.Getpid()}
			result := do(t, s)
			if result.Count == 0 || result.Elapsed <= 0 {
				t.Errorf("%d in %v, want something", result.Count, result.Elapsed)
			}
			if s.Total > 0 && result.Count != int64(s.Total) {
				t.Errorf("%d requests, want %d", result.Count, s.Total)
			}
			if timed := s.Rate > 0; timed != (len(result.Took) > 0) {
				t.Errorf("%d times were taken", len(result.Took))
			}
			if s.Kind != Hold && len(result.CPU) != 1 {
				t.Errorf("processor times of %d processes, want 1", len(result.CPU))
			}
		})
	}
}

func TestHeldConnectionsStayAndMoreAreAdded(t *testing.T) {
	t.Parallel()
	address := backend(t)
	var c Client
	defer c.Close()
	for _, n := range []int{5, 12} {
		if got := c.Do(t.Context(), Spec{Kind: Hold, Address: address, Parallel: n}); got.Count != int64(n) || got.Error != "" {
			t.Errorf("%d connections, error %q, want %d", got.Count, got.Error, n)
		}
	}
}

// Whoever cannot be reached must end a measurement, with its cause, and not go on for the whole window.
func TestWhatDoesNotWorkIsTold(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := listener.Addr().String()
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	for name, s := range map[string]Spec{
		"connections":    {Kind: Connect, Address: nobody, Parallel: 2, Total: 1000},
		"bytes":          {Kind: Download, Address: nobody, Parallel: 1, Window: time.Hour},
		"messages":       {Kind: EchoAtRate, Address: nobody, Parallel: 1, Rate: 1, Window: time.Hour},
		"held":           {Kind: Hold, Address: nobody, Parallel: 1000},
		"no such kind":   {Kind: "sing", Address: nobody, Parallel: 1, Window: time.Hour},
		"no window":      {Kind: Download, Address: nobody, Parallel: 1},
		"no rate":        {Kind: EchoAtRate, Address: nobody, Parallel: 1, Window: time.Hour},
		"no connections": {Kind: Hold, Address: nobody},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var c Client
			defer c.Close()
			if got := c.Do(t.Context(), s); got.Error == "" && got.Failed == 0 {
				t.Errorf("%+v, want a failure", got)
			} else if got.Failed > mostFailures+holders {
				t.Errorf("%d failed, want an end after %d", got.Failed, mostFailures)
			}
		})
	}
}

func TestServeAnswersEachSpec(t *testing.T) {
	t.Parallel()
	var in, out bytes.Buffer
	specs := json.NewEncoder(&in)
	for _, s := range []Spec{{Kind: Connect, Address: backend(t), Parallel: 1, Total: 2}, {Kind: "sing"}} {
		if err := specs.Encode(s); err != nil {
			t.Fatal(err)
		}
	}
	if err := Serve(t.Context(), &in, &out); err != nil {
		t.Fatal(err)
	}
	var first, second Result
	results := json.NewDecoder(&out)
	if err := results.Decode(&first); err != nil || first.Count != 2 {
		t.Errorf("%+v, %v, want a count of 2", first, err)
	}
	if err := results.Decode(&second); err != nil || !strings.Contains(second.Error, `"sing"`) {
		t.Errorf("%+v, %v, want an error about the kind", second, err)
	}
}

func TestReadUsage(t *testing.T) {
	t.Parallel()
	used, err := ReadUsage(os.Getpid())
	if err != nil {
		t.Skip(err) // not Linux
	}
	if used.Resident < 1<<20 {
		t.Errorf("%d bytes resident, want more than a Go program can do with", used.Resident)
	}
}

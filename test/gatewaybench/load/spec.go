package load

import (
	"errors"
	"fmt"
	"time"
)

// Kind is what a client does.
type Kind string

// Kinds.
const (
	// Connect makes connections, one small request on each, as fast as Parallel workers can.
	Connect Kind = "connect"
	// ConnectAtRate makes Rate connections a second, one small request on each, and takes their times.
	ConnectAtRate Kind = "connect-at-rate"
	// EchoAtRate sends Rate messages a second on Parallel connections that stay, and takes their times.
	EchoAtRate Kind = "echo-at-rate"
	// Download and Upload move bytes on Parallel connections.
	Download Kind = "download"
	Upload   Kind = "upload"
	// Hold opens connections, until Parallel of them are open and known to the backend, and keeps them for as
	// long as there is the Client.
	Hold Kind = "hold"
)

// Spec is one thing to do.
type Spec struct {
	Kind    Kind   `json:"kind"`
	Address string `json:"address"`
	// Parallel is how many connections there are at a time, at least 1.
	Parallel int `json:"parallel"`
	// Rate is how many requests are due in a second, for the kinds that have a rate.
	Rate float64 `json:"rate,omitempty"`
	// Warm is how long to go on before Window, in which everything counts.
	Warm   time.Duration `json:"warm,omitempty"`
	Window time.Duration `json:"window,omitempty"`
	// Total ends Connect after so many requests, all of which count, instead of a window.
	Total int `json:"total,omitempty"`
	// PIDs are processes whose processor time is of interest.
	PIDs []int `json:"pids,omitempty"`
}

// Result is what came of it.
type Result struct {
	// Count is requests, messages, bytes or connections, depending on the kind.
	Count   int64         `json:"count"`
	Elapsed time.Duration `json:"elapsed"`
	// Took has the time of each request of the kinds that take times, in no order.
	Took []time.Duration `json:"took,omitempty"`
	// CPU is the processor time of each of Spec.PIDs.
	CPU []time.Duration `json:"cpu,omitempty"`
	// Failed is how many requests failed, and Failure what the first of them failed with.
	Failed  int    `json:"failed,omitempty"`
	Failure string `json:"failure,omitempty"`
	// Error is why nothing, or not all, could be done.
	Error string `json:"error,omitempty"`
}

// PerSecond is Count for each second.
func (r Result) PerSecond() float64 {
	if r.Elapsed <= 0 {
		return 0
	}
	return float64(r.Count) / r.Elapsed.Seconds()
}

// TotalCPU is the processor time of all processes.
func (r Result) TotalCPU() time.Duration {
	var total time.Duration
	for _, one := range r.CPU {
		total += one
	}
	return total
}

func (s Spec) validate() error {
	timed := s.Kind == ConnectAtRate || s.Kind == EchoAtRate
	switch s.Kind {
	case Connect, ConnectAtRate, EchoAtRate, Download, Upload, Hold:
	default:
		return fmt.Errorf("kind %q is none that there is", s.Kind)
	}
	switch {
	case s.Address == "":
		return errors.New("address is empty")
	case s.Parallel < 1:
		return fmt.Errorf("parallel is %d, must be at least 1", s.Parallel)
	case timed && s.Rate <= 0:
		return fmt.Errorf("rate is %v, must be more than zero", s.Rate)
	case s.Kind != Hold && s.Window <= 0 && (s.Kind != Connect || s.Total <= 0):
		return errors.New("there is no window to measure in")
	}
	return nil
}

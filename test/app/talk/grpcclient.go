package talk

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"time"
)

// Stream says what the gRPC client does.
type Stream struct {
	// URL is that of the server, such as http://grpc-svc:9002.
	URL string
	// Hold is how long the stream is kept, Interval how often a message is sent on it.
	Hold, Interval time.Duration
	// Patience is for the header, and for the last answers and the end.
	Patience time.Duration
}

// StreamResult is what came of it.
type StreamResult struct {
	Sent     int `json:"sent"`
	Received int `json:"received"`
	// By is who answered, as cluster/pod.
	By string `json:"by"`
	// Status is that of gRPC, nothing when the stream broke.
	Status string `json:"status"`
	// Seconds is how long the stream lasted.
	Seconds float64 `json:"seconds"`
	// Longest is the longest time between two messages received, in milliseconds. Interval is the least that it can be.
	Longest float64 `json:"longestGapMilliseconds"`
	// Gaps are those longer than three intervals.
	Gaps []StreamGap `json:"gaps"`
	// RoundTrip is in milliseconds.
	RoundTrip struct {
		P50 float64 `json:"p50"`
		Max float64 `json:"max"`
	} `json:"roundTripMilliseconds"`
}

// StreamGap is a time in which nothing came.
type StreamGap struct {
	AtSeconds    float64 `json:"atSeconds"`
	Milliseconds float64 `json:"milliseconds"`
}

// gapIntervals is from how many intervals on a gap is told.
const gapIntervals = 3

// Run holds a stream, and wants every message back, in order, and a good end. When ctx ends, the stream is ended as if its
// time were over.
func (s Stream) Run(ctx context.Context) (result StreamResult, err error) {
	told := ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.Hold+2*s.Patience)
	defer cancel()
	protocols := new(http.Protocols)
	protocols.SetUnencryptedHTTP2(true)
	transport := &http.Transport{Protocols: protocols, ResponseHeaderTimeout: s.Patience}
	defer transport.CloseIdleConnections()
	body, say := io.Pipe()
	defer func() { _ = body.Close() }() // a pipe's end cannot fail
	response, err := s.call(ctx, transport, body)
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	h := &held{began: time.Now(), interval: s.Interval}
	sending := make(chan error, 1)
	go func() { sending <- h.send(ctx, told, s, say) }()
	err = h.receive(response.Body)
	_ = body.Close() // nothing that is still sent could come back
	err = errors.Join(err, ignorePipe(<-sending))
	result = h.result()
	result.By, result.Status = by(response.Header), response.Trailer.Get(statusTrailer)
	switch {
	case err != nil:
		return result, err
	case result.Status != strconv.Itoa(statusOK):
		return result, fmt.Errorf("the stream ends with the status %q %s", result.Status, response.Trailer.Get(messageTrailer))
	case result.Received < result.Sent:
		return result, fmt.Errorf("%d of %d messages came back", result.Received, result.Sent)
	}
	return result, nil
}

// call begins the stream.
func (s Stream) call(ctx context.Context, transport *http.Transport, body io.Reader) (*http.Response, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, s.URL+method, body)
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", s.URL, err)
	}
	request.Header.Set("Content-Type", grpcType)
	request.Header.Set("Te", "trailers")
	response, err := transport.RoundTrip(request)
	if err != nil {
		return nil, fmt.Errorf("calling %s: %w", s.URL, err)
	}
	if response.StatusCode != http.StatusOK || response.Header.Get("Content-Type") != grpcType {
		err := fmt.Errorf("%s answers %s %q, which is no gRPC", s.URL, response.Status, response.Header.Get("Content-Type"))
		return nil, errors.Join(err, response.Body.Close())
	}
	return response, nil
}

// ignorePipe is for the sender, whose end says nothing when the receiver has ended before it.
func ignorePipe(err error) error {
	if errors.Is(err, io.ErrClosedPipe) {
		return nil
	}
	return err
}

// held is a stream that is being held. Sender and receiver have fields of their own.
type held struct {
	began    time.Time
	interval time.Duration

	sent int // the sender's, until it has ended

	arrivals []time.Duration
	trips    []time.Duration
}

// send sends messages, each with its number and the time, and ends its direction when the time is over, or it is told to.
func (h *held) send(ctx context.Context, told <-chan struct{}, s Stream, to *io.PipeWriter) error {
	tick := time.NewTicker(s.Interval)
	defer tick.Stop()
	over := time.NewTimer(s.Hold)
	defer over.Stop()
	for {
		value := binary.BigEndian.AppendUint64(nil, uint64(h.sent)) //nolint:gosec // it counts from zero
		value = binary.BigEndian.AppendUint64(value, uint64(time.Since(h.began)))
		if err := writeMessage(to, wrapBytes(value)); err != nil {
			return err
		}
		h.sent++
		select {
		case <-ctx.Done():
			return errors.Join(context.Cause(ctx), to.Close())
		case <-told:
			return to.Close()
		case <-over.C:
			return to.Close()
		case <-tick.C:
		}
	}
}

// receive reads until the stream ends.
func (h *held) receive(from io.Reader) error {
	for {
		message, err := readMessage(from)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("after %d messages and %v: %w", len(h.arrivals), time.Since(h.began).Round(time.Millisecond), err)
		}
		const size = 16
		number := binary.BigEndian.AppendUint64(nil, uint64(len(h.arrivals)))
		if len(message) != len(wrapBytes(make([]byte, size))) || !bytes.Equal(message[len(message)-size:len(message)-size/2], number) {
			return fmt.Errorf("message %d came back as %x", len(h.arrivals), message)
		}
		now := time.Since(h.began)
		said := time.Duration(binary.BigEndian.Uint64(message[len(message)-size/2:])) //nolint:gosec // written above
		h.arrivals, h.trips = append(h.arrivals, now), append(h.trips, now-said)
	}
}

func (h *held) result() StreamResult {
	r := StreamResult{Sent: h.sent, Received: len(h.arrivals), Seconds: time.Since(h.began).Seconds(), Gaps: []StreamGap{}}
	before, ends := time.Duration(0), h.arrivals
	if r.Received < r.Sent {
		ends = append(slices.Clone(ends), time.Since(h.began)) // nothing came until it broke
	}
	for _, at := range ends {
		gap := at - before
		r.Longest = max(r.Longest, milliseconds(gap))
		if gap > gapIntervals*h.interval {
			r.Gaps = append(r.Gaps, StreamGap{AtSeconds: before.Seconds(), Milliseconds: milliseconds(gap)})
		}
		before = at
	}
	if len(h.trips) > 0 {
		slices.Sort(h.trips)
		r.RoundTrip.P50, r.RoundTrip.Max = milliseconds(h.trips[len(h.trips)/2]), milliseconds(h.trips[len(h.trips)-1])
	}
	return r
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

package talk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/linkspan/linkspan/test/app/origin"
)

// echoed is what the UDP server answers.
type echoed struct {
	origin.Identity

	Text string `json:"text"`
}

// Packet answers one packet with who answers and what was in it.
func Packet(by origin.Identity) func([]byte) []byte {
	return func(packet []byte) []byte {
		text, err := json.Marshal(echoed{Identity: by, Text: string(packet)})
		if err != nil {
			return []byte(err.Error()) // a wrong answer, which clients count
		}
		return text
	}
}

// Packets say what the UDP client sends.
type Packets struct {
	Address string
	// Count packets are sent, one each Interval, and each has Patience for its answer.
	Count              int
	Interval, Patience time.Duration
}

// PacketResult is what came of them.
type PacketResult struct {
	Sent     int `json:"sent"`
	Answered int `json:"answered"`
	// Pods has how many each pod answered, with its cluster before it.
	Pods map[string]int `json:"pods"`
	// Failures has the others, by their kinds; a packet that is lost is a timeout.
	Failures map[string]int `json:"failures"`
}

// Send sends each packet from a port of its own, because kube-proxy chooses a pod for each port that it sees, and counts
// the answers.
func (p Packets) Send(ctx context.Context) (PacketResult, error) {
	result := PacketResult{Pods: map[string]int{}, Failures: map[string]int{}}
	var mu sync.Mutex
	var waiting sync.WaitGroup
	defer waiting.Wait()
	tick := time.NewTicker(max(p.Interval, time.Millisecond))
	defer tick.Stop()
	for ; result.Sent < p.Count; result.Sent++ {
		text := "packet " + strconv.Itoa(result.Sent)
		waiting.Go(func() {
			by, err := p.sendOne(ctx, text)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				result.Failures[origin.Failure(err)]++
				return
			}
			result.Answered++
			result.Pods[by.Cluster+"/"+by.Pod]++
		})
		select {
		case <-ctx.Done():
			return PacketResult{}, context.Cause(ctx)
		case <-tick.C:
		}
	}
	waiting.Wait()
	if result.Answered < result.Sent {
		return result, fmt.Errorf("%d of %d packets have no answer", result.Sent-result.Answered, result.Sent)
	}
	return result, nil
}

func (p Packets) sendOne(ctx context.Context, text string) (by origin.Identity, err error) {
	socket, err := new(net.Dialer).DialContext(ctx, "udp", p.Address)
	if err != nil {
		return by, fmt.Errorf("opening a socket to %s: %w", p.Address, err)
	}
	defer func() { _ = socket.Close() }() // what was to be heard has been heard
	defer context.AfterFunc(ctx, func() { _ = socket.Close() })()
	if err := socket.SetDeadline(time.Now().Add(p.Patience)); err != nil {
		return by, fmt.Errorf("setting a deadline: %w", err)
	}
	if _, err := socket.Write([]byte(text)); err != nil {
		return by, fmt.Errorf("sending a packet: %w", err)
	}
	buffer := make([]byte, 64<<10)
	n, err := socket.Read(buffer)
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return by, fmt.Errorf("no answer in %v: %w", p.Patience, err)
	}
	if err != nil {
		return by, fmt.Errorf("reading the answer: %w", err)
	}
	var got echoed
	if err := json.Unmarshal(buffer[:n], &got); err != nil || got.Text != text {
		return by, fmt.Errorf("the answer to %q is %q", text, buffer[:n])
	}
	return got.Identity, nil
}

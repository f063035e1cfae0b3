package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"testing"
	"time"
)

// entry is a line of an access log.
type entry struct {
	Timestamp time.Time `json:"timestamp"`
	Side      string    `json:"side"`
	Client    string    `json:"client"`
	Peer      string    `json:"peer"`
	Target    string    `json:"target"`
	Via       string    `json:"via"`
	Result    string    `json:"result"`
	Reason    string    `json:"reason"`
	Sent      int64     `json:"sent_bytes"`
	Received  int64     `json:"received_bytes"`
	Duration  float64   `json:"duration_seconds"`
	Error     string    `json:"error"`
}

// entries are the lines of streams that began at a time or later.
func (h *half) entries(since time.Time) ([]entry, error) {
	text, err := os.ReadFile(h.out)
	if err != nil {
		return nil, err
	}
	var found []entry
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("a line of %s's access log is not JSON: %w: %s", h.name, err, line)
		}
		// The log's clock is the same, cut to microseconds.
		if !e.Timestamp.Before(since.Truncate(time.Microsecond)) {
			found = append(found, e)
		}
	}
	return found, nil
}

// expectEntry waits for a line, which is written within a second of its stream's end.
func (h *half) expectEntry(t *testing.T, since time.Time, is func(entry) bool) entry {
	t.Helper()
	var found entry
	expectSoon(t, func() error {
		all, err := h.entries(since)
		if err != nil {
			return err
		}
		for _, e := range all {
			if is(e) {
				found = e
				return nil
			}
		}
		return fmt.Errorf("the line that was expected is not in the access log of %s, which has %+v", h.name, all)
	})
	return found
}

// count counts the streams that began at a time or later and ended as is says.
func (h *half) count(t *testing.T, since time.Time, is func(entry) bool) int {
	t.Helper()
	all, err := h.entries(since)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, e := range all {
		if is(e) {
			n++
		}
	}
	return n
}

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// entry is a line of a gateway's access log, as far as the story speaks of it.
type entry struct {
	Timestamp time.Time `json:"timestamp"`
	Client    string    `json:"client"`
	Target    string    `json:"target"`
	Protocol  string    `json:"protocol"`
	Via       string    `json:"via"`
	Result    string    `json:"result"`
	Reason    string    `json:"reason"`
}

// awaitEntry waits for the line of a stream that began at a time or after it, and that is the one looked
// for. Lines are written within a second of the stream's end.
func (s *stage) awaitEntry(ctx context.Context, log string, since time.Time, is func(entry) bool) (entry, error) {
	var found entry
	err := soon(ctx, func(context.Context) error {
		entries, err := readEntries(filepath.Join(s.dir, log), since)
		if err != nil {
			return err
		}
		for _, e := range entries {
			if is(e) {
				found = e
				return nil
			}
		}
		return fmt.Errorf("expected another line in %s: of what has happened it has %+v", log, entries)
	})
	return found, err
}

func readEntries(path string, since time.Time) ([]entry, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var entries []entry
	for line := range bytes.Lines(text) {
		if !bytes.HasSuffix(line, []byte("\n")) {
			break // still being written
		}
		var e entry
		if err := json.Unmarshal(line, &e); err != nil {
			return nil, fmt.Errorf("a line of %s is not JSON: %w: %s", filepath.Base(path), err, line)
		}
		// The log's clock is the same, cut to microseconds.
		if !e.Timestamp.Before(since.Truncate(time.Microsecond)) {
			entries = append(entries, e)
		}
	}
	return entries, nil
}

// rows are what people are shown of a line.
func (e entry) rows() [][]string {
	rows := [][]string{{"client", e.Client}, {"target", e.Target}, {"via", e.Via}, {"result", e.Result}}
	if e.Reason != "" {
		rows = append(rows, []string{"reason", e.Reason})
	}
	return rows
}

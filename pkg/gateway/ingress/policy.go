package ingress

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
)

const (
	// maxAllowFile bounds the file of an allow-list: ten times what a ConfigMap can hold.
	maxAllowFile = 10 << 20
	// allowFileInterval is between two looks at the file. Two that agree are needed, and a client that is
	// taken off the list is cut within a second.
	allowFileInterval = 250 * time.Millisecond
)

// policy is the gateway's own allow-list. A file that cannot be read or parsed leaves the list as it was.
//
// A file that has changed is taken into use when the next look finds the same: one that is written in
// place is empty for a moment, and half there for another, which would cut everybody or let somebody else in.
type policy struct {
	log     logr.Logger
	entries []string
	path    string
	changed func()

	list atomic.Pointer[clients.List]
	// Only load and run, one after the other, use these. inForce is the text of the list in force, and
	// found what the last look found instead, nil if it found nothing new.
	inForce  string
	found    *string
	problem  string
	interval time.Duration
}

func newPolicy(log logr.Logger, o Options, changed func()) *policy {
	return &policy{log: log, entries: o.AllowClients, path: o.AllowFile, changed: changed, interval: allowFileInterval}
}

// load reads the list for the first time; a problem is then an error.
func (p *policy) load() error {
	if p.path != "" {
		text, err := p.read()
		if err != nil {
			return err
		}
		return p.use(text)
	}
	entries := p.entries
	if len(entries) == 0 {
		entries = []string{"*"}
	}
	list, err := clients.Parse(entries...)
	if err != nil {
		return fmt.Errorf("--allow-clients: %w", err)
	}
	p.list.Store(&list)
	return nil
}

func (p *policy) read() (string, error) {
	file, err := os.Open(p.path)
	if err != nil {
		return "", fmt.Errorf("--allow-clients-file: %w", err) // the error names the path
	}
	defer func() { _ = file.Close() }() // it was only read
	var text strings.Builder
	if _, err := io.Copy(&text, io.LimitReader(file, maxAllowFile+1)); err != nil {
		return "", fmt.Errorf("--allow-clients-file: %w", err)
	}
	if text.Len() > maxAllowFile {
		return "", fmt.Errorf("--allow-clients-file: %s has more than %d bytes: give a file with one identity to a line", p.path, maxAllowFile)
	}
	return text.String(), nil
}

// use takes the text of a file, and the entries beside it, into use.
func (p *policy) use(text string) error {
	if _, err := clients.ParseText(text); err != nil {
		return fmt.Errorf("--allow-clients-file: %s: %w", p.path, err)
	}
	if _, err := clients.Parse(p.entries...); err != nil {
		return fmt.Errorf("--allow-clients: %w", err)
	}
	list, err := clients.ParseText(text + "\n" + strings.Join(p.entries, "\n"))
	if err != nil {
		return fmt.Errorf("--allow-clients beside --allow-clients-file: %w", err)
	}
	p.inForce, p.found = text, nil
	p.list.Store(&list)
	return nil
}

// run follows the file until ctx ends.
func (p *policy) run(ctx context.Context) {
	if p.path == "" {
		return
	}
	tick := time.NewTicker(p.interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			p.look()
		}
	}
}

// look looks at the file once.
func (p *policy) look() {
	changed, err := p.refresh()
	switch {
	case err == nil:
		p.problem = ""
	case err.Error() != p.problem:
		p.problem = err.Error()
		p.log.Error(err, "The allow-list cannot be used; the one in force stays")
	}
	if changed {
		p.log.Info("The allow-list changed", "clients", p.list.Load().String())
		p.changed()
	}
}

// refresh takes what is in the file into use, if it is new and the last look found the same.
func (p *policy) refresh() (changed bool, err error) {
	text, err := p.read()
	if err != nil {
		return false, err
	}
	switch {
	case text == p.inForce:
		p.found = nil
		return false, nil
	case p.found == nil || *p.found != text:
		p.found = &text
		return false, nil
	}
	if err := p.use(text); err != nil {
		return false, err
	}
	return true, nil
}

func (p *policy) allows(identity string) bool { return p.list.Load().Allows(identity) }

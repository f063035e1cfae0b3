package policy

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
	// maxFile bounds the file of an allow-list: ten times what a ConfigMap can hold.
	maxFile = 10 << 20
	// fileInterval is between two looks at the file. Two that agree are needed, and a client that is
	// taken off the list is cut within a second.
	fileInterval = 250 * time.Millisecond
)

// Options are where the list comes from.
type Options struct {
	// Clients are entries as package clients reads them. Without any, an empty list that is not nil allows nobody.
	Clients []string
	// File holds more of them, and is followed. When it is empty and Clients is nil, every identity is allowed.
	File string
}

// Policy is the gateway's own allow-list. New makes one.
//
// A file that has changed is taken into use when the next look finds the same: one that is written in
// place is empty for a moment, and half there for another, which would cut everybody or let somebody else in.
type Policy struct {
	log     logr.Logger
	options Options
	metrics *Metrics
	changed func()

	list atomic.Pointer[clients.List]
	// Only Load and Run, one after the other, use these. inForce is the text of the list in force, and
	// found what the last look found instead, nil if it found nothing new.
	inForce  string
	found    *string
	problem  string
	interval time.Duration
}

// New makes a policy, which allows nobody before Load. changed is called by Run, after each change of the list.
func New(log logr.Logger, o Options, metrics *Metrics, changed func()) *Policy {
	p := &Policy{log: log, options: o, metrics: metrics, changed: changed, interval: fileInterval}
	p.list.Store(&clients.List{})
	return p
}

// Load reads the list for the first time; a problem is then an error.
func (p *Policy) Load() error {
	if p.options.File != "" {
		text, err := p.read()
		if err != nil {
			return err
		}
		return p.use(text)
	}
	list, err := clients.Parse(p.options.Clients...)
	if err != nil {
		return fmt.Errorf("--allow-clients: %w", err)
	}
	if p.options.Clients == nil {
		list = clients.Any()
		p.log.Info("Any client with a certificate under the trust anchors may call what is exported, where a Service has no list of its own; " +
			"name those who may with --allow-clients or --allow-clients-file")
	}
	p.list.Store(&list)
	return nil
}

func (p *Policy) read() (string, error) {
	file, err := os.Open(p.options.File)
	if err != nil {
		return "", fmt.Errorf("--allow-clients-file: %w", err) // the error names the path
	}
	defer func() { _ = file.Close() }() // it was only read
	var text strings.Builder
	if _, err := io.Copy(&text, io.LimitReader(file, maxFile+1)); err != nil {
		return "", fmt.Errorf("--allow-clients-file: %w", err)
	}
	if text.Len() > maxFile {
		return "", fmt.Errorf("--allow-clients-file: %s has more than %d bytes: give a file with one identity to a line", p.options.File, maxFile)
	}
	return text.String(), nil
}

// use takes the text of a file, and the entries beside it, into use.
func (p *Policy) use(text string) error {
	if _, err := clients.ParseText(text); err != nil {
		return fmt.Errorf("--allow-clients-file: %s: %w", p.options.File, err)
	}
	if _, err := clients.Parse(p.options.Clients...); err != nil {
		return fmt.Errorf("--allow-clients: %w", err)
	}
	list, err := clients.ParseText(text + "\n" + strings.Join(p.options.Clients, "\n"))
	if err != nil {
		return fmt.Errorf("--allow-clients beside --allow-clients-file: %w", err)
	}
	p.inForce, p.found = text, nil
	p.list.Store(&list)
	return nil
}

// Run follows the file until ctx ends.
func (p *Policy) Run(ctx context.Context) {
	if p.options.File == "" {
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
func (p *Policy) look() {
	changed, err := p.refresh()
	switch {
	case err != nil && err.Error() != p.problem:
		p.problem = err.Error()
		p.metrics.setStale(true)
		p.log.Error(err, "The allow-list cannot be used; the one in force stays")
	case err == nil && p.found == nil && p.problem != "": // a text that was found once may be as bad as the last one
		p.problem = ""
		p.metrics.setStale(false)
		p.log.Info("The allow-list can be used again")
	}
	if changed {
		p.log.Info("The allow-list changed", "clients", p.list.Load().String())
		p.changed()
	}
}

// refresh takes what is in the file into use, if it is new and the last look found the same.
func (p *Policy) refresh() (changed bool, err error) {
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

// Allows says whether a client of this identity is on the list.
func (p *Policy) Allows(identity string) bool { return p.list.Load().Allows(identity) }

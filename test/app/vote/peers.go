package vote

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// syncPeriod is how often the other instances are looked for, and asked.
	syncPeriod = time.Second
	// peerPatience is for one of them. It is what a vote may take longer while one is gone and not yet missed.
	peerPatience = 500 * time.Millisecond
	// peerPath is what instances talk to each other at.
	peerPath = "/peer/votes"
)

// Peers are the other instances of voting.
type Peers struct {
	box *Box
	// find gives the addresses of all instances, this one among them.
	find func(context.Context) ([]string, error)
	// port is this instance's own, for those that it asks.
	port   string
	client *http.Client

	mu    sync.Mutex
	known map[string]*peer
	// synced is that all that could be found have been asked once.
	synced bool
}

// peer is one address at which there is an instance.
type peer struct {
	instance string
	next     int
	// well is that it has answered, and that no vote could not be handed to it since.
	well bool
}

// NewPeers follows the addresses of a name, such as voting-peers:8080.
func NewPeers(box *Box, hostPort string) (*Peers, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, fmt.Errorf("--peers is %q, must be a name and a port such as voting-peers:8080: %w", hostPort, err)
	}
	find := func(ctx context.Context) ([]string, error) {
		hosts, err := net.DefaultResolver.LookupHost(ctx, host)
		for i := range hosts {
			hosts[i] = net.JoinHostPort(hosts[i], port)
		}
		return hosts, err
	}
	return newPeers(box, port, find), nil
}

func newPeers(box *Box, port string, find func(context.Context) ([]string, error)) *Peers {
	return &Peers{box: box, port: port, find: find, client: &http.Client{Transport: &http.Transport{}}, known: map[string]*peer{}}
}

// Ready is an error until the others have been asked for what they know.
func (p *Peers) Ready() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.synced {
		return errors.New("the other instances of voting have not been asked yet")
	}
	return nil
}

// Run asks the others until the context ends. It tells what is wrong with them once, and not again until it changes.
func (p *Peers) Run(ctx context.Context, tell func(string)) {
	defer p.client.CloseIdleConnections()
	tick := time.NewTicker(syncPeriod)
	defer tick.Stop()
	told := ""
	for {
		says := ""
		if err := p.sync(ctx); err != nil && ctx.Err() == nil {
			says = err.Error()
		}
		if says != told && says != "" {
			tell(says)
		}
		told = says
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}

// sync looks for the others, and asks each for what it has learned.
func (p *Peers) sync(ctx context.Context) error {
	addresses, err := p.find(ctx)
	if err != nil {
		err = fmt.Errorf("looking for the other instances of voting: %w", err)
	}
	addresses = p.keep(addresses)
	errs := make([]error, len(addresses))
	var asking sync.WaitGroup
	for i, address := range addresses {
		asking.Go(func() { errs[i] = p.ask(ctx, address) })
	}
	asking.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.synced = true
	return errors.Join(append(errs, err)...)
}

// keep remembers the addresses, and forgets others that do not answer: names are cached, so who has asked, and answers, may
// have none yet. It gives all that are to be asked. What cannot be looked up changes nothing.
func (p *Peers) keep(addresses []string) []string {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, address := range addresses {
		if p.known[address] == nil {
			p.known[address] = &peer{}
		}
	}
	maps.DeleteFunc(p.known, func(address string, at *peer) bool {
		return len(addresses) > 0 && !at.well && !slices.Contains(addresses, address)
	})
	return slices.Collect(maps.Keys(p.known))
}

// meet remembers an instance that asks: from now on it is told of votes.
func (p *Peers) meet(instance, address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.known[address]; at == nil || at.instance != instance {
		p.known[address] = &peer{instance: instance, well: true}
	}
}

// ask takes what the instance at an address has learned since it was asked before.
func (p *Peers) ask(ctx context.Context, address string) error {
	p.mu.Lock()
	at := *p.known[address]
	p.mu.Unlock()
	got, err := p.learnFrom(ctx, address, at.next)
	if err == nil && got.Instance != at.instance && at.next > 0 { // another one has its address now
		got, err = p.learnFrom(ctx, address, 0)
	}
	if err == nil {
		p.box.Merge(got)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if now := p.known[address]; now != nil {
		if now.well = err == nil; now.well {
			now.instance, now.next = got.Instance, got.Next
		}
	}
	return err
}

func (p *Peers) learnFrom(ctx context.Context, address string, since int) (got Ledger, err error) {
	query := url.Values{"since": {strconv.Itoa(since)}, "instance": {p.box.instance}, "port": {p.port}}
	err = p.exchange(ctx, http.MethodGet, address+peerPath+"?"+query.Encode(), nil, &got)
	return got, err
}

// Tell hands a vote to the others. Who cannot be told is not tried again until it has been asked: it will learn then.
func (p *Peers) Tell(ctx context.Context, l Ledger) {
	var telling sync.WaitGroup
	for _, address := range p.others(l.Instance) {
		telling.Go(func() {
			if err := p.exchange(ctx, http.MethodPost, address+peerPath, l, nil); err != nil {
				p.mu.Lock()
				defer p.mu.Unlock()
				if gone := p.known[address]; gone != nil {
					gone.well = false
				}
			}
		})
	}
	telling.Wait()
}

func (p *Peers) others(self string) (addresses []string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for address, peer := range p.known {
		if peer.well && peer.instance != self {
			addresses = append(addresses, address)
		}
	}
	return addresses
}

func (p *Peers) exchange(ctx context.Context, method, to string, say, hear any) error {
	ctx, cancel := context.WithTimeout(ctx, peerPatience)
	defer cancel()
	var body bytes.Buffer
	if say != nil {
		if err := json.NewEncoder(&body).Encode(say); err != nil {
			return fmt.Errorf("writing votes for another instance: %w", err)
		}
	}
	request, err := http.NewRequestWithContext(ctx, method, "http://"+to, &body)
	if err != nil {
		return fmt.Errorf("asking another instance: %w", err)
	}
	_, err = talk(p.client, request, hear)
	return err
}

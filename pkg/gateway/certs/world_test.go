package certs

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"

	pki "github.com/linkspan/linkspan/test/certs"
)

const (
	gatewayName = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	clientName  = "linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	otherName   = "web.shop.serviceaccount.identity.linkerd.cluster.local"

	alpnTransport = "transport.l5d.io/v1"
	alpnMux       = "mux.linkspan.io/v1"

	patience = 20 * time.Second
)

// clock is a time that only a test moves. It starts at the real one, which certificates are made for.
type clock struct{ at atomic.Pointer[time.Time] }

func newClock() *clock {
	c := &clock{}
	c.advance(0)
	return c
}

func (c *clock) now() time.Time { return *c.at.Load() }

func (c *clock) advance(d time.Duration) {
	at := time.Now()
	if last := c.at.Load(); last != nil {
		at = last.Add(d)
	}
	c.at.Store(&at)
}

// place is one gateway's folder, with the store that reads it.
type place struct {
	*testing.T
	dir      string
	clock    *clock
	registry *prometheus.Registry
	logged   *atomic.Int64
	*Store
}

// newPlace writes files and makes a store for them that has read nothing. Each edit may change options.
func newPlace(t *testing.T, files pki.Files, edits ...func(*Options)) *place {
	t.Helper()
	p := &place{T: t, dir: pki.For(t).Dir(files), clock: newClock(), registry: prometheus.NewRegistry(), logged: &atomic.Int64{}}
	o := optionsFor(p.dir)
	o.ReloadInterval = 5 * time.Millisecond
	for _, edit := range edits {
		edit(&o)
	}
	log := funcr.New(func(_, text string) {
		p.logged.Add(1)
		t.Log(text)
	}, funcr.Options{})
	p.Store = NewStore(log, o, NewMetrics(p.registry, "gateway"), p.clock.now)
	return p
}

// loaded is newPlace with files that must be good.
func loaded(t *testing.T, files pki.Files, edits ...func(*Options)) *place {
	t.Helper()
	p := newPlace(t, files, edits...)
	if err := p.Load(); err != nil {
		t.Fatal(err)
	}
	return p
}

func optionsFor(dir string) Options {
	return Options{
		CertFile:    filepath.Join(dir, pki.CertFile),
		KeyFile:     filepath.Join(dir, pki.KeyFile),
		AnchorsFile: filepath.Join(dir, pki.AnchorsFile),
	}
}

// replace writes other files, and waits for nothing.
func (p *place) replace(files pki.Files) {
	p.Helper()
	pki.For(p.T).Write(files, p.dir)
}

// reload writes other files and looks at them.
func (p *place) reload(files pki.Files) {
	p.Helper()
	p.replace(files)
	if err := p.Load(); err != nil {
		p.Fatal(err)
	}
}

// client gives a configuration that must be there.
func (p *place) client(server string, alpn ...string) *tls.Config {
	p.Helper()
	config, err := p.Client(server, alpn...)
	if err != nil {
		p.Fatal(err)
	}
	return config
}

// metric gives the value of one series, and whether there is one.
func (p *place) metric(name, value string) (float64, bool) {
	p.Helper()
	families, err := p.registry.Gather()
	if err != nil {
		p.Fatal(err)
	}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			if family.GetName() == name && metric.GetLabel()[0].GetValue() == value {
				return metric.GetGauge().GetValue() + metric.GetCounter().GetValue(), true
			}
		}
	}
	return 0, false
}

// start runs the store until the test ends.
func (p *place) start() {
	p.Helper()
	done := make(chan error, 1)
	ctx := p.Context()
	go func() { done <- p.Start(ctx) }()
	p.Cleanup(func() { // the context has ended by now
		if err := <-done; err != nil {
			p.Error(err)
		}
	})
}

// waitFor waits until a condition holds, looking again on every change.
func (p *place) waitFor(what string, holds func() bool) {
	p.Helper()
	deadline := time.After(patience)
	for {
		changed := p.Changed()
		if holds() {
			return
		}
		select {
		case <-changed:
		case <-time.After(time.Millisecond):
		case <-deadline:
			p.Fatalf("waited in vain for %s", what)
		}
	}
}

// pair is the certificates of two clusters that trust one anchor.
type pair struct {
	pki            pki.PKI
	anchor         *pki.Authority
	server, client *place
}

func newPair(t *testing.T) *pair {
	t.Helper()
	made := pki.For(t)
	anchor := made.Anchor("root")
	return &pair{
		pki: made, anchor: anchor,
		server: loaded(t, made.Files(made.Leaf(made.Issuer(anchor, "east"), gatewayName), anchor)),
		client: loaded(t, made.Files(made.Leaf(made.Issuer(anchor, "west"), clientName), anchor)),
	}
}

// shake makes a handshake between the two.
func (p *pair) shake(t *testing.T) meeting {
	t.Helper()
	return shake(t, p.server.Server(alpnTransport), p.client.client(gatewayName, alpnTransport))
}

// meeting is what both sides saw of one connection.
type meeting struct {
	client, server       tls.ConnectionState
	clientErr, serverErr error
}

func (m meeting) expectSuccess(t *testing.T) {
	t.Helper()
	if m.clientErr != nil || m.serverErr != nil {
		t.Fatalf("client: %v, server: %v", m.clientErr, m.serverErr)
	}
}

func (m meeting) err() error { return errors.Join(m.clientErr, m.serverErr) }

// shake connects a client to a server, and lets a byte go each way, because in TLS 1.3 a client learns
// only from its first read whether the server accepted it.
func shake(t testing.TB, server, client *tls.Config) meeting {
	t.Helper()
	return meet(t, client, func(conn net.Conn, m *meeting) {
		secure := tls.Server(conn, server)
		if m.serverErr = secure.HandshakeContext(t.Context()); m.serverErr != nil {
			return
		}
		m.server = secure.ConnectionState()
		m.serverErr = echo(secure)
	})
}

func echo(conn net.Conn) error {
	one := make([]byte, 1)
	if _, err := io.ReadFull(conn, one); err != nil {
		return err
	}
	_, err := conn.Write(one)
	return err
}

// meet connects a client to anything that accepts.
func meet(t testing.TB, client *tls.Config, serve func(net.Conn, *meeting)) meeting {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var m meeting
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			m.serverErr = err
			return
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(patience))
		serve(conn, &m)
		// Closing with something unread resets the connection, and the last alert would be lost.
		_ = conn.(*net.TCPConn).CloseWrite()
		_, _ = io.Copy(io.Discard, conn)
	}()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_ = conn.SetDeadline(time.Now().Add(patience))
	secure := tls.Client(conn, client)
	if m.clientErr = secure.HandshakeContext(t.Context()); m.clientErr == nil {
		m.client = secure.ConnectionState()
		_, m.clientErr = secure.Write([]byte{1})
	}
	if m.clientErr == nil {
		_, m.clientErr = io.ReadFull(secure, make([]byte, 1))
	}
	conn.Close()
	<-done
	return m
}

// quiet is for tests that look at nothing that is logged.
func quiet() logr.Logger { return logr.Discard() }

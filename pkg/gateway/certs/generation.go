package certs

import (
	"crypto/rand"
	"crypto/tls"
	"strings"
	"sync"
	"time"
)

const (
	// generationLife is how long tickets and sessions of one generation can be worth something.
	generationLife = 12 * time.Hour
	// maxClients is how many client configurations a generation keeps. The servers come from Links,
	// so this is far away; past it, resumption suffers and nothing else.
	maxClients = 1024
)

// generation is material in use. Only the maps change.
type generation struct {
	*material
	born      time.Time
	ticketKey [32]byte

	mu       sync.Mutex
	clients  map[clientKey]*tls.Config
	sessions map[string]tls.ClientSessionCache // by server: ALPN is negotiated anew when resuming
}

type clientKey struct{ server, alpn string }

func newGeneration(m *material, now time.Time) *generation {
	g := &generation{
		material: m,
		born:     now,
		clients:  map[clientKey]*tls.Config{},
		sessions: map[string]tls.ClientSessionCache{},
	}
	_, _ = rand.Read(g.ticketKey[:]) // never fails, by its contract
	return g
}

// serverConfig makes what Store.Server's configuration turns into for each handshake.
func (s *Store) serverConfig(g *generation, alpn []string) *tls.Config {
	c := &tls.Config{
		MinVersion:                  tls.VersionTLS13,
		Time:                        s.now,
		Certificates:                []tls.Certificate{g.pair},
		ClientAuth:                  tls.RequireAndVerifyClientCert,
		ClientCAs:                   g.roots,
		NextProtos:                  alpn,
		VerifyConnection:            s.verifyClient,
		DynamicRecordSizingDisabled: true,
	}
	c.SetSessionTicketKeys([][32]byte{g.ticketKey})
	return c
}

// clientConfig finds or makes the configuration for one server, whose name is in lower case.
func (s *Store) clientConfig(g *generation, server string, alpn []string) *tls.Config {
	key := clientKey{server: server, alpn: alpnKey(alpn)}
	g.mu.Lock()
	defer g.mu.Unlock()
	if c := g.clients[key]; c != nil {
		return c
	}
	makeRoom(g.clients)
	sessions := g.sessions[server]
	if sessions == nil {
		makeRoom(g.sessions)
		sessions = tls.NewLRUClientSessionCache(1) // crypto/tls keeps one session for each server's name
		g.sessions[server] = sessions
	}
	c := &tls.Config{
		MinVersion: tls.VersionTLS13,
		Time:       s.now,
		ServerName: server,
		RootCAs:    g.roots,
		// Not Certificates: of those crypto/tls sends none to a server that names other anchors, which then
		// complains of a missing certificate and not of an unknown authority.
		GetClientCertificate:        func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &g.pair, nil },
		NextProtos:                  strings.Split(key.alpn, alpnSeparator), // a copy of our own
		VerifyConnection:            s.verifyServer,
		ClientSessionCache:          sessions,
		DynamicRecordSizingDisabled: true,
	}
	g.clients[key] = c
	return c
}

const alpnSeparator = "\x00"

func alpnKey(alpn []string) string { return strings.Join(alpn, alpnSeparator) }

// makeRoom drops any entry of a full map.
func makeRoom[K comparable, V any](m map[K]V) {
	for key := range m {
		if len(m) < maxClients {
			return
		}
		delete(m, key)
	}
}

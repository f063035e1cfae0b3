package remote

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"sync"
	"time"

	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/pkg/link"
)

// Times of a connection. A target that stops answering is noticed pingAfter + pingTimeout after its
// last byte, by an HTTP/2 ping and so without a request, and reported lostAfter later: within the
// 15 s that LESSON-41 allows.
const (
	// connectTimeout bounds what is short: to reach the target and read its identity, or to hear
	// anything more of the first lists.
	connectTimeout = 10 * time.Second
	// listTimeout bounds the first lists as long as they go on: many services over a slow line.
	listTimeout = 2 * time.Minute

	dialTimeout = 5 * time.Second
	pingAfter   = 4 * time.Second
	pingTimeout = 4 * time.Second
	lostAfter   = 2 * time.Second
)

// remoteClient is a client for one target over a transport of its own, so that closing it closes
// every connection made with these credentials and no other.
type remoteClient struct {
	*kubernetes.Clientset
	health    *health
	transport *http.Transport
	dialled   dialled
}

// close ends every connection of the client, and those that are still to come.
func (c *remoteClient) close() {
	c.transport.CloseIdleConnections() // says goodbye where it can, and dials for nobody any more
	c.dialled.close()
}

func newRemoteClient(creds link.Credentials, userAgent string) (*remoteClient, error) {
	cfg := creds.RESTConfig()
	cfg.UserAgent = userAgent
	cfg.ContentType = "application/vnd.kubernetes.protobuf"
	cfg.AcceptContentTypes = "application/vnd.kubernetes.protobuf,application/json"
	cfg.QPS = -1 // the target's own priority and fairness protects it (architecture, decision 7)

	tlsConfig, err := rest.TLSConfigFor(cfg)
	if err != nil {
		return nil, fmt.Errorf("reading the certificates of the kubeconfig: %w", err)
	}
	client := &remoteClient{}
	transport := newTransport(tlsConfig, cfg, &client.dialled)
	h := newHealth(transport)
	wrapped, err := rest.HTTPWrappersForConfig(cfg, h)
	if err != nil {
		return nil, fmt.Errorf("using the credentials of the kubeconfig: %w", err)
	}
	set, err := kubernetes.NewForConfigAndClient(cfg, &http.Client{Transport: wrapped, CheckRedirect: stay})
	if err != nil {
		return nil, fmt.Errorf("using the server address of the kubeconfig: %w", err)
	}
	client.Clientset, client.health, client.transport = set, h, transport
	return client, nil
}

// errClosed is what a closed client answers. Not net.ErrClosed, for which client-go would try again.
var errClosed = errors.New("the client of these credentials has ended")

// stay follows no redirect: the transport would send the credentials along, to wherever the target says.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func newTransport(tlsConfig *tls.Config, cfg *rest.Config, conns *dialled) *http.Transport {
	t := &http.Transport{
		DialContext:         conns.dial,
		TLSClientConfig:     tlsConfig,
		TLSHandshakeTimeout: dialTimeout,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 8,
		IdleConnTimeout:     90 * time.Second,
		HTTP2:               &http.HTTP2Config{SendPingTimeout: pingAfter, PingTimeout: pingTimeout},
	}
	t.Proxy = cfg.Proxy
	if t.Proxy == nil {
		// Only the kubeconfig's proxy-url counts: the pod's environment speaks for its own cluster.
		t.Proxy = func(*http.Request) (*url.URL, error) { return nil, nil }
	}
	return t
}

// dialled are the connections of one client. The transport alone cannot be told to close them: one whose last watch ended
// this moment does not count as idle yet, and would stay open for IdleConnTimeout with credentials that are to be forgotten;
// one that is still being dialled comes later.
type dialled struct {
	mu     sync.Mutex
	closed bool
	conns  map[*dialledConn]struct{}
}

func (d *dialled) dial(ctx context.Context, network, address string) (net.Conn, error) {
	d.mu.Lock()
	closed := d.closed
	d.mu.Unlock()
	if closed {
		return nil, errClosed
	}
	dialer := net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	conn, err := dialer.DialContext(ctx, network, address)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.closed { // meanwhile
		_ = conn.Close()
		return nil, errClosed
	}
	known := &dialledConn{Conn: conn, owner: d}
	if d.conns == nil {
		d.conns = map[*dialledConn]struct{}{}
	}
	d.conns[known] = struct{}{}
	return known, nil
}

func (d *dialled) close() {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.closed = true
	for conn := range d.conns {
		_ = conn.Conn.Close() // fails only when it is closed already
	}
	clear(d.conns)
}

// dialledConn is known to its owner as long as it is open.
type dialledConn struct {
	net.Conn
	owner *dialled
}

// Close implements net.Conn.
func (c *dialledConn) Close() error {
	c.owner.mu.Lock()
	delete(c.owner.conns, c)
	c.owner.mu.Unlock()
	return c.Conn.Close()
}

package remote

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"net/url"
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
	transport := newTransport(tlsConfig, cfg)
	h := newHealth(transport)
	wrapped, err := rest.HTTPWrappersForConfig(cfg, h)
	if err != nil {
		return nil, fmt.Errorf("using the credentials of the kubeconfig: %w", err)
	}
	set, err := kubernetes.NewForConfigAndClient(cfg, &http.Client{Transport: wrapped, CheckRedirect: stay})
	if err != nil {
		return nil, fmt.Errorf("using the server address of the kubeconfig: %w", err)
	}
	return &remoteClient{Clientset: set, health: h, transport: transport}, nil
}

// stay follows no redirect: the transport would send the credentials along, to wherever the target says.
func stay(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }

func newTransport(tlsConfig *tls.Config, cfg *rest.Config) *http.Transport {
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 15 * time.Second}
	t := &http.Transport{
		DialContext:         dialer.DialContext,
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

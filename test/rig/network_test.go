package rig_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/rig"
)

// Every test address can be listened on, and a silent one answers nothing at all.
func TestAddresses(t *testing.T) {
	for _, address := range []string{"127.0.0.1", "::1", "203.0.113.1", "203.0.113.254", "198.51.100.77", "2001:db8::1", "2001:db8::ff"} {
		listener, err := net.Listen("tcp", net.JoinHostPort(address, "0"))
		if err != nil {
			t.Errorf("listen on %s: %v", address, err)
			continue
		}
		conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", listener.Addr().String())
		if err != nil {
			t.Errorf("dial %s: %v", address, err)
		} else if err := conn.Close(); err != nil {
			t.Error(err)
		}
		if err := listener.Close(); err != nil {
			t.Error(err)
		}
	}
	silent := net.Dialer{Timeout: shortly}
	_, err := silent.DialContext(t.Context(), "tcp", "192.0.2.1:443")
	var timeout net.Error
	if !errors.As(err, &timeout) || !timeout.Timeout() {
		t.Errorf("dial a silent address: got error %v, want a timeout", err)
	}
}

func TestProxyModes(t *testing.T) {
	c := rig.Shared(t, 1)[0]
	proxy, err := c.Proxy()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := proxy.Close(); err != nil {
			t.Error(err)
		}
	})
	config, err := c.RESTConfig(c.Admin(), rig.Server(proxy.URL()))
	if err != nil {
		t.Fatal(err)
	}
	through, err := client.New(config, client.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := func() error {
		ctx, cancel := context.WithTimeout(t.Context(), shortly)
		defer cancel()
		return through.List(ctx, &corev1.NamespaceList{}, client.Limit(1))
	}
	works := func(context.Context) error { return list() }

	rig.ExpectSoon(t, works)
	if err := proxy.Blackhole(); err != nil {
		t.Fatal(err)
	}
	if err := list(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("through a black hole: got error %v, want no answer", err)
	}
	if err := proxy.Refuse(); err != nil {
		t.Fatal(err)
	}
	// The first call may still meet the connection that was cut.
	rig.ExpectSoon(t, func(context.Context) error {
		if err := list(); !errors.Is(err, syscall.ECONNREFUSED) {
			return fmt.Errorf("through a closed port: got error %w, want connection refused", err)
		}
		return nil
	})
	const latency = 50 * time.Millisecond
	if err := proxy.Latency(latency); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSoon(t, works)
	start := time.Now()
	if err := list(); err != nil {
		t.Error(err)
	}
	if took := time.Since(start); took < 2*latency {
		t.Errorf("a request and its answer took %s with %s latency each way", took, latency)
	}
	if err := proxy.Pass(); err != nil {
		t.Fatal(err)
	}
	rig.ExpectSoon(t, works)
}

func TestGatewayModes(t *testing.T) {
	gateway, err := rig.NewGateway("203.0.113.9:0", "hello")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := gateway.Close(); err != nil {
			t.Error(err)
		}
	})
	probe := func() (int, string, error) {
		ctx, cancel := context.WithTimeout(t.Context(), shortly)
		defer cancel()
		return get(ctx, "http://"+gateway.Address()+"/ready")
	}
	if status, body, err := probe(); err != nil || status != http.StatusOK || body != "hello" {
		t.Errorf("at first: got %d %q %v, want 200 hello", status, body, err)
	}
	gateway.Answer(http.StatusServiceUnavailable)
	if status, _, err := probe(); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("after Answer(503): got %d %v", status, err)
	}
	gateway.Hang()
	if _, _, err := probe(); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("after Hang: got error %v, want no answer", err)
	}
	if err := gateway.Down(); err != nil {
		t.Fatal(err)
	}
	if _, _, err := probe(); !errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("after Down: got error %v, want connection refused", err)
	}
	if err := gateway.Up(); err != nil {
		t.Fatal(err)
	}
	gateway.Answer(http.StatusOK)
	if status, _, err := probe(); err != nil || status != http.StatusOK {
		t.Errorf("after Up: got %d %v", status, err)
	}
	if got := gateway.Requests(); got != 4 {
		t.Errorf("%d requests arrived, want 4", got)
	}
}

// get opens a new connection for each request, as probes do.
func get(ctx context.Context, url string) (status int, body string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Do(request)
	if err != nil {
		return 0, "", err
	}
	text, readErr := io.ReadAll(response.Body)
	return response.StatusCode, string(text), errors.Join(readErr, response.Body.Close())
}

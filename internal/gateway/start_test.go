package gateway

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"

	"github.com/linkspan/linkspan/test/certs"
)

// log keeps what a command wrote, for several goroutines.
type log struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *log) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(b)
}

func (l *log) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// apiServer answers lists with nothing and watches with silence, once it may. It gives a kubeconfig.
func apiServer(t *testing.T, may <-chan struct{}) (kubeconfig string, asked func() []string) {
	t.Helper()
	var mu sync.Mutex
	var requests []string
	ended := make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		mu.Lock()
		requests = append(requests, req.UserAgent()+" "+req.URL.Path)
		mu.Unlock()
		select {
		case <-may:
		default:
			http.Error(w, "not yet", http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if req.URL.Query().Get("watch") != "" {
			w.WriteHeader(http.StatusOK)
			_ = http.NewResponseController(w).Flush()
			select {
			case <-req.Context().Done():
			case <-ended:
			}
			return
		}
		kind, version := "ServiceList", "v1"
		switch {
		case strings.HasSuffix(req.URL.Path, "/endpointslices"):
			kind, version = "EndpointSliceList", "discovery.k8s.io/v1"
		case strings.HasSuffix(req.URL.Path, "/links"):
			kind, version = "LinkList", "multicluster.linkerd.io/v1alpha3"
		}
		_, _ = fmt.Fprintf(w, `{"kind":%q,"apiVersion":%q,"metadata":{"resourceVersion":"1"},"items":[]}`, kind, version)
	}))
	t.Cleanup(func() { close(ended); server.Close() })
	kubeconfig = filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf(`{"apiVersion":"v1","kind":"Config","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c","user":"u"}}],
"clusters":[{"name":"c","cluster":{"server":%q}}],"users":[{"name":"u","user":{}}]}`, server.URL)
	if err := os.WriteFile(kubeconfig, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return kubeconfig, func() []string {
		mu.Lock()
		defer mu.Unlock()
		return requests
	}
}

// started is a command that runs.
type started struct {
	log    log
	signal context.CancelFunc
	ended  chan error
}

func start(t *testing.T, args ...string) *started {
	t.Helper()
	s := &started{ended: make(chan error, 1)}
	var ctx context.Context
	ctx, s.signal = context.WithCancel(t.Context())
	root := NewCommand(Streams{Out: &bytes.Buffer{}, Err: &s.log}, "v1", func(logr.Logger) {})
	root.SetArgs(args)
	go func() { s.ended <- root.ExecuteContext(ctx) }()
	return s
}

// found waits for the log to say something, and gives the part in parentheses.
func (s *started) found(t *testing.T, pattern string) string {
	t.Helper()
	var part string
	eventually(t, func() string {
		if match := regexp.MustCompile(pattern).FindStringSubmatch(s.log.String()); match != nil {
			part = match[1]
			return ""
		}
		return fmt.Sprintf("the log does not say %s:\n%s", pattern, &s.log)
	})
	return part
}

// eventually waits until check has nothing to complain about.
func eventually(t *testing.T, check func() string) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		problem := check()
		if problem == "" {
			return
		}
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatal(problem)
		}
	}
}

// Both commands, from their flags to their end: ready only once what they read has been read, not ready
// once they are told to end, and no error then.
func TestACommandFromStartToEnd(t *testing.T) {
	t.Parallel()
	makes := certs.For(t)
	anchor := makes.Anchor("root")
	dir := makes.Dir(makes.Files(makes.Leaf(makes.Issuer(anchor, "east"), "gateway.example"), anchor))
	for side, c := range map[string]struct {
		args  []string
		reads []string
		says  string
	}{
		"ingress": {
			args:  []string{"--listen=127.0.0.1:0"},
			reads: []string{"linkspan-gateway-ingress /api/v1/services", "linkspan-gateway-ingress /apis/discovery.k8s.io/v1/endpointslices"},
			says:  `linkspan_gateway_open_streams{side="ingress",via="mux"} 0`,
		},
		"egress": {
			args:  []string{"--bind-address=127.0.0.1", "--namespace=links"},
			reads: []string{"linkspan-gateway-egress /api/v1/services", "linkspan-gateway-egress /apis/multicluster.linkerd.io/v1alpha3/namespaces/links/links"},
			says:  `linkspan_gateway_egress_ports{state="listening"} 0`,
		},
	} {
		t.Run(side, func(t *testing.T) {
			t.Parallel()
			may := make(chan struct{})
			kubeconfig, asked := apiServer(t, may)
			s := start(t, append([]string{
				side, "--admin-address=127.0.0.1:0", "--probe-address=127.0.0.1:0", "--kubeconfig=" + kubeconfig, "--drain-delay=1s", "--drain-timeout=0s",
				"--tls-cert=" + dir + "/tls.crt", "--tls-key=" + dir + "/tls.key", "--trust-anchors=" + dir + "/ca.crt",
			}, c.args...)...)
			admin := "http://" + s.found(t, `msg=Starting .* admin=(\S+)`)
			ready := func(code int, text string) func() string {
				return func() string {
					if got, body := get(t, admin+"/ready"); got != code || !strings.Contains(body, text) {
						return fmt.Sprintf("/ready answered %d %q, want %d with %q; log:\n%s", got, body, code, text, &s.log)
					}
					return ""
				}
			}
			eventually(t, ready(http.StatusServiceUnavailable, "have not been read"))
			if code, _ := get(t, admin+"/live"); code != http.StatusOK {
				t.Errorf("/live answered %d while not ready", code)
			}
			probes := "http://" + s.found(t, `msg=Starting .* probes=(\S+)`)
			if code, body := get(t, probes+"/ready"); code != http.StatusServiceUnavailable || body != "not ready\n" {
				t.Errorf("strangers get %d %q", code, body)
			}
			close(may)
			eventually(t, ready(http.StatusOK, "ok"))
			if code, body := get(t, probes+"/ready"); code != http.StatusOK {
				t.Errorf("strangers get %d %q once it is ready", code, body)
			}
			s.found(t, `(msg="Not ready" because=.*have not been read)`)
			s.found(t, `(msg=Ready)`)
			for _, want := range append([]string{c.says, "linkspan_gateway_certificate_expiry_timestamp_seconds", `linkspan_build_info{version="v1"} 1`, "linkspan_log_level 0", "go_goroutines", "process_open_fds"}, "") {
				if _, body := get(t, admin+"/metrics"); !strings.Contains(body, want) {
					t.Errorf("/metrics lacks %s", want)
				}
			}
			for _, want := range c.reads {
				if all := strings.Join(asked(), "\n"); !strings.Contains(all+"\n", want+"\n") {
					t.Errorf("asked the API server for\n%s\nwant %s", all, want)
				}
			}
			s.signal()
			eventually(t, ready(http.StatusServiceUnavailable, "draining"))
			if err := <-s.ended; err != nil {
				t.Errorf("it ended with %v, want no error", err)
			}
		})
	}
}

// A port that is in use ends the command with an error that names the flag.
func TestAnIngressWhosePortIsInUse(t *testing.T) {
	t.Parallel()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = listener.Close() }()
	kubeconfig, _ := apiServer(t, nil)
	makes := certs.For(t)
	anchor := makes.Anchor("root")
	dir := makes.Dir(makes.Files(makes.Leaf(makes.Issuer(anchor, "east"), "gateway.example"), anchor))
	_, err = command(t, "ingress", "--kubeconfig="+kubeconfig, "--admin-address=0", "--listen="+listener.Addr().String(),
		"--tls-cert="+dir+"/tls.crt", "--tls-key="+dir+"/tls.key", "--trust-anchors="+dir+"/ca.crt")
	if err == nil || !strings.Contains(err.Error(), "--listen") {
		t.Errorf("error is %v", err)
	}
}

// An ingress listens with the certificates in the files, and a stranger is counted and not served.
func TestAnIngressServesTLS(t *testing.T) {
	t.Parallel()
	may := make(chan struct{})
	close(may)
	kubeconfig, _ := apiServer(t, may)
	makes := certs.For(t)
	anchor := makes.Anchor("root")
	issuer := makes.Issuer(anchor, "east")
	dir := makes.Dir(makes.Files(makes.Leaf(issuer, "gateway.example"), anchor))
	s := start(t, "ingress", "--kubeconfig="+kubeconfig, "--admin-address=127.0.0.1:0", "--listen=127.0.0.1:0", "--drain-delay=0s", "--drain-timeout=0s",
		"--tls-cert="+dir+"/tls.crt", "--tls-key="+dir+"/tls.key", "--trust-anchors="+dir+"/ca.crt")
	admin := "http://" + s.found(t, `msg=Starting .* identity=gateway.example admin=(\S+)`)
	address := s.found(t, `msg=Listening address=(\S+)`)
	dial := func(leaf *certs.Leaf) error {
		dialer := tls.Dialer{Config: &tls.Config{
			ServerName: "gateway.example", RootCAs: certs.Pool(anchor),
			// Presented whatever the server asks for.
			GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return new(leaf.TLS()), nil },
			NextProtos:           []string{"transport.l5d.io/v1"}, MinVersion: tls.VersionTLS13,
		}}
		conn, err := dialer.DialContext(t.Context(), "tcp", address)
		if err != nil {
			return err
		}
		defer func() { _ = conn.Close() }()
		if err := conn.(*tls.Conn).CloseWrite(); err != nil { // a probe: no stream follows
			return err
		}
		// In TLS 1.3 a client learns only now that it was refused.
		if _, err := conn.Read(make([]byte, 1)); !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	if err := dial(makes.Leaf(issuer, "web.example")); err != nil {
		t.Errorf("a client under the trust anchors: %v", err)
	}
	stranger := makes.Leaf(makes.Issuer(makes.Anchor("other"), "east"), "web.example")
	if err := dial(stranger); err == nil {
		t.Error("a client under other trust anchors was served")
	}
	eventually(t, func() string {
		const want = `linkspan_gateway_handshake_failures_total{reason="unknown_authority",side="ingress"} 1`
		if _, body := get(t, admin+"/metrics"); !strings.Contains(body, want) {
			return "/metrics lacks " + want
		}
		return ""
	})
	s.signal()
	if err := <-s.ended; err != nil {
		t.Errorf("it ended with %v", err)
	}
}

// What is read comes from the cluster that the flags name, and a mistake names them.
func TestWhichClusterIsRead(t *testing.T) {
	kubeconfig, _ := apiServer(t, nil)
	nowhere := filepath.Join(t.TempDir(), "nowhere")
	t.Setenv("KUBERNETES_SERVICE_HOST", "")
	t.Setenv("HOME", t.TempDir())
	for name, c := range map[string]struct {
		opts   Options
		byUser string
		want   string
	}{
		"the file that is named":         {opts: Options{Kubeconfig: kubeconfig}},
		"the context that is named":      {opts: Options{Kubeconfig: kubeconfig, Context: "c"}},
		"the user's own":                 {byUser: kubeconfig},
		"a file that is not there":       {opts: Options{Kubeconfig: nowhere}, want: "--kubeconfig"},
		"a context that is not there":    {opts: Options{Kubeconfig: kubeconfig, Context: "d"}, want: "--context"},
		"neither a pod nor a kubeconfig": {byUser: nowhere, want: "give --kubeconfig, or run in a pod"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("KUBECONFIG", c.byUser)
			config, err := c.opts.cluster("agent")
			if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
				t.Fatalf("error is %v, want one about %q", err, c.want)
			}
			if err == nil && (config.QPS != -1 || config.Timeout != 0 || config.UserAgent != "agent") {
				t.Errorf("the client is limited: %+v", config)
			}
		})
	}
}

package ingress

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"
	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/policy"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
	pki "github.com/linkspan/linkspan/test/certs"
)

const (
	gatewayName = "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	// webClient and batClient are two clients of other clusters.
	webClient = "web.shop.serviceaccount.identity.linkerd.cluster.local"
	batClient = "bat.cave.serviceaccount.identity.linkerd.cluster.local"

	// patience is for what must happen soon, on a machine that is busy.
	patience = 20 * time.Second
	// soon is what a revocation may take to reach an open stream, which is a second, and what a busy machine adds.
	soon = 3 * time.Second
)

// Names that clients ask for, and the addresses that they must lead to.
const (
	echoName = "echo.shop.svc.cluster.local"
	echoIP   = "10.96.0.7"
	podsName = "pods.shop.svc.cluster.local"
)

// gateway is an ingress on a loopback address, with all that it works with.
type gateway struct {
	*testing.T
	server   *Server
	pki      pki.PKI
	anchor   *pki.Authority
	dir      string
	store    *certs.Store
	table    *exports.Table
	recorder *stream.Recorder
	registry *prometheus.Registry
	network  *network
	log      *lines
	access   *bytes.Buffer // by Recorder.Flush only
	stop     context.CancelFunc
	stopped  chan struct{}
}

// startGateway starts an ingress whose only export is shop/echo, port 80, with nobody behind it. The edits are made
// before it runs, and may change anything.
func startGateway(t *testing.T, o Options, edits ...func(*gateway)) *gateway {
	t.Helper()
	g := newGateway(t, o)
	for _, edit := range edits {
		edit(g)
	}
	if err := g.server.Listen(t.Context()); err != nil {
		t.Fatal(err)
	}
	g.run()
	return g
}

// run runs a gateway that listens, until the test ends.
func (g *gateway) run() {
	ctx, stop := context.WithCancel(context.Background())
	g.stop = stop
	go func() {
		defer close(g.stopped)
		if err := g.server.Run(ctx); err != nil {
			g.Error(err)
		}
	}()
	g.Cleanup(g.end)
}

func newGateway(t *testing.T, o Options) *gateway {
	t.Helper()
	made := pki.For(t)
	g := &gateway{
		T: t, pki: made, anchor: made.Anchor("root"), registry: prometheus.NewRegistry(),
		network: newNetwork(), log: &lines{}, access: &bytes.Buffer{}, stopped: make(chan struct{}),
	}
	g.dir = made.Dir(made.Files(made.Leaf(made.Issuer(g.anchor, "east"), gatewayName), g.anchor))
	g.store = certs.NewStore(g.log.logger(0), certs.Options{
		CertFile: filepath.Join(g.dir, pki.CertFile), KeyFile: filepath.Join(g.dir, pki.KeyFile), AnchorsFile: filepath.Join(g.dir, pki.AnchorsFile),
	}, certs.NewMetrics(g.registry, "gateway"), time.Now)
	if err := g.store.Load(); err != nil {
		t.Fatal(err)
	}
	var err error
	g.table = g.newTable(exports.NewMetrics(g.registry))
	g.recorder = stream.NewRecorder(stream.LogOptions{Streams: stream.LogAll, Format: stream.FormatJSON}, g.access,
		stream.NewMetrics(g.registry, stream.Ingress)).LogTo(g.log.logger(0))
	if o.Listen == "" {
		o.Listen = "127.0.0.1:0"
	}
	g.server, err = New(o, Dependencies{
		Log: g.log.logger(0), Certificates: g.store, Exports: g.table, ClusterDomain: "cluster.local",
		Recorder: g.recorder, Policy: policy.NewMetrics(g.registry), Dial: g.network.dial,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.log.reset()
	g.table.ReplaceServices([]*corev1.Service{service("shop", "echo", echoIP)})
	g.table.ReplaceSlices(nil)
	return g
}

// newTable makes a table that has been told nothing yet.
func (g *gateway) newTable(metrics *exports.Metrics) *exports.Table {
	g.Helper()
	var o exports.Options
	o.Default()
	table, err := exports.NewTable(g.log.logger(0), o, metrics, func(namespace, name string) { g.server.ExportChanged(namespace, name) })
	if err != nil {
		g.Fatal(err)
	}
	return table
}

// end ends the gateway, and then nothing may be left of anything.
func (g *gateway) end() {
	g.Helper()
	g.stop()
	select {
	case <-g.stopped:
	case <-time.After(patience):
		g.Fatal("Run does not return")
	}
	for _, name := range []string{"linkspan_gateway_open_streams", "linkspan_gateway_open_connections"} {
		if n := g.metric(name); n != 0 {
			g.Errorf("%s is %v at the end, want 0", name, n)
		}
	}
	if n := len(g.server.streams.all()) + len(g.server.conns) + g.server.open + g.server.connLimits.open + g.server.streamLimits.open +
		g.server.strangers.open + len(g.server.connLimits.clients) + len(g.server.streamLimits.clients) + g.server.handshakes.running.Len(); n != 0 {
		g.Errorf("%d streams, connections, places or handshakes are not given back", n)
	}
}

// service is exported, with a ClusterIP and the port 80.
func service(namespace, name, ip string, edits ...func(*corev1.Service)) *corev1.Service {
	svc := &corev1.Service{
		ObjectMeta: metav1.ObjectMeta{
			Namespace: namespace, Name: name, Annotations: map[string]string{},
			Labels: map[string]string{v1alpha3.LabelExported: v1alpha3.ExportedGateway},
		},
		Spec: corev1.ServiceSpec{
			Type: corev1.ServiceTypeClusterIP, ClusterIP: ip, ClusterIPs: []string{ip},
			Ports: []corev1.ServicePort{{Name: "main", Port: 80, Protocol: corev1.ProtocolTCP}},
		},
	}
	for _, edit := range edits {
		edit(svc)
	}
	return svc
}

func allowing(identities string) func(*corev1.Service) {
	return func(svc *corev1.Service) { svc.Annotations[v1alpha3.AnnotationAllowedClients] = identities }
}

// exportPods exports shop/pods, which is headless, with an endpoint for each address, and its hostname.
func (g *gateway) exportPods(endpoints ...[2]string) {
	svc := service("shop", "pods", corev1.ClusterIPNone)
	g.table.SetService(svc)
	es := &discoveryv1.EndpointSlice{
		ObjectMeta:  metav1.ObjectMeta{Namespace: "shop", Name: "pods-1", Labels: maps.Clone(svc.Labels)},
		AddressType: discoveryv1.AddressTypeIPv4,
		Ports:       []discoveryv1.EndpointPort{{Name: new("main"), Port: new(int32(8080)), Protocol: new(corev1.ProtocolTCP)}},
	}
	es.Labels[discoveryv1.LabelServiceName], es.Labels[corev1.IsHeadlessService] = "pods", ""
	for _, e := range endpoints {
		es.Endpoints = append(es.Endpoints, discoveryv1.Endpoint{
			Addresses: []string{e[0]}, Hostname: new(e[1]), Conditions: discoveryv1.EndpointConditions{Ready: new(true)},
		})
	}
	g.table.SetSlice(es)
}

// network leads from addresses in the cluster to applications on this machine.
type network struct {
	mu     sync.Mutex
	routes map[string]string
	dialed []string
	// each, if set, is called before an address is dialed.
	each func(address string)
}

func newNetwork() *network { return &network{routes: map[string]string{}} }

// route leads an address to a listener. One that nobody has routed swallows what is sent to it.
func (n *network) route(address string, to net.Addr) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.routes[address] = to.String()
}

func (n *network) dial(ctx context.Context, kind, address string) (net.Conn, error) {
	n.mu.Lock()
	n.dialed = append(n.dialed, address)
	to, each := n.routes[address], n.each
	n.mu.Unlock()
	if each != nil {
		each(address)
	}
	if to == "" {
		<-ctx.Done()
		return nil, &net.OpError{Op: "dial", Net: kind, Err: ctx.Err()}
	}
	return new(net.Dialer).DialContext(ctx, kind, to)
}

// asked are the addresses that were dialed, in this order.
func (n *network) asked() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return append([]string(nil), n.dialed...)
}

// serveEcho puts an application behind shop/echo.
func (g *gateway) serveEcho() {
	g.Helper()
	g.network.route(echoIP+":80", startApp(g.T, echo))
}

// startApp starts an application, which ends with the test.
func startApp(t testing.TB, serve func(*net.TCPConn)) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var serving sync.WaitGroup
	var mu sync.Mutex
	var conns []net.Conn
	serving.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			conns = append(conns, conn)
			mu.Unlock()
			serving.Go(func() {
				defer func() { _ = conn.Close() }()
				serve(conn.(*net.TCPConn))
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, conn := range conns {
			_ = conn.Close()
		}
		mu.Unlock()
		serving.Wait()
	})
	return l.Addr()
}

// deadPort is an address where nobody listens.
func deadPort(t testing.TB) net.Addr {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	return l.Addr()
}

// accessLine is what tests look at in a line of the access log.
type accessLine struct {
	Client, Peer, Target, Protocol, Via, Result, Reason, Error string

	Sent      int64   `json:"sent_bytes"`
	Received  int64   `json:"received_bytes"`
	Connect   float64 `json:"connect_seconds"`
	FirstByte float64 `json:"first_byte_seconds"`
	Duration  float64 `json:"duration_seconds"`
}

// logged gives the lines of the access log so far.
func (g *gateway) logged() []accessLine {
	g.Helper()
	g.recorder.Flush()
	var all []accessLine
	for line := range strings.Lines(g.access.String()) {
		var one accessLine
		if err := json.Unmarshal([]byte(line), &one); err != nil {
			g.Fatalf("%s: %v", line, err)
		}
		all = append(all, one)
	}
	return all
}

// expectStreams waits until so many streams have ended, and gives the last one's line.
func (g *gateway) expectStreams(n int) accessLine {
	g.Helper()
	var all []accessLine
	g.waitFor(fmt.Sprintf("the end of %d streams", n), func() bool {
		all = g.logged()
		return len(all) >= n
	})
	if len(all) > n {
		g.Fatalf("%d streams have ended, want %d: %+v", len(all), n, all)
	}
	return all[n-1]
}

// expectEnd is expectStreams for what became of the last one. The result and the reason are in the metrics too.
func (g *gateway) expectEnd(n int, result stream.Result, reason string) accessLine {
	g.Helper()
	last := g.expectStreams(n)
	if last.Result != string(result) || last.Reason != reason {
		g.Errorf("the stream was %s (%s), want %s (%s): %+v", last.Result, last.Reason, result, reason, last)
	}
	if g.metric("linkspan_gateway_streams_total", "result", string(result), "reason", reason, "via", last.Via) < 1 {
		g.Errorf("the stream was not counted as %s (%s) via %s", result, reason, last.Via)
	}
	return last
}

// metric adds up the series that have these labels, given as names and values in turn.
func (g *gateway) metric(name string, labels ...string) float64 {
	g.Helper()
	families, err := g.registry.Gather()
	if err != nil {
		g.Fatal(err)
	}
	sum := 0.0
	for _, family := range families {
		for _, m := range family.GetMetric() {
			has := map[string]string{}
			for _, l := range m.GetLabel() {
				has[l.GetName()] = l.GetValue()
			}
			matches := family.GetName() == name
			for i := 0; i < len(labels); i += 2 {
				matches = matches && has[labels[i]] == labels[i+1]
			}
			if matches {
				sum += m.GetGauge().GetValue() + m.GetCounter().GetValue()
			}
		}
	}
	return sum
}

// expectMetric waits until series add up to a value.
func (g *gateway) expectMetric(want float64, name string, labels ...string) {
	g.Helper()
	g.waitFor(fmt.Sprintf("%v in %s%v", want, name, labels), func() bool { return g.metric(name, labels...) == want })
}

// waitFor waits until a condition holds.
func (g *gateway) waitFor(what string, holds func() bool) {
	g.Helper()
	waitFor(g.T, what, holds)
}

func waitFor(t testing.TB, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	deadline := time.After(patience)
	for !holds() {
		select {
		case <-again.C:
		case <-deadline:
			t.Fatalf("waited in vain for %s", what)
		}
	}
}

// lines is a log that can be looked at.
type lines struct {
	mu  sync.Mutex
	all []string
}

func (l *lines) logger(verbosity int) logr.Logger {
	return funcr.New(func(_, text string) {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.all = append(l.all, text)
	}, funcr.Options{Verbosity: verbosity})
}

func (l *lines) text() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Join(l.all, "\n")
}

func (l *lines) count() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.all)
}

func (l *lines) reset() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.all = nil
}

package e2e

import (
	"bufio"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// web is the name of the Service in most scenarios.
const web = "web"

// playThroughTheMirror makes the Link as users do, with commands.
func playThroughTheMirror(t *testing.T, w *world) {
	in := w.ingress(t, ingressOne)
	out := w.egress(t, egressOne)
	w.linkByCommand(t, in)
	w.controller(t, w.pki.mount(t, inWest, controllerAccount))
	app := w.export(t, web)
	way := w.through(t, web)
	way.expectOpen(t, out.host)

	t.Run("the application answers, and the ingress knows whose egress asked", func(t *testing.T) { playIdentity(t, w, in, out, way) })
	t.Run("a server may speak first", func(t *testing.T) { playServerFirst(t, way) })
	t.Run("a client that has ended its direction gets the whole answer", func(t *testing.T) { playHalfClose(t, way, app) })
	t.Run("32 MiB each way at the same time arrive unchanged", func(t *testing.T) { playBulk(t, way) })
	t.Run("a client that is no longer allowed is cut, and turned away until it is allowed again", func(t *testing.T) { playAllowedClients(t, w, in, out, way) })
	t.Run("when the Service is exported no more, streams are cut and the mirror and its port are gone", func(t *testing.T) { playUnexport(t, w, way) })
}

// linkByCommand applies what `mirror allow` and `mirror link` print.
func (w *world) linkByCommand(t *testing.T, in *half) {
	t.Helper()
	path, err := w.east.KubeconfigFile(w.east.Admin())
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"--namespace=" + w.links, "--service-account-name=" + remoteAccount + "-" + w.links, "--token-expiry=1h"}
	apply(t, w.east, command(t, program("mirror"), append([]string{"allow"}, names...)...))
	w.gatewayService(t, in.host)
	remote := rig.User{
		Name:   "system:serviceaccount:" + w.links + ":" + remoteAccount + "-" + w.links,
		Groups: []string{"system:serviceaccounts", "system:serviceaccounts:" + w.links, "system:authenticated"},
	}
	awaitRight(t, w.east, remote, "", rightsOf(remoteAccount).Everywhere[0])
	apply(t, w.west, command(t, program("mirror"), append([]string{
		"--kubeconfig=" + path, "link", "--cluster-name=" + w.cluster, "--gateway-namespace=" + w.links,
		"--selector=" + v1alpha3.LabelExported + "=" + v1alpha3.ExportedGateway + "," + labelWorld + "=" + w.links,
	}, names...)...))
}

// GW-2, GW-10: the ingress knows its client by the certificate.
func playIdentity(t *testing.T, w *world, in, out *half, way *route) {
	began := time.Now()
	if err := way.fetch("/hello"); err != nil {
		t.Fatal(err)
	}
	took := time.Since(began)
	target := w.apps + "/" + web + ":80"
	seen := in.expectEntry(t, began, func(e entry) bool { return e.Target == target })
	if err := errors.Join(same("client", w.identity(egressAccount), seen.Client), same("result", "done", seen.Result), same("way", "lane", seen.Via)); err != nil {
		t.Errorf("the ingress's access log: %v", err)
	}
	mirrored := w.apps + "/" + web + "-" + w.cluster + ":80"
	sent := out.expectEntry(t, began, func(e entry) bool { return e.Target == mirrored })
	if err := errors.Join(same("result", "done", sent.Result), same("bytes there", seen.Sent, sent.Sent), same("bytes back", seen.Received, sent.Received)); err != nil {
		t.Errorf("the egress's access log: %v", err)
	}
	t.Logf("measured: the first request took %v", took.Round(100*time.Microsecond))
}

// GW-2: nothing waits for a client's first byte.
func playServerFirst(t *testing.T, way *route) {
	address, err := way.pick(greetPort)
	if err != nil {
		t.Fatal(err)
	}
	conn, err := dial(address)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }() // what was to be seen has been seen
	from := bufio.NewReader(conn)
	line, err := from.ReadString('\n')
	if err := errors.Join(err, same("greeting", greeting, line)); err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(conn, "EHLO west\r\n"); err != nil {
		t.Fatal(err)
	}
	rest, err := io.ReadAll(from)
	if err := errors.Join(err, same("answer, to its end", "250 EHLO west\r\n", string(rest))); err != nil {
		t.Error(err)
	}
}

// The application says nothing until its client has ended.
func playHalfClose(t *testing.T, way *route, app *application) {
	const size = 1 << 20
	address, err := way.pick(talkPort)
	if err != nil {
		t.Fatal(err)
	}
	conn := begin(t, address, verbStore, "half-close")
	sent := randomBytes(1, size)
	if _, err := conn.Write(sent); err != nil {
		t.Fatal(err)
	}
	if err := conn.CloseWrite(); err != nil {
		t.Fatal(err)
	}
	got, err := io.ReadAll(conn)
	if err != nil || sha256.Sum256(got) != sha256.Sum256(sent) {
		t.Errorf("got %d bytes and error %v, want the %d bytes that were sent", len(got), err, size)
	}
	app.expectEnd(t, "half-close")
}

func randomBytes(seed byte, n int) []byte {
	b := make([]byte, n)
	_, _ = rand.NewChaCha8([32]byte{seed}).Read(b) // it never fails
	return b
}

func playBulk(t *testing.T, way *route) {
	const size = 32 << 20
	address, err := way.pick(talkPort)
	if err != nil {
		t.Fatal(err)
	}
	conn := begin(t, address, verbEcho, "bulk")
	began := time.Now()
	sent := randomBytes(2, size)
	failed := make(chan error, 1)
	go func() {
		_, err := conn.Write(sent)
		failed <- errors.Join(err, conn.CloseWrite())
	}()
	sum := sha256.New()
	n, err := io.Copy(sum, conn)
	took := time.Since(began)
	if err := errors.Join(err, <-failed); err != nil || n != size || [32]byte(sum.Sum(nil)) != sha256.Sum256(sent) {
		t.Errorf("%d bytes came back with error %v, want the %d that were sent, with the same sum", n, err, size)
	}
	t.Logf("measured: 32 MiB each way in %v", took.Round(time.Millisecond))
}

// service names the exported Service, or the slice that stands for its pods.
func (w *world) service(name string) *corev1.Service {
	return &corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: w.apps, Name: name}}
}

// POL-12, POL-13: the list of a Service counts for streams that are open, too.
func playAllowedClients(t *testing.T, w *world, in, out *half, way *route) {
	address := way.any(t, talkPort)
	open := startBeating(t, address, "allowed")
	setAllowed := func(identity string) (before time.Time) {
		before = time.Now()
		rig.Update(t, w.east, w.service(web), func(s *corev1.Service) {
			s.Annotations = map[string]string{v1alpha3.AnnotationAllowedClients: identity}
		})
		return before
	}
	since := setAllowed("somebody.else.serviceaccount.identity.linkerd.cluster.local")
	took := open.expectCut(t, since, endPatience)
	denied := time.Now()
	expectReset(t, address)
	seen := in.expectEntry(t, denied, func(e entry) bool { return e.Result == "denied" })
	if err := errors.Join(same("reason", "export_not_allowed", seen.Reason), same("client", w.identity(egressAccount), seen.Client)); err != nil {
		t.Errorf("the ingress's access log: %v", err)
	}
	told := out.expectEntry(t, denied, func(e entry) bool { return e.Result != "done" })
	if err := same("result", "denied", told.Result); err != nil {
		t.Errorf("the egress's access log: %v", err)
	}
	setAllowed("*." + w.links + ".serviceaccount.identity.linkerd.cluster.local")
	expectSoon(t, func() error { return way.fetch("/again") })
	t.Logf("measured: cut %v after the annotation", took)
}

// GW-2, MIR-11: what is exported no more cannot be reached, not by what is open either.
func playUnexport(t *testing.T, w *world, way *route) {
	address := way.any(t, talkPort)
	other, err := way.pick(httpPort)
	if err != nil {
		t.Fatal(err)
	}
	open := startBeating(t, address, "unexported")
	since := time.Now()
	rig.Update(t, w.east, w.service(web), func(s *corev1.Service) { delete(s.Labels, v1alpha3.LabelExported) })
	// Which is what the EndpointSlice controller does then.
	slice := &discoveryv1.EndpointSlice{ObjectMeta: metav1.ObjectMeta{Namespace: w.apps, Name: web + "-1"}}
	rig.Update(t, w.east, slice, func(s *discoveryv1.EndpointSlice) { delete(s.Labels, v1alpha3.LabelExported) })
	took := open.expectCut(t, since, endPatience)
	rig.ExpectNoService(t, w.west, w.apps, web+"-"+w.cluster)
	gone := time.Since(since)
	for _, closed := range []string{address, other} {
		expectSoon(t, func() error {
			if err := attempt(closed); !errors.Is(err, syscall.ECONNREFUSED) {
				return fmt.Errorf("a connection to the egress port of the mirror that is gone: %w, want it refused", endOf(err))
			}
			return nil
		})
	}
	way.history.Eventually(t, func(m rig.Moment) error { return same("slices of the mirror", 0, len(m.Objects)) })
	t.Logf("measured: cut %v after the label went, the mirror was gone after %v", took, gone.Round(time.Millisecond))
}

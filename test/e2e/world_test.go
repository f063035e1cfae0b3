package e2e

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/certs"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	// eastServices is local in the network namespace (see test/rig), so that an application can listen at its
	// ClusterIP. No API server has an address in this half.
	eastServices = "198.51.100.128/25"

	gatewayPort = 4143
	adminPort   = 4191
	// controllerPort is that of the controller's admin server.
	controllerPort = 9999

	// worldAddresses is how many addresses a world has, worldPorts how many egress ports.
	worldAddresses = 20
	worldPorts     = 100
	firstPort      = 21000

	// labelWorld keeps the Links of one world from seeing what others export.
	labelWorld = "e2e.linkspan.io/world"
)

// Addresses of a world, by what they are for. Gateways and egress pods have the first ones.
const (
	ingressOne = iota + 1
	ingressTwo
	ingressThree
	egressOne
	egressTwo
	controllerHost
)

// Service accounts, which are also what certificates are named after.
const (
	ingressAccount    = "linkspan-ingress"
	egressAccount     = "linkspan-egress"
	controllerAccount = "linkspan"
	remoteAccount     = "linkspan-remote"
)

// world is what one scenario is played in.
type world struct {
	west, east *rig.Cluster
	number     int
	// links is the namespace of everything of ours, apps that of the application; both exist in both clusters.
	links, apps string
	// cluster is the name of east in the Link.
	cluster string
	dir     string

	pki *keys
	// kubeconfigs are by account.
	kubeconfigs map[string]string
	// pods lists the pods of the egress in west.
	pods      *discoveryv1.EndpointSlice
	processes []*process
}

func newWorld(t *testing.T, west, east *rig.Cluster, number int) *world {
	t.Helper()
	w := &world{
		west: west, east: east, number: number, dir: folder(t),
		links: rig.NamespaceIn(t, west, east), apps: rig.NamespaceIn(t, west, east),
		cluster: fmt.Sprintf("east-%d", number), kubeconfigs: map[string]string{},
	}
	w.pki = newKeys(t, w)
	// Before any process, so that they are ended after everything that uses them.
	t.Cleanup(func() { finish(t, w.processes) })
	return w
}

// folder is where a world keeps its files, also after the test where the rig's are kept.
func folder(t *testing.T) string {
	t.Helper()
	if os.Getenv(rig.EnvKeep) == "" {
		return t.TempDir()
	}
	dir, err := os.MkdirTemp("", "linkspan-e2e-world-") //nolint:usetesting // it is to be kept
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the world's folder is %s", dir)
	return dir
}

// host is one of the world's addresses.
func (w *world) host(i int) string { return fmt.Sprintf("203.0.113.%d", 10+w.number*worldAddresses+i) }

func joinPort(host string, port int) string { return net.JoinHostPort(host, strconv.Itoa(port)) }

// admin is the URL of an admin server's path.
func admin(host string, port int, path string) string {
	return "http://" + joinPort(host, port) + path
}

// launch starts a process of the world, which ends with the test.
func (w *world) launch(t *testing.T, name, program string, args ...string) *process {
	t.Helper()
	p := newProcess(w.dir, name, program, args...)
	p.start(t)
	w.processes = append(w.processes, p)
	return p
}

// half is one half of the gateway: a process at an address of its own.
type half struct {
	*process
	host  string
	files *mount
}

func (h *half) awaitReady(t *testing.T) {
	t.Helper()
	expectSoon(t, func() error {
		_, err := get(t.Context(), admin(h.host, adminPort, "/ready"))
		return err
	})
}

// address is where an ingress listens.
func (h *half) address() string { return joinPort(h.host, gatewayPort) }

// ingress starts an ingress, and returns when it is ready.
func (w *world) ingress(t *testing.T, host int, flags ...string) *half {
	t.Helper()
	return w.half(t, "ingress", w.pki.mount(t, inEast, ingressAccount), host,
		append([]string{"--listen=" + joinPort(w.host(host), gatewayPort)}, flags...))
}

// egress starts a pod of the egress, and lists it once it is ready.
func (w *world) egress(t *testing.T, host int, flags ...string) *half {
	t.Helper()
	h := w.half(t, "egress", w.pki.mount(t, inWest, egressAccount), host,
		append([]string{"--bind-address=" + w.host(host), "--namespace=" + w.links}, flags...))
	w.podReady(t, h)
	return h
}

func (w *world) half(t *testing.T, kind string, files *mount, host int, flags []string) *half {
	t.Helper()
	args := append([]string{
		kind, "--kubeconfig=" + w.kubeconfig(t, files.account),
		"--tls-cert=" + files.path(certs.CertFile), "--tls-key=" + files.path(certs.KeyFile),
		"--trust-anchors=" + files.path(certs.AnchorsFile), "--tls-reload-interval=200ms",
		"--admin-address=" + joinPort(w.host(host), adminPort), "--drain-delay=100ms",
		"--access-log=all", "--access-log-format=json", "--log-level=debug",
	}, flags...)
	h := &half{
		process: w.launch(t, fmt.Sprintf("%s-%d", kind, host), program("gateway"), args...),
		host:    w.host(host), files: files,
	}
	h.awaitReady(t)
	return h
}

// controller starts the service mirror. Its probes show a certificate where files are given.
func (w *world) controller(t *testing.T, files *mount) *process {
	t.Helper()
	first := firstPort + w.number*worldPorts
	args := []string{
		"controller", "--kubeconfig=" + w.kubeconfig(t, controllerAccount), "--namespace=" + w.links, "--leader-elect",
		"--admin-address=" + joinPort(w.host(controllerHost), controllerPort),
		fmt.Sprintf("--egress-ports=%d-%d", first, first+worldPorts-1),
	}
	if files != nil {
		args = append(args, "--probe-tls-cert="+files.path(certs.CertFile), "--probe-tls-key="+files.path(certs.KeyFile),
			"--probe-trust-anchors="+files.path(certs.AnchorsFile), "--probe-tls-reload-interval=200ms")
	}
	return w.launch(t, "controller", program("controller"), args...)
}

// link writes the two objects of a Link to east by hand.
func (w *world) link(t *testing.T, addresses ...string) {
	t.Helper()
	w.linkProbed(t, "1s", addresses...)
}

// linkProbed is link with another time between two probes.
func (w *world) linkProbed(t *testing.T, period string, addresses ...string) {
	t.Helper()
	kubeconfig, err := w.east.Kubeconfig(w.account(t, remoteAccount))
	if err != nil {
		t.Fatal(err)
	}
	l := rig.Link(w.links, w.cluster, rig.WithGateway(strings.Join(addresses, ","), gatewayPort, adminPort))
	l.Spec.GatewayIdentity = w.identity(ingressAccount)
	l.Spec.ProbeSpec.Period = period
	l.Spec.Selector.MatchLabels[labelWorld] = w.links
	rig.Create(t, w.west, rig.CredentialsSecret(w.links, w.cluster, kubeconfig), l)
}

// linkKey names the Link.
func (w *world) linkKey() client.ObjectKey {
	return client.ObjectKey{Namespace: w.links, Name: w.cluster}
}

// identity is what certificates of an account are made for.
func (w *world) identity(account string) string {
	return account + "." + w.links + ".serviceaccount.identity.linkerd.cluster.local"
}

// export makes a Service with an application behind it, which is mirrored.
func (w *world) export(t *testing.T, name string) *application {
	t.Helper()
	service := rig.Service(w.apps, name, rig.Exported(v1alpha3.ExportedGateway), rig.WithLabel(labelWorld, w.links), rig.WithSelector("app", name),
		rig.WithPorts(rig.Port(httpPort, numberHTTP), rig.Port(talkPort, numberTalk), rig.Port(greetPort, numberGreet)))
	rig.Create(t, w.east, service)
	// It stands for pods that nobody asks for: the ingress goes to the ClusterIP.
	rig.Create(t, w.east, rig.EndpointSlice(service, []string{w.host(worldAddresses - 1)}))
	return newApplication(t, service.Spec.ClusterIP)
}

// through gives the way of a Service's clients in west.
func (w *world) through(t *testing.T, name string) *route {
	t.Helper()
	return newRoute(t, w.west, w.apps, name+"-"+w.cluster)
}

// podReady lists a pod of the egress as ready, as the cluster does once a kubelet says so.
func (w *world) podReady(t *testing.T, h *half) {
	t.Helper()
	w.setPod(t, h.host, &discoveryv1.EndpointConditions{Ready: new(true), Serving: new(true), Terminating: new(false)})
}

// podEnding is what follows when somebody deletes the pod.
func (w *world) podEnding(t *testing.T, h *half) {
	t.Helper()
	w.setPod(t, h.host, &discoveryv1.EndpointConditions{Ready: new(false), Serving: new(true), Terminating: new(true)})
}

// podGone is when the pod has ended.
func (w *world) podGone(t *testing.T, h *half) {
	t.Helper()
	w.setPod(t, h.host, nil)
}

func (w *world) setPod(t *testing.T, host string, conditions *discoveryv1.EndpointConditions) {
	t.Helper()
	if w.pods == nil {
		w.pods = rig.EndpointSlice(rig.Service(w.links, egressAccount, rig.WithPorts(rig.Port("admin", adminPort))), nil)
		rig.Create(t, w.west, w.pods)
	}
	rig.Update(t, w.west, w.pods, func(slice *discoveryv1.EndpointSlice) {
		kept := []discoveryv1.Endpoint{}
		for _, e := range slice.Endpoints {
			if e.Addresses[0] != host {
				kept = append(kept, e)
			}
		}
		if conditions != nil {
			kept = append(kept, discoveryv1.Endpoint{Addresses: []string{host}, Conditions: *conditions})
		}
		slice.Endpoints = kept
	})
}

// apply creates the objects of a manifest.
func apply(t *testing.T, c *rig.Cluster, manifest string) {
	t.Helper()
	decoder := yaml.NewYAMLOrJSONDecoder(strings.NewReader(manifest), len(manifest))
	for {
		object := &unstructured.Unstructured{}
		err := decoder.Decode(object)
		switch {
		case errors.Is(err, io.EOF):
			return
		case err != nil:
			t.Fatal(err)
		case len(object.Object) > 0: // a document may be empty
			rig.Create(t, c, object)
		}
	}
}

// gatewayService makes the Service of the gateway in east, which `mirror link` reads.
func (w *world) gatewayService(t *testing.T, addresses ...string) {
	t.Helper()
	service := rig.Service(w.links, "linkerd-gateway",
		rig.WithPorts(rig.Port(v1alpha3.PortNameGateway, gatewayPort), rig.Port(v1alpha3.PortNameProbe, adminPort)),
		rig.WithAnnotation(v1alpha3.AnnotationMulticlusterGateway, "true"),
		rig.WithAnnotation(v1alpha3.AnnotationGatewayIdentity, w.identity(ingressAccount)),
		rig.WithAnnotation(v1alpha3.AnnotationProbePath, "/ready"),
		rig.WithAnnotation(v1alpha3.AnnotationProbePeriod, "1"),
		rig.WithAnnotation(v1alpha3.AnnotationProbeFailureThreshold, "2"),
	)
	service.Spec.Type = corev1.ServiceTypeLoadBalancer
	service.Spec.AllocateLoadBalancerNodePorts = new(false)
	rig.Create(t, w.east, service)
	for _, address := range addresses {
		service.Status.LoadBalancer.Ingress = append(service.Status.LoadBalancer.Ingress, corev1.LoadBalancerIngress{IP: address})
	}
	if err := w.east.Client().Status().Update(t.Context(), service); err != nil {
		t.Fatal(err)
	}
}

// expectAlive waits until the Link says exactly of these addresses that they are alive.
func (w *world) expectAlive(t *testing.T, hosts ...string) {
	t.Helper()
	named := &v1alpha3.Link{ObjectMeta: metav1.ObjectMeta{Namespace: w.links, Name: w.cluster}}
	rig.Expect(t, w.west, named, func(l *v1alpha3.Link) error {
		alive := map[string]bool{}
		for _, address := range l.Status.Gateway {
			if address.State == "Alive" {
				alive[address.Address] = true
			}
		}
		for _, host := range hosts {
			if !alive[host] {
				return fmt.Errorf("%s is not alive: %+v", host, l.Status.Gateway)
			}
		}
		if len(alive) != len(hosts) {
			return fmt.Errorf("alive are %v, want %v", alive, hosts)
		}
		return nil
	})
}

// file is a path in the world's folder.
func (w *world) file(name string) string { return filepath.Join(w.dir, name) }

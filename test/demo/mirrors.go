package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/utils/ptr"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

const (
	// askPatience is how long a workload may take to answer.
	askPatience = 5 * time.Second
	// answerLimit bounds what is read of an answer.
	answerLimit = 1 << 10
	// refused stands for a connection that nobody accepts, reset for one that is given up at once.
	refused = "connection refused"
	reset   = "connection reset"
	// anyPort stands for a port that is not known beforehand, in what is expected.
	anyPort = "*"
)

// endpoint is one address and port of a Service.
type endpoint struct {
	address string
	ready   bool
	// answer is what a request to it is expected to get.
	answer string
}

// mirror is a Service in west and where it leads.
type mirror struct {
	service   *corev1.Service
	slices    []client.Object
	endpoints []endpoint
	// seen is when the endpoints were first as expected.
	seen time.Time
}

// throughGateway is what web's mirror leads to: our egress, at the port that the mirror was given there.
// Whoever connects while the gateway is dead is not kept waiting.
func throughGateway(alive bool) []endpoint {
	if !alive {
		return []endpoint{{address: net.JoinHostPort(egressIP, anyPort), answer: reset}}
	}
	return []endpoint{{address: net.JoinHostPort(egressIP, anyPort), ready: true, answer: web().pods[0].answer()}}
}

// toPods is what a mirror in pod-to-pod mode leads to.
func toPods(w workload) []endpoint {
	endpoints := make([]endpoint, 0, len(w.pods))
	for _, p := range w.pods {
		endpoints = append(endpoints, endpoint{address: p.address(), ready: true, answer: p.answer()})
	}
	return endpoints
}

// awaitMirror waits until the EndpointSlices of a mirror hold the expected endpoints, and checks the
// Service. It sends no request.
func (s *stage) awaitMirror(ctx context.Context, name string, want []endpoint) (*mirror, error) {
	var got []endpoint
	found, err := rig.Await(ctx, s.west, &discoveryv1.EndpointSlice{}, rig.SlicesOf(shop, name), func(objects []client.Object) (err error) {
		if got, err = endpointsOf(objects); err != nil {
			return err
		}
		if !slices.EqualFunc(got, want, sameEndpoint) {
			return fmt.Errorf("the endpoints of %s in west are %v, expected %v", name, describe(got), describe(want))
		}
		return nil
	})
	m := &mirror{slices: found, endpoints: got, seen: time.Now(), service: &corev1.Service{}}
	if err != nil {
		return nil, err
	}
	for i := range got {
		got[i].answer = want[i].answer
	}
	if err := s.west.Client().Get(ctx, client.ObjectKey{Namespace: shop, Name: name}, m.service); err != nil {
		return nil, fmt.Errorf("expected Service %s/%s in west: %w", shop, name, err)
	}
	return m, checkService(m.service)
}

func checkService(service *corev1.Service) error {
	for key, want := range map[string]string{v1alpha3.LabelMirroredService: "true", v1alpha3.LabelClusterName: nameEast} {
		if got := service.Labels[key]; got != want {
			return fmt.Errorf("label %s of %s is %q, expected %q", key, service.Name, got, want)
		}
	}
	if !within(service.Spec.ClusterIP, westServices) {
		return fmt.Errorf("the ClusterIP of %s is %s, expected one of west's range %s", service.Name, service.Spec.ClusterIP, westServices)
	}
	return nil
}

// showMirrors sends a request to every endpoint, shows what they lead to, and checks the answers.
func (s *stage) showMirrors(ctx context.Context, mirrors ...*mirror) error {
	rows := [][]string{{"MIRROR", "CLUSTER-IP", "ENDPOINT", "READY", "ANSWER"}}
	var problems []error
	for _, m := range mirrors {
		name, clusterIP := m.service.Name, m.service.Spec.ClusterIP
		for _, e := range m.endpoints {
			answer := ask(ctx, e.address)
			if answer != e.answer {
				problems = append(problems, fmt.Errorf("%s answers %q, expected %q", e.address, answer, e.answer))
			}
			rows = append(rows, []string{name, clusterIP, e.address, yesNo(e.ready), answer})
			name, clusterIP = "", ""
		}
	}
	s.tell.table(rows)
	return errors.Join(problems...)
}

// same says whether a mirror is the Service that it was before, same UID and same ClusterIP, and leads
// to the same endpoints.
func (m *mirror) same(before *mirror) error {
	if !slices.EqualFunc(m.endpoints, before.endpoints, func(a, b endpoint) bool { return a.address == b.address }) {
		return fmt.Errorf("%s leads to %v, expected %v as before", m.service.Name, describe(m.endpoints), describe(before.endpoints))
	}
	if m.service.UID != before.service.UID || m.service.Spec.ClusterIP != before.service.Spec.ClusterIP {
		return fmt.Errorf("%s is another Service than before (%s at %s), expected the same (%s at %s)", m.service.Name,
			m.service.UID, m.service.Spec.ClusterIP, before.service.UID, before.service.Spec.ClusterIP)
	}
	return nil
}

// untouched says whether nothing of a mirror was written since before.
func (m *mirror) untouched(before *mirror) error {
	if now, then := m.versions(), before.versions(); !slices.Equal(now, then) {
		return fmt.Errorf("%s was written: its versions are %v, expected %v as before", m.service.Name, now, then)
	}
	return nil
}

func (m *mirror) versions() []string {
	versions := []string{"Service " + m.service.ResourceVersion}
	for _, slice := range m.slices {
		versions = append(versions, slice.GetName()+" "+slice.GetResourceVersion())
	}
	return versions
}

// endpointsOf are those of several slices, sorted.
func endpointsOf(objects []client.Object) ([]endpoint, error) {
	var found []endpoint
	for _, object := range objects {
		slice, ok := object.(*discoveryv1.EndpointSlice)
		if !ok {
			return nil, fmt.Errorf("unexpected type %T", object)
		}
		for _, e := range slice.Endpoints {
			for _, port := range slice.Ports {
				found = append(found, endpoint{
					address: net.JoinHostPort(e.Addresses[0], strconv.Itoa(int(ptr.Deref(port.Port, 0)))),
					ready:   ptr.Deref(e.Conditions.Ready, true), // unset means ready
				})
			}
		}
	}
	slices.SortFunc(found, func(a, b endpoint) int { return cmp.Compare(a.address, b.address) })
	return found, nil
}

// sameEndpoint says whether an endpoint is as expected. It leaves the answer out.
func sameEndpoint(got, want endpoint) bool {
	host, anywhere := strings.CutSuffix(want.address, anyPort)
	return got.ready == want.ready && (got.address == want.address || anywhere && strings.HasPrefix(got.address, host))
}

func describe(endpoints []endpoint) []string {
	texts := make([]string, 0, len(endpoints))
	for _, e := range endpoints {
		text := e.address + " (not ready)"
		if e.ready {
			text = e.address + " (ready)"
		}
		texts = append(texts, text)
	}
	return texts
}

func yesNo(yes bool) string {
	if yes {
		return "yes"
	}
	return "no"
}

// egressPort is the port of the egress that a mirror leads to. The mirror itself must say the same.
func (m *mirror) egressPort() (string, error) {
	if len(m.endpoints) != 1 {
		return "", fmt.Errorf("%s leads to %v, expected one endpoint", m.service.Name, describe(m.endpoints))
	}
	_, port, err := net.SplitHostPort(m.endpoints[0].address)
	if err != nil {
		return "", err
	}
	want := fmt.Sprintf("%d=%s", servicePort, port)
	if got := m.service.Annotations[v1alpha3.AnnotationEgressPorts]; got != want {
		return "", fmt.Errorf("annotation %s of %s is %q, expected %q", v1alpha3.AnnotationEgressPorts, m.service.Name, got, want)
	}
	return port, nil
}

// awaitAnswers waits until all endpoints of a mirror answer as expected, and says when that was.
func (m *mirror) awaitAnswers(ctx context.Context) (time.Time, error) {
	var seen time.Time
	err := soon(ctx, func(ctx context.Context) error {
		for _, e := range m.endpoints {
			if answer := ask(ctx, e.address); answer != e.answer {
				return fmt.Errorf("%s answers %q, expected %q", e.address, answer, e.answer)
			}
		}
		seen = time.Now()
		return nil
	})
	return seen, err
}

// ask sends a request over a new connection and returns the answer, or why there is none.
func ask(ctx context.Context, address string) string {
	answer, err := get(ctx, "http://"+address+"/")
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return refused
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return reset
	case err != nil:
		return err.Error()
	default:
		return answer
	}
}

func get(ctx context.Context, url string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, askPatience)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	// No proxy: the addresses exist in this namespace only.
	asker := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := asker.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(io.LimitReader(response.Body, answerLimit))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", errors.New(response.Status)
	}
	return string(text), nil
}

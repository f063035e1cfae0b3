package observe

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
)

// mostRequests is what a check may cost, whatever the number of Links (LESSON-40), reviews left out.
const mostRequests = 50

// apiServer answers by path, with an empty list where nothing is said, and counts.
type apiServer struct {
	*httptest.Server
	answers func(*http.Request) (status int, body any)

	mu       sync.Mutex
	requests []string
}

func newAPIServer(t *testing.T, answers func(*http.Request) (int, any)) *apiServer {
	t.Helper()
	s := &apiServer{answers: answers}
	s.Server = httptest.NewServer(s)
	t.Cleanup(s.Close)
	return s
}

func (s *apiServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests = append(s.requests, r.Method+" "+r.URL.Path)
	s.mu.Unlock()
	status, body := s.answers(r)
	if status == 0 {
		status, body = http.StatusOK, basics(r.URL.Path)
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // who has hung up reads nothing
}

// basics is a cluster that knows Links and holds nothing.
func basics(path string) any {
	const links = "multicluster.linkerd.io"
	switch path {
	case "/version":
		return map[string]string{"gitVersion": "v1.36.0"}
	case "/api":
		return map[string]any{"kind": "APIVersions", "versions": []string{"v1"}}
	case "/apis":
		version := metav1.GroupVersionForDiscovery{GroupVersion: links + "/v1alpha3", Version: "v1alpha3"}
		return metav1.APIGroupList{Groups: []metav1.APIGroup{{Name: links, Versions: []metav1.GroupVersionForDiscovery{version}}}}
	case "/apis/" + links + "/v1alpha3":
		return metav1.APIResourceList{GroupVersion: links + "/v1alpha3", APIResources: []metav1.APIResource{{Name: "links"}, {Name: "links/status"}}}
	}
	return map[string]any{"items": []any{}}
}

func (s *apiServer) observer(t *testing.T, options Options) *Observer {
	t.Helper()
	config := &rest.Config{Host: s.URL, QPS: -1, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	scheme := runtime.NewScheme()
	if err := clientgoscheme.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	if err := v1alpha3.AddToScheme(scheme); err != nil {
		t.Fatal(err)
	}
	mapper := meta.NewDefaultRESTMapper(nil)
	mapper.Add(v1alpha3.GroupVersion.WithKind("Link"), meta.RESTScopeNamespace)
	links, err := client.New(config, client.Options{Scheme: scheme, Mapper: mapper})
	if err != nil {
		t.Fatal(err)
	}
	o, err := New(config, links, options)
	if err != nil {
		t.Fatal(err)
	}
	return o
}

// count leaves reviews out.
func (s *apiServer) count(part string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for _, r := range s.requests {
		if strings.Contains(r, part) && !strings.Contains(r, "accessreviews") {
			n++
		}
	}
	return n
}

func manyLinks() v1alpha3.LinkList {
	list := v1alpha3.LinkList{TypeMeta: metav1.TypeMeta{APIVersion: v1alpha3.GroupVersion.String(), Kind: "LinkList"}}
	for i := range 100 {
		l := v1alpha3.Link{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("c%03d", i), Namespace: "links"}}
		l.Spec.ClusterCredentialsSecret = "cluster-credentials-" + l.Name
		list.Items = append(list.Items, l)
	}
	return list
}

func failure(err *apierrors.StatusError) (int, any) {
	status := err.Status()
	status.Kind, status.APIVersion = "Status", "v1"
	return int(status.Code), status
}

func forbidden() (int, any) {
	return failure(apierrors.NewForbidden(corev1.Resource("things"), "", nil))
}

func notFound() (int, any) { return failure(apierrors.NewNotFound(corev1.Resource("things"), "x")) }

// LESSON-40: a hundred Links cost no more than a few, whatever the user may read and whatever is missing.
func TestRequestsDoNotGrowWithLinks(t *testing.T) {
	t.Parallel()
	isSecret := func(path string) bool { return strings.Contains(path, "/secrets/") }
	for name, c := range map[string]struct {
		list, one func() (int, any) // the answers about Secrets
		want      func(check.Read[check.Credentials]) bool
		asked     int // by name, at most
	}{
		"no right to list nor to get": {forbidden, forbidden, func(r check.Read[check.Credentials]) bool { return apierrors.IsForbidden(r.Err) }, 1},
		"all Secrets are missing":     {nil, notFound, func(r check.Read[check.Credentials]) bool { return r.Err == nil && !r.Value.Found }, mostByName},
		"the list fails": {func() (int, any) { return failure(apierrors.NewInternalError(fmt.Errorf("etcd"))) }, notFound,
			func(r check.Read[check.Credentials]) bool { return apierrors.IsInternalError(r.Err) }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			server := newAPIServer(t, func(r *http.Request) (int, any) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/links"):
					return http.StatusOK, manyLinks()
				case isSecret(r.URL.Path):
					return c.one()
				case strings.HasSuffix(r.URL.Path, "/secrets") && c.list != nil:
					return c.list()
				}
				return 0, nil
			})
			f := server.observer(t, Options{Namespace: "links"}).Observe(t.Context())
			if len(f.Links.Value) != 100 {
				t.Fatalf("there are %d Links: %v", len(f.Links.Value), f.Links.Err)
			}
			for _, l := range f.Links.Value {
				if !c.want(l.Credentials) {
					t.Fatalf("%s: the credentials are %+v", l.Name(), l.Credentials)
				}
			}
			if all, asked := server.count(""), server.count("/secrets/"); all > mostRequests || asked > c.asked {
				t.Errorf("it took %d requests, %d of them by name; want at most %d and %d", all, asked, mostRequests, c.asked)
			}
		})
	}
}

// Whose role names Secrets is served too.
func TestSecretsAreReadByName(t *testing.T) {
	t.Parallel()
	server := newAPIServer(t, func(r *http.Request) (int, any) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/links"):
			return http.StatusOK, manyLinks()
		case strings.HasSuffix(r.URL.Path, "/secrets"):
			return forbidden()
		case strings.Contains(r.URL.Path, "/secrets/"):
			return http.StatusOK, corev1.Secret{Type: "Opaque"}
		}
		return 0, nil
	})
	f := server.observer(t, Options{Namespace: "links"}).Observe(t.Context())
	for _, l := range f.Links.Value {
		if l.Credentials.Err != nil || l.Credentials.Value.Type != "Opaque" {
			t.Fatalf("%s: the credentials are %+v", l.Name(), l.Credentials)
		}
	}
}

// Who gives up, or whose time is up, waits for no discovery.
func TestDiscoveryEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for _, hangs := range []string{"/apis", "/apis/multicluster.linkerd.io/v1alpha3", "/openapi/v3"} {
		t.Run(hangs, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			released := make(chan struct{})
			server := newAPIServer(t, func(r *http.Request) (int, any) {
				if r.URL.Path == hangs {
					cancel()
					select {
					case <-r.Context().Done():
					case <-released:
					}
				}
				return 0, nil
			})
			done := make(chan check.Facts, 1)
			go func() { done <- server.observer(t, Options{Namespace: "links"}).Observe(ctx) }()
			select {
			case <-done:
			case <-time.After(10 * time.Second):
				t.Error("it waits on")
			}
			close(released)
		})
	}
}

// Where the types cannot be listed Links may still be read; nothing is taken for absent that was not asked for.
func TestLinksAreReadWithoutDiscovery(t *testing.T) {
	t.Parallel()
	server := newAPIServer(t, func(r *http.Request) (int, any) {
		switch {
		case r.URL.Path == "/apis":
			return forbidden()
		case strings.HasSuffix(r.URL.Path, "/links"):
			return http.StatusOK, manyLinks()
		}
		return 0, nil
	})
	f := server.observer(t, Options{Namespace: "links"}).Observe(t.Context())
	if f.LinkAPI.Err == nil || len(f.Links.Value) != 100 || f.Linked.Value == nil {
		t.Errorf("the type is %+v, there are %d Links, and linked is %v", f.LinkAPI, len(f.Links.Value), f.Linked.Value)
	}
}

// What the controller takes for absent is told, although the Link is Ready.
func TestAnnotationsThatMeanNothingAreTold(t *testing.T) {
	t.Parallel()
	list := manyLinks()
	list.Items[1].Annotations = map[string]string{v1alpha3.AnnotationGatewayClients: "mash"}
	server := newAPIServer(t, func(r *http.Request) (int, any) {
		if strings.HasSuffix(r.URL.Path, "/links") {
			return http.StatusOK, list
		}
		return 0, nil
	})
	links := server.observer(t, Options{Namespace: "links"}).Observe(t.Context()).Links.Value
	for i, l := range links {
		if told := len(l.Ignored) == 1 && strings.Contains(l.Ignored[0], v1alpha3.AnnotationGatewayClients); told != (i == 1) {
			t.Errorf("of Link %d it is told %q", i, l.Ignored)
		}
	}
	if len(links) != 100 {
		t.Errorf("there are %d Links", len(links))
	}
}

// Pods of one namespace do not stand for those of all.
func TestOtherMirrorsAreNotGuessed(t *testing.T) {
	t.Parallel()
	pods := corev1.PodList{}
	server := newAPIServer(t, func(r *http.Request) (int, any) {
		switch r.URL.Path {
		case "/api/v1/pods":
			return forbidden()
		case "/api/v1/namespaces/links/pods":
			return http.StatusOK, pods
		}
		return 0, nil
	})
	o := server.observer(t, Options{Namespace: "links"})
	if got := o.otherMirrors(t.Context(), "links"); !apierrors.IsForbidden(got.Err) || got.Right.Namespace != "" {
		t.Errorf("what may run elsewhere is %+v", got)
	}
	pods.Items = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Namespace: "links", Name: "controller-east"}}}
	if got := o.otherMirrors(t.Context(), "links"); got.Err != nil || len(got.Value) != 1 {
		t.Errorf("what runs is %+v", got)
	}
}

// INST-13: before an installation it is asked who may make Roles, and what load balancers do here.
func TestBeforeAnInstallation(t *testing.T) {
	t.Parallel()
	server := newAPIServer(t, func(r *http.Request) (int, any) {
		if r.URL.Path == "/api/v1/services" && r.URL.Query().Get("fieldSelector") == "spec.type=LoadBalancer" {
			with := corev1.Service{Status: corev1.ServiceStatus{LoadBalancer: corev1.LoadBalancerStatus{Ingress: []corev1.LoadBalancerIngress{{IP: "203.0.113.1"}}}}}
			return http.StatusOK, corev1.ServiceList{Items: []corev1.Service{{}, with}}
		}
		return 0, nil
	})
	create := check.Right{Verb: "create", Group: "", Resource: "services", Namespace: "somewhere"}
	f := server.observer(t, Options{Namespace: "links", Install: []check.Right{create}}).Observe(t.Context())
	if f.LoadBalancers.Value != (check.LoadBalancers{All: 2, WithAddress: 1}) {
		t.Errorf("load balancers are %+v", f.LoadBalancers)
	}
	if len(f.MayInstall.Value) != 1 || f.MayInstall.Value[0].Namespace != "links" {
		t.Errorf("rights are %+v", f.MayInstall)
	}
	// Every review says no.
	if grants := f.MayGrant.Value; len(grants.Leave) != 4 || len(grants.Held) != len(controllerNeeds("links", nil)) {
		t.Errorf("what may be granted is %+v", f.MayGrant)
	}
}

// A gateway of another installation, such as Linkerd's, is one that Links may lead to.
func TestGatewaysElsewhereAreFound(t *testing.T) {
	t.Parallel()
	server := newAPIServer(t, func(r *http.Request) (int, any) {
		if r.URL.Path == "/api/v1/services" && strings.Contains(r.URL.RawQuery, "linkerd-gateway") {
			gateway := corev1.Service{ObjectMeta: metav1.ObjectMeta{Namespace: "elsewhere", Name: "linkerd-gateway", Annotations: map[string]string{v1alpha3.AnnotationMulticlusterGateway: "true"}}}
			here := *gateway.DeepCopy()
			here.Namespace = "links"
			return http.StatusOK, corev1.ServiceList{Items: []corev1.Service{gateway, here, {}}}
		}
		return 0, nil
	})
	f := server.observer(t, Options{Namespace: "links"}).Observe(t.Context())
	if got := fmt.Sprint(f.OtherGateways.Value); got != "[elsewhere/linkerd-gateway]" {
		t.Errorf("gateways elsewhere are %v: %v", got, f.OtherGateways.Err)
	}
}

// What the fixtures of package check need is told of a certificate.
func TestCertificatesNameTheirComponent(t *testing.T) {
	t.Parallel()
	server := newAPIServer(t, func(r *http.Request) (int, any) {
		if strings.Contains(r.URL.Path, "/secrets/") {
			return notFound()
		}
		return 0, nil
	})
	d := appsv1.Deployment{ObjectMeta: metav1.ObjectMeta{Name: "linkspan-egress", Labels: map[string]string{"app.kubernetes.io/component": "egress"}}}
	d.Spec.Template.Spec.Volumes = []corev1.Volume{{Name: volumeCertificate, VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: "tls"}}}}
	_, certificates := server.observer(t, Options{}).trust(t.Context(), "links", []appsv1.Deployment{d})
	if len(certificates) != 1 || certificates[0].Component != "egress" || !apierrors.IsNotFound(certificates[0].PEM.Err) {
		t.Errorf("certificates are %+v", certificates)
	}
}

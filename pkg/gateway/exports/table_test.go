package exports

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/go-logr/logr/funcr"
	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// changes counts the calls of onChange by Service.
type changes struct {
	mu   sync.Mutex
	seen map[string]int
}

func (c *changes) note(namespace, name string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.seen == nil {
		c.seen = map[string]int{}
	}
	c.seen[namespace+"/"+name]++
}

// take is what was counted since the last call.
func (c *changes) take() map[string]int {
	c.mu.Lock()
	defer c.mu.Unlock()
	seen := c.seen
	c.seen = nil
	return seen
}

// Streams are judged again when, and only when, what Resolve answers can have changed.
func TestChangesAreAnnouncedOnce(t *testing.T) {
	svc := newService(headless(v4))
	es := func(options ...sliceOption) *discoveryv1.EndpointSlice {
		return newSlice(svc, append([]sliceOption{with("10.1.0.1", "web-0"), with("10.1.0.2", "web-1")}, options...)...)
	}
	service := func(options ...serviceOption) func(*Table) {
		return func(table *Table) { table.SetService(newService(append([]serviceOption{headless(v4)}, options...)...)) }
	}
	endpoints := func(options ...sliceOption) func(*Table) {
		return func(table *Table) { table.SetSlice(es(options...)) }
	}
	web := map[string]int{"shop/web": 1}
	cases := map[string]struct {
		change func(*Table)
		want   map[string]int
	}{
		"the same Service again": {service(), nil},
		"a new resourceVersion, status and managed fields": {service(func(svc *corev1.Service) {
			svc.ResourceVersion, svc.Generation = "999", 7
			svc.ManagedFields = []metav1.ManagedFieldsEntry{{Manager: "kubectl"}}
			svc.Status.LoadBalancer.Ingress = []corev1.LoadBalancerIngress{{IP: "192.0.2.1"}}
		}), nil},
		"an annotation and a label that mean nothing here": {service(withAnnotation("a", "b"), withLabel("a", "b")), nil},
		"a selector":   {service(func(svc *corev1.Service) { svc.Spec.Selector = map[string]string{"a": "b"} }), nil},
		"a port added": {service(withPorts(corev1.ServicePort{Name: "http", Port: 80}, corev1.ServicePort{Name: "https", Port: 443})), web},
		"the protocol of its application": {service(func(svc *corev1.Service) {
			svc.Spec.Ports[0].AppProtocol = new("http")
		}), web},
		"a list of clients":                      {service(allowing(webClient)), web},
		"no longer headless":                     {service(withIPs("10.96.0.7")), web},
		"another first family":                   {service(headless(v6, v4)), web},
		"it becomes a mirror":                    {service(withLabel(v1alpha3.LabelMirroredService, "true")), web},
		"it is being deleted":                    {service(beingDeleted()), web},
		"it loses the export label":              {service(withoutLabel(v1alpha3.LabelExported)), web},
		"it is deleted":                          {func(table *Table) { table.DeleteService("shop", "web") }, web},
		"another Service":                        {service(called("shop", "api")), map[string]int{"shop/api": 1}},
		"one that was never exported is deleted": {func(table *Table) { table.DeleteService("shop", "api") }, nil},
		"one that was never exported comes":      {service(called("shop", "api"), withoutLabel(v1alpha3.LabelExported)), nil},
		"a list with the same Service":           {func(table *Table) { table.ReplaceServices([]*corev1.Service{svc}) }, nil},
		"a list without it":                      {func(table *Table) { table.ReplaceServices(nil) }, web},
		"a list with it and another":             {func(table *Table) { table.ReplaceServices([]*corev1.Service{svc, newService(called("shop", "api"))}) }, map[string]int{"shop/api": 1}},
		"the same endpoints again":               {endpoints(), nil},
		"the same endpoints in another order": {func(table *Table) {
			table.SetSlice(newSlice(svc, with("10.1.0.2", "web-1"), with("10.1.0.1", "web-0")))
		}, nil},
		"one more endpoint that is not ready": {endpoints(with("10.1.0.3", "web-2", ready(new(false)))), nil},
		"one more endpoint":                   {endpoints(with("10.1.0.3", "web-2")), web},
		"another hostname": {func(table *Table) {
			table.SetSlice(newSlice(svc, with("10.1.0.1", "web-0"), with("10.1.0.2", "web-9")))
		}, web},
		"the nodes and zones of endpoints": {endpoints(func(es *discoveryv1.EndpointSlice) {
			es.Endpoints[0].NodeName, es.Endpoints[0].Zone = new("n"), new("z")
		}), nil},
		"another port of the endpoints":           {endpoints(withSlicePorts(discoveryv1.EndpointPort{Name: new("http"), Port: new(int32(9090))})), web},
		"the slice loses the export label":        {endpoints(func(es *discoveryv1.EndpointSlice) { delete(es.Labels, v1alpha3.LabelExported) }), web},
		"the slice is deleted":                    {func(table *Table) { table.DeleteSlice("shop", "web-1") }, web},
		"another slice is deleted":                {func(table *Table) { table.DeleteSlice("shop", "web-2") }, nil},
		"a list with the same slice":              {func(table *Table) { table.ReplaceSlices([]*discoveryv1.EndpointSlice{es()}) }, nil},
		"a list without it, one call for a list":  {func(table *Table) { table.ReplaceSlices(nil) }, web},
		"the slice becomes another Service's own": {endpoints(func(es *discoveryv1.EndpointSlice) { es.Labels[discoveryv1.LabelServiceName] = "api" }), map[string]int{"shop/web": 1, "shop/api": 1}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			var seen changes
			table := newTestTable(t, seen.note)
			table.SetService(svc)
			table.SetSlice(es())
			if diff := cmp.Diff(map[string]int{"shop/web": 2}, seen.take()); diff != "" {
				t.Errorf("announced for a new Service and its slice (-want +got):\n%s", diff)
			}
			tc.change(table)
			if diff := cmp.Diff(tc.want, seen.take()); diff != "" {
				t.Errorf("announced (-want +got):\n%s", diff)
			}
		})
	}
}

// A slice that changes its owner, or goes, leaves nothing behind with the old one.
func TestSlicesFollowTheirLabels(t *testing.T) {
	web, api := newService(headless(v4)), newService(headless(v4), called("shop", "api"))
	table := newTestTable(t, nil)
	table.ReplaceServices([]*corev1.Service{web, api})
	expect := func(service string, want ...string) {
		t.Helper()
		got, _ := table.Resolve(whole(service), 80)
		if diff := cmp.Diff(want, texts(got.Addresses)); diff != "" {
			t.Errorf("endpoints of %s (-want +got):\n%s", service, diff)
		}
	}
	table.SetSlice(newSlice(web, with("10.1.0.1", "")))
	expect("web", "10.1.0.1:8080")
	expect("api")
	table.SetSlice(newSlice(web, with("10.1.0.1", ""), with("10.1.0.2", "")))
	expect("web", "10.1.0.1:8080", "10.1.0.2:8080")
	table.SetSlice(newSlice(api, with("10.1.0.1", "")))
	expect("web")
	expect("api", "10.1.0.1:8080")
	table.ReplaceSlices([]*discoveryv1.EndpointSlice{newSlice(web, sliceCalled("other"), with("10.1.0.2", ""))})
	expect("web", "10.1.0.2:8080")
	expect("api")
	table.DeleteSlice("shop", "other")
	expect("web")
	if len(table.slices)+len(table.byService) != 0 {
		t.Errorf("left behind: %v, %v", table.slices, table.byService)
	}
}

// A change is in force before it is announced, and whoever is told may ask at once.
func TestAnnouncedChangesAreInForce(t *testing.T) {
	var table *Table
	var reasons []Reason
	table = newTestTable(t, func(string, string) {
		_, err := table.Resolve(whole("web"), 80)
		reasons = append(reasons, ReasonOf(err))
	})
	table.SetService(newService())
	table.SetService(newService(beingDeleted()))
	table.DeleteService("shop", "web")
	if diff := cmp.Diff([]Reason{"", ReasonNotExported, ReasonNotExported}, reasons); diff != "" {
		t.Errorf("answers during announcements (-want +got):\n%s", diff)
	}
}

// A list is read once per change of it: a bad one fills neither the log nor the processor.
func TestBadListOfClientsIsLoggedOnce(t *testing.T) {
	var lines []string
	var opts Options
	opts.Default()
	log := funcr.New(func(_, args string) { lines = append(lines, args) }, funcr.Options{})
	table, err := NewTable(log, opts, newTestMetrics(), nil)
	if err != nil {
		t.Fatal(err)
	}
	bad := newService(allowing("a b/c"))
	table.SetService(bad)
	for i := range 3 {
		table.SetService(newService(allowing("a b/c"), withAnnotation("try", fmt.Sprint(i))))
		table.ReplaceServices([]*corev1.Service{bad})
	}
	if len(lines) != 1 || !strings.Contains(lines[0], v1alpha3.AnnotationAllowedClients) || !strings.Contains(lines[0], `"shop/web"`) {
		t.Errorf("log = %q, want one line that names the annotation and the Service", lines)
	}
	table.SetService(newService(allowing("another/one")))
	if len(lines) != 2 {
		t.Errorf("log = %q, want a second line for another bad list", lines)
	}
	lines = nil
	table.SetService(newService(ofType(corev1.ServiceTypeExternalName)))
	table.SetService(newService(ofType(corev1.ServiceTypeExternalName), withLabel("a", "b")))
	if len(lines) != 1 || !strings.Contains(lines[0], "ExternalName") {
		t.Errorf("log = %q, want one line about the ExternalName", lines)
	}
}

func TestMetricsFollowTheTable(t *testing.T) {
	reg := prometheus.NewRegistry()
	var opts Options
	opts.Default()
	table, err := NewTable(discard(), opts, NewMetrics(reg), nil)
	if err != nil {
		t.Fatal(err)
	}
	expect := func(exported, invalid int, refused map[string]int) {
		t.Helper()
		want := fmt.Sprintf(`
# HELP linkspan_gateway_exported_services Services of this cluster that can be reached through the gateway.
# TYPE linkspan_gateway_exported_services gauge
linkspan_gateway_exported_services %d
# HELP linkspan_gateway_exports_invalid Exported services whose list of allowed clients cannot be read, so that it allows nobody.
# TYPE linkspan_gateway_exports_invalid gauge
linkspan_gateway_exports_invalid %d
# HELP linkspan_gateway_exports_refused Services that carry the export label and cannot be reached through the gateway, by cause.
# TYPE linkspan_gateway_exports_refused gauge
linkspan_gateway_exports_refused{cause="deleting"} %d
linkspan_gateway_exports_refused{cause="external_name"} %d
linkspan_gateway_exports_refused{cause="mirror"} %d
linkspan_gateway_exports_refused{cause="no_cluster_ip"} %d
linkspan_gateway_exports_refused{cause="no_ports"} %d
`, exported, invalid, refused[causeDeleting], refused[causeExternalName], refused[causeMirror], refused[causeNoClusterIP], refused[causeNoPorts])
		if err := testutil.GatherAndCompare(reg, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	expect(0, 0, nil)
	table.ReplaceServices([]*corev1.Service{
		newService(), newService(called("shop", "bad"), allowing("a b/c")), newService(called("shop", "good"), allowing(webClient)),
		newService(called("shop", "mirror"), withLabel(v1alpha3.LabelMirroredService, "true"), allowing("a b/c")),
		newService(called("shop", "gone"), beingDeleted()), newService(called("shop", "name"), ofType(corev1.ServiceTypeExternalName)),
		newService(called("shop", "portless"), withPorts()), newService(called("shop", "no-ip"), withIPs()),
		newService(called("shop", "private"), withoutLabel(v1alpha3.LabelExported)),
	})
	expect(3, 1, map[string]int{causeDeleting: 1, causeExternalName: 1, causeMirror: 1, causeNoClusterIP: 1, causeNoPorts: 1})
	table.SetService(newService(called("shop", "bad"), allowing(webClient)))
	table.SetService(newService(called("shop", "name")))
	table.DeleteService("shop", "gone")
	expect(4, 0, map[string]int{causeMirror: 1, causeNoClusterIP: 1, causeNoPorts: 1})
	table.ReplaceServices(nil)
	expect(0, 0, nil)
	problems, err := testutil.GatherAndLint(reg)
	if err := errors.Join(err, lintError(problems)); err != nil {
		t.Error(err)
	}
}

func lintError[T any](problems []T) error {
	if len(problems) == 0 {
		return nil
	}
	return fmt.Errorf("metrics: %+v", problems)
}

// The race detector looks on: feeding, asking and being told at the same time.
func TestConcurrentUse(t *testing.T) {
	var table *Table
	table = newTestTable(t, func(namespace, name string) {
		_, _ = table.Resolve(whole(name), 80)
		_ = namespace
	})
	svc := newService(headless(v4), allowing(webClient))
	var group sync.WaitGroup
	group.Go(func() {
		for i := range 300 {
			table.SetService(svc)
			if i%3 == 0 {
				table.ReplaceServices(nil)
			}
		}
		table.SetService(svc)
	})
	group.Go(func() {
		for i := range 300 {
			table.SetSlice(newSlice(svc, with(fmt.Sprintf("10.1.0.%d", i%250+1), "")))
			if i%3 == 0 {
				table.ReplaceSlices(nil)
			}
		}
		table.SetSlice(newSlice(svc, with("10.1.0.1", "")))
	})
	for range 2 {
		group.Go(func() {
			for range 1000 {
				export, err := table.Resolve(whole("web"), 80)
				if err == nil && (len(export.Addresses) != 1 || !export.Allows(webClient) || export.Allows(batClient)) {
					t.Errorf("half an export: %+v", export)
				}
			}
		})
	}
	group.Wait()
	if _, err := table.Resolve(whole("web"), 80); err != nil {
		t.Error(err)
	}
}

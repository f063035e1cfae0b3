package plan_test

import (
	"flag"
	"maps"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	discoveryv1 "k8s.io/api/discovery/v1"
	"k8s.io/apimachinery/pkg/labels"
	corev1ac "k8s.io/client-go/applyconfigurations/core/v1"
	discoveryv1ac "k8s.io/client-go/applyconfigurations/discovery/v1"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// caseIn is the form of testdata/<sentence>.in.yaml; testdata/README.md explains it.
type caseIn struct {
	Link      caseLink                  `json:"link"`
	Service   string                    `json:"service"`
	Namespace plan.NamespaceState       `json:"namespace"`
	Gateway   []map[string]plan.Health  `json:"gateway"`
	Clients   link.Clients              `json:"clients"`
	Egress    caseEgress                `json:"egress"`
	Policy    casePolicy                `json:"policy"`
	Mirrors   int                       `json:"mirrors"`
	Target    plan.RemoteState          `json:"target"`
	Remote    caseObjects               `json:"remote"`
	After     string                    `json:"after"`
	Changes   map[string]map[string]any `json:"changes"`
	Local     caseObjects               `json:"local"`
	Foreign   bool                      `json:"nameTaken"`
}

type caseLink struct {
	Cluster             string       `json:"cluster"`
	Deleting            bool         `json:"deleting"`
	Gateway             *caseGateway `json:"gateway"`
	ExcludedLabels      []string     `json:"excludedLabels"`
	ExcludedAnnotations []string     `json:"excludedAnnotations"`
}

type caseGateway struct {
	Port     uint16 `json:"port"`
	Identity string `json:"identity"`
}

// caseEgress is our own egress; its pods are ready unless they say otherwise.
type caseEgress struct {
	Pods  []casePod        `json:"pods"`
	Ports string           `json:"ports"`
	Lacks plan.EgressLimit `json:"lacks"`
}

type casePod struct {
	IP          string `json:"ip"`
	NotReady    bool   `json:"notReady"`
	Terminating bool   `json:"terminating"`
	Zone        string `json:"zone"`
	Node        string `json:"node"`
}

type casePolicy struct {
	CreateNamespaces  bool     `json:"createNamespaces"`
	OwnNamespace      string   `json:"ownNamespace"`
	AllowedNamespaces []string `json:"allowedNamespaces"`
	ImportNamespaces  []string `json:"importNamespaces"`
	MaxMirrors        int      `json:"maxMirrors"`
	MaxEndpoints      int      `json:"maxEndpoints"`
	LocalNetworks     []string `json:"localNetworks"`
}

type caseObjects struct {
	Service *corev1.Service              `json:"service"`
	Slices  []*discoveryv1.EndpointSlice `json:"slices"`
}

// caseOut is the form of testdata/<sentence>.out.yaml.
type caseOut struct {
	Outcome         caseOutcome                                      `json:"outcome"`
	CreateNamespace string                                           `json:"createNamespace,omitempty"`
	Adopt           *caseAdopt                                       `json:"adopt,omitempty"`
	RemoveSelector  string                                           `json:"removeSelector,omitempty"`
	ApplyService    *corev1ac.ServiceApplyConfiguration              `json:"applyService,omitempty"`
	ApplySlices     []*discoveryv1ac.EndpointSliceApplyConfiguration `json:"applySlices,omitempty"`
	DeleteSlices    []string                                         `json:"deleteSlices,omitempty"`
	DeleteService   string                                           `json:"deleteService,omitempty"`
	Events          []string                                         `json:"events,omitempty"`
}

type caseOutcome struct {
	State   plan.State `json:"state"`
	Mode    link.Mode  `json:"mode,omitempty"`
	Reason  string     `json:"reason,omitempty"`
	Message string     `json:"message,omitempty"`
	Ready   bool       `json:"ready"`
}

type caseAdopt struct {
	Mirror          string `json:"mirror"`
	RemoveEndpoints bool   `json:"removeEndpoints"`
}

var update = flag.Bool("update", false, "rewrite the expected plans in testdata")

const (
	inSuffix  = ".in.yaml"
	outSuffix = ".out.yaml"
)

// TestGolden holds each sentence of the documentation against its example. Run with -update to
// rewrite the expected plans, and read the difference.
func TestGolden(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*"+inSuffix))
	if err != nil || len(files) == 0 {
		t.Fatalf("no cases found: %v", err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), inSuffix)
		t.Run(name, func(t *testing.T) {
			in, c := load(t, name)
			got := c.steps(t, in)
			expected := filepath.Join("testdata", name+outSuffix)
			if *update {
				if err := os.WriteFile(expected, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(expected)
			if err != nil {
				t.Fatalf("no expected plan (-update writes it): %v", err)
			}
			if diff := cmp.Diff(string(want), got); diff != "" {
				t.Errorf("plan differs (-want +got):\n%s", diff)
			}
		})
	}
}

// steps are the plans computed and carried out one after the other until nothing is left to do. The
// last, which is empty, is shown only where it is the first.
func (c *cluster) steps(t *testing.T, in plan.Input) string {
	t.Helper()
	var documents []string
	c.observe = func(p plan.Plan) {
		if p.Empty() && len(documents) > 0 {
			return
		}
		text, err := yaml.Marshal(render(p))
		if err != nil {
			t.Fatal(err)
		}
		documents = append(documents, string(text))
	}
	if err := c.settle(in, maxRounds); err != nil {
		t.Fatalf("carrying out the plan: %v", err)
	}
	return strings.Join(documents, "---\n")
}

// TestGoldenHasNoStrays finds expected plans whose case is gone.
func TestGoldenHasNoStrays(t *testing.T) {
	files, err := filepath.Glob(filepath.Join("testdata", "*"+outSuffix))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if _, err := os.Stat(strings.TrimSuffix(file, outSuffix) + inSuffix); err != nil {
			t.Errorf("%s has no case: %v", file, err)
		}
	}
}

// load reads a case, and settles the case that it comes after.
func load(t *testing.T, name string) (plan.Input, *cluster) {
	t.Helper()
	text, err := yaml.Marshal(fields(t, name))
	if err != nil {
		t.Fatal(err)
	}
	var file caseIn
	if err := yaml.UnmarshalStrict(text, &file); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	c := newCluster(plan.Local{Service: file.Local.Service, Slices: file.Local.Slices})
	if file.After != "" {
		var before plan.Input
		before, c = load(t, file.After)
		if err := c.settle(before, maxRounds); err != nil {
			t.Fatalf("%s: %v", file.After, err)
		}
	}
	c.change(t, file.Changes)
	in := file.input(t)
	c.nameTaken = file.Foreign
	in.Local = c.local()
	c.namespaceExists = in.LocalNamespace != plan.NamespaceMissing
	return in, c
}

// fields are those of a case over those of the case that it comes after, whose local objects are not
// taken over but made, by settling it.
func fields(t *testing.T, name string) map[string]any {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+inSuffix))
	if err != nil {
		t.Fatal(err)
	}
	var own map[string]any
	if err := yaml.Unmarshal(text, &own); err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	after, ok := own["after"].(string)
	if !ok {
		return own
	}
	all := fields(t, after)
	for _, key := range []string{"local", "changes", "after"} {
		delete(all, key)
	}
	merge(all, own)
	return all
}

func (file caseIn) input(t *testing.T) plan.Input {
	t.Helper()
	namespace, name, ok := strings.Cut(file.Service, "/")
	if !ok {
		t.Fatalf("service: %q is not namespace/name", file.Service)
	}
	in := plan.Input{
		Link: link.Link{
			Name: link.Name(file.Link.Cluster), Namespace: "linkerd-multicluster", Cluster: file.Link.Cluster,
			Domain: link.DefaultClusterDomain, Deleting: file.Link.Deleting,
			Exported:            labels.SelectorFromSet(labels.Set{v1alpha3.LabelExported: v1alpha3.ExportedGateway}),
			RemoteDiscovery:     labels.SelectorFromSet(labels.Set{v1alpha3.LabelExported: v1alpha3.ExportedRemoteDiscovery}),
			ExcludedLabels:      link.NewKeyFilter(file.Link.ExcludedLabels),
			ExcludedAnnotations: link.NewKeyFilter(file.Link.ExcludedAnnotations),
		},
		Namespace: namespace, Name: name, LocalNamespace: file.Namespace, Mirrors: file.Mirrors,
		Remote: plan.Remote{State: file.Target, Service: file.Remote.Service, Slices: file.Remote.Slices},
		Policy: plan.Policy{
			CreateNamespaces: file.Policy.CreateNamespaces, OwnNamespaces: []string{file.Policy.OwnNamespace},
			AllowedNamespaces: file.Policy.AllowedNamespaces, ImportNamespaces: file.Policy.ImportNamespaces,
			MaxMirrors: file.Policy.MaxMirrors, MaxEndpoints: file.Policy.MaxEndpoints,
		},
	}
	in.Clients, in.Egress = file.Clients, file.Egress.input()
	if in.LocalNamespace == "" {
		in.LocalNamespace = plan.NamespaceActive
	}
	if in.Remote.State == "" {
		in.Remote.State = plan.Present
	}
	if g := file.Link.Gateway; g != nil {
		in.Link.Gateway = &link.Gateway{Addresses: []string{"gateway.example"}, Port: g.Port, Identity: g.Identity}
	}
	for _, network := range file.Policy.LocalNetworks {
		in.Policy.LocalNetworks = append(in.Policy.LocalNetworks, netip.MustParsePrefix(network))
	}
	for _, entry := range file.Gateway {
		for ip, health := range entry {
			in.Gateway = append(in.Gateway, plan.GatewayAddress{IP: netip.MustParseAddr(ip), Health: health})
		}
	}
	return in
}

func (c caseEgress) input() plan.Egress {
	egress := plan.Egress{Service: "linkerd-multicluster/linkspan-egress", Ports: plan.ParseEgressPorts(c.Ports), Lacks: c.Lacks}
	for _, pod := range c.Pods {
		// A pod that ends is not ready and still serves.
		egress.Pods = append(egress.Pods, plan.EgressPod{
			IP: netip.MustParseAddr(pod.IP), Ready: !pod.NotReady && !pod.Terminating, Serving: !pod.NotReady, Terminating: pod.Terminating,
			Zone: pod.Zone, Node: pod.Node,
		})
	}
	return egress
}

// change applies a JSON merge patch to each object named; null deletes the object.
func (c *cluster) change(t *testing.T, changes map[string]map[string]any) {
	t.Helper()
	for name, patch := range changes {
		switch slice, ok := c.slices[name]; {
		case ok && patch == nil:
			delete(c.slices, name)
		case ok:
			c.slices[name] = patched(t, slice, patch)
		case c.service != nil && c.service.Name == name:
			c.service = patched(t, c.service, patch)
		default:
			t.Fatalf("changes: there is no %s, only %v", name, slices.Sorted(maps.Keys(c.slices)))
		}
	}
}

func patched[T any](t *testing.T, object *T, patch map[string]any) *T {
	t.Helper()
	text, err := yaml.Marshal(object)
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := yaml.Unmarshal(text, &fields); err != nil {
		t.Fatal(err)
	}
	merge(fields, patch)
	if text, err = yaml.Marshal(fields); err != nil {
		t.Fatal(err)
	}
	result := new(T)
	if err := yaml.UnmarshalStrict(text, result); err != nil {
		t.Fatalf("changes: %v", err)
	}
	return result
}

func merge(into, patch map[string]any) {
	for key, value := range patch {
		below, isMap := value.(map[string]any)
		existing, hasMap := into[key].(map[string]any)
		switch {
		case value == nil:
			delete(into, key)
		case isMap && hasMap:
			merge(existing, below)
		default:
			into[key] = value
		}
	}
}

func render(p plan.Plan) caseOut {
	out := caseOut{
		Outcome:         caseOutcome(p.Outcome),
		CreateNamespace: p.CreateNamespace,
		ApplyService:    p.Service,
		ApplySlices:     p.Slices,
	}
	ref := func(r plan.Ref) string { return r.Namespace + "/" + r.Name + " with UID " + string(r.UID) }
	for _, r := range p.DeleteSlices {
		out.DeleteSlices = append(out.DeleteSlices, ref(r))
	}
	if p.Unselect != nil {
		out.RemoveSelector = ref(*p.Unselect)
	}
	if p.DeleteService != nil {
		out.DeleteService = ref(*p.DeleteService)
	}
	if p.Adopt != nil {
		out.Adopt = &caseAdopt{Mirror: ref(p.Adopt.Mirror), RemoveEndpoints: p.Adopt.RemoveEndpoints}
	}
	for _, e := range p.Events {
		kind := "Normal"
		if e.Warning {
			kind = "Warning"
		}
		out.Events = append(out.Events, kind+" "+e.Reason+": "+e.Message)
	}
	return out
}

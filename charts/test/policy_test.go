package test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// TestProxyAsGateway wants the pod and the Service to be what Linkerd's proxies, and those who link, expect of a gateway
// (GW-*), and nothing that is not needed: no certificate, no account's token, no rights, and no egress.
func TestProxyAsGateway(t *testing.T) {
	all := rendered(t, readValues(t, "testdata/proxy.values.yaml"))
	template := into[appsv1.Deployment](t, find(t, all, "Deployment", "linkerd-gateway")).Spec.Template
	if diff := cmp.Diff(map[string]string{
		"linkerd.io/inject":                                      "enabled",
		"config.linkerd.io/enable-gateway":                       "true",
		"config.linkerd.io/proxy-require-identity-inbound-ports": "4143",
		"config.linkerd.io/default-inbound-policy":               "all-authenticated",
		"config.alpha.linkerd.io/proxy-wait-before-exit-seconds": "5",
		"config.linkerd.io/proxy-cpu-request":                    "100m",
		"config.linkerd.io/proxy-memory-request":                 "64Mi",
		"config.linkerd.io/proxy-memory-limit":                   "256Mi",
	}, template.Annotations); diff != "" {
		t.Errorf("annotations of the pods:\n%s", diff)
	}
	container := template.Spec.Containers[0]
	if !slices.Equal(container.Args, []string{"idle", "--drain-delay=5s"}) || len(container.Ports) > 0 {
		t.Errorf("the container does %q, with ports %v", container.Args, container.Ports)
	}
	// HA-7: only a proxy answers there, so a pod without one is sent nothing.
	if probe := container.ReadinessProbe; probe == nil || probe.HTTPGet == nil || probe.HTTPGet.Path != "/ready" || probe.HTTPGet.Port.IntValue() != 4191 {
		t.Errorf("the readiness of the pod is %v, want that of its proxy", probe)
	}
	// Bytes without a suffix are a number to Helm, and must not become one with an exponent (also of a whole gigabyte).
	bytes := rendered(t, readValues(t, "testdata/proxy.values.yaml"), parse(t, "gateway: {ingress: {resources: {requests: {cpu: 0.5, memory: 268435456}, limits: {cpu: 2, memory: 1000000000}}}}"))
	annotations := into[appsv1.Deployment](t, find(t, bytes, "Deployment", "linkerd-gateway")).Spec.Template.Annotations
	for resource, want := range map[string]string{"cpu-request": "0.5", "memory-request": "268435456", "cpu-limit": "2", "memory-limit": "1000000000"} {
		if got := annotations["config.linkerd.io/proxy-"+resource]; got != want {
			t.Errorf("%s of the proxy is %s, want %s", resource, got, want)
		}
	}
	if *template.Spec.AutomountServiceAccountToken || template.Spec.ServiceAccountName != "linkerd-gateway" || len(template.Spec.Volumes) > 0 {
		t.Errorf("the pod has a token, another account or volumes: %v", template.Spec)
	}
	if may := granted(t, all, "linkerd-gateway"); len(may.Everywhere)+len(may.AtHome) > 0 {
		t.Errorf("the gateway may %v", may)
	}
	service := into[corev1.Service](t, find(t, all, "Service", "linkerd-gateway"))
	if got, want := service.Annotations[v1alpha3.AnnotationGatewayIdentity], "linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.east.example.org"; got != want {
		t.Errorf("identity is %s, want %s", got, want)
	}
	for _, port := range service.Spec.Ports {
		if want := map[string]int32{v1alpha3.PortNameGateway: 4143, v1alpha3.PortNameProbe: 4191}[port.Name]; port.TargetPort.IntVal != want {
			t.Errorf("%s leads to %v, want %d, which is the proxy's", port.Name, port.TargetPort, want)
		}
	}
	for _, m := range all {
		if m.GetKind() == "Certificate" || strings.Contains(m.GetName(), "egress") {
			t.Errorf("%s %s is rendered", m.GetKind(), m.GetName())
		}
	}
}

// linkerdPolicy has the fields of Linkerd's types that are in use, as its CRDs declare them.
type linkerdPolicy struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata"`

	Spec struct {
		AccessPolicy  string                `json:"accessPolicy"`
		PodSelector   *metav1.LabelSelector `json:"podSelector"`
		Port          string                `json:"port"`
		ProxyProtocol string                `json:"proxyProtocol"`
		TargetRef     *policyRef            `json:"targetRef"`
		Required      []policyRef           `json:"requiredAuthenticationRefs"`
		Identities    []string              `json:"identities"`
		Networks      []struct {
			CIDR string `json:"cidr"`
		} `json:"networks"`
	} `json:"spec"`
}

type policyRef struct {
	Group string `json:"group"`
	Kind  string `json:"kind"`
	Name  string `json:"name"`
}

// linkerdIdentity is what Linkerd's CRD takes in a MeshTLSAuthentication.
var linkerdIdentity = regexp.MustCompile(`^(\*|[a-z0-9]([-a-z0-9]*[a-z0-9])?)(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$`)

// letIn says who may reach each Server: all that one policy asks for at once is joined by "and".
func letIn(t *testing.T, all []manifest) map[string][]string {
	t.Helper()
	policies := map[policyRef]*linkerdPolicy{}
	for _, m := range all {
		if m.GroupVersionKind().Group == "policy.linkerd.io" {
			p := new(linkerdPolicy)
			if err := yaml.UnmarshalStrict(m.text, p); err != nil {
				t.Fatalf("%s %s: %v", m.GetKind(), m.GetName(), err)
			}
			policies[policyRef{"policy.linkerd.io", m.GetKind(), m.GetName()}] = p
		}
	}
	in := map[string][]string{}
	for ref, p := range policies {
		switch ref.Kind {
		case "Server":
			if p.Spec.AccessPolicy != "deny" {
				t.Errorf("Server %s lets in whom nothing names", ref.Name)
			}
			in[serverOf(t, all, p)] = append(in[serverOf(t, all, p)], []string{}...)
		case "AuthorizationPolicy":
			server := policies[*p.Spec.TargetRef]
			if server == nil || len(p.Spec.Required) == 0 {
				t.Errorf("AuthorizationPolicy %s is of no Server, or asks for nothing", ref.Name)
				continue
			}
			var who []string
			for _, required := range p.Spec.Required {
				authentication := policies[required]
				if authentication == nil {
					t.Errorf("AuthorizationPolicy %s asks for %v, which there is not", ref.Name, required)
					continue
				}
				for _, identity := range authentication.Spec.Identities {
					if !linkerdIdentity.MatchString(identity) {
						t.Errorf("%s: Linkerd's type takes no identity %q", required.Name, identity)
					}
				}
				who = append(who, authentication.Spec.Identities...)
				for _, network := range authentication.Spec.Networks {
					who = append(who, network.CIDR)
				}
			}
			in[serverOf(t, all, server)] = append(in[serverOf(t, all, server)], strings.Join(who, " and "))
		}
	}
	for _, who := range in {
		slices.Sort(who)
	}
	return in
}

// serverOf names the workload and the port of a Server, which must select the pods of one.
func serverOf(t *testing.T, all []manifest, server *linkerdPolicy) string {
	t.Helper()
	var found []string
	for _, d := range deployments(t, all) {
		if labels.SelectorFromSet(server.Spec.PodSelector.MatchLabels).Matches(labels.Set(d.Spec.Template.Labels)) {
			found = append(found, d.Name+" "+server.Spec.Port)
		}
	}
	if len(found) != 1 {
		t.Fatalf("Server %s selects the pods of %q", server.Name, found)
	}
	return found[0]
}

// TestLinkerdPolicies says who gets in: whom values name, and nobody where they name nobody (POL-1, POL-4, POL-5, POL-7,
// POL-8, POL-10, LESSON-36). Of the gateway's clients both identity and network are asked for. No routes are attached,
// so that Linkerd goes on letting probes in (POL-9).
func TestLinkerdPolicies(t *testing.T) {
	const prometheus = "prometheus.linkerd-viz.serviceaccount.identity.linkerd.east.example.org"
	for example, want := range map[string]map[string][]string{
		"proxy": {
			"linkspan admin-http":           {"10.1.2.0/24", prometheus},
			"linkerd-gateway linkerd-admin": {"10.1.2.0/24", "198.51.100.0/24", prometheus},
			"linkerd-gateway linkerd-proxy": {"*.shop.serviceaccount.identity.linkerd.west.example.org and 198.51.100.0/24"},
		},
		"closed": {"linkspan admin-http": nil, "linkerd-gateway linkerd-admin": nil, "linkerd-gateway linkerd-proxy": nil},
		// Our own ingress and egress have no proxy that would enforce anything.
		"everything": {"linkspan admin-http": {"10.1.2.0/24", "prometheus.monitoring.serviceaccount.identity.linkerd.east.example.org"}},
		"source":     {},
	} {
		t.Run(example, func(t *testing.T) {
			got := letIn(t, rendered(t, readValues(t, "testdata/"+example+".values.yaml")))
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
	for what, without := range map[string]string{"clients": "gateway: {ingress: {allowedClients: []}}", "networks": "policy: {clientNetworks: []}"} {
		if who := letIn(t, rendered(t, readValues(t, "testdata/proxy.values.yaml"), parse(t, without)))["linkerd-gateway linkerd-proxy"]; len(who) > 0 {
			t.Errorf("without %s, %q may call", what, who)
		}
	}
}

// flows lists what NetworkPolicies let through, as "workload from|to peer protocol/port".
func flows(t *testing.T, all []manifest) []string {
	t.Helper()
	var found []string
	for _, m := range all {
		if m.GetKind() != "NetworkPolicy" {
			continue
		}
		policy := into[networkingv1.NetworkPolicy](t, m)
		if !equality.Semantic.DeepEqual(policy.Spec.PolicyTypes, []networkingv1.PolicyType{"Ingress", "Egress"}) {
			t.Errorf("%s is for %v alone", m.GetName(), policy.Spec.PolicyTypes)
		}
		for _, rule := range policy.Spec.Ingress {
			found = append(found, through(t, m.GetName()+" from ", rule.From, rule.Ports)...)
		}
		for _, rule := range policy.Spec.Egress {
			found = append(found, through(t, m.GetName()+" to ", rule.To, rule.Ports)...)
		}
	}
	slices.Sort(found)
	return found
}

func through(t *testing.T, way string, peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort) []string {
	t.Helper()
	if len(peers) == 0 {
		t.Errorf("%s everybody", way)
	}
	if len(ports) == 0 {
		ports = []networkingv1.NetworkPolicyPort{{}}
	}
	var found []string
	for _, peer := range peers {
		var who []string
		if peer.IPBlock != nil {
			who = append(who, peer.IPBlock.CIDR)
		}
		if peer.NamespaceSelector != nil {
			who = append(who, "namespaces:"+selected(peer.NamespaceSelector))
		}
		if peer.PodSelector != nil {
			who = append(who, "pods:"+selected(peer.PodSelector))
		}
		for _, port := range ports {
			text := "any port"
			if port.Port != nil {
				text = fmt.Sprintf("%s/%s", *port.Protocol, port.Port)
			}
			if port.EndPort != nil {
				text += fmt.Sprintf("-%d", *port.EndPort)
			}
			found = append(found, way+strings.Join(who, "+")+" "+text)
		}
	}
	return found
}

func selected(s *metav1.LabelSelector) string {
	if len(s.MatchLabels) == 0 {
		return "all"
	}
	return strings.Join(slices.Sorted(maps.Values(s.MatchLabels)), ",")
}

// TestNetworkPolicies compares what gets through with the flows that the product has (INST-12). Metrics are for
// Prometheus, not for those who probe the gateway from outside.
func TestNetworkPolicies(t *testing.T) {
	const (
		prometheus = "namespaces:monitoring+pods:prometheus"
		apps       = "namespaces:all+pods:yes"
	)
	got := flows(t, rendered(t, readValues(t, "testdata/everything.values.yaml")))
	var want []string
	for workload, ways := range map[string][]string{
		"linkspan": {
			"from " + prometheus + " TCP/9999", "from 10.1.2.0/24 TCP/9999", "from 192.0.2.0/26 TCP/9999",
			"from " + prometheus + " TCP/4143", "from 10.1.2.0/24 TCP/4143", "from 192.0.2.0/26 TCP/4143", // by its proxy
			"to 203.0.113.0/24 TCP/9443",                                                                                         // API servers of other clusters
			"to 203.0.113.0/24 TCP/5143", "to 203.0.113.0/24 TCP/5191", "to 2001:db8::/32 TCP/5143", "to 2001:db8::/32 TCP/5191", // their gateways
		},
		"linkspan-ingress": {
			"from 198.51.100.0/24 TCP/4143",
			"from 198.51.100.0/24 TCP/4192", "from 192.0.2.0/24 TCP/4192",
			"from " + prometheus + " TCP/4191", "from 10.1.2.0/24 TCP/4191", "from 192.0.2.0/26 TCP/4191",
			"to " + apps + " any port",
		},
		"linkspan-egress": {
			"from namespaces:elsewhere TCP/30000-39999",
			"from " + prometheus + " TCP/4191", "from 10.1.2.0/24 TCP/4191", "from 192.0.2.0/26 TCP/4191",
			"to 203.0.113.0/24 TCP/5143", "to 203.0.113.0/24 TCP/5191", "to 2001:db8::/32 TCP/5143", "to 2001:db8::/32 TCP/5191",
		},
	} {
		for _, way := range append(ways,
			"to 10.96.0.1/32 TCP/443", "to 10.96.0.1/32 TCP/8443", "to 192.0.2.6/32 TCP/443", "to 192.0.2.6/32 TCP/8443", // its own API server
			"to 169.254.20.10/32 UDP/53", "to 169.254.20.10/32 TCP/53", "to 169.254.20.10/32 UDP/5353", "to 169.254.20.10/32 TCP/5353",
			"to namespaces:linkerd-system any port",
		) {
			want = append(want, workload+" "+way)
		}
	}
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}

	// Who scrapes a meshed controller with a proxy of his own may come by the proxy's port.
	meshed := parse(t, "{gateway: {enabled: false}, policy: {prometheusNetworks: [10.1.2.0/24], network: {enabled: true, meshed: true, apiServer: {networks: [10.96.0.1/32]}, remoteAPIServers: {networks: [192.0.2.10/32]}}}}")
	from := slices.DeleteFunc(flows(t, rendered(t, meshed)), func(flow string) bool { return !strings.HasPrefix(flow, "linkspan from ") })
	if diff := cmp.Diff([]string{"linkspan from 10.1.2.0/24 TCP/4143", "linkspan from 10.1.2.0/24 TCP/9999"}, from); diff != "" {
		t.Errorf("metrics of a meshed controller:\n%s", diff)
	}

	closed := []string{
		"linkerd-gateway to namespaces:all any port", "linkerd-gateway to namespaces:kube-system TCP/53",
		"linkerd-gateway to namespaces:kube-system UDP/53", "linkerd-gateway to namespaces:linkerd any port",
		"linkspan to 10.96.0.1/32 TCP/443", "linkspan to 10.96.0.1/32 TCP/6443", "linkspan to 192.0.2.10/32 TCP/443",
		"linkspan to 192.0.2.10/32 TCP/6443", "linkspan to 203.0.113.0/24 TCP/4143", "linkspan to 203.0.113.0/24 TCP/4191", "linkspan to namespaces:kube-system TCP/53", "linkspan to namespaces:kube-system UDP/53",
	}
	if diff := cmp.Diff(closed, flows(t, rendered(t, readValues(t, "testdata/closed.values.yaml")))); diff != "" {
		t.Errorf("when nobody is named:\n%s", diff)
	}
}

// TestReleaseWithoutPolicies renders what --reuse-values gives when the release before knew no policies at all (UPG-3): the
// controller is held all the same.
func TestReleaseWithoutPolicies(t *testing.T) {
	without := parse(t, "{policy: null, links: null, controller: {admissionPolicy: null, importNamespaces: null}}")
	for _, example := range []string{"ha", "source", "target", "pod-to-pod"} {
		all := rendered(t, readValues(t, "testdata/"+example+".values.yaml"), without)
		if example != "target" {
			find(t, all, "ValidatingAdmissionPolicyBinding", "linkspan."+namespace)
		}
	}
}

// TestEgressPortsAreReserved wants the egress's connections to have ports of their own, and enough of them in a row, by a sysctl
// that a kubelet and the level baseline allow without being told to.
func TestEgressPortsAreReserved(t *testing.T) {
	sysctls := func(given ...values) []corev1.Sysctl {
		egress := find(t, rendered(t, append([]values{readValues(t, "testdata/source.values.yaml")}, given...)...), "Deployment", "linkspan-egress")
		return into[appsv1.Deployment](t, egress).Spec.Template.Spec.SecurityContext.Sysctls
	}
	between := func(text string) corev1.Sysctl {
		return corev1.Sysctl{Name: "net.ipv4.ip_local_port_range", Value: text}
	}
	for given, want := range map[string][]corev1.Sysctl{
		"{}":                                       {between("5000 19999")},
		"controller: {egressPorts: 40000-40999}":   {between("5000 39999")},
		"controller: {egressPorts: 6000-30000}":    {between("30001 65535")},
		"controller: {egressPorts: 1024-64535}":    {between("64536 65535")},
		"controller: {egressPorts: 6000-65535}":    {between("5000 5999")},
		"controller: {egressPorts: 1024-2047}":     {between("5000 65535")},
		"gateway: {egress: {reservePorts: false}}": nil,
		// What the user sets for all pods is beside ours, and wins over ours of the same name.
		"podSecurityContext: {sysctls: [{name: net.ipv4.tcp_syncookies, value: '1'}]}": {
			between("5000 19999"), {Name: "net.ipv4.tcp_syncookies", Value: "1"},
		},
		"podSecurityContext: {sysctls: [{name: net.ipv4.ip_local_port_range, value: 2000 65535}]}": {between("2000 65535")},
	} {
		if diff := cmp.Diff(want, sysctls(parse(t, given))); diff != "" {
			t.Errorf("%s:\n%s", given, diff)
		}
	}
}

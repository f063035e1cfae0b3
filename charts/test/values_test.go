package test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/charts/test/reference"
)

// at gives what is at a path, nil for nothing.
func at(v values, path []string) any {
	for _, key := range path[:len(path)-1] {
		inner, ok := v[key].(map[string]any)
		if !ok {
			return nil
		}
		v = inner
	}
	return v[path[len(path)-1]]
}

// only are values with nothing but one path.
func only(path []string, value any) values {
	for _, key := range slices.Backward(path) {
		value = map[string]any{key: value}
	}
	v, _ := value.(map[string]any)
	return v
}

// TestEveryValueIsUsed changes each value alone: something else must be rendered, or refused by a template. A value
// that nothing reads would be believed to work.
func TestEveryValueIsUsed(t *testing.T) {
	c := load(t, mainChart)
	base := readValues(t, "testdata/everything.values.yaml")
	want, err := render(c, base)
	if err != nil {
		t.Fatal(err)
	}
	// Of these the example has the default, or what cannot go together with its other values.
	other := map[string]any{
		"gateway.ingress.service.type":               "ClusterIP",
		"gateway.trustAnchors.configMap.key":         "other",
		"gateway.mode":                               "proxy",
		"gateway.egress.enabled":                     false,
		"controller.importNamespaces":                []any{"shop"},
		"gateway.trustAnchors.inline":                "more",
		"gateway.trustAnchors.configMap.name":        "more",
		"gateway.ingress.certificate.secretName":     "given",
		"image.digests.mirror":                       "sha256:" + strings.Repeat("1", 64),
		"controller.probeTLS.certificate.secretName": "given",
	}
	with := map[string]values{
		// Read only where what wins over it is not set.
		"identityTrustDomain":                parse(t, "gateway: {egress: {certificate: {identity: ''}}}"),
		"clusterDomain":                      parse(t, "gateway: {egress: {certificate: {identity: ''}}}"),
		"linkerdNamespace":                   parse(t, "gateway: {egress: {certificate: {identity: ''}}}"),
		"gateway.trustAnchors.configMap.key": parse(t, "gateway: {trustAnchors: {secret: {name: ''}, configMap: {name: a}}}"),
		"controller.importNamespaces":        parse(t, "controller: {createNamespaces: false}"),
		"gateway.ingress.replicas":           parse(t, "gateway: {ingress: {autoscaling: {enabled: false}}}"),
		"gateway.egress.replicas":            parse(t, "gateway: {egress: {autoscaling: {enabled: false}}}"),
	}
	for _, e := range entries(t, mainChart) {
		if e.Group {
			continue
		}
		t.Run(e.String(), func(t *testing.T) {
			before, changed := want, e.Default
			given := at(base, e.Path)
			switch value, special := other[e.String()]; {
			case special:
				changed = value
			case given != nil && !same(given, e.Default):
			default:
				is, ok := e.Default.(bool)
				if !ok {
					t.Fatal("testdata/everything.values.yaml has no other value than the default")
				}
				changed = !is
			}
			if more := with[e.String()]; more != nil {
				if before, err = render(c, base, more); err != nil {
					t.Fatal(err)
				}
			}
			after, err := render(c, base, with[e.String()], replaced(e, changed))
			switch {
			case err != nil && strings.HasPrefix(err.Error(), "values:"):
				t.Fatal(err)
			case err == nil && maps.Equal(before, after):
				t.Errorf("%v renders the same as %v", changed, given)
			}
		})
	}
}

// replaced is a value in place of what was given. Helm merges maps, so what the example adds is taken away by null.
func replaced(e reference.Entry, value any) values {
	if _, ok := value.(map[string]any); ok {
		return only(e.Path, nil)
	}
	return only(e.Path, value)
}

func same(a, b any) bool { return fmt.Sprint(a) == fmt.Sprint(b) }

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// TestSchema wants the schema to know the values of values.yaml and no others, and to be closed at every level where
// they have names of ours (INST-9).
func TestSchema(t *testing.T) {
	var s schema
	if err := json.Unmarshal([]byte(readFile(t, mainChart+"/values.schema.json")), &s); err != nil {
		t.Fatal(err)
	}
	var v values
	if err := yaml.Unmarshal([]byte(readFile(t, mainChart+"/values.yaml")), &v); err != nil {
		t.Fatal(err)
	}
	delete(s.Properties, "global") // Helm's own
	s.check(t, s.Defs, v)
}

type schema struct {
	Ref        string             `json:"$ref"`
	Defs       map[string]*schema `json:"$defs"`
	Properties map[string]*schema `json:"properties"`
	// Additional is a schema, or false for none.
	Additional json.RawMessage `json:"additionalProperties"`
}

func (s *schema) check(t *testing.T, defs map[string]*schema, v values, above ...string) {
	t.Helper()
	where := strings.Join(above, ".")
	if string(s.Additional) != "false" {
		t.Errorf("%s: unknown keys are not refused", where)
	}
	for key := range s.Properties {
		if _, ok := v[key]; !ok {
			t.Errorf("%s.%s is in the schema, and not in values.yaml", where, key)
		}
	}
	for key, value := range v {
		known := s.Properties[key]
		if known == nil {
			t.Errorf("%s.%s is in values.yaml, and not in the schema", where, key)
			continue
		}
		if known.Ref != "" {
			known = defs[strings.TrimPrefix(known.Ref, "#/$defs/")]
		}
		if inner, ok := value.(map[string]any); ok && known.Properties != nil {
			known.check(t, defs, inner, append(slices.Clone(above), key)...)
		}
	}
}

// TestRefused gives values that cannot work, and wants to be told which (CERT-13, INST-9, INST-12).
func TestRefused(t *testing.T) {
	for name, c := range map[string]struct{ values, want string }{
		"nothing given": {"", "linkspan-ingress needs a certificate: set gateway.ingress.certificate.secretName to a Secret of type kubernetes.io/tls, " +
			"or gateway.certManager.issuerRef.name to an issuer of cert-manager; or set gateway.ingress.enabled=false if this cluster exports nothing through a gateway"},
		"no certificate of the ingress": {"gateway: {egress: {enabled: false}}", "set gateway.ingress.certificate.secretName"},
		"no certificate for probes": {"{gateway: {enabled: false}, controller: {probeTLS: {enabled: true}}}",
			"set controller.probeTLS.certificate.secretName"},
		"no anchors": {"gateway: {certManager: {issuerRef: {name: i}}}",
			"set gateway.trustAnchors.configMap.name, gateway.trustAnchors.secret.name or gateway.trustAnchors.inline"},
		"two sources of anchors": {"gateway: {certManager: {issuerRef: {name: i}}, trustAnchors: {inline: x, secret: {name: s}}}",
			"secret.name and inline are set, and only one can be"},
		"the key of an anchor": {"gateway: {certManager: {issuerRef: {name: i}}, trustAnchors: {inline: '-----BEGIN EC PRIVATE KEY-----'}}",
			"gateway.trustAnchors.inline holds a private key"},
		"the key of an anchor that nothing uses": {"gateway: {enabled: false, trustAnchors: {inline: '-----BEGIN EC PRIVATE KEY-----'}}",
			"gateway.trustAnchors.inline holds a private key"},
		"the key of an anchor beside another source": {"gateway: {certManager: {issuerRef: {name: i}}, trustAnchors: {secret: {name: s}, inline: '-----BEGIN PRIVATE KEY-----'}}",
			"gateway.trustAnchors.inline holds a private key"},
		"Links, and nobody to mirror":     {"{gateway: {enabled: false}, controller: {enabled: false}, links: [{name: east}]}", "Clear links, or enable the controller"},
		"ports backwards":                 {"{gateway: {enabled: false}, controller: {egressPorts: 30000-20000}}", "controller.egressPorts is 30000-20000, must be two ports from 1024 to 65535"},
		"ports of the system":             {"{gateway: {enabled: false}, controller: {egressPorts: 1000-30000}}", "controller.egressPorts is 1000-30000"},
		"ports beyond the last":           {"{gateway: {enabled: false}, controller: {egressPorts: 30000-65536}}", "controller.egressPorts is 30000-65536"},
		"a Service's name with a dot":     {"gateway: {ingress: {service: {name: a.b}}}", "at '/gateway/ingress/service/name'"},
		"one that begins with a digit":    {"gateway: {egress: {service: {name: 1a}}}", "at '/gateway/egress/service/name'"},
		"one port for two":                {"{gateway: {enabled: false, ingress: {service: {probePort: 4143}}}}", "port and probePort are both 4143"},
		"a lease too short":               {"{gateway: {enabled: false}, controller: {leaseDuration: 2s500ms}}", "controller.leaseDuration is 2s500ms, must be at least 3s"},
		"a lease just long enough":        {"{gateway: {enabled: false}, controller: {leaseDuration: 0.05m}}", ""},
		"certificates renewed too late":   {"{gateway: {enabled: false, certManager: {duration: 1h30m, renewBefore: 90m}}}", "gateway.certManager.renewBefore is 90m, must be shorter than gateway.certManager.duration, 1h30m"},
		"more pods at least than at most": {"{gateway: {enabled: false, egress: {autoscaling: {enabled: true, minReplicas: 7}}}}", "gateway.egress.autoscaling: minReplicas is 7, and maxReplicas less, 6"},
		"one port":                        {"{gateway: {enabled: false}, controller: {egressPorts: 65535-65535}}", ""},
		"mode that is none":               {"gateway: {mode: istio}", "at '/gateway/mode'"},
		"proxy with a certificate":        {"gateway: {mode: proxy, ingress: {allowedClients: ['*'], certificate: {identity: a.example.org}}}", "clear secretName and identity"},
		"proxy in a dry run":              {"gateway: {mode: proxy, ingress: {allowedClients: ['*'], allowedClientsDryRun: true}}", "gateway.ingress.allowedClientsDryRun is set"},
		"proxy that nothing holds":        {"gateway: {mode: proxy}", "set policy.linkerd.enabled=true to hold it to gateway.ingress.allowedClients, or gateway.ingress.allowedClients={*}"},
		"proxy, and a list in vain":       {"gateway: {mode: proxy, ingress: {allowedClients: [a.example.org]}}", "set policy.linkerd.enabled=true"},
		"proxy that all may use":          {"gateway: {mode: proxy, ingress: {allowedClients: ['*']}}", ""},
		"proxy for others alone":          {"gateway: {mode: proxy, ingress: {enabled: false}}", ""},
		"proxy and an egress":             {"gateway: {mode: proxy, ingress: {allowedClients: ['*']}, egress: {enabled: true}}", "set gateway.egress.certificate.secretName"},
		"an API server out of reach":      {"{gateway: {enabled: false}, policy: {network: {enabled: true}}}", "policy.network.remoteAPIServers.networks"},
		"its own API server":              {"{gateway: {enabled: false}, policy: {network: {enabled: true, remoteAPIServers: {networks: [192.0.2.1/32]}}}}", "policy.network.apiServer.networks"},
		"gateways out of reach":           {"{controller: {enabled: false}, gateway: {trustAnchors: {configMap: {name: a}}, certManager: {issuerRef: {name: i}}, ingress: {enabled: false}}, policy: {network: {enabled: true, apiServer: {networks: [192.0.2.1/32]}}}}", "policy.network.gateways.networks"},
		"gateways that are not probed":    {"{gateway: {egress: {enabled: false}, ingress: {enabled: false}}, policy: {network: {enabled: true, apiServer: {networks: [192.0.2.1/32]}, remoteAPIServers: {networks: [192.0.2.1/32]}}}}", "set policy.network.gateways.networks"},
		"not probed, with a proxy":        {"{gateway: {mode: proxy, ingress: {allowedClients: ['*']}}, policy: {network: {enabled: true, apiServer: {networks: [192.0.2.1/32]}, remoteAPIServers: {networks: [192.0.2.1/32]}}}}", "set policy.network.gateways.networks"},
		"not probed, for the mesh":        {"{gateway: {enabled: false}, controller: {gatewayClients: mesh}, policy: {network: {enabled: true, apiServer: {networks: [192.0.2.1/32]}, remoteAPIServers: {networks: [192.0.2.1/32]}}}}", "set policy.network.gateways.networks"},
		"not probed, of a Link":           {"{gateway: {enabled: false}, links: [{name: east, spec: {gatewayAddress: 192.0.2.2}}], policy: {network: {enabled: true, apiServer: {networks: [192.0.2.1/32]}, remoteAPIServers: {networks: [192.0.2.1/32]}}}}", "set policy.network.gateways.networks"},
		"none to probe, pod to pod":       {"{gateway: {enabled: false}, links: [{name: east}], policy: {network: {enabled: true, apiServer: {networks: [192.0.2.1/32]}, remoteAPIServers: {networks: [192.0.2.1/32]}}}}", ""},
		"none to probe, nobody to do it":  {"{controller: {enabled: false}, gateway: {mode: proxy, ingress: {allowedClients: ['*']}}, policy: {network: {enabled: true}}}", ""},
		"an account without a name":       {"{gateway: {enabled: false}, controller: {serviceAccount: {create: false}}}", "set controller.serviceAccount.name"},
		"a gateway's, with a proxy":       {"gateway: {mode: proxy, ingress: {allowedClients: ['*'], serviceAccount: {create: false}}}", "set gateway.ingress.serviceAccount.name"},
		"the egress's":                    {"gateway: {trustAnchors: {configMap: {name: a}}, certManager: {issuerRef: {name: i}}, egress: {serviceAccount: {create: false}}}", "set gateway.egress.serviceAccount.name"},
		"an account of a name":            {"{gateway: {enabled: false}, controller: {serviceAccount: {create: false, name: linkspan}}}", ""},
		"an account that nothing has":     {"gateway: {enabled: false, ingress: {serviceAccount: {create: false}}}", ""},
		"a health check of all nodes":     {"gateway: {mode: proxy, ingress: {allowedClients: ['*'], service: {healthCheckNodePort: 30999}}}", "set gateway.ingress.service.externalTrafficPolicy=Local, or clear gateway.ingress.service.healthCheckNodePort"},
		"a health check of some":          {"gateway: {mode: proxy, ingress: {allowedClients: ['*'], service: {healthCheckNodePort: 30999, externalTrafficPolicy: Local}}}", ""},
		"a health check of none":          {"gateway: {mode: proxy, ingress: {allowedClients: ['*'], service: {healthCheckNodePort: 30999, type: NodePort}}}", ""},
		"no port for the egress":          {"{controller: {egressPorts: 5000-65000}, gateway: {trustAnchors: {configMap: {name: a}}, certManager: {issuerRef: {name: i}}}}", "leaves 535 ports in a row for the egress's own connections"},
		"a Link without a name":           {"links: [{spec: {gatewayPort: '4143'}}]", "missing property 'name'"},
		"a Link's field mistyped":         {"links: [{name: east, spec: {gatewayAdress: a}}]", "additional properties 'gatewayAdress' not allowed"},
		"a Link's port as a number":       {"links: [{name: east, spec: {gatewayPort: 4143}}]", "at '/links/0/spec/gatewayPort'"},
		"some namespaces, and new":        {"{gateway: {enabled: false}, controller: {createNamespaces: true, importNamespaces: [shop]}}", "exclude each other"},
		"a peer that is everybody":        {"policy: {network: {clients: [{}]}}", "at '/policy/network/clients/0'"},
		"a network that is none":          {"policy: {clientNetworks: [example.org]}", "at '/policy/clientNetworks/0'"},
		"unknown key":                     {"controler: {enabled: false}", "additional properties 'controler' not allowed"},
		"unknown threshold":               {"monitoring: {prometheusRule: {thresholds: {backlogs: 1}}}", "additional properties 'backlogs' not allowed"},
		"beyond what is measured":         {"monitoring: {prometheusRule: {thresholds: {propagationSeconds: 90}}}", "at '/monitoring/prometheusRule/thresholds/propagationSeconds'"},
		"no label":                        {"monitoring: {prometheusRule: {groupBy: ['a) or (b']}}", "at '/monitoring/prometheusRule/groupBy/0'"},
		"unknown key inside":              {"gateway: {ingress: {service: {loadBalancerClas: x}}}", "additional properties 'loadBalancerClas' not allowed"},
		"number as a word":                {"controller: {replicas: three}", "at '/controller/replicas'"},
		"unknown choice":                  {"controller: {gatewayClients: none}", "at '/controller/gatewayClients'"},
		"no digest":                       {"image: {digests: {mirror: latest}}", "at '/image/digests/mirror'"},
		"an argument that is no flag":     {"controller: {extraArgs: [unlink]}", "at '/controller/extraArgs/0'"},
		"two wildcards":                   {"gateway: {ingress: {allowedClients: ['*.*.example.org']}}", "at '/gateway/ingress/allowedClients/0'"},
		"autoscaling":                     {"gateway: {trustAnchors: {configMap: {name: a}}, certManager: {issuerRef: {name: i}}, ingress: {autoscaling: {enabled: true}}}", "set gateway.ingress.resources.requests.cpu"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := render(load(t, mainChart), parse(t, c.values))
			switch {
			case c.want == "":
				if err != nil {
					t.Error(err)
				}
			case err == nil:
				t.Errorf("accepted, want %q", c.want)
			case !strings.Contains(err.Error(), c.want):
				t.Errorf("refused with\n%v\nwant %q", err, c.want)
			}
		})
	}
	if _, err := render(load(t, crdsChart), parse(t, "enabled: true")); err == nil {
		t.Error("linkspan-crds accepts values, and has none")
	}
}

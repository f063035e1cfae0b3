package v1alpha3_test

import (
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/linkspan/linkspan/test/rig"
)

// linkgen is a spec as Linkerd's link-gen writes it today.
const linkgen = `
clusterCredentialsSecret: cluster-credentials-east
federatedServiceSelector: {matchLabels: {mirror.linkerd.io/federated: member}}
gatewayAddress: 203.0.113.7
gatewayIdentity: linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local
gatewayPort: "4143"
probeSpec: {path: /ready, period: 3s, port: "4191"}
remoteDiscoverySelector: {matchLabels: {mirror.linkerd.io/exported: remote-discovery}}
selector: {matchLabels: {mirror.linkerd.io/exported: "true"}}
targetClusterDomain: cluster.local
targetClusterLinkerdNamespace: linkerd
targetClusterName: east
`

// linkNoGateway is what older versions of Linkerd's link write for --gateway=false.
const linkNoGateway = `
clusterCredentialsSecret: cluster-credentials-east
gatewayAddress: ""
gatewayIdentity: ""
gatewayPort: "0"
probeSpec: {failureThreshold: "0", path: "", period: 0s, port: "0", timeout: 0s}
remoteDiscoverySelector: {matchLabels: {mirror.linkerd.io/exported: remote-discovery}}
selector: {}
targetClusterDomain: cluster.local
targetClusterLinkerdNamespace: linkerd
targetClusterName: east
`

// linkObject is linkgen with some fields of the spec replaced; null removes one.
func linkObject(t *testing.T, namespace, version, base, change string) *unstructured.Unstructured {
	t.Helper()
	var spec, changes map[string]any
	if err := yaml.Unmarshal([]byte(base), &spec); err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal([]byte(change), &changes); err != nil {
		t.Fatal(err)
	}
	for field, value := range changes {
		if value == nil {
			delete(spec, field)
			continue
		}
		spec[field] = value
	}
	obj := &unstructured.Unstructured{Object: map[string]any{"spec": spec, "status": map[string]any{}}}
	obj.SetAPIVersion("multicluster.linkerd.io/" + version)
	obj.SetKind("Link")
	obj.SetNamespace(namespace)
	obj.SetGenerateName("l-")
	return obj
}

// addresses is a list of the longest addresses that there are.
func addresses(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("2001:db8:ffff:ffff:ffff:ffff:ffff:%x", 0x1000+i)
	}
	return strings.Join(list, ",")
}

// LINK-5: what Linkerd's own commands write is accepted in every version.
func TestLinkAccepted(t *testing.T) {
	cluster := rig.Shared(t, 1)[0]
	namespace := cluster.Namespace(t)
	cases := map[string]struct{ base, change string }{
		"link-gen":                   {linkgen, ""},
		"link-gen --gateway=false":   {linkgen, "{gatewayAddress: null, gatewayIdentity: null, gatewayPort: null, probeSpec: {}, selector: null}"},
		"link --gateway=false":       {linkNoGateway, ""},
		"link, with all of probe":    {linkgen, "{probeSpec: {failureThreshold: '3', path: /ready, period: 1m30s, port: '4191', timeout: 30s}}"},
		"period as bare seconds":     {linkgen, "{probeSpec: {path: /ready, period: '3', port: '4191'}}"},
		"duration with a fraction":   {linkgen, "{probeSpec: {path: /ready, period: 1.5s, port: '4191', timeout: 100000µs}}"},
		"bounds of the period":       {linkgen, "{probeSpec: {period: 24h, timeout: 100ms}}"},
		"bounds in bare seconds":     {linkgen, "{probeSpec: {period: '86400', timeout: '1'}}"},
		"32 long IPv6 addresses":     {linkgen, "{gatewayAddress: '" + addresses(32) + "'}"},
		"4096 characters":            {linkgen, "{gatewayAddress: '" + strings.Repeat("a.", 2047) + "ab'}"},
		"several addresses":          {linkgen, "{gatewayAddress: '203.0.113.7, gw.example.com,2001:db8::1 ,A_b.example.,::ffff:203.0.113.8'}"},
		"names, and a path":          {linkgen, "{targetClusterDomain: '', gatewayIdentity: ' a.b ', probeSpec: {path: '/a?b=%20#ü'}}"},
		"empty gateway":              {linkgen, "{gatewayAddress: '', gatewayPort: '', probeSpec: {}}"},
		"no probe":                   {linkgen, "{probeSpec: null}"},
		"excluded keys":              {linkgen, "{excludedAnnotations: [a, b.example/*], excludedLabels: []}"},
		"selectors with expressions": {linkgen, "{selector: {matchExpressions: [{key: a, operator: NotIn, values: [b]}, {key: c, operator: Exists}]}}"},
		"only what is required":      {"{targetClusterName: east, clusterCredentialsSecret: s}", ""},
		"63 characters":              {linkgen, "{targetClusterName: " + strings.Repeat("a", 63) + "}"},
	}
	for _, version := range []string{"v1alpha1", "v1alpha2", "v1alpha3"} {
		for name, tc := range cases {
			t.Run(version+"/"+name, func(t *testing.T) {
				obj := linkObject(t, namespace, version, tc.base, tc.change)
				if err := cluster.Client().Create(t.Context(), obj); err != nil {
					t.Fatalf("refused: %v", err)
				}
			})
		}
	}
}

// LINK-5, LESSON-19, LESSON-55: what cannot work is refused, and the message names the field.
func TestLinkRefused(t *testing.T) {
	cluster := rig.Shared(t, 1)[0]
	namespace := cluster.Namespace(t)
	cases := map[string]struct{ change, want string }{
		"no cluster name":            {"{targetClusterName: null}", "spec.targetClusterName"},
		"empty cluster name":         {"{targetClusterName: ''}", "spec.targetClusterName"},
		"LESSON-19: dotted":          {"{targetClusterName: east.example}", "spec.targetClusterName"},
		"upper case":                 {"{targetClusterName: East}", "spec.targetClusterName"},
		"64 characters":              {"{targetClusterName: " + strings.Repeat("a", 64) + "}", "spec.targetClusterName"},
		"no credentials":             {"{clusterCredentialsSecret: null}", "spec.clusterCredentialsSecret"},
		"gateway without port":       {"{gatewayPort: null}", "spec.gatewayPort"},
		"port 0":                     {"{gatewayPort: '0'}", "spec.gatewayPort"},
		"port 65536":                 {"{gatewayPort: '65536'}", "spec.gatewayPort"},
		"port by name":               {"{gatewayPort: mc-gateway}", "spec.gatewayPort"},
		"port as a number":           {"{gatewayPort: 4143}", "spec.gatewayPort"},
		"address with port":          {"{gatewayAddress: '203.0.113.7:4143'}", "spec.gatewayAddress"},
		"address with scheme":        {"{gatewayAddress: 'https://gw'}", "spec.gatewayAddress"},
		"name with port":             {"{gatewayAddress: 'gw.example:4143'}", "spec.gatewayAddress"},
		"mistyped IP":                {"{gatewayAddress: 'gw.example, 203.0.113.777'}", "spec.gatewayAddress"},
		"name that ends in a number": {"{gatewayAddress: 'gw.example, gw.7'}", "spec.gatewayAddress"},
		"4097 characters":            {"{gatewayAddress: '" + strings.Repeat("a.", 2048) + "a'}", "spec.gatewayAddress"},
		"domain":                     {"{targetClusterDomain: cluster_local}", "spec.targetClusterDomain"},
		"namespace with a dot":       {"{targetClusterLinkerdNamespace: a.b}", "spec.targetClusterLinkerdNamespace"},
		"Secret elsewhere":           {"{clusterCredentialsSecret: ns/name}", "spec.clusterCredentialsSecret"},
		"identity":                   {"{gatewayIdentity: not a name}", "spec.gatewayIdentity"},
		"path without a slash":       {"{probeSpec: {path: ready}}", "spec.probeSpec.path"},
		"path with a space":          {"{probeSpec: {path: '/re ady'}}", "spec.probeSpec.path"},
		"path of two lines":          {"{probeSpec: {path: \"/a\\nb\"}}", "spec.probeSpec.path"},
		"probe port":                 {"{probeSpec: {port: '70000'}}", "spec.probeSpec.port"},
		"probe port 0":               {"{probeSpec: {port: '0'}}", "spec.probeSpec.port"},
		"period":                     {"{probeSpec: {period: 3 seconds}}", "spec.probeSpec.period"},
		"negative period":            {"{probeSpec: {period: '-3s'}}", "spec.probeSpec.period"},
		"period 0":                   {"{probeSpec: {period: 0s}}", "spec.probeSpec.period"},
		"timeout":                    {"{probeSpec: {timeout: x}}", "spec.probeSpec.timeout"},
		"period under the minimum":   {"{probeSpec: {period: 99ms}}", "spec.probeSpec.period"},
		"period of 1ns":              {"{probeSpec: {period: 1ns}}", "spec.probeSpec.period"},
		"period over the maximum":    {"{probeSpec: {period: 24h1s}}", "spec.probeSpec.period"},
		"bare seconds over it":       {"{probeSpec: {period: '86401'}}", "spec.probeSpec.period"},
		"period beyond all numbers":  {"{probeSpec: {period: '99999999999999999999999999999'}}", "spec.probeSpec.period"},
		"hours beyond all numbers":   {"{probeSpec: {period: 9999999999999h}}", "spec.probeSpec.period"},
		"timeout under the minimum":  {"{probeSpec: {timeout: 100µs}}", "spec.probeSpec.timeout"},
		"timeout 0":                  {"{probeSpec: {timeout: '0'}}", "spec.probeSpec.timeout"},
		"threshold":                  {"{probeSpec: {failureThreshold: '0'}}", "spec.probeSpec.failureThreshold"},
		"LESSON-55: operator":        {"{selector: {matchExpressions: [{key: a, operator: Like}]}}", "spec.selector.matchExpressions[0].operator"},
		"LESSON-55: discovery":       {"{remoteDiscoverySelector: {matchExpressions: [{key: a, operator: '='}]}}", "spec.remoteDiscoverySelector.matchExpressions[0].operator"},
		"LESSON-55: federated label": {"{federatedServiceSelector: {matchLabels: {a: 1}}}", "spec.federatedServiceSelector.matchLabels.a"},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			err := cluster.Client().Create(t.Context(), linkObject(t, namespace, "v1alpha3", linkgen, tc.change))
			if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %v; want it refused as invalid, naming %s", err, tc.want)
			}
		})
	}
	t.Run("no spec", func(t *testing.T) {
		obj := linkObject(t, namespace, "v1alpha3", linkgen, "")
		delete(obj.Object, "spec")
		err := cluster.Client().Create(t.Context(), obj)
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec is required") {
			t.Errorf("got %v; want it refused, saying that spec is required", err)
		}
	})
}

// The mirrors of a Link carry its cluster's name: with another they would have no owner.
func TestClusterNameCannotBeChanged(t *testing.T) {
	cluster := rig.Shared(t, 1)[0]
	namespace := cluster.Namespace(t)
	for _, version := range []string{"v1alpha1", "v1alpha2", "v1alpha3"} {
		obj := linkObject(t, namespace, version, linkgen, "")
		if err := cluster.Client().Create(t.Context(), obj); err != nil {
			t.Fatal(err)
		}
		set := func(path ...string) error {
			changed := obj.DeepCopy()
			if err := unstructured.SetNestedField(changed.Object, "west", path...); err != nil {
				t.Fatal(err)
			}
			return cluster.Client().Update(t.Context(), changed)
		}
		err := set("spec", "targetClusterName")
		if !apierrors.IsInvalid(err) || !strings.Contains(err.Error(), "spec.targetClusterName") || !strings.Contains(err.Error(), "make a new Link instead") {
			t.Errorf("%s: got %v; want it refused as invalid, saying what to do", version, err)
		}
		if err := set("spec", "gatewayIdentity"); err != nil {
			t.Errorf("%s: another edit is refused: %v", version, err)
		}
	}
}

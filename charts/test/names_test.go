package test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// named has every value that is a name of the user's choice, each of them WORD.
var named = []string{`
image: {pullSecrets: [WORD]}
commonLabels: {team: WORD}
linkerdNamespace: WORD
controller:
  importNamespaces: [WORD]
  allowNamespaces: [WORD]
  priorityClassName: WORD
  nodeSelector: {disk: WORD}
  podAnnotations: {note: WORD}
  serviceAccount: {name: WORD}
  probeTLS: {enabled: true, certificate: {secretName: WORD, identity: WORD}}
gateway:
  trustAnchors: {configMap: {name: WORD, key: WORD}}
  certManager: {issuerRef: {name: WORD, kind: WORD, group: WORD}}
  ingress:
    allowedClients: [WORD]
    serviceAccount: {name: WORD}
    priorityClassName: WORD
    service: {loadBalancerClass: WORD, labels: {edge: WORD}}
  egress:
    priorityClassName: WORD
    certificate: {secretName: WORD}
remoteAccess: {accounts: [{name: WORD}]}
links: [{name: WORD, kubeconfig: "{}"}]
policy: {prometheusIdentities: [WORD], linkerd: {enabled: true}}
monitoring: {podMonitor: {enabled: true, labels: {release: WORD}}, dashboard: {enabled: true, labels: {folder: WORD}}}
`, `
gateway:
  trustAnchors: {secret: {name: WORD, key: WORD}}
  certManager: {issuerRef: {name: given}}
  ingress: {certificate: {secretName: WORD, identity: WORD}}
links: [{name: WORD, kubeconfig: "{}", spec: {clusterCredentialsSecret: WORD}}]
`, `
gateway:
  mode: proxy
  ingress: {allowedClients: [WORD], serviceAccount: {name: WORD}}
policy: {clientNetworks: [192.0.2.0/24], linkerd: {enabled: true}}
`}

// TestNamesThatLookLikeOthers gives names that YAML could take for numbers and the like: nothing may change but the name.
func TestNamesThatLookLikeOthers(t *testing.T) {
	const word = "word"
	objects := func(t *testing.T, text, name string) string {
		t.Helper()
		files, err := renderIn(name, load(t, mainChart), parse(t, strings.ReplaceAll(text, "WORD", "'"+name+"'")))
		if err != nil {
			t.Fatal(err)
		}
		all := manifests(t, files)
		for i := range all {
			all[i].text = nil
		}
		slices.SortFunc(all, func(a, b manifest) int {
			return strings.Compare(a.file+a.GetKind()+strings.ReplaceAll(a.GetName(), name, word), b.file+b.GetKind()+strings.ReplaceAll(b.GetName(), name, word))
		})
		var out strings.Builder
		for _, m := range all {
			fmt.Fprintf(&out, "%#v\n", m.Object)
		}
		return out.String()
	}
	for i, text := range named {
		for _, name := range []string{"10101", "1e3", "0x1f", "true", "no", "null"} {
			t.Run(fmt.Sprintf("%d %s", i, name), func(t *testing.T) {
				want := strings.ReplaceAll(objects(t, text, word), word, name)
				if diff := cmp.Diff(lines(want), lines(objects(t, text, name))); diff != "" {
					t.Errorf("-%q +%q:\n%s", word, name, diff)
				}
			})
		}
	}
}

func lines(text string) []string { return strings.Split(text, ", ") }

// TestTwoReleases wants releases in two namespaces to have no object in common: uninstalling one must leave the other.
func TestTwoReleases(t *testing.T) {
	everywhere := func(namespace string) []string {
		files, err := renderIn(namespace, load(t, mainChart), readValues(t, "testdata/everything.values.yaml"))
		if err != nil {
			t.Fatal(err)
		}
		var found []string
		for _, m := range manifests(t, files) {
			if m.GetNamespace() != namespace {
				found = append(found, m.GetKind()+" "+m.GetNamespace()+"/"+m.GetName())
			}
		}
		return found
	}
	one, other := everywhere("one"), everywhere("other")
	if len(one) == 0 {
		t.Fatal("the example has no objects of the cluster")
	}
	for _, object := range one {
		if slices.Contains(other, object) {
			t.Errorf("%s belongs to both", object)
		}
	}
}

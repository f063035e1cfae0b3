package test

import (
	"slices"
	"strings"
	"testing"
)

// cutOff has NetworkPolicies that know all but what the cases of a test say.
const cutOff = "policy: {network: {enabled: true, apiServer: {networks: [10.96.0.1/32]}, remoteAPIServers: {networks: [192.0.2.10/32]}}}"

// TestNotes wants whoever installs to be told what is left to do, and of what works nothing (INST-5, CHK-11, POL-10, POL-11).
func TestNotes(t *testing.T) {
	const (
		noProbed  = "policy.network.gateways.networks"
		noClients = "policy.clientNetworks"
		noProbes  = "policy.probeNetworks"
		namespace = "kubectl label namespace linkerd-multicluster linkerd.io/extension=linkspan"
		inject    = "kubectl annotate namespace linkerd-multicluster linkerd.io/inject=enabled config.linkerd.io/proxy-await=enabled"
		meshed    = "policy.network.meshed=true"
		check     = "mirror check --namespace linkerd-multicluster"
		inbound   = "config.linkerd.io/default-inbound-policy"
	)
	all := []string{noProbed, noClients, noProbes, namespace, inject, meshed, check, inbound}
	for name, c := range map[string]struct {
		example, values string
		want            []string
	}{
		"pod to pod":                    {example: "pod-to-pod", want: []string{namespace, inject, check}},
		"policies pod to pod":           {example: "pod-to-pod", values: cutOff, want: []string{noProbed, namespace, inject, meshed, check}},
		"policies, all named":           {example: "everything", want: []string{namespace, inject, check}},
		"policies, nobody named":        {example: "closed", want: []string{noClients, noProbes, namespace, inject, meshed, check, inbound}},
		"policies, clients alone named": {example: "everything", values: "policy: {probeNetworks: []}", want: []string{noProbes, namespace, inject, check}},
		"policies, probes alone named":  {example: "everything", values: "policy: {clientNetworks: []}", want: []string{noClients, namespace, inject, check}},
		// Linkerd's own setting for probes may do.
		"policies of Linkerd alone": {example: "proxy", values: "policy: {probeNetworks: []}", want: []string{namespace, inject, check, inbound}},
		// Of the ingress there is nothing to inject.
		"the ingress alone": {example: "target", values: cutOff, want: []string{noClients, noProbes, namespace, check}},
	} {
		t.Run(name, func(t *testing.T) {
			given := []values{readValues(t, "testdata/"+c.example+".values.yaml")}
			if c.values != "" {
				given = append(given, parse(t, c.values))
			}
			files, err := render(load(t, mainChart), given...)
			if err != nil {
				t.Fatal(err)
			}
			for _, text := range all {
				wanted := slices.Contains(c.want, text)
				if got := strings.Contains(files[notesFile], text); got != wanted {
					t.Errorf("%q is said: %t, want %t:\n%s", text, got, wanted, files[notesFile])
				}
			}
		})
	}
}

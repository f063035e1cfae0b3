package ingress

import (
	"fmt"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	corev1 "k8s.io/api/core/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/gateway/exports"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// Codes of refusals, as the lane protocol has them.
const (
	codeNotExported = 2
	codeDenied      = 3
	codeFull        = 4
	codeUnreachable = 5
)

// exportAll exports one Service of each kind that must not lead anywhere.
func exportAll(g *gateway) {
	g.table.SetService(service("shop", "echo", echoIP, func(svc *corev1.Service) {
		svc.Spec.Ports = append(svc.Spec.Ports, corev1.ServicePort{Name: "dns", Port: 53, Protocol: corev1.ProtocolUDP})
	}))
	g.table.SetService(service("shop", "private", "10.96.0.9", func(svc *corev1.Service) { svc.Labels = nil }))
	g.table.SetService(service("shop", "mirror-east", "10.96.0.10", func(svc *corev1.Service) {
		svc.Labels[v1alpha3.LabelMirroredService] = "true"
	}))
	g.table.SetService(service("shop", "alias", "", func(svc *corev1.Service) {
		svc.Spec.Type, svc.Spec.ClusterIPs, svc.Spec.ExternalName = corev1.ServiceTypeExternalName, nil, "example.com"
	}))
	g.table.SetService(service("shop", "local", "127.0.0.1"))
	g.exportPods()
	g.serveEcho()
}

// GW-2, LESSON-36: what is not an exported Service's port is refused, logged and counted. POL-12.
func TestOnlyPortsOfExportedServicesAreReached(t *testing.T) {
	t.Parallel()
	cases := []struct {
		name, target string
		port         int
		reason       string
		code         uint32
	}{
		{"a Service that does not exist", "nothing.shop.svc.cluster.local", 80, "not_exported", codeNotExported},
		{"a Service that is not exported", "private.shop.svc.cluster.local", 80, "not_exported", codeNotExported},
		{"a mirror", "mirror-east.shop.svc.cluster.local", 80, "not_exported", codeNotExported},
		{"the same name elsewhere", "echo.other.svc.cluster.local", 80, "not_exported", codeNotExported},
		{"a port that it does not have", echoName, 8080, "no_such_port", codeNotExported},
		{"a UDP port", echoName, 53, "protocol", codeNotExported},
		{"an ExternalName", "alias.shop.svc.cluster.local", 80, "unsupported", codeNotExported},
		{"a Service on this host", "local.shop.svc.cluster.local", 80, "unsupported", codeNotExported},
		{"a hostname of a Service with a cluster IP", "pod-0." + echoName, 80, "unsupported", codeNotExported},
		{"a headless Service without endpoints", podsName, 80, "no_endpoints", codeUnreachable},
		{"a hostname that no endpoint has", "pod-7." + podsName, 80, "no_endpoints", codeUnreachable},
	}
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{}, exportAll)
		config := g.credentials(webClient)
		for i, c := range cases {
			w.expectRefused(t, g.open(w, config, c.target, c.port, opaque), c.code)
			line := g.expectEnd(i+1, stream.Refused, c.reason)
			if !strings.HasSuffix(line.Target, fmt.Sprintf(":%d", c.port)) || line.Client != webClient {
				t.Errorf("%s: the access log says %+v", c.name, line)
			}
		}
		if asked := g.network.asked(); len(asked) > 0 {
			t.Errorf("dialed %q", asked)
		}
		if !strings.Contains(g.log.text(), "Stream was refused") {
			t.Error("the log says nothing")
		}
	})
}

// Nothing from the wire ever becomes an address by itself: names that some part of a system would take for
// another name, or for an address.
func TestANameThatIsNotWrittenAsKubernetesWritesItLeadsNowhere(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{}, exportAll)
	config := g.credentials(webClient)
	names := []string{
		"", ".", "..", "echo", "echo.shop", "echo.shop.svc", "echo.shop.svc.", "echo.shop.svc.cluster", "svc.cluster.local", ".svc.cluster.local",
		"echo.shop.svc.cluster.local.", ".echo.shop.svc.cluster.local", "echo..shop.svc.cluster.local", "echo.shop..svc.cluster.local",
		"Echo.shop.svc.cluster.local", "ECHO.SHOP.SVC.CLUSTER.LOCAL", "echo.shop.SVC.cluster.local",
		"echo.shop.svc.cluster.local.evil.com", "evil.com", "localhost", "echo.shop.svc.cluster.locale", "xecho.shop.svc.cluster.local.svc.example.com",
		"127.0.0.1", "10.96.0.7", "[::1]", "::1", "0x7f000001", "10.96.0.7.svc.cluster.local",
		"echo.shop.svc.cluster.local:80", "echo.shop.svc.cluster.local:443", "user@echo.shop.svc.cluster.local", "http://echo.shop.svc.cluster.local/",
		" echo.shop.svc.cluster.local", "echo.shop.svc.cluster.local ", "echo.shop.svc.cluster.local\n", "echo.shop.svc.cluster.local\x00",
		"echo\x00.shop.svc.cluster.local", "echo/../private.shop.svc.cluster.local", "shop/echo", "../echo.shop.svc.cluster.local",
		"echo%2eshop.svc.cluster.local", "echo。shop.svc.cluster.local", "еcho.shop.svc.cluster.local", "ec\u212Ao.shop.svc.cluster.local",
		"*.shop.svc.cluster.local", "echo.*.svc.cluster.local", "-echo.shop.svc.cluster.local", "echo-.shop.svc.cluster.local", "_echo.shop.svc.cluster.local",
		"a.pod-0.echo.shop.svc.cluster.local", "echo.shop.svc.svc.cluster.local", "echo.shop.pod.cluster.local",
		strings.Repeat("a", 64) + ".shop.svc.cluster.local", strings.Repeat("a.", 120) + "shop.svc.cluster.local",
	}
	session := newSession(t, g.secure(config, alpnMux))
	for i, name := range names {
		s := openMux(t, session, header(name, 80, opaque))
		ways()[2].expectRefused(t, s, codeNotExported)
		line := g.expectStreams(i + 1)
		if line.Result != string(stream.Refused) || line.Reason != "target" && line.Reason != "domain" && line.Reason != "not_exported" {
			t.Errorf("%q: the stream was %s (%s)", name, line.Result, line.Reason)
		}
		if line.Target == "shop/echo:80" {
			t.Errorf("%q was taken for the Service", name)
		}
		if len(line.Target) > 300 || strings.ContainsFunc(line.Target, func(r rune) bool { return r < ' ' }) {
			t.Errorf("%q was logged as %q", name, line.Target)
		}
	}
	if asked := g.network.asked(); len(asked) > 0 {
		t.Errorf("dialed %q", asked)
	}
}

func TestBeforeTheExportsAreKnownNothingIsReached(t *testing.T) {
	t.Parallel()
	g := startGateway(t, Options{}, func(g *gateway) {
		g.server.judge.exported = g.newTable(exports.NewMetrics(prometheus.NewRegistry()))
	})
	w := ways()[1]
	w.expectRefused(t, g.openEcho(w, g.credentials(webClient)), codeNotExported)
	g.expectEnd(1, stream.Refused, "not_synced")
}

// The issue: an allow-list of client identities, exact or with a leading *.; deny is logged and counted. POL-13.
func TestAnAllowListSaysWhoMayCall(t *testing.T) {
	t.Parallel()
	const shop = "*.shop.serviceaccount.identity.linkerd.cluster.local"
	for _, c := range []struct {
		name           string
		allow, service string // the gateway's list and the Service's, empty for none
		webIn, batIn   bool
		reason         string
	}{
		{"without lists everybody may", "", "", true, true, ""},
		{"an exact identity", webClient, "", true, false, stream.ReasonClientNotAllowed},
		{"a leading star", shop, "", true, false, stream.ReasonClientNotAllowed},
		{"a Service's list", "", webClient, true, false, stream.ReasonExportNotAllowed},
		{"a Service's list widens nothing", webClient, "*", true, false, stream.ReasonClientNotAllowed},
		{"both lists", shop, shop, true, false, stream.ReasonClientNotAllowed},
		{"a Service's list that cannot be read", "", "web..shop", false, false, stream.ReasonExportNotAllowed},
		{"a Service's list of nobody", "", ",", false, false, stream.ReasonExportNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			eachWay(t, func(t *testing.T, w way) {
				var o Options
				if c.allow != "" {
					o.AllowClients = []string{c.allow}
				}
				g := startGateway(t, o)
				g.serveEcho()
				if c.service != "" {
					g.table.SetService(service("shop", "echo", echoIP, allowing(c.service)))
				}
				ended := 0
				for client, in := range map[string]bool{webClient: c.webIn, batClient: c.batIn} {
					ended++
					s := g.openEcho(w, g.credentials(client))
					if in {
						say(t, s, "hello")
						finish(t, s)
						g.expectEnd(ended, stream.Done, "")
						continue
					}
					w.expectRefused(t, s, codeDenied)
					if line := g.expectEnd(ended, stream.Denied, c.reason); line.Client != client || line.Target != "shop/echo:80" {
						t.Errorf("the access log says %+v", line)
					}
					if text := g.log.text(); !strings.Contains(text, "Stream was denied") || !strings.Contains(text, client) || !strings.Contains(text, c.reason) {
						t.Errorf("the log says %s", text)
					}
				}
			})
		})
	}
}

// A client that may call nothing learns nothing: whatever it asks for, it gets the same answer.
func TestWhoIsNotAdmittedLearnsNothingOfWhatIsExported(t *testing.T) {
	t.Parallel()
	eachWay(t, func(t *testing.T, w way) {
		g := startGateway(t, Options{AllowClients: []string{webClient}}, exportAll)
		config := g.credentials(batClient)
		for i, target := range []struct {
			name string
			port int
		}{
			{echoName, 80}, {echoName, 81}, {"nothing.shop.svc.cluster.local", 80}, {"private.shop.svc.cluster.local", 80},
			{podsName, 80}, {"echo.shop.svc.example.com", 80}, {"not a name", 80}, {"", 80},
		} {
			w.expectRefused(t, g.open(w, config, target.name, target.port, opaque), codeDenied)
			g.expectEnd(i+1, stream.Denied, stream.ReasonClientNotAllowed)
		}
	})
}

// POL-14: tighten step by step.
func TestADryRunLetsPassAndTells(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ name, allow, service, reason string }{
		{"of the gateway's list", webClient, "", stream.ReasonClientNotAllowed},
		{"of the Service's list", "", webClient, stream.ReasonExportNotAllowed},
		{"of both", webClient, webClient, stream.ReasonClientNotAllowed},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			o := Options{DryRun: true}
			if c.allow != "" {
				o.AllowClients = []string{c.allow}
			}
			g := startGateway(t, o)
			g.serveEcho()
			if c.service != "" {
				g.table.SetService(service("shop", "echo", echoIP, allowing(c.service)))
			}
			s := g.openEcho(ways()[1], g.credentials(batClient))
			say(t, s, "hello")
			g.server.policyChanged() // nor is it cut later
			g.server.ExportChanged("shop", "echo")
			say(t, s, "hello")
			finish(t, s)
			g.expectEnd(1, stream.Done, "")
			g.expectMetric(1, "linkspan_gateway_dry_run_denials_total")
			text := g.log.text()
			if strings.Count(text, "would be denied") != 1 || !strings.Contains(text, batClient) || !strings.Contains(text, c.reason) {
				t.Errorf("the log says %s", text)
			}
		})
	}
	t.Run("lets nothing else pass", func(t *testing.T) {
		t.Parallel()
		g := startGateway(t, Options{DryRun: true, AllowClients: []string{webClient}}, exportAll)
		w := ways()[1]
		w.expectRefused(t, g.open(w, g.credentials(batClient), "private.shop.svc.cluster.local", 80, opaque), codeNotExported)
		g.expectEnd(1, stream.Refused, "not_exported")
	})
}

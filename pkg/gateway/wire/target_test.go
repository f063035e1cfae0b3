package wire_test

import (
	"strings"
	"testing"

	"github.com/linkspan/linkspan/pkg/gateway/wire"
)

func TestParseTarget(t *testing.T) {
	label63 := strings.Repeat("a", 63)
	cases := map[string]struct {
		name, domain string
		want         wire.Target
	}{
		"a service":                   {"web.shop.svc.cluster.local", "cluster.local", wire.Target{Service: "web", Namespace: "shop"}},
		"a pod of a headless service": {"db-0.db.shop.svc.cluster.local", "cluster.local", wire.Target{Hostname: "db-0", Service: "db", Namespace: "shop"}},
		"a domain of one label":       {"web.shop.svc.local", "local", wire.Target{Service: "web", Namespace: "shop"}},
		"a domain of many labels":     {"web.shop.svc.k8s.east.example.com", "k8s.east.example.com", wire.Target{Service: "web", Namespace: "shop"}},
		"digits and hyphens":          {"0-0.1--1.9.svc.cluster.local", "cluster.local", wire.Target{Hostname: "0-0", Service: "1--1", Namespace: "9"}},
		"labels of 63 bytes":          {label63 + "." + label63 + ".svc.cluster.local", "cluster.local", wire.Target{Service: label63, Namespace: label63}},

		// Names that read in two ways as long as nobody says where the domain begins.
		"a service called svc":           {"svc.shop.svc.cluster.local", "cluster.local", wire.Target{Service: "svc", Namespace: "shop"}},
		"a namespace called svc":         {"web.svc.svc.cluster.local", "cluster.local", wire.Target{Service: "web", Namespace: "svc"}},
		"a hostname called svc":          {"svc.web.shop.svc.cluster.local", "cluster.local", wire.Target{Hostname: "svc", Service: "web", Namespace: "shop"}},
		"everything is called svc":       {"svc.svc.svc.svc.svc", "svc", wire.Target{Hostname: "svc", Service: "svc", Namespace: "svc"}},
		"a domain that begins with svc":  {"web.shop.svc.svc.local", "svc.local", wire.Target{Service: "web", Namespace: "shop"}},
		"the same with another domain":   {"web.shop.svc.svc.local", "local", wire.Target{Hostname: "web", Service: "shop", Namespace: "svc"}},
		"a service called as the domain": {"cluster.local.svc.cluster.local", "cluster.local", wire.Target{Service: "cluster", Namespace: "local"}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := wire.ParseTarget(tc.name, tc.domain)
			if err != nil || got != tc.want {
				t.Errorf("got %+v, %v, want %+v", got, err, tc.want)
			}
			if text := got.String() + "." + tc.domain; text != tc.name {
				t.Errorf("String() and the domain give %q, want %q", text, tc.name)
			}
		})
	}
}

func TestParseTargetRefuses(t *testing.T) {
	const domain = "cluster.local"
	long := strings.Repeat("a", 63)
	cases := map[string]struct {
		name, domain string
		want         wire.Reason
	}{
		"no name":                      {"", domain, wire.ReasonDomain},
		"the domain alone":             {"cluster.local", domain, wire.ReasonDomain},
		"svc and the domain":           {"svc.cluster.local", domain, wire.ReasonDomain},
		"a dot, svc and the domain":    {".svc.cluster.local", domain, wire.ReasonTarget},
		"a namespace alone":            {"shop.svc.cluster.local", domain, wire.ReasonTarget},
		"too many labels":              {"a.b.c.d.svc.cluster.local", domain, wire.ReasonTarget},
		"another domain":               {"web.shop.svc.cluster.example", domain, wire.ReasonDomain},
		"a longer domain":              {"web.shop.svc.my.cluster.local", domain, wire.ReasonDomain},
		"a domain that ends alike":     {"web.shop.svc.mycluster.local", domain, wire.ReasonDomain},
		"the beginning of the domain":  {"web.shop.svc.cluster", domain, wire.ReasonDomain},
		"the short name":               {"web.shop", domain, wire.ReasonDomain},
		"pod in place of svc":          {"10-0-0-1.shop.pod.cluster.local", domain, wire.ReasonDomain},
		"something that ends in svc":   {"web.shop.xsvc.cluster.local", domain, wire.ReasonDomain},
		"a dot at the end":             {"web.shop.svc.cluster.local.", domain, wire.ReasonDomain},
		"a dot in front":               {".web.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"two dots":                     {"web..shop.svc.cluster.local", domain, wire.ReasonTarget},
		"an empty namespace":           {"web..svc.cluster.local", domain, wire.ReasonTarget},
		"upper case in a label":        {"Web.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"upper case in svc":            {"web.shop.SVC.cluster.local", domain, wire.ReasonDomain},
		"upper case in the domain":     {"web.shop.svc.Cluster.local", domain, wire.ReasonDomain},
		"a port":                       {"web.shop.svc.cluster.local:80", domain, wire.ReasonDomain},
		"a port in a label":            {"web:80.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a slash":                      {"web/shop.x.svc.cluster.local", domain, wire.ReasonTarget},
		"a path":                       {"../web.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"percent":                      {"web%2e.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"NUL":                          {"web\x00.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a space":                      {"web .shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a new line":                   {"web.shop\n.svc.cluster.local", domain, wire.ReasonTarget},
		"an underscore":                {"_http.web.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a star":                       {"*.web.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a letter that is not ASCII":   {"wéb.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a full-width dot":             {"web．shop.svc.cluster.local", domain, wire.ReasonTarget},
		"bytes that are no text":       {"web\xff.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a hyphen in front":            {"-web.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a hyphen at the end":          {"web.shop-.svc.cluster.local", domain, wire.ReasonTarget},
		"a label of 64 bytes":          {long + "a.shop.svc.cluster.local", domain, wire.ReasonTarget},
		"a very long name":             {strings.Repeat("a.", 100_000) + "svc.cluster.local", domain, wire.ReasonTarget},
		"a very long domain":           {"web.shop.svc.cluster.local", strings.Repeat("a.", 100_000) + "a", wire.ReasonDomain},
		"no domain":                    {"web.shop.svc.", "", wire.ReasonDomain},
		"no domain and no dot":         {"web.shop.svc", "", wire.ReasonDomain},
		"a domain with a dot in front": {"web.shop.svc..cluster.local", ".cluster.local", wire.ReasonDomain},
		"a domain with a dot behind":   {"web.shop.svc.cluster.local.", "cluster.local.", wire.ReasonDomain},
		"a domain with an upper case":  {"web.shop.svc.Cluster.local", "Cluster.local", wire.ReasonDomain},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			got, err := wire.ParseTarget(tc.name, tc.domain)
			if reason := reasonOf(t, err); reason != tc.want {
				t.Errorf("reason %q, want %q: %v", reason, tc.want, err)
			}
			if got != (wire.Target{}) {
				t.Errorf("got %+v beside the error", got)
			}
		})
	}
}

// The longest names: 253 bytes are a name, 254 are none.
func TestParseTargetCountsBytes(t *testing.T) {
	long := strings.Repeat("a", 63)
	domain := long + "." + strings.Repeat("b", 56)
	name := long + "." + long + ".svc." + domain
	if len(name) != 252 {
		t.Fatalf("the name of the test has %d bytes", len(name))
	}
	if _, err := wire.ParseTarget(long+"."+long+".svc."+domain+"b", domain+"b"); err != nil {
		t.Errorf("253 bytes: %v", err)
	}
	_, err := wire.ParseTarget(long+"."+long+".svc."+domain+"bb", domain+"bb")
	if reason := reasonOf(t, err); reason != wire.ReasonTarget {
		t.Errorf("254 bytes: %v", err)
	}
}

package certs

import (
	"crypto/tls"
	"crypto/x509"
	"strings"
	"testing"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
)

// GW-10: the identity is the DNS SAN. It goes into headers and logs, so it is a plain name or nothing.
func TestPeerIdentity(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		sans []string
		want string
	}{
		"the only name":                   {[]string{gatewayName}, gatewayName},
		"the first of several":            {[]string{"a.example", "b.example"}, "a.example"},
		"capitals become small":           {[]string{"A.Example"}, "a.example"},
		"underscores are in use":          {[]string{"my_app.example"}, "my_app.example"},
		"one label":                       {[]string{"localhost"}, "localhost"},
		"no name":                         {nil, ""},
		"an empty name":                   {[]string{""}, ""},
		"a wildcard":                      {[]string{"*.example"}, ""},
		"a second name is no help":        {[]string{"*.example", "a.example"}, ""},
		"a dot at the end":                {[]string{"a.example."}, ""},
		"a line break":                    {[]string{"a.example\r\nx: y"}, ""},
		"a quote":                         {[]string{`a"b.example`}, ""},
		"a comma":                         {[]string{"a.example,b.example"}, ""},
		"an address":                      {[]string{"192.0.2.1"}, ""},
		"a letter that is small in ASCII": {[]string{"\u212aube.example"}, ""},
		"letters of other scripts":        {[]string{"ä.example"}, ""},
		"a label that is too long":        {[]string{strings.Repeat("a", 64) + ".example"}, ""},
		"a name that is too long":         {[]string{strings.Repeat("a.", 126) + "aa"}, ""},
		"a name as long as allowed":       {[]string{strings.Repeat("a.", 126) + "a"}, strings.Repeat("a.", 126) + "a"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			state := tls.ConnectionState{PeerCertificates: []*x509.Certificate{{DNSNames: c.sans}}}
			got, err := PeerIdentity(state)
			if got != c.want || (err == nil) != (c.want != "") {
				t.Errorf("identity = %q, want %q: %v", got, c.want, err)
			}
			if err != nil && (FailureReason(err) != ReasonNoIdentity || strings.ContainsAny(err.Error(), "\r\n")) {
				t.Errorf("reason %s of %v", FailureReason(err), err)
			}
		})
	}
	if _, err := PeerIdentity(tls.ConnectionState{}); FailureReason(err) != ReasonNoCertificate {
		t.Errorf("without a certificate: %v", err)
	}
}

// What others wrote is shown bounded and harmless.
func TestNamesOfOthersAreShownBounded(t *testing.T) {
	t.Parallel()
	names := make([]string, 5000)
	for i := range names {
		names[i] = strings.Repeat("\x00\n", 5000)
	}
	text := quotedNames(names)
	if len(text) > 2000 || strings.ContainsAny(text, "\x00\n") || !strings.Contains(text, "4997 more") {
		t.Errorf("%d bytes: %.200s", len(text), text)
	}
}

// What passes a handshake can be written into an allow-list, and the other way round. POL-13.
func TestIdentitiesAreWhatListsCanName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"my_app.example", "_app.example", "a.example", "-a.example", "a-.example", "192.0.2.1", "a b", ""} {
		_, err := canonicalName(name)
		list, listErr := clients.Parse(name)
		if (err == nil) != (listErr == nil) || (err == nil) != list.Allows(name) {
			t.Errorf("%q as an identity: %v; on a list: %v", name, err, listErr)
		}
	}
}

func FuzzCanonicalName(f *testing.F) {
	for _, seed := range []string{"", ".", "a.example", "A_b.example", "*.a", "1.2.3.4", "::1", "a\nb", "İ", "\u212a"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, name string) {
		got, err := canonicalName(name)
		if err != nil {
			return
		}
		again, err := canonicalName(got)
		if again != got || err != nil || !strings.EqualFold(got, name) || strings.ContainsAny(got, "*/\"\\,; \r\n\x00:") {
			t.Errorf("%q became %q, then %q: %v", name, got, again, err)
		}
	})
}

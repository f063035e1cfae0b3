package link_test

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"math/big"
	"strings"
	"testing"
	"time"

	"k8s.io/client-go/rest"

	"github.com/linkspan/linkspan/pkg/link"
)

// marker stands for a secret in every test: it must never be seen in any output (LINK-13).
const marker = "MARKER-s3cr3t"

// pair is a self-signed certificate and its key, in PEM.
type pair struct{ cert, key []byte }

func newPair(t testing.TB, notAfter time.Time) pair {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"},
		NotBefore: notAfter.Add(-time.Hour), NotAfter: notAfter, IsCA: true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return pair{
		cert: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:  pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: keyDER}),
	}
}

func b64(data []byte) string { return base64.StdEncoding.EncodeToString(data) }

// kubeconfig is one with a single context; cluster and user are flow-style YAML.
func kubeconfig(cluster, user string) []byte {
	return fmt.Appendf(nil, `apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {%s}}]
users: [{name: u, user: {%s}}]
`, cluster, user)
}

const (
	goodServer = "server: 'https://east.example:6443'"
	goodToken  = "token: " + marker
)

func TestParseKubeconfigAccepts(t *testing.T) {
	t.Parallel()
	p := newPair(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	certificate := "client-certificate-data: " + b64(p.cert) + ", client-key-data: " + b64(p.key)
	cases := map[string]struct {
		data  []byte
		opts  link.KubeconfigOptions
		check func(*rest.Config) bool
	}{
		"token and CA": {
			data: kubeconfig(goodServer+", certificate-authority-data: "+b64(p.cert), goodToken),
			check: func(c *rest.Config) bool {
				return c.Host == "https://east.example:6443" && c.BearerToken == marker && bytes.Equal(c.CAData, p.cert) && c.QPS == -1
			},
		},
		"client certificate": {
			data:  kubeconfig(goodServer, certificate),
			check: func(c *rest.Config) bool { return bytes.Equal(c.CertData, p.cert) && bytes.Equal(c.KeyData, p.key) },
		},
		"user name and password": {
			data:  kubeconfig(goodServer, "username: a, password: "+marker),
			check: func(c *rest.Config) bool { return c.Username == "a" && c.Password == marker },
		},
		"proxy and server name": {
			data:  kubeconfig(goodServer+", proxy-url: 'http://u:p@proxy:3128', tls-server-name: api.east", goodToken),
			check: func(c *rest.Config) bool { return c.Proxy != nil && c.ServerName == "api.east" },
		},
		"a token with a line end": {
			data:  kubeconfig(goodServer, `token: "`+marker+`\n"`),
			check: func(c *rest.Config) bool { return c.BearerToken == marker },
		},
		"no current-context but one context": {
			data:  bytes.Replace(kubeconfig(goodServer, goodToken), []byte("current-context: c\n"), nil, 1),
			check: func(c *rest.Config) bool { return c.BearerToken == marker },
		},
		"insecure where permitted": {
			data:  kubeconfig(goodServer+", insecure-skip-tls-verify: true", goodToken),
			opts:  link.KubeconfigOptions{AllowInsecure: true},
			check: func(c *rest.Config) bool { return c.Insecure },
		},
		"JSON": {
			data: []byte(`{"contexts":[{"name":"c","context":{"cluster":"k","user":"u"}}],
				"clusters":[{"name":"k","cluster":{"server":"https://h"}}],"users":[{"name":"u","user":{"token":"` + marker + `"}}]}`),
			check: func(c *rest.Config) bool { return c.Host == "https://h" && c.BearerToken == marker },
		},
		"an exec plugin of a user that is not the current one": {
			data: []byte(strings.Replace(string(kubeconfig(goodServer, goodToken)), "users: [",
				"users: [{name: other, user: {exec: {command: sh}}}, ", 1)),
			check: func(c *rest.Config) bool { return c.ExecProvider == nil && c.BearerToken == marker },
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := link.ParseKubeconfig(tc.data, tc.opts)
			if err != nil {
				t.Fatal(err)
			}
			if config := c.RESTConfig(); !tc.check(config) {
				t.Errorf("client configuration is %v", config)
			}
			if _, err := rest.HTTPClientFor(c.RESTConfig()); err != nil {
				t.Errorf("no client can be made of it: %v", err)
			}
			again, err := link.ParseKubeconfig(tc.data, tc.opts)
			if err != nil || !c.Equal(again) || c.Equal(link.Credentials{}) {
				t.Errorf("Equal is wrong (err %v)", err)
			}
		})
	}
}

func TestParseKubeconfigRefuses(t *testing.T) {
	t.Parallel()
	p := newPair(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	other := newPair(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	const (
		cluster = "clusters[].cluster."
		user    = "users[].user."
	)
	server := func(s string) []byte { return kubeconfig("server: '"+s+"'", goodToken) }
	login := func(s string) []byte { return kubeconfig(goodServer, s) }
	cases := map[string]struct {
		data  []byte
		field string
	}{
		"not YAML":                  {[]byte("token: [" + marker), "kubeconfig"},
		"YAML of another shape":     {[]byte("contexts: " + marker), "kubeconfig"},
		"empty":                     {nil, "contexts"},
		"context that is not there": {bytes.Replace(login(goodToken), []byte("current-context: c"), []byte("current-context: "+marker), 1), "current-context"},
		"two contexts, none current": {
			bytes.Replace(bytes.Replace(login(goodToken), []byte("current-context: c\n"), nil, 1),
				[]byte("contexts: ["), []byte("contexts: [{name: d, context: {cluster: k, user: u}}, "), 1), "current-context",
		},
		"cluster that is not there": {bytes.Replace(login(goodToken), []byte("cluster: k"), []byte("cluster: x"), 1), "contexts[].context.cluster"},
		"user that is not there":    {bytes.Replace(login(goodToken), []byte("user: u"), []byte("user: x"), 1), "contexts[].context.user"},
		"two users of one name": {
			bytes.Replace(login(goodToken), []byte("users: ["), []byte("users: [{name: u, user: {token: b}}, "), 1), "contexts[].context.user",
		},
		"no server":             {kubeconfig("", goodToken), cluster + "server"},
		"http server":           {server("http://east.example"), cluster + "server"},
		"server without scheme": {server("east.example:6443"), cluster + "server"},
		"server without host":   {server("https://"), cluster + "server"},
		"server with user":      {server("https://u:" + marker + "@east.example"), cluster + "server"},
		"server with bad port":  {server("https://east.example:70000"), cluster + "server"},
		"CA as file":            {kubeconfig(goodServer+", certificate-authority: /ca/"+marker, goodToken), cluster + "certificate-authority"},
		"CA that is no PEM":     {kubeconfig(goodServer+", certificate-authority-data: "+b64([]byte(marker)), goodToken), cluster + "certificate-authority-data"},
		"CA that is no base64":  {kubeconfig(goodServer+", certificate-authority-data: '"+marker+"!'", goodToken), "kubeconfig"},
		"insecure":              {kubeconfig(goodServer+", insecure-skip-tls-verify: true", goodToken), cluster + "insecure-skip-tls-verify"},
		"proxy of unknown kind": {kubeconfig(goodServer+", proxy-url: 'ftp://"+marker+"'", goodToken), cluster + "proxy-url"},
		"no credentials":        {login(""), "users[].user"},
		"blank token":           {login("token: ' '"), "users[].user"},
		"token in two lines":    {login(`token: "a\n` + marker + `"`), user + "token"},
		"exec":                  {login("exec: {command: " + marker + "}, " + goodToken), user + "exec"},
		"exec alone":            {login("exec: {command: " + marker + "}"), user + "exec"},
		"auth-provider":         {login("auth-provider: {name: gcp}, " + goodToken), user + "auth-provider"},
		"tokenFile":             {login("tokenFile: /run/" + marker), user + "tokenFile"},
		"certificate as file":   {login("client-certificate: /x, " + goodToken), user + "client-certificate"},
		"key as file":           {login("client-key: /x, " + goodToken), user + "client-key"},
		"impersonation":         {login("as: admin, " + goodToken), user + "as"},
		"impersonated groups":   {login("as-groups: [a], " + goodToken), user + "as-groups"},
		"impersonated uid":      {login("as-uid: a, " + goodToken), user + "as-uid"},
		"impersonated extra":    {login("as-user-extra: {a: [b]}, " + goodToken), user + "as-user-extra"},
		"token and password":    {login("username: a, password: b, " + goodToken), user + "username"},
		"password alone":        {login("password: " + marker), user + "username"},
		"certificate alone":     {login("client-certificate-data: " + b64(p.cert)), user + "client-key-data"},
		"key alone":             {login("client-key-data: " + b64(p.key)), user + "client-certificate-data"},
		"key of another certificate": {
			login("client-certificate-data: " + b64(p.cert) + ", client-key-data: " + b64(other.key)), user + "client-key-data",
		},
		"certificate that is no PEM": {
			login("client-certificate-data: " + b64([]byte(marker)) + ", client-key-data: " + b64(p.key)), user + "client-certificate-data",
		},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := link.ParseKubeconfig(tc.data, link.KubeconfigOptions{})
			if got := fields(err); len(got) == 0 || got[0] != tc.field {
				t.Errorf("error %v names %v, want %s", err, got, tc.field)
			}
			if err != nil && strings.Contains(err.Error(), marker) {
				t.Errorf("LINK-13: the error shows the secret: %v", err)
			}
		})
	}
}

// LINK-13: however credentials are printed, also from inside other values, no secret is seen.
func TestCredentialsHideSecrets(t *testing.T) {
	t.Parallel()
	p := newPair(t, time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC))
	c, err := link.ParseKubeconfig(kubeconfig(goodServer+", proxy-url: 'http://u:"+marker+"@proxy'",
		goodToken+", client-certificate-data: "+b64(p.cert)+", client-key-data: "+b64(p.key)), link.KubeconfigOptions{})
	if err != nil {
		t.Fatal(err)
	}
	type holder struct {
		Public  link.Credentials
		private link.Credentials
		pointer *link.Credentials
	}
	var out bytes.Buffer
	for _, v := range []any{c, &c, holder{c, c, &c}, &holder{c, c, &c}, []link.Credentials{c}, map[string]link.Credentials{"a": c}} {
		fmt.Fprintf(&out, "%v %+v %#v %s %q\n", v, v, v, v, v)
		if err := json.NewEncoder(&out).Encode(v); err != nil {
			t.Fatal(err)
		}
		slog.New(slog.NewTextHandler(&out, nil)).Info("text", "v", v)
		slog.New(slog.NewJSONHandler(&out, nil)).Info("json", "v", v)
	}
	// fmt prints byte slices that it reaches by reflection as numbers.
	numbers := strings.Trim(fmt.Sprintf("%d", []byte(marker)), "[]")
	keyNumbers := strings.Trim(fmt.Sprintf("%d", p.key[:20]), "[]")
	for _, secret := range []string{marker, b64([]byte(marker)), numbers, keyNumbers, string(p.key), b64(p.key)} {
		if strings.Contains(out.String(), secret) {
			t.Errorf("the output shows %q:\n%s", secret, out.String())
		}
	}
	if !strings.Contains(c.String(), "east.example") || !strings.Contains(c.String(), "token and client certificate") {
		t.Errorf("String says too little: %s", c)
	}
}

func TestExpiry(t *testing.T) {
	t.Parallel()
	soon, late := time.Date(2030, 1, 1, 0, 0, 0, 0, time.UTC), time.Date(2031, 1, 1, 0, 0, 0, 0, time.UTC)
	jwt := func(payload string) string {
		return "h." + base64.RawURLEncoding.EncodeToString([]byte(payload)) + ".s"
	}
	exp := func(at time.Time) string { return "token: " + jwt(fmt.Sprintf(`{"exp":%d}`, at.Unix())) }
	cert := func(at time.Time) string {
		p := newPair(t, at)
		return "client-certificate-data: " + b64(p.cert) + ", client-key-data: " + b64(p.key)
	}
	cases := map[string]struct {
		user string
		want time.Time
	}{
		"opaque token":              {"token: abc", time.Time{}},
		"token with exp":            {exp(soon), soon},
		"token without exp":         {"token: " + jwt(`{"sub":"x"}`), time.Time{}},
		"token with absurd exp":     {"token: " + jwt(`{"exp":1e300}`), time.Time{}},
		"token with exp of no kind": {"token: " + jwt(`{"exp":"x"}`), time.Time{}},
		"certificate":               {cert(soon), soon},
		"certificate ends first":    {cert(soon) + ", " + exp(late), soon},
		"token ends first":          {cert(late) + ", " + exp(soon), soon},
		"certificate and opaque":    {cert(late) + ", token: abc", late},
		"password":                  {"username: a, password: b", time.Time{}},
	}
	for name, tc := range cases {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c, err := link.ParseKubeconfig(kubeconfig(goodServer, tc.user), link.KubeconfigOptions{})
			if err != nil {
				t.Fatal(err)
			}
			got, ok := c.Expiry()
			if !got.Equal(tc.want) || ok != !tc.want.IsZero() {
				t.Errorf("got %v, %v; want %v", got, ok, tc.want)
			}
		})
	}
	if _, ok := (link.Credentials{}).Expiry(); ok {
		t.Error("zero credentials have no end")
	}
}

func TestFingerprint(t *testing.T) {
	t.Parallel()
	a, b := link.Fingerprint([]byte("a")), link.Fingerprint([]byte("b"))
	if a == b || a != link.Fingerprint([]byte("a")) || len(a) != 16 {
		t.Errorf("fingerprints %q and %q", a, b)
	}
}

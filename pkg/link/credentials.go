package link

import (
	"bytes"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"

	"k8s.io/client-go/rest"
)

// Credentials is a validated kubeconfig: one server and one way to prove who we are. However it is
// printed, it does not show its secrets (LINK-13).
type Credentials struct {
	// Server is the https URL of the target's API server.
	Server string
	// CAData is the PEM bundle that verifies the server; empty means the system's roots.
	CAData []byte
	// TLSServerName is the name to verify instead of the server's host; may be empty.
	TLSServerName string
	// InsecureSkipVerify turns verification off; only where the Link permits it.
	InsecureSkipVerify bool

	// reveal gives the secrets; nil for the zero value. It is a function because fmt prints what it
	// reaches through an unexported field without asking the type how, pointers to structs included
	// (with %s), but of a function only the address.
	reveal func() secret
}

type secret struct {
	token              string
	certData, keyData  []byte
	username, password string
	// proxyURL may hold a password.
	proxyURL string
}

// RESTConfig is the client configuration: no rate limit on our side, the server's fairness protects
// it. The caller sets the user agent and timeouts. Each call gives a new value.
func (c Credentials) RESTConfig() *rest.Config {
	config := &rest.Config{
		Host: c.Server,
		QPS:  -1,
		TLSClientConfig: rest.TLSClientConfig{
			CAData:     bytes.Clone(c.CAData),
			ServerName: c.TLSServerName,
			Insecure:   c.InsecureSkipVerify,
		},
	}
	s := c.secrets()
	config.BearerToken = s.token
	config.Username = s.username
	config.Password = s.password
	config.CertData = bytes.Clone(s.certData)
	config.KeyData = bytes.Clone(s.keyData)
	if proxy, err := url.Parse(s.proxyURL); err == nil && s.proxyURL != "" {
		config.Proxy = http.ProxyURL(proxy)
	}
	return config
}

// Expiry is when the credentials end, as far as they say so themselves: the exp claim of a JWT token
// or the end of the client certificate, whichever is sooner. Nothing is verified.
func (c Credentials) Expiry() (time.Time, bool) {
	s := c.secrets()
	token, tokenOK := tokenExpiry(s.token)
	cert, certOK := certificateExpiry(s.certData)
	switch {
	case tokenOK && certOK && cert.Before(token), certOK && !tokenOK:
		return cert, true
	default:
		return token, tokenOK
	}
}

func tokenExpiry(token string) (time.Time, bool) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return time.Time{}, false
	}
	payload, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return time.Time{}, false
	}
	var claims struct {
		Exp float64 `json:"exp"`
	}
	// Past year 9999 a time cannot be written as text.
	const latest = 253402300799
	if err := json.Unmarshal(payload, &claims); err != nil || claims.Exp < 1 || claims.Exp > latest {
		return time.Time{}, false
	}
	return time.Unix(int64(claims.Exp), 0).UTC(), true
}

func certificateExpiry(data []byte) (time.Time, bool) {
	block, _ := pem.Decode(data)
	if block == nil {
		return time.Time{}, false
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return time.Time{}, false
	}
	return cert.NotAfter.UTC(), true
}

// Equal says whether two credentials are the same in every respect.
func (c Credentials) Equal(o Credentials) bool {
	a, b := c.secrets(), o.secrets()
	return c.Server == o.Server && bytes.Equal(c.CAData, o.CAData) &&
		c.TLSServerName == o.TLSServerName && c.InsecureSkipVerify == o.InsecureSkipVerify &&
		a.token == b.token && bytes.Equal(a.certData, b.certData) && bytes.Equal(a.keyData, b.keyData) &&
		a.username == b.username && a.password == b.password && a.proxyURL == b.proxyURL
}

func (c Credentials) secrets() secret {
	if c.reveal == nil {
		return secret{}
	}
	return c.reveal()
}

// kind says which credentials there are, without saying what they are.
func (c Credentials) kind() string {
	var kinds []string
	s := c.secrets()
	if s.token != "" {
		kinds = append(kinds, "token")
	}
	if len(s.certData) > 0 {
		kinds = append(kinds, "client certificate")
	}
	if s.username != "" {
		kinds = append(kinds, "basic")
	}
	if len(kinds) == 0 {
		return "none"
	}
	return strings.Join(kinds, " and ")
}

// String shows the server and the kind of credentials, no secret.
func (c Credentials) String() string { return fmt.Sprintf("%s (%s)", c.Server, c.kind()) }

// GoString is String, so that %#v shows no secret either.
func (c Credentials) GoString() string { return "link.Credentials{" + c.String() + "}" }

// MarshalJSON shows what String shows.
func (c Credentials) MarshalJSON() ([]byte, error) {
	return json.Marshal(map[string]string{"server": c.Server, "credentials": c.kind()})
}

// LogValue shows what String shows.
func (c Credentials) LogValue() slog.Value {
	return slog.GroupValue(slog.String("server", c.Server), slog.String("credentials", c.kind()))
}

package link

import (
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"net/url"
	"strconv"
	"strings"

	clientcmdv1 "k8s.io/client-go/tools/clientcmd/api/v1"
	"sigs.k8s.io/yaml"
)

// KubeconfigOptions says what a kubeconfig may hold beyond what is always permitted.
type KubeconfigOptions struct {
	// AllowInsecure permits insecure-skip-tls-verify.
	AllowInsecure bool
}

// ParseKubeconfig reads the current context of a kubeconfig into a value, and refuses with an
// InvalidError what a credentials Secret must not hold: anything that makes the reader run a program
// or open a file, or that sends credentials to a server it did not verify.
//
// Errors name fields and never quote the data.
func ParseKubeconfig(data []byte, opts KubeconfigOptions) (Credentials, error) {
	var config clientcmdv1.Config
	if err := yaml.Unmarshal(data, &config); err != nil {
		// The parser's own text quotes the data, so it is dropped.
		return Credentials{}, invalid("kubeconfig", "is not readable: write it as YAML or JSON of kind Config")
	}
	cluster, user, err := current(config)
	if err != nil {
		return Credentials{}, err
	}
	var ps problems
	checkCluster(cluster, opts, &ps)
	checkUser(user, &ps)
	if err := ps.err(); err != nil {
		return Credentials{}, err
	}
	hidden := secret{
		token:    strings.TrimSpace(user.Token),
		certData: user.ClientCertificateData,
		keyData:  user.ClientKeyData,
		username: user.Username,
		password: user.Password,
		proxyURL: cluster.ProxyURL,
	}
	return Credentials{
		Server:             cluster.Server,
		CAData:             cluster.CertificateAuthorityData,
		TLSServerName:      cluster.TLSServerName,
		InsecureSkipVerify: cluster.InsecureSkipTLSVerify,
		reveal:             func() secret { return hidden },
	}, nil
}

// Fingerprint is a short hash of Secret bytes: equal bytes, equal fingerprint. It is safe to log.
func Fingerprint(data []byte) string {
	sum := sha256.Sum256(data)
	return hex.EncodeToString(sum[:8])
}

func invalid(field, message string) error { return &InvalidError{Field: field, Message: message} }

// current finds the cluster and user of the current context, or of the only context there is.
func current(config clientcmdv1.Config) (clientcmdv1.Cluster, clientcmdv1.AuthInfo, error) {
	context, err := currentContext(config)
	if err != nil {
		return clientcmdv1.Cluster{}, clientcmdv1.AuthInfo{}, err
	}
	cluster, ok := only(config.Clusters, func(c clientcmdv1.NamedCluster) bool { return c.Name == context.Cluster })
	if !ok {
		return clientcmdv1.Cluster{}, clientcmdv1.AuthInfo{}, invalid("contexts[].context.cluster", "must name exactly one entry of clusters")
	}
	user, ok := only(config.AuthInfos, func(u clientcmdv1.NamedAuthInfo) bool { return u.Name == context.AuthInfo })
	if !ok {
		return clientcmdv1.Cluster{}, clientcmdv1.AuthInfo{}, invalid("contexts[].context.user", "must name exactly one entry of users")
	}
	return cluster.Cluster, user.AuthInfo, nil
}

func currentContext(config clientcmdv1.Config) (clientcmdv1.Context, error) {
	switch {
	case len(config.Contexts) == 0:
		return clientcmdv1.Context{}, invalid("contexts", "is empty: a context with a cluster and a user is needed")
	case config.CurrentContext == "" && len(config.Contexts) == 1:
		return config.Contexts[0].Context, nil
	case config.CurrentContext == "":
		return clientcmdv1.Context{}, invalid("current-context", "is missing: name the one of the contexts to use")
	}
	found, ok := only(config.Contexts, func(c clientcmdv1.NamedContext) bool { return c.Name == config.CurrentContext })
	if !ok {
		return clientcmdv1.Context{}, invalid("current-context", "must name exactly one entry of contexts")
	}
	return found.Context, nil
}

// only is the one entry that is wanted; none and several are both a mistake.
func only[T any](entries []T, wanted func(T) bool) (found T, ok bool) {
	n := 0
	for _, entry := range entries {
		if wanted(entry) {
			found, n = entry, n+1
		}
	}
	return found, n == 1
}

func checkCluster(c clientcmdv1.Cluster, opts KubeconfigOptions, ps *problems) {
	checkServer(c.Server, ps)
	if c.CertificateAuthority != "" {
		ps.add("clusters[].cluster.certificate-authority", "is a file path, which means nothing here: write the certificate into certificate-authority-data")
	}
	if len(c.CertificateAuthorityData) > 0 && !x509.NewCertPool().AppendCertsFromPEM(c.CertificateAuthorityData) {
		ps.add("clusters[].cluster.certificate-authority-data", "must be base64 of PEM with at least one certificate")
	}
	switch {
	case c.InsecureSkipTLSVerify && !opts.AllowInsecure:
		ps.add("clusters[].cluster.insecure-skip-tls-verify", "is refused: write the CA into certificate-authority-data, or permit it on the Link by annotation")
	case c.InsecureSkipTLSVerify && len(c.CertificateAuthorityData) > 0:
		ps.add("clusters[].cluster.insecure-skip-tls-verify", "and certificate-authority-data exclude each other: remove one")
	}
	if c.ProxyURL != "" {
		checkProxy(c.ProxyURL, ps)
	}
}

func checkServer(server string, ps *problems) {
	const field = "clusters[].cluster.server"
	if server == "" {
		ps.add(field, "is missing: write the URL of the target's API server")
		return
	}
	u, err := url.Parse(server)
	switch {
	case err != nil || u.Hostname() == "" || u.Scheme != "https":
		ps.add(field, "must be a URL that starts with https:// and names a host")
	case u.Port() != "" && !isPort(u.Port()):
		ps.add(field, "must have a port from 1 to 65535")
	case u.User != nil || u.RawQuery != "" || u.Fragment != "":
		ps.add(field, "must hold no user, query or fragment")
	}
}

func isPort(s string) bool {
	n, err := strconv.ParseUint(s, 10, 16)
	return err == nil && n > 0
}

func checkProxy(proxy string, ps *problems) {
	u, err := url.Parse(proxy)
	if err == nil && u.Hostname() != "" {
		switch u.Scheme {
		case "http", "https", "socks5":
			return
		}
	}
	ps.add("clusters[].cluster.proxy-url", "must be a URL that starts with http://, https:// or socks5:// and names a host")
}

func checkUser(u clientcmdv1.AuthInfo, ps *problems) {
	before := len(*ps)
	checkForbidden(u, ps)
	token := strings.TrimSpace(u.Token)
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		ps.add("users[].user.token", "holds a character that no token has: write it on one line")
	}
	basic := checkBasic(u, ps)
	certificate := len(u.ClientCertificateData) > 0 || len(u.ClientKeyData) > 0
	if certificate {
		checkKeyPair(u, ps)
	}
	if len(*ps) == before && !certificate && !basic && token == "" {
		ps.add("users[].user", "holds no credentials: write a token, or client-certificate-data and client-key-data")
	}
}

// checkBasic says whether there is a user name or password, and whether it may be.
func checkBasic(u clientcmdv1.AuthInfo, ps *problems) bool {
	switch {
	case u.Username == "" && u.Password == "":
		return false
	case u.Token != "":
		ps.add("users[].user.username", "and token exclude each other: remove one")
	case u.Username == "":
		ps.add("users[].user.username", "is missing beside the password")
	}
	return true
}

// checkForbidden refuses what runs a program, opens a file or acts as somebody else.
func checkForbidden(u clientcmdv1.AuthInfo, ps *problems) {
	const isPath = "is a file path, which means nothing here: write the content into "
	for _, f := range []struct {
		set            bool
		field, message string
	}{
		{u.Exec != nil, "exec", "is refused: a kubeconfig in a Secret must not run programs; use a token"},
		{u.AuthProvider != nil, "auth-provider", "is refused: use a token"},
		{u.TokenFile != "", "tokenFile", isPath + "token"},
		{u.ClientCertificate != "", "client-certificate", isPath + "client-certificate-data"},
		{u.ClientKey != "", "client-key", isPath + "client-key-data"},
		{u.Impersonate != "", "as", "is refused: give the account itself the permissions"},
		{u.ImpersonateUID != "", "as-uid", "is refused: give the account itself the permissions"},
		{len(u.ImpersonateGroups) > 0, "as-groups", "is refused: give the account itself the permissions"},
		{len(u.ImpersonateUserExtra) > 0, "as-user-extra", "is refused: give the account itself the permissions"},
	} {
		if f.set {
			ps.add("users[].user."+f.field, f.message)
		}
	}
}

func checkKeyPair(u clientcmdv1.AuthInfo, ps *problems) {
	block, _ := pem.Decode(u.ClientCertificateData)
	if block == nil {
		ps.add("users[].user.client-certificate-data", "must be base64 of a PEM certificate")
		return
	}
	if block, _ = pem.Decode(u.ClientKeyData); block == nil {
		ps.add("users[].user.client-key-data", "must be base64 of a PEM private key")
		return
	}
	if _, err := tls.X509KeyPair(u.ClientCertificateData, u.ClientKeyData); err != nil {
		ps.add("users[].user.client-key-data", "and client-certificate-data must be a key and its certificate, both in PEM")
	}
}

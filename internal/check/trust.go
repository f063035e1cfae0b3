package check

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
)

// leafShare of a certificate's life is when it should have been renewed: cert-manager does so at a third.
const leafShare = 4

func trustAnchors(f Facts) []Finding {
	// Without the Deployments those of the mesh are still known.
	findings := f.Deployments.problem("trust anchors are valid")
	for _, a := range f.Anchors {
		findings = append(findings, judgeAnchors(f, a)...)
	}
	if len(findings) == 0 {
		return good("no workload has trust anchors of its own")
	}
	return findings
}

func judgeAnchors(f Facts, a Anchors) []Finding {
	text := "trust anchors are valid: " + a.Source
	if apierrors.IsNotFound(a.PEM.Err) {
		return []Finding{anchorsMissing(f, a, text)}
	}
	if problem := a.PEM.problem(text); problem != nil {
		return problem
	}
	var findings []Finding
	if bytes.Contains(a.PEM.Value, []byte("PRIVATE KEY")) {
		findings = append(findings, warn(text, "there is a private key beside the certificates: whoever reads it can make any identity", "take it out, and make a new anchor"))
	}
	anchors, err := certificates(a.PEM.Value)
	if err != nil {
		return append(findings, bad(text, err.Error(), "put the certificates in, as PEM"))
	}
	current := 0
	for _, anchor := range anchors {
		problem, isBad := age(f.clock(), anchor, expiryWarning)
		if !isBad {
			current++
		}
		if problem != "" {
			findings = append(findings, warn(text, fmt.Sprintf("%s %s", commonName(anchor), problem), "replace the anchor in all linked clusters, old and new side by side for a while"))
		}
	}
	if current == 0 {
		return append(findings, bad(text, "none of them is valid today: nobody is trusted", "replace the anchor in all linked clusters"))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(text)
}

// chartAnchors is the ConfigMap that the chart makes of anchors in its values.
const chartAnchors = "linkspan-trust-anchors"

func anchorsMissing(f Facts, a Anchors, text string) Finding {
	if a.ControlPlane != "" {
		return warn(text, "there is no such ConfigMap, so the anchors of the mesh are not checked", "see where Linkerd has its trust anchors from, and run linkerd check")
	}
	object, _, _ := strings.Cut(a.Source, ",")
	kind, name, _ := strings.Cut(object, " ")
	cause := fmt.Sprintf("there is no %s in namespace %s", object, f.Namespace)
	switch {
	case name == chartAnchors && kind == "ConfigMap":
		return passing(text, cause, "install the chart again, which makes it of gateway.trustAnchors.inline; if trust-manager is to make it, see its Bundle")
	case kind == "Secret":
		return passing(text, cause, "create it, or correct gateway.trustAnchors.secret.name; if trust-manager is to make it, see its Bundle")
	}
	return passing(text, cause, "create it, or correct gateway.trustAnchors.configMap.name; if trust-manager is to make it, see its Bundle")
}

// age says what is wrong with a certificate's time, and whether it is not valid now.
func age(now time.Time, c *x509.Certificate, early time.Duration) (problem string, isBad bool) {
	switch left := c.NotAfter.Sub(now); {
	case now.Add(clockTolerance).Before(c.NotBefore):
		return "is not valid before " + day(c.NotBefore) + "; a clock may be wrong", true
	case left <= 0:
		return "expired on " + day(c.NotAfter), true
	case left < early:
		return fmt.Sprintf("expires on %s, in %s", day(c.NotAfter), days(left)), false
	}
	return "", false
}

func commonName(c *x509.Certificate) string {
	if c.Subject.CommonName == "" {
		return "a certificate without a name"
	}
	return c.Subject.CommonName
}

func certificates(data []byte) ([]*x509.Certificate, error) {
	var all []*x509.Certificate
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		c, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return nil, fmt.Errorf("certificate %d cannot be read: %w", len(all)+1, err)
		}
		all = append(all, c)
	}
	if len(all) == 0 {
		return nil, fmt.Errorf("there is no certificate")
	}
	return all, nil
}

func trustCertificates(f Facts) []Finding {
	if problem := f.Deployments.problem("certificates of gateways can be used"); problem != nil {
		return problem
	}
	var findings []Finding
	for _, c := range f.Certificates {
		findings = append(findings, judgeCertificate(f, c)...)
	}
	return findings
}

func judgeCertificate(f Facts, c Certificate) []Finding {
	text := c.Workload + ": the certificate in Secret " + c.Secret + " can be used"
	const mend = "see the issuer of the certificate, for example the events of cert-manager's Certificate"
	if apierrors.IsNotFound(c.PEM.Err) {
		return []Finding{passing(text, fmt.Sprintf("there is no Secret %s in namespace %s", c.Secret, f.Namespace),
			fmt.Sprintf("create it, or correct %s; if cert-manager is to make it, see the events of Certificate %s", settingOf(c.Component), c.Workload))}
	}
	if problem := c.PEM.problem(text); problem != nil {
		return problem
	}
	chain, err := certificates(c.PEM.Value)
	if err != nil {
		return []Finding{bad(text, err.Error(), mend)}
	}
	leaf := chain[0]
	problem, isBad := chainAge(f.clock(), chain)
	switch {
	case isBad:
		return []Finding{bad(text, problem, mend)}
	case c.Identity != "" && !slices.Contains(leaf.DNSNames, c.Identity):
		return []Finding{bad(text, fmt.Sprintf("it is for %s, and not for %s", strings.Join(leaf.DNSNames, ", "), c.Identity), "have it made for that name, or set the workload's certificate.identity")}
	case !trusted(f, c, chain):
		return []Finding{bad(text, "it does not lead to the trust anchors of "+c.Source, "have it issued under one of the anchors, or add its anchor in all linked clusters")}
	case problem != "":
		return []Finding{warn(text, problem, mend)}
	}
	return good(fmt.Sprintf("%s (until %s)", text, day(leaf.NotAfter)))
}

// settingOf is the value of the chart that names the Secret of a workload's certificate.
func settingOf(component string) string {
	switch component {
	case componentController:
		return "controller.probeTLS.certificate.secretName"
	case componentEgress:
		return "gateway.egress.certificate.secretName"
	}
	return "gateway.ingress.certificate.secretName"
}

// chainAge says what is wrong with the time of a certificate or of those above it. What is over is told before what
// will be: a chain is not valid for longer than its shortest part.
func chainAge(now time.Time, chain []*x509.Certificate) (problem string, isBad bool) {
	for i, one := range chain {
		early := min(expiryWarning, one.NotAfter.Sub(one.NotBefore)/leafShare)
		what, over := age(now, one, early)
		if what == "" {
			continue
		}
		who := "it "
		if i > 0 {
			who = "its issuer " + commonName(one) + " "
		}
		if over {
			return who + what, true
		}
		if problem == "" {
			problem = who + what
		}
	}
	return problem, false
}

// trusted is true as well where the anchors could not be read: that was said before.
func trusted(f Facts, c Certificate, chain []*x509.Certificate) bool {
	i := slices.IndexFunc(f.Anchors, func(a Anchors) bool { return a.Source == c.Source })
	if i < 0 || f.Anchors[i].PEM.Err != nil {
		return true
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	roots.AppendCertsFromPEM(f.Anchors[i].PEM.Value)
	for _, one := range chain[1:] {
		between.AddCert(one)
	}
	// What was made a moment ago is taken as valid from now on, as age does.
	now := f.clock()
	for _, one := range chain {
		if one.NotBefore.After(now) {
			now = one.NotBefore
		}
	}
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

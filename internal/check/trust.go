package check

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"slices"
	"strings"
	"time"
)

// leafShare of a certificate's life is when it should have been renewed: cert-manager does so at a third.
const leafShare = 4

func trustAnchors(f Facts) []Finding {
	if len(f.Anchors) == 0 {
		return good("no workload has trust anchors of its own")
	}
	var findings []Finding
	for _, a := range f.Anchors {
		findings = append(findings, judgeAnchors(f.Now, a)...)
	}
	return findings
}

func judgeAnchors(now time.Time, a Anchors) []Finding {
	text := "trust anchors are valid: " + a.Source
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
		problem, isBad := age(now, anchor, expiryWarning)
		if !isBad {
			current++
		}
		if problem != "" {
			findings = append(findings, warn(text, fmt.Sprintf("%s %s", commonName(anchor), problem), "replace the anchor in all linked clusters, old and new side by side for a while"))
		}
	}
	if current == 0 {
		return append(findings, bad(text, "none of them is valid today: no gateway is trusted", "replace the anchor in all linked clusters"))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(text)
}

// age says what is wrong with a certificate's time, and whether it is not valid now.
func age(now time.Time, c *x509.Certificate, early time.Duration) (problem string, isBad bool) {
	switch left := c.NotAfter.Sub(now); {
	case now.Before(c.NotBefore):
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
	var findings []Finding
	for _, c := range f.Certificates {
		findings = append(findings, judgeCertificate(f, c)...)
	}
	return findings
}

func judgeCertificate(f Facts, c Certificate) []Finding {
	text := c.Workload + ": the certificate in Secret " + c.Secret + " can be used"
	if problem := c.PEM.problem(text); problem != nil {
		return problem
	}
	const mend = "see the issuer of the certificate, for example the events of cert-manager's Certificate"
	chain, err := certificates(c.PEM.Value)
	if err != nil {
		return []Finding{bad(text, err.Error(), mend)}
	}
	leaf := chain[0]
	early := min(expiryWarning, leaf.NotAfter.Sub(leaf.NotBefore)/leafShare)
	problem, isBad := age(f.Now, leaf, early)
	switch {
	case isBad:
		return []Finding{bad(text, "it "+problem, mend)}
	case c.Identity != "" && !slices.Contains(leaf.DNSNames, c.Identity):
		return []Finding{bad(text, fmt.Sprintf("it is for %s, and not for %s", strings.Join(leaf.DNSNames, ", "), c.Identity), "have it made for that name, or set the workload's certificate.identity")}
	case !trusted(f, c, chain):
		return []Finding{bad(text, "it does not lead to the trust anchors of "+c.Source, "have it issued under one of the anchors, or add its anchor in all linked clusters")}
	case problem != "":
		return []Finding{warn(text, "it "+problem, mend)}
	}
	return good(fmt.Sprintf("%s (until %s)", text, day(leaf.NotAfter)))
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
	_, err := chain[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: f.Now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	return err == nil
}

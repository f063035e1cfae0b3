package probe

import (
	"crypto/x509"
	"fmt"
	"strings"
	"time"
)

// What of a certificate or an error goes into a text that ends in a Link's status.
const (
	maxNames       = 3
	maxNameLength  = 120
	maxErrorLength = 300
)

// expiry is when the certificates that a gateway presented expire; zero is not known.
type expiry struct{ leaf, issuer time.Time }

// expiryOf prefers the issuer that was verified to the one that was sent.
func expiryOf(sent []*x509.Certificate, verified [][]*x509.Certificate) expiry {
	if len(verified) > 0 {
		sent = verified[0]
	}
	var e expiry
	if len(sent) > 0 {
		e.leaf = sent[0].NotAfter
	}
	if len(sent) > 1 {
		e.issuer = sent[1].NotAfter
	}
	return e
}

// soonest takes of each certificate the one that expires first.
func (e expiry) soonest(other expiry) expiry {
	return expiry{leaf: sooner(e.leaf, other.leaf), issuer: sooner(e.issuer, other.issuer)}
}

func sooner(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}

// namesOf quotes the names of a certificate, which anybody may have written: the first few, cut and
// without characters that a name has no use for, so that it has at most about 400 bytes.
func namesOf(certificate *x509.Certificate) string {
	names := certificate.DNSNames
	if len(names) == 0 {
		return "no DNS name"
	}
	quoted := make([]string, 0, maxNames+1)
	for _, name := range names[:min(len(names), maxNames)] {
		quoted = append(quoted, `"`+cleanedName(name)+`"`)
	}
	if more := len(names) - maxNames; more > 0 {
		quoted = append(quoted, fmt.Sprintf("%d more", more))
	}
	return strings.Join(quoted, ", ")
}

// cleanedName keeps what occurs in DNS names, wildcards among them.
func cleanedName(name string) string {
	return cut(strings.Map(func(r rune) rune {
		switch {
		case r >= 'a' && r <= 'z', r >= 'A' && r <= 'Z', r >= '0' && r <= '9', strings.ContainsRune("-._*", r):
			return r
		default:
			return '?'
		}
	}, cut(name, maxNameLength+1)), maxNameLength)
}

// cleaned keeps printable ASCII of a text that may quote somebody, and no more than has a place.
func cleaned(text string) string {
	return cut(strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}, cut(text, maxErrorLength+1)), maxErrorLength)
}

// cut ends a text that is longer than limit with dots, which count.
func cut(text string, limit int) string {
	if len(text) <= limit {
		return text
	}
	const dots = "..."
	return text[:max(0, limit-len(dots))] + dots
}

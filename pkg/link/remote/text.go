package remote

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"
)

// Bounds of texts that others had a hand in. The API server refuses conditions with messages of more
// than 32 KiB, and nobody reads as much: what a target says must not keep us from saying anything.
const (
	maxMessage = 1024
	// maxCause leaves room in a message for what was tried and how to mend it.
	maxCause = 640
)

// shown makes a text fit to be shown: one line of valid UTF-8 without control characters, cut to a
// number of bytes.
func shown(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if unicode.IsPrint(r) {
			return r
		}
		return ' '
	}, strings.ToValidUTF8(text, string(utf8.RuneError)))
	if len(text) <= most {
		return text
	}
	const dots = "…"
	end := most - len(dots)
	for !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + dots
}

// explained is a cause with a text of our own in place of its own.
type explained struct {
	text  string
	cause error
}

// Error implements error.
func (e explained) Error() string { return e.text }

// Unwrap implements errors.Unwrap.
func (e explained) Unwrap() error { return e.cause }

// plainCause bounds the text of an error and takes out what differs from one attempt to the next: a
// message that changes while the fault does not would be one status write per attempt.
func plainCause(err error) error {
	return explained{text: shown(steady(err.Error()), maxCause), cause: err}
}

// steady takes out our side of a connection ("10.0.0.1:53124->"), the numbers of HTTP/2 streams, and
// the time that a certificate was compared with.
func steady(text string) string {
	words := strings.Fields(text)
	out := make([]string, 0, len(words))
	for i, word := range words {
		switch {
		case strings.HasPrefix(word, "LastStreamID="):
			continue
		case i > 1 && words[i-2] == "current" && words[i-1] == "time":
			continue
		}
		if _, peer, both := strings.Cut(word, "->"); both {
			word = peer
		}
		out = append(out, word)
	}
	return strings.Join(out, " ")
}

// legal says whether a service can have this key. A target can send anything, and the key becomes part
// of selectors, of names of our own and of the status.
func (k ServiceKey) legal() bool {
	return len(validation.IsDNS1123Label(k.Namespace)) == 0 && len(validation.IsDNS1123Label(k.Name)) == 0
}

// legalSliceName says whether an EndpointSlice can have this name.
func legalSliceName(name string) bool { return len(validation.IsDNS1123Subdomain(name)) == 0 }

// maxUID is more than any identity of a cluster has.
const maxUID = 64

// legalUID says whether a text can be the identity of a cluster: it is kept in the status, shown and
// asked for in an annotation.
func legalUID(uid string) bool {
	return uid != "" && len(uid) <= maxUID && len(validation.IsDNS1123Subdomain(strings.ToLower(uid))) == 0
}

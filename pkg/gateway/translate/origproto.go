package translate

import (
	"net/http"
	"strings"
)

// Header fields of the agreement between Linkerd's proxies, in Go's canonical form.
const (
	headerOrigProto  = "L5d-Orig-Proto"
	headerClientID   = "L5d-Client-Id"
	headerProxyError = "L5d-Proxy-Error"
)

// namesClient says whether a field of a request would be taken for the identity of its client. CGI, WSGI and others make one
// variable of names that differ in nothing but such characters.
func namesClient(name string, _ []string) bool {
	return strings.EqualFold(headerClientID, strings.Map(func(c rune) rune {
		if c < 0x80 && isAlphanumeric(byte(c)) {
			return c
		}
		return '-'
	}, name))
}

// origProto is what the application's client spoke before its proxy made HTTP/2 of it.
type origProto struct {
	// http1 is false for what was HTTP/2 all along.
	http1 bool
	// absolute says that the request line named the whole URL, as it does for forward proxies.
	absolute bool
}

// parseOrigProto reads l5d-orig-proto. There are four values, and guessing at others could send a
// request in a form that its client did not mean.
func parseOrigProto(header http.Header) (origProto, bool) {
	values := header.Values(headerOrigProto)
	if len(values) == 0 {
		return origProto{}, true
	}
	version, form, hasForm := strings.Cut(values[0], ";")
	valid := len(values) == 1 &&
		(version == "HTTP/1.1" || version == "HTTP/1.0") &&
		(!hasForm || strings.TrimSpace(form) == "absolute-form")
	return origProto{http1: true, absolute: hasForm}, valid
}

// origProtoOf names the version that the application answered in, for the client's proxy to restore.
func origProtoOf(answer *http.Response) string {
	if answer.ProtoAtLeast(1, 1) {
		return "HTTP/1.1"
	}
	return "HTTP/1.0"
}

package translate

import (
	"net/http"
	"net/url"
	"strconv"
	"strings"
)

// checkHead says what is wrong with the parts of a request that an HTTP/1 request line and Host field
// are made of, and with its length, or nothing. Go's HTTP/2 server lets some things into them that
// end such a line early, or mean another request to some reader (RFC 9112, sections 3 and 11).
func checkHead(r *http.Request) string {
	switch {
	case !isToken(r.Method):
		return "the method is not a token"
	case r.RequestURI == "*" && r.Method != http.MethodOptions:
		return "the path * is for the method OPTIONS only"
	case r.RequestURI != "*" && !strings.HasPrefix(r.RequestURI, "/"):
		return "the path does not begin with a slash"
	case strings.ContainsFunc(r.RequestURI, func(c rune) bool { return c <= ' ' || c == 0x7f || c == '#' }):
		return "the path contains a space, a control character or #"
	case !isAuthority(r.Host):
		return "the authority is missing or not valid"
	case !isLengthRight(r):
		return "the content-length is not that of the body"
	default:
		return ""
	}
}

// headSize is the size of a request's header list: names, values, and 32 bytes for each field.
func headSize(r *http.Request) int {
	const perField = 32
	size := len(":method:path:scheme:authorityhttps") + 4*perField + len(r.Method) + len(r.RequestURI) + len(r.Host)
	for name, values := range r.Header {
		for _, value := range values {
			size += len(name) + len(value) + perField
		}
	}
	return size
}

// isLengthRight compares the field with what the server made of it: zero if it is not a number, or if
// the request has no body. Whether the body keeps to it the server checks as the body comes.
func isLengthRight(r *http.Request) bool {
	switch values := r.Header["Content-Length"]; len(values) {
	case 0:
		return true
	case 1:
		length, err := strconv.ParseUint(values[0], 10, 63)
		return err == nil && r.ContentLength == int64(length)
	default:
		return false
	}
}

// isToken is RFC 9110, section 5.6.2.
func isToken(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.Contains("!#$%&'*+-.^_`|~", s[i:i+1]) {
			return false
		}
	}
	return s != ""
}

// isAuthority allows the characters of a host and port, and no user (RFC 9113, section 8.3.1).
func isAuthority(s string) bool {
	for i := range len(s) {
		if !isAlphanumeric(s[i]) && !strings.Contains("-._~!$&'()*+,;=:[]%", s[i:i+1]) {
			return false
		}
	}
	return s != ""
}

func isAlphanumeric(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9'
}

// targetURL is a URL that a transport writes as the request target of in, byte for byte, in the form
// that proto asks for. A URL's Opaque is written as it is, except that two slashes at its
// beginning get a scheme in front, which is how it is made absolute.
func targetURL(in *http.Request, proto origProto) *url.URL {
	target := &url.URL{Scheme: "http", Host: applicationHost}
	switch {
	case proto.absolute:
		// "OPTIONS *" to a forward proxy names a URL without a path (RFC 9112, section 3.2.4).
		target.Opaque = "//" + in.Host + strings.TrimPrefix(in.RequestURI, "*")
	case !strings.HasPrefix(in.RequestURI, "//"):
		target.Opaque = in.RequestURI
	case !proto.http1:
		// The HTTP/2 transport takes a scheme and the authority off again.
		target.Opaque = "//" + in.Host + in.RequestURI
	default:
		path, query, hasQuery := strings.Cut(in.RequestURI, "?")
		target.RawQuery, target.ForceQuery = query, hasQuery
		setPath(target, path)
	}
	return target
}

// setPath is for paths that begin with two slashes. The one change to them is that what may not be
// in a path at all (RFC 3986, section 3.3) is escaped; what is escaped already stays as it is.
func setPath(target *url.URL, path string) {
	var escaped strings.Builder
	for i := range len(path) {
		if c := path[i]; isAlphanumeric(c) || strings.IndexByte("-._~!$&'()*+,;=:@/[]%", c) >= 0 {
			escaped.WriteByte(c)
		} else {
			const digits = "0123456789ABCDEF"
			escaped.Write([]byte{'%', digits[c>>4], digits[c&0xf]})
		}
	}
	target.RawPath = escaped.String()
	// The server has refused broken escapes. If not, RawPath would not count, and Path be escaped anew.
	target.Path, _ = url.PathUnescape(target.RawPath)
}

package translate

import (
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// sent is a request as a Linkerd proxy would send it that had read it from an HTTP/1.1 client, or as
// somebody would who means harm.
type sent struct {
	method, target, host string
	name, value          string
	body                 []byte
	chunked              bool
	trailer              string
}

// isValid says that RFC 9110 and 9112 allow the request. Names of fields are in lower case in HTTP/2.
func (s sent) isValid() bool {
	token := func(text string) bool {
		return text != "" && !strings.ContainsFunc(text, func(c rune) bool {
			return c <= ' ' || c > '~' || strings.ContainsRune(`()<>@,;:\"/[]?={}`, c)
		})
	}
	fieldValue := func(text string) bool {
		for _, c := range []byte(text) {
			if c < ' ' && c != '\t' || c == 0x7f {
				return false
			}
		}
		return true
	}
	target := s.target == "*" && s.method == "OPTIONS" || strings.HasPrefix(s.target, "/")
	for _, c := range []byte(s.target) {
		target = target && c > ' ' && c != 0x7f && c != '#'
	}
	_, err := url.ParseRequestURI(s.target)
	return token(s.method) && target && err == nil && s.isHostValid() &&
		token(s.name) && strings.ToLower(s.name) == s.name && fieldValue(s.value) && fieldValue(s.trailer)
}

func (s sent) isHostValid() bool {
	return s.host != "" && strings.Trim(s.host, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._~!$&'()*+,;=:[]%") == ""
}

// isOrdinary leaves out what has rules of its own, and tests of its own.
func (s sent) isOrdinary() bool {
	special := []string{
		"connection", "content-length", "cookie", "expect", "forwarded", "host", "http2-settings", "keep-alive", "l5d-client-id",
		"l5d-orig-proto", "proxy-authenticate", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade", "user-agent",
		"x-trailer",
	}
	// A zone of an address is not for others (RFC 6874), and two slashes at the beginning get what the
	// standard wants escaped escaped.
	return s.method != "CONNECT" && !slices.Contains(special, strings.ToLower(s.name)) && !strings.Contains(s.host, "%") &&
		(!strings.HasPrefix(s.target, "//") || !strings.ContainsFunc(s.target, func(c rune) bool { return c > '~' || strings.ContainsRune("\"<>\\^`{|}", c) }))
}

func (s sent) send(c *rawClient, stream uint32) {
	pairs := []string{
		":method", s.method, ":scheme", "http", ":path", s.target, ":authority", s.host, "l5d-orig-proto", "HTTP/1.1",
		s.name, s.value, "trailer", "x-trailer",
	}
	if !s.chunked {
		pairs = append(pairs[:len(pairs)-2], "content-length", strconv.Itoa(len(s.body)))
	}
	send := func(kind, flags byte, payload []byte) {
		// It may have ended the connection already.
		_ = c.trySend(kind, flags, stream, payload)
	}
	send(frameHeaders, flagEndHeaders, fields(pairs...))
	half := len(s.body) / 2
	send(frameData, 0, s.body[:half])
	if !s.chunked {
		send(frameData, flagEndStream, s.body[half:])
		return
	}
	send(frameData, 0, s.body[half:])
	send(frameHeaders, flagEndHeaders|flagEndStream, fields("x-trailer", s.trailer))
}

// What arrives at an HTTP/1.1 application is, byte for byte, what was sent, or nothing does. Only what
// is not valid may be refused.
func FuzzWhatArrivesIsWhatWasSent(f *testing.F) {
	f.Add("GET", "/", authority, "x-a", "b", []byte(nil), false, "")
	f.Add("POST", "/a%2fb//c/../{d}?e=f&g;h=%zz", "[::1]:80", "x-a", "b\tc \x80", []byte("hello"), true, "t")
	f.Add("OPTIONS", "*", "a", "accept-encoding", "gzip", []byte("hello"), false, "")
	f.Add("get", "//evil/%41", "a.b", "x_y", "", []byte("0\r\n\r\nGET /evil HTTP/1.1\r\n\r\n"), true, "x: y")
	f.Add("GET / HTTP/1.1\r\n", "/ HTTP/1.1", "a b", "x-a: b\r\nx", "b\r\nc: d", []byte("x"), false, "a\nb")
	f.Add("GET", "http://a/", "a@b", "Transfer-Encoding", "chunked", []byte("x"), true, "")
	f.Add("GET", "/%", "ä", ":path", "/", []byte("x"), false, "")

	addr, arrivals := recorderApp(f, plainAnswer)
	g := gatewayTo(f, addr)
	f.Fuzz(func(t *testing.T, method, target, host, name, value string, body []byte, chunked bool, trailer string) {
		s := sent{method, target, host, name, value, body, chunked, trailer}
		if len(method)+len(target)+len(host)+len(name)+len(value)+len(body)+len(trailer) > 8<<10 || !s.isOrdinary() {
			return
		}
		c := g.raw(t)
		s.send(c, 1)
		answer := c.answerOn(1)
		if answer.status() != "200" {
			if s.isValid() {
				t.Errorf("refused %+v: %+v", s, answer)
			}
			if len(arrivals) > 0 {
				t.Errorf("refused %+v, but %q arrived", s, (<-arrivals).line)
			}
			return
		}
		s.compare(t, within(t, arrivals, "the request"))
	})
}

// answerOn gives the frame that decides what became of a request, a GOAWAY if the connection ended.
func (c *rawClient) answerOn(stream uint32) frame {
	for {
		f, err := c.next()
		switch {
		case err != nil:
			return frame{kind: frameGoAway}
		case f.kind == frameGoAway, (f.kind == frameHeaders || f.kind == frameReset) && f.stream == stream:
			return f
		case f.kind == framePing && f.flags == 0:
			_ = c.trySend(framePing, 1, 0, f.payload)
		}
	}
}

func (s sent) compare(t *testing.T, got arrival) {
	t.Helper()
	if want := s.method + " " + s.target + " HTTP/1.1"; got.line != want {
		t.Errorf("request line %q, want %q", got.line, want)
	}
	if got.request.Host != s.host {
		t.Errorf("Host %q, want %q", got.request.Host, s.host)
	}
	if string(got.body) != string(s.body) {
		t.Errorf("body %q, want %q", got.body, s.body)
	}
	want := http.Header{
		textproto.CanonicalMIMEHeaderKey(s.name): {strings.Trim(s.value, " \t")},
		"L5d-Client-Id":                          {clientID},
		"Forwarded":                              {forwardedElement(gatewayID, clientID, s.host)},
	}
	got.request.Header.Del("Content-Length") // which the body has been read by
	if diff := cmp.Diff(want, got.request.Header); diff != "" {
		t.Errorf("fields (-want +got):\n%s", diff)
	}
	// A request with a method that usually has no body has no chunks either, if it is empty.
	if trailer := strings.Trim(s.trailer, " \t"); s.chunked && len(s.body) > 0 && got.request.Trailer.Get("X-Trailer") != trailer {
		t.Errorf("trailer %q, want %q", got.request.Trailer, trailer)
	}
}

// Elements of others cannot hide ours, and what is read does not depend on how lines are folded.
func FuzzForwarded(f *testing.F) {
	f.Add("for=a;by=b", `by="c"`, "id.example")
	f.Add(`by="a,b\";by=c"`, "", `a"b\`)
	f.Add(`by="a`, "by=b", "x")
	f.Add("by", "=;,;=\"\"", "")
	f.Add("BY = a ; for=[::1]:80, by=b", ",,by=,", "a b")
	f.Fuzz(func(t *testing.T, first, second, gateway string) {
		ours := forwardedElement(gateway, "client.example", "host:80")
		if by, ok := forwardedBy([]string{ours}); !ok || !cmp.Equal(by, []string{gateway}) {
			t.Fatalf("%q is read as %q, %v", ours, by, ok)
		}
		by, ok := forwardedBy([]string{first, second})
		if !ok {
			return
		}
		if all, _ := forwardedBy([]string{first, second, ours}); !cmp.Equal(all, append(slices.Clone(by), gateway)) {
			t.Errorf("%q, %q and ours: %q", first, second, all)
		}
		if joined, ok := forwardedBy([]string{first + "," + second}); !ok || !cmp.Equal(joined, by) {
			t.Errorf("on one line: %q, %v, on two: %q", joined, ok, by)
		}
	})
}

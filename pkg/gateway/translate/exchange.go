package translate

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httputil"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// exchange is one request and its answer. Its methods are the hooks of a httputil.ReverseProxy.
type exchange struct {
	session *session
	proto   origProto
	grpc    bool
	// forwarded is what the client sent as Forwarded, if it can be read.
	forwarded []string
	body      *requestBody
	// challenge is the answer's Proxy-Authenticate.
	challenge []string
}

// admit says why a request is refused, or nil.
func (x *exchange) admit(r *http.Request) *fault {
	if r.Method == http.MethodConnect {
		return &fault{
			status: http.StatusNotImplemented, grpc: grpcUnimplemented,
			text: "the gateway does not make tunnels with CONNECT inside HTTP/2: mark the port as opaque",
		}
	}
	if limit := x.session.options.Limits.MaxHeaderBytes; headSize(r) > limit {
		return &fault{
			status: http.StatusRequestHeaderFieldsTooLarge, grpc: grpcResourceExhausted,
			text: fmt.Sprintf("the gateway refused the request: its head is longer than %d bytes", limit),
		}
	}
	if wrong := checkHead(r); wrong != "" {
		return badRequest(wrong)
	}
	proto, ok := parseOrigProto(r.Header)
	if !ok {
		return badRequest("the header l5d-orig-proto must be HTTP/1.1 or HTTP/1.0, and may add ; absolute-form")
	}
	x.proto = proto
	forwarded := r.Header.Values("Forwarded")
	by, wellFormed := forwardedBy(forwarded)
	if slices.ContainsFunc(by, func(id string) bool { return strings.EqualFold(id, x.session.options.Gateway) }) {
		return &fault{
			status: http.StatusLoopDetected, grpc: grpcAborted,
			text: "the gateway refused the request: it has passed this gateway before (see its forwarded header)",
		}
	}
	if wellFormed { // else a quote left open could swallow what is added to it
		x.forwarded = forwarded
	}
	return nil
}

func (x *exchange) forward(w http.ResponseWriter, r *http.Request) {
	proxy := httputil.ReverseProxy{
		Rewrite:        x.rewrite,
		Transport:      x,
		ModifyResponse: x.answered,
		ErrorHandler:   x.failed,
		ErrorLog:       x.session.errorLog,
		BufferPool:     &x.session.buffers,
		// FlushInterval stays zero, and answered says what to flush: everything, but not a body that is
		// known to be empty. Flushing that would make two frames of a gRPC answer that must be one.
	}
	proxy.ServeHTTP(answerWriter{w}, r)
}

// rewrite undoes what the reverse proxy did to the request, and makes the changes that are meant.
func (x *exchange) rewrite(p *httputil.ProxyRequest) {
	in, out := p.In, p.Out
	out.URL = targetURL(in, x.proto)
	// The server fills in the values when the body has been read: it must be the same map.
	out.Trailer = in.Trailer
	for _, name := range []string{"X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "Proxy-Authorization"} {
		if values, ok := in.Header[name]; ok {
			out.Header[name] = values
		}
	}
	options := x.session.options
	out.Header.Del(headerOrigProto)
	maps.DeleteFunc(out.Header, namesClient)
	maps.DeleteFunc(out.Trailer, namesClient)
	out.Header.Set(headerClientID, options.Client)
	// A line of its own, because Linkerd's gateway reads no further than the first by of each line.
	out.Header["Forwarded"] = append(slices.Clip(x.forwarded), forwardedElement(options.Gateway, options.Client, in.Host))
	if x.proto.http1 {
		out.Header.Del("Te") // it would need a Connection field that names it
	}
	if out.Body != nil {
		x.body = &requestBody{ReadCloser: out.Body}
		out.Body = x.body
	}
}

// RoundTrip implements http.RoundTripper.
func (x *exchange) RoundTrip(r *http.Request) (*http.Response, error) {
	transport := x.session.application.http2
	if x.proto.http1 {
		transport = x.session.application.http1
	}
	answer, err := transport.RoundTrip(r)
	if err == nil {
		x.challenge = answer.Header["Proxy-Authenticate"]
	}
	return answer, err
}

// answered is called with the head of the application's answer.
func (x *exchange) answered(answer *http.Response) error {
	if answer.StatusCode == http.StatusSwitchingProtocols {
		return errSwitched
	}
	if answer.StatusCode < 200 || answer.StatusCode > 999 {
		return unanswerable(fmt.Sprintf("the service answered with the status %d, which is none", answer.StatusCode))
	}
	if x.challenge != nil {
		answer.Header["Proxy-Authenticate"] = x.challenge
	}
	// An application may speak for itself only.
	answer.Header.Del(headerOrigProto)
	if x.proto.http1 {
		answer.Header.Set(headerOrigProto, origProtoOf(answer))
	}
	answer.Body = &answerBody{ReadCloser: answer.Body, answer: answer, exchange: x, grpc: x.grpc && answer.ContentLength < 0}
	if answer.ContentLength != 0 {
		// The reverse proxy takes this for "flush at once", and passes the header field on unchanged.
		answer.ContentLength = -1
	}
	return nil
}

// failed is called when there is no answer of the application that could be passed on.
func (x *exchange) failed(w http.ResponseWriter, r *http.Request, err error) {
	if cause := x.body.failure(); cause != nil && errors.Is(err, cause) && r.Context().Err() == nil {
		x.session.refused.Add(1)
		badRequest("its body broke off: "+plain(cause)).write(answerWriter{w}, x.grpc)
		return
	}
	f := faultOf(err, x.session.options.Limits.ConnectTimeout)
	if x.note(r, err, f.text) {
		f.write(answerWriter{w}, x.grpc)
	}
}

// note counts and logs the failure of a request, unless it is the client who gave it up.
func (x *exchange) note(r *http.Request, err error, text string) bool {
	if r.Context().Err() != nil {
		return false
	}
	x.session.failed.Add(1)
	x.session.options.Log.V(1).Info("A request failed", "client", x.session.options.Client, "reason", text, "error", stream.Text(err.Error()))
	return true
}

// answerBody is the body of an application's answer. If it breaks off, the reverse proxy resets the
// client's stream, and a gRPC answer ends with a status instead. That tells the client more: all that
// Go's server can say by a reset is INTERNAL_ERROR, after which gRPC clients do not try again.
type answerBody struct {
	io.ReadCloser
	answer   *http.Response
	exchange *exchange
	grpc     bool
}

// Read implements io.Reader.
func (b *answerBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err == nil || errors.Is(err, io.EOF) {
		return n, err
	}
	if !b.exchange.note(b.answer.Request, err, "the answer broke off") || !b.grpc {
		return n, err
	}
	b.answer.Trailer = grpcStatus(grpcBreak(err))
	return n, io.EOF
}

// requestBody remembers that it was the client's side on which the body broke off.
type requestBody struct {
	io.ReadCloser
	broken atomic.Pointer[error]
}

// Read implements io.Reader.
func (b *requestBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if err != nil && !errors.Is(err, io.EOF) {
		b.broken.CompareAndSwap(nil, &err)
	}
	return n, err
}

func (b *requestBody) failure() error {
	if b == nil {
		return nil
	}
	if err := b.broken.Load(); err != nil {
		return *err
	}
	return nil
}

// answerWriter keeps the server from adding to an answer, and interim answers from breaking HTTP/2.
type answerWriter struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (w answerWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// WriteHeader implements http.ResponseWriter.
func (w answerWriter) WriteHeader(status int) {
	header := w.Header()
	if status >= 100 && status < 200 {
		// The reverse proxy passes these on as they come, and RFC 9113, section 8.2.2, forbids them.
		for _, name := range []string{"Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", headerOrigProto} {
			header.Del(name)
		}
	} else {
		for _, name := range []string{"Content-Type", "Content-Length"} {
			if _, ok := header[name]; !ok {
				header[name] = nil // present, so not guessed at; without a value, so not sent
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

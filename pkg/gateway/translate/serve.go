package translate

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"strings"

	"github.com/go-logr/logr"

	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

// How a connection can end badly. Serve may return other errors too: those of the connection itself.
var (
	// ErrNotHTTP2 means that the client's first bytes were not those of HTTP/2.
	ErrNotHTTP2 = errors.New("the client does not speak HTTP/2")
	// ErrStalled means that the client was cut off because it said nothing, or took nothing, for too long.
	ErrStalled = errors.New("the client stalled")
	// ErrCut means that requests were still running when the time for draining was over.
	ErrCut = errors.New("requests were cut off at the end of the drain time")
)

// Memory that one request may hold in buffers, in each direction.
const (
	// What a client may send ahead: enough for tens of megabits a second over a continent. One request
	// whose application does not read must not use up what all of the connection have.
	uploadWindow           = 512 << 10
	connectionUploadWindow = 3 << 20
	// What an application may send ahead: it is near, so little is enough, such as half a gigabit a second over
	// a millisecond. As many requests as a client may have can hold so much each.
	downloadWindow = 64 << 10
)

// headerSlack is how many times Limits.MaxHeaderBytes Go's server reads. It gives up the connection
// above its limit, with all other requests on it; up to there a request that is too long is only refused.
const headerSlack = 2

// Options are what Serve needs to know of one client connection. All fields but Room and Limits are required.
type Options struct {
	// Dial connects to the application. It must return soon after its context has ended. Whatever
	// asks for it, one Serve reaches one application.
	Dial func(ctx context.Context) (net.Conn, error)
	// Client is the verified identity of the client, a DNS name.
	Client string
	// Gateway is the identity of this gateway, a DNS name.
	Gateway string
	// Room takes a place for a request that runs beside another one on the connection, to be given back by leave, or says
	// that there is none. It may be nil when there always is one.
	Room func() (leave func(), ok bool)
	// Log gets what is worth knowing for who looks closely: all of it at V(1).
	Log logr.Logger
	// Limits may be zero.
	Limits Limits
}

// Result is what happened on a connection. Requests that are no valid HTTP/2 are not counted: they
// are refused before anything here sees them.
type Result struct {
	// Requests is how many requests arrived.
	Requests uint64
	// Refused is how many of them the gateway answered by itself, because of what they asked.
	Refused uint64
	// Failed is how many of them the application did not answer, or not to the end. A request that
	// the client gave up is not among them.
	Failed uint64
}

// Serve serves the HTTP/2 connection of a client with prior knowledge until the connection has ended
// and all its requests have. It closes conn. When ctx ends, the client is told to send nothing new
// (GOAWAY), requests may go on for Limits.DrainTimeout, and then the connection is cut.
//
// The error says why the connection ended, and is nil if the client closed it, if it was idle or
// drained, or if the client broke the rules of HTTP/2 and was told so.
func Serve(ctx context.Context, conn net.Conn, o Options) (Result, error) {
	o.Limits.Default()
	c := newClient(conn)
	app, closeApp := newApplication(context.WithoutCancel(ctx), o)
	s := &session{options: o, application: app, errorLog: log.New(debugLog{o.Log}, "", 0)}
	server := newServer(ctx, c, s)
	l := newListener(c)

	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		// It ends with an error always, and always with that of the closed listener.
		_ = server.Serve(l)
	}()

	cut := false
	select {
	case <-c.ended:
	case <-ctx.Done():
		cut = drain(ctx, server, c, o.Limits)
	}
	_ = l.Close()
	<-accepting
	s.finish()
	closeApp()
	if cut {
		return s.result(), ErrCut
	}
	return s.result(), c.verdict()
}

// drain ends a connection whose owner wants to stop, and says whether it had to be cut.
func drain(ctx context.Context, server *http.Server, c *client, limits Limits) (cut bool) {
	if !c.hasSpoken() {
		// Nothing has begun, and a connection whose preface is not here yet cannot be told.
		_ = c.Close()
		<-c.ended
		return false
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.DrainTimeout)
	told := make(chan struct{})
	go func() {
		defer close(told)
		// It waits for the connection as well; that it gave up is seen here too.
		_ = server.Shutdown(ctx)
	}()
	select {
	case <-c.ended:
	case <-ctx.Done():
		cut = true
		_ = c.Close()
		<-c.ended
	}
	cancel()
	<-told
	return cut
}

func newServer(ctx context.Context, c *client, s *session) *http.Server {
	limits := s.options.Limits
	var protocols http.Protocols
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:   s,
		Protocols: &protocols,
		// The end of ctx drains: it must not end the requests.
		BaseContext:       func(net.Listener) context.Context { return context.WithoutCancel(ctx) },
		ConnState:         c.follow,
		ErrorLog:          s.errorLog,
		ReadHeaderTimeout: limits.StallTimeout, // for HTTP/2 this is the preface's
		IdleTimeout:       limits.IdleTimeout,
		MaxHeaderBytes:    headerSlack * limits.MaxHeaderBytes,
		// "OPTIONS *" is for the application, too.
		DisableGeneralOptionsHandler: true,
		HTTP2: &http.HTTP2Config{
			MaxConcurrentStreams:          limits.MaxStreams,
			MaxReceiveBufferPerConnection: connectionUploadWindow,
			MaxReceiveBufferPerStream:     uploadWindow,
			// Together one StallTimeout: after half of it a ping is sent, and the other half is to answer.
			// A client that stops inside a header block cannot answer either.
			SendPingTimeout:  limits.StallTimeout / 2,
			PingTimeout:      limits.StallTimeout / 2,
			WriteByteTimeout: limits.StallTimeout,
			CountError:       c.countError,
		},
	}
}

// debugLog makes lines of net/http's error log into entries at V(1): they tell of clients and
// applications that misbehave, which is nothing that the operator of a gateway can mend.
type debugLog struct{ log logr.Logger }

// Write implements io.Writer.
func (d debugLog) Write(line []byte) (int, error) {
	d.log.V(1).Info("HTTP server", "says", stream.Text(strings.TrimSpace(string(line))))
	return len(line), nil
}

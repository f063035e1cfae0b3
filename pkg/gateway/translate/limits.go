package translate

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

const (
	// One Linkerd proxy sends all requests for one target over one connection, long-lived gRPC streams too.
	defaultMaxStreams     = 250
	defaultMaxHeaderBytes = 64 << 10
	// A client may lose a request that it sends while an idle connection is being closed: seldom, then.
	defaultIdleTimeout  = 10 * time.Minute
	defaultStallTimeout = 30 * time.Second
	// Long enough for who stops reading to work on what it has, short enough to give back what others want to hold.
	defaultAnswerTimeout  = 5 * time.Minute
	defaultConnectTimeout = 5 * time.Second
	defaultDrainTimeout   = 30 * time.Second

	// Below this no useful request has room.
	minHeaderBytes = 4 << 10
	// Below this a slow network would be taken for a dead one.
	minTimeout = 10 * time.Millisecond
)

// Limits are what one client connection may ask of the gateway. The same values serve all connections.
type Limits struct {
	// MaxStreams is how many requests of one connection run at the same time, from 1 to 100000. A
	// client that knows the limit waits; a stream above it is refused.
	MaxStreams int
	// MaxHeaderBytes limits the head of a request, counted as HTTP/2 does (RFC 9113, section 10.5.1), and
	// of an answer. From 4 KiB to 16 MiB. Longer requests are answered with 431, those of more than
	// twice the length end the connection. Longer answers become 502.
	MaxHeaderBytes int
	// IdleTimeout is how long a connection without requests is kept.
	IdleTimeout time.Duration
	// StallTimeout is how long a client may say nothing at all, not even the answer to a ping, in the
	// middle of a header block or before its first byte, or may take none of the bytes sent to it.
	// Requests themselves may take as long as they like.
	StallTimeout time.Duration
	// AnswerTimeout is how long a client that answers pings may take nothing of an answer that waits for it.
	AnswerTimeout time.Duration
	// ConnectTimeout is for connecting to the application once.
	ConnectTimeout time.Duration
	// DrainTimeout is how long requests may go on after the context of Serve has ended. It has no flag: whoever
	// ends the context knows how long it waits for all streams, and these are some of them.
	DrainTimeout time.Duration
}

// Default fills in what is zero.
func (l *Limits) Default() {
	l.MaxStreams = cmp.Or(l.MaxStreams, defaultMaxStreams)
	l.MaxHeaderBytes = cmp.Or(l.MaxHeaderBytes, defaultMaxHeaderBytes)
	l.IdleTimeout = cmp.Or(l.IdleTimeout, defaultIdleTimeout)
	l.StallTimeout = cmp.Or(l.StallTimeout, defaultStallTimeout)
	l.AnswerTimeout = cmp.Or(l.AnswerTimeout, defaultAnswerTimeout)
	l.ConnectTimeout = cmp.Or(l.ConnectTimeout, defaultConnectTimeout)
	l.DrainTimeout = cmp.Or(l.DrainTimeout, defaultDrainTimeout)
}

// Bind adds a flag for each field but DrainTimeout. What the fields hold, or else the defaults, are the flags' defaults.
func (l *Limits) Bind(fs *pflag.FlagSet) {
	l.Default()
	fs.IntVar(&l.MaxStreams, "http-max-streams", l.MaxStreams,
		"requests of one client connection that run at the same time")
	fs.IntVar(&l.MaxHeaderBytes, "http-max-header-bytes", l.MaxHeaderBytes,
		"bytes that the header fields of a request, and of an answer, may take")
	fs.DurationVar(&l.IdleTimeout, "http-idle-timeout", l.IdleTimeout,
		"time that a client's HTTP/2 connection without requests is kept")
	fs.DurationVar(&l.StallTimeout, "http-stall-timeout", l.StallTimeout,
		"time after which a client that answers no ping, or takes no bytes, is cut off")
	fs.DurationVar(&l.AnswerTimeout, "http-answer-timeout", l.AnswerTimeout,
		"time after which an answer that its client takes nothing of is ended, though the client answers pings")
	fs.DurationVar(&l.ConnectTimeout, "http-connect-timeout", l.ConnectTimeout,
		"time limit for connecting to the application that a request is for")
}

// Validate names every flag whose value cannot work.
func (l Limits) Validate() error {
	var errs []error
	if l.MaxStreams < 1 || l.MaxStreams > 100_000 {
		errs = append(errs, fmt.Errorf("--http-max-streams is %d, must be from 1 to 100000", l.MaxStreams))
	}
	if l.MaxHeaderBytes < minHeaderBytes || l.MaxHeaderBytes > 16<<20 {
		errs = append(errs, fmt.Errorf("--http-max-header-bytes is %d, must be from %d to %d", l.MaxHeaderBytes, minHeaderBytes, 16<<20))
	}
	for _, timeout := range []struct {
		flag  string
		value time.Duration
	}{
		{"http-idle-timeout", l.IdleTimeout},
		{"http-stall-timeout", l.StallTimeout},
		{"http-answer-timeout", l.AnswerTimeout},
		{"http-connect-timeout", l.ConnectTimeout},
	} {
		if timeout.value < minTimeout {
			errs = append(errs, fmt.Errorf("--%s is %v, must be at least %v", timeout.flag, timeout.value, minTimeout))
		}
	}
	return errors.Join(errs...)
}

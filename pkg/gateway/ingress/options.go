package ingress

import (
	"cmp"
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/pkg/gateway/clients"
	"github.com/linkspan/linkspan/pkg/gateway/translate"
)

const (
	defaultListen           = ":4143"
	defaultMaxConnections   = 20_000
	defaultMaxClientConns   = 10_000
	defaultMaxStreams       = 50_000
	defaultMaxClientStreams = 25_000
	defaultHandshakeTimeout = 10 * time.Second
	defaultHeaderTimeout    = 10 * time.Second
	defaultConnectTimeout   = 5 * time.Second
	// A gateway that comes back meets all its clients at once. A handshake under way costs about 12 KiB.
	defaultMaxHandshakes = 4096

	// laneIdleTimeout is far longer than that of our egress, which is the one to close (package tunnel).
	laneIdleTimeout = 10 * time.Minute
	minTimeout      = 10 * time.Millisecond

	// muxSlack is how many streams more than its client may have one mux may carry, so that it is the limit of
	// the client that refuses a stream, with a reason, and not the mux, without one.
	muxSlack = 128
)

// Options of an ingress.
type Options struct {
	// Listen is the address for other clusters, as host:port or :port.
	Listen string
	// AllowClients are the identities that may call anything that is exported, as package clients reads them; AllowFile
	// holds more of them and is read again when it changes. Without either, any identity under the trust anchors may. An
	// AllowClients that is empty and not nil was given, and is refused: a template that has nothing to join must not open the gateway.
	AllowClients []string
	AllowFile    string
	// DryRun logs what allow-lists, also those of Services, would deny, and lets it pass (POL-14).
	DryRun bool

	// MaxConnections and MaxStreams are limits for all, the two of clients for each identity. An
	// egress is one identity for its whole cluster.
	MaxConnections, MaxClientConnections int
	MaxStreams, MaxClientStreams         int
	// MaxHandshakes is how many TLS handshakes may be under way. When there are as many, one that has
	// taken longer than a second gives way to the next one, which else is refused.
	MaxHandshakes int

	HandshakeTimeout time.Duration
	HeaderTimeout    time.Duration
	// ConnectTimeout is for connecting to one address of an application.
	ConnectTimeout time.Duration

	HTTP translate.Limits
}

// Default fills in what is zero.
func (o *Options) Default() {
	o.Listen = cmp.Or(o.Listen, defaultListen)
	o.MaxConnections = cmp.Or(o.MaxConnections, defaultMaxConnections)
	o.MaxClientConnections = cmp.Or(o.MaxClientConnections, defaultMaxClientConns)
	o.MaxStreams = cmp.Or(o.MaxStreams, defaultMaxStreams)
	o.MaxClientStreams = cmp.Or(o.MaxClientStreams, defaultMaxClientStreams)
	o.MaxHandshakes = cmp.Or(o.MaxHandshakes, defaultMaxHandshakes)
	o.HandshakeTimeout = cmp.Or(o.HandshakeTimeout, defaultHandshakeTimeout)
	o.HeaderTimeout = cmp.Or(o.HeaderTimeout, defaultHeaderTimeout)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, defaultConnectTimeout)
	o.HTTP.Default()
}

// Bind adds a flag for each field. What the fields hold, or else the defaults, are the flags' defaults.
func (o *Options) Bind(fs *pflag.FlagSet) {
	o.Default()
	fs.StringVar(&o.Listen, "listen", o.Listen, "address for other clusters")
	fs.StringSliceVar(&o.AllowClients, "allow-clients", o.AllowClients,
		"client identities that may call exported Services, exact or with a leading *.; without this and --allow-clients-file, any under the trust anchors")
	fs.Var((*filePath)(&o.AllowFile), "allow-clients-file",
		"file with more client identities, one to a line; read again when it changes")
	fs.BoolVar(&o.DryRun, "allow-clients-dry-run", o.DryRun,
		"only log what allow-lists, also those of Services, would deny, and let it pass")
	fs.IntVar(&o.MaxConnections, "max-connections", o.MaxConnections, "connections in all")
	fs.IntVar(&o.MaxClientConnections, "max-client-connections", o.MaxClientConnections, "connections of one client identity; an egress has one for its whole cluster")
	fs.IntVar(&o.MaxStreams, "max-streams", o.MaxStreams, "streams in all; a connection may carry several")
	fs.IntVar(&o.MaxClientStreams, "max-client-streams", o.MaxClientStreams, "streams of one client identity")
	fs.IntVar(&o.MaxHandshakes, "max-handshakes", o.MaxHandshakes, "TLS handshakes under way at a time; beyond that, those slower than a second give way, or new ones are refused at once")
	fs.DurationVar(&o.HandshakeTimeout, "handshake-timeout", o.HandshakeTimeout, "time for a TLS handshake")
	fs.DurationVar(&o.HeaderTimeout, "header-timeout", o.HeaderTimeout, "time for a stream's header")
	fs.DurationVar(&o.ConnectTimeout, "connect-timeout", o.ConnectTimeout, "time for connecting to one address of a Service")
	o.HTTP.Bind(fs)
}

var errNobody = errors.New(`name clients, write "*" for any, or leave the flag out`)

// filePath is a flag that may be left out, but not be given without a value: its zero value alone would not tell.
type filePath string

// Set implements pflag.Value.
func (f *filePath) Set(path string) error {
	if path == "" {
		return errNobody
	}
	*f = filePath(path)
	return nil
}

// String implements pflag.Value.
func (f *filePath) String() string { return string(*f) }

// Type implements pflag.Value.
func (*filePath) Type() string { return "string" }

// Validate names every flag whose value cannot work.
func (o Options) Validate() error {
	var errs []error
	if _, _, err := net.SplitHostPort(o.Listen); err != nil {
		errs = append(errs, fmt.Errorf("--listen %q: give host:port or :port: %w", o.Listen, err))
	}
	if _, err := clients.Parse(o.AllowClients...); err != nil {
		errs = append(errs, fmt.Errorf("--allow-clients: %w", err))
	}
	if o.AllowClients != nil && len(o.AllowClients) == 0 {
		errs = append(errs, fmt.Errorf("--allow-clients is given, but empty: %w", errNobody))
	}
	for _, limit := range []struct {
		flag  string
		value int
	}{
		{"max-connections", o.MaxConnections},
		{"max-client-connections", o.MaxClientConnections},
		{"max-streams", o.MaxStreams},
		{"max-client-streams", o.MaxClientStreams},
		{"max-handshakes", o.MaxHandshakes},
	} {
		if limit.value < 1 {
			errs = append(errs, fmt.Errorf("--%s is %d, must be at least 1", limit.flag, limit.value))
		}
	}
	for _, timeout := range []struct {
		flag  string
		value time.Duration
	}{
		{"handshake-timeout", o.HandshakeTimeout},
		{"header-timeout", o.HeaderTimeout},
		{"connect-timeout", o.ConnectTimeout},
	} {
		if timeout.value < minTimeout {
			errs = append(errs, fmt.Errorf("--%s is %v, must be at least %v", timeout.flag, timeout.value, minTimeout))
		}
	}
	return errors.Join(append(errs, o.HTTP.Validate())...)
}

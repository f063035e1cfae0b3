package egress

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/pkg/gateway/tunnel"
	"github.com/linkspan/linkspan/pkg/link"
)

const (
	// defaultMaxConnections is enough for a busy cluster. defaultMaxClientConnections keeps one client from taking
	// them all, and leaves much for those that share the address of a node.
	defaultMaxConnections       = 10_000
	defaultMaxClientConnections = 2_500
	// maxConnectTimeout bounds a slip of the pen: clients have given up long before.
	maxConnectTimeout = time.Minute
	// maxTunnels is the most lanes or sessions to one address.
	maxTunnels = 10_000
)

// Options are the settings of the egress.
type Options struct {
	// Namespace is where the Links are.
	Namespace string
	// BindAddress is the IP address to listen on; empty is all that there are.
	BindAddress string
	// MaxConnections is how many connections of clients may be open at a time, of all mirrors together.
	MaxConnections int
	// MaxClientConnections is how many of them may come from one address.
	MaxClientConnections int
	// ConnectTimeout is for connecting to one address of a gateway, with the TLS handshake. The next
	// addresses are tried after it, three times as long in all.
	ConnectTimeout time.Duration
	// Lanes is how many connections to one address of a gateway carry one stream after the other.
	Lanes int
	// Sessions is how many connections to one address carry the streams beyond these.
	Sessions int

	// Loopback permits gateways on this host. It has no flag, because it is for tests.
	Loopback bool
}

// Default fills in what is empty.
func (o *Options) Default() {
	o.Namespace = cmp.Or(o.Namespace, link.DefaultNamespace)
	o.MaxConnections = cmp.Or(o.MaxConnections, defaultMaxConnections)
	o.MaxClientConnections = cmp.Or(o.MaxClientConnections, defaultMaxClientConnections)
	o.ConnectTimeout = cmp.Or(o.ConnectTimeout, tunnel.DefaultConnectTimeout)
	o.Lanes = cmp.Or(o.Lanes, tunnel.DefaultLanes)
	o.Sessions = cmp.Or(o.Sessions, tunnel.DefaultSessions)
}

// Bind adds a flag for each field. What the fields hold, or else the defaults, are the flags' defaults.
func (o *Options) Bind(fs *pflag.FlagSet) {
	o.Default()
	fs.StringVar(&o.Namespace, "namespace", o.Namespace, "namespace of the Links")
	fs.StringVar(&o.BindAddress, "bind-address", o.BindAddress, "IP address to listen on for clients of mirrors; empty means all")
	fs.IntVar(&o.MaxConnections, "max-connections", o.MaxConnections,
		"clients' connections that may be open at a time; further ones are reset at once")
	fs.IntVar(&o.MaxClientConnections, "max-client-connections", o.MaxClientConnections,
		"connections that clients of one IP address may have open; further ones are reset at once. Pods of the host network share their node's address")
	fs.DurationVar(&o.ConnectTimeout, "connect-timeout", o.ConnectTimeout,
		"time to connect to one address of a gateway, with the TLS handshake")
	fs.IntVar(&o.Lanes, "lanes", o.Lanes, "connections to one address of a gateway that carry one stream after the other")
	fs.IntVar(&o.Sessions, "sessions", o.Sessions, "connections to one address of a gateway that share the streams for which there is no lane")
}

// Validate names every flag whose value cannot work.
func (o Options) Validate() error {
	var errs []error
	if problems := validation.IsDNS1123Label(o.Namespace); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--namespace is %q, must be the name of the namespace that the Links are in: %s",
			o.Namespace, strings.Join(problems, "; ")))
	}
	if _, err := netip.ParseAddr(o.BindAddress); o.BindAddress != "" && err != nil {
		errs = append(errs, fmt.Errorf("--bind-address is %q, must be an IP address without a port, or empty for all", o.BindAddress))
	}
	if o.MaxConnections < 1 {
		errs = append(errs, fmt.Errorf("--max-connections is %d, must be at least 1", o.MaxConnections))
	}
	if o.MaxClientConnections < 1 {
		errs = append(errs, fmt.Errorf("--max-client-connections is %d, must be at least 1", o.MaxClientConnections))
	}
	if o.ConnectTimeout <= 0 || o.ConnectTimeout > maxConnectTimeout {
		errs = append(errs, fmt.Errorf("--connect-timeout is %v, must be more than zero and at most %v", o.ConnectTimeout, maxConnectTimeout))
	}
	for _, n := range [...]struct {
		flag  string
		value int
	}{{"--lanes", o.Lanes}, {"--sessions", o.Sessions}} {
		if n.value < 1 || n.value > maxTunnels {
			errs = append(errs, fmt.Errorf("%s is %d, must be from 1 to %d", n.flag, n.value, maxTunnels))
		}
	}
	return errors.Join(errs...)
}

// Tunnel are the options of the pool of connections to gateways.
func (o Options) Tunnel() tunnel.Options {
	return tunnel.Options{Lanes: o.Lanes, Sessions: o.Sessions, ConnectTimeout: o.ConnectTimeout}
}

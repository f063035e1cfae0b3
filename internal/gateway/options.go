package gateway

import (
	"errors"
	"fmt"
	"net"
	"time"

	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/internal/logging"
	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/gateway/stream"
)

const (
	adminFlag = "admin-address"
	probeFlag = "probe-address"
	// nowhere is the address that serves nothing.
	nowhere = "0"
	// defaultAdminAddress is the port that Linkerd's gateways are probed at.
	defaultAdminAddress = ":4191"
	// defaultDrainDelay is what endpoints usually take to be followed everywhere.
	defaultDrainDelay = 5 * time.Second
	// defaultDrainTimeout and the delay together leave five of the thirty seconds that Kubernetes gives a
	// pod when nobody says otherwise: who forgets to raise them loses no clean end.
	defaultDrainTimeout = 20 * time.Second
)

// Options are those that both sides have.
type Options struct {
	// AdminAddress serves health and metrics; "0" serves nothing.
	AdminAddress string
	// ProbeAddress serves health alone, and no reasons; "0" serves nothing.
	ProbeAddress string
	// DrainDelay is how long to go on accepting once told to end.
	DrainDelay time.Duration
	// DrainTimeout is how long open streams may then take to end.
	DrainTimeout time.Duration
	// Kubeconfig and Context name the cluster when the process does not run in it.
	Kubeconfig, Context string
	// Version is that of the program, for linkspan_build_info. It is no flag.
	Version string

	Log       logging.Options
	AccessLog stream.LogOptions
	Certs     certs.Options
}

// Bind adds a flag for each field, with its default.
func (o *Options) Bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.AdminAddress, adminFlag, defaultAdminAddress,
		"address of /live, /ready and /metrics; 0 serves none. Probes of other clusters ask for /ready")
	fs.StringVar(&o.ProbeAddress, probeFlag, nowhere,
		"address of /live and /ready alone, without the reason for not being ready: what a load balancer may expose in place of --admin-address, so that metrics stay in the cluster; 0 serves none")
	fs.DurationVar(&o.DrainDelay, "drain-delay", defaultDrainDelay,
		"how long to go on accepting after SIGTERM, while not ready, until clients go elsewhere")
	fs.DurationVar(&o.DrainTimeout, "drain-timeout", defaultDrainTimeout,
		"how long open streams may take to end after that. The pod's terminationGracePeriodSeconds must be longer than both together, by some seconds")
	fs.StringVar(&o.Kubeconfig, "kubeconfig", "", "path of the kubeconfig file to use, outside a cluster")
	fs.StringVar(&o.Context, "context", "", "name of the kubeconfig context to use")
	o.Log.Bind(fs)
	o.AccessLog.Bind(fs)
	o.Certs.Bind(fs, "")
}

// Validate names every flag whose value is missing or cannot work.
func (o *Options) Validate() error {
	var errs []error
	errs = append(errs, validAddress("--"+adminFlag, o.AdminAddress), validAddress("--"+probeFlag, o.ProbeAddress))
	if o.DrainDelay < 0 {
		errs = append(errs, fmt.Errorf("--drain-delay is %v, must not be negative", o.DrainDelay))
	}
	if o.DrainTimeout < 0 {
		errs = append(errs, fmt.Errorf("--drain-timeout is %v, must not be negative", o.DrainTimeout))
	}
	errs = append(errs, o.Log.Validate(), o.AccessLog.Validate(), o.Certs.Validate())
	return errors.Join(errs...)
}

func validAddress(flag, address string) error {
	if address == nowhere {
		return nil
	}
	if _, _, err := net.SplitHostPort(address); err != nil {
		return fmt.Errorf("%s %q: give host:port, :port or 0: %w", flag, address, err)
	}
	return nil
}

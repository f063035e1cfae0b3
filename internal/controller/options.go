package controller

import (
	"errors"
	"fmt"
	"math"
	"net"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/linkspan/linkspan/internal/logging"
	"github.com/linkspan/linkspan/pkg/gateway/certs"
	"github.com/linkspan/linkspan/pkg/mirror"
	"github.com/linkspan/linkspan/pkg/probe"
)

// DefaultNamespace is where Links are read when nothing says otherwise.
const DefaultNamespace = "linkerd-multicluster"

// Options of the controller process.
type Options struct {
	// Namespace is where Links and their Secrets are read.
	Namespace string
	// AdminAddress serves metrics and health; "0" serves nothing.
	AdminAddress string
	// LeaderElect lets one of several replicas write.
	LeaderElect bool
	// LeaseDuration is how long a silent leader is waited for.
	LeaseDuration time.Duration
	// QPS and Burst limit requests to the local API server; QPS 0 means no limit, Burst 0 twice QPS.
	QPS   float32
	Burst int
	Log   logging.Options
	// Mirror and Probe are the options of those packages.
	Mirror mirror.Options
	Probe  probe.Options
	// ProbeCerts are shown to gateways by probes; without them probes are HTTP only.
	ProbeCerts certs.Options

	// Version is that of the program, for linkspan_build_info. It is no flag.
	Version string
	// Registry receives the metrics; the one that AdminAddress serves when nil.
	Registry prometheus.Registerer
	// Resolver answers for the names of gateways; the machine's own when nil.
	Resolver probe.Resolver
}

// Bind declares the flags, with their defaults. inCluster says that namespace is our pod's, which is protected
// as that of the Links is, and decides the default of leader election.
func (o *Options) Bind(fs *pflag.FlagSet, namespace string, inCluster bool) {
	fs.StringVar(&o.Namespace, "namespace", namespace, "namespace of the Links and their credentials; in a cluster, the pod's own")
	fs.StringVar(&o.AdminAddress, "admin-address", ":9999", "address of /metrics, /livez and /readyz; 0 serves none")
	fs.BoolVar(&o.LeaderElect, "leader-elect", inCluster, "let one of several replicas write; on by default in a cluster")
	fs.DurationVar(&o.LeaseDuration, "lease-duration", 15*time.Second, "how long a leader that fell silent is waited for, at least 3s")
	fs.Float32Var(&o.QPS, "kube-api-qps", 0, "requests a second to the local API server; 0 means no limit: its own fairness protects it")
	fs.IntVar(&o.Burst, "kube-api-burst", 0, "requests at once to the local API server, when --kube-api-qps is set; 0 means twice that")
	o.Log.Bind(fs)
	o.Mirror.Bind(fs)
	o.Probe.Bind(fs)
	o.ProbeCerts.Bind(fs, "probe-")
	if inCluster {
		o.Mirror.PodNamespace = namespace
	}
}

// Validate checks every option once, before anything starts.
func (o *Options) Validate() error {
	var errs []error
	if problems := validation.IsDNS1123Label(o.Namespace); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--namespace %q is no namespace: %s", o.Namespace, problems[0]))
	}
	if o.AdminAddress != "0" {
		if _, _, err := net.SplitHostPort(o.AdminAddress); err != nil {
			errs = append(errs, fmt.Errorf("--admin-address %q: give host:port, :port or 0: %w", o.AdminAddress, err))
		}
	}
	if o.LeaseDuration < 3*time.Second {
		errs = append(errs, fmt.Errorf("--lease-duration is %s: give at least 3s", o.LeaseDuration))
	}
	if o.QPS < 0 || o.Burst < 0 {
		errs = append(errs, errors.New("--kube-api-qps and --kube-api-burst: give 0, or a positive number"))
	}
	o.Mirror.OwnNamespace = o.Namespace
	errs = append(errs, o.Log.Validate(), o.Mirror.Validate(), o.Probe.Validate())
	if o.ProbeCerts.Configured() {
		errs = append(errs, o.ProbeCerts.Validate())
	}
	return errors.Join(errs...)
}

// limits are client-go's QPS and Burst. Its own default of Burst does not follow QPS.
func (o *Options) limits() (qps float32, burst int) {
	switch {
	case o.QPS == 0:
		return -1, 0
	case o.Burst == 0:
		return o.QPS, int(min(math.Ceil(2*float64(o.QPS)), math.MaxInt32))
	}
	return o.QPS, o.Burst
}

func (o *Options) registry() prometheus.Registerer {
	if o.Registry != nil {
		return o.Registry
	}
	return metrics.Registry
}

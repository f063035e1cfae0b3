package mirror

import (
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/pflag"

	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// Options say what this installation lets linked clusters do to it.
type Options struct {
	// Workers is how many services are reconciled at a time.
	Workers int
	// CreateNamespaces makes namespaces that exported services need.
	CreateNamespaces bool
	// AllowedNamespaces may receive mirrors although their name starts with kube- or is our own.
	AllowedNamespaces []string
	// MaxMirrors is the most mirrors per Link, 0 for no limit.
	MaxMirrors int
	// MaxEndpoints is the most endpoints per mirror, 0 for no limit.
	MaxEndpoints int
	// LocalNetworks are the pod and service ranges of this cluster, in CIDR notation.
	LocalNetworks []string
	// MassDeletionHold is how long a mass deletion is held, 0 for ever.
	MassDeletionHold time.Duration
	// OwnNamespace is where the controller runs; set by the caller, not by a flag.
	OwnNamespace string

	networks []netip.Prefix
}

// Bind declares the flags, with their defaults.
func (o *Options) Bind(fs *pflag.FlagSet) {
	fs.IntVar(&o.Workers, "workers", 16, "services that are reconciled at the same time")
	fs.BoolVar(&o.CreateNamespaces, "create-namespaces", false, "create the namespaces that exported services need")
	fs.StringSliceVar(&o.AllowedNamespaces, "allow-namespaces", nil, "namespaces that may receive mirrors although their name starts with kube- or the controller runs there")
	fs.IntVar(&o.MaxMirrors, "max-mirrors", 10_000, "most mirrors that one Link may have; 0 means no limit")
	fs.IntVar(&o.MaxEndpoints, "max-endpoints", 5_000, "most endpoints that one mirror may have; 0 means no limit")
	fs.StringSliceVar(&o.LocalNetworks, "local-networks", nil, "pod and service ranges of this cluster, as CIDRs: endpoint addresses in them are refused")
	fs.DurationVar(&o.MassDeletionHold, "mass-deletion-hold", time.Hour, "how long mirrors are kept when most of a Link's services are missing at once; 0 means until released by annotation")
}

// Validate checks every option, and keeps what it parsed.
func (o *Options) Validate() error {
	if o.Workers < 1 || o.Workers > 1000 {
		return fmt.Errorf("--workers is %d: give a number from 1 to 1000", o.Workers)
	}
	if o.MaxMirrors < 0 {
		return fmt.Errorf("--max-mirrors is %d: give 0 for no limit, or a positive number", o.MaxMirrors)
	}
	if o.MaxEndpoints < 0 {
		return fmt.Errorf("--max-endpoints is %d: give 0 for no limit, or a positive number", o.MaxEndpoints)
	}
	if o.MassDeletionHold < 0 {
		return fmt.Errorf("--mass-deletion-hold is %s: give 0 to hold until released, or a positive duration", o.MassDeletionHold)
	}
	o.networks = nil
	for _, cidr := range o.LocalNetworks {
		prefix, err := netip.ParsePrefix(cidr)
		if err != nil {
			return fmt.Errorf("--local-networks: %q is no CIDR such as 10.42.0.0/16: %w", cidr, err)
		}
		o.networks = append(o.networks, prefix.Masked())
	}
	return nil
}

// Policy is what the options mean for a plan.
func (o Options) Policy() plan.Policy {
	return plan.Policy{
		CreateNamespaces: o.CreateNamespaces, OwnNamespace: o.OwnNamespace, AllowedNamespaces: o.AllowedNamespaces,
		MaxMirrors: o.MaxMirrors, MaxEndpoints: o.MaxEndpoints, LocalNetworks: o.networks,
	}
}

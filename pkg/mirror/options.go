package mirror

import (
	"errors"
	"fmt"
	"net/netip"
	"time"

	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
	"github.com/linkspan/linkspan/pkg/mirror/ports"
)

// Options say what this installation lets linked clusters do to it.
type Options struct {
	// Workers is how many services are reconciled at a time.
	Workers int
	// CreateNamespaces makes namespaces that exported services need.
	CreateNamespaces bool
	// AllowedNamespaces may receive mirrors although their name starts with kube- or is our own.
	AllowedNamespaces []string
	// ImportNamespaces are the only ones that may receive mirrors, and that are read; empty means all.
	ImportNamespaces []string
	// MaxMirrors is the most mirrors per Link, 0 for no limit.
	MaxMirrors int
	// MaxEndpoints is the most endpoints per mirror, 0 for no limit.
	MaxEndpoints int
	// LocalNetworks are the pod and service ranges of this cluster, in CIDR notation.
	LocalNetworks []string
	// MassDeletionHold is how long a mass deletion is held, 0 for ever.
	MassDeletionHold time.Duration
	// GatewayClients says who dials the gateways of Links that do not say so themselves: auto, mesh or egress.
	GatewayClients string
	// EgressService is the name, in the Links' namespace, of the Service whose slices list the pods of our egress.
	EgressService string
	// EgressPorts are the ports that the egress listens on, such as 20000-59999.
	EgressPorts string
	// MaxEgressPorts is the most egress ports that the mirrors of one Link may have, 0 for no limit.
	MaxEgressPorts int
	// EgressPortHold is how long a port of the egress rests before another mirror may have it.
	EgressPortHold time.Duration
	// OwnNamespace is that of the Links and PodNamespace that of our pod, empty where we run in none. The
	// caller sets them, no flag does.
	OwnNamespace string
	PodNamespace string

	networks []netip.Prefix
	ports    ports.Range
}

// clientsAuto is mesh where a Linkerd control plane runs, and egress elsewhere.
const clientsAuto = "auto"

// Bind declares the flags, with their defaults.
func (o *Options) Bind(fs *pflag.FlagSet) {
	fs.IntVar(&o.Workers, "workers", 16, "services that are reconciled at the same time")
	fs.BoolVar(&o.CreateNamespaces, "create-namespaces", false, "create the namespaces that exported services need")
	fs.StringSliceVar(&o.AllowedNamespaces, "allow-namespaces", nil, "namespaces that may receive mirrors although their name starts with kube- or the controller runs there")
	fs.StringSliceVar(&o.ImportNamespaces, "import-namespaces", nil, "the only namespaces that mirrors are made in, and whose Services and EndpointSlices are read and written; all when empty. Each must exist")
	fs.IntVar(&o.MaxMirrors, "max-mirrors", 10_000, "most mirrors that one Link may have; 0 means no limit")
	fs.IntVar(&o.MaxEndpoints, "max-endpoints", 5_000, "most endpoints that one mirror may have; 0 means no limit")
	fs.StringSliceVar(&o.LocalNetworks, "local-networks", nil, "pod and service ranges of this cluster, as CIDRs: endpoint addresses in them are refused")
	fs.StringVar(&o.GatewayClients, "gateway-clients", clientsAuto, "who dials the gateways of Links without the annotation "+v1alpha3.AnnotationGatewayClients+": mesh for the Linkerd proxies of clients, egress for our own egress, auto for mesh where a Linkerd control plane runs and else egress")
	fs.StringVar(&o.EgressService, "egress-service", "linkspan-egress", "Service, in the namespace of the Links, whose EndpointSlices list the pods of our egress")
	fs.StringVar(&o.EgressPorts, "egress-ports", "20000-59999", "ports that our egress listens on, one for each port of a mirror that leads to it; from 1024 to 65535")
	fs.IntVar(&o.MaxEgressPorts, "max-egress-ports", 20_000, "most egress ports that the mirrors of one Link may have, so that no target uses up all; 0 means no limit")
	fs.DurationVar(&o.EgressPortHold, "egress-port-hold", time.Minute, "how long the egress port of a mirror that is gone rests before another mirror may have it")
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
	if err := errors.Join(o.validateImports(), o.validateEgress()); err != nil {
		return err
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

func (o *Options) validateImports() error {
	for _, namespace := range o.ImportNamespaces {
		if problems := validation.IsDNS1123Label(namespace); len(problems) > 0 {
			return fmt.Errorf("--import-namespaces: %q is no namespace: %s", namespace, problems[0])
		}
	}
	if o.CreateNamespaces && len(o.ImportNamespaces) > 0 {
		return errors.New("--create-namespaces and --import-namespaces exclude each other: namespaces that are named must exist")
	}
	return nil
}

func (o *Options) validateEgress() error {
	switch o.GatewayClients {
	case clientsAuto, v1alpha3.GatewayClientsMesh, v1alpha3.GatewayClientsEgress:
	default:
		return fmt.Errorf("--gateway-clients is %q: give auto, mesh or egress", o.GatewayClients)
	}
	if problems := validation.IsDNS1123Label(o.EgressService); len(problems) > 0 {
		return fmt.Errorf("--egress-service %q is no name of a Service: %s", o.EgressService, problems[0])
	}
	if o.MaxEgressPorts < 0 {
		return fmt.Errorf("--max-egress-ports is %d: give 0 for no limit, or a positive number", o.MaxEgressPorts)
	}
	if o.EgressPortHold < 0 {
		return fmt.Errorf("--egress-port-hold is %s: give 0 or a positive duration", o.EgressPortHold)
	}
	var err error
	if o.ports, err = ports.ParseRange(o.EgressPorts); err != nil {
		return fmt.Errorf("--egress-ports: %w", err)
	}
	return nil
}

// Policy is what the options mean for a plan.
func (o Options) Policy() plan.Policy {
	own := []string{o.OwnNamespace}
	if o.PodNamespace != "" && o.PodNamespace != o.OwnNamespace {
		own = append(own, o.PodNamespace)
	}
	return plan.Policy{
		CreateNamespaces: o.CreateNamespaces, OwnNamespaces: own, AllowedNamespaces: o.AllowedNamespaces, ImportNamespaces: o.ImportNamespaces,
		MaxMirrors: o.MaxMirrors, MaxEndpoints: o.MaxEndpoints, LocalNetworks: o.networks,
	}
}

package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/util/validation"
)

// options are the command's flags.
type options struct {
	out         string
	trustDomain string
	lifetime    time.Duration
	anchorKey   bool
	gateways    gateways
}

// gateway is one certificate to make.
type gateway struct{ cluster, identity string }

// gateways is a flag that is given once for each cluster, as cluster=identity.
type gateways []gateway

// String implements flag.Value.
func (g *gateways) String() string {
	var parts []string
	for _, one := range *g {
		parts = append(parts, one.cluster+"="+one.identity)
	}
	return strings.Join(parts, " ")
}

// Set implements flag.Value.
func (g *gateways) Set(text string) error {
	cluster, identity, ok := strings.Cut(text, "=")
	if !ok {
		return errors.New("give cluster=identity")
	}
	if problems := validation.IsDNS1123Label(cluster); len(problems) > 0 { // it becomes a folder
		return fmt.Errorf("cluster %q: %s", cluster, problems[0])
	}
	if problems := validation.IsDNS1123Subdomain(identity); len(problems) > 0 {
		return fmt.Errorf("identity %q: %s", identity, problems[0])
	}
	for _, other := range *g {
		if other.cluster == cluster {
			return fmt.Errorf("cluster %q has an identity already", cluster)
		}
	}
	*g = append(*g, gateway{cluster: cluster, identity: identity})
	return nil
}

func parse(args []string, notes io.Writer) (options, error) {
	var o options
	fs := flag.NewFlagSet("certs", flag.ContinueOnError)
	fs.SetOutput(notes)
	fs.StringVar(&o.out, "out", "", "folder to make; must not exist, or be empty")
	fs.StringVar(&o.trustDomain, "trust-domain", "cluster.local", "domain that all identities end in")
	fs.DurationVar(&o.lifetime, "lifetime", 30*24*time.Hour, "how long all certificates are valid")
	fs.BoolVar(&o.anchorKey, "anchor-key", false, "write the anchor's key too, as ca.key; it must never get into a cluster")
	fs.Var(&o.gateways, "identity", "cluster=identity, for each cluster")
	if err := fs.Parse(args); err != nil {
		return options{}, err
	}
	if fs.NArg() > 0 {
		return options{}, fmt.Errorf("%q is no flag: give -identity cluster=identity", fs.Arg(0))
	}
	return o, o.validate()
}

func (o options) validate() error {
	if o.out == "" || filepath.Clean(o.out) == "." {
		return errors.New("-out is missing: give the folder to make")
	}
	if o.lifetime <= 0 {
		return fmt.Errorf("-lifetime is %v: give how long the certificates are valid, such as 720h", o.lifetime)
	}
	if len(o.gateways) == 0 {
		return errors.New("-identity is missing: give cluster=identity for each cluster")
	}
	for _, g := range o.gateways {
		if !strings.HasSuffix(g.identity, "."+o.trustDomain) {
			return fmt.Errorf("-identity %s=%s does not end in the trust domain %s: correct it, or -trust-domain", g.cluster, g.identity, o.trustDomain)
		}
	}
	return nil
}

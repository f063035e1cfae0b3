package certs

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

const (
	defaultReloadInterval = 5 * time.Second
	// minReloadInterval keeps a slip of the pen from reading files all the time.
	minReloadInterval = 100 * time.Millisecond
)

// Names of the flags, without their prefix.
const (
	flagCert           = "tls-cert"
	flagKey            = "tls-key"
	flagAnchors        = "trust-anchors"
	flagIdentity       = "identity"
	flagReloadInterval = "tls-reload-interval"
)

// Options say where the certificates are. The files have no defaults: a gateway that is told of none
// does not start (CERT-13).
type Options struct {
	// CertFile holds the certificate, then those of its issuers, in PEM.
	CertFile string
	// KeyFile holds the certificate's key in PEM, not encrypted.
	KeyFile string
	// AnchorsFile holds one or more trust anchors in PEM (CERT-1).
	AnchorsFile string
	// Identity is the DNS SAN that the certificate must have; any will do when empty.
	Identity string
	// ReloadInterval is the time between two looks at the files, at least 100 ms.
	ReloadInterval time.Duration

	prefix string
}

// Default fills in what is zero, except the files.
func (o *Options) Default() {
	o.ReloadInterval = cmp.Or(o.ReloadInterval, defaultReloadInterval)
}

// Bind adds a flag for each field. Each flag's name begins with prefix, which may be empty, so that a
// program can have several sets of certificates. What the fields hold is the flags' default.
func (o *Options) Bind(fs *pflag.FlagSet, prefix string) {
	o.Default()
	o.prefix = prefix
	fs.StringVar(&o.CertFile, prefix+flagCert, o.CertFile,
		"PEM file with the certificate, followed by those of its issuers up to the trust anchor")
	fs.StringVar(&o.KeyFile, prefix+flagKey, o.KeyFile,
		"PEM file with the certificate's key, not encrypted")
	fs.StringVar(&o.AnchorsFile, prefix+flagAnchors, o.AnchorsFile,
		"PEM file with one or more trust anchors; both sides' certificates must lead to one of them")
	fs.StringVar(&o.Identity, prefix+flagIdentity, o.Identity,
		"DNS SAN that the certificate must have; empty takes its first one")
	fs.DurationVar(&o.ReloadInterval, prefix+flagReloadInterval, o.ReloadInterval,
		"time between two looks at the certificate files")
}

// Configured says whether any of the files is given, for programs that can do without certificates.
func (o Options) Configured() bool {
	return o.CertFile != "" || o.KeyFile != "" || o.AnchorsFile != ""
}

// Validate names every flag whose value is missing or cannot work. It does not look at the files.
func (o Options) Validate() error {
	var errs []error
	for _, file := range []struct{ path, flag, holds string }{
		{o.CertFile, flagCert, "the gateway's certificate"},
		{o.KeyFile, flagKey, "the certificate's key"},
		{o.AnchorsFile, flagAnchors, "the trust anchors that all clusters have in common"},
	} {
		if file.path == "" {
			errs = append(errs, fmt.Errorf("--%s%s is missing: give the PEM file with %s", o.prefix, file.flag, file.holds))
		}
	}
	if o.Identity != "" {
		if _, err := canonicalName(o.Identity); err != nil {
			errs = append(errs, fmt.Errorf("--%s%s: %w", o.prefix, flagIdentity, err))
		}
	}
	if o.ReloadInterval < minReloadInterval {
		errs = append(errs, fmt.Errorf("--%s%s is %v, must be at least %v",
			o.prefix, flagReloadInterval, o.ReloadInterval, minReloadInterval))
	}
	return errors.Join(errs...)
}

package probe

import (
	"cmp"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/pflag"
)

// Limits of what a Link can make us do.
const (
	defaultResolveInterval  = 15 * time.Second
	defaultSuccessThreshold = 2
	defaultMaxAddresses     = 32

	// minResolveInterval keeps a slip of the pen from flooding a DNS server.
	minResolveInterval = 100 * time.Millisecond
	// lookupTimeout is for one look-up of one name.
	lookupTimeout = 5 * time.Second
)

// Options are the settings of probing that are the same for all Links.
type Options struct {
	// ResolveInterval is the time between two look-ups of a gateway's DNS name.
	ResolveInterval time.Duration
	// SuccessThreshold is how many successes in a row bring a dead address back.
	SuccessThreshold int
	// MaxAddresses is how many addresses of one Link are probed.
	MaxAddresses int
}

// Default fills in what is zero.
func (o *Options) Default() {
	o.ResolveInterval = cmp.Or(o.ResolveInterval, defaultResolveInterval)
	o.SuccessThreshold = cmp.Or(o.SuccessThreshold, defaultSuccessThreshold)
	o.MaxAddresses = cmp.Or(o.MaxAddresses, defaultMaxAddresses)
}

// Bind adds a flag for each field. What the fields hold, or else the defaults, are the flags' defaults.
func (o *Options) Bind(fs *pflag.FlagSet) {
	o.Default()
	fs.DurationVar(&o.ResolveInterval, "probe-resolve-interval", o.ResolveInterval,
		"time between two look-ups of a gateway's DNS name")
	fs.IntVar(&o.SuccessThreshold, "probe-success-threshold", o.SuccessThreshold,
		"successful probes in a row that bring a dead gateway address back")
	fs.IntVar(&o.MaxAddresses, "probe-max-addresses", o.MaxAddresses,
		"gateway addresses of one Link that are probed; further ones are left out and reported")
}

// Validate names every flag whose value cannot work.
func (o Options) Validate() error {
	var errs []error
	if o.ResolveInterval < minResolveInterval {
		errs = append(errs, fmt.Errorf("--probe-resolve-interval is %v, must be at least %v", o.ResolveInterval, minResolveInterval))
	}
	if o.SuccessThreshold < 1 {
		errs = append(errs, fmt.Errorf("--probe-success-threshold is %d, must be at least 1", o.SuccessThreshold))
	}
	if o.MaxAddresses < 1 {
		errs = append(errs, fmt.Errorf("--probe-max-addresses is %d, must be at least 1", o.MaxAddresses))
	}
	return errors.Join(errs...)
}

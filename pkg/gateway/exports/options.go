package exports

import (
	"cmp"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/selection"
	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

const (
	defaultSelector      = v1alpha3.LabelExported + "=" + v1alpha3.ExportedGateway
	defaultClusterDomain = "cluster.local"
)

// Options are the settings of what is exported.
type Options struct {
	// Selector is the label selector of exported Services. It must ask for the presence of a label.
	Selector string
	// ClusterDomain is what names of Services end in, in this cluster, without dots at its ends.
	ClusterDomain string
}

// Default fills in what is empty.
func (o *Options) Default() {
	o.Selector = cmp.Or(o.Selector, defaultSelector)
	o.ClusterDomain = cmp.Or(o.ClusterDomain, defaultClusterDomain)
}

// Bind adds a flag for each field. What the fields hold, or else the defaults, are the flags' defaults.
func (o *Options) Bind(fs *pflag.FlagSet) {
	o.Default()
	fs.StringVar(&o.Selector, "export-selector", o.Selector,
		"label selector of the Services that can be reached through the gateway")
	fs.StringVar(&o.ClusterDomain, "cluster-domain", o.ClusterDomain,
		"DNS domain of this cluster, which names of Services end in")
}

// Validate names every flag whose value cannot work.
func (o Options) Validate() error {
	_, err := o.selector()
	errs := []error{err}
	if problems := validation.IsDNS1123Subdomain(o.ClusterDomain); len(problems) > 0 {
		errs = append(errs, fmt.Errorf("--cluster-domain is %q, must be a domain such as %s without dots at its ends: %s",
			o.ClusterDomain, defaultClusterDomain, strings.Join(problems, "; ")))
	}
	return errors.Join(errs...)
}

// selector refuses what selects everything, or everything but something: that opens a cluster by a slip
// of the pen (LESSON-36).
func (o Options) selector() (labels.Selector, error) {
	parsed, err := labels.Parse(o.Selector)
	if err != nil {
		return nil, fmt.Errorf("--export-selector is %q, which is no label selector: %w", o.Selector, err)
	}
	wanted, _ := parsed.Requirements()
	for _, r := range wanted {
		switch r.Operator() {
		case selection.NotIn, selection.NotEquals, selection.DoesNotExist:
		default:
			return parsed, nil
		}
	}
	return nil, fmt.Errorf("--export-selector is %q, must ask for a label that exported Services have, such as %s",
		o.Selector, defaultSelector)
}

// ofHeadless narrows a selector of Services to the EndpointSlices of headless ones: the EndpointSlice
// controller copies a Service's labels to them and adds this one.
func ofHeadless(services labels.Selector) (labels.Selector, error) {
	headless, err := labels.NewRequirement(corev1.IsHeadlessService, selection.Exists, nil)
	if err != nil {
		return nil, fmt.Errorf("select slices of headless Services: %w", err)
	}
	return services.DeepCopySelector().Add(*headless), nil
}

package plan

import (
	"maps"
	"slices"
	"strings"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/util/validation"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
)

// What one remote Service may make us store. Kubernetes itself allows 256 KiB of annotations per
// object and any number of labels.
const (
	// MaxLabels is the most labels copied to a mirror.
	MaxLabels = 64
	// MaxAnnotationValue is the most bytes in one copied annotation.
	MaxAnnotationValue = 16 << 10
	// MaxAnnotations is the most bytes, keys and values, in all copied annotations.
	MaxAnnotations = 64 << 10
)

// Copied says whether a label or annotation of an exported Service is copied to its mirror when the
// Link does not exclude it. Kept back are keys that make some tool act on the object that carries
// them, or believe that it owns it: on a mirror it would prune, scrape, publish or load-balance
// something that lives in another cluster (LESSON-14). All others are copied, among them
// config.linkerd.io/opaque-ports and balancer.linkerd.io/* (MIR-9, MIR-10).
func Copied(key string) bool {
	domain, _, prefixed := strings.Cut(key, "/")
	if !prefixed {
		return true
	}
	switch key {
	case "app.kubernetes.io/instance", // Argo CD tracks, and prunes, by this label unless told otherwise
		"app.kubernetes.io/managed-by",      // Helm refuses or adopts by it
		v1alpha3.LabelControlPlaneNamespace, // `linkerd upgrade | kubectl apply --prune` selects by it
		"linkerd.io/extension":              // `linkerd prune` selects by it
		return false
	}
	return !meshDomain(domain) && !deployDomain(domain) && !trafficDomain(domain)
}

// meshDomain holds the keys of mirroring itself: ours, Linkerd's and those of its peers.
func meshDomain(domain string) bool {
	switch domain {
	case "mirror.linkerd.io", "multicluster.linkerd.io",
		"multicluster.kubernetes.io", "multicluster.x-k8s.io",
		"service.cilium.io", "io.cilium", // a global service in Cilium's own cluster mesh
		"consul.hashicorp.com": // catalogue sync
		return true
	}
	return under(domain, "linkspan.io")
}

// deployDomain holds the keys by which deployment tools know what they own.
func deployDomain(domain string) bool {
	switch domain {
	case "kubectl.kubernetes.io", "applyset.kubernetes.io", // last-applied-configuration; pruning
		"config.kubernetes.io", "config.k8s.io", "internal.config.kubernetes.io", // kustomize, cli-utils
		"addonmanager.kubernetes.io", "kubernetes.io", // the add-on manager deletes what it does not know
		"helm.sh", "meta.helm.sh",
		"fluxcd.io",
		"kapp.k14s.io":
		return true
	}
	return under(domain, "argoproj.io") || under(domain, "toolkit.fluxcd.io") || under(domain, "cattle.io")
}

// trafficDomain holds the keys by which something routes to, publishes or scrapes a Service.
func trafficDomain(domain string) bool {
	switch domain {
	case "service.kubernetes.io", "endpoints.kubernetes.io", "endpointslice.kubernetes.io": // topology hints, load balancers, slices
		return true
	case "external-dns.alpha.kubernetes.io", "external-dns.kubernetes.io", "dns.alpha.kubernetes.io":
		return true
	case "prometheus.io", "ad.datadoghq.com":
		return true
	case "service.beta.kubernetes.io", "service.alpha.kubernetes.io", // most clouds
		"alb.ingress.kubernetes.io", "service.k8s.aws", "elbv2.k8s.aws", "eks.amazonaws.com",
		"cloud.google.com", "beta.cloud.google.com", "networking.gke.io",
		"service.alpha.openshift.io", "service.beta.openshift.io", // makes certificates
		"loadbalancer.openstack.org", "load-balancer.hetzner.cloud", "kubernetes.digitalocean.com",
		"oci.oraclecloud.com", "oci-network-load-balancer.oraclecloud.com", "yandex.cloud",
		"metallb.io", "metallb.universe.tf", "kube-vip.io", "purelb.io", "lbipam.cilium.io",
		"tailscale.com":
		return true
	}
	return false
}

// under says whether a domain is parent or lies below it.
func under(domain, parent string) bool {
	rest, ok := strings.CutSuffix(domain, parent)
	return ok && (rest == "" || strings.HasSuffix(rest, "."))
}

// copiedLabels are the labels of the remote Service that its mirror takes over. Those that the API
// server would refuse are left out: one bad label must not cost the whole mirror.
func (p *pass) copiedLabels() map[string]string {
	return p.copyMetadata(p.in.Remote.Service.Labels, p.in.Link.ExcludedLabels, func(copied int, key, value string) string {
		switch {
		case len(validation.IsQualifiedName(key)) > 0, len(validation.IsValidLabelValue(value)) > 0:
			return "invalid label"
		case copied >= MaxLabels:
			return "label beyond the limit in number"
		default:
			return ""
		}
	})
}

// copiedAnnotations does the same for annotations.
func (p *pass) copiedAnnotations() map[string]string {
	total := 0
	return p.copyMetadata(p.in.Remote.Service.Annotations, p.in.Link.ExcludedAnnotations, func(_ int, key, value string) string {
		switch {
		case len(validation.IsQualifiedName(strings.ToLower(key))) > 0, !utf8.ValidString(value):
			return "invalid annotation"
		case len(value) > MaxAnnotationValue:
			return "annotation beyond 16 KiB"
		case total+len(key)+len(value) > MaxAnnotations:
			return "annotation beyond 64 KiB in all"
		default:
			total += len(key) + len(value)
			return ""
		}
	})
}

// copyMetadata copies in the order of the keys, so that what a limit cuts off is always the same.
// flaw says why an entry, after so many copied ones, cannot be copied.
func (p *pass) copyMetadata(source map[string]string, excluded link.KeyFilter, flaw func(copied int, key, value string) string) map[string]string {
	copied := make(map[string]string, len(source)+4)
	for _, key := range slices.Sorted(maps.Keys(source)) {
		if !Copied(key) || excluded.Matches(key) {
			continue
		}
		if cause := flaw(len(copied), key, source[key]); cause != "" {
			p.metadata.add(cause, key)
			continue
		}
		copied[key] = source[key]
	}
	return copied
}

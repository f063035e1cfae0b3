package scenarios

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/nodes"
)

// portName is that of the container port where our pods have metrics, as scrape jobs look for it (OBS-1).
const portName = "admin-http"

// "I scrape every pod of Linkspan" (OBS-1, OBS-7, OBS-15): through the API server, by the port's name alone.
func TestIScrapeEveryPod(t *testing.T) {
	beyondCore(t)
	w := theWorld(t)
	w.install(t, installation{})
	for _, want := range []struct{ component, series string }{
		{controller, `gateway_alive{target_cluster_name="OTHER"} 1`},
		{controller, `linkspan_link_connected{target_cluster_name="OTHER"} 1`},
		{controller, `gateway_probes{probe_successful="true",target_cluster_name="OTHER"} `},
		{controller, `leader_election_master_status{name="linkspan-mirror"} 1`},
		{ingress, `linkspan_gateway_exported_services 0`},
		{ingress, `linkspan_gateway_allowed_clients_stale 0`},
		{egress, `linkspan_gateway_egress_port_conflicts 0`},
		{controller, `linkspan_build_info{version="dev"} 1`},
		{ingress, `linkspan_build_info{version="dev"} 1`},
		{egress, `linkspan_build_info{version="dev"} 1`},
		{ingress, `linkspan_log_level 0`},
	} {
		for c, other := range map[*nodes.Cluster]string{w.west(): "east", w.east(): "west"} {
			series := strings.ReplaceAll(want.series, "OTHER", other)
			w.until(t, fmt.Sprintf("the %s of %s has %s", want.component, c.Name(), series), func(ctx context.Context) error {
				p, err := oneOf(ctx, c, want.component)
				if err != nil {
					return err
				}
				return says(metricsOf(ctx, c, p))("\n" + series)
			})
		}
	}
}

// metricsOf are the metrics of a pod of ours, as the API server passes them on.
func metricsOf(ctx context.Context, c *nodes.Cluster, p corev1.Pod) (string, error) {
	for _, container := range p.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == portName {
				return c.Kubectl(ctx, "get", "--raw", fmt.Sprintf("/api/v1/namespaces/%s/pods/%s:%d/proxy/metrics", p.Namespace, p.Name, port.ContainerPort))
			}
		}
	}
	return "", fmt.Errorf("the pod %s has no port %s", p.Name, portName)
}

// sum adds up the series of a metric that have all of the labels, such as side="ingress", over all pods of a component.
func sum(ctx context.Context, c *nodes.Cluster, component, metric string, labels ...string) (float64, error) {
	pods, err := podsOf(ctx, c, homeNamespace, client.MatchingLabels{componentLabel: component})
	if err != nil {
		return 0, err
	}
	total := 0.0
	for _, p := range pods {
		one, err := sumOf(ctx, c, p, metric, labels...)
		if err != nil {
			return 0, err
		}
		total += one
	}
	return total, nil
}

// sumOf is that of one pod.
func sumOf(ctx context.Context, c *nodes.Cluster, p corev1.Pod, metric string, labels ...string) (float64, error) {
	text, err := metricsOf(ctx, c, p)
	if err != nil {
		return 0, err
	}
	total := 0.0
	for line := range strings.Lines(text) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if !isSeries(name, metric, labels) {
			continue
		}
		number, err := strconv.ParseFloat(value, 64)
		if err != nil {
			return 0, fmt.Errorf("read %s of the pod %s: %w", name, p.Name, err)
		}
		total += number
	}
	return total, nil
}

func isSeries(name, metric string, labels []string) bool {
	bare, in, _ := strings.Cut(name, "{")
	if bare != metric {
		return false
	}
	for _, label := range labels {
		if !strings.Contains(in, label) {
			return false
		}
	}
	return true
}

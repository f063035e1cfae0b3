package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

const (
	// portAdmin is the port name that Linkerd's published scrape job looks for.
	portAdmin     = "admin-http"
	metricLatency = "gateway_latency"
	labelTarget   = "target_cluster_name"
	// metricsLimit bounds what is read of metrics.
	metricsLimit = 16 << 20
)

// latencySource knows where the controller's metrics are.
type latencySource struct {
	config    *rest.Config
	client    client.Client
	namespace string
	// url replaces asking the pods.
	url string
}

// read gives the last probe's milliseconds by target cluster.
func (s latencySource) read(ctx context.Context) (map[string]float64, error) {
	if s.url != "" {
		return readURL(ctx, s.url)
	}
	pods, err := controllerPods(ctx, s.client, s.namespace)
	if err != nil {
		return nil, err
	}
	err = errors.New("no running controller found; see --namespace and --metrics-url")
	for _, pod := range pods {
		if pod.Status.Phase != corev1.PodRunning {
			continue
		}
		var latencies map[string]float64
		if latencies, err = s.readPod(ctx, pod); err == nil && len(latencies) > 0 {
			// Of several replicas only the leader probes.
			return latencies, nil
		}
	}
	return nil, err
}

// readPod asks a pod through the API server, which needs no way to the pod's network.
func (s latencySource) readPod(ctx context.Context, pod corev1.Pod) (map[string]float64, error) {
	port, ok := adminPort(pod)
	if !ok {
		return nil, fmt.Errorf("pod %s/%s has no port named %s", pod.Namespace, pod.Name, portAdmin)
	}
	config := rest.CopyConfig(s.config)
	config.APIPath = "/api"
	config.GroupVersion = &corev1.SchemeGroupVersion
	config.NegotiatedSerializer = scheme.Codecs.WithoutConversion()
	c, err := rest.RESTClientFor(config)
	if err != nil {
		return nil, fmt.Errorf("making a client for pods: %w", err)
	}
	data, err := c.Get().Namespace(pod.Namespace).Resource("pods").Name(pod.Name + ":" + port).
		SubResource("proxy").Suffix("metrics").DoRaw(ctx)
	if err != nil {
		return nil, fmt.Errorf("reading the metrics of pod %s/%s: %w", pod.Namespace, pod.Name, err)
	}
	return parseLatencies(bytes.NewReader(data))
}

// adminPort is a number, because the API server's proxy to a pod does not know the names of its ports.
func adminPort(pod corev1.Pod) (string, bool) {
	for _, container := range pod.Spec.Containers {
		for _, port := range container.Ports {
			if port.Name == portAdmin {
				return strconv.Itoa(int(port.ContainerPort)), true
			}
		}
	}
	return "", false
}

func readURL(ctx context.Context, url string) (map[string]float64, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, fmt.Errorf("asking --metrics-url: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("asking --metrics-url: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("asking --metrics-url: the answer is %s", response.Status)
	}
	return parseLatencies(io.LimitReader(response.Body, metricsLimit))
}

func parseLatencies(text io.Reader) (map[string]float64, error) {
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(text)
	if err != nil {
		return nil, fmt.Errorf("reading metrics: %w", err)
	}
	latencies := map[string]float64{}
	for _, metric := range families[metricLatency].GetMetric() {
		if target := labelValue(metric, labelTarget); target != "" {
			latencies[target] = metric.GetGauge().GetValue()
		}
	}
	return latencies, nil
}

func labelValue(metric *dto.Metric, name string) string {
	for _, pair := range metric.GetLabel() {
		if pair.GetName() == name {
			return pair.GetValue()
		}
	}
	return ""
}

package cli

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/client-go/rest"
)

func controllerPod(name string, phase corev1.PodPhase, port int32) corev1.Pod {
	pod := corev1.Pod{}
	pod.Namespace, pod.Name, pod.Labels = "ns", name, map[string]string{labelComponent: componentMirror}
	pod.Status.Phase = phase
	pod.Spec.Containers = []corev1.Container{{Name: "c", Ports: []corev1.ContainerPort{{Name: portAdmin, ContainerPort: port}}}}
	return pod
}

// The standby has no gauges, so the leader's are looked for, through the API server and by number.
func TestLatencyOfPods(t *testing.T) {
	t.Parallel()
	pods := corev1.PodList{Items: []corev1.Pod{
		controllerPod("pending", corev1.PodPending, 1),
		controllerPod("standby", corev1.PodRunning, 9999),
		controllerPod("leader", corev1.PodRunning, 9998),
	}}
	mux := http.NewServeMux()
	mux.HandleFunc("/api/v1/namespaces/ns/pods", func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Query().Get("labelSelector") != labelComponent+"="+componentMirror {
			http.Error(w, "wrong selector", http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(pods); err != nil {
			t.Error(err)
		}
	})
	mux.HandleFunc("/api/v1/namespaces/ns/pods/standby:9999/proxy/metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "# TYPE other gauge\nother 1\n")
	})
	mux.HandleFunc("/api/v1/namespaces/ns/pods/leader:9998/proxy/metrics", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprint(w, "# TYPE gateway_latency gauge\ngateway_latency{target_cluster_name=\"east\"} 4\n")
	})
	server := httptest.NewServer(mux)
	defer server.Close()
	config := &rest.Config{Host: server.URL, ContentConfig: rest.ContentConfig{ContentType: "application/json"}}
	c, err := newClient(config)
	if err != nil {
		t.Fatal(err)
	}
	source := latencySource{config: config, client: c, namespace: "ns"}
	got, err := source.read(t.Context())
	if diff := cmp.Diff(map[string]float64{"east": 4}, got); err != nil || diff != "" {
		t.Errorf("%v, -want +got:\n%s", err, diff)
	}
	pods.Items = pods.Items[:1]
	if _, err := source.read(t.Context()); err == nil || !strings.Contains(err.Error(), "--metrics-url") {
		t.Errorf("without a running controller: %v", err)
	}
}

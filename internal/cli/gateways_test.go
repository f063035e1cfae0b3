package cli

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

func gatewayLink(cluster string, status metav1.ConditionStatus, reason string, addresses ...v1alpha3.GatewayAddressStatus) v1alpha3.Link {
	l := v1alpha3.Link{Spec: v1alpha3.LinkSpec{TargetClusterName: cluster}}
	l.Name = cluster
	if reason != "" {
		l.Status.Conditions = []metav1.Condition{{Type: v1alpha3.ConditionGatewayReady, Status: status, Reason: reason}}
		l.Status.Services = &v1alpha3.ServiceCounts{Exported: 4, Mirrored: 3}
	}
	l.Status.Gateway = addresses
	return l
}

func TestGatewayTable(t *testing.T) {
	t.Parallel()
	links := []v1alpha3.Link{
		gatewayLink("east", metav1.ConditionTrue, v1alpha3.ReasonGatewayPartly,
			v1alpha3.GatewayAddressStatus{Address: "203.0.113.7", State: "Alive"},
			v1alpha3.GatewayAddressStatus{Address: "203.0.113.8 (gw.example)", State: "Dead", LastError: "connect: refused"}),
		gatewayLink("new", "", ""),
		gatewayLink("north", metav1.ConditionFalse, v1alpha3.ReasonGatewayDead),
		gatewayLink("south", metav1.ConditionTrue, v1alpha3.ReasonNoGateway),
	}
	rows := gatewayRows(links, "")
	latencies, err := parseLatencies(strings.NewReader(`# TYPE gateway_latency gauge
gateway_latency{target_cluster_name="east"} 4.2
gateway_latency{target_cluster_name="gone"} 1
# TYPE other counter
other 1
`))
	if err != nil {
		t.Fatal(err)
	}
	ms := latencies["east"]
	rows[0].LatencyMS = &ms
	for wide, want := range map[bool]string{
		false: `CLUSTER  ALIVE    NUM_SVC  LATENCY
east     True     3        4ms
new      Unknown  0        -
north    False    3        -
south    -        3        -
`,
		true: `CLUSTER  ALIVE    NUM_SVC  LATENCY  ADDRESS                   STATE  LAST_ERROR
east     True     3        4ms
                                    203.0.113.7               Alive
                                    203.0.113.8 (gw.example)  Dead   connect: refused
new      Unknown  0        -
north    False    3        -
south    -        3        -
`,
	} {
		var out strings.Builder
		if err := gatewayTable(rows, wide).Render(&out); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(want, out.String()); diff != "" {
			t.Errorf("wide %v: -want +got:\n%s", wide, diff)
		}
	}
	if only := gatewayRows(links, "north"); len(only) != 1 || only[0].Cluster != "north" {
		t.Errorf("--cluster-name north shows %v", only)
	}
	if _, err := parseLatencies(strings.NewReader("{ not metrics")); err == nil {
		t.Error("what is no metrics must be an error")
	}
}

// NUM_SVC is what Linkerd's command calls it; here it counts pod-to-pod mirrors too, which pass no gateway.
func TestGatewaysHelpSaysWhatIsCounted(t *testing.T) {
	t.Parallel()
	help := strings.Join(strings.Fields(runMirror(t, "gateways", "--help").out), " ")
	if !strings.Contains(help, "NUM_SVC counts all mirrored services of the Link, pod-to-pod ones included") {
		t.Errorf("the help is %s", help)
	}
}

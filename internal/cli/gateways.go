package cli

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/arguments"
	"github.com/linkspan/linkspan/internal/cli/table"
	"github.com/linkspan/linkspan/pkg/link"
)

type gatewaysOptions struct {
	clusterName string
	namespace   string
	metricsURL  string
	format      string
}

func (o *gatewaysOptions) bind(fs *pflag.FlagSet) {
	fs.StringVar(&o.clusterName, "cluster-name", "", "show the gateway of this target cluster only")
	fs.StringVar(&o.namespace, "namespace", link.DefaultNamespace, "namespace of the Links and of the controller")
	fs.StringVar(&o.metricsURL, "metrics-url", "", "URL of the controller's metrics, instead of asking its pods through the API server")
	fs.StringVarP(&o.format, "output", "o", "", "format: wide or json, or a table when empty")
}

func (o *gatewaysOptions) validate() error {
	errs := []error{validateNamespace("--namespace", o.namespace)}
	if o.format != "" && o.format != formatWide && o.format != formatJSON {
		errs = append(errs, fmt.Errorf("--output %q must be wide, json or left out", o.format))
	}
	if u, err := url.Parse(o.metricsURL); o.metricsURL != "" && (err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https") {
		errs = append(errs, errors.New("--metrics-url must be a URL such as http://localhost:9999/metrics"))
	}
	return errors.Join(errs...)
}

// gatewayRow is one Link, as `gateways -o json` prints it.
type gatewayRow struct {
	Cluster  string `json:"cluster"`
	Alive    string `json:"alive"`
	Services int32  `json:"services"`
	// LatencyMS is nil when it is not known, or the gateway is not alive.
	LatencyMS *float64                        `json:"latencyMs,omitempty"`
	Addresses []v1alpha3.GatewayAddressStatus `json:"addresses,omitempty"`
}

func newGatewaysCommand(streams Streams, globals *globalOptions) *cobra.Command {
	o := &gatewaysOptions{}
	cmd := &cobra.Command{
		Use:   "gateways",
		Short: "Show the gateways of the linked clusters",
		Long: `Show the gateways of the linked clusters: whether they answer, and how long the last probe took. NUM_SVC
counts all mirrored services of the Link, pod-to-pod ones included, which do not pass the gateway.
Run it in the context of the source, the cluster where the Links are.`,
		Args: arguments.None,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return o.run(cmd.Context(), streams, globals)
		},
	}
	o.bind(cmd.Flags())
	return cmd
}

func (o *gatewaysOptions) run(ctx context.Context, streams Streams, globals *globalOptions) error {
	if err := o.validate(); err != nil {
		return err
	}
	config, err := globals.restConfig(streams)
	if err != nil {
		return err
	}
	c, err := newClient(config)
	if err != nil {
		return err
	}
	var links v1alpha3.LinkList
	if err := c.List(ctx, &links, client.InNamespace(o.namespace)); err != nil {
		return fmt.Errorf("listing Links in namespace %s: %w", o.namespace, err)
	}
	rows := gatewayRows(links.Items, o.clusterName)
	if len(rows) > 0 {
		source := latencySource{config: config, client: c, namespace: o.namespace, url: o.metricsURL}
		latencies, err := source.read(ctx)
		if err != nil {
			streams.note("Latencies are not known: %v", err)
		}
		for i := range rows {
			// The latency of a gateway that is dead is that of better days.
			if ms, ok := latencies[rows[i].Cluster]; ok && rows[i].Alive == string(metav1.ConditionTrue) {
				rows[i].LatencyMS = &ms
			}
		}
	}
	if o.format == formatJSON {
		return printJSON(streams, rows)
	}
	return gatewayTable(rows, o.format == formatWide).Render(streams.Out)
}

// gatewayRows keeps the API server's order, which is by name.
func gatewayRows(links []v1alpha3.Link, only string) []gatewayRow {
	rows := []gatewayRow{}
	for _, l := range links {
		if only != "" && l.Spec.TargetClusterName != only {
			continue
		}
		row := gatewayRow{Cluster: l.Spec.TargetClusterName, Alive: gatewayAlive(l), Addresses: l.Status.Gateway}
		if l.Status.Services != nil {
			row.Services = l.Status.Services.Mirrored
		}
		rows = append(rows, row)
	}
	return rows
}

// gatewayAlive is True, False or Unknown, or - for a Link without a gateway.
func gatewayAlive(l v1alpha3.Link) string {
	condition := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionGatewayReady)
	switch {
	case condition == nil:
		return "Unknown"
	case condition.Reason == v1alpha3.ReasonNoGateway:
		return "-"
	default:
		return string(condition.Status)
	}
}

func gatewayTable(rows []gatewayRow, wide bool) *table.Table {
	heads := []string{"CLUSTER", "ALIVE", "NUM_SVC", "LATENCY"}
	if wide {
		heads = append(heads, "ADDRESS", "STATE", "LAST_ERROR")
	}
	t := table.New(heads...)
	for _, r := range rows {
		latency := "-"
		if r.LatencyMS != nil {
			latency = strconv.FormatFloat(*r.LatencyMS, 'f', 0, 64) + "ms"
		}
		t.Row(r.Cluster, r.Alive, strconv.Itoa(int(r.Services)), latency)
		if !wide {
			continue
		}
		for _, a := range r.Addresses {
			t.Row("", "", "", "", a.Address, a.State, a.LastError)
		}
	}
	return t
}

package scenarios

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/test/app/manifests"
	"github.com/linkspan/linkspan/test/nodes"
)

const (
	// Words of docs/gateway-access-log.md.
	notOnTheGatewaysList = "client_not_allowed"
	notOnTheServicesList = "export_not_allowed"

	// listPatience is for a list to come into force: a kubelet brings a changed ConfigMap into its pods when it looks at
	// them next, once in about a minute.
	listPatience = 3 * time.Minute
)

// egressOf is the identity of a cluster's egress, as everybody else sees it.
func egressOf(cluster string) string {
	return "linkspan-egress.linkerd-multicluster.serviceaccount.identity.linkerd." + cluster + ".cluster.local"
}

// "Nobody may call until I say so, and then only whom I name" (section 4.7, POL-1, POL-12, GW-3, LESSON-36).
func TestNobodyMayCallUntilISaySo(t *testing.T) {
	w := theWorld(t)
	w.install(t, installation{Flags: []string{"--set-json", "'gateway.ingress.allowedClients=[]'", "--set", "gateway.ingress.accessLog=denied"}})
	w.callers(t)
	const scenario = "Who may call"
	notes := w.sh(t, "helm get notes linkspan --kube-context east -n "+homeNamespace)
	if err := says(notes, nil)("Nobody may call", "gateway.ingress.allowedClients"); err != nil {
		t.Errorf("what helm says: %v", err)
	}
	w.expectRefused(t, w.west(), w.east(), notOnTheGatewaysList)
	w.expectRefused(t, w.east(), w.west(), notOnTheGatewaysList)
	if onlyCore() {
		return // the kubelet takes more than a minute to bring a list
	}

	ingresses := w.identities(t, ingress)
	took := w.allow(t, egressOf("west"))
	w.untilCalled(t, took, w.west(), w.east())
	w.measured(scenario, "an identity is named: it may call", fmt.Sprintf("%.1f s after helm upgrade", time.Since(took).Seconds()))
	w.expectRefused(t, w.east(), w.west(), notOnTheGatewaysList)
	t.Run("One of my Services is not for everybody who may call the others", w.notForEverybody)
	took = w.allow(t, egressOf("east"))
	w.untilRefused(t, took, w.west(), w.east())
	w.measured(scenario, "it is named no more: it may not", fmt.Sprintf("%.1f s after helm upgrade", time.Since(took).Seconds()))
	w.untilCalled(t, took, w.east(), w.west())
	w.expectRefused(t, w.west(), w.east(), notOnTheGatewaysList)
	if diff := cmp.Diff(ingresses, w.identities(t, ingress)); diff != "" {
		t.Errorf("a change of the list has replaced or restarted pods (-before +now):\n%s", diff)
	}
}

// notForEverybody narrows the list for one Service by its annotation.
func (w *world) notForEverybody(t *testing.T) {
	const annotation = "linkspan.io/allowed-clients"
	w.annotate(t, annotation+"="+egressOf("north"))
	w.untilRefused(t, time.Now(), w.west(), w.east())
	w.expectRefused(t, w.west(), w.east(), notOnTheServicesList)
	w.annotate(t, annotation+"="+egressOf("north")+","+egressOf("west"))
	w.untilCalled(t, time.Now(), w.west(), w.east())
	w.annotate(t, annotation+"=nonsense of mine")
	w.untilRefused(t, time.Now(), w.west(), w.east())
	w.expectRefused(t, w.west(), w.east(), notOnTheServicesList)
	w.annotate(t, annotation+"-")
	w.untilCalled(t, time.Now(), w.west(), w.east())
}

func (w *world) annotate(t *testing.T, annotation string) {
	t.Helper()
	if _, err := w.east().Kubectl(t.Context(), "annotate", "--overwrite", "--namespace="+manifests.Namespace, "service/emoji-svc", annotation); err != nil {
		t.Fatal(err)
	}
}

// allow names who may call in both clusters, and says when.
func (w *world) allow(t *testing.T, identities ...string) time.Time {
	t.Helper()
	w.sh(t, fmt.Sprintf(`
for cluster in east west; do
    helm upgrade linkspan charts/linkspan --kube-context $cluster -n %s --reuse-values --set-json 'gateway.ingress.allowedClients=["%s"]' >&2
done`, homeNamespace, strings.Join(identities, `","`)))
	return time.Now()
}

// fetch asks the backend of another cluster, and says which cluster answered.
func (w *world) fetch(ctx context.Context, from, to *nodes.Cluster) error {
	out, err := w.call(ctx, from, "fetch", "http://emoji-svc-"+to.Name()+":8080/emojis")
	if err == nil && !strings.Contains(out, to.Name()) {
		err = fmt.Errorf("somebody else answered: %s", out)
	}
	return err
}

// untilCalled waits for a call to get through.
func (w *world) untilCalled(t *testing.T, since time.Time, from, to *nodes.Cluster) {
	t.Helper()
	err := within(t.Context(), listPatience-time.Since(since), func(ctx context.Context) error { return w.fetch(ctx, from, to) })
	if err != nil {
		t.Fatalf("calls from %s to %s should get through: %v", from.Name(), to.Name(), err)
	}
}

// untilRefused waits for a call not to get through.
func (w *world) untilRefused(t *testing.T, since time.Time, from, to *nodes.Cluster) {
	t.Helper()
	err := within(t.Context(), listPatience-time.Since(since), func(ctx context.Context) error {
		if err := w.fetch(ctx, from, to); err == nil {
			return errors.New("it gets through")
		}
		return nil
	})
	if err != nil {
		t.Fatalf("calls from %s to %s should be refused: %v", from.Name(), to.Name(), err)
	}
}

// expectRefused calls once, and wants that refused at once, and told: by the ingress's access log and by its metrics.
func (w *world) expectRefused(t *testing.T, from, to *nodes.Cluster, reason string) {
	t.Helper()
	const metric = "linkspan_gateway_streams_total"
	labels := []string{`result="denied"`, `reason="` + reason + `"`, `side="ingress"`}
	before, err := sum(t.Context(), to, ingress, metric, labels...)
	if err != nil {
		t.Fatal(err)
	}
	logged, err := refusalsOf(t.Context(), to, from, reason)
	if err != nil {
		t.Fatal(err)
	}
	err = w.fetch(t.Context(), from, to)
	if err == nil {
		t.Errorf("a call from %s to %s got through", from.Name(), to.Name())
		return
	}
	if strings.Contains(err.Error(), "timeout") {
		t.Errorf("whoever may not call %s waits in vain: %v", to.Name(), err)
	}
	t.Logf("what the client in %s sees: %v", from.Name(), err)
	w.until(t, "the refusal is counted", func(ctx context.Context) error {
		now, err := sum(ctx, to, ingress, metric, labels...)
		if err == nil && now <= before {
			err = fmt.Errorf("%s{%s} is %v, as before", metric, strings.Join(labels, ","), now)
		}
		return err
	})
	w.until(t, "the refusal is logged", func(ctx context.Context) error {
		now, err := refusalsOf(ctx, to, from, reason)
		if err == nil && now <= logged {
			err = fmt.Errorf("the access logs tell of %d, as before", now)
		}
		return err
	})
}

// refusalsOf counts in the access logs of all pods of a cluster's ingress.
func refusalsOf(ctx context.Context, to, from *nodes.Cluster, reason string) (int, error) {
	pods, err := podsOf(ctx, to, homeNamespace, client.MatchingLabels{componentLabel: ingress})
	if err != nil {
		return 0, err
	}
	found := 0
	for _, p := range pods {
		log, err := to.Logs(ctx, homeNamespace, p.Name)
		if err != nil {
			return 0, err
		}
		found += refusals(log, egressOf(from.Name()), reason)
	}
	return found, nil
}

// refusals counts the lines of an access log that tell of a stream of a client that was refused for a reason.
func refusals(log, client, reason string) (found int) {
	for line := range strings.Lines(log) {
		if strings.Contains(line, " "+client+" - [") && strings.Contains(line, " vote/emoji-svc:8080 ") && strings.Contains(line, " denied "+reason+" ") {
			found++
		}
	}
	return found
}

func TestEachRefusalCounts(t *testing.T) {
	line := func(client, target, end string) string {
		return fmt.Sprintf(`10.0.0.1:4000 %s - [2026-11-21T10:00:00.000000Z] "http1 %s tls" %s 0`+"\n", client, target, end)
	}
	const mine, why = "egress.west", "client_not_allowed"
	one := line(mine, "vote/emoji-svc:8080", "denied "+why)
	for name, c := range map[string]struct {
		log  string
		want int
	}{
		"none":                   {"", 0},
		"a second one":           {one + one, 2},
		"for another reason":     {one + line(mine, "vote/emoji-svc:8080", "denied export_not_allowed"), 1},
		"words of several lines": {line(mine, "vote/web-svc:8080", "denied "+why) + line("egress.east", "vote/emoji-svc:8080", "ok"), 0},
	} {
		if got := refusals(c.log, mine, why); got != c.want {
			t.Errorf("%s: %d refusals, want %d in\n%s", name, got, c.want, c.log)
		}
	}
}

// identities are the UIDs of all pods of a component, with how often they were restarted.
func (w *world) identities(t *testing.T, component string) map[string]int32 {
	t.Helper()
	found := map[string]int32{}
	for _, c := range w.Fleet.Clusters() {
		pods, err := podsOf(t.Context(), c, homeNamespace, client.MatchingLabels{componentLabel: component})
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range pods {
			found[string(p.UID)] = p.Status.ContainerStatuses[0].RestartCount
		}
	}
	return found
}

package check

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

func mirrorsOrphaned(f Facts) []Finding {
	const text = "every mirror has a Link"
	if problem := f.Mirrors.problem(text); problem != nil {
		return problem
	}
	if problem := f.Linked.problem(text); problem != nil {
		return problem
	}
	orphans := map[string][]string{}
	for _, m := range f.Mirrors.Value {
		if !f.Linked.Value[m.Cluster] {
			orphans[m.Cluster] = append(orphans[m.Cluster], m.Namespace+"/"+m.Name)
		}
	}
	var findings []Finding
	for _, cluster := range slices.Sorted(maps.Keys(orphans)) {
		findings = append(findings, warn(text, fmt.Sprintf("no Link leads to %s, whose mirrors are still there: %s", cluster, list(orphans[cluster])),
			fmt.Sprintf("if Links were lost by mistake, apply them again; else mirror unlink --orphans --cluster-name %s | kubectl delete -f -", cluster)))
	}
	if len(findings) > 0 {
		return findings
	}
	return good(text)
}

func exportedLabels(f Facts) []Finding {
	text := "labels " + v1alpha3.LabelExported + " have values that mean something"
	if problem := f.Exports.problem(text); problem != nil {
		return problem
	}
	var odd []string
	for _, e := range f.Exports.Value {
		if e.Value != v1alpha3.ExportedGateway && e.Value != v1alpha3.ExportedRemoteDiscovery {
			odd = append(odd, fmt.Sprintf("%s/%s (%q)", e.Namespace, e.Name, e.Value))
		}
	}
	if len(odd) > 0 {
		return []Finding{warn(text, "only Links with a selector of their own pick "+list(odd),
			fmt.Sprintf("use %s or %s, unless such Links are meant", v1alpha3.ExportedGateway, v1alpha3.ExportedRemoteDiscovery))}
	}
	return good(fmt.Sprintf("%s (%d exported here)", text, len(f.Exports.Value)))
}

func mirrorsHeld(_ Facts, l Link) []Finding {
	text := l.Name() + ": no deletion of many mirrors is held"
	c := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionSynced)
	if c == nil || c.Reason != v1alpha3.ReasonMassDeletionHeld {
		return good(text)
	}
	return []Finding{bad(text, c.Message, "see whether the target has lost these services by mistake; if not, release them as said above")}
}

// mirrorsEndpoints leaves out what goes through a gateway that is dead, which is told of elsewhere.
func mirrorsEndpoints(f Facts, l Link) []Finding {
	text := l.Name() + ": mirrors have ready endpoints"
	if problem := f.Mirrors.problem(text); problem != nil {
		return problem
	}
	dead := condition(l, v1alpha3.ConditionGatewayReady, "")[0].Level == Error
	total := 0
	var empty []string
	for _, m := range f.Mirrors.Value {
		if m.Cluster != l.Spec.TargetClusterName || dead && !m.Direct {
			continue
		}
		total++
		if !m.Ready {
			empty = append(empty, m.Namespace+"/"+m.Name)
		}
	}
	if len(empty) > 0 {
		return []Finding{warn(text, fmt.Sprintf("%d of %d have none: %s", len(empty), total, list(empty)),
			"see whether the service has ready pods in the target; kubectl describe the mirror for its events")}
	}
	if total == 0 {
		return good(strings.TrimSuffix(text, "mirrors have ready endpoints") + "no mirrors to look at")
	}
	return good(fmt.Sprintf("%s (%d)", text, total))
}

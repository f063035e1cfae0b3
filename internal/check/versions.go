package check

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
)

func versionCLI(f Facts) []Finding {
	const text = "this command has the expected version"
	if f.Expected == "" {
		return good("this command is " + f.CLI)
	}
	if plainVersion(f.CLI) != plainVersion(f.Expected) {
		return []Finding{warn(text, fmt.Sprintf("this is %s, expected is %s", f.CLI, f.Expected), "install the other version of this command")}
	}
	return good(text + " (" + f.CLI + ")")
}

// versionWorkloads compares what runs with this command, or with what was asked for.
func versionWorkloads(f Facts) []Finding {
	const text = "what runs has the version of this command"
	if f.Deployments.Err != nil {
		return nil // said before
	}
	want := f.CLI
	if f.Expected != "" {
		want = f.Expected
	}
	var other []string
	for _, w := range Versions(f) {
		if slices.ContainsFunc(w.Versions, func(one string) bool { return plainVersion(one) != plainVersion(want) }) {
			other = append(other, fmt.Sprintf("%s is %s", w.Name, strings.Join(w.Versions, ", ")))
		}
	}
	if len(other) > 0 {
		return []Finding{warn(text, strings.Join(other, ", ")+", and not "+want, "upgrade the older of the two")}
	}
	return good(text)
}

// WorkloadVersions are the versions of one workload's pods.
type WorkloadVersions struct {
	Name     string   `json:"name"`
	Versions []string `json:"versions"`
}

// Versions lists what the facts say that runs, by workload.
func Versions(f Facts) []WorkloadVersions {
	var all []WorkloadVersions
	for _, d := range f.Deployments.Value {
		all = append(all, WorkloadVersions{Name: d.Name, Versions: runningVersions(f, d)})
	}
	return all
}

// runningVersions are those of the pods, which lag behind the Deployment while it is upgraded, or for good; of a Deployment without
// pods that of its template.
func runningVersions(f Facts, d appsv1.Deployment) []string {
	var all []string
	for _, pod := range podsOf(f, d) {
		if pod.DeletionTimestamp == nil && pod.Status.Phase != corev1.PodSucceeded && pod.Status.Phase != corev1.PodFailed {
			all = append(all, orUnknown(pod.Labels[labelVersion]))
		}
	}
	if len(all) == 0 {
		all = []string{orUnknown(d.Spec.Template.Labels[labelVersion])}
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// plainVersion makes "v1.2.3+x", as a tag, and "1.2.3_x", as a label, the same.
func plainVersion(v string) string { return strings.ReplaceAll(strings.TrimPrefix(v, "v"), "+", "_") }

func orUnknown(version string) string {
	if version == "" {
		return "unknown"
	}
	return version
}

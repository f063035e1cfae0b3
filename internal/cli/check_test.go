package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/internal/check"
)

var updateCheck = flag.Bool("update-check", false, "write the golden files of check's formats instead of comparing them")

// aReport has one of each level, with what a target may have written.
func aReport() check.Report {
	result := func(section check.Section, id string, f check.Finding) check.Result {
		return check.Result{ID: id, Section: section, Hint: "https://example.org/checks.md#" + id, Finding: f}
	}
	return check.Report{
		result(check.SectionAPI, "api-version", check.Finding{Text: "Kubernetes is new enough (v1.36.1)"}),
		result(check.SectionLinks, "links", check.Finding{Text: "1 link"}),
		result(check.SectionLinks, "link-credentials", check.Finding{
			Level: check.Error, Text: "east: the target accepts the credentials",
			Cause: "Unauthorized: \x1b[2Jthe target says\n√ all is well", Mend: "run `mirror link` again",
		}),
		result(check.SectionMirrors, "mirrors-endpoints", check.Finding{
			Level: check.Warning, Text: "east: mirrors have ready endpoints", Cause: "1 of 2 have none: shop/web-east", Mend: "look there",
		}),
	}
}

// Each format looks as its golden file does (CHK-5).
func TestFormatsOfReports(t *testing.T) {
	t.Parallel()
	good := aReport()[:2]
	for name, c := range map[string]struct {
		format string
		report check.Report
	}{
		"table": {formatTable, aReport()}, "short": {formatShort, aReport()}, "basic": {formatBasic, aReport()}, "json": {formatJSON, aReport()},
		"short-good": {formatShort, good}, "json-none": {formatJSON, nil},
	} {
		var out bytes.Buffer
		if err := printReport(Streams{Out: &out}, c.format, c.report); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join("testdata", "check-"+name+".golden")
		if *updateCheck {
			if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
				t.Fatal(err)
			}
			continue
		}
		want, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(string(want), out.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// --wait looks again until all is well or time is up, and does not wait for what stays.
func TestCheckWaits(t *testing.T) {
	t.Parallel()
	broken := func(passing bool) check.Report {
		return check.Report{{ID: "x", Finding: check.Finding{Level: check.Error, Passing: passing}}}
	}
	for name, c := range map[string]struct {
		looks   []check.Report // the last one is repeated
		wait    time.Duration
		want    bool
		took    time.Duration
		atLeast int
	}{
		"well at once":         {[]check.Report{{}}, time.Minute, true, 0, 1},
		"well after a while":   {[]check.Report{broken(true), broken(true), {}}, time.Minute, true, 2 * checkInterval, 3},
		"never well":           {[]check.Report{broken(true)}, 5 * checkInterval, false, 5 * checkInterval, 6},
		"broken for good":      {[]check.Report{broken(false)}, time.Minute, false, 0, 1},
		"nobody wants to wait": {[]check.Report{broken(true)}, 0, false, 0, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				start, looks := time.Now(), 0
				report := await(t.Context(), c.wait, func(check.Report) {}, func(context.Context) check.Report {
					looks++
					return c.looks[min(looks, len(c.looks))-1]
				})
				if took := time.Since(start); report.Success() != c.want || took != c.took || looks != c.atLeast {
					t.Errorf("success is %v after %v and %d looks", report.Success(), took, looks)
				}
			})
		})
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if report := await(ctx, time.Hour, func(check.Report) {}, func(context.Context) check.Report { return broken(true) }); report.Success() {
			t.Error("who gives up gets the last report")
		}
	})
}

// One look ends, whatever the cluster does, and so does the command.
func TestALookHasADeadline(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		await(t.Context(), 0, func(check.Report) {}, func(ctx context.Context) check.Report {
			select {
			case <-ctx.Done():
			case <-time.After(time.Hour):
			}
			return check.Report{{ID: "x", Finding: check.Finding{Level: check.Error, Passing: true}}}
		})
		if took := time.Since(start); took != lookTimeout {
			t.Errorf("it took %v, want %v", took, lookTimeout)
		}
	})
}

// A program that reads JSON gets some, even of a kubeconfig that leads nowhere.
func TestABadKubeconfigIsReportedAsJSON(t *testing.T) {
	t.Parallel()
	var out, notes bytes.Buffer
	code := Main(t.Context(), Streams{Out: &out, Err: &notes}, full("dev"), []string{"check", "-o", "json", "--kubeconfig=" + filepath.Join(t.TempDir(), "none")})
	var answer reportJSON
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %q and %q", err, out.String(), notes.String())
	}
	if code != 1 || answer.Success || !strings.Contains(answer.Categories[0].Checks[0].Error, "--kubeconfig") {
		t.Errorf("the exit code is %d, the answer %+v", code, answer)
	}
	out.Reset()
	if code := Main(t.Context(), Streams{Out: &out, Err: &notes}, full("dev"), []string{"check", "--kubeconfig=" + filepath.Join(t.TempDir(), "none")}); code != 1 || out.Len() > 0 || notes.Len() == 0 {
		t.Errorf("for people the exit code is %d, the output %q, the notes %q", code, out.String(), notes.String())
	}
}

// What is printed is bounded, in each format.
func TestPrintedReportsAreBounded(t *testing.T) {
	t.Parallel()
	var report check.Report
	for range 1000 {
		report = append(report, aReport()[2])
	}
	for _, format := range []string{formatTable, formatShort, formatBasic, formatJSON} {
		var out bytes.Buffer
		if err := printReport(Streams{Out: &out}, format, report); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out.String(), "and 980 more of link-credentials") || out.Len() > 16<<10 {
			t.Errorf("%s: %d bytes", format, out.Len())
		}
	}
}

// CHK-9: `linkerd check` hands its own flags on, and reads the answer.
func TestCheckAsAnExtension(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	config := `{"kind":"Config","apiVersion":"v1","current-context":"c","contexts":[{"name":"c","context":{"cluster":"c"}}],"clusters":[{"name":"c","cluster":{"server":"` + server.URL + `"}}]}`
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var out, notes bytes.Buffer
	code := Main(t.Context(), Streams{Out: &out, Err: &notes}, full("dev"), []string{
		"check", "--api-addr=1.2.3.4:80", "--as-group=[]", "--kubeconfig=" + file, "--linkerd-namespace=linkerd", "--verbose=false",
		"--namespace=shop", "--proxy=false", "--wait=0s", "--output=json",
	})
	var answer struct {
		Success    *bool
		Categories []struct {
			CategoryName string
			Checks       []struct{ Description, Hint, Error, Result string }
		}
	}
	if err := json.Unmarshal(out.Bytes(), &answer); err != nil {
		t.Fatalf("%v in %s%s", err, out.String(), notes.String())
	}
	if code != 1 || notes.Len() > 0 || answer.Success == nil || *answer.Success || answer.Categories[0].Checks[0].Result != "error" {
		t.Errorf("the exit code is %d, the answer %s, the notes %q", code, out.String(), notes.String())
	}
}

func TestFlagsOfLinkerdAreUnderstood(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		groups, want []string
		namespace    string
	}{
		"nobody":         {[]string{"[]"}, nil, ""},
		"two groups":     {[]string{"[a,b]"}, []string{"a", "b"}, ""},
		"a person's own": {[]string{"a"}, []string{"a"}, "ours"},
		"none":           {nil, nil, "ours"},
	} {
		globals, o := &globalOptions{asGroups: c.groups}, &checkOptions{namespace: "ours"}
		o.embedded(globals)
		if !slices.Equal(globals.asGroups, c.want) || o.namespace != c.namespace {
			t.Errorf("%s: groups are %q, the namespace is %q", name, globals.asGroups, o.namespace)
		}
	}
}

// `linkerd check` runs what names itself as its file is named, always or for clusters that have it (CHK-9).
func TestExtensionMetadata(t *testing.T) {
	t.Parallel()
	var out bytes.Buffer
	if code := Main(t.Context(), Streams{Out: &out, Err: &out}, full("dev"), []string{"_extension-metadata"}); code != 0 {
		t.Fatal(out.String())
	}
	var metadata map[string]string
	if err := json.Unmarshal(out.Bytes(), &metadata); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{"name": "linkerd-linkspan", "checks": "cluster"}, metadata); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

func TestCheckOptions(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		o    checkOptions
		want string
	}{
		"good":      {checkOptions{format: formatTable}, ""},
		"format":    {checkOptions{format: "wide"}, "--output"},
		"namespace": {checkOptions{format: formatJSON, namespace: "A"}, "--namespace"},
		"two modes": {checkOptions{format: formatJSON, pre: true, crds: true}, "--pre, --proxy and --crds"},
		"wait":      {checkOptions{format: formatJSON, wait: -1}, "--wait"},
	} {
		err := c.o.validate()
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len((&checkOptions{pre: true}).checks()) == len((&checkOptions{}).checks()) {
		t.Error("--pre must choose other checks")
	}
	rights := installRights()
	if !slices.Contains(rights, check.Right{Verb: "create", Group: "networking.k8s.io", Resource: "networkpolicies", Namespace: "linkerd-multicluster"}) ||
		!slices.Contains(rights, check.Right{Verb: "patch", Group: "apps", Resource: "deployments", Namespace: "linkerd-multicluster"}) ||
		!slices.Contains(rights, check.Right{Verb: "create", Group: "rbac.authorization.k8s.io", Resource: "clusterroles"}) {
		t.Errorf("rights are %v", rights)
	}
	// INST-13: Helm keeps its releases in Secrets, which it lists, updates and deletes as well.
	for _, verb := range []string{"list", "update", "delete"} {
		if !slices.Contains(rights, check.Right{Verb: verb, Resource: "secrets", Namespace: "linkerd-multicluster"}) {
			t.Errorf("whether you may %s secrets is not asked: rights are %v", verb, rights)
		}
	}
}

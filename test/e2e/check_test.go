package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/certs"
	"github.com/linkspan/linkspan/test/rig"
	"github.com/linkspan/linkspan/test/rights"
)

// mostCheckRequests is how many requests a check may cost (LESSON-40), the reviews of what the controller's
// account may do not counted: there are as many as it has permissions.
const mostCheckRequests = 50

// checked is what `mirror check -o json` printed.
type checked struct {
	Success    bool `json:"success"`
	Categories []struct {
		Name   string         `json:"categoryName"`
		Checks []checkedCheck `json:"checks"`
	} `json:"categories"`
}

type checkedCheck struct{ Description, Hint, Error, Result string }

// problems are the anchors of what is not well, with what is said of it.
func (c checked) problems(result string) map[string]string {
	found := map[string]string{}
	for _, category := range c.Categories {
		for _, one := range category.Checks {
			if one.Result == result {
				_, anchor, _ := strings.Cut(one.Hint, "#")
				found[anchor] += one.Error
			}
		}
	}
	return found
}

// `mirror check` asks real API servers about an installation whose controller runs (CHK-1, CHK-7, CHK-8, CHK-10).
func TestCheck(t *testing.T) {
	// A static token, because an API server cuts the watches of nobody else whose token is revoked.
	remote := rig.User{Name: "linkspan-checked", Token: "linkspan-checked-token"}
	clusters := rig.New(t, rig.ClusterOptions{Name: "west"},
		rig.ClusterOptions{Name: "east", ServiceCIDRs: []string{eastServices}, SkipCRDs: true, Users: []rig.User{remote}})
	if err := clusters[1].Grant(t.Context(), remote, rightsOf(remoteAccount).Everywhere...); err != nil {
		t.Fatal(err)
	}
	w := newWorld(t, clusters[0], clusters[1], 0)
	w.installed(t)
	w.controller(t, nil)

	t.Run("it is green with no links", func(t *testing.T) {
		report, _ := w.check(t, 0)
		wantProblems(t, report, "error")
		wantProblems(t, report, "warning")
		text := w.checkText(t)
		for _, want := range []string{
			"√ 0 links\n", "√ trust anchors are valid: ConfigMap checked-tls, key ca-bundle.crt\n",
			"√ linkspan: the certificate in Secret checked-tls can be used (until ", "\n\nStatus check results are √\n",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("%q is missing in\n%s", want, text)
			}
		}
		if strings.Contains(text, "BEGIN") {
			t.Error("the output holds what was read")
		}
	})

	w.linkDirect(t, remote)
	w.exportDirect(t, "web", w.host(worldAddresses-1))
	rig.ExpectService(t, w.west, w.apps, "web-"+w.cluster)

	t.Run("it is green with a link", func(t *testing.T) {
		mark := rig.Mark(t, w.west)
		report, text := w.check(t, 0)
		wantProblems(t, report, "error")
		wantProblems(t, report, "warning")
		wantNoSecret(t, text, remote)
		requests, err := w.west.Requests(mark, rig.By("rig-admin"), rig.Agent("linkspan-cli"))
		if err != nil {
			t.Fatal(err)
		}
		requests = slices.DeleteFunc(requests, func(r rig.Request) bool { return r.Resource == "subjectaccessreviews" })
		if len(requests) == 0 || len(requests) > mostCheckRequests {
			t.Errorf("a check costs %d requests, want at most %d", len(requests), mostCheckRequests)
		}
		t.Logf("a check costs %d requests beside reviews", len(requests))
	})

	t.Run("a mirror without endpoints and an orphan are warnings", func(t *testing.T) {
		w.exportDirect(t, "empty")
		rig.ExpectService(t, w.west, w.apps, "empty-"+w.cluster)
		orphan := rig.Service(w.apps, "web-gone", rig.WithLabel(v1alpha3.LabelMirroredService, "true"), rig.WithLabel(v1alpha3.LabelClusterName, "gone"))
		rig.Create(t, w.west, orphan)
		report, _ := w.check(t, 0)
		wantProblems(t, report, "error")
		wantProblems(t, report, "warning", "mirrors-endpoints", "mirrors-orphaned")
		said := report.problems("warning")
		if !strings.Contains(said["mirrors-endpoints"], w.apps+"/empty-"+w.cluster) || !strings.Contains(said["mirrors-orphaned"], w.apps+"/web-gone") {
			t.Errorf("warnings are %v", said)
		}
		if !strings.Contains(said["mirrors-orphaned"], "if Links were lost by mistake, apply them again") {
			t.Errorf("orphans are %q", said["mirrors-orphaned"])
		}
		rig.Delete(t, w.west, orphan)
	})

	t.Run("a Service that is exported through a gateway that is not there is an error", func(t *testing.T) {
		exported := rig.Service(w.apps, "pay", rig.Exported(v1alpha3.ExportedGateway))
		rig.Create(t, w.west, exported)
		report, _ := w.check(t, 1)
		wantProblems(t, report, "error", "gateway-address")
		rig.Delete(t, w.west, exported)
	})

	t.Run("an upgrade that is stuck is an error while an old pod is ready", func(t *testing.T) { checkStuckUpgrade(t, w) })

	t.Run("a controller that imports into some namespaces needs rights in those alone", func(t *testing.T) { checkImporting(t, w) })

	t.Run("--proxy is not green for a namespace that is not there", func(t *testing.T) {
		text, code := runCheck(t, "--kubeconfig="+w.adminFile(t), "-n", "nowhere", "--proxy", "-o", formatBasic)
		if code != 1 || !strings.Contains(text, "[error] namespace nowhere exists") {
			t.Errorf("the exit code is %d:\n%s", code, text)
		}
	})

	t.Run("who has few rights is told which are missing", func(t *testing.T) { checkWithFewRights(t, w) })

	t.Run("Linkspan may be installed, and is already", func(t *testing.T) {
		text, code := runCheck(t, "--kubeconfig="+w.adminFile(t), "-n", w.links, "--pre")
		if code != 0 || strings.Contains(text, "×") || !strings.Contains(text, "this would be an upgrade") || !strings.Contains(text, "√ you may grant what the chart's Roles hold") {
			t.Errorf("the exit code is %d:\n%s", code, text)
		}
	})

	t.Run("credentials that were revoked are an error with cause and mend", func(t *testing.T) {
		if err := w.east.RevokeToken(t.Context(), remote.Token); err != nil {
			t.Fatal(err)
		}
		rig.ExpectCondition(t, w.west, w.linkKey(), v1alpha3.ConditionCredentialsValid, metav1.ConditionFalse, v1alpha3.ReasonUnauthorized)
		report, text := w.check(t, 1)
		wantProblems(t, report, "error", "link-credentials")
		said := report.problems("error")["link-credentials"]
		if !strings.Contains(said, v1alpha3.ReasonUnauthorized) || !strings.Contains(said, "run `mirror link` in the target's context") {
			t.Errorf("the error is %q", said)
		}
		wantNoSecret(t, text, remote)
	})
}

// checkStuckUpgrade has the status that a Deployment has whose new pod never becomes ready.
func checkStuckUpgrade(t *testing.T, w *world) {
	d := &appsv1.Deployment{}
	if err := w.west.Client().Get(t.Context(), client.ObjectKey{Namespace: w.links, Name: "linkspan"}, d); err != nil {
		t.Fatal(err)
	}
	well := *d.Status.DeepCopy()
	d.Status.Replicas, d.Status.UpdatedReplicas = 2, 1
	d.Status.Conditions = []appsv1.DeploymentCondition{{
		Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: "ReplicaSet has timed out",
	}}
	if err := w.west.Client().Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	report, _ := w.check(t, 1)
	wantProblems(t, report, "error", "controller-ready")
	if said := report.problems("error")["controller-ready"]; !strings.Contains(said, "ProgressDeadlineExceeded") {
		t.Errorf("the error is %q", said)
	}
	d.Status = well
	if err := w.west.Client().Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// checkImporting gives the Deployment an account with Roles as controller.importNamespaces makes them, and takes one away.
func checkImporting(t *testing.T, w *world) {
	user, err := w.west.ServiceAccount(t.Context(), w.links, "importer")
	if err != nil {
		t.Fatal(err)
	}
	may, inEach := rights.Importing()
	if err := w.west.Grant(t.Context(), user, may.Everywhere...); err != nil {
		t.Fatal(err)
	}
	subject := rbacv1.Subject{Kind: rbacv1.ServiceAccountKind, Namespace: w.links, Name: "importer"}
	binding := func(namespace string, rules []rbacv1.PolicyRule) *rbacv1.RoleBinding {
		meta := metav1.ObjectMeta{Namespace: namespace, Name: "importer"}
		bound := &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "Role", Name: "importer"}, Subjects: []rbacv1.Subject{subject}}
		rig.Create(t, w.west, &rbacv1.Role{ObjectMeta: meta, Rules: rules}, bound)
		awaitRight(t, w.west, user, namespace, rules[0])
		return bound
	}
	binding(w.links, may.AtHome)
	inApps := binding(w.apps, inEach)
	awaitRight(t, w.west, user, "", may.Everywhere[0])
	was := w.importsInto(t, w.apps)

	report, _ := w.check(t, 0)
	wantProblems(t, report, "error")
	rig.Delete(t, w.west, inApps)
	expectSoon(t, func() error {
		text, _ := runCheck(t, "--kubeconfig="+w.adminFile(t), "-n", w.links, "-o", formatBasic)
		if want := "its account may not get/list/watch/create/patch/delete services in namespace " + w.apps; !strings.Contains(text, want) {
			return fmt.Errorf("%q is missing in\n%s", want, text)
		}
		return nil
	})
	w.rolledOut(t, was)
}

// importsInto has the Deployment's controller import into a namespace, as the account importer, and gives what it was.
func (w *world) importsInto(t *testing.T, namespace string) *appsv1.Deployment {
	t.Helper()
	d := &appsv1.Deployment{}
	if err := w.west.Client().Get(t.Context(), client.ObjectKey{Namespace: w.links, Name: "linkspan"}, d); err != nil {
		t.Fatal(err)
	}
	was := d.DeepCopy()
	pod := &d.Spec.Template.Spec
	pod.ServiceAccountName = "importer"
	pod.Containers[0].Args = append(pod.Containers[0].Args, "--import-namespaces="+namespace)
	w.rolledOut(t, d)
	was.ResourceVersion = d.ResourceVersion
	return was
}

// rolledOut writes a Deployment, and the status that it has once all its pods are there.
func (w *world) rolledOut(t *testing.T, d *appsv1.Deployment) {
	t.Helper()
	if err := w.west.Client().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1}
	if err := w.west.Client().Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

func checkWithFewRights(t *testing.T, w *world) {
	reader, err := w.west.ServiceAccount(t.Context(), w.apps, "reader")
	if err != nil {
		t.Fatal(err)
	}
	links := rbacv1.PolicyRule{APIGroups: []string{v1alpha3.GroupVersion.Group}, Resources: []string{"links"}, Verbs: []string{"list"}}
	if err := w.west.Grant(t.Context(), reader, links); err != nil {
		t.Fatal(err)
	}
	awaitRight(t, w.west, reader, "", links)
	path, err := w.west.KubeconfigFile(reader)
	if err != nil {
		t.Fatal(err)
	}
	text, code := runCheck(t, "--kubeconfig="+path, "-n", w.links, "-o", formatBasic)
	if code != 0 {
		t.Errorf("the exit code is %d, want 0: a missing right breaks nothing\n%s", code, text)
	}
	for _, want := range []string{"you may not list deployments.apps in namespace " + w.links, "you may not get secrets in namespace " + w.links, "[ok] 1 link\n"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is missing in\n%s", want, text)
		}
	}
}

const formatBasic = "basic"

// installed makes what the chart makes of a controller, but for the pods: those are our processes.
func (w *world) installed(t *testing.T) {
	t.Helper()
	own := map[string]string{"app.kubernetes.io/name": "linkspan", "app.kubernetes.io/component": "controller", "app.kubernetes.io/version": "dev"}
	pki := certs.For(t)
	anchor := pki.Anchor("root.linkerd.cluster.local")
	files := pki.Files(pki.Leaf(pki.Issuer(anchor, "west"), w.identity(controllerAccount)), anchor)
	meta := metav1.ObjectMeta{Namespace: w.links, Name: "checked-tls"}
	rig.Create(t, w.west, &corev1.ConfigMap{ObjectMeta: meta, Data: map[string]string{"ca-bundle.crt": string(files.Anchors)}},
		&corev1.Secret{ObjectMeta: meta, Type: corev1.SecretTypeTLS, Data: map[string][]byte{certs.CertFile: files.Cert, certs.KeyFile: files.Key}})
	d := &appsv1.Deployment{
		ObjectMeta: metav1.ObjectMeta{Namespace: w.links, Name: "linkspan", Labels: own},
		Spec: appsv1.DeploymentSpec{
			Replicas: new(int32(1)), Selector: &metav1.LabelSelector{MatchLabels: own},
			Template: corev1.PodTemplateSpec{ObjectMeta: metav1.ObjectMeta{Labels: own}, Spec: corev1.PodSpec{
				ServiceAccountName: controllerAccount,
				Containers: []corev1.Container{{
					Name: "service-mirror", Image: "example.org/mirror", Args: []string{"controller", "--probe-identity=" + w.identity(controllerAccount)},
				}},
				Volumes: []corev1.Volume{
					{Name: "trust-anchors", VolumeSource: corev1.VolumeSource{ConfigMap: &corev1.ConfigMapVolumeSource{
						LocalObjectReference: corev1.LocalObjectReference{Name: meta.Name}, Items: []corev1.KeyToPath{{Key: "ca-bundle.crt", Path: certs.AnchorsFile}},
					}}},
					{Name: "certificate", VolumeSource: corev1.VolumeSource{Secret: &corev1.SecretVolumeSource{SecretName: meta.Name}}},
				},
			}},
		},
	}
	rig.Create(t, w.west, d)
	d.Status = appsv1.DeploymentStatus{ObservedGeneration: d.Generation, Replicas: 1, ReadyReplicas: 1, UpdatedReplicas: 1}
	if err := w.west.Client().Status().Update(t.Context(), d); err != nil {
		t.Fatal(err)
	}
}

// linkDirect makes a Link without a gateway.
func (w *world) linkDirect(t *testing.T, remote rig.User) {
	t.Helper()
	kubeconfig, err := w.east.Kubeconfig(remote)
	if err != nil {
		t.Fatal(err)
	}
	rig.Create(t, w.west, rig.CredentialsSecret(w.links, w.cluster, kubeconfig), rig.Link(w.links, w.cluster))
	rig.ExpectCondition(t, w.west, w.linkKey(), v1alpha3.ConditionReady, metav1.ConditionTrue, v1alpha3.ReasonReady)
}

func (w *world) exportDirect(t *testing.T, name string, addresses ...string) {
	t.Helper()
	service := rig.Service(w.apps, name, rig.Exported(v1alpha3.ExportedRemoteDiscovery), rig.WithSelector("app", name))
	rig.Create(t, w.east, service)
	rig.Create(t, w.east, rig.EndpointSlice(service, addresses))
}

// check runs `mirror check -o json` as the administrator.
func (w *world) check(t *testing.T, wantCode int) (checked, string) {
	t.Helper()
	text, code := runCheck(t, "--kubeconfig="+w.adminFile(t), "-n", w.links, "-o", "json")
	if code != wantCode {
		t.Errorf("the exit code is %d, want %d:\n%s", code, wantCode, text)
	}
	var report checked
	if err := json.Unmarshal([]byte(text), &report); err != nil {
		t.Fatalf("%v in\n%s", err, text)
	}
	if report.Success != (wantCode == 0) {
		t.Errorf("success is %v, and the exit code is to be %d", report.Success, wantCode)
	}
	return report, text
}

func (w *world) checkText(t *testing.T) string {
	t.Helper()
	text, _ := runCheck(t, "--kubeconfig="+w.adminFile(t), "-n", w.links)
	return text
}

func (w *world) adminFile(t *testing.T) string {
	t.Helper()
	path, err := w.west.KubeconfigFile(w.west.Admin())
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// runCheck gives what was printed and the exit code.
func runCheck(t *testing.T, args ...string) (string, int) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program("mirror"), append([]string{"check"}, args...)...)
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", "KUBECONFIG=")
	cmd.SysProcAttr = rig.ChildAttributes()
	var notes strings.Builder
	cmd.Stderr = &notes
	out, err := cmd.Output()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	if text := strings.ReplaceAll(notes.String(), "\r\x1b[K", ""); text != "" {
		t.Errorf("on standard error: %s", text)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

func wantProblems(t *testing.T, report checked, result string, want ...string) {
	t.Helper()
	got := []string{}
	for anchor := range report.problems(result) {
		got = append(got, anchor)
	}
	slices.Sort(got)
	if diff := cmp.Diff(append([]string{}, want...), got); diff != "" {
		t.Errorf("%ss (-want +got):\n%s%v", result, diff, report.problems(result))
	}
}

// wantNoSecret looks for the token (LINK-13, CHK-10).
func wantNoSecret(t *testing.T, text string, user rig.User) {
	t.Helper()
	if strings.Contains(text, user.Token) {
		t.Error("the output holds a token")
	}
}

package check_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/test/certs"
)

// An old pod that is ready hides no upgrade that is stuck, and what no pod says the Deployment does.
func rolloutFaults() map[string]one {
	controller := func(change func(*appsv1.Deployment)) func(*check.Facts) {
		return func(f *check.Facts) { change(&f.Deployments.Value[0]) }
	}
	saysThat := func(kind appsv1.DeploymentConditionType, status corev1.ConditionStatus, reason, message string) func(*appsv1.Deployment) {
		return func(d *appsv1.Deployment) {
			d.Status.Conditions = append(d.Status.Conditions, appsv1.DeploymentCondition{Type: kind, Status: status, Reason: reason, Message: message})
		}
	}
	killed := func(ago time.Duration) func(*check.Facts) {
		return func(f *check.Facts) {
			ended := &corev1.ContainerStateTerminated{Reason: "OOMKilled", FinishedAt: metav1.Time{Time: f.Now.Add(-ago)}}
			pod := aPod("controller", "1.2.0")
			pod.Status.ContainerStatuses = []corev1.ContainerStatus{{Ready: true, LastTerminationState: corev1.ContainerState{Terminated: ended}}}
			f.Pods.Value = []corev1.Pod{pod}
		}
	}
	return map[string]one{
		"an upgrade is under way":                   {controller(func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 0 }), []string{"error controller-ready: 0 of 1 replicas are of the last version"}},
		"an upgrade has not begun":                  {controller(func(d *appsv1.Deployment) { d.Generation, d.Status.ObservedGeneration = 3, 2 }), []string{"error controller-ready: has not looked at its last change"}},
		"an upgrade is stuck":                       {controller(func(d *appsv1.Deployment) { d.Status.UpdatedReplicas = 0; stuck(d) }), []string{"error controller-ready: ProgressDeadlineExceeded: ReplicaSet has timed out"}},
		"an old pod is ready, and a new one is not": {controller(func(d *appsv1.Deployment) { d.Status.Replicas = 2 }), []string{"error controller-ready: 1 of 2 replicas are of the last version"}},
		"and it stays so":                           {controller(func(d *appsv1.Deployment) { d.Status.Replicas = 2; stuck(d) }), []string{"error controller-ready: ProgressDeadlineExceeded: ReplicaSet has timed out"}},
		"a replica of the last version stays without a node": {controller(func(d *appsv1.Deployment) {
			d.Spec.Replicas, d.Status.Replicas, d.Status.UpdatedReplicas = new(int32(2)), 2, 2
			stuck(d)
		}), []string{"warning controller-ready: 1 of 2 replicas are ready"}},
		"no pod can be made": {controller(func(d *appsv1.Deployment) {
			d.Status.ReadyReplicas, d.Status.UpdatedReplicas = 0, 0
			saysThat(appsv1.DeploymentReplicaFailure, corev1.ConditionTrue, "FailedCreate", "violates PodSecurity")(d)
		}), []string{"error controller-ready: FailedCreate: violates PodSecurity"}},
		"it was killed for want of memory, and is ready again (13)": {killed(time.Hour), []string{"warning controller-ready: OOMKilled"}},
		"that was long ago":                    {killed(30 * 24 * time.Hour), nil},
		"an old pod runs beside the new ones":  {withPods(aPod("ingress", "1.1.0"), aPod("ingress", "1.2.0"), aPod("controller", "1.2.0")), []string{"warning version-workloads: linkspan-ingress is 1.1.0, 1.2.0"}},
		"the pods are as old as the last spec": {withPods(aPod("ingress", "1.2.0"), aPod("controller", "1.1.0")), []string{"warning version-workloads: linkspan is 1.1.0"}},
		"an old pod is ending": {withPods(func() corev1.Pod {
			pod := aPod("controller", "1.1.0")
			pod.DeletionTimestamp = &metav1.Time{}
			return pod
		}(), aPod("controller", "1.2.0")), nil},
	}
}

func stuck(d *appsv1.Deployment) {
	d.Status.Conditions = []appsv1.DeploymentCondition{{Type: appsv1.DeploymentProgressing, Status: corev1.ConditionFalse, Reason: "ProgressDeadlineExceeded", Message: "ReplicaSet has timed out"}}
}

func aPod(component, version string) corev1.Pod {
	return corev1.Pod{ObjectMeta: metav1.ObjectMeta{Name: component + "-x", Labels: map[string]string{"app.kubernetes.io/component": component, "app.kubernetes.io/version": version}}}
}

func withPods(pods ...corev1.Pod) func(*check.Facts) {
	return func(f *check.Facts) { f.Pods.Value = pods }
}

// What could not be read is never told as good.
func unreadFaults() map[string]one {
	return map[string]one{
		"Deployments may not be listed": {func(f *check.Facts) {
			f.Deployments, f.Anchors, f.Certificates = refused[[]appsv1.Deployment](), nil, nil
		},
			[]string{"warning installed: you may not", "warning gateway-workloads: you may not", "warning trust-anchors: you may not", "warning trust-certificates: you may not"}},
		"nor are there anchors of Linkerd's": {func(f *check.Facts) {
			f.Deployments, f.Certificates = refused[[]appsv1.Deployment](), nil
			f.Anchors = []check.Anchors{{Source: "ConfigMap roots in namespace linkerd", ControlPlane: "linkerd", PEM: notFound[[]byte]("configmaps", "roots")}}
		}, []string{"warning installed: you may not", "warning gateway-workloads: you may not", "warning trust-anchors: you may not",
			"warning trust-anchors: there is no such ConfigMap", "warning trust-certificates: you may not"}},
		"nor is there a Lease": {func(f *check.Facts) {
			f.Deployments, f.Anchors, f.Certificates, f.Lease.Value = refused[[]appsv1.Deployment](), nil, nil, nil
		}, []string{"warning installed: you may not", "warning leader-elected: no controller has become the leader yet; whether there is a controller", "warning gateway-workloads: you may not", "warning trust-anchors: you may not", "warning trust-certificates: you may not"}},
		"accounts alone, and they may not be listed": {func(f *check.Facts) {
			*f = accountsOnly(*f)
			f.Accounts = refused[int]()
		}, []string{"warning installed: you may not"}},
		"no controller, and Links may not be listed": {func(f *check.Facts) {
			f.Deployments.Value, f.Links = f.Deployments.Value[1:], refused[[]check.Link]()
		}, []string{"warning installed: you may not", "warning links: you may not"}},
		"the types may not be asked for (9)": {func(f *check.Facts) { f.LinkAPI = refused[check.LinkAPI]() },
			[]string{"warning crd-served: you may not", "warning crd-complete: could not be read"}},
		"there is no CRD, and so no orphans (9)": {func(f *check.Facts) {
			f.LinkAPI.Value, f.Links, f.Linked = check.LinkAPI{}, check.Read[[]check.Link]{}, check.Read[map[string]bool]{}
		}, []string{"error crd-served: not installed"}},
		"discovery fails (9)": {func(f *check.Facts) {
			f.LinkAPI, f.Links, f.Linked = check.Read[check.LinkAPI]{Err: errors.New("503")}, check.Read[[]check.Link]{}, check.Read[map[string]bool]{}
		}, []string{"error crd-served: 503"}},
		"the server shows no time": {func(f *check.Facts) { f.Server.Value.Date = time.Time{} }, nil},
	}
}

func notFound[T any](resource, name string) check.Read[T] {
	return check.Read[T]{Err: apierrors.NewNotFound(schema.GroupResource{Resource: resource}, name), Right: check.Right{Verb: "get", Resource: resource, Namespace: "links"}}
}

// What should be there and is not is named, with who makes it.
func missingFaults() map[string]one {
	return map[string]one{
		"the ConfigMap of the anchors (5)": {func(f *check.Facts) { f.Anchors[0].PEM = notFound[[]byte]("configmaps", "anchors") },
			[]string{"error trust-anchors: there is no ConfigMap anchors in namespace linkerd-multicluster; create it, or correct gateway.trustAnchors.configMap.name; if trust-manager"}},
		"the Secret of the anchors (5)": {func(f *check.Facts) {
			f.Anchors[0].Source, f.Certificates = "Secret roots, key ca.crt", nil
			f.Anchors[0].PEM = notFound[[]byte]("secrets", "roots")
		}, []string{"error trust-anchors: there is no Secret roots in namespace linkerd-multicluster; create it, or correct gateway.trustAnchors.secret.name"}},
		"the chart's own anchors": {func(f *check.Facts) {
			f.Anchors[0].Source, f.Certificates = "ConfigMap linkspan-trust-anchors, key ca-bundle.crt", nil
			f.Anchors[0].PEM = notFound[[]byte]("configmaps", "linkspan-trust-anchors")
		}, []string{"error trust-anchors: there is no ConfigMap linkspan-trust-anchors in namespace linkerd-multicluster; install the chart again"}},
		"the Secret of a certificate (5)": {func(f *check.Facts) { f.Certificates[0].PEM = notFound[[]byte]("secrets", "linkspan-ingress-tls") },
			[]string{"error trust-certificates: there is no Secret linkspan-ingress-tls in namespace linkerd-multicluster; create it, or correct gateway.ingress.certificate.secretName; if cert-manager"}},
		"the gateway that exports need (6)": {func(f *check.Facts) { f.GatewayServices.Value, f.Deployments.Value = nil, f.Deployments.Value[:1] },
			[]string{"error gateway-address: shop/pay"}},
		"that gateway is Linkerd's": {func(f *check.Facts) {
			f.GatewayServices.Value, f.Deployments.Value = nil, f.Deployments.Value[:1]
			f.OtherGateways = got([]string{"elsewhere/linkerd-gateway"})
		}, nil},
		"whether there is another is not known": {func(f *check.Facts) {
			f.GatewayServices.Value, f.Deployments.Value, f.OtherGateways = nil, f.Deployments.Value[:1], refused[[]string]()
		}, []string{"warning gateway-address: you may not"}},
		"the Service of the gateway (6)": {func(f *check.Facts) { f.GatewayServices.Value = nil }, []string{"error gateway-address: no Service leads to Deployment linkspan-ingress"}},
	}
}

// What Links were lost by mistake is not to be deleted with their mirrors.
func TestOrphansAreNotDeletedLightly(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	delete(f.Linked.Value, "east")
	found := problems(check.Run(check.All(), f))
	if len(found) != 1 || !strings.Contains(found[0], "if Links were lost by mistake, apply them again; else ") {
		t.Errorf("found %q", found)
	}
}

// --proxy says why it looked at nothing.
func TestProxyIsNotGreenForNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		spoil func(*check.Facts)
		want  string
	}{
		"no such namespace":        {func(f *check.Facts) { f.Home.Value, f.Deployments.Value, f.Links.Value = nil, nil, nil }, "error namespace-exists"},
		"nothing is installed":     {func(f *check.Facts) { f.Deployments.Value, f.Links.Value = nil, nil }, "error installed"},
		"Links may not be listed":  {func(f *check.Facts) { f.Links = refused[[]check.Link]() }, "warning links"},
		"nobody leads":             {func(f *check.Facts) { f.Lease.Value = nil }, "error leader-elected"},
		"there is no CRD":          {func(f *check.Facts) { f.LinkAPI.Value, f.Links.Value = check.LinkAPI{}, nil }, "error crd-served"},
		"the controller is behind": {func(f *check.Facts) { f.Links.Value[0].Generation = 2 }, "error link-accepted"},
	} {
		f := healthy(t)
		c.spoil(&f)
		found := problems(check.Run(check.Proxy(), f))
		if !slices.ContainsFunc(found, func(one string) bool { return strings.HasPrefix(one, c.want+": ") }) {
			t.Errorf("%s: found %q, want %q", name, found, c.want)
		}
	}
}

// INST-13: what Helm does beside creating, who may make Roles, and what is needed for some values only.
func TestRightsBeforeAnInstallation(t *testing.T) {
	t.Parallel()
	denied := func(verb, group, resource string) check.Grant {
		return check.Grant{Right: check.Right{Verb: verb, Group: group, Resource: resource, Namespace: "links"}}
	}
	const rbac = "rbac.authorization.k8s.io"
	for name, c := range map[string]one{
		"two verbs of a kind": {func(f *check.Facts) {
			f.MayInstall.Value = append(f.MayInstall.Value, denied("get", "apps", "deployments"), denied("patch", "apps", "deployments"))
		}, []string{"error pre-permissions: you may not get/patch deployments.apps in namespace links"}},
		"kinds that some values ask for": {func(f *check.Facts) {
			f.MayInstall.Value = append(f.MayInstall.Value, denied("create", "autoscaling", "horizontalpodautoscalers"), denied("create", "cert-manager.io", "certificates"))
		}, []string{"warning pre-permissions: you may not create horizontalpodautoscalers.autoscaling in namespace links, create certificates.cert-manager.io"}},
		"Helm's Secrets are out of reach": {func(f *check.Facts) {
			f.MayInstall.Value = append(f.MayInstall.Value, check.Grant{Right: check.Right{Verb: "update", Resource: "secrets", Namespace: "links"}})
		}, []string{"warning pre-permissions: you may not update secrets in namespace links, where Helm keeps its releases"}},
		"may not grant": {func(f *check.Facts) {
			f.MayGrant.Value = check.RoleRights{Leave: []check.Grant{denied("escalate", rbac, "roles")}, Held: []check.Grant{denied("delete", "", "services")}}
		}, []string{"error pre-escalation: you do not hold delete services in namespace links"}},
		"holds what is granted": {func(f *check.Facts) {
			held := denied("delete", "", "services")
			held.Allowed = true
			f.MayGrant.Value = check.RoleRights{Leave: []check.Grant{denied("escalate", rbac, "roles")}, Held: []check.Grant{held}}
		}, nil},
		"load balancers stay without addresses": {func(f *check.Facts) { f.LoadBalancers.Value.WithAddress = 0 }, []string{"warning pre-load-balancer: none of 1 Services"}},
		"no load balancer was ever asked for":   {func(f *check.Facts) { f.LoadBalancers.Value = check.LoadBalancers{} }, nil},
		"Services may not be listed":            {func(f *check.Facts) { f.LoadBalancers = refused[check.LoadBalancers]() }, []string{"warning pre-load-balancer: you may not"}},
		"the schema is not known":               {func(f *check.Facts) { f.LinkAPI.Value.Conditions = nil }, []string{"warning pre-crd: the schema of Links could not be read"}},
	} {
		f := healthy(t)
		c.spoil(&f)
		wantProblems(t, name, problems(check.Run(check.Pre(), f)), c.want)
	}
}

func wantProblems(t *testing.T, name string, found, want []string) {
	t.Helper()
	if len(found) != len(want) {
		t.Errorf("%s: found %q, want %q", name, found, want)
		return
	}
	for i := range found {
		what, cause, _ := strings.Cut(want[i], ": ")
		if !strings.HasPrefix(found[i], what+": ") || !strings.Contains(found[i], cause) {
			t.Errorf("%s: found %q, want %q", name, found[i], want[i])
		}
	}
}

// What is published of a CRD comes a moment after it: --wait bears it.
func TestAnIncompleteCRDMayPass(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	f.LinkAPI.Value.Conditions = new(false)
	if report := check.Run(check.All(), f); report.Success() || !report.MayPass() {
		t.Error("the schema may be published in a moment")
	}
	f = healthy(t)
	f.Deployments.Value[0].Status.UpdatedReplicas = 0
	if report := check.Run(check.All(), f); report.Success() || !report.MayPass() {
		t.Error("an upgrade that is under way is waited for")
	}
	stuck(&f.Deployments.Value[0])
	if report := check.Run(check.All(), f); report.MayPass() {
		t.Error("an upgrade that is stuck stays so")
	}
}

// CERT-6: an issuer that has expired is named, not only that the chain leads nowhere.
func TestIssuersAreJudged(t *testing.T) {
	t.Parallel()
	pki, now, day := certs.For(t), time.Now(), 24*time.Hour
	anchor := pki.Anchor("root")
	under := func(options ...certs.Option) []byte {
		return pki.Leaf(pki.Issuer(anchor, "east", options...), identity).ChainPEM()
	}
	for name, c := range map[string]struct {
		leaf []byte
		want []string
	}{
		"an issuer has expired":  {under(certs.NotBefore(now.Add(-20*day)), certs.NotAfter(now.Add(-day))), []string{"error trust-certificates: its issuer east expired on"}},
		"an issuer expires soon": {under(certs.NotBefore(now.Add(-300*day)), certs.NotAfter(now.Add(5*day))), []string{"warning trust-certificates: its issuer east expires on"}},
		"an issuer lasts":        {under(), nil},
		// The server's clock is shown in whole seconds, and was read a moment before.
		"all were made this moment": {pki.Leaf(pki.Issuer(anchor, "east", certs.NotBefore(now.Add(5*time.Second))), identity, certs.NotBefore(now.Add(6*time.Second))).ChainPEM(), nil},
	} {
		f := healthy(t)
		f.Anchors[0].PEM, f.Certificates[0].PEM = got(certs.Bundle(anchor)), got(c.leaf)
		wantProblems(t, name, problems(check.Run(check.All(), f)), c.want)
	}
}

// CHK-8: a machine whose clock is wrong is told so, and nothing else.
func TestTimeIsTheServers(t *testing.T) {
	t.Parallel()
	for name, wrong := range map[string]time.Duration{"a year ahead": 400 * 24 * time.Hour, "a year behind": -400 * 24 * time.Hour} {
		f := healthy(t)
		f.Links.Value[0].Credentials.Value.Expires = f.Now.Add(100 * 24 * time.Hour)
		f.Now = f.Now.Add(wrong)
		wantProblems(t, name, problems(check.Run(check.All(), f)), []string{"warning api-clock: apart"})
	}
}

// A report of thousands of findings can be read: each check shows its first ones and counts the others.
func TestReportsAreBounded(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	f.Links.Value = nil
	for i := range 100 {
		l := aLink(fmt.Sprintf("c%03d", i), "203.0.113.7")
		if i >= 50 {
			setCondition(&l, v1alpha3.ConditionConnected, no, v1alpha3.ReasonConnectionFailed, strings.Repeat("wörd ", 1000))
		}
		f.Links.Value = append(f.Links.Value, l)
	}
	whole := check.Run(check.All(), f)
	report := whole.Bounded()
	count, more := map[check.Level]int{}, ""
	for _, r := range report {
		if r.ID == "link-connected" {
			count[r.Level]++
			if strings.Contains(r.Text, "more") && r.Level == check.Error {
				more = r.Text
			}
		}
		for _, text := range []string{r.Text, r.Cause, r.Mend} {
			if len([]rune(text)) > 500 {
				t.Errorf("%s has %d characters", r.ID, len([]rune(text)))
			}
		}
		if r.Level != check.OK && (r.Cause == "" || r.Mend == "" || r.Hint == "") {
			t.Errorf("%+v lacks something", r)
		}
	}
	if count[check.OK] != 21 || count[check.Error] != 21 || !strings.Contains(more, "30 more") {
		t.Errorf("counts are %v, and what is left out is %q", count, more)
	}
	if report.Success() || len(report) >= len(whole) || len(check.Run(check.All(), healthy(t)).Bounded()) != len(check.Run(check.All(), healthy(t))) {
		t.Error("what is left out must change no outcome, and of few findings nothing is left out")
	}
}

// A deletion that is held is no news of a Link that the controller refuses.
func TestHeldNeedsAnAcceptedLink(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	spoil(v1alpha3.ConditionReady, no, v1alpha3.ReasonTargetChanged, "another UID")(&f)
	setCondition(&f.Links.Value[0], v1alpha3.ConditionSynced, no, v1alpha3.ReasonMassDeletionHeld, "20 of 30")
	wantProblems(t, "held", problems(check.Run(check.All(), f)), []string{"error link-accepted: another UID"})
}

// LESSON-36: which Server decides who may call through Linkerd's proxy, and what lets anybody in.
func TestServersOfLinkerdsProxy(t *testing.T) {
	t.Parallel()
	const group = "policy.linkerd.io"
	all := &metav1.LabelSelector{}
	gateway := &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/component": "gateway"}}
	other := &metav1.LabelSelector{MatchLabels: map[string]string{"app.kubernetes.io/component": "controller"}}
	toServer := check.Reference{Policy: "p", Object: check.Object{Group: group, Kind: "Server", Name: "s"}}
	toNamespace := check.Reference{Policy: "p", Object: check.Object{Kind: "Namespace", Name: "linkerd-multicluster"}}
	const open, closed = "warning gateway-clients: any client with a certificate of the mesh", "warning gateway-clients: no AuthorizationPolicy refers to Server s"
	for name, c := range map[string]struct {
		server     check.PolicyServer
		references []check.Reference
		want       []string
	}{
		"a policy for it":             {check.PolicyServer{Pods: gateway, Port: "4143"}, []check.Reference{toServer}, nil},
		"a policy for the namespace":  {check.PolicyServer{Pods: all, Port: "linkerd-proxy", AccessPolicy: "deny"}, []check.Reference{toNamespace}, nil},
		"no policy":                   {check.PolicyServer{Pods: gateway, Port: "4143"}, nil, []string{closed}},
		"it lets others in":           {check.PolicyServer{Pods: gateway, Port: "4143", AccessPolicy: "all-authenticated"}, []check.Reference{toServer}, []string{"warning gateway-clients: accessPolicy all-authenticated"}},
		"it is of another port":       {check.PolicyServer{Pods: gateway, Port: "4191"}, []check.Reference{toServer}, []string{open}},
		"it is of other pods":         {check.PolicyServer{Pods: other, Port: "4143"}, []check.Reference{toServer}, []string{open}},
		"it is of no pods":            {check.PolicyServer{Port: "4143"}, []check.Reference{toServer}, []string{open}},
		"a policy for another Server": {check.PolicyServer{Pods: gateway, Port: "4143"}, []check.Reference{{Policy: "p", Object: check.Object{Group: group, Kind: "Server", Name: "t"}}}, []string{closed}},
	} {
		f := healthy(t)
		proxyGateway(map[string]string{"linkerd.io/inject": "enabled", "config.linkerd.io/proxy-await": "enabled"})(&f)
		f.Deployments.Value[1].Spec.Template.Annotations = map[string]string{"config.linkerd.io/enable-gateway": "true"}
		c.server.Name = "s"
		f.Policies = got(check.Policies{Installed: true, Servers: []check.PolicyServer{c.server}, References: c.references, Objects: map[check.Object]bool{
			toServer.Object: true, toNamespace.Object: true, {Group: group, Kind: "Server", Name: "t"}: true,
		}})
		wantProblems(t, name, problems(check.Run(check.All(), f)), c.want)
	}
}

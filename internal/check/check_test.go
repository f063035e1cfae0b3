package check_test

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/internal/check"
	"github.com/linkspan/linkspan/test/certs"
)

const (
	yes     = metav1.ConditionTrue
	no      = metav1.ConditionFalse
	unknown = metav1.ConditionUnknown
)

// one is a fault, and what is said of it.
type one struct {
	spoil func(*check.Facts)
	// want is "<level> <check>: <part of the cause>", and the same for each further problem.
	want []string
}

// CHK-1, CHK-7, LESSON-38: what works is green, with a gateway, without one, and with no links at all.
func TestAHealthyInstallationIsGreen(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(*check.Facts){
		"two links": func(*check.Facts) {},
		"no links": func(f *check.Facts) {
			f.Links, f.Linked, f.Mirrors = got([]check.Link{}), got(map[string]bool{}), got([]check.Mirror{})
		},
		"no Linkerd": func(f *check.Facts) { f.ControlPlanes = got([]string{}); f.Home.Value.Labels = nil },
		"a target only": func(f *check.Facts) {
			f.Deployments.Value = f.Deployments.Value[1:]
			f.Links.Value = nil
			f.Lease.Value = nil
			f.Mirrors.Value = nil
		},
		"the controller was switched off, and its Lease stays": func(f *check.Facts) {
			f.Deployments.Value = f.Deployments.Value[1:]
			f.Links.Value, f.Mirrors.Value = nil, nil
			f.Lease.Value.Spec.RenewTime = &metav1.MicroTime{Time: f.Now.Add(-time.Hour)}
		},
		"this machine's clock is 20 seconds ahead": func(f *check.Facts) { // within what certificates and Leases bear, by the server's clock
			f.Server.Value.Date = f.Now
			f.Now = f.Now.Add(20 * time.Second)
			f.Lease.Value.Spec.RenewTime = &metav1.MicroTime{Time: f.Server.Value.Date.Add(-40 * time.Second)}
		},
		"accounts only":      func(f *check.Facts) { *f = accountsOnly(*f) },
		"a NodePort gateway": func(f *check.Facts) { f.GatewayServices.Value[0].Spec.Type = corev1.ServiceTypeNodePort },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy(t)
			spoil(&f)
			for mode, checks := range map[string][]check.Check{"all": check.All(), "pre": check.Pre(), "proxy": check.Proxy(), "crds": check.CRDs()} {
				if report := check.Run(checks, f); len(problems(report)) > 0 || len(report) == 0 || !report.Success() {
					t.Errorf("%s: problems are %q", mode, problems(report))
				}
			}
		})
	}
}

func accountsOnly(f check.Facts) check.Facts {
	f.Deployments.Value, f.Links.Value, f.Mirrors.Value, f.Lease.Value = nil, nil, nil, nil
	f.GatewayServices.Value, f.Anchors, f.Certificates, f.AllowLists, f.Accounts = nil, nil, nil, nil, got(1)
	f.Exports.Value[0].Value = v1alpha3.ExportedRemoteDiscovery
	return f
}

// Each failure that check must name has its finding, and what depends on it none.
func TestFaultsAreNamed(t *testing.T) {
	t.Parallel()
	for name, faults := range map[string]map[string]one{
		"api and installation": installationFaults(), "links": linkFaults(), "data plane": dataPlaneFaults(), "others": otherFaults(),
		"rollouts": rolloutFaults(), "what was not read": unreadFaults(), "what is missing": missingFaults(),
	} {
		for fault, c := range faults {
			t.Run(name+"/"+fault, func(t *testing.T) {
				t.Parallel()
				f := healthy(t)
				c.spoil(&f)
				found := problems(check.Run(check.All(), f))
				if len(found) != len(c.want) {
					t.Fatalf("found %q, want %q", found, c.want)
				}
				for i := range found {
					what, cause, _ := strings.Cut(c.want[i], ": ")
					if !strings.HasPrefix(found[i], what+": ") || !strings.Contains(found[i], cause) {
						t.Errorf("found %q, want %q", found[i], c.want[i])
					}
				}
			})
		}
	}
}

// problems are "<level> <check>: <text>: <cause>; <mend>".
func problems(report check.Report) []string {
	var found []string
	for _, r := range report {
		if r.Level != check.OK {
			found = append(found, [3]string{"", "warning", "error"}[r.Level]+" "+r.ID+": "+r.Text+": "+r.Cause+"; "+r.Mend)
		}
	}
	return found
}

func installationFaults() map[string]one {
	first := func(f *check.Facts) *appsv1.Deployment { return &f.Deployments.Value[0] }
	return map[string]one{
		"the API does not answer, and nothing else is asked": {func(f *check.Facts) { f.Server.Err = errors.New("dial: refused") }, []string{"error api-reachable: dial: refused"}},
		"Kubernetes is too old":                              {func(f *check.Facts) { f.Server.Value.Version = "v1.33.9" }, []string{"error api-version: v1.33.9"}},
		"the clock is wrong":                                 {func(f *check.Facts) { f.Server.Value.Date = f.Now.Add(-10 * time.Minute) }, []string{"warning api-clock: 10m0s apart"}},
		"there is no such namespace":                         {func(f *check.Facts) { f.Home.Value = nil }, []string{"error namespace-exists: no such namespace"}},
		"the namespace has no label":                         {func(f *check.Facts) { f.Home.Value.Labels = nil }, []string{"warning namespace-labels: linkerd.io/extension"}},
		"the namespace stops injection (17)": {func(f *check.Facts) { f.Home.Value.Labels["config.linkerd.io/admission-webhooks"] = "disabled" },
			[]string{"warning namespace-labels: keeps Linkerd from giving our pods a proxy"}},
		// INST-5, INST-6: what Linkerd's own commands would put on the namespace of an extension.
		"the proxy is the gateway, and the namespace has no annotations": {proxyGateway(nil), []string{
			"warning namespace-labels: annotation linkerd.io/inject is not enabled", "warning namespace-labels: annotation config.linkerd.io/proxy-await is not enabled",
		}},
		"one of them is off": {proxyGateway(map[string]string{"linkerd.io/inject": "enabled", "config.linkerd.io/proxy-await": "disabled"}), []string{
			"warning namespace-labels: annotation config.linkerd.io/proxy-await is not enabled",
		}},
		"the namespace has them": {proxyGateway(map[string]string{"linkerd.io/inject": "enabled", "config.linkerd.io/proxy-await": "enabled"}), nil},
		"there is no CRD":        {func(f *check.Facts) { f.LinkAPI.Value = check.LinkAPI{} }, []string{"error crd-served: not installed"}},
		"the CRD is old":         {func(f *check.Facts) { f.LinkAPI.Value = check.LinkAPI{Versions: []string{"v1alpha1"}} }, []string{"error crd-served: it serves v1alpha1"}},
		"the CRD is Linkerd's":   {func(f *check.Facts) { f.LinkAPI.Value.Conditions = new(false) }, []string{"error crd-complete: drops them"}},
		"nothing is installed": {func(f *check.Facts) { f.Deployments.Value, f.Links.Value, f.Mirrors.Value = nil, nil, nil },
			[]string{"error installed: no Deployment of Linkspan"}},
		"links without a controller":       {func(f *check.Facts) { f.Deployments.Value = f.Deployments.Value[1:] }, []string{"error installed: 2 Links and no controller"}},
		"the controller is not ready":      {func(f *check.Facts) { first(f).Status.ReadyReplicas = 0 }, []string{"error controller-ready: 0 of 1"}},
		"the controller is scaled to zero": {func(f *check.Facts) { first(f).Spec.Replicas = new(int32(0)) }, []string{"error controller-ready: scaled to zero"}},
		"a replica has no node (13)": {func(f *check.Facts) {
			first(f).Spec.Replicas, first(f).Status.Replicas, first(f).Status.UpdatedReplicas = new(int32(2)), 2, 2
			pod := aPod("controller", "1.2.0")
			pod.Status.Conditions = []corev1.PodCondition{{Type: corev1.PodScheduled, Status: corev1.ConditionFalse, Message: "0/1 nodes are available"}}
			f.Pods.Value = []corev1.Pod{pod}
		}, []string{"warning controller-ready: 1 of 2 replicas are ready: pod controller-x has no node: 0/1 nodes"}},
		"it is killed for want of memory (13)": {func(f *check.Facts) {
			first(f).Status.ReadyReplicas = 0
			killed := aPod("controller", "1.2.0")
			killed.Status.ContainerStatuses = []corev1.ContainerStatus{{LastTerminationState: corev1.ContainerState{Terminated: &corev1.ContainerStateTerminated{Reason: "OOMKilled"}}}}
			f.Pods.Value = []corev1.Pod{killed}
		}, []string{"error controller-ready: OOMKilled"}},
		"its account lacks a right":   {func(f *check.Facts) { f.Controller.Value[0].Allowed = false }, []string{"error controller-permissions: may not list services in all namespaces"}},
		"its rights may not be asked": {func(f *check.Facts) { f.Controller = refused[[]check.Grant]() }, []string{"warning controller-permissions: you may not"}},
		"debug was left on (16)":      {func(f *check.Facts) { first(f).Spec.Template.Spec.Containers[0].Args[1] = "--log-level=debug" }, []string{"warning debug-off: linkspan"}},
		"Linkerd's mirror runs":       {func(f *check.Facts) { f.OtherMirrors = got([]string{"linkerd-multicluster/controller-east"}) }, []string{"warning service-mirrors: controller-east"}},
		"nobody leads (13)":           {func(f *check.Facts) { f.Lease.Value = nil }, []string{"error leader-elected: no Lease"}},
		"the Lease was given back":    {func(f *check.Facts) { f.Lease.Value.Spec.HolderIdentity = new("") }, []string{"error leader-elected: gave the Lease back"}},
		"the leader fell silent": {func(f *check.Facts) {
			f.Lease.Value.Spec.RenewTime = &metav1.MicroTime{Time: f.Now.Add(-5 * time.Minute)}
		},
			[]string{"error leader-elected: linkspan-0 ran out 4m45s ago"}},
	}
}

// proxyGateway has Linkerd's proxy in the place of the ingress.
func proxyGateway(annotations map[string]string) func(*check.Facts) {
	return func(f *check.Facts) {
		f.Deployments.Value[1] = deployment("linkerd-gateway", "gateway", 2)
		f.Certificates, f.AllowLists, f.Home.Value.Annotations = nil, nil, annotations
	}
}

func linkFaults() map[string]one {
	secret := func(change func(*check.Credentials)) func(*check.Facts) {
		return func(f *check.Facts) { change(&f.Links.Value[0].Credentials.Value) }
	}
	accepted := func(reason, message string) func(*check.Facts) {
		return spoil(v1alpha3.ConditionReady, no, reason, message)
	}
	return map[string]one{
		"the Secret is missing":         {secret(func(c *check.Credentials) { c.Found = false }), []string{"error link-secret: no Secret cluster-credentials-east"}},
		"the Secret is of another type": {secret(func(c *check.Credentials) { c.Type = "Opaque" }), []string{"error link-secret: type Opaque"}},
		"the kubeconfig cannot be used": {secret(func(c *check.Credentials) { c.Problem = "users[].user: must hold a token" }), []string{"error link-secret: must hold a token"}},
		"the server is localhost (2)": {func(f *check.Facts) {
			f.Links.Value[0].Credentials.Value.Local = true
			spoil(v1alpha3.ConditionConnected, no, v1alpha3.ReasonConnectionRefused, "dial 127.0.0.1")(f)
		}, []string{"warning link-secret: that is the pod", "error link-connected: run `mirror link` with --api-server-address"}},
		"the token has expired (4)": {func(f *check.Facts) { f.Links.Value[0].Credentials.Value.Expires = f.Now.Add(-time.Hour) }, []string{"error link-expiry: they expired on"}},
		"the token expires soon (4)": {func(f *check.Facts) {
			f.Links.Value[0].Credentials.Value.Expires = f.Now.Add(240*time.Hour + time.Minute)
		},
			[]string{"warning link-expiry: in 10 days"}},
		"the controller has not looked":  {func(f *check.Facts) { f.Links.Value[0].Generation = 2 }, []string{"error link-accepted: the last change"}},
		"no controller has looked":       {func(f *check.Facts) { f.Links.Value[0].Status.Conditions = nil }, []string{"error link-accepted: no controller"}},
		"it leads to itself (1)":         {accepted(v1alpha3.ReasonTargetIsSelf, "this very cluster"), []string{"error link-accepted: run `mirror link` in the context of the other cluster"}},
		"the same target twice (1)":      {accepted(v1alpha3.ReasonTargetIsDuplicate, "west has it"), []string{"error link-accepted: TargetIsDuplicate: west has it"}},
		"another target than before (1)": {accepted(v1alpha3.ReasonTargetChanged, "another UID"), []string{"error link-accepted: linkspan.io/accept-target"}},
		"an annotation means nothing": {func(f *check.Facts) {
			f.Links.Value[0].Ignored = []string{`linkspan.io/gateway-clients: "mash" must be mesh or egress`}
		},
			[]string{`warning link-accepted: linkspan.io/gateway-clients: "mash" must be mesh or egress; correct the annotation`}},
		"the credentials are refused (4)": {spoil(v1alpha3.ConditionCredentialsValid, no, v1alpha3.ReasonUnauthorized, "401"),
			[]string{"error link-credentials: Unauthorized: 401; run `mirror link` in the target's context"}},
		"a permission is missing (4)": {spoil(v1alpha3.ConditionConnected, no, v1alpha3.ReasonForbidden, "cannot list services"), []string{"error link-connected: apply what `mirror allow` prints"}},
		"the API is out of reach (3)": {spoil(v1alpha3.ConditionConnected, no, v1alpha3.ReasonConnectionTimeout, "dial"), []string{"error link-connected: routes and firewalls"}},
		"not connected yet":           {spoil(v1alpha3.ConditionConnected, unknown, v1alpha3.ReasonConnecting, "under way"), []string{"error link-connected: under way"}},
		"a service is refused (6, 8)": {spoil(v1alpha3.ConditionSynced, yes, v1alpha3.ReasonServicesRefused, "1 of 2 services cannot be mirrored: shop/web: the Link has no gateway"),
			[]string{"warning link-synced: the Link has no gateway"}},
		"writes fail":                       {spoil(v1alpha3.ConditionSynced, no, v1alpha3.ReasonServicesFailing, "quota"), []string{"error link-synced: quota"}},
		"who may not read Secrets hears so": {func(f *check.Facts) { f.Links.Value[0].Credentials = refused[check.Credentials]() }, []string{"warning link-secret: you may not list things in namespace"}},
	}
}

func dataPlaneFaults() map[string]one {
	return map[string]one{
		"the target's gateway is down (6)": {func(f *check.Facts) {
			spoil(v1alpha3.ConditionGatewayReady, no, v1alpha3.ReasonGatewayDead, "203.0.113.7: connect: refused")(f)
			f.Mirrors.Value[0].Ready = false
		}, []string{"error gateway-alive: connect: refused"}},
		"part of the gateway is down": {spoil(v1alpha3.ConditionGatewayReady, yes, v1alpha3.ReasonGatewayPartly, "1 of 2"), []string{"warning gateway-alive: 1 of 2"}},
		"our gateway is not ready":    {func(f *check.Facts) { f.Deployments.Value[1].Status.ReadyReplicas = 1 }, []string{"warning gateway-workloads: 1 of 2"}},
		"its address is pending (6)":  {func(f *check.Facts) { f.GatewayServices.Value[0].Status.LoadBalancer.Ingress = nil }, []string{"error gateway-address: no address yet"}},
		"its proxy is missing (6)": {func(f *check.Facts) {
			f.Pods.Value = []corev1.Pod{{ObjectMeta: metav1.ObjectMeta{Name: "gw", Annotations: map[string]string{"config.linkerd.io/enable-gateway": "true"}}}}
		}, []string{"error gateway-injected: none in gw"}},
		"a mirror has no endpoints (9)":    {func(f *check.Facts) { f.Mirrors.Value[0].Ready = false }, []string{"warning mirrors-endpoints: 1 of 1 have none: shop/web-east"}},
		"a mirror has no Link (15)":        {func(f *check.Facts) { delete(f.Linked.Value, "east") }, []string{"warning mirrors-orphaned: mirror unlink --orphans --cluster-name east"}},
		"an export label is mistyped (11)": {func(f *check.Facts) { f.Exports.Value[0].Value = "yes" }, []string{`warning exported-labels: shop/pay ("yes")`}},
		"a mass deletion is held":          {spoil(v1alpha3.ConditionSynced, no, v1alpha3.ReasonMassDeletionHeld, "20 of 30 mirrors"), []string{"error mirrors-held: 20 of 30 mirrors"}},
		"mirrors may not be listed": {func(f *check.Facts) { f.Mirrors = refused[[]check.Mirror]() },
			[]string{"warning mirrors-orphaned: you may not", "warning mirrors-endpoints: you may not", "warning mirrors-endpoints: you may not"}},
	}
}

func otherFaults() map[string]one {
	return map[string]one{
		"a policy has no target": {func(f *check.Facts) {
			server := func(name string) check.Object {
				return check.Object{Group: "policy.linkerd.io", Kind: "Server", Name: name}
			}
			f.Policies = got(check.Policies{Installed: true, Objects: map[check.Object]bool{server("a"): true}, References: []check.Reference{
				{Policy: "p", Object: server("a")}, {Policy: "p", Object: server("b")},
				{Policy: "p", Object: check.Object{Group: "policy.linkerd.io", Kind: "Unheard", Name: "c"}},
				// The Gateway API's kind has the name of one of Linkerd's.
				{Policy: "p", Object: check.Object{Group: "gateway.networking.k8s.io", Kind: "HTTPRoute", Name: "d"}},
			}})
		}, []string{"warning policy-targets: AuthorizationPolicy p refers to Server b"}},
		"this command is not as expected": {func(f *check.Facts) { f.Expected = "v1.3.0" },
			[]string{"warning version-cli: this is v1.2.0", "warning version-workloads: linkspan is 1.2.0, linkspan-ingress is 1.2.0, and not v1.3.0"}},
		"what runs is older (14)": {func(f *check.Facts) {
			f.Deployments.Value[0].Spec.Template.Labels = map[string]string{"app.kubernetes.io/version": "1.1.0"} // and there are no pods
		},
			[]string{"warning version-workloads: linkspan is 1.1.0"}},
	}
}

// CERT-2, CERT-5, CERT-6: anchors and certificates (5).
func TestTrustIsJudged(t *testing.T) {
	t.Parallel()
	pki := certs.For(t)
	day := 24 * time.Hour
	now := time.Now()
	anchor := pki.Anchor("root")
	late := pki.Anchor("late", certs.NotAfter(now.Add(30*day)))
	old := pki.Anchor("old", certs.NotBefore(now.Add(-2*day)), certs.NotAfter(now.Add(-day)))
	early := pki.Anchor("early", certs.NotBefore(now.Add(day)))
	leaf := func(options ...certs.Option) []byte {
		return pki.Leaf(pki.Issuer(anchor, "east"), identity, options...).ChainPEM()
	}
	key, err := anchor.KeyPEM()
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		anchors, leaf []byte
		want          []string
	}{
		"all is well":               {certs.Bundle(anchor), leaf(), nil},
		"an anchor expires soon":    {certs.Bundle(anchor, late), leaf(), []string{"warning trust-anchors: late expires on"}},
		"one of two has expired":    {certs.Bundle(anchor, old), leaf(), []string{"warning trust-anchors: old expired on"}},
		"no anchor is valid yet":    {certs.Bundle(early), nil, []string{"warning trust-anchors: early is not valid before", "error trust-anchors: none of them is valid today"}},
		"there are no anchors":      {[]byte("nothing"), nil, []string{"error trust-anchors: there is no certificate"}},
		"a key is beside them":      {append(certs.Bundle(anchor), key...), leaf(), []string{"warning trust-anchors: private key"}},
		"a certificate has expired": {certs.Bundle(anchor), leaf(certs.NotBefore(now.Add(-2*day)), certs.NotAfter(now.Add(-time.Hour))), []string{"error trust-certificates: it expired on"}},
		"a short one was not renewed": {certs.Bundle(anchor), leaf(certs.NotBefore(now.Add(-20*time.Hour)), certs.NotAfter(now.Add(4*time.Hour))),
			[]string{"warning trust-certificates: it expires on"}},
		"a short one is young":       {certs.Bundle(anchor), leaf(certs.NotBefore(now.Add(-time.Hour)), certs.NotAfter(now.Add(23*time.Hour))), nil},
		"it is for somebody else":    {certs.Bundle(anchor), leaf(certs.DNSNames("other")), []string{"error trust-certificates: it is for other, and not for " + identity}},
		"it leads to another anchor": {certs.Bundle(pki.Anchor("another")), leaf(), []string{"error trust-certificates: does not lead to the trust anchors of ConfigMap anchors"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy(t)
			f.Now, f.Anchors[0].PEM, f.Certificates[0].PEM = now, got(c.anchors), got(c.leaf)
			if c.leaf == nil {
				f.Certificates = nil
			}
			found := problems(check.Run(check.All(), f))
			if len(found) != len(c.want) {
				t.Fatalf("found %q, want %q", found, c.want)
			}
			for i := range found {
				what, cause, _ := strings.Cut(c.want[i], ": ")
				if !strings.HasPrefix(found[i], what) || !strings.Contains(found[i], cause) {
					t.Errorf("found %q, want %q", found[i], c.want[i])
				}
				if strings.Contains(found[i], "BEGIN") {
					t.Errorf("a finding shows what was read: %q", found[i])
				}
			}
		})
	}
}

// INST-13: before an installation a missing right is an error, and what runs already is information.
func TestBeforeAnInstallation(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]one{
		"nothing is there":   {func(f *check.Facts) { f.LinkAPI.Value, f.Deployments.Value, f.Home.Value = check.LinkAPI{}, nil, nil }, nil},
		"a right is missing": {func(f *check.Facts) { f.MayInstall.Value[0].Allowed = false }, []string{"error pre-permissions: you may not create deployments.apps in namespace linkerd-multicluster"}},
		"Linkerd's is there": {func(f *check.Facts) {
			f.LinkAPI.Value.Conditions = new(false)
			f.OtherMirrors = got([]string{"linkerd-multicluster/controller-east"})
		}, []string{"warning pre-crd: drop the conditions"}},
		"an old CRD is there": {func(f *check.Facts) { f.LinkAPI.Value = check.LinkAPI{Versions: []string{"v1alpha1"}} }, []string{"warning pre-crd: serves v1alpha1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := healthy(t)
			c.spoil(&f)
			report := check.Run(check.Pre(), f)
			found := problems(report)
			if len(found) != len(c.want) || len(found) == 1 && !strings.Contains(found[0], strings.SplitN(c.want[0], ": ", 2)[1]) {
				t.Errorf("found %q, want %q", found, c.want)
			}
		})
	}
}

// A failure stops what depends on it, for its own Link alone (CHK-3).
func TestAFailureStopsItsDependantsOnly(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	spoil(v1alpha3.ConditionCredentialsValid, no, v1alpha3.ReasonUnauthorized, "401")(&f)
	setCondition(&f.Links.Value[0], v1alpha3.ConditionConnected, no, v1alpha3.ReasonUnauthorized, "401")
	setCondition(&f.Links.Value[0], v1alpha3.ConditionSynced, unknown, v1alpha3.ReasonPending, "")
	var of = map[string][]string{}
	for _, r := range check.Run(check.All(), f) {
		if name, _, isLink := strings.Cut(r.Text, ": "); isLink && (name == "east" || name == "north") {
			of[name] = append(of[name], r.ID)
		}
	}
	want := map[string][]string{
		"east":  {"link-secret", "link-expiry", "link-accepted", "link-credentials", "gateway-alive", "mirrors-held", "mirrors-endpoints"},
		"north": {"link-secret", "link-expiry", "link-accepted", "link-credentials", "link-connected", "link-synced", "gateway-alive", "mirrors-held", "mirrors-endpoints"},
	}
	if diff := cmp.Diff(want, of); diff != "" {
		t.Errorf("-want +got:\n%s", diff)
	}
}

// LESSON-38: check fails when, and only when, a Link is not Ready.
func TestCheckAndReadyAgree(t *testing.T) {
	t.Parallel()
	for _, kind := range []string{v1alpha3.ConditionCredentialsValid, v1alpha3.ConditionConnected, v1alpha3.ConditionSynced, v1alpha3.ConditionGatewayReady} {
		for _, status := range []metav1.ConditionStatus{no, unknown} {
			for _, reason := range []string{"Whatever", v1alpha3.ReasonMassDeletionHeld, v1alpha3.ReasonForbidden} {
				f := healthy(t)
				spoil(kind, status, reason, "some cause")(&f)
				report := check.Run(check.All(), f)
				if report.Success() {
					t.Errorf("%s is %s (%s), and nothing failed", kind, status, reason)
				}
				for _, r := range report {
					if r.Level != check.OK && (r.Cause == "" || r.Mend == "") {
						t.Errorf("%s has no cause or no mend: %+v", r.ID, r)
					}
				}
			}
		}
	}
}

// What may pass is waited for only if nothing else is broken.
func TestWhatMayPass(t *testing.T) {
	t.Parallel()
	f := healthy(t)
	f.Deployments.Value[0].Status.ReadyReplicas = 0
	if report := check.Run(check.All(), f); report.Success() || !report.MayPass() {
		t.Error("a controller that starts must be waited for")
	}
	spoil(v1alpha3.ConditionCredentialsValid, no, v1alpha3.ReasonUnauthorized, "401")(&f)
	if report := check.Run(check.All(), f); report.MayPass() {
		t.Error("credentials that were revoked do not come back")
	}
	if slices.ContainsFunc(check.Run(check.All(), healthy(t)), func(r check.Result) bool { return r.Passing }) {
		t.Error("nothing that is well is waited for")
	}
}

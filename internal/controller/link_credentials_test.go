package controller

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	eventsv1 "k8s.io/api/events/v1"
	"k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/test/rig"
)

// LESSON-5: new credentials take over without a missed export and without a touched mirror; the old
// client ends, so the old account can be taken away.
func TestSwappedCredentialsTakeOver(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	proxy := proxied(t, p.target) // the first client's way, and nobody else's
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := client.ObjectKey{Namespace: p.links, Name: "east"}
	rig.Create(t, p.source, p.secret(t, "east", rig.Server(proxy.URL())), rig.Link(p.links, "east"))
	p.run(t)
	rig.ExpectSlices(t, p.source, p.apps, "web-east", rig.ReadyAddresses("203.0.113.50"))
	before := p.expectMirrors(t, "east", 1)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))

	source := rig.Mark(t, p.source)
	second := account(t, p.target, p.apps, remoteRules)
	p.useSecret(t, "east", p.kubeconfig(t, second))
	expectNoConnections(t, proxy.Address())
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	if err := p.target.RevokeToken(t.Context(), p.remote.Token); err != nil {
		t.Fatal(err)
	}
	sameMirrors(t, p, source, before, p.expectMirrors(t, "east", 1))

	target := rig.Mark(t, p.target)
	p.export(t, "api", v1alpha3.ExportedRemoteDiscovery)
	rig.ExpectSlices(t, p.source, p.apps, "api-east", rig.ReadyAddresses("203.0.113.50"))
	rig.ExpectRequests(t, p.target, target, nil, rig.Agent("linkspan-mirror"), rig.By(p.remote.Name))
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
}

// LESSON-5: no export is missed however the swaps fall.
func TestExportsDuringSwapsAreMirrored(t *testing.T) {
	p := sharedPair(t)
	p.link(t, "east")
	p.run(t)
	other := account(t, p.target, p.apps, remoteRules)
	for i, name := range []string{"a", "b", "c", "d", "e", "f"} {
		p.useSecret(t, "east", p.kubeconfig(t, []rig.User{other, p.remote}[i%2]))
		p.export(t, name, v1alpha3.ExportedRemoteDiscovery)
	}
	p.expectMirrors(t, "east", 6)
}

// LESSON-5: credentials that do not work leave the client that does alone, and say which field is
// wrong; good ones heal at once, also when they are those from before.
func TestBadCredentialsLeaveTheOldOnesInUse(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	refusing := proxied(t, p.target)
	if err := refusing.Refuse(); err != nil {
		t.Fatal(err)
	}
	key := p.link(t, "east")
	p.run(t)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	good := p.kubeconfig(t, p.remote)

	for name, bad := range map[string]struct {
		kubeconfig []byte
		reason     string
		says       string
	}{
		"exec": {
			kubeconfig: p.kubeconfig(t, p.remote, func(c *api.Config) {
				for _, user := range c.AuthInfos {
					user.Exec = &api.ExecConfig{Command: "sh", APIVersion: "client.authentication.k8s.io/v1"}
				}
			}),
			reason: v1alpha3.ReasonCredentialsInvalid, says: "users[].user.exec",
		},
		"garbage":  {kubeconfig: []byte("{{{"), reason: v1alpha3.ReasonCredentialsInvalid, says: "kubeconfig: is not readable"},
		"empty":    {kubeconfig: []byte{}, reason: v1alpha3.ReasonCredentialsInvalid, says: "contexts"},
		"wrong-ca": {kubeconfig: p.kubeconfig(t, p.remote, rig.CertificateAuthority(p.source.CA())), reason: v1alpha3.ReasonCertificateInvalid, says: "certificate-authority-data"},
		"bad-token": {
			kubeconfig: p.kubeconfig(t, rig.User{Name: "nobody", Token: "linkspan-no-such-token"}),
			reason:     v1alpha3.ReasonUnauthorized, says: "users[].user",
		},
		"nobody-there": {kubeconfig: p.kubeconfig(t, p.remote, rig.Server(refusing.URL())), reason: v1alpha3.ReasonConnectionRefused, says: "previous credentials are still in use"},
		"may-nothing":  {kubeconfig: p.kubeconfig(t, account(t, p.target, p.apps, nil)), reason: v1alpha3.ReasonForbidden, says: "cannot list resource"},
	} {
		t.Run(name, func(t *testing.T) {
			p.useSecret(t, "east", bad.kubeconfig)
			expectLink(t, p.source, key, isFalse(v1alpha3.ConditionCredentialsValid, bad.reason, bad.says),
				isTrue(v1alpha3.ConditionConnected, v1alpha3.ReasonConnected), isFalse(v1alpha3.ConditionReady, bad.reason, bad.says))
			p.export(t, name, v1alpha3.ExportedRemoteDiscovery)
			rig.ExpectService(t, p.source, p.apps, name+"-east")
			p.useSecret(t, "east", good)
			expectLinkWithin(t, p.source, 5*time.Second, key, isTrue(v1alpha3.ConditionCredentialsValid, v1alpha3.ReasonCredentialsValid),
				isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
		})
	}
	t.Run("gone", func(t *testing.T) {
		rig.Delete(t, p.source, p.secretNamed("east"))
		expectLink(t, p.source, key, isFalse(v1alpha3.ConditionCredentialsValid, v1alpha3.ReasonCredentialsMissing, rig.CredentialsName("east")),
			isTrue(v1alpha3.ConditionConnected, v1alpha3.ReasonConnected))
		p.export(t, "gone", v1alpha3.ExportedRemoteDiscovery)
		rig.ExpectService(t, p.source, p.apps, "gone-east")
		rig.Create(t, p.source, p.secret(t, "east"))
		expectLinkWithin(t, p.source, 5*time.Second, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	})
}

// LINK-13: however a Link fails, its secrets are in no log, status or event.
func TestSecretsAreNowhere(t *testing.T) {
	clusters := rig.Shared(t, 2)
	p := newPair(t, clusters[0], clusters[1])
	const marker = "linkspan-marker-do-not-print"
	p.export(t, "web", v1alpha3.ExportedGateway) // refused, so that there is an event
	key := client.ObjectKey{Namespace: p.links, Name: "east"}
	bad := p.as(rig.User{Name: "nobody", Token: marker})
	rig.Create(t, p.source, bad.secret(t, "east"), rig.Link(p.links, "east"))
	run := p.run(t)
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonUnauthorized, ""))
	p.useSecret(t, "east", []byte(`{"users": [{"user": {"token": "`+marker+`", "exec": 1}}], "x": `))
	expectLink(t, p.source, key, isFalse(v1alpha3.ConditionCredentialsValid, v1alpha3.ReasonCredentialsInvalid, ""))
	p.useSecret(t, "east", p.kubeconfig(t, p.remote))
	l := expectLink(t, p.source, key, isTrue(v1alpha3.ConditionConnected, v1alpha3.ReasonConnected))
	p.expectLinkEvent(t, key, v1alpha3.ReasonGatewayMissing, "web")

	var events eventsv1.EventList
	if err := p.source.Client().List(t.Context(), &events, client.InNamespace(p.links)); err != nil {
		t.Fatal(err)
	}
	shown := map[string]any{"status": l, "events": events}
	for where, what := range shown {
		text, err := json.Marshal(what)
		if err != nil {
			t.Fatal(err)
		}
		noSecrets(t, where, string(text), marker, p.remote.Token)
	}
	noSecrets(t, "log", run.log.String(), marker, p.remote.Token)
}

func noSecrets(t *testing.T, where, text string, secrets ...string) {
	t.Helper()
	for _, s := range secrets {
		if strings.Contains(text, s) {
			t.Errorf("the %s shows a secret", where)
		}
	}
}

// A revoked token shows itself, and a new Secret heals at once (LESSON-5, LESSON-41).
func TestRevokedTokenShowsAndHeals(t *testing.T) {
	first := rig.User{Name: "linkspan-first", Token: "linkspan-first-token"}
	second := rig.User{Name: "linkspan-second", Token: "linkspan-second-token"}
	target := rig.New(t, rig.ClusterOptions{Name: "revoking", Users: []rig.User{first, second}})[0]
	for _, user := range []rig.User{first, second} {
		if err := target.Grant(t.Context(), user, remoteRules...); err != nil {
			t.Fatal(err)
		}
	}
	p := newPair(t, rig.Shared(t, 1)[0], target).as(first)
	p.export(t, "web", v1alpha3.ExportedRemoteDiscovery)
	key := p.link(t, "east")
	p.run(t)
	before := p.expectMirrors(t, "east", 1)
	expectLink(t, p.source, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))

	mark := rig.Mark(t, p.source)
	if err := target.RevokeToken(t.Context(), first.Token); err != nil {
		t.Fatal(err)
	}
	expectLinkWithin(t, p.source, promised, key, isFalse(v1alpha3.ConditionConnected, v1alpha3.ReasonUnauthorized, "Unauthorized"),
		isFalse(v1alpha3.ConditionCredentialsValid, v1alpha3.ReasonUnauthorized, "users[].user"))
	p.useSecret(t, "east", p.kubeconfig(t, second))
	expectLinkWithin(t, p.source, 5*time.Second, key, isTrue(v1alpha3.ConditionReady, v1alpha3.ReasonReady))
	sameMirrors(t, p, mark, before, p.expectMirrors(t, "east", 1))
	rig.Update(t, p.target, p.service("web"), func(svc *corev1.Service) { svc.Annotations = map[string]string{"team": "shop"} })
	rig.ExpectService(t, p.source, p.apps, "web-east", rig.HasAnnotation("team", "shop"))
}

package mirror

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/linkspan/linkspan/api/v1alpha3"
	"github.com/linkspan/linkspan/pkg/link"
	"github.com/linkspan/linkspan/pkg/mirror/plan"
)

// The annotation on the Link wins over the flag, and the flag over what is found.
func TestWhoDialsTheGateway(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		says  link.Clients
		flag  string
		plane bool
		want  link.Clients
	}{
		"auto with a control plane":               {flag: "auto", plane: true, want: link.ClientsMesh},
		"auto without one":                        {flag: "auto", want: link.ClientsEgress},
		"the mesh, though there is none":          {flag: "mesh", want: link.ClientsMesh},
		"the egress, though there is a mesh":      {flag: "egress", plane: true, want: link.ClientsEgress},
		"the Link says egress, the flag mesh":     {says: link.ClientsEgress, flag: "mesh", plane: true, want: link.ClientsEgress},
		"the Link says mesh, and there is no one": {says: link.ClientsMesh, flag: "auto", want: link.ClientsMesh},
	} {
		r := &Reconciler{opts: Options{GatewayClients: c.flag}, meshes: newMeshes()}
		if c.plane {
			r.meshes.set("linkerd", true)
		}
		if got := r.clientsOf(link.Link{GatewayClients: c.says}); got != c.want {
			t.Errorf("%s: %s, want %s", name, got, c.want)
		}
	}
}

// Only the first control plane and the last one change the answer.
func TestMeshes(t *testing.T) {
	t.Parallel()
	m := newMeshes()
	for i, step := range []struct {
		namespace     string
		plane         bool
		changed, mesh bool
	}{
		{"shop", false, false, false},
		{"linkerd", true, true, true},
		{"linkerd", true, false, true},
		{"linkerd-canary", true, false, true},
		{"linkerd", false, false, true},
		{"shop", false, false, true},
		{"linkerd-canary", false, true, false},
	} {
		if changed := m.set(step.namespace, step.plane); changed != step.changed || m.any() != step.mesh {
			t.Errorf("step %d: changed %t, mesh %t, want %t, %t", i, changed, m.any(), step.changed, step.mesh)
		}
	}
}

// Slices that follow a change of the way to the gateway are no repairs of what somebody spoiled.
func TestOutcomesWays(t *testing.T) {
	t.Parallel()
	o, k := newOutcomes(), keyNamed("web")
	egress := plan.Input{Clients: link.ClientsEgress}
	if o.went(k, wayOf(egress, 1)); o.goes(k, wayOf(egress, 1)) {
		t.Error("a service that was never looked at goes the same way")
	}
	o.set(k, isMirrored, false)
	o.went(k, wayOf(egress, 1))
	mesh := plan.Input{Clients: link.ClientsMesh}
	if !o.goes(k, wayOf(egress, 1)) || o.goes(k, wayOf(egress, 2)) || o.goes(k, wayOf(mesh, 1)) {
		t.Error("other pods, or no pods, are the same way")
	}
	if o.went(k, wayOf(mesh, 1)); !o.goes(k, wayOf(mesh, 2)) {
		t.Error("pods matter to a mesh")
	}
}

// A service that waits for a port is found when one is given back, and looks again by itself otherwise; one
// that waits for the egress is woken by its pods alone.
func TestWaitingForTheEgress(t *testing.T) {
	t.Parallel()
	o := newOutcomes()
	exhausted := plan.Outcome{State: plan.StateRefused, Reason: v1alpha3.ReasonEgressPortsExhausted}
	missing := plan.Outcome{State: plan.StateWaiting, Reason: v1alpha3.ReasonEgressMissing}
	o.set(keyNamed("web"), exhausted, false)
	o.set(keyNamed("api"), missing, false)
	for _, want := range [][]Key{{keyNamed("web")}, nil} { // once woken, it is to look again first
		if diff := cmp.Diff(want, o.takePortless()); diff != "" {
			t.Errorf("waiting for a port (-want +got):\n%s", diff)
		}
	}
	o.set(keyNamed("web"), exhausted, false)
	o.set(keyNamed("web"), isMirrored, false)
	o.set(keyNamed("old"), exhausted, false)
	o.forget(keyNamed("old").Link)
	if waiting := o.takePortless(); len(waiting) > 0 {
		t.Errorf("%v wait for a port, and one has it and the other's Link is gone", waiting)
	}
	if lookAgain(exhausted) == 0 || lookAgain(missing) != 0 {
		t.Errorf("looked at again after %s and %s", lookAgain(exhausted), lookAgain(missing))
	}
	out, _, _, err := verdict(plan.Outcome{}, errors.New("the cache is not there"))
	if out.State != plan.StateWaiting || err == nil {
		t.Errorf("an egress that cannot be listed gives %+v, %v", out, err)
	}
}

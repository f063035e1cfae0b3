package check

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

// Labels and names that the charts give; their tests compare.
const (
	labelComponent      = "app.kubernetes.io/component"
	labelVersion        = "app.kubernetes.io/version"
	componentController = "controller"
	componentIngress    = "ingress"
	componentEgress     = "egress"
	// componentProxy is a gateway by means of Linkerd's proxy.
	componentProxy = "gateway"

	labelExtension     = "linkerd.io/extension"
	extensionName      = "linkspan"
	labelNoWebhooks    = "config.linkerd.io/admission-webhooks"
	annotationInject   = "linkerd.io/inject"
	annotationAwait    = "config.linkerd.io/proxy-await"
	webhooksDisabled   = "disabled"
	enabled            = "enabled"
	annotationGateway  = "config.linkerd.io/enable-gateway"
	containerOfLinkerd = "linkerd-proxy"
)

func controlPlane(f Facts) []Finding {
	const text = "Linkerd's control plane is looked for"
	if problem := f.ControlPlanes.problem(text); problem != nil {
		return problem
	}
	if len(f.ControlPlanes.Value) == 0 {
		return good("there is no Linkerd control plane: what needs one is not checked")
	}
	return good("Linkerd's control plane is in namespace " + strings.Join(f.ControlPlanes.Value, ", "))
}

func namespaceExists(f Facts) []Finding {
	text := "namespace " + f.Namespace + " exists"
	if problem := f.Home.problem(text); problem != nil {
		return problem
	}
	if f.Home.Value == nil {
		return []Finding{bad(text, "there is no such namespace", "name the installation's with --namespace, or install Linkspan: helm install, or mirror install | kubectl apply -f -")}
	}
	return good(text)
}

// namespaceMetadata matters to Linkerd only, and so says nothing where there is none (INST-5, INST-6, HA-5).
func namespaceMetadata(f Facts) []Finding {
	const text = "the namespace has what Linkerd goes by"
	home := f.Home.Value
	if home == nil || f.ControlPlanes.Err != nil {
		return nil // said before
	}
	if len(f.ControlPlanes.Value) == 0 {
		return good("the namespace needs no labels for Linkerd")
	}
	var findings []Finding
	if home.Labels[labelExtension] != extensionName {
		findings = append(findings, warn(text, fmt.Sprintf("label %s is not %s, so `linkerd check` does not find this installation", labelExtension, extensionName),
			fmt.Sprintf("kubectl label namespace %s %s=%s", f.Namespace, labelExtension, extensionName)))
	}
	if home.Labels[labelNoWebhooks] == webhooksDisabled {
		findings = append(findings, warn(text, "label "+labelNoWebhooks+"="+webhooksDisabled+" keeps Linkerd from giving our pods a proxy",
			fmt.Sprintf("kubectl label namespace %s %s-", f.Namespace, labelNoWebhooks)))
	}
	if slices.ContainsFunc(f.Deployments.Value, isProxyGateway) {
		findings = append(findings, namespaceAnnotations(f, text)...)
	}
	if len(findings) > 0 {
		return findings
	}
	return good(text)
}

// namespaceAnnotations are those that Linkerd's own commands give the namespace of an extension.
func namespaceAnnotations(f Facts, text string) []Finding {
	var findings []Finding
	for _, one := range []struct{ name, why string }{
		{annotationInject, "so of our pods those alone get a proxy that ask for it themselves"},
		{annotationAwait, "so containers may start before the proxy beside them"},
	} {
		if f.Home.Value.Annotations[one.name] != enabled {
			findings = append(findings, warn(text, fmt.Sprintf("annotation %s is not %s, %s", one.name, enabled, one.why),
				fmt.Sprintf("kubectl annotate --overwrite namespace %s %s=%s", f.Namespace, one.name, enabled)))
		}
	}
	return findings
}

// isProxyGateway is true for a gateway that is Linkerd's proxy.
func isProxyGateway(d appsv1.Deployment) bool { return d.Labels[labelComponent] == componentProxy }

func crdServed(f Facts) []Finding {
	const text = "the API server knows Links"
	if problem := f.LinkAPI.problem(text); problem != nil {
		return problem
	}
	api, mend := f.LinkAPI.Value, "install or upgrade the chart linkspan-crds"
	want := v1alpha3.GroupVersion.Version
	switch {
	case len(api.Versions) == 0:
		return []Finding{bad(text, "the CustomResourceDefinition links."+v1alpha3.GroupVersion.Group+" is not installed", mend)}
	case !api.Current:
		return []Finding{bad(text, fmt.Sprintf("it serves %s, and not %s with a status", strings.Join(api.Versions, ", "), want), mend)}
	}
	return good(text + " (" + strings.Join(api.Versions, ", ") + ")")
}

// crdComplete finds Linkerd's CRD in place of ours: it has all versions, and drops what our controller says. What the
// API server publishes lags a little behind a CRD that was just applied.
func crdComplete(f Facts) []Finding {
	const text = "the API server keeps the conditions of Links"
	switch kept := f.LinkAPI.Value.Conditions; {
	case kept == nil:
		return []Finding{warn(text, schemaUnknown, "compare the CustomResourceDefinition with the chart linkspan-crds")}
	case !*kept:
		return []Finding{passing(text, "the CustomResourceDefinition is another one, which drops them: nobody sees whether links work",
			"install the chart linkspan-crds, which keeps every field that Linkerd has")}
	}
	return good(text)
}

const schemaUnknown = "the schema of Links could not be read"

// controllers are the Deployments of the controller, of several releases if there are.
func controllers(f Facts) []appsv1.Deployment {
	var found []appsv1.Deployment
	for _, d := range f.Deployments.Value {
		if d.Labels[labelComponent] == componentController {
			found = append(found, d)
		}
	}
	return found
}

func installed(f Facts) []Finding {
	const text = "Linkspan is installed"
	if problem := f.Deployments.problem(text); problem != nil {
		return problem
	}
	var names []string
	for _, d := range f.Deployments.Value {
		names = append(names, d.Name)
	}
	if len(controllers(f)) > 0 {
		return good(text + " (" + strings.Join(names, ", ") + ")")
	}
	// Whether one is needed depends on the Links.
	if problem := f.Links.problem(text); problem != nil {
		return problem
	}
	if len(names) > 0 {
		return withoutController(f, text, names)
	}
	if problem := f.Accounts.problem(text); problem != nil {
		return problem
	}
	if len(f.Links.Value) == 0 && f.Accounts.Value > 0 {
		return good("nothing runs here: other clusters may link with the accounts in this namespace")
	}
	return []Finding{bad(text, "namespace "+f.Namespace+" has no Deployment of Linkspan", "install it, or name the installation's namespace with --namespace")}
}

func withoutController(f Facts, text string, names []string) []Finding {
	if n := len(f.Links.Value); n > 0 {
		return []Finding{bad(text, fmt.Sprintf("there are %d Links and no controller: nothing is mirrored", n), "install the chart with controller.enabled=true")}
	}
	return good("this cluster has no controller: it only exports (" + strings.Join(names, ", ") + ")")
}

func controllerPermissions(f Facts) []Finding {
	const text = "the controller has the permissions it needs"
	if len(controllers(f)) == 0 {
		return nil
	}
	if problem := f.Controller.problem(text); problem != nil {
		return problem
	}
	if denied := deniedOf(f.Controller.Value); len(denied) > 0 {
		return []Finding{bad(text, "its account may not "+list(denied), "install the chart's Roles again (rbac.create), or grant this")}
	}
	return good(text)
}

// deniedOf names what is denied, the verbs of a kind together.
func deniedOf(grants []Grant) []string {
	var denied []Right
	for _, g := range grants {
		last := len(denied) - 1
		switch {
		case g.Allowed:
		case last >= 0 && sameKind(denied[last], g.Right):
			denied[last].Verb += "/" + g.Verb
		default:
			denied = append(denied, g.Right)
		}
	}
	var names []string
	for _, r := range denied {
		names = append(names, r.String())
	}
	return names
}

func sameKind(a, b Right) bool {
	a.Verb = b.Verb
	return a == b
}

// mostListed is how many of a kind are named: enough to begin with.
const mostListed = 5

func list(names []string) string {
	if len(names) <= mostListed {
		return strings.Join(names, ", ")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:mostListed], ", "), len(names)-mostListed)
}

// debugOff looks for log levels that somebody forgot.
func debugOff(f Facts) []Finding {
	const text = "no log level is debug"
	if f.Deployments.Err != nil {
		return nil // said before
	}
	var loud []string
	for _, d := range f.Deployments.Value {
		for _, c := range d.Spec.Template.Spec.Containers {
			if slices.Contains(c.Args, "--log-level=debug") {
				loud = append(loud, d.Name)
			}
		}
	}
	if len(loud) > 0 {
		return []Finding{warn(text, "it is debug for "+strings.Join(loud, ", "), "set logLevel back to info: debug logs are large")}
	}
	return good(text)
}

func otherMirrors(f Facts) []Finding {
	const text = "no other service mirror runs beside this one"
	if problem := f.OtherMirrors.problem(text); problem != nil {
		return problem
	}
	if others := f.OtherMirrors.Value; len(others) > 0 {
		return []Finding{warn(text, "these pods mirror services too, and two controllers of one Link undo each other's work: "+list(others),
			"if they have Links in common with this installation, scale the others to zero: their mirrors are taken over as they are")}
	}
	return good(text)
}

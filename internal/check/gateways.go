package check

import (
	"fmt"
	"slices"
	"strings"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/linkspan/linkspan/api/v1alpha3"
)

func gatewayWorkloads(f Facts) []Finding {
	var gateways []appsv1.Deployment
	for _, d := range f.Deployments.Value {
		if d.Labels[labelComponent] != componentController {
			gateways = append(gateways, d)
		}
	}
	if problem := f.Deployments.problem("gateways of this cluster are ready"); problem != nil {
		return problem
	}
	if len(gateways) == 0 {
		return good("this cluster has no gateway of its own")
	}
	return ready(f, gateways)
}

func gatewayAddress(f Facts) []Finding {
	if problem := f.GatewayServices.problem("the gateway has an address"); problem != nil {
		return problem
	}
	if len(f.GatewayServices.Value) == 0 {
		return gatewayMissing(f)
	}
	var findings []Finding
	for _, s := range f.GatewayServices.Value {
		text := "gateway " + s.Name + " has an address"
		if s.Spec.Type != corev1.ServiceTypeLoadBalancer || len(s.Spec.ExternalIPs) > 0 {
			findings = append(findings, Finding{Text: fmt.Sprintf("gateway %s is of type %s", s.Name, s.Spec.Type)})
			continue
		}
		var addresses []string
		for _, one := range s.Status.LoadBalancer.Ingress {
			addresses = append(addresses, one.IP+one.Hostname)
		}
		if len(addresses) == 0 {
			findings = append(findings, passing(text, "its load balancer has no address yet", "see the events of the Service; where there are no load balancers, set gateway.ingress.service.type=NodePort"))
			continue
		}
		findings = append(findings, Finding{Text: text + " (" + list(addresses) + ")"})
	}
	return findings
}

// gatewayMissing finds what cannot work without a Service of a gateway: an ingress, and Services that are exported through one.
func gatewayMissing(f Facts) []Finding {
	const text = "exported services have a gateway"
	for _, d := range f.Deployments.Value {
		if component := d.Labels[labelComponent]; component == componentIngress || component == componentProxy {
			return []Finding{bad("the gateway has an address", "no Service leads to Deployment "+d.Name+": other clusters cannot reach it",
				"install the chart again, which makes gateway.ingress.service, and its annotation "+v1alpha3.AnnotationMulticlusterGateway)}
		}
	}
	var through []string
	for _, e := range f.Exports.Value {
		if e.Value == v1alpha3.ExportedGateway {
			through = append(through, e.Namespace+"/"+e.Name)
		}
	}
	if len(through) == 0 {
		return nil
	}
	if problem := f.OtherGateways.problem(text); problem != nil {
		return problem
	}
	if others := f.OtherGateways.Value; len(others) > 0 {
		return good(text + " (" + list(others) + ")")
	}
	return []Finding{bad(text, "there is none, and these are exported through one: "+list(through),
		"install it with gateway.ingress.enabled=true, or label them "+v1alpha3.LabelExported+"="+v1alpha3.ExportedRemoteDiscovery+" if pods of other clusters reach theirs")}
}

// gatewayInjected finds pods that are to be gateways by Linkerd's proxy, and have none (GW-6).
func gatewayInjected(f Facts) []Finding {
	const text = "Linkerd's proxy is in the pods of the gateway"
	if f.ControlPlanes.Err != nil || len(f.ControlPlanes.Value) == 0 || f.Pods.Err != nil {
		return nil
	}
	var bare []string
	meshed := false
	for _, pod := range f.Pods.Value {
		if pod.Annotations[annotationGateway] != "true" {
			continue
		}
		meshed = true
		if !slices.ContainsFunc(slices.Concat(pod.Spec.Containers, pod.Spec.InitContainers), func(c corev1.Container) bool { return c.Name == containerOfLinkerd }) {
			bare = append(bare, pod.Name)
		}
	}
	switch {
	case len(bare) > 0:
		return []Finding{bad(text, "there is none in "+list(bare), "delete these pods while Linkerd's injector runs; see also the labels of the namespace")}
	case meshed:
		return good(text)
	}
	return nil
}

// gatewayAlive is what the controller's probes say; this machine may have no way there (CHK-8).
func gatewayAlive(_ Facts, l Link) []Finding {
	findings := condition(l, v1alpha3.ConditionGatewayReady, "the target's gateway answers")
	c := meta.FindStatusCondition(l.Status.Conditions, v1alpha3.ConditionGatewayReady)
	if findings[0].Level != OK || c == nil {
		return findings
	}
	if c.Reason == v1alpha3.ReasonNoGateway {
		return good(l.Name() + ": the link has no gateway: services are called pod to pod")
	}
	var addresses []string
	for _, a := range l.Status.Gateway {
		addresses = append(addresses, a.Address)
	}
	findings[0].Text += " (" + strings.TrimSpace(list(addresses)) + ")"
	return findings
}

package check

import "slices"

// All are the checks of an installation, in order.
func All() []Check {
	return slices.Concat(apiChecks(), installationChecks(), linkChecks(), dataPlaneChecks(), []Check{
		{ID: "trust-anchors", Section: SectionTrust, Needs: needAPI(), Run: trustAnchors},
		{ID: "trust-certificates", Section: SectionTrust, Needs: needAPI(), Run: trustCertificates},
		{ID: "policy-targets", Section: SectionPolicy, Needs: needAPI(), Run: policyTargets},
		{ID: "version-cli", Section: SectionVersions, Run: versionCLI},
		{ID: "version-workloads", Section: SectionVersions, Needs: []string{"installed"}, Run: versionWorkloads},
	})
}

// Pre are the checks before an installation (INST-13).
func Pre() []Check {
	return append(apiChecks(),
		Check{ID: "pre-permissions", Section: SectionPre, Needs: needAPI(), Run: prePermissions},
		Check{ID: "pre-escalation", Section: SectionPre, Needs: needAPI(), Run: preEscalation},
		Check{ID: "pre-load-balancer", Section: SectionPre, Needs: needAPI(), Run: preLoadBalancer},
		Check{ID: "pre-crd", Section: SectionPre, Needs: needAPI(), Run: preCRD},
		Check{ID: "pre-service-mirrors", Section: SectionPre, Needs: needAPI(), Run: preOthers},
		Check{ID: "pre-installed", Section: SectionPre, Needs: needAPI(), Run: preInstalled},
		Check{ID: "control-plane", Section: SectionPre, Needs: needAPI(), Run: controlPlane},
	)
}

// CRDs are the checks that tell whether charts can be installed that need our types.
func CRDs() []Check {
	return append(apiChecks(), only(installationChecks(), "crd-served", "crd-complete")...)
}

// Proxy are the checks of what carries data, and of what it takes to look at that: without them nothing found would
// look like nothing wrong.
func Proxy() []Check {
	return slices.Concat(apiChecks(), only(installationChecks(), "namespace-exists", "crd-served", "installed", "leader-elected"),
		only(linkChecks(), "links", "link-accepted"), dataPlaneChecks())
}

// only picks checks by ID, and lets them need nothing but the API and each other.
func only(checks []Check, ids ...string) []Check {
	return slices.DeleteFunc(checks, func(c Check) bool { return !slices.Contains(ids, c.ID) })
}

const idAPI = "api-reachable"

func needAPI() []string { return []string{idAPI} }

func apiChecks() []Check {
	return []Check{
		{ID: idAPI, Section: SectionAPI, Run: apiReachable},
		{ID: "api-version", Section: SectionAPI, Needs: needAPI(), Run: apiVersion},
		{ID: "api-clock", Section: SectionAPI, Needs: needAPI(), Run: apiClock},
	}
}

func installationChecks() []Check {
	home, controller := []string{idAPI, "namespace-exists"}, []string{idAPI, "namespace-exists", "installed"}
	return []Check{
		{ID: "control-plane", Section: SectionInstallation, Needs: needAPI(), Run: controlPlane},
		{ID: "namespace-exists", Section: SectionInstallation, Needs: needAPI(), Run: namespaceExists},
		{ID: "namespace-labels", Section: SectionInstallation, Needs: home, Run: namespaceMetadata},
		{ID: "crd-served", Section: SectionInstallation, Needs: needAPI(), Run: crdServed},
		{ID: "crd-complete", Section: SectionInstallation, Needs: []string{idAPI, "crd-served"}, Run: crdComplete},
		{ID: "installed", Section: SectionInstallation, Needs: home, Run: installed},
		{ID: "controller-ready", Section: SectionInstallation, Needs: controller, Run: controllerReady},
		{ID: "controller-permissions", Section: SectionInstallation, Needs: controller, Run: controllerPermissions},
		{ID: "debug-off", Section: SectionInstallation, Needs: controller, Run: debugOff},
		{ID: "service-mirrors", Section: SectionInstallation, Needs: needAPI(), Run: otherMirrors},
		{ID: "leader-elected", Section: SectionLeader, Needs: controller, Run: leaderElected},
	}
}

// linkChecks go on without a controller that is ready: the conditions then say how it was when it was.
func linkChecks() []Check {
	links := []string{idAPI, "namespace-exists", "crd-served", "links"}
	with := func(more ...string) []string { return slices.Concat(links, more) }
	return []Check{
		{ID: "links", Section: SectionLinks, Needs: links[:3], Run: linksCounted},
		{ID: "link-secret", Section: SectionLinks, Needs: links, RunLink: linkSecret},
		{ID: "link-expiry", Section: SectionLinks, Needs: with("link-secret"), RunLink: linkExpiry},
		{ID: "link-accepted", Section: SectionLinks, Needs: links, RunLink: linkAccepted},
		{ID: "link-credentials", Section: SectionLinks, Needs: with("link-secret", "link-accepted"), RunLink: linkCredentials},
		{ID: "link-connected", Section: SectionLinks, Needs: with("link-accepted", "link-credentials"), RunLink: linkConnected},
		{ID: "link-synced", Section: SectionLinks, Needs: with("link-accepted", "link-connected"), RunLink: linkSynced},
	}
}

func dataPlaneChecks() []Check {
	links := []string{idAPI, "namespace-exists", "crd-served", "links"}
	return []Check{
		{ID: "gateway-workloads", Section: SectionGateways, Needs: []string{idAPI, "namespace-exists", "installed"}, Run: gatewayWorkloads},
		{ID: "gateway-address", Section: SectionGateways, Needs: needAPI(), Run: gatewayAddress},
		{ID: "gateway-injected", Section: SectionGateways, Needs: needAPI(), Run: gatewayInjected},
		{ID: "gateway-clients", Section: SectionGateways, Needs: needAPI(), Run: gatewayClients},
		{ID: "gateway-alive", Section: SectionGateways, Needs: append(slices.Clone(links), "link-accepted"), RunLink: gatewayAlive},
		{ID: "mirrors-orphaned", Section: SectionMirrors, Needs: []string{idAPI, "crd-served"}, Run: mirrorsOrphaned},
		{ID: "exported-labels", Section: SectionMirrors, Needs: needAPI(), Run: exportedLabels},
		{ID: "mirrors-held", Section: SectionMirrors, Needs: append(slices.Clone(links), "link-accepted"), RunLink: mirrorsHeld},
		{ID: "mirrors-endpoints", Section: SectionMirrors, Needs: append(slices.Clone(links), "link-accepted"), RunLink: mirrorsEndpoints},
	}
}

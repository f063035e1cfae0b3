package v1alpha3

// Labels and annotations that Linkerd's multicluster extension established. They are a contract
// with users' manifests, Linkerd's destination service and other tools, so they never change.
const (
	// LabelExported on a Service in the target asks for a mirror in the source; its value is the mode.
	LabelExported = "mirror.linkerd.io/exported"
	// ExportedGateway is the value of LabelExported for mirrors that go through the target's gateway.
	ExportedGateway = "true"
	// ExportedRemoteDiscovery is the value of LabelExported for mirrors that go straight to the remote pods.
	ExportedRemoteDiscovery = "remote-discovery"

	// LabelFederated on a Service in the target makes it a member of a federated service.
	LabelFederated = "mirror.linkerd.io/federated"
	// FederatedMember is the only meaningful value of LabelFederated.
	FederatedMember = "member"

	// LabelMirroredService marks, with the value "true", every object that a service mirror made.
	LabelMirroredService = "mirror.linkerd.io/mirrored-service"
	// LabelClusterName on a mirror names the target cluster that it came from.
	LabelClusterName = "mirror.linkerd.io/cluster-name"
	// LabelHeadlessMirrorName on a per-pod mirror names the headless mirror that it belongs to.
	LabelHeadlessMirrorName = "mirror.linkerd.io/headless-mirror-svc-name"
	// LabelRemoteDiscovery on a pod-to-pod mirror names the target cluster for Linkerd's destination service.
	LabelRemoteDiscovery = "multicluster.linkerd.io/remote-discovery"
	// LabelRemoteService on a pod-to-pod mirror names the remote Service for Linkerd's destination service.
	LabelRemoteService = "multicluster.linkerd.io/remote-service"
	// LabelCredentialsCluster marks a copy of the credentials made for a Linkerd control plane.
	LabelCredentialsCluster = "multicluster.linkerd.io/cluster-name"
	// AnnotationRemoteDiscovery on a federated service lists its remote members, as service@cluster.
	AnnotationRemoteDiscovery = "multicluster.linkerd.io/remote-discovery"
	// AnnotationLocalDiscovery on a federated service names its local member.
	AnnotationLocalDiscovery = "multicluster.linkerd.io/local-discovery"
	// LabelControlPlaneNamespace is Linkerd's mark on control-plane namespaces and their objects.
	LabelControlPlaneNamespace = "linkerd.io/control-plane-ns"
	// LabelIsControlPlane marks, with the value "true", the Namespace that a Linkerd control plane runs in.
	LabelIsControlPlane = "linkerd.io/is-control-plane"

	// AnnotationRemoteServiceFQName on a mirror and its slices is <service>.<namespace>.svc.<domain> in the target.
	AnnotationRemoteServiceFQName = "mirror.linkerd.io/remote-svc-fq-name"
	// AnnotationRemoteResourceVersion is the resourceVersion of the remote Service when the mirror was last written.
	AnnotationRemoteResourceVersion = "mirror.linkerd.io/remote-resource-version"
	// AnnotationRemoteGatewayIdentity on a gateway-mode slice is the TLS identity that the gateway must prove.
	AnnotationRemoteGatewayIdentity = "mirror.linkerd.io/remote-gateway-identity"
	// AnnotationGatewayIdentity on a gateway's Service is the identity that `mirror link` records.
	AnnotationGatewayIdentity = "mirror.linkerd.io/gateway-identity"
	// AnnotationProbePeriod on a gateway's Service is the probe period in bare seconds.
	AnnotationProbePeriod = "mirror.linkerd.io/probe-period"
	// AnnotationProbePath on a gateway's Service is the HTTP path to probe.
	AnnotationProbePath = "mirror.linkerd.io/probe-path"
	// AnnotationProbeFailureThreshold on a gateway's Service is how many failures in a row mean dead.
	AnnotationProbeFailureThreshold = "mirror.linkerd.io/probe-failure-threshold"
	// AnnotationProbeTimeout on a gateway's Service is how long one probe may take, as a Go duration.
	AnnotationProbeTimeout = "mirror.linkerd.io/probe-timeout"
	// AnnotationMulticlusterGateway marks a Service as a gateway.
	AnnotationMulticlusterGateway = "mirror.linkerd.io/multicluster-gateway"
	// AnnotationTrustDomain and AnnotationClusterDomain describe the target on the control plane's copy of the credentials.
	AnnotationTrustDomain   = "multicluster.linkerd.io/trust-domain"
	AnnotationClusterDomain = "multicluster.linkerd.io/cluster-domain"

	// SecretTypeRemoteKubeconfig is the type of a credentials Secret.
	SecretTypeRemoteKubeconfig = "mirror.linkerd.io/remote-kubeconfig"
	// SecretKeyKubeconfig is the data key that holds the kubeconfig.
	SecretKeyKubeconfig = "kubeconfig"
	// SecretNamePrefix plus the cluster's name is the credentials Secret that `mirror link` writes.
	SecretNamePrefix = "cluster-credentials-"

	// PortNameGateway and PortNameProbe are the ports of a gateway's Service.
	PortNameGateway = "mc-gateway"
	PortNameProbe   = "mc-probe"
)

// Names of our own, used only where no established key exists.
const (
	// FieldManager owns everything that Linkspan writes by server-side apply.
	FieldManager = "linkspan"
	// ControllerName is the controllerName in a Link's status entries.
	ControllerName = "linkspan.io/service-mirror"
	// SliceManagedBy is the value of endpointslice.kubernetes.io/managed-by on our slices.
	SliceManagedBy = "mirror.linkspan.io"

	// FinalizerMirrors holds a Link until its mirrors are gone.
	FinalizerMirrors = "linkspan.io/mirrors"

	// AnnotationAppliedHash on a mirror or slice is the hash of the intent that was last applied. A
	// mirror that carries Linkerd's labels but not this was made by Linkerd's controller: it is adopted.
	AnnotationAppliedHash = "linkspan.io/applied-hash"
	// AnnotationRemoteReady on a gateway-mode mirror's slices records whether the remote service had a
	// ready endpoint ("true" or "false"), so that readiness can be computed while the target is away.
	AnnotationRemoteReady = "linkspan.io/remote-ready"
	// LabelCreatedNamespace marks, with the value "true", a namespace made under --create-namespaces.
	LabelCreatedNamespace = "linkspan.io/created-namespace"
	// LabelInstallation marks what `mirror install` printed; its value is the installation's namespace.
	LabelInstallation = "linkspan.io/installation"
	// ControllerLease is the Lease of the controllers' leader election, in their own namespace.
	ControllerLease = "linkspan-mirror"

	// AnnotationInsecureSkipTLSVerify on a Link, value "true", permits a kubeconfig that skips verification.
	AnnotationInsecureSkipTLSVerify = "linkspan.io/insecure-skip-tls-verify"
	// AnnotationReleaseMassDeletion on a Link is an RFC 3339 time; a mass deletion held since before it is let go.
	AnnotationReleaseMassDeletion = "linkspan.io/release-mass-deletion"
	// AnnotationAcceptTarget on a Link is the kube-system UID of a new target that may replace the recorded one.
	AnnotationAcceptTarget = "linkspan.io/accept-target"

	// AnnotationGatewayClients on a Link says who carries clients to its gateway. It wins over the
	// controller's --gateway-clients.
	AnnotationGatewayClients = "linkspan.io/gateway-clients"
	// GatewayClientsMesh is the value of AnnotationGatewayClients for clients with a Linkerd proxy, which
	// dials the gateway itself.
	GatewayClientsMesh = "mesh"
	// GatewayClientsEgress is the value of AnnotationGatewayClients for clients without a proxy, for which
	// our egress dials the gateway.
	GatewayClientsEgress = "egress"
	// AnnotationEgressPorts on a mirror is the egress port that was given to each of its TCP ports, as
	// <service port>=<egress port> in ascending order of service ports: "80=20001,443=20002".
	// Its slices that lead to the egress carry it too: they are what proves it.
	AnnotationEgressPorts = "linkspan.io/egress-ports"
	// AnnotationAllowedClients on an exported Service narrows who may call it through the gateway: TLS
	// identities separated by commas, exact or with a leading "*.". Without it every verified client may.
	AnnotationAllowedClients = "linkspan.io/allowed-clients"
)

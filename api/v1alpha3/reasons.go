package v1alpha3

// Condition types of a Link. All five are always present; Unknown means not known, never forgotten.
const (
	// ConditionReady is true when the four others are true.
	ConditionReady = "Ready"
	// ConditionCredentialsValid is true when the credentials Secret holds a kubeconfig that may be used.
	ConditionCredentialsValid = "CredentialsValid"
	// ConditionConnected is true while the target's API server answers us.
	ConditionConnected = "Connected"
	// ConditionSynced is true when every exported service is mirrored or refused for a reason of its own.
	ConditionSynced = "Synced"
	// ConditionGatewayReady is true when a gateway address is alive, or the Link has no gateway.
	ConditionGatewayReady = "GatewayReady"
	// ConditionMirrored is Linkerd's condition on each entry of mirrorServices.
	ConditionMirrored = "Mirrored"
)

// Reasons of Link conditions. An event that tells of the same thing uses the same reason.
const (
	ReasonReady    = "Ready"
	ReasonDeleting = "Deleting"
	ReasonPending  = "Pending"

	// ReasonInvalidLink: a field of the spec cannot work; the message names it.
	ReasonInvalidLink = "InvalidLink"
	// ReasonDuplicateCluster: an older Link has the same targetClusterName.
	ReasonDuplicateCluster = "DuplicateCluster"
	// ReasonTargetIsSelf: the credentials lead to the cluster that the Link lives in.
	ReasonTargetIsSelf = "TargetIsSelf"
	// ReasonTargetIsDuplicate: an older Link leads to the same cluster.
	ReasonTargetIsDuplicate = "TargetIsDuplicate"
	// ReasonTargetChanged: the credentials lead to another cluster than before.
	ReasonTargetChanged = "TargetChanged"

	ReasonCredentialsValid   = "Valid"
	ReasonCredentialsMissing = "SecretMissing"
	ReasonCredentialsInvalid = "InvalidKubeconfig"

	ReasonConnected          = "Connected"
	ReasonConnecting         = "Connecting"
	ReasonConnectionRefused  = "ConnectionRefused"
	ReasonConnectionTimeout  = "Timeout"
	ReasonDNSFailure         = "DNSFailure"
	ReasonCertificateInvalid = "CertificateInvalid"
	ReasonUnauthorized       = "Unauthorized"
	ReasonForbidden          = "Forbidden"
	ReasonConnectionFailed   = "ConnectionFailed"

	ReasonSynced           = "Synced"
	ReasonSyncing          = "Syncing"
	ReasonServicesRefused  = "ServicesRefused"
	ReasonServicesWaiting  = "ServicesWaiting"
	ReasonServicesFailing  = "ServicesFailing"
	ReasonMassDeletionHeld = "MassDeletionHeld"

	ReasonGatewayAlive   = "Alive"
	ReasonGatewayPartly  = "PartlyAlive"
	ReasonGatewayDead    = "Dead"
	ReasonGatewayUnknown = "Unknown"
	ReasonNoGateway      = "NoGateway"
)

// Reasons of one exported service, in mirrorServices, events and metrics. The first four are Linkerd's.
const (
	ReasonMirrored         = "Mirrored"
	ReasonInvalidService   = "InvalidService"
	ReasonError            = "Error"
	ReasonMissingNamespace = "MissingNamespace"

	ReasonNamespaceTerminating = "NamespaceTerminating"
	ReasonNamespaceForbidden   = "NamespaceForbidden"
	ReasonNameTooLong          = "NameTooLong"
	ReasonNameConflict         = "NameConflict"
	ReasonGatewayMissing       = "GatewayMissing"
	ReasonExternalName         = "ExternalName"
	ReasonNoPorts              = "NoPorts"
	ReasonProtocolUnsupported  = "ProtocolUnsupported"
	ReasonHeadlessUnsupported  = "HeadlessUnsupported"
	ReasonMirrorOfMirror       = "MirrorOfMirror"
	ReasonLimitReached         = "LimitReached"
	ReasonQuotaExceeded        = "QuotaExceeded"
	ReasonRejected             = "Rejected"
	// ReasonGatewayIdentityMissing: the Link's clients go through our egress, and it names no gatewayIdentity.
	ReasonGatewayIdentityMissing = "GatewayIdentityMissing"
	// ReasonEgressMissing: the Link's clients go through our egress, and no egress pod is known.
	ReasonEgressMissing = "EgressMissing"
	// ReasonEgressPortsExhausted: no port is free in the range that the egress listens on.
	ReasonEgressPortsExhausted = "EgressPortsExhausted"
	// ReasonConfirming: the target is being asked whether a service is really gone.
	ReasonConfirming = "Confirming"
)

// Reasons of warnings about a mirror that was made all the same.
const (
	ReasonMetadataDropped  = "MetadataDropped"
	ReasonEndpointsDropped = "EndpointsDropped"
	ReasonMirrorConverted  = "MirrorConverted"
	ReasonMirrorAdopted    = "MirrorAdopted"
	ReasonMirrorDeleted    = "MirrorDeleted"
)

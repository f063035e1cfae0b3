package v1alpha3

import metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

// Link lets the cluster that it lives in mirror the exported services of another cluster.
//
// +kubebuilder:object:root=true
// +kubebuilder:subresource:status
// +kubebuilder:resource:path=links,scope=Namespaced
// +kubebuilder:printcolumn:name="Cluster",type=string,JSONPath=`.spec.targetClusterName`
// +kubebuilder:printcolumn:name="Ready",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].status`
// +kubebuilder:printcolumn:name="Reason",type=string,JSONPath=`.status.conditions[?(@.type=="Ready")].reason`
// +kubebuilder:printcolumn:name="Services",type=integer,JSONPath=`.status.services.mirrored`
// +kubebuilder:printcolumn:name="Gateway",type=string,JSONPath=`.status.conditions[?(@.type=="GatewayReady")].reason`
// +kubebuilder:printcolumn:name="Age",type=date,JSONPath=`.metadata.creationTimestamp`
// +kubebuilder:validation:XValidation:rule="has(self.spec)",message="spec is required: a Link needs at least targetClusterName and clusterCredentialsSecret"
type Link struct {
	metav1.TypeMeta   `json:",inline"`
	metav1.ObjectMeta `json:"metadata,omitempty"`

	// spec says which cluster to link and how to reach it.
	// +optional
	Spec LinkSpec `json:"spec,omitzero"`
	// status says whether the link works, and if not, why.
	// +optional
	Status LinkStatus `json:"status,omitzero"`
}

// LinkList is a list of Links.
//
// +kubebuilder:object:root=true
type LinkList struct {
	metav1.TypeMeta `json:",inline"`
	metav1.ListMeta `json:"metadata,omitempty"`
	Items           []Link `json:"items"`
}

// LinkSpec is Linkerd's, field for field; numbers and durations are strings there. Zeros are refused
// only where there is a gateway, because Linkerd writes them where there is none.
//
// +kubebuilder:validation:XValidation:rule="has(self.targetClusterName) && size(self.targetClusterName) > 0",message="targetClusterName is required: it becomes the suffix of every mirror's name",fieldPath=".targetClusterName"
// +kubebuilder:validation:XValidation:rule="has(self.clusterCredentialsSecret) && size(self.clusterCredentialsSecret) > 0",message="clusterCredentialsSecret is required: name the Secret that holds the target's kubeconfig",fieldPath=".clusterCredentialsSecret"
// +kubebuilder:validation:XValidation:rule="!has(self.gatewayAddress) || size(self.gatewayAddress) == 0 || (has(self.gatewayPort) && self.gatewayPort.matches('[1-9]'))",message="gatewayPort must be a number from 1 to 65535 when gatewayAddress is set",fieldPath=".gatewayPort"
// +kubebuilder:validation:XValidation:rule="!has(self.gatewayAddress) || size(self.gatewayAddress) == 0 || !has(self.probeSpec) || !has(self.probeSpec.port) || size(self.probeSpec.port) == 0 || self.probeSpec.port.matches('[1-9]')",message="probeSpec.port must be a number from 1 to 65535",fieldPath=".probeSpec.port"
// +kubebuilder:validation:XValidation:rule="!has(self.gatewayAddress) || size(self.gatewayAddress) == 0 || !has(self.probeSpec) || !has(self.probeSpec.period) || size(self.probeSpec.period) == 0 || self.probeSpec.period.matches('[1-9]')",message="probeSpec.period must be at least 100ms",fieldPath=".probeSpec.period"
// +kubebuilder:validation:XValidation:rule="!has(self.gatewayAddress) || size(self.gatewayAddress) == 0 || !has(self.probeSpec) || !has(self.probeSpec.timeout) || size(self.probeSpec.timeout) == 0 || self.probeSpec.timeout.matches('[1-9]')",message="probeSpec.timeout must be at least 100ms",fieldPath=".probeSpec.timeout"
// +kubebuilder:validation:XValidation:rule="!has(self.gatewayAddress) || size(self.gatewayAddress) == 0 || !has(self.probeSpec) || !has(self.probeSpec.failureThreshold) || size(self.probeSpec.failureThreshold) == 0 || self.probeSpec.failureThreshold.matches('[1-9]')",message="probeSpec.failureThreshold must be at least 1",fieldPath=".probeSpec.failureThreshold"
type LinkSpec struct {
	// targetClusterName is the suffix of every mirror made for this Link; a DNS label (RFC 1123). It cannot be changed.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="targetClusterName must be a DNS label (lower-case letters, digits and '-'): it becomes part of Service names"
	// +kubebuilder:validation:XValidation:rule="self == oldSelf || self == '' || oldSelf == ''",message="targetClusterName cannot be changed, because the mirrors of the old name would stay behind: make a new Link instead"
	TargetClusterName string `json:"targetClusterName,omitempty"`
	// targetClusterDomain is the DNS domain of the target, cluster.local when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="targetClusterDomain must be a DNS domain such as cluster.local"
	TargetClusterDomain string `json:"targetClusterDomain,omitempty"`
	// targetClusterLinkerdNamespace is where Linkerd's control plane runs in the target, if it does.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?$')",message="targetClusterLinkerdNamespace must be the name of a namespace"
	TargetClusterLinkerdNamespace string `json:"targetClusterLinkerdNamespace,omitempty"`
	// clusterCredentialsSecret names a Secret in the Link's namespace whose key kubeconfig leads to the target.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="clusterCredentialsSecret must be the name of a Secret in the Link's namespace"
	ClusterCredentialsSecret string `json:"clusterCredentialsSecret,omitempty"`
	// gatewayAddress is a comma-separated list of IP addresses and DNS names; empty means no gateway.
	// +optional
	// +kubebuilder:validation:MaxLength=4096
	// +kubebuilder:validation:XValidation:rule="self.matches('^( *([0-9A-Fa-f.]*:[0-9A-Fa-f.]*:[0-9A-Fa-f:.]*|[A-Za-z0-9_]([-A-Za-z0-9_.]*[A-Za-z0-9_.])?|) *(,|$))*$')",message="gatewayAddress must be a comma-separated list of IP addresses and DNS names, without ports or schemes"
	// +kubebuilder:validation:XValidation:rule="self.matches('^( *((25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])([.](25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])){3}|[^, ]*:[^, ]*|([^, ]*[.])?[^, .]*[^0-9., ][^, .]*[.]?|) *(,|$))*$')",message="gatewayAddress holds a number, or a name that ends in one, which is no IP address"
	GatewayAddress string `json:"gatewayAddress,omitempty"`
	// gatewayPort is the gateway's port, 1 to 65535, in decimal.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self == '' || (self.matches('^[0-9]{1,5}$') && int(self) <= 65535)",message="gatewayPort must be a number from 1 to 65535"
	GatewayPort string `json:"gatewayPort,omitempty"`
	// gatewayIdentity is the TLS identity that the gateway must prove.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	// +kubebuilder:validation:XValidation:rule="self.trim() == '' || self.trim().matches('^[a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*$')",message="gatewayIdentity must be a DNS name such as linkerd-gateway.linkerd-multicluster.serviceaccount.identity.linkerd.cluster.local"
	GatewayIdentity string `json:"gatewayIdentity,omitempty"`
	// probeSpec says how the gateway's health is probed.
	// +optional
	ProbeSpec ProbeSpec `json:"probeSpec,omitzero"`
	// selector picks the services mirrored through the gateway; absent or empty picks none.
	// +optional
	Selector *metav1.LabelSelector `json:"selector,omitempty"`
	// remoteDiscoverySelector picks the services mirrored pod to pod; absent or empty picks none.
	// +optional
	RemoteDiscoverySelector *metav1.LabelSelector `json:"remoteDiscoverySelector,omitempty"`
	// federatedServiceSelector picks the members of federated services; absent or empty picks none.
	// +optional
	FederatedServiceSelector *metav1.LabelSelector `json:"federatedServiceSelector,omitempty"`
	// excludedAnnotations are not copied to mirrors: an exact key, or prefix/* for every key under prefix.
	// +optional
	ExcludedAnnotations []string `json:"excludedAnnotations,omitempty"`
	// excludedLabels are not copied to mirrors: an exact key, or prefix/* for every key under prefix.
	// +optional
	ExcludedLabels []string `json:"excludedLabels,omitempty"`
}

// ProbeSpec says how a gateway is probed. Durations are Go durations or, in old Links, bare seconds.
type ProbeSpec struct {
	// path is the HTTP path to GET.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self == '' || self.matches('^/[^[:cntrl:] ]*$')",message="probeSpec.path must be an HTTP path that starts with '/' and holds no spaces"
	Path string `json:"path,omitempty"`
	// port is the probe's port, 1 to 65535, in decimal.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self == '' || (self.matches('^[0-9]{1,5}$') && int(self) <= 65535)",message="probeSpec.port must be a number from 1 to 65535"
	Port string `json:"port,omitempty"`
	// period is the time between two probes of one address, from 100ms to 24h.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self == '' || (self.matches('^([0-9]{1,9}|([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+)$') && (!self.matches('[1-9]') || (self.matches('^[0-9]+$') ? int(self) <= 86400 : duration(self) >= duration('100ms') && duration(self) <= duration('24h'))))",message="probeSpec.period must be a duration such as 3s or bare seconds, at least 100ms and at most 24h"
	Period string `json:"period,omitempty"`
	// timeout is the time that one probe may take, at least 100ms, 30s when empty; never more than period.
	// +optional
	// +kubebuilder:validation:MaxLength=32
	// +kubebuilder:validation:XValidation:rule="self == '' || (self.matches('^([0-9]{1,9}|([0-9]+([.][0-9]+)?(ns|us|µs|ms|s|m|h))+)$') && (!self.matches('[1-9]') || (self.matches('^[0-9]+$') ? int(self) <= 86400 : duration(self) >= duration('100ms') && duration(self) <= duration('24h'))))",message="probeSpec.timeout must be a duration such as 30s or bare seconds, at least 100ms and at most 24h"
	Timeout string `json:"timeout,omitempty"`
	// failureThreshold is how many failures in a row mean dead, 3 when empty.
	// +optional
	// +kubebuilder:validation:MaxLength=16
	// +kubebuilder:validation:XValidation:rule="self == '' || (self.matches('^[0-9]{1,5}$') && int(self) <= 65535)",message="probeSpec.failureThreshold must be a number from 1 to 65535"
	FailureThreshold string `json:"failureThreshold,omitempty"`
}

// LinkStatus is Linkerd's two lists and, beside them, what `kubectl get links` needs to answer "does it work?".
type LinkStatus struct {
	// conditions are Ready, CredentialsValid, Connected, Synced and GatewayReady.
	// +optional
	// +listType=map
	// +listMapKey=type
	Conditions []metav1.Condition `json:"conditions,omitempty"`
	// observedGeneration is the generation of the spec that the conditions speak of.
	// +optional
	ObservedGeneration int64 `json:"observedGeneration,omitempty"`
	// target identifies the cluster that the credentials lead to.
	// +optional
	Target *TargetStatus `json:"target,omitempty"`
	// services counts the target's exported services by outcome.
	// +optional
	Services *ServiceCounts `json:"services,omitempty"`
	// gateway is the last verdict on each address of the gateway.
	// +optional
	Gateway []GatewayAddressStatus `json:"gateway,omitempty"`
	// lastError is the newest error met, kept after it is over until another replaces it.
	// +optional
	LastError string `json:"lastError,omitempty"`
	// mirrorServices lists up to 100 exported services, those with problems first.
	// +optional
	MirrorServices []ServiceStatus `json:"mirrorServices,omitempty"`
	// federatedServices lists federated services.
	// +optional
	FederatedServices []ServiceStatus `json:"federatedServices,omitempty"`
}

// TargetStatus identifies a target cluster.
type TargetStatus struct {
	// uid is the UID of the target's kube-system namespace, empty where the credentials may not read it.
	// +optional
	UID string `json:"uid,omitempty"`
}

// ServiceCounts are exact, whatever the length of mirrorServices.
type ServiceCounts struct {
	// exported is how many services the target exports to this Link.
	Exported int32 `json:"exported"`
	// mirrored is how many of them have a mirror that is up to date.
	Mirrored int32 `json:"mirrored"`
	// refused is how many cannot be mirrored as they are.
	Refused int32 `json:"refused"`
	// waiting is how many wait for something, such as a namespace, or failed and are retried.
	Waiting int32 `json:"waiting"`
}

// GatewayAddressStatus is the verdict on one address.
type GatewayAddressStatus struct {
	// address is the IP address that is probed, with the DNS name that it came from in brackets, if any.
	Address string `json:"address"`
	// state is Alive, Dead or Unknown.
	State string `json:"state"`
	// lastError says what the last failing probe met, and in which step.
	// +optional
	LastError string `json:"lastError,omitempty"`
}

// ServiceStatus is Linkerd's entry for one exported service.
type ServiceStatus struct {
	// conditions holds one condition, Mirrored.
	// +optional
	Conditions []ServiceCondition `json:"conditions,omitempty"`
	// controllerName says which controller wrote the entry.
	// +optional
	ControllerName string `json:"controllerName,omitempty"`
	// remoteRef is the exported Service in the target.
	// +optional
	RemoteRef ObjectRef `json:"remoteRef,omitempty"`
}

// ServiceCondition is a condition with, when a mirror exists, a reference to it.
type ServiceCondition struct {
	// type is Mirrored.
	Type string `json:"type"`
	// status is True, False or Unknown.
	Status metav1.ConditionStatus `json:"status"`
	// reason is one of the reasons of this package.
	// +optional
	Reason string `json:"reason,omitempty"`
	// message says what to do.
	// +optional
	Message string `json:"message,omitempty"`
	// lastTransitionTime is when status last changed.
	// +optional
	LastTransitionTime metav1.Time `json:"lastTransitionTime,omitempty"`
	// localRef is the mirror.
	// +optional
	LocalRef *ObjectRef `json:"localRef,omitempty"`
}

// ObjectRef names an object.
type ObjectRef struct {
	// +optional
	Group string `json:"group,omitempty"`
	// +optional
	Kind string `json:"kind,omitempty"`
	// +optional
	Name string `json:"name,omitempty"`
	// +optional
	Namespace string `json:"namespace,omitempty"`
}

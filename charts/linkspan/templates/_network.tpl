{{/*
Rules of NetworkPolicies. Peers that are not named give no rule, so that nobody gets through: in a rule without peers
Kubernetes would see everybody.
*/}}

{{/* A rule for peers, in a direction (from or to). Without ports it is for all of them. */}}
{{- define "linkspan.networkRule" -}}
{{- $rule := . -}}
{{- $peers := .peers | default list -}}
{{- range .networks }}
{{- $peers = append $peers (dict "ipBlock" (dict "cidr" .)) }}
{{- end }}
{{- if $peers }}
- {{ .direction }}:
  {{- toYaml $peers | nindent 2 }}
  {{- with .ports }}
  ports:
  {{- range $port := . }}
  {{- range $rule.protocols | default (list "TCP") }}
  - protocol: {{ . }}
    port: {{ $port }}
  {{- end }}
  {{- end }}
  {{- end }}
  {{- with .range }}
  ports:
  - protocol: TCP
    port: {{ splitList "-" . | first }}
    endPort: {{ splitList "-" . | last }}
  {{- end }}
{{- end }}
{{- end }}

{{/* What our pods ask: the API server, where they resolve names a DNS server, and their proxies Linkerd. Without a proxy the gateway resolves none. */}}
{{- define "linkspan.networkToBasics" -}}
{{- $n := .root.Values.policy.network -}}
{{- $meshed := or .meshed $n.meshed -}}
{{- if or .resolves $meshed }}
{{- include "linkspan.networkRule" (dict "direction" "to" "peers" $n.dns.peers "ports" $n.dns.ports "protocols" (list "UDP" "TCP")) }}
{{- end }}
{{- if not .withoutToken }}
{{- if not $n.apiServer.networks }}
{{- fail "policy.network.enabled=true cuts pods off from their API server until policy.network.apiServer.networks names its addresses, as CIDRs: those of the Service kubernetes and of its endpoints" }}
{{- end }}
{{- include "linkspan.networkRule" (dict "direction" "to" "networks" $n.apiServer.networks "ports" $n.apiServer.ports) }}
{{- end }}
{{- if $meshed }}
{{- include "linkspan.networkRule" (dict "direction" "to" "peers" (list (dict "namespaceSelector" (dict "matchLabels" (dict "kubernetes.io/metadata.name" .root.Values.linkerdNamespace))))) }}
{{- end }}
{{- end }}

{{- define "linkspan.networkPolicy" -}}
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
spec:
  podSelector:
    matchLabels:
      {{- include "linkspan.selector" . | nindent 6 }}
  policyTypes: [Ingress, Egress]
  {{- with trim .ingress }}
  ingress:
  {{- . | nindent 2 }}
  {{- end }}
  {{- with trim .egress }}
  egress:
  {{- . | nindent 2 }}
  {{- end }}
{{- end }}

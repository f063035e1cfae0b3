{{/*
The Service that other clusters reach the gateway by. It takes the workload of either flavour, with
  targets  the pods' ports for streams and for probes
*/}}
{{- define "linkspan.gatewayService" -}}
{{- $v := .values -}}
{{- $annotations := dict
  "mirror.linkerd.io/multicluster-gateway" "true"
  "mirror.linkerd.io/gateway-identity" (include "linkspan.identity" .)
  "mirror.linkerd.io/probe-path" "/ready"
  "mirror.linkerd.io/probe-period" ($v.probe.period | toString) }}
{{- with $v.probe.failureThreshold }}
{{- $_ := set $annotations "mirror.linkerd.io/probe-failure-threshold" (toString .) }}
{{- end }}
{{- with $v.probe.timeout }}
{{- $_ := set $annotations "mirror.linkerd.io/probe-timeout" . }}
{{- end -}}
apiVersion: v1
kind: Service
metadata:
  name: {{ $v.service.name | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "linkspan.labels" (merge (dict "moreLabels" $v.service.labels) .) | nindent 4 }}
  annotations:
    {{- toYaml (merge $annotations ($v.service.annotations | default dict)) | nindent 4 }}
spec:
  {{- include "linkspan.gatewayServiceSpec" . | nindent 2 }}
  selector:
    {{- include "linkspan.selector" . | nindent 4 }}
{{- end }}

{{- /* Of a Service's spec all that values say. */}}
{{- define "linkspan.gatewayServiceSpec" -}}
{{- $targets := .targets -}}
{{- with .values.service -}}
type: {{ .type }}
ports:
- name: mc-gateway
  port: {{ .port }}
  targetPort: {{ $targets.gateway }}
  {{- if and .nodePorts.gateway (ne .type "ClusterIP") }}
  nodePort: {{ .nodePorts.gateway }}
  {{- end }}
- name: mc-probe
  port: {{ .probePort }}
  targetPort: {{ $targets.probe }}
  {{- if and .nodePorts.probe (ne .type "ClusterIP") }}
  nodePort: {{ .nodePorts.probe }}
  {{- end }}
{{- if eq .type "LoadBalancer" }}
{{- with .loadBalancerClass }}
loadBalancerClass: {{ . | quote }}
{{- end }}
{{- with .loadBalancerIP }}
loadBalancerIP: {{ . | quote }}
{{- end }}
{{- with .loadBalancerSourceRanges }}
loadBalancerSourceRanges:
{{ toYaml . }}
{{- end }}
{{- if kindIs "bool" .allocateLoadBalancerNodePorts }}
allocateLoadBalancerNodePorts: {{ .allocateLoadBalancerNodePorts }}
{{- end }}
{{- with .healthCheckNodePort }}
healthCheckNodePort: {{ . }}
{{- end }}
{{- end }}
{{- if ne .type "ClusterIP" }}
{{- with .externalTrafficPolicy }}
externalTrafficPolicy: {{ . }}
{{- end }}
{{- end }}
{{- with .externalIPs }}
externalIPs:
{{ toYaml . }}
{{- end }}
{{- with .ipFamilyPolicy }}
ipFamilyPolicy: {{ . }}
{{- end }}
{{- with .ipFamilies }}
ipFamilies:
{{ toYaml . }}
{{- end }}
{{- end }}
{{- end }}

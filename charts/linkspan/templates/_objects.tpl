{{/* Objects that every workload has. Each takes a workload; see _helpers.tpl. */}}

{{- define "linkspan.serviceAccount" -}}
{{- if .values.serviceAccount.create }}
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {{ include "linkspan.account" . | quote }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
  {{- with .values.serviceAccount.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
# Pods that need the token ask for it themselves.
automountServiceAccountToken: false
{{- end }}
{{- end }}

{{/* Rules for all namespaces (everywhere), for the release's (atHome) and for each of others (inEach, of namespaces), and their bindings. */}}
{{- define "linkspan.rbac" -}}
{{- if .root.Values.rbac.create }}
{{- $w := . }}
{{- $roles := list (dict "kind" "ClusterRole" "name" (include "linkspan.clusterRole" .) "rules" .everywhere)
  (dict "kind" "Role" "name" .name "namespace" .root.Release.Namespace "rules" .atHome) }}
{{- range .namespaces }}
{{- $roles = append $roles (dict "kind" "Role" "name" (include "linkspan.clusterRole" $w) "namespace" . "rules" $w.inEach) }}
{{- end }}
{{- range $roles }}
{{- if .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "linkspan.labels" $w | nindent 4 }}
rules:
{{ trim .rules }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . | quote }}
  {{- end }}
  labels:
    {{- include "linkspan.labels" $w | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
- kind: ServiceAccount
  name: {{ include "linkspan.account" $w | quote }}
  namespace: {{ $w.root.Release.Namespace | quote }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}

{{- define "linkspan.deploymentHead" -}}
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
  {{- with .values.annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
spec:
  {{- if not (dig "autoscaling" "enabled" false .values) }}
  replicas: {{ .values.replicas }}
  {{- end }}
  strategy:
    {{- $strategy := .values.strategy | default dict }}
    {{- if eq (get $strategy "type") "Recreate" }}
    {{- /* values-ha.yaml has rollingUpdate, which an API server refuses beside another type. */}}
    {{- $strategy = omit $strategy "rollingUpdate" }}
    {{- end }}
    {{- toYaml $strategy | nindent 4 }}
  selector:
    matchLabels:
      {{- include "linkspan.selector" . | nindent 6 }}
{{- end }}

{{- define "linkspan.podDisruptionBudget" -}}
{{- if .values.podDisruptionBudget.enabled }}
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
spec:
  maxUnavailable: {{ .values.podDisruptionBudget.maxUnavailable }}
  # A pod that is not ready serves nobody, and must not keep its node from being drained.
  unhealthyPodEvictionPolicy: AlwaysAllow
  selector:
    matchLabels:
      {{- include "linkspan.selector" . | nindent 6 }}
{{- end }}
{{- end }}

{{- define "linkspan.autoscaler" -}}
{{- with .values.autoscaling }}
{{- if .enabled }}
{{- if not (dig "requests" "cpu" "" $.values.resources) }}
{{- fail (printf "%s.autoscaling needs to know what 100 %% is: set %s.resources.requests.cpu" $.at $.at) }}
{{- end }}
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: {{ $.name }}
  namespace: {{ $.root.Release.Namespace | quote }}
  labels:
    {{- include "linkspan.labels" $ | nindent 4 }}
spec:
  scaleTargetRef:
    apiVersion: apps/v1
    kind: Deployment
    name: {{ $.name }}
  minReplicas: {{ .minReplicas }}
  maxReplicas: {{ .maxReplicas }}
  metrics:
  {{- with $.scaledBy }}
  - type: ContainerResource
    containerResource:
      container: {{ . }}
      name: cpu
  {{- else }}
  - type: Resource
    resource:
      name: cpu
  {{- end }}
      target:
        type: Utilization
        averageUtilization: {{ .targetCPUUtilizationPercentage }}
  {{- with .behavior }}
  behavior:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}
{{- end }}
{{- end }}

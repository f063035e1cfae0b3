{{/*
A workload is a dict that all helpers take:
  root      the chart's top context
  values    what values.yaml says of the workload
  name      its name, which is also that of its service account if none is given
  component controller, ingress or egress
  program   mirror or gateway: the image
  podLabels more labels of its pods
  withoutToken true if it never asks an API server
and where it has a certificate:
  certificate what values.yaml says of it
  path        where values.yaml says it
  flags       what the names of its flags begin with
  without     what to set to do without, after "; "
*/}}

{{/* Labels by which pods are found. They must never change: a Deployment's selector cannot. */}}
{{- define "linkspan.selector" -}}
app.kubernetes.io/name: linkspan
app.kubernetes.io/instance: {{ .root.Release.Name | quote }}
app.kubernetes.io/component: {{ .component }}
{{- end }}

{{- define "linkspan.version" -}}
{{- .root.Values.image.tag | default .root.Chart.AppVersion | replace "+" "_" | trunc 63 | trimAll "-_." -}}
{{- end }}

{{/* Labels of objects; without a component those of the whole release. moreLabels are what values say of this object; ours win. */}}
{{- define "linkspan.labels" -}}
{{- $labels := dict
  "app.kubernetes.io/name" "linkspan"
  "app.kubernetes.io/instance" .root.Release.Name
  "app.kubernetes.io/version" (include "linkspan.version" .)
  "app.kubernetes.io/part-of" "linkspan"
  "app.kubernetes.io/managed-by" .root.Release.Service
  "helm.sh/chart" (printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimAll "-_.") -}}
{{- with .component }}
{{- $_ := set $labels "app.kubernetes.io/component" . }}
{{- end }}
{{- toYaml (merge $labels (.moreLabels | default dict) (.root.Values.commonLabels | default dict)) -}}
{{- end }}

{{/* Labels of pods: not the chart's version, whose every change would replace them. */}}
{{- define "linkspan.podLabels" -}}
{{- $own := dict "app.kubernetes.io/version" (include "linkspan.version" .) "app.kubernetes.io/part-of" "linkspan" -}}
{{- $own = merge (include "linkspan.selector" . | fromYaml) (.podLabels | default dict) $own -}}
{{- toYaml (merge $own (.values.podLabels | default dict) (.root.Values.commonLabels | default dict)) -}}
{{- end }}

{{- define "linkspan.image" -}}
{{- $image := .root.Values.image -}}
{{- $digest := get $image.digests .program -}}
{{- if $digest -}}
{{ printf "%s/%s@%s" $image.registry .program $digest }}
{{- else -}}
{{ printf "%s/%s:%s" $image.registry .program ($image.tag | default .root.Chart.AppVersion) }}
{{- end -}}
{{- end }}

{{- define "linkspan.account" -}}
{{- .values.serviceAccount.name | default .name -}}
{{- end }}

{{/* Roles of the cluster carry the namespace, so that releases in two namespaces do not share them. */}}
{{- define "linkspan.clusterRole" -}}
{{- printf "%s:%s" .root.Release.Namespace .name -}}
{{- end }}

{{/* All of a pod that is the same for each workload. */}}
{{- define "linkspan.pod" -}}
serviceAccountName: {{ include "linkspan.account" . | quote }}
automountServiceAccountToken: {{ not .withoutToken }}
{{- with .root.Values.image.pullSecrets }}
imagePullSecrets:
{{- range . }}
- name: {{ . | quote }}
{{- end }}
{{- end }}
{{- with .values.priorityClassName }}
priorityClassName: {{ . | quote }}
{{- end }}
{{- with .values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.tolerations }}
tolerations:
{{ toYaml . }}
{{- end }}
{{- with include "linkspan.affinity" . | fromYaml }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- $selector := dict "matchLabels" (include "linkspan.selector" . | fromYaml) }}
{{- with .values.topologySpreadConstraints }}
topologySpreadConstraints:
{{- range . }}
- {{ merge (dict) . (dict "labelSelector" $selector) | toYaml | nindent 2 | trim }}
{{- end }}
{{- end }}
{{- end }}

{{/* What values say, and beside it that pods avoid each other's nodes. */}}
{{- define "linkspan.affinity" -}}
{{- $term := dict "topologyKey" "kubernetes.io/hostname" "labelSelector" (dict "matchLabels" (include "linkspan.selector" . | fromYaml)) -}}
{{- $own := dict -}}
{{- if eq .values.antiAffinity "required" -}}
{{- $own = dict "podAntiAffinity" (dict "requiredDuringSchedulingIgnoredDuringExecution" (list $term)) -}}
{{- else if eq .values.antiAffinity "preferred" -}}
{{- $own = dict "podAntiAffinity" (dict "preferredDuringSchedulingIgnoredDuringExecution" (list (dict "weight" 100 "podAffinityTerm" $term))) -}}
{{- end -}}
{{- toYaml (merge (deepCopy (.values.affinity | default dict)) $own) -}}
{{- end }}

{{/* All of a container that is the same for each workload. */}}
{{- define "linkspan.container" -}}
image: {{ include "linkspan.image" . | quote }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
{{- with .root.Values.securityContext }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .values.extraEnv }}
env:
{{ toYaml . }}
{{- end }}
{{- with .values.resources }}
resources:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

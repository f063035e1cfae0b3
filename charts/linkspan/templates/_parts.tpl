{{/* Which parts of the gateway a release has: each gives "true" or nothing. All take the chart's top context. */}}

{{- define "linkspan.hasIngress" -}}
{{- $g := .Values.gateway -}}
{{- if and $g.enabled $g.ingress.enabled (eq $g.mode "linkspan") }}true{{ end -}}
{{- end }}

{{/* Linkerd's proxy in the place of our ingress. */}}
{{- define "linkspan.hasProxy" -}}
{{- $g := .Values.gateway -}}
{{- if and $g.enabled $g.ingress.enabled (eq $g.mode "proxy") }}true{{ end -}}
{{- end }}

{{/* Where Linkerd's proxy is the gateway, clients have proxies as well, which dial gateways themselves: an egress is an exception that has to be asked for. */}}
{{- define "linkspan.hasEgress" -}}
{{- $g := .Values.gateway -}}
{{- $wanted := $g.egress.enabled -}}
{{- if not (kindIs "bool" $wanted) -}}
{{- $wanted = eq $g.mode "linkspan" -}}
{{- end -}}
{{- if and $g.enabled $wanted }}true{{ end -}}
{{- end }}

{{/*
Whether Links may lead to gateways. Without a gateway here services are called pod to pod alone, unless values say who dials
those of other clusters, or where one is.
*/}}
{{- define "linkspan.knowsGateways" -}}
{{- $knows := or .Values.gateway.enabled (ne .Values.controller.gatewayClients "auto") -}}
{{- range .Values.links -}}
{{- $knows = or $knows (dig "spec" "gatewayAddress" "" .) -}}
{{- end -}}
{{- if $knows }}true{{ end -}}
{{- end }}

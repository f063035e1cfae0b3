{{/* The TLS identity of a workload. */}}
{{- define "linkspan.identity" -}}
{{- $v := .root.Values -}}
{{- if .certificate.identity -}}
{{ .certificate.identity }}
{{- else -}}
{{ printf "%s.%s.serviceaccount.identity.%s.%s" (include "linkspan.account" .) .root.Release.Namespace $v.linkerdNamespace ($v.identityTrustDomain | default $v.clusterDomain) }}
{{- end -}}
{{- end }}

{{/* The Secret with a workload's certificate. There is no certificate of the chart's own making (CERT-13). */}}
{{- define "linkspan.certificateSecret" -}}
{{- if .certificate.secretName -}}
{{ .certificate.secretName }}
{{- else if .root.Values.gateway.certManager.issuerRef.name -}}
{{ printf "%s-tls" .name }}
{{- else -}}
{{- fail (printf "%s needs a certificate: set %s.secretName to a Secret of type kubernetes.io/tls, or gateway.certManager.issuerRef.name to an issuer of cert-manager%s" .name .path .without) -}}
{{- end -}}
{{- end }}

{{/* The certificate that cert-manager is asked for, if no Secret is named. */}}
{{- define "linkspan.certificate" -}}
{{- if not .certificate.secretName }}
{{- $manager := .root.Values.gateway.certManager }}
apiVersion: cert-manager.io/v1
kind: Certificate
metadata:
  name: {{ .name }}
  namespace: {{ .root.Release.Namespace | quote }}
  labels:
    {{- include "linkspan.labels" . | nindent 4 }}
spec:
  secretName: {{ include "linkspan.certificateSecret" . | quote }}
  dnsNames:
  - {{ include "linkspan.identity" . | quote }}
  issuerRef:
    name: {{ $manager.issuerRef.name | quote }}
    kind: {{ $manager.issuerRef.kind | quote }}
    group: {{ $manager.issuerRef.group | quote }}
  duration: {{ $manager.duration | quote }}
  renewBefore: {{ $manager.renewBefore | quote }}
  privateKey:
    algorithm: ECDSA
    size: 256
    rotationPolicy: Always
  usages:
  - digital signature
  - server auth
  - client auth
{{- end }}
{{- end }}

{{/* Where the trust anchors are, as the source of a volume. */}}
{{- define "linkspan.trustAnchors" -}}
{{- $anchors := .root.Values.gateway.trustAnchors -}}
{{- $given := list -}}
{{- if $anchors.configMap.name }}{{ $given = append $given "configMap.name" }}{{ end -}}
{{- if $anchors.secret.name }}{{ $given = append $given "secret.name" }}{{ end -}}
{{- if $anchors.inline }}{{ $given = append $given "inline" }}{{ end -}}
{{- if not $given -}}
{{- fail (printf "%s needs the trust anchors of all linked clusters: set gateway.trustAnchors.configMap.name, gateway.trustAnchors.secret.name or gateway.trustAnchors.inline%s" .name .without) -}}
{{- else if gt (len $given) 1 -}}
{{- fail (printf "gateway.trustAnchors: %s are set, and only one can be: clear the others" (join " and " $given)) -}}
{{- end -}}
{{- if $anchors.secret.name -}}
secret:
  secretName: {{ $anchors.secret.name | quote }}
  defaultMode: 0440
  items:
  - key: {{ $anchors.secret.key | quote }}
    path: ca.crt
{{- else if $anchors.configMap.name -}}
configMap:
  name: {{ $anchors.configMap.name | quote }}
  items:
  - key: {{ $anchors.configMap.key | quote }}
    path: ca.crt
{{- else -}}
configMap:
  name: linkspan-trust-anchors
  items:
  - key: ca-bundle.crt
    path: ca.crt
{{- end -}}
{{- end }}

{{/* Whole folders are mounted: a file mounted alone would never change. */}}
{{- define "linkspan.certificateVolumes" -}}
- name: certificate
  secret:
    secretName: {{ include "linkspan.certificateSecret" . | quote }}
    defaultMode: 0440
    items:
    - key: tls.crt
      path: tls.crt
    - key: tls.key
      path: tls.key
- name: trust-anchors
  {{- include "linkspan.trustAnchors" . | nindent 2 }}
{{- end }}

{{- define "linkspan.certificateMounts" -}}
- name: certificate
  mountPath: /etc/linkspan/certificate
  readOnly: true
- name: trust-anchors
  mountPath: /etc/linkspan/trust-anchors
  readOnly: true
{{- end }}

{{- define "linkspan.certificateArgs" -}}
- --{{ .flags }}tls-cert=/etc/linkspan/certificate/tls.crt
- --{{ .flags }}tls-key=/etc/linkspan/certificate/tls.key
- --{{ .flags }}trust-anchors=/etc/linkspan/trust-anchors/ca.crt
- --{{ .flags }}identity={{ include "linkspan.identity" . }}
{{- end }}

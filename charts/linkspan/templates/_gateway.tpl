{{/* What ingress and egress have in common. */}}

{{- define "linkspan.gatewayPod" -}}
{{- $v := .values -}}
metadata:
  labels:
    {{- include "linkspan.podLabels" . | nindent 4 }}
  annotations:
    {{- /* A proxy would take our ports: 4143 and 4191 are its own. */}}
    {{- toYaml (merge (dict) ($v.podAnnotations | default dict) (dict "linkerd.io/inject" "disabled")) | nindent 4 }}
spec:
  {{- include "linkspan.pod" . | nindent 2 }}
  {{- with merge (dict) (.podSecurityContext | default dict) ($.root.Values.podSecurityContext | default dict) }}
  securityContext:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  # As long as draining may take, and some seconds for the rest.
  terminationGracePeriodSeconds: {{ add $v.drainDelaySeconds $v.drainTimeoutSeconds 5 }}
  containers:
  - name: {{ .component }}
    {{- include "linkspan.container" . | nindent 4 }}
    args:
    - {{ .component }}
    - --admin-address=:4191
    {{- range .args }}
    - {{ . | quote }}
    {{- end }}
    {{- include "linkspan.certificateArgs" . | nindent 4 }}
    - --drain-delay={{ $v.drainDelaySeconds }}s
    - --drain-timeout={{ $v.drainTimeoutSeconds }}s
    - --access-log={{ $v.accessLog }}
    - --access-log-format={{ $v.logFormat }}
    - --log-level={{ $v.logLevel }}
    - --log-format={{ $v.logFormat }}
    {{- range $v.extraArgs }}
    - {{ . | quote }}
    {{- end }}
    ports:
    - name: admin-http
      containerPort: 4191
    {{- range .ports }}
    - name: {{ .name }}
      containerPort: {{ .containerPort }}
    {{- end }}
    livenessProbe:
      httpGet:
        path: /live
        port: admin-http
    readinessProbe:
      httpGet:
        path: /ready
        port: admin-http
      periodSeconds: 2
    volumeMounts:
    {{- include "linkspan.certificateMounts" . | nindent 4 }}
    {{- with .mounts }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  volumes:
  {{- include "linkspan.certificateVolumes" . | nindent 2 }}
  {{- with .volumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

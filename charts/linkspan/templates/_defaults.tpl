{{/*
Written by go test -update in charts/test, from values.yaml.

helm upgrade --reuse-values gives new templates the values of the release before, so what is new is missing; and a value
that a user sets to null is missing, too. Every template begins with linkspan.complete, which puts the default in its
place. Maps with keys of the user's own, and lists of more than numbers and names, stay missing: nothing is meant by
them that a user did not write.
*/}}

{{- define "linkspan.complete" -}}
{{- include "linkspan.fill" (dict "into" .Values "from" (include "linkspan.defaults" . | fromYaml)) -}}
{{- end }}

{{- define "linkspan.fill" -}}
{{- $into := .into -}}
{{- range $key, $value := .from -}}
{{- if not (hasKey $into $key) -}}
{{- $_ := set $into $key $value -}}
{{- else if and (kindIs "map" $value) (kindIs "map" (get $into $key)) -}}
{{- include "linkspan.fill" (dict "into" (get $into $key) "from" $value) -}}
{{- end -}}
{{- end -}}
{{- end }}

{{- define "linkspan.defaults" -}}
clusterDomain: cluster.local
controller:
  admissionPolicy:
    enabled: true
  antiAffinity: none
  createNamespaces: false
  egressPorts: 20000-59999
  enabled: true
  gatewayClients: auto
  leaseDuration: 15s
  logFormat: text
  logLevel: info
  podDisruptionBudget:
    enabled: false
    maxUnavailable: 1
  priorityClassName: ""
  probeTLS:
    certificate:
      identity: ""
      secretName: ""
    enabled: false
  replicas: 1
  serviceAccount:
    create: true
    name: ""
gateway:
  certManager:
    duration: 24h
    issuerRef:
      group: cert-manager.io
      kind: Issuer
      name: ""
    renewBefore: 8h
  egress:
    accessLog: "off"
    antiAffinity: none
    autoscaling:
      enabled: false
      maxReplicas: 6
      minReplicas: 2
      targetCPUUtilizationPercentage: 70
    certificate:
      identity: ""
      secretName: ""
    drainDelaySeconds: 5
    drainTimeoutSeconds: 20
    logFormat: text
    logLevel: info
    podDisruptionBudget:
      enabled: false
      maxUnavailable: 1
    priorityClassName: ""
    replicas: 1
    reservePorts: true
    service:
      name: linkspan-egress
    serviceAccount:
      create: true
      name: ""
  enabled: true
  ingress:
    accessLog: "off"
    allowedClientsDryRun: false
    antiAffinity: none
    autoscaling:
      enabled: false
      maxReplicas: 6
      minReplicas: 2
      targetCPUUtilizationPercentage: 70
    certificate:
      identity: ""
      secretName: ""
    drainDelaySeconds: 5
    drainTimeoutSeconds: 20
    enabled: true
    exportSelector: mirror.linkerd.io/exported=true
    logFormat: text
    logLevel: info
    podDisruptionBudget:
      enabled: false
      maxUnavailable: 1
    priorityClassName: ""
    probe:
      failureThreshold: 0
      period: 3
      timeout: ""
    replicas: 1
    service:
      externalTrafficPolicy: ""
      healthCheckNodePort: 0
      ipFamilyPolicy: ""
      loadBalancerClass: ""
      loadBalancerIP: ""
      name: linkerd-gateway
      nodePorts:
        gateway: 0
        probe: 0
      port: 4143
      probePort: 4191
      type: LoadBalancer
    serviceAccount:
      create: true
      name: ""
  mode: linkspan
  trustAnchors:
    configMap:
      key: ca-bundle.crt
      name: ""
    inline: ""
    secret:
      key: ca.crt
      name: ""
identityTrustDomain: ""
image:
  digests:
    gateway: ""
    mirror: ""
  pullPolicy: IfNotPresent
  registry: ghcr.io/linkspan
  tag: ""
linkerdNamespace: linkerd
monitoring:
  dashboard:
    enabled: false
  podMonitor:
    enabled: false
    interval: ""
  prometheusRule:
    enabled: false
    groupBy:
    - namespace
    runbookURL: https://github.com/linkspan/linkspan/blob/main/docs/monitoring.md
    thresholds:
      backlog: 100
      certificateCriticalDays: 3
      certificateInfoDays: 60
      certificateWarningDays: 14
      credentialsCriticalDays: 3
      credentialsWarningDays: 14
      deniedPerMinute: 6
      failedHandshakesPerMinute: 6
      failedStreamsPercent: 5
      freeEgressPortsPercent: 10
      gatewayChanges: 4
      propagationSeconds: 10
      restarts: 2
      targetCertificateHours: 4
policy:
  linkerd:
    enabled: false
  network:
    apiServer:
      ports:
      - 443
      - 6443
    dns:
      ports:
      - 53
    enabled: false
    gateways:
      ports:
      - 4143
      - 4191
    meshed: false
    remoteAPIServers:
      ports:
      - 443
      - 6443
rbac:
  create: true
remoteAccess: {}
{{- end }}

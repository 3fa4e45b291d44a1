{{/*
What the pods of the Deployments, the migrations and the test have in common. Each takes a dict: "root" is $,
"component" the label's value, "settings" the merged settings of the pod.
*/}}

{{/* Changed settings roll the pods. A changed API key does not: the program reads its file again. */}}
{{- define "sam3d-worker.podMetadata" -}}
labels:
  {{- include "sam3d-worker.selectorLabels" . | nindent 2 }}
  {{- with .root.Values.commonLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
  {{- with .settings.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
annotations:
  checksum/config: {{ include "sam3d-worker.config" .root | sha256sum }}
  {{- if not .root.Values.secret.existingSecret }}
  checksum/secret: {{ list .root.Values.secret.databaseUrl .root.Values.secret.brokerUrl .root.Values.secret.linkKey | toJson | sha256sum }}
  {{- end }}
  {{- with .settings.podAnnotations }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* Where a pod runs, and as whom. Also takes "serviceAccountName". */}}
{{- define "sam3d-worker.podPlacement" -}}
serviceAccountName: {{ .serviceAccountName }}
automountServiceAccountToken: false
# Without this every Service of the namespace would add variables to the environment.
enableServiceLinks: false
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
securityContext:
  {{- toYaml .root.Values.podSecurityContext | nindent 2 }}
{{- with .settings.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .settings.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .settings.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- define "sam3d-worker.containerBasics" -}}
image: {{ include "sam3d-worker.image" .root }}
imagePullPolicy: {{ .root.Values.image.pullPolicy }}
securityContext:
  {{- toYaml .root.Values.containerSecurityContext | nindent 2 }}
resources:
  {{- toYaml .settings.resources | nindent 2 }}
{{- end }}

{{/*
Everything that a worker, the scheduler or the test reads: settings; the URLs and the keys as files. The file server has
neither the broker's URL nor the API key.
*/}}
{{- define "sam3d-worker.environment" -}}
envFrom:
  - configMapRef:
      name: {{ include "sam3d-worker.fullname" .root }}
env:
  - name: SAM3D_DATABASE_URL_FILE
    value: /run/secrets/sam3d/database-url
  {{- if ne .component "files" }}
  - name: SAM3D_BROKER_URL_FILE
    value: /run/secrets/sam3d/broker-url
  - name: SEGMIND_API_KEY_FILE
    value: /run/secrets/sam3d/api-key
  {{- end }}
  {{- if .root.Values.config.publicUrl }}
  - name: SAM3D_LINK_KEY_FILE
    value: /run/secrets/sam3d/link-key
  {{- end }}
  - name: TMPDIR
    value: /tmp
  {{- with .settings.extraEnv }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
volumeMounts:
  - name: tmp
    mountPath: /tmp
  # A whole directory, not a subPath: only so does a new key reach a running pod.
  - name: secrets
    mountPath: /run/secrets/sam3d
    readOnly: true
  {{- with .settings.extraVolumeMounts }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{- define "sam3d-worker.volumes" -}}
volumes:
  - name: tmp
    emptyDir:
      sizeLimit: {{ .settings.tmpSizeLimit }}
  - name: secrets
    secret:
      secretName: {{ include "sam3d-worker.secretName" .root }}
      defaultMode: 0440
      items:
        - key: {{ .root.Values.secret.keys.databaseUrl }}
          path: database-url
        {{- if ne .component "files" }}
        - key: {{ .root.Values.secret.keys.brokerUrl }}
          path: broker-url
        - key: {{ .root.Values.secret.keys.apiKey }}
          path: api-key
        {{- end }}
        {{- if .root.Values.config.publicUrl }}
        - key: {{ .root.Values.secret.keys.linkKey }}
          path: link-key
        {{- end }}
  {{- with .settings.extraVolumes }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end }}

{{/* The spec of a worker's, the scheduler's or the file server's Deployment behind its replicas. Also takes "args". */}}
{{- define "sam3d-worker.deployment" -}}
{{- $selectorLabels := include "sam3d-worker.selectorLabels" . -}}
revisionHistoryLimit: 5
strategy:
  type: RollingUpdate
  rollingUpdate:
    maxUnavailable: 0
    maxSurge: 1
selector:
  matchLabels:
    {{- $selectorLabels | nindent 4 }}
template:
  metadata:
    {{- include "sam3d-worker.podMetadata" . | nindent 4 }}
  spec:
    {{- include "sam3d-worker.podPlacement" (merge (dict "serviceAccountName" (include "sam3d-worker.serviceAccountName" .root)) .) | nindent 4 }}
    {{- with .settings.topologySpreadConstraints }}
    topologySpreadConstraints:
      {{- range . }}
      - {{- toYaml . | nindent 8 }}
        {{- if not .labelSelector }}
        labelSelector:
          matchLabels:
            {{- $selectorLabels | nindent 12 }}
        {{- end }}
      {{- end }}
    {{- end }}
    terminationGracePeriodSeconds: {{ .settings.terminationGracePeriodSeconds | int }}
    containers:
      - name: sam3d
        {{- include "sam3d-worker.containerBasics" . | nindent 8 }}
        args:
          {{- toYaml .args | nindent 10 }}
        {{- include "sam3d-worker.environment" . | nindent 8 }}
        ports:
          - name: health
            containerPort: {{ .root.Values.config.healthPort | int }}
            protocol: TCP
          {{- if eq .component "files" }}
          - name: files
            containerPort: {{ .settings.port | int }}
            protocol: TCP
          {{- end }}
        startupProbe:
          httpGet:
            path: /livez
            port: health
          {{- toYaml .root.Values.probes.startup | nindent 10 }}
        livenessProbe:
          httpGet:
            path: /livez
            port: health
          {{- toYaml .root.Values.probes.liveness | nindent 10 }}
        readinessProbe:
          httpGet:
            path: /readyz
            port: health
          {{- toYaml .root.Values.probes.readiness | nindent 10 }}
    {{- include "sam3d-worker.volumes" . | nindent 4 }}
{{- end }}

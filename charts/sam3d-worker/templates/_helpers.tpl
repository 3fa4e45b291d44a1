{{/* The chart's name, for labels. */}}
{{- define "sam3d-worker.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 42 | trimSuffix "-" }}
{{- end }}

{{/* The prefix of every resource's name: at most 42 characters, so that a role's name still fits behind it. */}}
{{- define "sam3d-worker.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 42 | trimSuffix "-" }}
{{- else if contains (include "sam3d-worker.name" .) .Release.Name }}
{{- .Release.Name | trunc 42 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name (include "sam3d-worker.name" .) | trunc 42 | trimSuffix "-" }}
{{- end }}
{{- end }}

{{/* What selects the pods of this release. With (dict "root" $ "component" "intake"): those of one Deployment. */}}
{{- define "sam3d-worker.selectorLabels" -}}
app.kubernetes.io/name: {{ include "sam3d-worker.name" .root }}
app.kubernetes.io/instance: {{ .root.Release.Name }}
{{- with .component }}
app.kubernetes.io/component: {{ . }}
{{- end }}
{{- end }}

{{/* The labels of every resource. Takes (dict "root" $ "component" "intake"); the component may be left out. */}}
{{- define "sam3d-worker.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .root.Chart.Name .root.Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "sam3d-worker.selectorLabels" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- with .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* The image by digest where there is one, else by tag. */}}
{{- define "sam3d-worker.image" -}}
{{- with .Values.image }}
{{- if .digest }}
{{- printf "%s@%s" .repository .digest }}
{{- else }}
{{- printf "%s:%s" .repository (default $.Chart.AppVersion .tag) }}
{{- end }}
{{- end }}
{{- end }}

{{- define "sam3d-worker.secretName" -}}
{{- default (include "sam3d-worker.fullname" .) .Values.secret.existingSecret }}
{{- end }}

{{/* Whether the migrations have a Secret of their own that the chart makes: theirs must exist before the release. */}}
{{- define "sam3d-worker.makesMigrationsSecret" -}}
{{- if and .Values.migrations.enabled (not .Values.migrations.existingSecret) (or .Values.migrations.databaseUrl (not .Values.secret.existingSecret)) }}yes{{ end }}
{{- end }}

{{- define "sam3d-worker.migrationsSecretName" -}}
{{- if include "sam3d-worker.makesMigrationsSecret" . }}
{{- printf "%s-migrations" (include "sam3d-worker.fullname" .) }}
{{- else }}
{{- default .Values.secret.existingSecret .Values.migrations.existingSecret }}
{{- end }}
{{- end }}

{{- define "sam3d-worker.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "sam3d-worker.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- default "default" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{/*
The settings of one pod as YAML: later layers win, key by key and whole (Sprig's merge would drop a 0 or a false).
Takes a list of layers.
*/}}
{{- define "sam3d-worker.settings" -}}
{{- $settings := dict }}
{{- range $layer := . }}
{{- range $key, $value := $layer }}
{{- $_ := set $settings $key $value }}
{{- end }}
{{- end }}
{{- toYaml $settings }}
{{- end }}

{{/* What scales the workers: "keda", "hpa" or "none". */}}
{{- define "sam3d-worker.autoscaler" -}}
{{- if ne .Values.autoscaling.mode "auto" }}
{{- .Values.autoscaling.mode }}
{{- else if .Capabilities.APIVersions.Has "keda.sh/v1alpha1" }}
{{- "keda" }}
{{- else }}
{{- "hpa" }}
{{- end }}
{{- end }}

{{/* The queues that a step is fed from. The queues `sam3d.delay.<seconds>` hold what is not due: they are never here. */}}
{{- define "sam3d-worker.queues" -}}
accept: [sam3d.requests, sam3d.inbox]
submit: [sam3d.submit]
poll: [sam3d.poll]
fetch: [sam3d.fetch]
{{- end }}

{{/* Refuses what the schema cannot see: a step that nobody runs would let jobs wait for ever, without an error. */}}
{{- define "sam3d-worker.check" -}}
{{- $run := list }}
{{- range $role, $own := .Values.workers }}
{{- $run = concat $run $own.steps }}
{{- $settings := include "sam3d-worker.settings" (list $.Values.workerDefaults $own) | fromYaml }}
{{- if gt (int $settings.minReplicas) (int $settings.maxReplicas) }}
{{- fail (printf "workers.%s: minReplicas (%d) is more than maxReplicas (%d)" $role (int $settings.minReplicas) (int $settings.maxReplicas)) }}
{{- end }}
{{- end }}
{{- if and .Values.autoscaling.keda.hostKey (not .Values.secret.existingSecret) }}
{{- fail "autoscaling.keda.hostKey: names a key of secret.existingSecret, which is empty" }}
{{- end }}
{{- if and .Values.files.enabled (not .Values.config.publicUrl) }}
{{- fail "files.enabled: no link leads to the file server without config.publicUrl" }}
{{- end }}
{{- if and .Values.config.publicUrl (not .Values.secret.existingSecret) (lt (len .Values.secret.linkKey) 32) }}
{{- fail "secret.linkKey: signs the links to config.publicUrl, with 32 bytes at least" }}
{{- end }}
{{- range $step, $queues := include "sam3d-worker.queues" . | fromYaml }}
{{- if not (has $step $run) }}
{{- fail (printf "workers: no role runs the step %q; add it to the steps of one" $step) }}
{{- end }}
{{- end }}
{{- end }}

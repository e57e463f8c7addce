{{/* The name of everything in the release: a release's name has at most 53 characters. */}}
{{- define "team-tools.name" -}}
{{- .Release.Name -}}
{{- end -}}

{{/* What the Deployment, its budget and nothing else is selected by; it must never change. */}}
{{- define "team-tools.selector" -}}
app.kubernetes.io/name: team-tools
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "team-tools.labels" -}}
{{ include "team-tools.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
{{- end -}}

{{- define "team-tools.serviceAccount" -}}
{{- if .Values.serviceAccount.create -}}
{{- .Values.serviceAccount.name | default (include "team-tools.name" .) -}}
{{- else -}}
{{- .Values.serviceAccount.name | default "default" -}}
{{- end -}}
{{- end -}}

{{- define "launch-agent.labels" -}}
app.kubernetes.io/name: launch-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}
{{- define "launch-agent.config" -}}
{{ .Release.Name }}-{{ toJson .Values.launchConfig | sha256sum | trunc 10 }}
{{- end }}

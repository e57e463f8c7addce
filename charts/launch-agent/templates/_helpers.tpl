{{- define "launch-agent.labels" -}}
app.kubernetes.io/name: launch-agent
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end }}

{{- define "runner.name" -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- end -}}

{{- define "runner.labels" -}}
app.kubernetes.io/name: fleet-runner
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{- define "runner.selector" -}}
app.kubernetes.io/name: fleet-runner
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* One source, no more and no fewer. */}}
{{- define "runner.check" -}}
{{- $sources := list -}}
{{- if .Values.source.configMap }}{{ $sources = append $sources "configMap" }}{{ end -}}
{{- if .Values.source.files }}{{ $sources = append $sources "files" }}{{ end -}}
{{- if .Values.source.git }}{{ $sources = append $sources "git" }}{{ end -}}
{{- if ne (len $sources) 1 -}}
{{- fail (printf "source: give one of configMap, files and git, not %d of them" (len $sources)) -}}
{{- end -}}
{{- if and .Values.source.files (not (hasKey .Values.source.files .Values.fleet.file)) -}}
{{- fail (printf "source.files has no %s, which fleet.file names" .Values.fleet.file) -}}
{{- end -}}
{{- end -}}

{{- define "runner.security" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities: {drop: [ALL]}
{{- end -}}

{{/* A Job: `root`, `command`, `output`. */}}
{{- define "runner.job" -}}
{{- $values := .root.Values -}}
metadata:
  labels: {{- include "runner.labels" .root | nindent 4 }}
spec:
  completionMode: Indexed
  completions: {{ $values.fleet.parts }}
  parallelism: {{ min $values.fleet.parts $values.fleet.parallel }}
  # What failed (a cluster could not be reached) is tried once more; what was found (something moved) is not.
  backoffLimitPerIndex: 1
  podReplacementPolicy: Failed
  podFailurePolicy:
    rules:
      - action: Ignore
        onPodConditions: [{type: DisruptionTarget, status: "True"}]
      - action: FailIndex
        onExitCodes: {containerName: wbk-infra, operator: In, values: [2, 3, 4, 5, 6]}
  template:
    metadata:
      labels: {{- include "runner.labels" .root | nindent 8 }}
        {{- with $values.podLabels }}{{ toYaml . | nindent 8 }}{{ end }}
      {{- with $values.podAnnotations }}
      annotations: {{- toYaml . | nindent 8 }}
      {{- end }}
    spec:
      restartPolicy: Never
      serviceAccountName: {{ include "runner.name" .root }}
      # It has no rights in this cluster, and no token for it: what it looks at, it reaches with the kubeconfigs.
      automountServiceAccountToken: false
      enableServiceLinks: false
      securityContext: {runAsNonRoot: true, runAsUser: 65532, runAsGroup: 65532, fsGroup: 65532, seccompProfile: {type: RuntimeDefault}}
      {{- with $values.imagePullSecrets }}
      imagePullSecrets: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.source.git }}
      initContainers:
        - name: clone
          image: {{ required "source.git.image: an image with git" .image | quote }}
          imagePullPolicy: {{ $values.imagePullPolicy }}
          command: [git]
          args:
            - clone
            - --depth=1
            {{- if .secret }}
            - --config=credential.helper=store --file=/git/.git-credentials
            - --config=core.sshCommand=ssh -i /git/id -o UserKnownHostsFile=/git/known_hosts -o StrictHostKeyChecking=yes
            {{- end }}
            {{- with .revision }}
            - --branch={{ . }}
            {{- end }}
            - --
            - {{ required "source.git.repository" .repository | quote }}
            - /source/clone
          env: [{name: HOME, value: /scratch}, {name: GIT_TERMINAL_PROMPT, value: "0"}]
          securityContext: {{- include "runner.security" $ | nindent 12 }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: source, mountPath: /source}
            - {name: scratch, mountPath: /scratch}
            {{- if .secret }}
            - {name: git, mountPath: /git, readOnly: true}
            {{- end }}
      {{- end }}
      containers:
        - name: wbk-infra
          image: {{ required "image: an image with wbk-infra and helm, as the repository's Dockerfile makes one" $values.image | quote }}
          imagePullPolicy: {{ $values.imagePullPolicy }}
          command: [wbk-infra]
          args:
            - fleet
            - {{ .command }}
            - {{ include "runner.folder" .root }}/{{ $values.fleet.file }}
            - --part=$(JOB_COMPLETION_INDEX)/{{ $values.fleet.parts }}
            - --parallel-clusters={{ $values.fleet.clustersAtOnce }}
            - --timeout={{ $values.fleet.timeout }}
            - --markdown=/dev/termination-log
            - --output={{ .output }}
            {{- if eq .command "plan" }}
            - --exit-code
            {{- end }}
          terminationMessagePolicy: File
          env:
            - {name: XDG_STATE_HOME, value: /state}
            - {name: XDG_CACHE_HOME, value: /scratch}
            - {name: HOME, value: /scratch}
            - {name: WBK_INFRA_NO_DOWNLOADS, value: "1"}
            {{- range $name, $value := $values.env }}
            - {name: {{ $name }}, value: {{ $value | quote }}}
            {{- end }}
            {{- range $values.secretEnv }}
            - {name: {{ .name }}, valueFrom: {secretKeyRef: {name: {{ .secret }}, key: {{ .key }}}}}
            {{- end }}
          securityContext: {{- include "runner.security" . | nindent 12 }}
          resources: {{- toYaml $values.resources | nindent 12 }}
          volumeMounts:
            - {name: source, mountPath: /source, readOnly: true}
            - {name: state, mountPath: /state}
            - {name: scratch, mountPath: /scratch}
            {{- range $values.kubeconfigs }}
            - {name: kubeconfig-{{ . }}, mountPath: /kubeconfigs/{{ . }}, readOnly: true}
            {{- end }}
      volumes:
        - name: source
          {{- if $values.source.git }}
          emptyDir: {}
          {{- else }}
          configMap: {name: {{ $values.source.configMap | default (printf "%s-files" (include "runner.name" .root)) }}}
          {{- end }}
        - name: state
          {{- if $values.stateClaim }}
          persistentVolumeClaim: {claimName: {{ $values.stateClaim }}}
          {{- else }}
          emptyDir: {}
          {{- end }}
        - {name: scratch, emptyDir: {}}
        {{- range $values.kubeconfigs }}
        - {name: kubeconfig-{{ . }}, secret: {secretName: {{ . }}, defaultMode: 0440}}
        {{- end }}
        {{- if (dig "secret" "" $values.source.git) }}
        - {name: git, secret: {secretName: {{ $values.source.git.secret }}, defaultMode: 0440}}
        {{- end }}
      {{- with $values.nodeSelector }}
      nodeSelector: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.tolerations }}
      tolerations: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.affinity }}
      affinity: {{- toYaml . | nindent 8 }}
      {{- end }}
      {{- with $values.priorityClassName }}
      priorityClassName: {{ . }}
      {{- end }}
{{- end -}}

{{- define "runner.folder" -}}
{{- if .Values.source.git -}}
{{- $folder := dig "directory" "" .Values.source.git | trimAll "/" -}}
/source/clone{{ if $folder }}/{{ $folder }}{{ end }}
{{- else -}}
/source
{{- end -}}
{{- end -}}

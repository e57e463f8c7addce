//! Charts of our own in place of NVIDIA's and NFD's, for machines that cannot have those: a folder that `--chart-mirror` takes, and
//! the list with their digests. Names, pod labels and containers are those of the real ones (the versions of charts/lock.yaml), so
//! that simulated nodes take their pods for what they stand for; the values are those that the tool sets.

use std::path::{Path, PathBuf};
use std::process::Command;

use wbk_infra::desired::Lock;
use wbk_infra::id::Digest;

/// Name and template of each.
const CHARTS: [(&str, &str); 3] = [
    (
        "node-feature-discovery",
        r#"apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ .Release.Name }}-worker, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {role: worker}}
  template:
    metadata: {labels: {role: worker, app.kubernetes.io/name: node-feature-discovery}}
    spec:
      priorityClassName: {{ .Values.worker.priorityClassName }}
      tolerations: {{ .Values.worker.tolerations | toJson }}
      containers: [{name: worker, image: registry.k8s.io/nfd/node-feature-discovery:v0.19.0, command: [nfd-worker]}]
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: {{ .Release.Name }}-master, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {role: master}}
  template:
    metadata: {labels: {role: master, app.kubernetes.io/name: node-feature-discovery}}
    spec:
      containers: [{name: master, image: registry.k8s.io/nfd/node-feature-discovery:v0.19.0, command: [nfd-master]}]
"#,
    ),
    (
        "nvidia-device-plugin",
        r#"{{- range $part := list "nvidia-device-plugin" "gpu-feature-discovery" }}
---
apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ $.Release.Name }}-{{ $part }}, namespace: {{ $.Release.Namespace }}}
spec:
  selector: {matchLabels: {part: {{ $part }}}}
  template:
    metadata:
      labels: {part: {{ $part }}, app.kubernetes.io/name: nvidia-device-plugin}
      annotations: {{ $.Values.podAnnotations | default dict | toJson }}
    spec:
      priorityClassName: system-node-critical
      affinity: {{ $.Values.affinity | toJson }}
      tolerations: {{ $.Values.tolerations | toJson }}
      containers: [{name: {{ $part }}-ctr, image: "nvcr.io/nvidia/k8s-device-plugin:v0.20.0", command: [{{ $part }}]}]
{{- end }}
"#,
    ),
    (
        "dcgm-exporter",
        r#"apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {app.kubernetes.io/name: dcgm-exporter}}
  template:
    metadata: {labels: {app.kubernetes.io/name: dcgm-exporter}}
    spec:
      affinity: {{ .Values.affinity | toJson }}
      tolerations: {{ .Values.tolerations | toJson }}
      containers: [{name: exporter, image: "nvcr.io/nvidia/k8s/dcgm-exporter:4.5.3-4.8.2"}]
"#,
    ),
];

/// Packs them into a folder; the folder to name as mirror, and the list.
pub fn mirror(folder: &Path) -> (PathBuf, PathBuf) {
    let mirror = folder.join("mirror");
    std::fs::create_dir_all(&mirror).unwrap();
    let mut list = "charts:\n".to_owned();
    for (name, template) in CHARTS {
        let version = Lock::embedded().find(name).unwrap().version.clone();
        let chart = folder.join("sources").join(name);
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        std::fs::write(chart.join("Chart.yaml"), format!("apiVersion: v2\nname: {name}\nversion: {version}\n"))
            .unwrap();
        std::fs::write(chart.join("templates/all.yaml"), template).unwrap();
        let packed =
            Command::new(super::helm_program()).arg("package").arg(&chart).arg("-d").arg(&mirror).output().unwrap();
        assert!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
        let digest = Digest::of_bytes(&std::fs::read(mirror.join(format!("{name}-{version}.tgz"))).unwrap());
        list.push_str(&format!(
            "- {{name: {name}, repository: 'https://unreachable.invalid', version: {version}, digest: 'sha256:{digest}', \
             from: this test, license: none}}\n"
        ));
    }
    let lock = folder.join("lock.yaml");
    std::fs::write(&lock, list).unwrap();
    (mirror, lock)
}

//! The charts of the `gpu` and `scheduling` sections, with the values that blueprints give them: stand-ins of our own from a
//! repository on loopback, and, when asked for, the real ones.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::process::Command;

use serde_json::{Value, json};
use wbk_infra::blueprint::{DiskFiles, Source, load, read_values};
use wbk_infra::desired::{ChartMirror, ChartPlaces, Desired, DesiredRelease, Lock};
use wbk_infra::helm::{Exists, Helm, OriginOfDigest, RenderCache, RenderRequest, RenderWorld, SecretValues};
use wbk_infra::id::Digest;

use super::server::Server;
use super::{read, real_helm, repository_file, scope, support};

/// Blueprints whose releases are rendered: each a layout of pools.
const BLUEPRINTS: [&str; 5] = ["gpu-nvidia", "gpu-operator", "gpu-amd", "gpu-intel", "gpu-existing"];

fn desired(name: &str) -> Desired {
    let name = repository_file(&format!("tests/blueprints/good/{name}.yaml")).display().to_string();
    let text = std::fs::read_to_string(&name).unwrap();
    let loaded = load(&[Source { text, name }]).unwrap_or_else(|problems| panic!("{problems}"));
    loaded.resolve(&DiskFiles, jiff::civil::date(2026, 11, 22)).unwrap_or_else(|problems| panic!("{problems}"))
}

/// A chart of our own in place of a real one: its schema takes the keys that the real one's values have and no others.
struct StandIn {
    name: &'static str,
    /// Keys below which anything goes, by path.
    keys: &'static [&'static str],
    template: &'static str,
}

const AFFINE: &str = r#"apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {name: a}}
  template:
    metadata: {labels: {name: a}}
    spec:
      affinity: {{ .Values.affinity | toJson }}
      tolerations: {{ .Values.tolerations | toJson }}
      containers: [{name: a, image: a}]
"#;

const CHARTS: [StandIn; 7] = [
    StandIn {
        name: "node-feature-discovery",
        keys: &[
            "master.config.extraLabelNs",
            "worker.config.sources",
            "worker.tolerations",
            "worker.priorityClassName",
        ],
        template: r#"apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ .Release.Name }}-worker, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {role: worker}}
  template:
    metadata: {labels: {role: worker}}
    spec:
      tolerations: {{ .Values.worker.tolerations | toJson }}
      containers: [{name: worker, image: a}]
"#,
    },
    StandIn {
        name: "nvidia-device-plugin",
        keys: &[
            "affinity",
            "gfd.enabled",
            "nfd.enabled",
            "tolerations",
            "config.default",
            "config.map",
            "podAnnotations",
        ],
        template: AFFINE,
    },
    StandIn {
        name: "gpu-operator",
        keys: &[
            "daemonsets.tolerations",
            "dcgmExporter.enabled",
            "dcgmExporter.serviceMonitor.enabled",
            "gfd.enabled",
            "mig.strategy",
            "nfd.enabled",
            "driver.enabled",
            "toolkit.enabled",
            "devicePlugin.config",
            "migManager.config",
        ],
        template: r#"apiVersion: v1
kind: ConfigMap
metadata: {name: policy, namespace: {{ .Release.Namespace }}}
data: {tolerations: {{ .Values.daemonsets.tolerations | toJson | quote }}}
"#,
    },
    StandIn { name: "dcgm-exporter", keys: &["affinity", "serviceMonitor.enabled", "tolerations"], template: AFFINE },
    StandIn {
        name: "amd-gpu",
        keys: &["labeller.enabled", "nfd.enabled", "node_selector", "node_selector_enabled", "tolerations"],
        template: r#"apiVersion: apps/v1
kind: DaemonSet
metadata: {name: {{ .Release.Name }}, namespace: {{ .Release.Namespace }}}
spec:
  selector: {matchLabels: {name: a}}
  template:
    metadata: {labels: {name: a}}
    spec:
      nodeSelector: {{ .Values.node_selector | toJson }}
      tolerations: {{ .Values.tolerations | toJson }}
      containers: [{name: a, image: a}]
"#,
    },
    StandIn { name: "intel-device-plugins-operator", keys: &["manager.devices"], template: "" },
    StandIn {
        name: "volcano",
        keys: &["basic.image_pull_policy", "basic.image_tag_version", "custom.scheduler_config_override"],
        template: "",
    },
];

impl StandIn {
    /// A schema that takes these keys and no others.
    fn schema(&self) -> Value {
        fn closed(keys: &[&str]) -> Value {
            let mut below: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
            for key in keys {
                let (first, rest) = key.split_once('.').map_or((*key, None), |(first, rest)| (first, Some(rest)));
                below.entry(first).or_default().extend(rest);
            }
            let properties: BTreeMap<&str, Value> = below
                .into_iter()
                .map(|(key, rest)| (key, if rest.is_empty() { json!({}) } else { closed(&rest) }))
                .collect();
            json!({"type": "object", "additionalProperties": false, "properties": properties})
        }
        let mut schema = closed(self.keys);
        schema["$schema"] = "http://json-schema.org/draft-07/schema#".into();
        // Helm adds it to every chart's values.
        schema["properties"]["global"] = json!({});
        schema
    }

    /// Packs it as the version that the program asks for.
    fn archive(&self, folder: &Path, version: &str) -> Vec<u8> {
        let chart = folder.join(self.name);
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        let about = format!("apiVersion: v2\nname: {}\nversion: {version}\n", self.name);
        std::fs::write(chart.join("Chart.yaml"), about).unwrap();
        std::fs::write(chart.join("values.schema.json"), self.schema().to_string()).unwrap();
        std::fs::write(chart.join("templates/all.yaml"), self.template).unwrap();
        let output =
            Command::new(support::helm_program()).arg("package").arg(&chart).arg("-d").arg(folder).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        std::fs::read(folder.join(format!("{}-{version}.tgz", self.name))).unwrap()
    }
}

/// Serves the stand-ins as a classic repository, and lists them with their own digests.
fn serve(folder: &Path) -> (Server, Lock) {
    let server = Server::start();
    let mut index = "apiVersion: v1\nentries:\n".to_owned();
    let mut list = "charts:\n".to_owned();
    for chart in &CHARTS {
        let version = Lock::embedded().find(chart.name).unwrap().version.clone();
        let archive = chart.archive(folder, &version);
        let digest = Digest::of_bytes(&archive);
        let file = format!("{}-{version}.tgz", chart.name);
        index.push_str(&format!(
            "  {0}:\n    - {{apiVersion: v2, name: {0}, version: {version}, digest: {digest}, urls: [{file}]}}\n",
            chart.name
        ));
        list.push_str(&format!(
            "- {{name: {}, repository: 'https://unreachable.invalid', version: {version}, digest: 'sha256:{digest}', \
             from: this test, license: none}}\n",
            chart.name
        ));
        server.put(&format!("/charts/{file}"), "application/gzip", &archive);
    }
    server.put("/charts/index.yaml", "text/yaml", index.as_bytes());
    (server, Lock::parse(&list, "the test's list").unwrap())
}

async fn render(helm: &Helm, release: &DesiredRelease) -> (Vec<Value>, OriginOfDigest) {
    let chart = helm.chart(&release.chart).await.unwrap_or_else(|error| panic!("{}: {error}", release.id));
    let request = RenderRequest {
        release: &release.id,
        chart: &chart,
        values: &release.values,
        exists: Exists::No,
        secrets: SecretValues::Withheld,
    };
    let none = BTreeSet::new();
    let world = RenderWorld { kube_version: "1.36.0", api_versions: &none, scope: &scope, read };
    let rendered = helm
        .render(request, world, &RenderCache::none())
        .await
        .unwrap_or_else(|error| panic!("{} does not render: {error:?}", release.id));
    (rendered.objects.into_iter().map(|(_, manifest)| manifest).collect(), chart.origin)
}

fn tolerates(tolerations: &Value, key: &str, effect: &str) -> bool {
    tolerations.as_array().into_iter().flatten().any(|toleration| {
        toleration["operator"] == "Exists"
            && toleration.get("key").is_none_or(|found| found == key)
            && toleration.get("effect").is_none_or(|found| found == effect)
    })
}

/// What must hold for every release of a blueprint, whoever made the charts.
fn prove(name: &str, desired: &Desired, objects: &[Value]) {
    let kinds = |kind: &str| objects.iter().filter(|object| object["kind"] == kind).count();
    assert_eq!(kinds("ServiceMonitor"), 0, "{name}: its kind comes with the Prometheus operator");
    let daemons: Vec<&Value> = objects.iter().filter(|object| object["kind"] == "DaemonSet").collect();
    let workers = daemons.iter().filter(|daemon| daemon["spec"]["template"]["metadata"]["labels"]["role"] == "worker");
    assert_eq!(workers.count(), 1, "{name}: discovery is there once");
    for daemon in daemons {
        let pod = &daemon["spec"]["template"]["spec"];
        for pool in desired.wanted.pools.values().filter(|pool| pool.accelerator.is_some()) {
            for taint in &pool.taints {
                let effect = taint.effect.as_str();
                assert!(
                    tolerates(&pod["tolerations"], &taint.key, effect),
                    "{name}: {} does not tolerate {}:{effect} of {}",
                    daemon["metadata"]["name"],
                    taint.key,
                    pool.name
                );
            }
        }
    }
}

#[tokio::test]
async fn every_release_renders_from_a_mirror_with_values_that_reach_every_gpu_pool() {
    let folder = tempfile::tempdir().unwrap();
    let (server, lock) = serve(folder.path());
    let mirror = ChartMirror::of(&format!("http://{}/charts", server.address));
    let places = ChartPlaces { lock: Some((lock, "the test's list".into())), mirror: Some(mirror) };
    let helm = real_helm(folder.path()).await.with_charts_from(places);
    for name in BLUEPRINTS {
        let desired = desired(name);
        assert!(!desired.releases.is_empty(), "{name}");
        let mut objects = Vec::new();
        for release in &desired.releases {
            let (rendered, origin) = render(&helm, release).await;
            assert_eq!(origin, OriginOfDigest::Pinned);
            objects.extend(rendered);
        }
        prove(name, &desired, &objects);
    }
}

#[tokio::test]
async fn a_mirrored_folder_must_hold_the_pinned_archive() {
    let folder = tempfile::tempdir().unwrap();
    let (_server, lock) = serve(folder.path());
    let release = desired("gpu-existing").releases.into_iter().find(|release| release.id.name == "volcano").unwrap();
    let mirror = ChartMirror::of(folder.path().to_str().unwrap());
    let helm = real_helm(folder.path()).await;
    let places = ChartPlaces { lock: Some((lock, "l".into())), mirror: Some(mirror.clone()) };
    render(&helm.clone().with_charts_from(places), &release).await;
    // The program's own list has the real chart's digest, which this archive has not.
    let helm = helm.with_charts_from(ChartPlaces { lock: None, mirror: Some(mirror) });
    let refused = helm.chart(&release.chart).await.unwrap_err().to_string();
    assert!(refused.contains("is not the pinned one"), "{refused}");
}

/// Every key that we set is one that the chart has. Below an empty map or a null anything goes.
fn unknown_keys(ours: &Value, theirs: &Value, path: &str, found: &mut Vec<String>) {
    let (Some(ours), Some(theirs)) = (ours.as_object(), theirs.as_object()) else { return };
    if theirs.is_empty() {
        return;
    }
    for (key, value) in ours {
        let path = format!("{path}.{key}");
        match theirs.get(key) {
            None if !value.is_null() => found.push(path),
            None => {}
            Some(their) => unknown_keys(value, their, &path, found),
        }
    }
}

/// Keys that a chart reads and does not list among its values (the condition of a sub-chart stands in Chart.yaml), or maps that are
/// the user's own.
const FREE: [&str; 5] =
    [".nfd.enabled", ".node_selector.wbk-infra/gpu-vendor", ".master.config", ".worker.config", ".manager.devices.gpu"];

#[tokio::test]
#[ignore = "needs the network, or WBK_INFRA_CHART_MIRROR (and WBK_INFRA_CHART_LOCK): cargo test --test helm -- --ignored real_charts"]
async fn the_real_charts_take_the_values_and_reach_every_gpu_pool() {
    let folder = tempfile::tempdir().unwrap();
    let lock = std::env::var("WBK_INFRA_CHART_LOCK").ok().map(|file| {
        (Lock::parse(&std::fs::read_to_string(&file).unwrap(), &file).unwrap_or_else(|error| panic!("{error}")), file)
    });
    let mirror = std::env::var("WBK_INFRA_CHART_MIRROR").ok().map(|text| ChartMirror::of(&text));
    let helm = real_helm(folder.path()).await.with_charts_from(ChartPlaces { lock, mirror });
    let mut problems = Vec::new();
    for name in BLUEPRINTS {
        let desired = desired(name);
        let mut objects = Vec::new();
        for release in &desired.releases {
            let chart = helm.chart(&release.chart).await.unwrap_or_else(|error| panic!("{}: {error}", release.id));
            let shown =
                Command::new(support::helm_program()).args(["show", "values"]).arg(&chart.path).output().unwrap();
            assert!(shown.status.success(), "{}", String::from_utf8_lossy(&shown.stderr));
            let theirs = read_values(&String::from_utf8(shown.stdout).unwrap(), "values.yaml").unwrap().to_json();
            let mut found = Vec::new();
            unknown_keys(&release.values, &theirs, "", &mut found);
            found.retain(|path| !FREE.iter().any(|free| path.starts_with(free)));
            problems.extend(found.into_iter().map(|path| format!("{name}: {} has no value {path}", release.id.name)));
            objects.extend(render(&helm, release).await.0);
        }
        prove(name, &desired, &objects);
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
}

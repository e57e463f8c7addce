//! What the command line prints, as snapshots: help, refusals, the offline commands, a plan without a cluster. No cluster starts.

#[path = "../support/mod.rs"]
mod support;

mod help;
mod offline;
mod plan;

use support::home::{Home, Run};

/// Everything that is another on another machine, in one place.
fn redacted(home: &Home, text: &str) -> String {
    let work = home.work();
    let folder = work.parent().expect("a home").display().to_string();
    let cache = support::assets::cache_home().display().to_string();
    let mut text = text.replace(&folder, "[HOME]").replace(&cache, "[CACHE]");
    text = text.replace(env!("CARGO_PKG_VERSION"), "[VERSION]");
    text.lines().map(str::trim_end).collect::<Vec<_>>().join("\n")
}

/// The run as a snapshot shows it.
fn shown(home: &Home, arguments: &[&str], run: &Run) -> String {
    let mut text = format!("$ wbk-infra {}\n", arguments.join(" "));
    for (name, stream) in [("stdout", &run.stdout), ("stderr", &run.stderr)] {
        if !stream.is_empty() {
            text.push_str(&format!("--- {name}\n{}\n", stream.trim_end()));
        }
    }
    text.push_str(&format!("--- exit code {}\n", run.code));
    redacted(home, &text)
}

/// Several runs in one snapshot.
fn session(home: &Home, runs: &[&[&str]]) -> String {
    runs.iter().map(|arguments| shown(home, arguments, &home.run(arguments))).collect::<Vec<_>>().join("\n\n")
}

/// A blueprint without secrets and charts, and an overlay.
fn blueprint(home: &Home) {
    home.write("base.yaml", BASE);
    home.write("prod.yaml", PROD);
    home.write("objects/settings.yaml", OBJECT);
}

const BASE: &str = r#"apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: research}
cluster: {provider: local, version: "1.36"}
nodePools:
  - {name: system, shape: {cpu: 4, memory: 16Gi}, size: {min: 1}}
  - name: a100
    accelerator: {model: nvidia-a100-40gb, count: 8}
    size: {min: 1}
gpu: {plugin: simulated}
scheduling: {priorities: [{name: training, value: 100}]}
namespaces:
  - name: wandb-jobs
    quota: {gpu: 8, pods: 10}
    identities: [{serviceAccount: trainer}]
objects: [objects/*.yaml]
"#;

const PROD: &str = "nodePools:\n  - {name: a100, size: {min: 2}}\nnamespaces:\n  - name: wandb-jobs\n    quota: {gpu: 16, pods: null}\n  - {name: other}\n";

const OBJECT: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: settings, namespace: wandb-jobs}\ndata: {mode: \"on\"}\n";

//! The helm boundary: with a helm that misbehaves, with a real one, with registries, and with a real API server.

mod charts;
mod fake;
mod gpu_stack;
mod live;
mod remote;
mod server;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;
use wbk_infra::helm::{
    Cancel, Exists, Helm, HelmError, HelmSettings, LocalChart, RenderCache, RenderRequest, RenderWorld, Rendered,
    Scope, SecretValues,
};
use wbk_infra::id::{Gvk, ReleaseId};

/// A real helm with a home of its own.
async fn real_helm(home: &Path) -> Helm {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let settings = HelmSettings {
        program: support::helm_program(),
        home: home.join("helm"),
        environment: vec![("PATH".into(), path), ("HOME".into(), home.into())],
        registry_config: None,
        deadline: Duration::from_secs(120),
        grace: Duration::from_secs(30),
        cancel: Cancel::never(),
    };
    Helm::open(settings).await.expect("the helm that tests use is good enough")
}

fn repository_file(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// Manifests as the product reads them.
fn read(text: &str) -> Result<Vec<Value>, String> {
    let manifests = wbk_infra::blueprint::read_manifests(text, "chart").map_err(|problems| format!("{problems:?}"))?;
    Ok(manifests.into_iter().map(|(manifest, _)| manifest).collect())
}

fn release(namespace: &str, name: &str) -> ReleaseId {
    ReleaseId { namespace: namespace.into(), name: name.into() }
}

fn scope(gvk: &Gvk) -> Option<Scope> {
    Some(if gvk.kind == "CustomResourceDefinition" { Scope::Cluster } else { Scope::Namespaced })
}

/// Renders a chart as a release `rel` in `ns`.
async fn render(
    helm: &Helm,
    chart: &Path,
    values: &Value,
    secrets: SecretValues,
    cache: &RenderCache,
) -> Result<Rendered, HelmError> {
    let chart = LocalChart::open(chart)?;
    let release = release("ns", "rel");
    let api_versions = BTreeSet::from(["v1".to_owned(), "apps/v1".to_owned(), "policy/v1".to_owned()]);
    let request = RenderRequest { release: &release, chart: &chart, values, exists: Exists::No, secrets };
    let world = RenderWorld { kube_version: "1.36.3", api_versions: &api_versions, scope: &scope, read };
    helm.render(request, world, cache).await
}

/// Writes files of a chart.
fn write_chart(folder: &Path, files: &[(&str, &str)]) {
    for (name, text) in files {
        let path = folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
}

//! Finds helm and renders the blueprint's charts for the plan.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::Duration,
};

use anyhow::Context;
use wbk_provider_local::assets::{self, Program};

use super::{
    args::Global,
    environment::Environment,
    failure::Failure,
    situation::{Connection, local_settings},
};
use crate::{
    blueprint::read_manifests,
    cluster::Discovery,
    desired::{ChartMirror, ChartPlaces, Desired, Lock},
    helm::{
        Cancel, Exists, Helm, HelmSettings, RenderCache, RenderRequest, RenderWorld, Scope, SecretValues,
        allowed_environment, input_digest,
    },
    id::{GroupKind, Gvk, ObjectId, ReleaseId},
    live::RenderedRelease,
};

/// How long a helm call that changes nothing may take: a pull over a slow link.
const HELM_DEADLINE: Duration = Duration::from_secs(120);
/// How long helm may take to write its record after an interrupt.
const HELM_GRACE: Duration = Duration::from_secs(10);

/// Helm, and what it rendered.
pub struct Charts {
    /// The program.
    pub helm: Helm,
    /// The releases for the observer.
    pub rendered: Vec<RenderedRelease>,
    /// The objects of each, for waiting.
    pub objects: BTreeMap<ReleaseId, Vec<ObjectId>>,
}

/// Finds a helm: PATH first, then the assets of the local provider.
///
/// # Errors
/// None is there and none can be had.
pub async fn find_helm(
    environment: &Environment,
    global: &Global,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Helm, Failure> {
    let settings = local_settings(environment, global);
    let report = |event: assets::AssetEvent| say(&event.to_string());
    let found = tokio::task::block_in_place(|| assets::provide(&settings, None, &[Program::Helm], &report)).map_err(
        |error| Failure::hinted(error, "install helm 4 (or 3.14 and later), or let wbk-infra build it: it needs go"),
    )?;
    let program = found.get(&Program::Helm).map(|found| found.path.clone()).unwrap_or_else(|| PathBuf::from("helm"));
    let registry_config = environment
        .get("HELM_REGISTRY_CONFIG")
        .map(PathBuf::from)
        .or_else(|| environment.get("HOME").map(|home| PathBuf::from(home).join(".config/helm/registry/config.json")))
        .filter(|path| path.exists());
    Ok(Helm::open(HelmSettings {
        program,
        home: environment.cache.join("helm"),
        environment: allowed_environment(environment.variables()),
        registry_config,
        deadline: HELM_DEADLINE,
        grace: HELM_GRACE,
        cancel: Cancel::never(),
    })
    .await?
    .with_charts_from(chart_places(global)?))
}

/// Where the charts of sections come from, as flags and environment say.
fn chart_places(global: &Global) -> Result<ChartPlaces, Failure> {
    let lock = match &global.chart_lock {
        None => None,
        Some(file) => {
            let name = file.display().to_string();
            let text = std::fs::read_to_string(file).with_context(|| format!("read the list of charts {name}"))?;
            Some((Lock::parse(&text, &name)?, name))
        }
    };
    Ok(ChartPlaces { lock, mirror: global.chart_mirror.as_deref().map(ChartMirror::of) })
}

/// Renders every release of the blueprint.
///
/// # Errors
/// Helm is missing or too old; a chart cannot be had, is not the pinned one, or does not render.
pub async fn render_all(
    desired: &Desired,
    environment: &Environment,
    global: &Global,
    connection: Option<&Connection>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Charts, Failure> {
    let helm = find_helm(environment, global, say).await?;
    let cache = RenderCache::in_folder(environment.cache.join("renders"));
    let none = Discovery::default();
    let discovery = connection.map_or(&none, |connection| &connection.discovery);
    let mut api_versions: BTreeSet<String> = discovery.api_versions().into_iter().collect();
    let crds = desired.objects.iter().filter(|object| object.id.gvk.kind == "CustomResourceDefinition");
    for crd in crds {
        let text = |pointer: &str| crd.manifest.pointer(pointer).and_then(serde_json::Value::as_str);
        for version in crd.manifest["spec"]["versions"].as_array().into_iter().flatten() {
            if let (Some(group), Some(kind), Some(version)) =
                (text("/spec/group"), text("/spec/names/kind"), version["name"].as_str())
            {
                api_versions.insert(format!("{group}/{version}"));
                api_versions.insert(format!("{group}/{version}/{kind}"));
            }
        }
    }
    let kube_version = match desired.wanted.cluster.version.as_deref() {
        Some(version) if version.matches('.').count() == 1 => format!("{version}.0"),
        Some(version) => version.to_owned(),
        None => server_version(connection).await.unwrap_or_else(|| "1.36.0".into()),
    };
    let scope = |gvk: &Gvk| {
        discovery
            .preferred(&gvk.group_kind())
            .map(|resource| if resource.namespaced { Scope::Namespaced } else { Scope::Cluster })
            .or_else(|| {
                crate::desired::builtin_scope(gvk)
                    .map(|namespaced| if namespaced { Scope::Namespaced } else { Scope::Cluster })
            })
    };
    let mut rendered = Vec::new();
    let mut objects = BTreeMap::new();
    for release in &desired.releases {
        let chart = helm.chart(&release.chart).await?;
        let request = RenderRequest {
            release: &release.id,
            chart: &chart,
            values: &release.values,
            // What a chart renders for an upgrade is what stands after the next apply as well as after this one.
            exists: Exists::Yes,
            secrets: SecretValues::Shown,
        };
        let request = if connection.is_none() { RenderRequest { exists: Exists::No, ..request } } else { request };
        let world = RenderWorld { kube_version: &kube_version, api_versions: &api_versions, scope: &scope, read };
        let out = helm.render(RenderRequest { secrets: SecretValues::Withheld, ..request }, world, &cache).await?;
        let out = if out.has_secrets { helm.render(request, world, &RenderCache::none()).await? } else { out };
        let stable: Vec<(ObjectId, serde_json::Value)> =
            out.objects.iter().filter(|(id, _)| !out.stability.unstable.contains(id)).cloned().collect();
        objects.insert(release.id.clone(), stable.iter().map(|(id, _)| id.clone()).collect());
        rendered.push(RenderedRelease {
            id: release.id.clone(),
            inputs: input_digest(release, &chart.digest),
            brings: out
                .crds
                .iter()
                .chain(&out.objects)
                .filter_map(|(id, manifest)| kind_of_crd(id, manifest))
                .collect(),
            // What only the live cluster decides (`lookup`) cannot be compared from here.
            objects: if out.stability.reads_cluster { Vec::new() } else { stable },
        });
    }
    Ok(Charts { helm, rendered, objects })
}

fn read(text: &str) -> Result<Vec<serde_json::Value>, String> {
    read_manifests(text, "chart output")
        .map(|documents| documents.into_iter().map(|(value, _)| value).collect())
        .map_err(|problems| problems.to_string())
}

fn kind_of_crd(id: &ObjectId, manifest: &serde_json::Value) -> Option<GroupKind> {
    if id.gvk.kind != "CustomResourceDefinition" {
        return None;
    }
    let text = |pointer: &str| manifest.pointer(pointer)?.as_str().map(str::to_owned);
    Some(GroupKind { group: text("/spec/group")?, kind: text("/spec/names/kind")? })
}

async fn server_version(connection: Option<&Connection>) -> Option<String> {
    // Only for charts' .Capabilities; the blueprint's version or a default takes its place.
    let version =
        connection?.cluster.request(http::Method::GET, "/version", None, "read the server's version").await.ok()?;
    version["gitVersion"].as_str().map(|text| text.trim_start_matches('v').to_owned())
}

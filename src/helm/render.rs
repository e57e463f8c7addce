//! `helm template` for the plan: what a release would apply, without touching a cluster.

use std::collections::{BTreeMap, BTreeSet};
use std::ffi::OsString;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::chart::LocalChart;
use super::command::{Call, Helm};
use super::error::{HelmError, Started};
use super::release::render_marks;
use super::render_cache::RenderCache;
use super::stability::{self, Stability};
use crate::id::{Digest, Gvk, ObjectId, ReleaseId};

/// Reads a text of YAML documents as kubectl does (YAML 1.1), or says what is wrong with it.
pub type ReadManifests = fn(&str) -> Result<Vec<Value>, String>;

/// Whether objects of a kind live in namespaces.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Scope {
    /// They do.
    Namespaced,
    /// They do not.
    Cluster,
}

/// What a render needs to know of the cluster.
#[derive(Clone, Copy)]
pub struct RenderWorld<'a> {
    /// The API server's version, `1.36.3`: `.Capabilities.KubeVersion`.
    pub kube_version: &'a str,
    /// `group/version` and `group/version/Kind` of everything the API server serves, and of the custom resources whose
    /// definitions come earlier in the same plan: `.Capabilities.APIVersions`.
    pub api_versions: &'a BTreeSet<String>,
    /// The scope of a kind; `None` where discovery does not know it.
    pub scope: &'a (dyn Fn(&Gvk) -> Option<Scope> + Sync),
    /// How YAML is read.
    pub read: ReadManifests,
}

/// What to render.
#[derive(Debug, Clone, Copy)]
pub struct RenderRequest<'a> {
    /// The release.
    pub release: &'a ReleaseId,
    /// Its chart.
    pub chart: &'a LocalChart,
    /// Its values.
    pub values: &'a Value,
    /// Whether the release is there already: `.Release.IsUpgrade`.
    pub exists: Exists,
    /// Whether the values inside Secrets are wanted.
    pub secrets: SecretValues,
}

/// Whether a release is there already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exists {
    /// It is: an upgrade is rendered.
    Yes,
    /// It is not: an install is rendered.
    No,
}

/// Whether the values inside rendered Secrets are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretValues {
    /// They are replaced by an empty string; the render may come from our cache.
    Withheld,
    /// They are as the chart makes them, for a server-side dry-run of that Secret. Such a render is never cached.
    Shown,
}

/// What a release would apply.
///
/// `Debug` shows ids only: a manifest may hold what a chart made of its values.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Rendered {
    /// Objects that helm manages, as it applies them: with the namespace filled in and with helm's own label and annotations,
    /// sorted by id.
    pub objects: Vec<(ObjectId, Value)>,
    /// Objects of the chart's `crds/` folder: helm makes them at the first install, and never changes or deletes them.
    pub crds: Vec<(ObjectId, Value)>,
    /// Objects that helm makes at certain moments and forgets; no drift is looked for in them.
    pub hooks: Vec<Hook>,
    /// Kinds that neither discovery nor a definition in the chart knows; they were taken for namespaced.
    pub assumed_namespaced: BTreeSet<Gvk>,
    /// Whether Secrets are in it.
    pub has_secrets: bool,
    /// How far it is what helm would apply.
    pub stability: Stability,
    /// Over `objects` and `crds` without the values of Secrets and without unstable objects, for comparing two renders; a
    /// release's own digest is over its inputs.
    pub digest: Digest,
}

/// An object that helm makes at certain moments.
#[derive(Clone, PartialEq, Serialize, Deserialize)]
pub struct Hook {
    /// Which it is.
    pub id: ObjectId,
    /// When: `pre-install`, `post-upgrade`, …
    pub events: Vec<String>,
    /// The manifest.
    pub manifest: Value,
}

impl std::fmt::Debug for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} at {}", self.id, self.events.join(", "))
    }
}

impl std::fmt::Debug for Rendered {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let ids = |list: &[(ObjectId, Value)]| list.iter().map(|(id, _)| id.to_string()).collect::<Vec<_>>();
        f.debug_struct("Rendered")
            .field("objects", &ids(&self.objects))
            .field("crds", &ids(&self.crds))
            .field("hooks", &self.hooks)
            .field("stability", &self.stability)
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Helm {
    /// Renders a release, or takes the render from the cache.
    ///
    /// # Errors
    /// [`HelmError::Render`] with the template and position where helm says them, [`HelmError::Manifest`], and those of any
    /// call.
    pub async fn render(
        &self,
        request: RenderRequest<'_>,
        world: RenderWorld<'_>,
        cache: &RenderCache,
    ) -> Result<Rendered, HelmError> {
        let key = cache.key(self.version(), &request, &world);
        if let Some(rendered) = cache.get(&key, request.secrets) {
            return Ok(rendered);
        }
        let stability = stability::scan(&request.chart.path, request.values)?;
        let mut rendered = self.render_once(&request, &world).await?;
        rendered.stability = stability;
        if rendered.stability.is_doubtful() {
            let again = self.render_once(&request, &world).await?;
            rendered.stability.unstable = differing(&rendered, &again);
        }
        let mut withheld = rendered.clone().withhold();
        withheld.digest = digest(&withheld);
        rendered.digest = withheld.digest.clone();
        cache.put(&key, &withheld);
        Ok(match request.secrets {
            SecretValues::Withheld => withheld,
            SecretValues::Shown => rendered,
        })
    }

    async fn render_once(&self, request: &RenderRequest<'_>, world: &RenderWorld<'_>) -> Result<Rendered, HelmError> {
        let values = self.write_values(request.values)?;
        let mut args: Vec<OsString> = vec!["template".into(), request.release.name.clone().into()];
        args.push(request.chart.path.clone().into_os_string());
        args.extend(["--namespace".into(), request.release.namespace.clone().into()]);
        args.extend(["--values".into(), values.path().into()]);
        // Definitions in crds/ are part of what an install makes; tests are not.
        args.extend(["--include-crds".into(), "--skip-tests".into()]);
        args.extend(["--kube-version".into(), world.kube_version.into()]);
        // An argument may be 128 KiB long; 64 names of at most 400 bytes stay well below.
        let api_versions: Vec<&str> = world.api_versions.iter().map(String::as_str).collect();
        for some in api_versions.chunks(64) {
            args.extend(["--api-versions".into(), some.join(",").into()]);
        }
        if request.exists == Exists::Yes {
            args.push("--is-upgrade".into());
        }
        let call = Call {
            what: format!("render release {}", request.release),
            args,
            started: Started::ReadOnly,
            deadline: self.deadline(),
            cluster: None,
            cache: None,
        };
        let chart = &request.chart.reference;
        let printed = match self.run(call).await {
            Ok(printed) => printed,
            Err(HelmError::Failed { stderr, .. }) => {
                // Advice about a flag that the reader of this error has no way to give.
                let useful = |line: &&str| !line.starts_with("Use --debug flag");
                let stderr = stderr.lines().filter(useful).collect::<Vec<_>>().join("\n");
                return Err(HelmError::Render { chart: chart.clone(), at: position(&stderr), stderr });
            }
            Err(error) => return Err(error),
        };
        let text = String::from_utf8(printed.stdout).map_err(|_| HelmError::Manifest {
            chart: chart.clone(),
            template: "its output".into(),
            problem: "it is not UTF-8".into(),
        })?;
        sort_out(&text, request, world)
    }
}

impl Rendered {
    /// Empties the values of Secrets; their keys stay.
    fn withhold(mut self) -> Self {
        let objects = self.objects.iter_mut().map(|(id, manifest)| (&*id, manifest));
        let hooks = self.hooks.iter_mut().map(|hook| (&hook.id, &mut hook.manifest));
        for (_, manifest) in objects.chain(hooks).filter(|(id, _)| is_secret(id)) {
            for field in ["data", "stringData"] {
                if let Some(map) = manifest.get_mut(field).and_then(Value::as_object_mut) {
                    map.values_mut().for_each(|value| *value = Value::String(String::new()));
                }
            }
        }
        self
    }
}

fn is_secret(id: &ObjectId) -> bool {
    id.gvk.group.is_empty() && id.gvk.kind == "Secret"
}

/// One YAML document of helm's output, and the file of the chart that it comes from.
struct Document<'a> {
    template: &'a str,
    text: &'a str,
}

/// Cuts helm's output into documents. A `---` at the start of a line always ends a document in YAML, whatever it is in.
fn documents(text: &str) -> Vec<Document<'_>> {
    let mut starts = vec![0];
    let mut offset = 0;
    for line in text.split_inclusive('\n') {
        if line.strip_prefix("---").is_some_and(|rest| rest.trim_start().len() < rest.len() || rest.is_empty()) {
            starts.push(offset);
        }
        offset += line.len();
    }
    starts.push(text.len());
    let mut template = "";
    let mut documents = Vec::new();
    for pair in starts.windows(2) {
        let text = &text[pair[0]..pair[1]];
        // A file of crds/ is printed whole, with one such line for all of its documents.
        if let Some(source) = text.lines().take(2).find_map(|line| line.strip_prefix("# Source: ")) {
            template = source.trim();
        }
        if !text.trim().is_empty() {
            documents.push(Document { template, text });
        }
    }
    documents
}

/// Sorts what helm printed into objects, definitions and hooks.
fn sort_out(text: &str, request: &RenderRequest<'_>, world: &RenderWorld<'_>) -> Result<Rendered, HelmError> {
    let bad = |template: &str, problem: String| HelmError::Manifest {
        chart: request.chart.reference.clone(),
        template: template.to_owned(),
        problem,
    };
    let mut manifests = Vec::new();
    for document in documents(text) {
        let values = (world.read)(document.text).map_err(|problem| bad(document.template, problem))?;
        for value in values {
            flatten(value, document.template, &mut manifests);
        }
    }
    let defined: BTreeMap<Gvk, Scope> = manifests.iter().flat_map(|(_, value)| definitions(value)).collect();
    let mut assumed = BTreeSet::new();
    let mut objects = BTreeMap::new();
    let mut crds = BTreeMap::new();
    let mut hooks = Vec::new();
    for (template, mut manifest) in manifests {
        let gvk = gvk_of(&manifest).map_err(|problem| bad(template, problem))?;
        let scope = (world.scope)(&gvk).or_else(|| defined.get(&gvk).copied()).unwrap_or_else(|| {
            assumed.insert(gvk.clone());
            Scope::Namespaced
        });
        let id = identify(gvk, scope, &mut manifest, request.release).map_err(|problem| bad(template, problem))?;
        if let Some(events) = manifest.pointer("/metadata/annotations/helm.sh~1hook").and_then(Value::as_str) {
            let events = events.split(',').map(|event| event.trim().to_owned()).collect();
            hooks.push(Hook { id, events, manifest });
            continue;
        }
        let known = if is_definition_file(template) {
            crds.insert(id.clone(), manifest)
        } else {
            render_marks(&mut manifest, request.release);
            objects.insert(id.clone(), manifest)
        };
        if known.is_some() {
            return Err(bad(template, format!("{id} is there twice")));
        }
    }
    let has_secrets = objects.keys().chain(hooks.iter().map(|hook| &hook.id)).any(is_secret);
    Ok(Rendered {
        objects: objects.into_iter().collect(),
        crds: crds.into_iter().collect(),
        hooks,
        assumed_namespaced: assumed,
        has_secrets,
        stability: Stability::default(),
        digest: Digest(String::new()),
    })
}

/// `chart/crds/x.yaml` and `chart/charts/sub/crds/x.yaml`, and not `chart/templates/crds/x.yaml`.
fn is_definition_file(template: &str) -> bool {
    let mut folders = template.split('/').skip(1);
    while let Some(folder) = folders.next() {
        match folder {
            "crds" => return true,
            "charts" => folders.next(),
            _ => return false,
        };
    }
    false
}

/// A `List` is its items; an empty document is nothing.
fn flatten<'a>(value: Value, template: &'a str, manifests: &mut Vec<(&'a str, Value)>) {
    match value {
        Value::Null => {}
        Value::Object(mut map)
            if map.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"))
                && map.get("items").is_some_and(Value::is_array) =>
        {
            if let Some(Value::Array(items)) = map.remove("items") {
                items.into_iter().for_each(|item| flatten(item, template, manifests));
            }
        }
        other => manifests.push((template, other)),
    }
}

/// The kinds that a CustomResourceDefinition brings.
fn definitions(manifest: &Value) -> Vec<(Gvk, Scope)> {
    let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str);
    if text("/kind") != Some("CustomResourceDefinition") {
        return Vec::new();
    }
    let (Some(group), Some(kind)) = (text("/spec/group"), text("/spec/names/kind")) else { return Vec::new() };
    let scope = if text("/spec/scope") == Some("Cluster") { Scope::Cluster } else { Scope::Namespaced };
    let versions = manifest.pointer("/spec/versions").and_then(Value::as_array).into_iter().flatten();
    versions
        .filter_map(|version| version.get("name")?.as_str())
        .map(|version| (Gvk { group: group.into(), version: version.into(), kind: kind.into() }, scope))
        .collect()
}

fn gvk_of(manifest: &Value) -> Result<Gvk, String> {
    let text = |field: &str| manifest.get(field).and_then(Value::as_str).filter(|text| !text.is_empty());
    match (text("apiVersion"), text("kind")) {
        (Some(api_version), Some(kind)) => Ok(Gvk::new(api_version, kind)),
        _ => Err("it has no apiVersion and kind".into()),
    }
}

/// The object's id; puts the namespace that helm would use into the manifest.
fn identify(gvk: Gvk, scope: Scope, manifest: &mut Value, release: &ReleaseId) -> Result<ObjectId, String> {
    let metadata = manifest
        .get_mut("metadata")
        .and_then(Value::as_object_mut)
        .ok_or_else(|| format!("a {} has no metadata", gvk.kind))?;
    let name = match metadata.get("name").and_then(Value::as_str) {
        Some(name) if !name.is_empty() => name.to_owned(),
        _ => return Err(format!("a {} has no metadata.name", gvk.kind)),
    };
    let namespace = match scope {
        Scope::Cluster => {
            metadata.remove("namespace");
            None
        }
        Scope::Namespaced => {
            let written = metadata.get("namespace").and_then(Value::as_str).filter(|text| !text.is_empty());
            let namespace = written.unwrap_or(&release.namespace).to_owned();
            metadata.insert("namespace".into(), Value::String(namespace.clone()));
            Some(namespace)
        }
    };
    Ok(ObjectId { gvk, namespace, name })
}

/// The objects and hooks that are not the same in two renders.
fn differing(one: &Rendered, two: &Rendered) -> Vec<ObjectId> {
    let all = |rendered: &Rendered| -> BTreeMap<ObjectId, Value> {
        let hooks = rendered.hooks.iter().map(|hook| (hook.id.clone(), hook.manifest.clone()));
        rendered.objects.iter().chain(&rendered.crds).cloned().chain(hooks).collect()
    };
    let (one, two) = (all(one), all(two));
    let ids: BTreeSet<&ObjectId> = one.keys().chain(two.keys()).collect();
    ids.into_iter().filter(|id| one.get(id) != two.get(id)).cloned().collect()
}

fn digest(rendered: &Rendered) -> Digest {
    let unstable: BTreeSet<&ObjectId> = rendered.stability.unstable.iter().collect();
    let list = rendered.objects.iter().chain(&rendered.crds).map(|(id, manifest)| {
        let manifest = if unstable.contains(id) { &Value::Null } else { manifest };
        serde_json::json!([id.to_string(), manifest])
    });
    Digest::of_json(&list.collect())
}

/// Finds `chart/templates/x.yaml:12:5` in what helm says.
fn position(stderr: &str) -> Option<String> {
    stderr.split(|c: char| c.is_whitespace() || matches!(c, '(' | ')' | '"' | '\'' | '<' | '>')).find_map(|word| {
        let word = word.trim_end_matches([':', ',']);
        let (path, _) = word.split_once(':').unwrap_or((word, ""));
        (path.contains("/templates/") || path.contains("/crds/")).then(|| word.to_owned())
    })
}

#[cfg(test)]
#[path = "render_tests.rs"]
mod tests;

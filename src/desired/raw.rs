//! Raw manifests: from files, and written in the blueprint.

use serde_json::Value;

use super::collect::{Collector, Draft};
use super::known::{self, Head, Known, KnownManifest};
use super::manifest::Manifest;
use super::scope::{Scope, Scopes};
use super::state::{DesiredObject, Origin};
use crate::blueprint::schema::ObjectSource;
use crate::blueprint::{
    Files, Position, Problem, Problems, expand, in_manifest, is_dns_label, is_dns_subdomain, is_glob, join,
    read_manifests, steps,
};
use crate::id::{Digest, Gvk, ObjectId};
use crate::parallel;

/// A manifest before it has its place: what names it, and what is wrong with it by itself.
struct Raw {
    manifest: Manifest,
    examined: Result<(Head, Vec<Problem>), Box<Problem>>,
    at: Position,
    path: String,
    /// Whether its file was read before and nothing was found.
    checked: bool,
}

pub(super) fn collect(collector: &mut Collector<'_>, files: &dyn Files) {
    let mut raws = Vec::new();
    let mut known = Known::recall(files);
    for (index, source) in collector.loaded.blueprint.objects.iter().enumerate() {
        let at = collector.loaded.at(steps!["objects", index]).clone();
        let path = collector.loaded.show(steps!["objects", index]);
        match source {
            ObjectSource::Files(pattern) => {
                let texts = texts(collector, files, pattern, &at);
                raws.extend(from_files(collector, texts, &path, &mut known));
            }
            ObjectSource::Inline(map) => {
                // A null in place is what an overlay removed, or the same as leaving the field out.
                let manifest =
                    without_nulls(Value::Object(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()));
                let examined = examine(&manifest, &at);
                raws.push(Raw { manifest: manifest.into(), examined, at, path, checked: false });
            }
        }
    }
    known.remember(files);
    let mut scopes = Scopes::default();
    raws.iter().filter_map(|raw| raw.manifest.brings()).for_each(|brought| scopes.learn(&brought));
    for raw in raws {
        match draft(raw, &scopes) {
            Ok((draft, problems)) => {
                collector.problems.extend(problems);
                collector.drafts.push(draft);
            }
            Err(problem) => collector.problems.push(*problem),
        }
    }
}

fn without_nulls(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(
            map.into_iter()
                .filter(|(_, value)| !value.is_null())
                .map(|(key, value)| (key, without_nulls(value)))
                .collect(),
        ),
        Value::Array(items) => Value::Array(items.into_iter().map(without_nulls).collect()),
        other => other,
    }
}

/// The files that a pattern names, each with its text.
fn texts(collector: &mut Collector<'_>, files: &dyn Files, written: &str, at: &Position) -> Vec<(String, String)> {
    let mut refuse = |message: String, hint: &str| collector.problems.push(Problem::error(at, message).hint(hint));
    if written.contains("://") {
        refuse(
            "objects are read from files, not from the network".into(),
            "download the file, review it, and keep it beside the blueprint",
        );
        return Vec::new();
    }
    let pattern = join(&at.file, written);
    let paths = if is_glob(&pattern) {
        match expand(files, &pattern) {
            Ok(paths) if paths.is_empty() => {
                refuse(format!("no file matches {pattern}"), "paths are relative to the blueprint file");
                return Vec::new();
            }
            Ok(paths) => paths,
            Err(error) => {
                refuse(
                    format!("the folders of {pattern} could not be read: {error}"),
                    "paths are relative to the blueprint file",
                );
                return Vec::new();
            }
        }
    } else {
        vec![pattern]
    };
    let mut texts = Vec::new();
    for path in paths {
        match files.read(&path) {
            Ok(text) => texts.push((path, text)),
            Err(error) => {
                let problem = Problem::error(at, format!("the file {path} could not be read: {error}"));
                collector
                    .problems
                    .push(problem.hint("paths are relative to the blueprint file; for a folder write folder/*.yaml"));
            }
        }
    }
    texts
}

/// A file that was not read before.
type Read = Result<Vec<(Manifest, Result<(Head, Vec<Problem>), Box<Problem>>, Position)>, Problems>;

/// The manifests of files: of those that were read before, what is known of them; the others are read on all processors.
fn from_files(collector: &mut Collector<'_>, texts: Vec<(String, String)>, path: &str, known: &mut Known) -> Vec<Raw> {
    let read = |(path, text): &(String, String)| -> (Digest, Option<Read>) {
        let digest = Digest::of_bytes(text.as_bytes());
        let read = known.find(&digest).is_none().then(|| {
            let manifests = read_manifests(text, path)?.into_iter().map(|(manifest, at)| {
                let examined = examine(&manifest, &at);
                let manifest = Manifest::from(manifest);
                manifest.digest();
                (manifest, examined, at)
            });
            Ok(manifests.collect())
        });
        (digest, read)
    };
    let all = parallel::map(&texts, |(_, text)| text.len(), read);
    let mut raws = Vec::new();
    for ((file, text), (digest, read)) in texts.into_iter().zip(all) {
        let size = text.len();
        match read {
            None => {
                let found = known.find(&digest).cloned().unwrap_or_default();
                known.note(digest, size, found.clone());
                raws.extend(known::manifests(&file, text, found).into_iter().map(|(manifest, head, at)| Raw {
                    manifest,
                    examined: Ok((head, Vec::new())),
                    at,
                    path: path.to_owned(),
                    checked: true,
                }));
            }
            Some(Ok(manifests)) => {
                let clean: Option<Vec<KnownManifest>> = manifests
                    .iter()
                    .map(|(manifest, examined, at)| match examined {
                        Ok((head, problems)) if problems.is_empty() && !limits_gpus(manifest) => Some(KnownManifest {
                            head: head.clone(),
                            digest: manifest.digest().clone(),
                            brings: manifest.brings(),
                            line: at.line,
                            column: at.column,
                        }),
                        Ok(_) | Err(_) => None,
                    })
                    .collect();
                if let Some(clean) = clean {
                    known.note(digest, size, clean);
                }
                raws.extend(manifests.into_iter().map(|(manifest, examined, at)| Raw {
                    manifest,
                    examined,
                    at,
                    path: path.to_owned(),
                    checked: false,
                }));
            }
            Some(Err(problems)) => collector.problems.extend(problems.into_vec()),
        }
    }
    raws
}

/// A name that the API server refuses.
fn bad_name(gvk: &Gvk, name: &str, at: &Position) -> Option<Problem> {
    let (good, expected) = match (gvk.group.as_str(), gvk.kind.as_str()) {
        // RBAC names are path segments: `system:node`.
        ("rbac.authorization.k8s.io", _) => (!name.contains(['/', '%']), "no / and no %"),
        ("", "Namespace" | "Service") => (is_dns_label(name), "a DNS label"),
        (_, _) => (is_dns_subdomain(name), "a DNS name in lower case"),
    };
    (!good).then(|| {
        Problem::error(at, format!("`{name}` cannot be the name of a {}: expected {expected}", gvk.group_kind()))
    })
}

/// Labels and annotations are strings; YAML 1.1 makes booleans of `on` and `no`, and numbers of digits.
fn bad_metadata(manifest: &Value, at: &Position) -> Vec<Problem> {
    let mut problems = Vec::new();
    for key in ["labels", "annotations"] {
        let entries = manifest["metadata"][key].as_object();
        for (name, value) in entries.into_iter().flatten().filter(|(_, value)| !value.is_string()) {
            let message = format!("metadata.{key}[\"{name}\"] is {value} to a YAML 1.1 reader, and has to be a string");
            problems.push(Problem::error(at, message).hint("put the value in quotes"));
        }
    }
    problems
}

/// Whether a manifest is a LimitRange with GPUs in it.
pub(super) fn limits_gpus(manifest: &Value) -> bool {
    let is_gpu = |key: &String| key.contains('/') && (key.contains("gpu") || key.contains("nvidia.com"));
    manifest["kind"] == "LimitRange"
        && manifest["apiVersion"] == "v1"
        && manifest["spec"]["limits"]
            .as_array()
            .into_iter()
            .flatten()
            .filter_map(Value::as_object)
            .flat_map(|limit| limit.values())
            .filter_map(Value::as_object)
            .any(|amounts| amounts.keys().any(is_gpu))
}

/// What names a manifest's object, and everything that is wrong with it by itself.
fn examine(manifest: &Value, at: &Position) -> Result<(Head, Vec<Problem>), Box<Problem>> {
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let missing = |key: &str| Box::new(Problem::error(at, format!("the manifest has no `{key}`")));
    let api_version = text(&manifest["apiVersion"]).ok_or_else(|| missing("apiVersion"))?;
    let kind = text(&manifest["kind"]).ok_or_else(|| missing("kind"))?;
    let Some(name) = text(&manifest["metadata"]["name"]) else {
        let problem = missing("metadata.name");
        let generated = text(&manifest["metadata"]["generateName"]).is_some();
        return Err(if generated {
            Box::new(problem.hint("`generateName` makes a new object each time; give it a name"))
        } else {
            problem
        });
    };
    let namespace = text(&manifest["metadata"]["namespace"]);
    let mut problems: Vec<Problem> = in_manifest(manifest, at).into_iter().collect();
    problems.extend(bad_name(&Gvk::new(&api_version, &kind), &name, at));
    problems.extend(bad_metadata(manifest, at));
    Ok((Head { api_version, kind, namespace, name }, problems))
}

/// Gives a manifest the namespace that it means.
fn draft(raw: Raw, scopes: &Scopes) -> Result<(Draft, Vec<Problem>), Box<Problem>> {
    let Raw { mut manifest, examined, at, path, checked } = raw;
    let (Head { api_version, kind, mut namespace, name }, mut problems) = examined?;
    let gvk = Gvk::new(&api_version, &kind);
    match (scopes.of(&gvk.group_kind()), &namespace) {
        (Some(Scope::Cluster), Some(written)) => {
            let message = format!("{} has no namespace; `{written}` is ignored", gvk.group_kind());
            problems.push(Problem::warning(&at, message).hint("remove `metadata.namespace`"));
            if let Some(metadata) = manifest.value_mut()["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
            namespace = None;
        }
        (Some(Scope::Namespaced), None) => {
            manifest.value_mut()["metadata"]["namespace"] = "default".into();
            namespace = Some("default".into());
        }
        (Some(Scope::Cluster), None) | (Some(Scope::Namespaced), Some(_)) | (None, _) => {}
    }
    let id = ObjectId { gvk, namespace, name };
    let origin = Origin { path, at: Some(at.to_string()) };
    Ok((Draft { object: DesiredObject { id, manifest, secrets: Vec::new(), origin }, at, checked }, problems))
}

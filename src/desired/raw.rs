//! Raw manifests: from files, and written in the blueprint.

use serde_json::Value;

use super::collect::{Collector, Draft};
use super::scope::{Scope, Scopes};
use super::state::{DesiredObject, Origin};
use crate::blueprint::schema::ObjectSource;
use crate::blueprint::{
    Files, Position, Problem, expand, in_manifest, is_dns_label, is_dns_subdomain, is_glob, join, read_all_manifests,
    steps,
};
use crate::id::{Gvk, ObjectId};

struct Raw {
    manifest: Value,
    at: Position,
    path: String,
}

pub(super) fn collect(collector: &mut Collector<'_>, files: &dyn Files) {
    let mut raws = Vec::new();
    for (index, source) in collector.loaded.blueprint.objects.iter().enumerate() {
        let at = collector.loaded.at(steps!["objects", index]).clone();
        let path = collector.loaded.show(steps!["objects", index]);
        match source {
            ObjectSource::Files(pattern) => {
                for (manifest, place) in from_files(collector, files, pattern, &at) {
                    raws.push(Raw { manifest, at: place, path: path.clone() });
                }
            }
            ObjectSource::Inline(map) => {
                // A null in place is what an overlay removed, or the same as leaving the field out.
                let manifest =
                    without_nulls(Value::Object(map.iter().map(|(key, value)| (key.clone(), value.clone())).collect()));
                raws.push(Raw { manifest, at, path });
            }
        }
    }
    let mut scopes = Scopes::default();
    raws.iter().for_each(|raw| scopes.learn(&raw.manifest));
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

fn from_files(
    collector: &mut Collector<'_>,
    files: &dyn Files,
    written: &str,
    at: &Position,
) -> Vec<(Value, Position)> {
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
    let mut manifests = Vec::new();
    for read in read_all_manifests(&texts) {
        match read {
            Ok(found) => manifests.extend(found),
            Err(problems) => collector.problems.extend(problems.into_vec()),
        }
    }
    manifests
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

/// Checks a manifest's identity and gives it the namespace that it means.
fn draft(raw: Raw, scopes: &Scopes) -> Result<(Draft, Vec<Problem>), Box<Problem>> {
    let Raw { mut manifest, at, path } = raw;
    let text = |value: &Value| value.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
    let missing = |key: &str| Box::new(Problem::error(&at, format!("the manifest has no `{key}`")));
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
    let mut namespace = text(&manifest["metadata"]["namespace"]);
    let mut problems: Vec<Problem> = in_manifest(&manifest, &at).into_iter().collect();
    let gvk = Gvk::new(&api_version, &kind);
    problems.extend(bad_name(&gvk, &name, &at));
    problems.extend(bad_metadata(&manifest, &at));
    match (scopes.of(&gvk.group_kind()), &namespace) {
        (Some(Scope::Cluster), Some(written)) => {
            let message = format!("{} has no namespace; `{written}` is ignored", gvk.group_kind());
            problems.push(Problem::warning(&at, message).hint("remove `metadata.namespace`"));
            if let Some(metadata) = manifest["metadata"].as_object_mut() {
                metadata.remove("namespace");
            }
            namespace = None;
        }
        (Some(Scope::Namespaced), None) => {
            manifest["metadata"]["namespace"] = "default".into();
            namespace = Some("default".into());
        }
        (Some(Scope::Cluster), None) | (Some(Scope::Namespaced), Some(_)) | (None, _) => {}
    }
    let id = ObjectId { gvk, namespace, name };
    let origin = Origin { path, at: Some(at.to_string()) };
    Ok((Draft { object: DesiredObject { id, manifest, secrets: Vec::new(), origin }, at }, problems))
}

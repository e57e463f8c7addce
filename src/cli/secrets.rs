//! Follows the references of secrets: environment, files, commands, other Secrets. Values go into [`SecretValues`] and
//! nowhere else.

use std::{collections::BTreeMap, collections::BTreeSet, process::Stdio, time::Duration};

use base64::Engine as _;

use super::environment::Environment;
use crate::{
    cluster::{Cluster, Discovery},
    desired::{Desired, SecretReference},
    id::{Gvk, ObjectId},
    live::{SecretError, SecretValue, SecretValues},
};

/// A command that prints a secret asks a password manager or a cloud: seconds; a prompt that nobody answers would hang.
const COMMAND_DEADLINE: Duration = Duration::from_secs(60);

/// Follows all references of a blueprint.
///
/// # Errors
/// Every reference that gives no value, at once; values are never in the messages.
pub async fn resolve(
    desired: &Desired,
    environment: &Environment,
    cluster: Option<(&Cluster, &Discovery)>,
) -> Result<SecretValues, Vec<(String, SecretError)>> {
    let mut wanted: BTreeMap<SecretReference, String> = BTreeMap::new();
    let mut made: BTreeSet<String> = BTreeSet::new();
    for object in &desired.objects {
        if object.id.gvk.kind == "Secret" {
            made.insert(format!("{}/{}", object.id.namespace.as_deref().unwrap_or_default(), object.id.name));
        }
        for slot in &object.secrets {
            wanted
                .entry(slot.from.clone())
                .or_insert_with(|| object.origin.at.clone().unwrap_or_else(|| object.id.to_string()));
        }
    }
    if let Some(launch) = &desired.launch {
        wanted.entry(launch.service.api_key.clone()).or_insert_with(|| "launch.apiKey".to_owned());
        if let Some(from) = &launch.service.ca {
            wanted.entry(from.clone()).or_insert_with(|| "launch.caBundle".to_owned());
        }
    }
    let mut values = BTreeMap::new();
    let mut errors = Vec::new();
    for (reference, at) in wanted {
        let outcome = match &reference {
            // A rehearsal needs no real secret, and nothing of this machine is to end up in a cluster that is played.
            _ if environment.rehearsal.is_some() => Ok(b"a stand-in of the rehearsal".to_vec()),
            SecretReference::Env(name) => {
                environment.get(name).map(String::into_bytes).ok_or_else(|| "it is not set, or empty".to_owned())
            }
            SecretReference::File(path) => {
                std::fs::read(environment.expand(path)).map(without_newline).map_err(|error| error.to_string())
            }
            SecretReference::Command(words) => command(words).await,
            SecretReference::Secret(path) => match cluster {
                Some((cluster, discovery)) => from_cluster(path, "Secret", (cluster, discovery)).await,
                None => Err("there is no cluster yet that could hold it".into()),
            },
            SecretReference::ConfigMap(path) => match cluster {
                Some((cluster, discovery)) => match from_cluster(path, "ConfigMap", (cluster, discovery)).await {
                    Ok(bytes) => Ok(bytes),
                    // Somebody else brings it; until then W&B is not trusted, and the plan says that it could not be asked.
                    Err(_) => continue,
                },
                None => continue,
            },
        };
        let is_bundle = desired.launch.as_ref().is_some_and(|launch| launch.service.ca.as_ref() == Some(&reference));
        let outcome = outcome.and_then(|bytes| match is_bundle && environment.rehearsal.is_none() {
            true => crate::wandb::certificates(&bytes).map(|_| bytes),
            false => Ok(bytes),
        });
        match outcome {
            Ok(bytes) => {
                values.insert(reference, SecretValue::new(bytes));
            }
            Err(why) => errors.push((at, SecretError { reference: reference.to_string(), why })),
        }
    }
    if errors.is_empty() { Ok(SecretValues::new(values)) } else { Err(errors) }
}

fn without_newline(mut bytes: Vec<u8>) -> Vec<u8> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
        if bytes.last() == Some(&b'\r') {
            bytes.pop();
        }
    }
    bytes
}

async fn command(words: &[String]) -> Result<Vec<u8>, String> {
    let Some((program, arguments)) = words.split_first() else { return Err("the command is empty".into()) };
    let child = tokio::process::Command::new(program)
        .args(arguments)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        // What it says on standard error may hold the secret; it is not shown.
        .stderr(Stdio::null())
        .kill_on_drop(true)
        .spawn()
        .map_err(|error| format!("it cannot be started: {error}"))?;
    let output = tokio::time::timeout(COMMAND_DEADLINE, child.wait_with_output())
        .await
        .map_err(|_| format!("it did not end within {} s", COMMAND_DEADLINE.as_secs()))?
        .map_err(|error| error.to_string())?;
    if !output.status.success() {
        return Err(format!("it failed with {}", output.status));
    }
    let value = without_newline(output.stdout);
    if value.is_empty() { Err("it printed nothing".into()) } else { Ok(value) }
}

async fn from_cluster(path: &str, kind: &str, (cluster, discovery): (&Cluster, &Discovery)) -> Result<Vec<u8>, String> {
    let parts: Vec<&str> = path.split('/').collect();
    let [namespace, name, key] = parts[..] else { return Err("it is not namespace/name/key".into()) };
    let gvk = Gvk::new("v1", kind);
    let resource = discovery.find(&gvk).ok_or_else(|| format!("the cluster has no kind {kind}"))?;
    let id = ObjectId { gvk, namespace: Some(namespace.into()), name: name.into() };
    let found = cluster.get(resource, &id).await.map_err(|error| error.words())?;
    let found = found.ok_or_else(|| format!("there is no such {kind}"))?;
    let text = found["data"][key].as_str().ok_or_else(|| format!("the {kind} has no such key"))?;
    match kind {
        "Secret" => {
            base64::engine::general_purpose::STANDARD.decode(text).map_err(|_| "its value is not base64".to_owned())
        }
        _ => Ok(text.as_bytes().to_vec()),
    }
}

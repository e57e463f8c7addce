//! What the pods of a queue's jobs mount is there: ConfigMaps and Secrets with their keys, claims. Without one a pod is made, waits on
//! its node for ever, and W&B shows nothing of it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::few;
use super::secrets::KeysOnly;
use crate::desired::{Desired, DesiredQueue, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for queue in desired.launch.iter().flat_map(|launch| &launch.queues) {
        let parts = parts(&queue.job["spec"]["template"]["spec"]);
        if !parts.is_empty() {
            checks.push(Arc::new(Mounts { queue: queue.clone(), parts }));
        }
    }
}

/// Plural and name, with the keys that must be in it.
type Parts = BTreeMap<(&'static str, String), BTreeSet<String>>;

/// Everything that a pod names and does not start without.
fn parts(pod: &Value) -> Parts {
    let mut found = Parts::new();
    let mut add = |plural: &'static str, name: &Value, keys: Vec<&Value>| {
        if let Some(name) = name.as_str() {
            let keys = keys.into_iter().filter_map(Value::as_str).map(str::to_owned);
            found.entry((plural, name.to_owned())).or_default().extend(keys);
        }
    };
    let list = |value: &'static str| pod[value].as_array().into_iter().flatten();
    for volume in list("volumes") {
        let items = |source: &Value| -> Vec<Value> {
            source["items"].as_array().into_iter().flatten().map(|item| item["key"].clone()).collect()
        };
        for (source, name, plural) in [("configMap", "name", "configmaps"), ("secret", "secretName", "secrets")] {
            let source = &volume[source];
            if source["optional"] != true {
                add(plural, &source[name], items(source).iter().collect());
            }
        }
        add("persistentvolumeclaims", &volume["persistentVolumeClaim"]["claimName"], Vec::new());
    }
    for container in list("containers").chain(list("initContainers")) {
        for variable in container["env"].as_array().into_iter().flatten() {
            for (source, plural) in [("configMapKeyRef", "configmaps"), ("secretKeyRef", "secrets")] {
                let source = &variable["valueFrom"][source];
                if source["optional"] != true {
                    add(plural, &source["name"], vec![&source["key"]]);
                }
            }
        }
    }
    found
}

struct Mounts {
    queue: DesiredQueue,
    parts: Parts,
}

#[async_trait]
impl Check for Mounts {
    fn id(&self) -> CheckId {
        CheckId::about("launch.mounts", &self.queue.name)
    }

    fn title(&self) -> String {
        format!("what jobs of queue {} mount is there", self.queue.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.queue.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.look(cx).await.unwrap_or_else(Outcome::from)
    }
}

impl Mounts {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let mut faults = Vec::new();
        for ((plural, name), wanted) in &self.parts {
            let path = format!("/api/v1/namespaces/{}/{plural}/{name}", self.queue.namespace);
            match cx.api().find::<KeysOnly>(&path).await? {
                None => faults.push(format!("there is no {}", said(plural, name))),
                Some(found) => {
                    let missing: Vec<&String> = wanted.iter().filter(|key| !found.has(key)).collect();
                    faults.extend(missing.iter().map(|key| format!("{} has no key {key}", said(plural, name))));
                }
            }
        }
        let wanted = "ConfigMaps, Secrets with their keys, and claims";
        let source = format!("GET of each in {}, keys only", self.queue.namespace);
        Ok(if faults.is_empty() {
            Outcome::pass(Evidence::new(
                format!("{} of {} are there", self.parts.len(), self.parts.len()),
                wanted,
                source,
            ))
        } else {
            let evidence = Evidence::new(few(&faults), wanted, source).with(json!({"faults": faults}));
            Outcome::fail(
                evidence,
                "wbk-infra apply makes what the blueprint has; what somebody else keeps, ask of them",
            )
        })
    }
}

fn said(plural: &str, name: &str) -> String {
    let kind = match plural {
        "configmaps" => "ConfigMap",
        "secrets" => "Secret",
        _ => "claim",
    };
    format!("{kind} {name}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everything_that_a_pod_does_not_start_without_is_looked_for() {
        let pod = json!({
            "containers": [{"env": [
                {"name": "A", "value": "x"},
                {"name": "B", "valueFrom": {"secretKeyRef": {"name": "s", "key": "b"}}},
                {"name": "C", "valueFrom": {"secretKeyRef": {"name": "other", "key": "c", "optional": true}}},
            ]}],
            "volumes": [
                {"name": "shm", "emptyDir": {}},
                {"name": "ca", "configMap": {"name": "wandb-ca"}},
                {"name": "f", "secret": {"secretName": "s", "items": [{"key": "f", "path": "f"}]}},
                {"name": "d", "persistentVolumeClaim": {"claimName": "data"}},
            ],
        });
        let keys = |plural: &'static str, name: &str| parts(&pod)[&(plural, name.to_owned())].clone();
        assert_eq!(parts(&pod).len(), 3);
        assert_eq!(keys("secrets", "s"), BTreeSet::from(["b".to_owned(), "f".to_owned()]));
        assert!(keys("configmaps", "wandb-ca").is_empty() && keys("persistentvolumeclaims", "data").is_empty());
    }
}

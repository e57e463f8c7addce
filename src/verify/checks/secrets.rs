//! Secrets are present with the right keys, each with a value. No value is kept, compared or printed.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::json;

use super::{namespace, of_kind};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::CheckContext;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for secret in of_kind(desired, "", "Secret") {
        checks.push(Arc::new(Keys { secret: secret.clone() }));
    }
}

struct Keys {
    secret: DesiredObject,
}

#[async_trait]
impl Check for Keys {
    fn id(&self) -> CheckId {
        CheckId::about("secrets.keys", &format!("{}/{}", namespace(&self.secret), self.secret.id.name))
    }

    fn title(&self) -> String {
        format!("secret {}/{} has its keys", namespace(&self.secret), self.secret.id.name)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.secret.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let path = format!("/api/v1/namespaces/{}/secrets/{}", namespace(&self.secret), self.secret.id.name);
        match cx.api().find::<KeysOnly>(&path).await {
            Ok(found) => compare(&wanted_keys(&self.secret), found.as_ref(), &format!("GET {path}, keys only")),
            Err(trouble) => trouble.into(),
        }
    }
}

/// The keys that the blueprint fills, by reference or in the manifest.
fn wanted_keys(secret: &DesiredObject) -> BTreeSet<String> {
    let given = ["/data", "/stringData"].into_iter().filter_map(|at| secret.manifest.pointer(at)?.as_object());
    given.flat_map(serde_json::Map::keys).chain(secret.secrets.iter().map(|slot| &slot.key)).cloned().collect()
}

/// A Secret or ConfigMap as far as checks read it: its keys, and whether each has a value.
#[derive(serde::Deserialize)]
pub(super) struct KeysOnly {
    #[serde(default)]
    data: Option<BTreeMap<String, Filled>>,
}

impl KeysOnly {
    /// Whether it has a key.
    pub(super) fn has(&self, key: &str) -> bool {
        self.data.as_ref().is_some_and(|data| data.contains_key(key))
    }
}

/// Whether a value is there; the value itself is dropped while it is read.
#[derive(Debug, PartialEq, Eq)]
enum Filled {
    Yes,
    No,
}

impl<'de> Deserialize<'de> for Filled {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Peek;
        impl Visitor<'_> for Peek {
            type Value = Filled;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a value")
            }

            fn visit_str<E>(self, value: &str) -> Result<Filled, E> {
                Ok(if value.is_empty() { Filled::No } else { Filled::Yes })
            }

            fn visit_unit<E>(self) -> Result<Filled, E> {
                Ok(Filled::No)
            }
        }
        deserializer.deserialize_any(Peek)
    }
}

fn compare(wanted: &BTreeSet<String>, found: Option<&KeysOnly>, source: &str) -> Outcome {
    let promise = if wanted.is_empty() {
        "the secret is there".to_owned()
    } else {
        format!("keys {}", wanted.iter().cloned().collect::<Vec<_>>().join(", "))
    };
    let hint = "wbk-infra apply fills it from where the blueprint says";
    let Some(found) = found else {
        return Outcome::fail(Evidence::new("no such secret", promise, source), hint);
    };
    let none = BTreeMap::new();
    let data = found.data.as_ref().unwrap_or(&none);
    let missing: Vec<&String> = wanted.iter().filter(|key| !data.contains_key(*key)).collect();
    let empty: Vec<&String> = wanted.iter().filter(|key| data.get(*key) == Some(&Filled::No)).collect();
    let keys: Vec<&String> = data.keys().collect();
    let evidence = |measured: String| {
        Evidence::new(measured, promise.clone(), source).with(json!({"keys": keys, "missing": missing, "empty": empty}))
    };
    match (missing.first(), empty.first()) {
        (None, None) if wanted.is_empty() => Outcome::pass(evidence("it is there".into())),
        (None, None) => {
            Outcome::pass(evidence(format!("there, {} of {} keys with a value", wanted.len(), wanted.len())))
        }
        (Some(key), _) => Outcome::fail(evidence(format!("no key {key}")), hint),
        (None, Some(key)) => Outcome::fail(evidence(format!("key {key} is empty")), hint),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(live: &str) -> Outcome {
        let live: KeysOnly = serde_json::from_str(live).expect("a Secret");
        compare(&BTreeSet::from(["token".to_owned()]), Some(&live), "")
    }

    #[test]
    fn a_filled_key_passes_and_others_are_no_fault() {
        assert!(matches!(judged(r#"{"data": {"token": "czNjcjN0", "more": ""}}"#), Outcome::Pass { .. }));
    }

    #[test]
    fn a_missing_or_empty_key_fails() {
        for live in [r#"{"data": {"other": "eA=="}}"#, r#"{"data": {"token": ""}}"#, r#"{"data": null}"#, "{}"] {
            assert!(matches!(judged(live), Outcome::Fail { .. }), "{live}");
        }
    }

    #[test]
    fn no_value_is_in_the_outcome() {
        let outcome = judged(r#"{"data": {"token": "czNjcjN0"}}"#);
        let all = format!("{outcome:?}{}", serde_json::to_string(&outcome).expect("it serializes"));
        assert!(!all.contains("czNjcjN0") && !all.contains("s3cr3t"));
    }
}

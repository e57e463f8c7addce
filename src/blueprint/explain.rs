//! Says where a value comes from: a line, a default, or a rule that derived it from another.

use serde::Serialize;
use serde_json::Value;

use super::check::{property, resolve};
use super::load::{Loaded, schema};
use super::path::{self, Selector, steps};
use super::problem::Position;
use crate::desired::{derived_labels, derived_taints, pool_spec};

/// A value and why it is what it is.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Explanation {
    /// The path that was asked for.
    pub path: String,
    /// The value in the complete blueprint; null where nothing is set.
    pub value: Value,
    /// Where it comes from.
    pub source: ValueSource,
    /// What the key means, from the language's own documentation.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub meaning: Option<String>,
}

/// Where a value comes from.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum ValueSource {
    /// Somebody wrote it.
    Written {
        /// Where.
        at: Position,
    },
    /// Nobody wrote it.
    Default,
    /// It follows from something else.
    Derived {
        /// How: a sentence for each part.
        because: Vec<String>,
        /// Where that something is written.
        from: Position,
    },
}

impl std::fmt::Display for Explanation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}: {}", self.path, self.value)?;
        match &self.source {
            ValueSource::Written { at } => write!(f, "set at {at}")?,
            ValueSource::Default if self.value.is_null() => f.write_str("not set")?,
            ValueSource::Default => f.write_str("default of the language")?,
            ValueSource::Derived { because, from } => {
                write!(f, "derived, from {from}:")?;
                for reason in because {
                    write!(f, "\n- {reason}")?;
                }
            }
        }
        match &self.meaning {
            Some(meaning) => write!(f, "\n{meaning}"),
            None => Ok(()),
        }
    }
}

/// Why a path cannot be explained.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExplainError {
    /// The text is no path.
    #[error("`{0}` is not a path of a blueprint")]
    NotAPath(String),
    /// A part of the path names nothing.
    #[error("`{part}` is not in `{parent}`")]
    Unknown {
        /// The part.
        part: String,
        /// What it should be in; `the blueprint` at the top.
        parent: String,
        /// What is there, nearest first.
        candidates: Vec<String>,
    },
}

impl Loaded {
    /// Explains a value by its path: `namespaces[wandb-jobs].quota.gpu`, `nodePools[a100].taints`.
    ///
    /// # Errors
    /// The text is no path, or names nothing that the language knows.
    pub fn explain(&self, text: &str) -> Result<Explanation, ExplainError> {
        let selectors = path::parse(text).ok_or_else(|| ExplainError::NotAPath(text.to_owned()))?;
        let complete = self.complete();
        let mut value = Some(&complete);
        let mut node = Some(&self.tree);
        let mut here = schema();
        let root = schema();
        let mut shown = String::new();
        for selector in &selectors {
            let next_value = value.and_then(|value| path::select_json(value, selector));
            here = below(root, here, selector);
            node = node.and_then(|node| path::select(node, selector));
            if next_value.is_none() && node.is_none() && (here.is_null() || matches!(selector, Selector::Bracket(_))) {
                return Err(ExplainError::Unknown {
                    part: selector.text().to_owned(),
                    parent: if shown.is_empty() { "the blueprint".into() } else { shown },
                    candidates: candidates(value, selector.text()),
                });
            }
            value = next_value;
            match selector {
                Selector::Key(key) => shown = path::join_key(&shown, key),
                Selector::Bracket(name) => shown.push_str(&format!("[{name}]")),
            }
        }
        let description = |schema: &Value| schema.get("description").and_then(Value::as_str).map(str::to_owned);
        let meaning = description(here).or_else(|| description(resolve(root, here)));
        let source = self.derived(&selectors).or_else(|| node.map(|node| ValueSource::Written { at: node.at.clone() }));
        Ok(Explanation {
            path: shown,
            value: value.cloned().unwrap_or(Value::Null),
            source: source.unwrap_or(ValueSource::Default),
            meaning,
        })
    }

    /// The blueprint with every default filled and every derived value in its place.
    fn complete(&self) -> Value {
        // A checked blueprint is made of strings, numbers and maps with string keys.
        let mut value = serde_json::to_value(&self.blueprint).unwrap_or(Value::Null);
        for (index, pool) in self.blueprint.node_pools.iter().enumerate() {
            let spec = pool_spec(&self.blueprint, pool);
            let target = &mut value["nodePools"][index];
            target["labels"] = serde_json::to_value(&spec.labels).unwrap_or(Value::Null);
            target["taints"] = serde_json::to_value(&spec.taints).unwrap_or(Value::Null);
            target["size"]["max"] = spec.size.max.into();
            let cpu = super::Cpu { millis: spec.shape.cpu_millis }.to_string();
            let memory = super::Bytes(spec.shape.memory_bytes).to_string();
            target["shape"] = serde_json::json!({"cpu": cpu, "memory": memory, "pods": spec.shape.pods});
        }
        let cluster = crate::desired::cluster_spec(&self.blueprint);
        value["cluster"]["name"] = cluster.name.into();
        if let Some(version) = cluster.version {
            value["cluster"]["version"] = version.into();
        }
        value
    }

    fn derived(&self, selectors: &[Selector]) -> Option<ValueSource> {
        let keys: Vec<&str> = selectors.iter().map(Selector::text).collect();
        let blueprint = &self.blueprint;
        let derived =
            |because: Vec<String>, from: &Position| Some(ValueSource::Derived { because, from: from.clone() });
        match keys.as_slice() {
            ["cluster", "name"] if blueprint.cluster.name.is_none() => {
                derived(vec!["the cluster has the platform's name".into()], self.at(steps!["metadata", "name"]))
            }
            ["nodePools", name, key, rest @ ..] => {
                let index =
                    blueprint.node_pools.iter().position(|pool| pool.name == *name).or_else(|| name.parse().ok())?;
                let pool = blueprint.node_pools.get(index)?;
                let written = self.tree.find(steps!["nodePools", index, *key]).is_some();
                match (*key, rest) {
                    ("taints", []) => {
                        let because: Vec<String> =
                            derived_taints(pool).into_iter().map(|derived| derived.because).collect();
                        let from = if pool.accelerator.is_some() { "accelerator" } else { "capacity" };
                        if because.is_empty() {
                            None
                        } else {
                            derived(because, self.at(steps!["nodePools", index, from]))
                        }
                    }
                    ("labels", []) => {
                        let because = derived_labels(blueprint, pool)
                            .into_iter()
                            .map(|(key, value, why)| format!("{key}={value}: {why}"))
                            .collect();
                        derived(because, self.at(steps!["nodePools", index]))
                    }
                    ("labels", [label]) if !pool.labels.contains_key(*label) => {
                        let why = derived_labels(blueprint, pool).into_iter().find(|(key, _, _)| key == label)?.2;
                        derived(vec![why.into()], self.at(steps!["nodePools", index]))
                    }
                    ("shape", _) if !written => {
                        let why = crate::desired::default_shape_reason(pool);
                        derived(vec![why], self.at(steps!["nodePools", index, "accelerator"]))
                    }
                    ("size", ["max"]) if pool.size.max.is_none() => {
                        let why = "as many as `min`, and at least 1".to_owned();
                        derived(vec![why], self.at(steps!["nodePools", index, "size", "min"]))
                    }
                    _ => None,
                }
            }
            _ => None,
        }
    }
}

/// The schema one step further; null where the language knows nothing of that name.
fn below<'a>(root: &'a Value, schema: &'a Value, selector: &Selector) -> &'a Value {
    let resolved = resolve(root, schema);
    let variants = ["anyOf", "oneOf"].iter().find_map(|keyword| resolved.get(keyword)?.as_array());
    let all = variants
        .map_or_else(|| vec![resolved], |variants| variants.iter().map(|variant| resolve(root, variant)).collect());
    let found = all.into_iter().find_map(|schema| match schema.get("items") {
        Some(items) => matches!(selector, Selector::Bracket(_)).then_some(items),
        None => property(root, schema, selector.text()),
    });
    found.unwrap_or(&Value::Null)
}

fn candidates(value: Option<&Value>, wanted: &str) -> Vec<String> {
    let mut names: Vec<String> = match value {
        Some(Value::Object(map)) => map.keys().cloned().collect(),
        Some(Value::Array(items)) => items
            .iter()
            .filter_map(|item| item.get("name").or_else(|| item.get("serviceAccount"))?.as_str())
            .map(str::to_owned)
            .collect(),
        _ => Vec::new(),
    };
    names.sort_by_key(|name| strsim::damerau_levenshtein(name, wanted));
    names
}

//! What a sweep tries next: its configuration as W&B's sweep files say it, of which grid and random search are understood.
//!
//! Names of methods and distributions: wandb's JSON schema of sweep files (github.com/wandb/sweeps, `config/schema.json`). What is
//! not understood is refused by name, so that no test believes in a search that this server does not do.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::world::Refusal;

/// How the next set is found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Method {
    /// Every combination once.
    Grid,
    /// Drawn anew each time, without an end.
    Random,
}

/// A parameter's values.
#[derive(Debug, Clone, PartialEq)]
enum Values {
    /// These.
    Listed(Vec<Value>),
    /// Whole numbers between two.
    Whole(i64, i64),
    /// Numbers between two.
    Uniform(f64, f64),
    /// Numbers between two, whose logarithms are uniform.
    LogUniform(f64, f64),
}

/// A sweep's configuration, understood.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Search {
    pub(crate) method: Method,
    pub(crate) name: Option<String>,
    pub(crate) description: Option<String>,
    pub(crate) program: Option<String>,
    pub(crate) run_cap: Option<usize>,
    parameters: BTreeMap<String, Values>,
    /// Keys that sweep files do not have.
    pub(crate) warnings: Vec<String>,
}

/// Top-level keys of sweep files; those of launch sweeps among them (`wandb/cli/cli.py: launch_sweep`).
const KEYS: [&str; 18] = [
    "command",
    "controller",
    "description",
    "early_terminate",
    "entity",
    "image_uri",
    "job",
    "launch",
    "method",
    "metric",
    "name",
    "parameters",
    "program",
    "project",
    "run_cap",
    "runcap",
    "scheduler",
    "settings",
];

impl Search {
    /// Reads a sweep file's text.
    pub(crate) fn read(text: &str) -> Result<Self, Refusal> {
        let config: Map<String, Value> = serde_saphyr::from_str(text)
            .map_err(|error| Refusal::new(format!("the sweep's configuration is no YAML: {error}")))?;
        let method = match config.get("method").and_then(Value::as_str) {
            Some("grid") => Method::Grid,
            Some("random") => Method::Random,
            Some(other) => return Err(Refusal::new(format!("this server does no search by the method {other}"))),
            None => return Err(Refusal::new("invalid sweep config: method is required")),
        };
        if config.contains_key("early_terminate") {
            return Err(Refusal::new("this server terminates no runs early"));
        }
        let Some(listed) = config.get("parameters").and_then(Value::as_object).filter(|listed| !listed.is_empty())
        else {
            return Err(Refusal::new("invalid sweep config: parameters are required"));
        };
        let mut parameters = BTreeMap::new();
        for (name, parameter) in listed {
            parameters.insert(name.clone(), Values::read(name, parameter)?);
        }
        let text = |key: &str| config.get(key).and_then(Value::as_str).map(str::to_owned);
        let cap = config.get("run_cap").and_then(Value::as_u64);
        let search = Self {
            method,
            name: text("name"),
            description: text("description"),
            program: text("program"),
            run_cap: cap.and_then(|cap| usize::try_from(cap).ok()),
            parameters,
            warnings: config
                .keys()
                .filter(|key| !KEYS.contains(&key.as_str()))
                .map(|key| format!("(root): Additional property {key} is not allowed"))
                .collect(),
        };
        if search.method == Method::Grid && search.size().is_none() {
            return Err(Refusal::new("invalid sweep config: grid search needs values that can be counted"));
        }
        Ok(search)
    }

    /// How many sets there are; `None` without an end.
    fn size(&self) -> Option<usize> {
        if self.method == Method::Random {
            return None;
        }
        self.parameters.values().try_fold(1_usize, |size, values| size.checked_mul(values.count()?))
    }

    /// How many runs there will be; `None` without an end.
    pub(crate) fn expected(&self) -> Option<usize> {
        match (self.size(), self.run_cap) {
            (Some(size), Some(cap)) => Some(size.min(cap)),
            (size, cap) => size.or(cap),
        }
    }

    /// The set of that number, as an agent is given it; `None` after the last. The same number gives the same set.
    pub(crate) fn set(&self, number: usize, seed: u64) -> Option<Value> {
        if self.expected().is_some_and(|expected| number >= expected) {
            return None;
        }
        let mut rest = number;
        let mut set = Map::new();
        for (place, (name, values)) in self.parameters.iter().enumerate() {
            let value = match (self.method, values.count()) {
                (Method::Grid, Some(count)) => {
                    let value = values.at(rest % count);
                    rest /= count;
                    value
                }
                (Method::Grid | Method::Random, _) => values.drawn(chance(seed, number, place)),
            };
            set.insert(name.clone(), json!({"value": value}));
        }
        Some(Value::Object(set))
    }
}

impl Values {
    fn read(name: &str, parameter: &Value) -> Result<Self, Refusal> {
        let refused = |why: &str| Err(Refusal::new(format!("invalid sweep config: parameter {name} {why}")));
        if let Some(value) = parameter.get("value") {
            return Ok(Self::Listed(vec![value.clone()]));
        }
        if let Some(values) = parameter.get("values").and_then(Value::as_array) {
            if parameter.get("probabilities").is_some() {
                return refused("has probabilities, which this server does not draw by");
            }
            return if values.is_empty() { refused("has no values") } else { Ok(Self::Listed(values.clone())) };
        }
        let bound = |key: &str| parameter.get(key);
        let (Some(min), Some(max)) = (bound("min"), bound("max")) else {
            return refused("has neither value nor values nor min and max");
        };
        let whole = min.as_i64().zip(max.as_i64());
        let numbers = min.as_f64().zip(max.as_f64()).filter(|(min, max)| min <= max);
        match (parameter.get("distribution").and_then(Value::as_str), whole, numbers) {
            (_, _, None) => refused("has bounds that are no numbers or in the wrong order"),
            (Some("int_uniform"), Some((min, max)), _) => Ok(Self::Whole(min, max)),
            (None, Some((min, max)), _) => Ok(Self::Whole(min, max)),
            (Some("uniform") | None, _, Some((min, max))) => Ok(Self::Uniform(min, max)),
            (Some("log_uniform_values"), _, Some((min, max))) if min > 0.0 => Ok(Self::LogUniform(min, max)),
            (Some(other), _, _) => {
                refused(&format!("has the distribution {other}, which this server does not draw by"))
            }
        }
    }

    fn count(&self) -> Option<usize> {
        match self {
            Self::Listed(values) => Some(values.len()),
            Self::Whole(min, max) => usize::try_from(max - min + 1).ok(),
            Self::Uniform(..) | Self::LogUniform(..) => None,
        }
    }

    fn at(&self, index: usize) -> Value {
        match self {
            Self::Listed(values) => values[index].clone(),
            // An index below the count.
            Self::Whole(min, _) => Value::from(min + i64::try_from(index).unwrap_or_default()),
            Self::Uniform(min, _) | Self::LogUniform(min, _) => Value::from(*min),
        }
    }

    fn drawn(&self, chance: f64) -> Value {
        match (self, self.count()) {
            (Self::Uniform(min, max), _) => Value::from(min + (max - min) * chance),
            (Self::LogUniform(min, max), _) => Value::from((min.ln() + (max.ln() - min.ln()) * chance).exp()),
            // Truncated towards zero, and below the count.
            (Self::Listed(_) | Self::Whole(..), count) => {
                let count = count.unwrap_or(1);
                self.at(((count as f64 * chance) as usize).min(count - 1))
            }
        }
    }
}

/// A number from 0 to 1 that depends on these three alone (SplitMix64's finalizer).
fn chance(seed: u64, number: usize, place: usize) -> f64 {
    let mut state = seed ^ ((number as u64) << 20) ^ (place as u64);
    state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    state = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    state = (state ^ (state >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    ((state ^ (state >> 31)) >> 11) as f64 / (1_u64 << 53) as f64
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn all(text: &str, most: usize) -> Vec<Value> {
        let search = Search::read(text).unwrap();
        (0..most).map_while(|number| search.set(number, 7)).collect()
    }

    #[test]
    fn a_grid_has_every_combination_once() {
        let sets = all("method: grid\nparameters: {lr: {values: [0.1, 0.2]}, n: {min: 1, max: 3}, k: {value: x}}", 100);
        assert_eq!(sets.len(), 6);
        assert_eq!(sets.iter().map(Value::to_string).collect::<BTreeSet<_>>().len(), 6);
        assert_eq!(sets[0], json!({"k": {"value": "x"}, "lr": {"value": 0.1}, "n": {"value": 1}}));
        assert_eq!(all("method: grid\nrun_cap: 2\nparameters: {lr: {values: [1, 2, 3]}}", 100).len(), 2);
    }

    #[test]
    fn random_is_within_bounds_and_the_same_each_time() {
        let text = "method: random\nparameters: {lr: {min: 0.5, max: 2.0}, n: {min: 1, max: 3}}";
        let sets = all(text, 50);
        assert_eq!((sets.len(), &sets), (50, &all(text, 50)));
        for set in &sets {
            assert!((0.5..=2.0).contains(&set["lr"]["value"].as_f64().unwrap()), "{set}");
            assert!((1..=3).contains(&set["n"]["value"].as_i64().unwrap()), "{set}");
        }
        assert!(sets.iter().map(Value::to_string).collect::<BTreeSet<_>>().len() > 40);
    }

    #[test]
    fn what_is_not_understood_is_refused_by_name() {
        for (text, word) in [
            ("method: bayes\nparameters: {a: {value: 1}}", "bayes"),
            ("parameters: {a: {value: 1}}", "method is required"),
            ("method: grid", "parameters are required"),
            ("method: grid\nparameters: {a: {min: 0.1, max: 0.2}}", "counted"),
            ("method: random\nparameters: {a: {distribution: beta, min: 0.1, max: 0.2}}", "beta"),
            ("method: grid\nearly_terminate: {type: hyperband}\nparameters: {a: {value: 1}}", "early"),
            ("[", "no YAML"),
        ] {
            let error = Search::read(text).unwrap_err().to_string();
            assert!(error.contains(word), "{error}");
        }
    }
}

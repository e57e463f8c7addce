//! Selectors: requirements on labels, the terms of a required node affinity, and label selectors over pods.
//!
//! Source: `labels.Requirement.Matches` of k8s.io/apimachinery and `component-helpers/scheduling/corev1/nodeaffinity` of
//! Kubernetes 1.36.

use std::collections::BTreeMap;

use serde_json::Value;

use super::labels::{Found, Labels, Truth, open, perhaps};

/// How a key's value is compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Operator {
    /// It is one of the values.
    In,
    /// It is none of the values, or the key is absent.
    NotIn,
    /// The key is there.
    Exists,
    /// The key is absent.
    DoesNotExist,
    /// It is a number greater than the value.
    Gt,
    /// It is a number less than the value.
    Lt,
}

impl Operator {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "In" => Self::In,
            "NotIn" => Self::NotIn,
            "Exists" => Self::Exists,
            "DoesNotExist" => Self::DoesNotExist,
            "Gt" => Self::Gt,
            "Lt" => Self::Lt,
            _ => return None,
        })
    }

    /// Kubernetes' word for it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::In => "In",
            Self::NotIn => "NotIn",
            Self::Exists => "Exists",
            Self::DoesNotExist => "DoesNotExist",
            Self::Gt => "Gt",
            Self::Lt => "Lt",
        }
    }
}

/// One requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Requirement {
    /// The key.
    pub key: String,
    /// How it is compared.
    pub operator: Operator,
    /// With what.
    pub values: Vec<String>,
}

impl std::fmt::Display for Requirement {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { key, operator, values } = self;
        match operator {
            Operator::In if values.len() == 1 => write!(f, "{key}={}", values[0]),
            Operator::Exists | Operator::DoesNotExist => write!(f, "{key} {}", operator.as_str()),
            Operator::Gt | Operator::Lt => write!(f, "{key} {} {}", operator.as_str(), values.join(", ")),
            Operator::In | Operator::NotIn => write!(f, "{key} {} [{}]", operator.as_str(), values.join(", ")),
        }
    }
}

impl Requirement {
    /// A label with a value.
    pub fn equals(key: &str, value: &str) -> Self {
        Self { key: key.to_owned(), operator: Operator::In, values: vec![value.to_owned()] }
    }

    /// Reads one; `None` where the API server would refuse it or the scheduler skips its term.
    fn parse(value: &Value) -> Option<Self> {
        let operator = Operator::parse(value["operator"].as_str()?)?;
        let values: Vec<String> =
            value["values"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect();
        let sound = match operator {
            Operator::In | Operator::NotIn => !values.is_empty(),
            Operator::Exists | Operator::DoesNotExist => values.is_empty(),
            Operator::Gt | Operator::Lt => values.len() == 1 && values[0].parse::<i64>().is_ok(),
        };
        sound.then(|| Self { key: value["key"].as_str().unwrap_or_default().to_owned(), operator, values })
    }

    /// Whether a node's labels meet it.
    pub fn matches(&self, labels: &Labels) -> Truth {
        match self.operator {
            Operator::Exists => labels.exists(&self.key),
            Operator::DoesNotExist => labels.exists(&self.key).negated(),
            Operator::In => self.is_in(labels),
            Operator::NotIn => self.is_in(labels).negated(),
            Operator::Gt | Operator::Lt => match labels.get(&self.key) {
                Found::Is(value) => self.compares(value).into(),
                Found::Open(_) => Truth::Unknown(open(&self.key)),
                Found::Perhaps(keys) => Truth::Unknown(perhaps(&self.key, keys)),
                Found::Absent => Truth::No,
            },
        }
    }

    fn is_in(&self, labels: &Labels) -> Truth {
        self.values.iter().fold(Truth::No, |so_far, value| so_far.or(|| labels.has(&self.key, value)))
    }

    fn compares(&self, value: &str) -> bool {
        let (Ok(have), Some(Ok(want))) = (value.parse::<i64>(), self.values.first().map(|want| want.parse::<i64>()))
        else {
            return false;
        };
        if self.operator == Operator::Gt { have > want } else { have < want }
    }

    /// Whether a pod's labels meet it.
    fn matches_pod(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|value| self.values.contains(value)),
            Operator::NotIn => value.is_none_or(|value| !self.values.contains(value)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt | Operator::Lt => value.is_some_and(|value| self.compares(value)),
        }
    }
}

/// One term: all of it holds. Terms that the scheduler cannot parse match nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Term {
    /// About labels.
    pub expressions: Vec<Requirement>,
    /// About the node's name: `In` or `NotIn` one name.
    pub fields: Vec<Requirement>,
    /// Whether it can be parsed.
    pub sound: bool,
}

/// A required node affinity: one term holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct NodeSelector {
    /// The terms; empty ones, which match nothing, are left out.
    pub terms: Vec<Term>,
    /// Whether one was left out.
    pub had_empty: bool,
}

const NAME_FIELD: &str = "metadata.name";

impl NodeSelector {
    /// Reads `requiredDuringSchedulingIgnoredDuringExecution` or a volume's `nodeAffinity.required`.
    pub fn parse(value: &Value) -> Self {
        let list = |term: &Value, key: &str| -> (Vec<Requirement>, bool) {
            let written: Vec<&Value> = term[key].as_array().into_iter().flatten().collect();
            let parsed: Vec<Requirement> = written.iter().filter_map(|value| Requirement::parse(value)).collect();
            let all = parsed.len() == written.len();
            (parsed, all)
        };
        let written = value["nodeSelectorTerms"].as_array().map(Vec::as_slice).unwrap_or_default();
        let terms: Vec<Term> = written
            .iter()
            .filter_map(|term| {
                let (expressions, sound) = list(term, "matchExpressions");
                let (fields, sound_fields) = list(term, "matchFields");
                let one_name = fields
                    .iter()
                    .all(|field| matches!(field.operator, Operator::In | Operator::NotIn) && field.values.len() == 1);
                let sound = sound && sound_fields && one_name;
                (!sound || !expressions.is_empty() || !fields.is_empty()).then_some(Term { expressions, fields, sound })
            })
            .collect();
        let had_empty = terms.len() < written.len();
        Self { terms, had_empty }
    }

    /// Whether a node meets it.
    pub fn matches(&self, labels: &Labels, name: Option<&str>) -> Truth {
        self.terms.iter().fold(Truth::No, |so_far, term| so_far.or(|| term.matches(labels, name)))
    }

    /// The nodes that it names, where every term names some: only they are looked at. `Some` of nothing: terms conflict. A term
    /// that says nothing names nothing.
    pub fn names(&self) -> Option<Vec<&str>> {
        let mut all = Vec::new();
        for term in &self.terms {
            let mut named: Option<Vec<&str>> = None;
            for field in term.fields.iter().filter(|field| field.key == NAME_FIELD && field.operator == Operator::In) {
                let values: Vec<&str> = field.values.iter().map(String::as_str).collect();
                named = Some(match named {
                    None => values,
                    Some(before) => before.into_iter().filter(|name| values.contains(name)).collect(),
                });
            }
            all.extend(named?);
        }
        if self.terms.is_empty() || self.had_empty { None } else { Some(all) }
    }
}

impl Term {
    /// Whether a node meets all of it.
    pub fn matches(&self, labels: &Labels, name: Option<&str>) -> Truth {
        if !self.sound {
            return Truth::No;
        }
        let by_labels =
            self.expressions.iter().fold(Truth::Yes, |so_far, requirement| so_far.and(|| requirement.matches(labels)));
        self.fields.iter().fold(by_labels, |so_far, field| so_far.and(|| by_name(field, name)))
    }
}

fn by_name(field: &Requirement, name: Option<&str>) -> Truth {
    let Some(name) = name else {
        return Truth::Unknown("the node's name is known only when it is there".into());
    };
    // Any other field is empty on every node.
    let value = if field.key == NAME_FIELD { name } else { "" };
    let same = field.values.iter().any(|wanted| wanted == value);
    (same == (field.operator == Operator::In)).into()
}

impl std::fmt::Display for Term {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let parts: Vec<String> = self.expressions.iter().chain(&self.fields).map(ToString::to_string).collect();
        f.write_str(&parts.join(" and "))
    }
}

/// A label selector over pods or namespaces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelSelector {
    /// None was given: nothing.
    Nothing,
    /// All of these; no requirement is everything.
    All(Vec<Requirement>),
}

impl LabelSelector {
    /// Reads a `metav1.LabelSelector`.
    pub fn parse(value: &Value) -> Self {
        if value.is_null() {
            return Self::Nothing;
        }
        let equal = value["matchLabels"].as_object().into_iter().flatten();
        let mut all: Vec<Requirement> =
            equal.filter_map(|(key, value)| Some(Requirement::equals(key, value.as_str()?))).collect();
        all.extend(value["matchExpressions"].as_array().into_iter().flatten().filter_map(Requirement::parse));
        Self::All(all)
    }

    /// Adds the values that a pod has under keys, as the API server does for `matchLabelKeys` and `mismatchLabelKeys`.
    pub(super) fn with_keys(&mut self, keys: &Value, operator: Operator, labels: &BTreeMap<String, String>) {
        let Self::All(all) = self else { return };
        for key in keys.as_array().into_iter().flatten().filter_map(Value::as_str) {
            if let Some(value) = labels.get(key) {
                all.push(Requirement { key: key.to_owned(), operator, values: vec![value.clone()] });
            }
        }
    }

    /// Whether labels of a pod or a namespace meet it.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        match self {
            Self::Nothing => false,
            Self::All(all) => all.iter().all(|requirement| requirement.matches_pod(labels)),
        }
    }

    /// Whether it is the selector of everything.
    pub fn is_everything(&self) -> bool {
        matches!(self, Self::All(all) if all.is_empty())
    }
}

impl std::fmt::Display for LabelSelector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::All(all) if all.is_empty() => f.write_str("every pod"),
            Self::All(all) => {
                let parts: Vec<String> = all.iter().map(ToString::to_string).collect();
                f.write_str(&parts.join(", "))
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn labels() -> Labels {
        let pairs = [("gpu", "l4"), ("memory", "24"), ("empty", "")];
        let map: BTreeMap<String, String> = pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect();
        Labels::of(&map)
    }

    fn affinity(terms: Value) -> Truth {
        NodeSelector::parse(&json!({"nodeSelectorTerms": terms})).matches(&labels(), Some("node-1"))
    }

    fn one(key: &str, operator: &str, values: Value) -> Truth {
        affinity(json!([{"matchExpressions": [{"key": key, "operator": operator, "values": values}]}]))
    }

    #[test]
    fn every_operator_of_a_node_affinity() {
        assert_eq!(one("gpu", "In", json!(["t4", "l4"])), Truth::Yes);
        assert_eq!(one("gpu", "In", json!(["t4"])), Truth::No);
        assert_eq!(one("gpu", "NotIn", json!(["t4"])), Truth::Yes);
        assert_eq!(one("absent", "NotIn", json!(["t4"])), Truth::Yes);
        assert_eq!(one("absent", "In", json!([""])), Truth::No);
        assert_eq!(one("empty", "In", json!([""])), Truth::Yes);
        assert_eq!(one("gpu", "Exists", json!(null)), Truth::Yes);
        assert_eq!(one("absent", "DoesNotExist", json!(null)), Truth::Yes);
        assert_eq!(one("memory", "Gt", json!(["23"])), Truth::Yes);
        assert_eq!(one("memory", "Gt", json!(["24"])), Truth::No);
        assert_eq!(one("memory", "Lt", json!(["25"])), Truth::Yes);
        assert_eq!(one("gpu", "Lt", json!(["25"])), Truth::No, "no number is not less");
        assert_eq!(one("absent", "Lt", json!(["25"])), Truth::No);
    }

    #[test]
    fn terms_are_alternatives_and_empty_ones_match_nothing() {
        let no = json!({"matchExpressions": [{"key": "gpu", "operator": "In", "values": ["x"]}]});
        let by_name = json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["node-1"]}]});
        assert_eq!(affinity(json!([no, by_name])), Truth::Yes);
        assert_eq!(affinity(json!([{}])), Truth::No);
        assert_eq!(affinity(json!([])), Truth::No);
        let both = json!([{"matchExpressions": no["matchExpressions"], "matchFields": by_name["matchFields"]}]);
        assert_eq!(affinity(both), Truth::No);
        let not_named = json!([{"matchFields": [{"key": "metadata.name", "operator": "NotIn", "values": ["node-1"]}]}]);
        assert_eq!(affinity(not_named), Truth::No);
    }

    #[test]
    fn a_label_selector_of_nothing_differs_from_one_of_everything() {
        let pod = BTreeMap::from([("app".to_owned(), "x".to_owned())]);
        assert!(!LabelSelector::parse(&Value::Null).matches(&pod));
        assert!(LabelSelector::parse(&json!({})).matches(&pod));
        assert!(LabelSelector::parse(&json!({"matchLabels": {"app": "x"}})).matches(&pod));
        let not = json!({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["x"]}]});
        assert!(!LabelSelector::parse(&not).matches(&pod));
    }
}

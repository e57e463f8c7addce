//! Taints and tolerations.
//!
//! Source: `Toleration.ToleratesTaint` of k8s.io/api 0.36. The operators `Lt` and `Gt` are behind the gate
//! `TaintTolerationComparisonOperators`, which is alpha and off in 1.36: with it off, they tolerate nothing.

use serde_json::Value;
use wbk_provider_api::{Taint, TaintEffect};

/// A toleration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Toleration {
    /// The key; empty for every key.
    pub key: String,
    /// How values are compared.
    pub operator: TolerationOperator,
    /// With what.
    pub value: String,
    /// The effect; `None` for every effect.
    pub effect: Option<String>,
    /// For how long an evicting taint is tolerated; `None` for ever.
    pub seconds: Option<i64>,
}

/// How a toleration compares values.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TolerationOperator {
    /// Equal; what an empty operator means.
    Equal,
    /// Any value.
    Exists,
    /// The taint's value is a greater number.
    Gt,
    /// The taint's value is a lesser number.
    Lt,
    /// A word that no Kubernetes knows: tolerates nothing.
    Other,
}

/// Whether the comparing operators are on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Comparison {
    /// As in every release so far.
    #[default]
    Off,
    /// With the gate `TaintTolerationComparisonOperators`.
    On,
}

impl Toleration {
    /// Reads one.
    pub fn parse(value: &Value) -> Self {
        let text = |key: &str| value[key].as_str().unwrap_or_default().to_owned();
        let operator = match value["operator"].as_str().unwrap_or_default() {
            "" | "Equal" => TolerationOperator::Equal,
            "Exists" => TolerationOperator::Exists,
            "Gt" => TolerationOperator::Gt,
            "Lt" => TolerationOperator::Lt,
            _ => TolerationOperator::Other,
        };
        let effect = Some(text("effect")).filter(|effect| !effect.is_empty());
        Self { key: text("key"), operator, value: text("value"), effect, seconds: value["tolerationSeconds"].as_i64() }
    }

    /// Tolerates a key and an effect, whatever the value.
    pub fn exists(key: &str, effect: TaintEffect) -> Self {
        let effect = Some(effect.as_str().to_owned());
        Self { key: key.to_owned(), operator: TolerationOperator::Exists, value: String::new(), effect, seconds: None }
    }

    /// Whether it tolerates a taint.
    pub fn tolerates(&self, taint: &Taint, comparison: Comparison) -> bool {
        if self.effect.as_deref().is_some_and(|effect| effect != taint.effect.as_str()) {
            return false;
        }
        if !self.key.is_empty() && self.key != taint.key {
            return false;
        }
        let numbers = || Some((decimal(&taint.value)?, decimal(&self.value)?));
        match self.operator {
            TolerationOperator::Equal => self.value == taint.value,
            TolerationOperator::Exists => true,
            TolerationOperator::Other => false,
            TolerationOperator::Gt | TolerationOperator::Lt if comparison == Comparison::Off => false,
            TolerationOperator::Gt => numbers().is_some_and(|(taint, wanted)| taint > wanted),
            TolerationOperator::Lt => numbers().is_some_and(|(taint, wanted)| taint < wanted),
        }
    }
}

/// A decimal integer as Kubernetes takes it: no sign but a minus, no leading zeros.
fn decimal(text: &str) -> Option<i64> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && (digits == "0" || !digits.starts_with('0'));
    if plain && text != "-0" { text.parse().ok() } else { None }
}

/// The first taint that keeps a pod away and is not tolerated.
pub fn first_untolerated<'a>(
    taints: &'a [Taint],
    tolerations: &[Toleration],
    comparison: Comparison,
) -> Option<&'a Taint> {
    taints.iter().find(|taint| {
        matches!(taint.effect, TaintEffect::NoSchedule | TaintEffect::NoExecute)
            && !tolerations.iter().any(|toleration| toleration.tolerates(taint, comparison))
    })
}

/// For how many seconds the pod stays on a node with these taints; `None` for ever. Source: `getMinTolerationTime` of the
/// taint eviction controller.
pub fn stays_for(taints: &[Taint], tolerations: &[Toleration], comparison: Comparison) -> Option<i64> {
    let evicting = taints.iter().filter(|taint| taint.effect == TaintEffect::NoExecute);
    evicting
        .flat_map(|taint| tolerations.iter().filter(move |toleration| toleration.tolerates(taint, comparison)).take(1))
        .filter_map(|toleration| toleration.seconds)
        .min()
        .map(|seconds| seconds.max(0))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn taint(key: &str, value: &str, effect: TaintEffect) -> Taint {
        Taint { key: key.into(), value: value.into(), effect }
    }

    fn tolerates(toleration: Value) -> bool {
        let taint = taint("nvidia.com/gpu", "present", TaintEffect::NoSchedule);
        Toleration::parse(&toleration).tolerates(&taint, Comparison::Off)
    }

    #[test]
    fn every_operator_key_and_effect() {
        assert!(tolerates(json!({"key": "nvidia.com/gpu", "value": "present"})));
        assert!(!tolerates(json!({"key": "nvidia.com/gpu", "value": "true"})));
        assert!(tolerates(json!({"key": "nvidia.com/gpu", "operator": "Exists"})));
        assert!(tolerates(json!({"operator": "Exists"})));
        assert!(tolerates(json!({"operator": "Exists", "effect": "NoSchedule"})));
        assert!(!tolerates(json!({"operator": "Exists", "effect": "NoExecute"})));
        assert!(!tolerates(json!({"key": "amd.com/gpu", "operator": "Exists"})));
        assert!(!tolerates(json!({"key": "nvidia.com/gpu"})), "an empty value is not any value");
    }

    #[test]
    fn comparing_operators_tolerate_nothing_with_their_gate_off() {
        let spot = taint("price", "30", TaintEffect::NoSchedule);
        let less = Toleration::parse(&json!({"key": "price", "operator": "Lt", "value": "40"}));
        let more = Toleration::parse(&json!({"key": "price", "operator": "Gt", "value": "40"}));
        assert!(!less.tolerates(&spot, Comparison::Off));
        assert!(less.tolerates(&spot, Comparison::On));
        assert!(!more.tolerates(&spot, Comparison::On));
        assert!(!less.tolerates(&taint("price", "030", TaintEffect::NoSchedule), Comparison::On));
    }

    #[test]
    fn a_preference_keeps_nobody_away_and_seconds_end() {
        let taints = [taint("a", "", TaintEffect::PreferNoSchedule), taint("b", "", TaintEffect::NoExecute)];
        assert_eq!(first_untolerated(&taints, &[], Comparison::Off), Some(&taints[1]));
        let short = Toleration::parse(&json!({"key": "b", "operator": "Exists", "tolerationSeconds": 30}));
        assert_eq!(first_untolerated(&taints, std::slice::from_ref(&short), Comparison::Off), None);
        assert_eq!(stays_for(&taints, &[short], Comparison::Off), Some(30));
    }
}

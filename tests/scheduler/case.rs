//! One question: some nodes with pods on them, and a pod to be placed.

use serde_json::{Value, json};

/// One question. Names and what keeps cases apart are added when it is asked.
#[derive(Debug, Clone)]
pub struct Case {
    /// Nodes: labels, taints, allocatable, unschedulable.
    pub nodes: Vec<Value>,
    /// Pods that are there: the place of their node, and the pod.
    pub occupants: Vec<(usize, Value)>,
    /// A volume that the pod's claim is bound to.
    pub volume: Option<Value>,
    /// The pod.
    pub pod: Value,
}

impl std::fmt::Display for Case {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let value = json!({"nodes": self.nodes, "occupants": self.occupants, "volume": self.volume, "pod": self.pod});
        f.write_str(&serde_json::to_string_pretty(&value).expect("JSON prints"))
    }
}

/// What came of it.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// Model and scheduler agree: it is placed.
    Bound,
    /// They agree: it is placed after others left.
    Preempted,
    /// They agree: it is not placed, in the same words.
    Refused,
    /// The API server refused part of it.
    Invalid(#[expect(dead_code, reason = "shown by Debug")] String),
    /// They do not agree.
    Differs {
        /// What the model says.
        model: String,
        /// What happened.
        real: String,
    },
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Differs { model, real } => write!(f, "model: {model}\nreal:  {real}"),
            other => write!(f, "{other:?}"),
        }
    }
}

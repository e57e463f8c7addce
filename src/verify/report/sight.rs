//! What a picture of the platform needs: pools, their nodes, and where pods of checks landed.

use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wbk_provider_api::PoolSpec;

use crate::cluster::{is_true, name, text};
use crate::desired::Desired;
use crate::verify::check::CheckId;
use crate::verify::placement::{self, Placement, amount, is_cordoned, offered};
use crate::verify::quantity::Quantity;

/// A pod of a check, and the node that the scheduler gave it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Landing {
    /// The node.
    pub node: String,
    /// Which check.
    pub check: CheckId,
    /// The pod, `namespace/name`; it is gone by now.
    pub pod: String,
}

/// A pool as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct PoolSight {
    /// Its name.
    pub name: String,
    /// The model of its accelerators.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
    /// The fewest nodes.
    pub min: u32,
    /// The most nodes.
    pub max: u32,
    /// The taints that it shall have, `key=value:Effect`.
    pub taints: Vec<String>,
    /// Its nodes; `null` where they could not be seen.
    pub nodes: Option<Vec<NodeSight>>,
}

/// A node as it was seen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeSight {
    /// Its name.
    pub name: String,
    /// Whether it is Ready.
    pub ready: bool,
    /// Whether somebody cordoned it.
    pub cordoned: bool,
    /// Allocatable CPU.
    pub cpu: String,
    /// Allocatable memory.
    pub memory: String,
    /// Its GPU resources.
    pub gpus: Vec<NodeGpus>,
    /// Taints that its pool does not say.
    pub other_taints: Vec<String>,
}

/// A GPU resource of a node.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct NodeGpus {
    /// The resource.
    pub resource: String,
    /// How many the blueprint counts on.
    pub wanted: u64,
    /// How many the node offers.
    pub allocatable: u64,
}

impl PoolSight {
    /// A pool among all nodes, where those could be seen.
    pub(in crate::verify) fn of(pool: &PoolSpec, desired: &Desired, nodes: Option<&[Value]>) -> Self {
        let placement = Placement::of(pool, desired);
        let taints: Vec<String> =
            pool.taints.iter().map(|taint| spelled(&taint.key, &taint.value, taint.effect.as_str())).collect();
        let each = placement::allocatable(pool, desired);
        let sight = |node: &Value| {
            let of_node = node.pointer("/spec/taints").and_then(Value::as_array);
            let amount = |resource| amount(node, "/status/allocatable", resource).unwrap_or_default();
            NodeSight {
                name: name(node).to_owned(),
                ready: is_true(node, "Ready"),
                cordoned: is_cordoned(node),
                cpu: amount("cpu").to_string(),
                memory: gib(amount("memory")),
                gpus: each
                    .iter()
                    .map(|(resource, wanted)| NodeGpus {
                        resource: resource.clone(),
                        wanted: *wanted,
                        allocatable: u64::try_from(offered(node, resource)).unwrap_or(0),
                    })
                    .collect(),
                other_taints: of_node
                    .into_iter()
                    .flatten()
                    .map(|taint| spelled(text(taint, "/key"), text(taint, "/value"), text(taint, "/effect")))
                    .filter(|taint| !taints.contains(taint))
                    .collect(),
            }
        };
        let nodes = nodes.map(|all| {
            let mut nodes: Vec<NodeSight> = placement.nodes(all).into_iter().map(sight).collect();
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
            nodes
        });
        Self {
            name: pool.name.clone(),
            accelerator: pool.accelerator.as_ref().map(|accelerator| accelerator.model.clone()),
            min: pool.size.min,
            max: pool.size.max,
            taints,
            nodes,
        }
    }
}

fn spelled(key: &str, value: &str, effect: &str) -> String {
    let value = if value.is_empty() { String::new() } else { format!("={value}") };
    format!("{key}{value}:{effect}")
}

/// Memory in whole GiB, for people.
fn gib(amount: Quantity) -> String {
    format!("{} GiB", amount.units_rounded_up() >> 30)
}

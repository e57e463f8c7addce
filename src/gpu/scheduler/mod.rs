//! The filters of kube-scheduler, as a pure function of pods and nodes that need not exist yet.
//!
//! Held to the real kube-scheduler by `tests/scheduler`: what this model says, it says too. What this model does not know it
//! calls unknown, with the reason.

mod filter;
mod labels;
mod node;
mod pod;
mod ports;
mod preemption;
mod resources;
mod selector;
mod taints;
mod topology;
mod volumes;
mod words;

pub use filter::{Refusal, Shortage, Verdict, first_words, is_resolvable, requires_node, taint_text, verdict};
pub use labels::{Found, LabelValue, Labels, MayHave, Truth};
pub use node::{Node, Placed, Surroundings};
pub(crate) use pod::text_map;
pub use pod::{Admission, Pod, PodTerm, Spread};
pub use ports::HostPort;
pub use preemption::{Preemption, best, preemptions, victims};
pub use resources::{
    Amounts, CPU, ContainerDefaults, EPHEMERAL, MEMORY, PODS, Quantities, is_extended, pod_requests, quantities, show,
};
pub use selector::{LabelSelector, NodeSelector, Operator, Requirement, Term};
pub use taints::{Comparison, Toleration, TolerationOperator, first_untolerated, stays_for};
pub use volumes::{Claim, Volume, claims};
pub use words::unschedulable_words;

//! What every check is given: the client, the desired state, the options and the clock.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;

use super::cleanup::Litter;
use crate::desired::Desired;

/// Covers one request to the API server. An answer of a healthy server takes milliseconds, of one behind a slow
/// tunnel a second or two; a server that is silent for this long is not going to answer this check.
pub(super) const REQUEST_BOUND: Duration = Duration::from_secs(10);

/// Tells the time. Checks read no other clock.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// What kind of nodes a cluster has; all that is said about simulated ones says so.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Nodes {
    /// Machines with kubelets.
    Real,
    /// Node objects whose pods are played.
    Simulated,
}

impl Nodes {
    /// `nodes` or `simulated nodes`.
    pub fn noun(self) -> &'static str {
        match self {
            Self::Real => "nodes",
            Self::Simulated => "simulated nodes",
        }
    }

    /// Empty, or `simulated ` to stand before a noun.
    pub fn adjective(self) -> &'static str {
        match self {
            Self::Real => "",
            Self::Simulated => "simulated ",
        }
    }
}

/// How a verification is run.
#[derive(Debug, Clone)]
pub struct VerifyOptions {
    /// Checks that run at the same time.
    pub parallel: usize,
    /// How long a promise that does not hold yet may take to hold (a rollout that is under way) before it has failed.
    pub patience: Duration,
    /// How long a sample Job may take from its creation to its completion.
    pub sample_deadline: Duration,
    /// The sample Job's image; `None` for [`VerifyOptions::image`]'s choice.
    pub sample_image: Option<String>,
    /// Everything bounded by one request is given up after this.
    pub request_bound: Duration,
}

impl Default for VerifyOptions {
    /// Judgements: 16 checks keep two cores of an API server busy and stay below its default fairness share for one
    /// user; patience of 30 s covers a Deployment's rollout on warm nodes; 180 s for a sample Job covers pulling a
    /// 2 MB image over a slow link and a scheduler's back-off of at most 10 s, several times over.
    fn default() -> Self {
        Self {
            parallel: 16,
            patience: Duration::from_secs(30),
            sample_deadline: Duration::from_secs(180),
            sample_image: None,
            request_bound: REQUEST_BOUND,
        }
    }
}

impl VerifyOptions {
    /// The sample Job's image: what was asked for, or a small one that exits by itself. On simulated nodes nothing is
    /// pulled, so that the image only has to be a name.
    pub fn image(&self, nodes: Nodes) -> &str {
        match (&self.sample_image, nodes) {
            (Some(image), _) => image,
            (None, Nodes::Real) => "docker.io/library/busybox:1.37.0",
            (None, Nodes::Simulated) => "registry.k8s.io/pause:3.10.1",
        }
    }
}

/// What every check is given.
#[derive(Clone)]
pub struct CheckContext {
    /// The API server.
    pub client: Client,
    /// What the blueprint means.
    pub desired: Arc<Desired>,
    /// What kind of nodes the cluster has.
    pub nodes: Nodes,
    /// How to verify.
    pub options: Arc<VerifyOptions>,
    /// The clock.
    pub clock: Clock,
    /// A short word that is in the names of this run's objects.
    pub(super) run: String,
    /// What this run created and has to remove.
    pub(super) litter: Litter,
}

impl CheckContext {
    /// Makes the context of one run.
    pub fn new(client: Client, desired: Arc<Desired>, nodes: Nodes, options: VerifyOptions, clock: Clock) -> Self {
        let started = clock();
        let seed = format!("{} {}", desired.name, started.as_nanosecond());
        let run = crate::id::Digest::of_bytes(seed.as_bytes()).0[..8].to_owned();
        let litter = Litter::new(client.clone());
        Self { client, desired, nodes, options: Arc::new(options), clock, run, litter }
    }

    /// The current time.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }
}

impl fmt::Debug for CheckContext {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CheckContext")
            .field("blueprint", &self.desired.name)
            .field("nodes", &self.nodes)
            .field("options", &self.options)
            .field("run", &self.run)
            .finish_non_exhaustive()
    }
}

impl CheckContext {
    /// The API server, each request bounded.
    pub(super) fn api(&self) -> super::api::Api {
        super::api::Api::new(self.client.clone(), self.options.request_bound)
    }
}

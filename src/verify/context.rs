//! What every check is given: the client, the desired state, the options and the clock.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kube::Client;
use tokio::sync::{OnceCell, OwnedSemaphorePermit, Semaphore};

use super::cleanup::Litter;
use super::heartbeat::Heartbeat;
use super::placement::{self, Placement};
use super::proven::LastProof;
use super::recent::Recent;
use super::report::Landing;
use crate::desired::Desired;
use crate::holder::Holder;
use crate::live::QueueFound;
use crate::wandb::{Wandb, WandbError};

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

/// What a verification does only when it is named: it disturbs, costs, or needs rights that a check should not have.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum OptIn {
    /// A privileged pod on a node whose GPU pod failed, to tell driver from plugin.
    DebugPod,
    /// Filling an idle pool with pods of low priority and pushing one out.
    Preemption,
    /// Making a pool without nodes grow, which costs what its nodes cost.
    ScaleUp,
    /// An item pushed to each queue of W&B Launch, which runs as a Job.
    Canary,
}

impl OptIn {
    /// The word of the command line: `--allow debug-pod`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::DebugPod => "debug-pod",
            Self::Preemption => "preemption",
            Self::ScaleUp => "scale-up",
            Self::Canary => "canary",
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
    /// How long a pool without nodes may take to grow for a pod.
    pub scale_deadline: Duration,
    /// The whole verification's bound: what has not ended by then is inconclusive.
    pub timeout: Option<Duration>,
    /// The image of pods that need no GPU tools; `None` for [`VerifyOptions::image`]'s choice.
    pub sample_image: Option<String>,
    /// The image of pods that run `nvidia-smi`; `None` for [`VerifyOptions::gpu_image`]'s choice.
    pub gpu_image: Option<String>,
    /// What was named.
    pub allow: BTreeSet<OptIn>,
    /// Who verifies, so that what this process leaves when it is killed is known for dead at once on this machine.
    pub holder: Option<Holder>,
    /// Everything bounded by one request is given up after this.
    pub request_bound: Duration,
}

impl Default for VerifyOptions {
    /// Judgements: 16 checks keep two cores of an API server busy and stay below its default fairness share for one
    /// user; patience of 30 s covers a Deployment's rollout on warm nodes; 180 s for a sample Job covers pulling a
    /// 100 MB image over a slow link and a scheduler's back-off of at most 10 s, several times over; 15 min covers a
    /// cloud's GPU node from the autoscaler's decision to its device plugin (5 to 10 min are usual).
    fn default() -> Self {
        Self {
            parallel: 16,
            patience: Duration::from_secs(30),
            sample_deadline: Duration::from_secs(180),
            scale_deadline: Duration::from_secs(900),
            timeout: None,
            sample_image: None,
            gpu_image: None,
            allow: BTreeSet::new(),
            holder: None,
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

    /// The image of pods that list their GPUs: what was asked for, or NVIDIA's smallest with a shell to run the
    /// `nvidia-smi` that the container runtime adds.
    pub fn gpu_image(&self, nodes: Nodes) -> &str {
        match (&self.gpu_image, nodes) {
            (Some(image), _) => image,
            (None, Nodes::Real) => "docker.io/nvidia/cuda:12.9.1-base-ubuntu22.04",
            (None, Nodes::Simulated) => self.image(nodes),
        }
    }

    /// Whether something was named.
    pub fn allows(&self, what: OptIn) -> bool {
        self.allow.contains(&what)
    }
}

/// The queues of an entity, or why they could not be read.
type Queues = Result<BTreeMap<String, QueueFound>, WandbError>;

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
    /// Shows that this run lives.
    pub(super) heartbeat: Heartbeat,
    /// Lists that several checks read.
    pub(super) recent: Recent,
    /// The closure proof that several checks judge.
    pub(super) proof: LastProof,
    wandb: Option<Wandb>,
    queues: Arc<OnceCell<Queues>>,
    landings: Arc<Mutex<Vec<Landing>>>,
    rooms: Arc<Mutex<BTreeMap<String, Arc<Semaphore>>>>,
}

/// What a check holds while its pod may hold GPUs.
#[derive(Debug)]
pub(super) struct Room {
    _of_pool: Option<OwnedSemaphorePermit>,
    _of_quota: Option<OwnedSemaphorePermit>,
}

impl CheckContext {
    /// Makes the context of one run.
    pub fn new(client: Client, desired: Arc<Desired>, nodes: Nodes, options: VerifyOptions, clock: Clock) -> Self {
        let started = clock();
        let seed = format!("{} {}", desired.name, started.as_nanosecond());
        let run = crate::id::Digest::of_bytes(seed.as_bytes()).0[..8].to_owned();
        let litter = Litter::new(client.clone());
        Self {
            client,
            desired,
            nodes,
            options: Arc::new(options),
            clock,
            run,
            litter,
            heartbeat: Heartbeat::default(),
            recent: Recent::default(),
            proof: LastProof::default(),
            wandb: None,
            queues: Arc::default(),
            landings: Arc::default(),
            rooms: Arc::default(),
        }
    }

    /// With a way to W&B.
    #[must_use]
    pub fn with_wandb(mut self, wandb: Wandb) -> Self {
        self.wandb = Some(wandb);
        self
    }

    /// The way to W&B, where a key was given.
    pub(super) fn wandb(&self) -> Option<&Wandb> {
        self.wandb.as_ref()
    }

    /// What W&B has, asked once for all checks; `None` where no key was given.
    pub(super) async fn launch_queues(&self) -> Option<&Queues> {
        let wandb = self.wandb.as_ref()?;
        Some(self.queues.get_or_init(|| wandb.queues()).await)
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

    /// The image of plain pods: on nodes with made-up GPUs the one that is there for them, which has `true` and `sleep`
    /// and needs no registry.
    pub(super) fn image(&self) -> &str {
        match (&self.options.sample_image, placement::fake_image(&self.desired)) {
            (None, Some(image)) if self.nodes == Nodes::Real => image,
            _ => self.options.image(self.nodes),
        }
    }

    /// The image of pods that list their GPUs; that of made-up GPUs is given its `nvidia-smi` with them.
    pub(super) fn gpu_image(&self) -> &str {
        match (&self.options.gpu_image, placement::fake_image(&self.desired)) {
            (None, Some(image)) if self.nodes == Nodes::Real => image,
            _ => self.options.gpu_image(self.nodes),
        }
    }

    /// All nodes of the cluster, as of now.
    pub(super) async fn all_nodes(&self) -> Result<Arc<Vec<serde_json::Value>>, super::api::Trouble> {
        self.recent.list(&self.api(), "/api/v1/nodes", "").await
    }

    /// All pods of the cluster that have not ended, as of now.
    pub(super) async fn live_pods(&self) -> Result<Arc<Vec<serde_json::Value>>, super::api::Trouble> {
        self.recent.list(&self.api(), "/api/v1/pods", "status.phase!=Succeeded,status.phase!=Failed").await
    }

    /// Waits until this run's own pods leave room for one more GPU in a pool and in the quota of a namespace: checks
    /// shall make each other wait neither for the scheduler nor for the quota.
    pub(super) async fn room(&self, placement: &Placement, space: &str) -> Room {
        self.rooms(placement, space, 1).await
    }

    /// The same for so many GPUs. A pod of a higher priority than the checks' own would even push those out.
    pub(super) async fn rooms(&self, placement: &Placement, space: &str, count: u32) -> Room {
        let of_quota = self.quota_room(placement, space, u64::from(count)).await;
        let of_pool = self.permits(format!("pool {}", placement.pool), placement.room(), count).await;
        Room { _of_pool: of_pool, _of_quota: of_quota }
    }

    /// Waits until this run has nothing else on a pool, and keeps it so.
    pub(super) async fn whole_pool(&self, placement: &Placement) -> Option<OwnedSemaphorePermit> {
        self.permits(format!("pool {}", placement.pool), placement.room(), u32::MAX).await
    }

    /// Waits until this run's own pods leave so many GPUs of a namespace's quota.
    pub(super) async fn quota_room(
        &self,
        placement: &Placement,
        space: &str,
        count: u64,
    ) -> Option<OwnedSemaphorePermit> {
        let resource = &placement.gpu.as_ref()?.resource;
        let room = self.quota_of(space, resource)?;
        let room = usize::try_from(room).unwrap_or(usize::MAX);
        let count = u32::try_from(count).unwrap_or(u32::MAX);
        self.permits(format!("quota {space} {resource}"), room, count).await
    }

    /// The blueprint's quota on a resource in a namespace.
    pub(super) fn quota_of(&self, space: &str, resource: &str) -> Option<u64> {
        let hard = self.desired.promises.quotas.get(space)?.get(&format!("requests.{resource}"))?;
        hard.parse().ok() // What is no number bounds nothing.
    }

    async fn permits(&self, of: String, all: usize, count: u32) -> Option<OwnedSemaphorePermit> {
        let all = all.clamp(1, Semaphore::MAX_PERMITS);
        let room = {
            // A map of semaphores is whole after any panic between its operations.
            let mut rooms = self.rooms.lock().unwrap_or_else(PoisonError::into_inner);
            rooms.entry(of).or_insert_with(|| Arc::new(Semaphore::new(all))).clone()
        };
        // Who asks for more than all there is would wait for ever; nobody closes a semaphore.
        let count = count.min(u32::try_from(all).unwrap_or(u32::MAX));
        room.acquire_many_owned(count).await.ok()
    }

    /// Notes where a pod of a check landed.
    pub(super) fn landed(&self, landing: Landing) {
        self.landings.lock().unwrap_or_else(PoisonError::into_inner).push(landing);
    }

    /// Where pods of checks landed, in the order of nodes.
    pub(super) fn landings(&self) -> Vec<Landing> {
        let mut all = self.landings.lock().unwrap_or_else(PoisonError::into_inner).clone();
        all.sort();
        all
    }
}

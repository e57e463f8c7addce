//! A blueprint and the world it is about: everything that plan, apply, drift, destroy and status look at first.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use wbk_provider_api::{Access, Finding, Observed, Operation, Provider, ProviderKind, Seen, Wanted, Why};
use wbk_provider_rehearsal::RehearsalProvider;

use super::{
    args::{BlueprintArgs, Global},
    environment::Environment,
    failure::{Exit, Failure},
    pin::check_pin,
    releases::{Charts, render_all},
    secrets,
    wandb::{launch_key, launch_queues, rehearsed_queues},
};
use crate::{
    blueprint::{CachedFiles, Ground, Loaded, Problems, Source, load_on},
    cluster::{Cluster, Discovery, connect},
    desired::Desired,
    helm::{ReleaseChange, release_change},
    launch::{JobRow, JobState},
    live::{ClusterState, EarlyLists, Memory, Observer, Reach, ReleaseState, SecretValues, Sight},
};

/// Reads and resolves blueprint and overlays.
///
/// # Errors
/// Every problem of the files at once, with positions.
pub fn read(files: &[PathBuf], environment: &Environment) -> Result<Desired, Failure> {
    resolve(&read_only(files, environment)?, files, environment)
}

/// Reads and resolves blueprint and overlays, while the cluster that they name is already asked for its kinds.
///
/// # Errors
/// Every problem of the files at once, with positions.
pub fn read_ahead(
    files: &[PathBuf],
    environment: &Environment,
    global: &Global,
) -> Result<(Desired, HeadStart), Failure> {
    let loaded = read_only(files, environment)?;
    let wanted = expanded(loaded.wanted(), environment);
    let head = HeadStart::begin(provider(&wanted, environment, global)?, wanted, global, Purpose::Apply);
    Ok((resolve(&loaded, files, environment)?, head))
}

/// Reads and resolves a blueprint that is in no file.
///
/// # Errors
/// Every problem of it at once.
pub fn resolve_text(name: &str, text: &str, environment: &Environment) -> Result<Desired, Failure> {
    let loaded = load_on(&[Source { name: name.to_owned(), text: text.to_owned() }], Ground::Real);
    resolve(&loaded.map_err(|problems| problems_failure("blueprint", &problems))?, &[], environment)
}

fn resolve(loaded: &Loaded, files: &[PathBuf], environment: &Environment) -> Result<Desired, Failure> {
    // One cache for each blueprint, by the place of its first file.
    let place = files.first().and_then(|file| std::path::absolute(file).ok()).unwrap_or_default();
    let digest = crate::id::Digest::of_bytes(place.as_os_str().as_encoded_bytes());
    let files = CachedFiles { cache: environment.cache.join("manifests").join(digest.short()) };
    let mut desired = loaded.resolve(&files, today()).map_err(|problems| problems_failure("blueprint", &problems))?;
    desired.wanted = expanded(desired.wanted, environment);
    if environment.rehearsal.is_some() {
        // The cluster that plays it brings none of the cloud's own kinds; the plan says what it left out.
        let promises = &mut desired.promises;
        promises.optional_kinds.append(&mut promises.cluster_kinds);
    }
    Ok(desired)
}

/// What only this process's environment knows about the cluster.
fn expanded(mut wanted: Wanted, environment: &Environment) -> Wanted {
    if environment.rehearsal.is_some() {
        // The cluster that is pinned is another one than the one that plays it.
        wanted.cluster.uid = None;
        // It is played on the version that this program brings; the report says so.
        wanted.cluster.version = None;
    }
    // Whose home `~/` means is known here and nowhere below.
    if let Some(kubeconfig) = &mut wanted.cluster.kubeconfig {
        *kubeconfig = environment.expand(kubeconfig);
    }
    wanted
}

/// Reads and resolves blueprint and overlays for what is proven on paper: any provider's cluster will do.
///
/// # Errors
/// Every problem of the files at once, with positions.
pub fn read_on_paper(files: &[PathBuf], environment: &Environment) -> Result<Desired, Failure> {
    let loaded = parse(files, Ground::Rehearsed)?.map_err(|problems| problems_failure("blueprint", &problems))?;
    resolve(&loaded, files, environment)
}

/// Reads blueprint and overlays without resolving them.
///
/// # Errors
/// A file that cannot be read; every problem of the files at once.
pub fn read_only(files: &[PathBuf], environment: &Environment) -> Result<Loaded, Failure> {
    let ground = if environment.rehearsal.is_some() { Ground::Rehearsed } else { Ground::Real };
    parse(files, ground)?.map_err(|problems| problems_failure("blueprint", &problems))
}

/// Reads blueprint and overlays; their problems are a result like any other.
///
/// # Errors
/// A file that cannot be read.
pub fn parse(files: &[PathBuf], ground: Ground) -> Result<Result<Loaded, Problems>, Failure> {
    let mut sources = Vec::new();
    for file in files {
        let text = std::fs::read_to_string(file).with_context(|| format!("read the blueprint {}", file.display()))?;
        sources.push(Source { name: file.display().to_string(), text });
    }
    Ok(load_on(&sources, ground))
}

/// Every problem of an input as one failure.
pub fn problems_failure(noun: &str, problems: &Problems) -> Failure {
    let lines: Vec<String> = problems.iter().map(|problem| format!("\n  {problem}")).collect();
    let count = problems.len();
    let word = if count == 1 { "problem" } else { "problems" };
    Failure {
        error: anyhow::anyhow!("the {noun} has {count} {word}:{}", lines.concat()),
        hint: None,
        exit: Exit::Failed,
    }
}

/// The date in UTC.
pub fn today() -> jiff::civil::Date {
    jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date()
}

/// The provider that a blueprint names.
///
/// # Errors
/// Its machinery is not in this program.
pub fn provider(wanted: &Wanted, environment: &Environment, global: &Global) -> Result<Arc<dyn Provider>, Failure> {
    let kind = wanted.cluster.provider;
    if let Some(rehearsal) = &environment.rehearsal {
        let local = wbk_provider_local::LocalProvider::new(local_settings(environment, global));
        return Ok(Arc::new(RehearsalProvider::new(local, kind, rehearsal)));
    }
    match kind {
        ProviderKind::Local => {
            Ok(Arc::new(wbk_provider_local::LocalProvider::new(local_settings(environment, global))))
        }
        ProviderKind::Existing => Ok(Arc::new(wbk_provider_existing::ExistingProvider::new(
            environment.kubeconfigs(),
            global.context.clone(),
        ))),
        ProviderKind::Kind => Ok(Arc::new(wbk_provider_kind::KindProvider::new(kind_settings(environment)))),
        ProviderKind::Eks => Ok(Arc::new(wbk_provider_eks::EksProvider::new(wbk_provider_eks::Settings {
            token_program: vec![environment.program.display().to_string(), "eks".into(), "token".into()],
            way: super::aws::way(environment)?,
        }))),
        kind @ (ProviderKind::Gke | ProviderKind::Aks) => {
            Err(Failure::usage(format!("not supported yet: cluster.provider {kind}")))
        }
    }
}

/// Where the kind provider keeps things and what it may use.
pub fn kind_settings(environment: &Environment) -> wbk_provider_kind::Settings {
    wbk_provider_kind::Settings {
        path: environment.path(),
        environment: wbk_provider_kind::Settings::allowed(environment.variables()),
        engine: environment.get("KIND_EXPERIMENTAL_PROVIDER"),
        fake_gpu: environment.get("WBK_INFRA_FAKE_GPU").map(PathBuf::from),
        ..wbk_provider_kind::Settings::new(environment.state.clone(), environment.cache.clone())
    }
}

/// Where the local provider keeps things and what it may use.
pub fn local_settings(environment: &Environment, global: &Global) -> wbk_provider_local::Settings {
    wbk_provider_local::Settings {
        assets_dir: global.assets.clone(),
        mirror: global.mirror.clone(),
        proxy: environment.get("HTTPS_PROXY").or_else(|| environment.get("https_proxy")),
        no_proxy: environment.get("NO_PROXY").or_else(|| environment.get("no_proxy")),
        downloads: environment.get("WBK_INFRA_NO_DOWNLOADS").is_none(),
        path: environment.path(),
        simulator: vec![environment.program.clone().into(), "local".into(), "simulate".into()],
        audit: environment.get("WBK_INFRA_AUDIT").is_some(),
        ..wbk_provider_local::Settings::new(environment.state.clone(), environment.cache.clone())
    }
}

/// A connection to the cluster.
pub struct Connection {
    /// How it was reached.
    pub access: Access,
    /// The requests.
    pub cluster: Cluster,
    /// The kinds.
    pub discovery: Discovery,
}

/// What a command needs to know beforehand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To apply or compare: the values of secrets are followed.
    Apply,
    /// To take away: what things hold does not matter.
    Destroy,
}

/// Everything that was seen.
pub struct Situation {
    /// The provider.
    pub provider: Arc<dyn Provider>,
    /// What it saw is in `sight`; what it would change.
    pub operations: Vec<Operation>,
    /// What the provider knows about them before any is run.
    pub findings: Vec<Finding>,
    /// The connection, where there is one.
    pub connection: Option<Connection>,
    /// Helm and the rendered charts, where the blueprint has any.
    pub charts: Option<Charts>,
    /// Values of secrets.
    pub values: SecretValues,
    /// What was seen.
    pub sight: Sight,
    /// What was remembered before this look.
    pub before: Memory,
    /// Where the memory is kept; known once the cluster is.
    pub memory: Option<PathBuf>,
    /// What to do about a cluster that cannot be reached.
    pub hint: Option<String>,
    /// Data that goes with a release when it is uninstalled, by release.
    pub holding: BTreeMap<String, Vec<String>>,
    /// Jobs that agents of Launch follow, by release, of those agents that are not as they shall be.
    pub running: BTreeMap<String, Vec<String>>,
    /// Whether the provider is played.
    pub rehearsed: bool,
}

impl Situation {
    /// Whether nodes are simulated.
    pub fn simulated(&self, desired: &Desired) -> bool {
        self.rehearsed || desired.wanted.cluster.provider == ProviderKind::Local
    }

    /// Keeps the memory. That it cannot be kept costs time at the next plan, no more: it is said, and no error.
    pub fn remember(&self) -> Option<String> {
        let path = self.memory.as_ref()?;
        if self.sight.memory == self.before {
            return None;
        }
        self.sight.memory.save(path).err().map(|error| format!("warning: {error}: {}", error.source))
    }
}

/// A task that ends when nobody waits for it any more.
struct Task<T>(tokio::task::JoinHandle<T>);

impl<T> Drop for Task<T> {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl<T> Task<T> {
    async fn outcome(mut self) -> T {
        match (&mut self.0).await {
            Ok(outcome) => outcome,
            // Nothing cancels it while it is waited for: it panicked, and so does this.
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        }
    }
}

/// What needs no more than the provider's part of a blueprint, and is under way while the rest of it is read: the provider's
/// own look, and the way to the API server as far as its kinds.
pub struct HeadStart {
    provider: Arc<dyn Provider>,
    observed: Task<Observed>,
    /// The way is known and nothing was sent yet.
    way: tokio::sync::oneshot::Receiver<(Access, Cluster)>,
    connection: Task<Result<Connection, Unreached>>,
}

impl HeadStart {
    /// Begins.
    pub fn begin(provider: Arc<dyn Provider>, wanted: Wanted, global: &Global, purpose: Purpose) -> Self {
        let (sender, way) = tokio::sync::oneshot::channel();
        let (from, limits) = (Arc::clone(&provider), (global.parallel, Duration::from_secs(global.request_timeout)));
        let spec = wanted.clone();
        let connection = tokio::spawn(async move {
            let (access, cluster) = find_way(&*from, &spec, limits).await?;
            // Nobody may be there to hear it.
            let _ = sender.send((access.clone(), cluster.clone()));
            discover(access, cluster).await
        });
        let from = Arc::clone(&provider);
        let observed = tokio::spawn(async move {
            match purpose {
                Purpose::Apply => from.observe(&wanted).await,
                Purpose::Destroy => from.observe_to_remove(&wanted).await,
            }
        });
        Self { provider, observed: Task(observed), way, connection: Task(connection) }
    }
}

/// Looks at the world of a blueprint.
///
/// # Errors
/// Missing secret values, a chart that does not render, another cluster than the pinned one. A cluster that cannot be
/// reached is no error here: the plan says what could not be seen.
pub async fn look(
    desired: &Desired,
    (environment, global): (&Environment, &Global),
    purpose: Purpose,
    head: Option<HeadStart>,
    say: &(dyn Fn(&str) + Sync),
) -> Result<Situation, Failure> {
    let head = match head {
        Some(head) => head,
        None => {
            HeadStart::begin(provider(&desired.wanted, environment, global)?, desired.wanted.clone(), global, purpose)
        }
    };
    let HeadStart { provider, observed, way, connection } = head;
    let looker = Looker { desired, environment, global, purpose, say };
    let ahead = match way.await {
        Ok((access, cluster)) => Ahead {
            early: EarlyLists::start(&cluster, desired),
            before: Memory::load(&memory_path(environment, &desired.name, &access)),
        },
        // There is no way; why, says the connection.
        Err(_) => Ahead::default(),
    };
    let through = match connection.outcome().await {
        Ok(connection) => Ok(looker.through(Some(connection), None, ahead).await),
        Err(unreached) => Err(unreached),
    };
    let observed = observed.outcome().await;
    let mut hint = None;
    let cluster_side = match through {
        Ok(cluster_side) => cluster_side?,
        Err(unreached) => {
            let unreached = match &observed.cluster {
                Seen::Absent => None,
                Seen::Present(seen) if !seen.running => {
                    let why = Why("the cluster is there and not running".into());
                    Some(Unreached { why, hint: Some("apply starts it".into()) })
                }
                Seen::Present(_) | Seen::Unknown(_) => Some(unreached),
            };
            hint = unreached.as_ref().and_then(|unreached| unreached.hint.clone());
            looker.through(None, unreached.map(|unreached| unreached.why), Ahead::default()).await?
        }
    };
    let ClusterSide { connection, charts, values, mut sight, before, memory } = cluster_side;
    let operations = match purpose {
        Purpose::Apply => provider.plan(&desired.wanted, &observed),
        Purpose::Destroy => provider.plan_destroy(&desired.wanted, &observed),
    };
    let findings = match purpose {
        Purpose::Apply => provider.preflight(&desired.wanted, &observed, &operations),
        Purpose::Destroy => Vec::new(),
    };
    sight.live.provider = observed;
    if let ClusterState::Reached(world) = &sight.live.cluster {
        check_pin(desired, environment, world)?;
    }
    sight.live.queues = match environment.rehearsal.is_some() {
        true => rehearsed_queues(desired, purpose),
        false => launch_queues(desired, (&values, environment), purpose).await?,
    };
    let holding = holding(&sight, charts.as_ref(), connection.as_ref()).await;
    let running = running(desired, &sight, connection.as_ref()).await;
    let rehearsed = environment.rehearsal.is_some();
    Ok(Situation {
        provider,
        operations,
        findings,
        connection,
        charts,
        values,
        sight,
        before,
        memory,
        hint,
        holding,
        running,
        rehearsed,
    })
}

/// What a look is given.
struct Looker<'a> {
    desired: &'a Desired,
    environment: &'a Environment,
    global: &'a Global,
    purpose: Purpose,
    say: &'a (dyn Fn(&str) + Sync),
}

/// What was begun before the server's kinds were known.
struct Ahead {
    early: EarlyLists,
    before: Memory,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { early: EarlyLists::default(), before: Memory::load(Path::new("/nonexistent")) }
    }
}

/// All of a [`Situation`] that is not the provider's.
struct ClusterSide {
    connection: Option<Connection>,
    charts: Option<Charts>,
    values: SecretValues,
    sight: Sight,
    before: Memory,
    memory: Option<PathBuf>,
}

impl Looker<'_> {
    /// Looks through a connection; without one, at what its absence means. What the provider saw is left open.
    async fn through(
        &self,
        connection: Option<Connection>,
        unreachable: Option<Why>,
        Ahead { early, before }: Ahead,
    ) -> Result<ClusterSide, Failure> {
        let Self { desired, environment, global, purpose, say } = *self;
        let reached = connection.as_ref().map(|connection| (&connection.cluster, &connection.discovery));
        let values = match purpose {
            Purpose::Apply => secrets::resolve(desired, environment, reached).await.map_err(missing_secrets)?,
            Purpose::Destroy => launch_key(desired, environment, reached).await,
        };
        let charts = match (desired.releases.is_empty(), purpose) {
            (true, _) => None,
            // Where nothing can be looked at, what a chart renders is no question: a registry must not hold a destroy back.
            (false, Purpose::Destroy) if connection.is_none() => None,
            (false, _) => Some(render_all(desired, environment, global, connection.as_ref(), say).await?),
        };
        let rendered = charts.as_ref().map(|charts| charts.rendered.as_slice()).unwrap_or_default();
        let memory = connection.as_ref().map(|connection| memory_path(environment, &desired.name, &connection.access));
        let observer = Observer { desired, releases: rendered, memory: before.clone(), values: &values, early };
        let reach = match (&connection, unreachable) {
            (Some(connection), _) => Reach::Cluster {
                cluster: &connection.cluster,
                discovery: &connection.discovery,
                context: &connection.access.context,
            },
            (None, Some(why)) => Reach::Unreachable(why),
            (None, None) => Reach::NoCluster,
        };
        let open = Observed::of(Seen::Unknown(Why("it is being looked at".into())), BTreeMap::new());
        let sight = observer.observe(open, reach).await;
        Ok(ClusterSide { connection, charts, values, sight, before, memory })
    }
}

/// Data that goes with releases: of those of the blueprint by what they render, of those it no longer names by Helm's marks
/// on the claims in the cluster. That those cannot be listed counts as data: what is not seen is not let go.
async fn holding(
    sight: &Sight,
    charts: Option<&Charts>,
    connection: Option<&Connection>,
) -> BTreeMap<String, Vec<String>> {
    let mut holding: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let name = |id: &crate::id::ReleaseId| crate::plan::Target::Release(id.clone()).to_string();
    for (release, objects) in charts.iter().flat_map(|charts| &charts.objects) {
        let data = objects.iter().filter(|id| crate::plan::is_data(&id.key().kind)).map(ToString::to_string);
        holding.entry(name(release)).or_default().extend(data);
    }
    let former: Vec<&crate::id::ReleaseId> = sight
        .live
        .releases
        .iter()
        .filter(|(_, state)| matches!(state, crate::live::ReleaseState::Seen { inputs: None, .. }))
        .map(|(id, _)| id)
        .collect();
    if former.is_empty() {
        return holding;
    }
    let claim = crate::id::Gvk::new("v1", "PersistentVolumeClaim");
    let Some((connection, resource)) =
        connection.and_then(|connection| Some((connection, connection.discovery.find(&claim)?)))
    else {
        return holding;
    };
    let selector = format!("{}={}", crate::cluster::MANAGED_BY_LABEL, crate::cluster::HELM_MANAGED_BY);
    let claims = connection.cluster.list_metadata(resource, None, &selector).await;
    for id in former {
        let held = holding.entry(name(id)).or_default();
        match &claims {
            Ok(claims) => held.extend(claims.iter().filter_map(|meta| {
                let of = |key: &str| meta.annotations.get(key);
                (of(crate::helm::RELEASE_NAME_ANNOTATION) == Some(&id.name)
                    && of(crate::helm::RELEASE_NAMESPACE_ANNOTATION) == Some(&id.namespace))
                .then(|| {
                    format!("PersistentVolumeClaim {}/{}", meta.namespace.as_deref().unwrap_or_default(), meta.name)
                })
            })),
            Err(error) => held.push(format!("claims that could not be listed ({})", error.words())),
        }
    }
    holding
}

/// Jobs of the queues of each agent that an apply would start anew. Nothing is asked for agents that stay as they are; what
/// cannot be listed is not said.
async fn running(desired: &Desired, sight: &Sight, connection: Option<&Connection>) -> BTreeMap<String, Vec<String>> {
    let mut running = BTreeMap::new();
    let (Some(launch), Some(connection)) = (&desired.launch, connection) else { return running };
    let begins_anew = |id: &crate::id::ReleaseId| match (
        sight.live.releases.get(id),
        desired.releases.iter().find(|release| release.id == *id),
    ) {
        (Some(ReleaseState::Seen { record: Some(record), inputs: Some(inputs), drifted, .. }), Some(release)) => {
            let change = release_change(release, inputs, &desired.name, Some(record));
            !drifted.is_empty() || !matches!(change, ReleaseChange::None)
        }
        _ => false,
    };
    let agents: Vec<_> = launch.agents.iter().filter(|agent| begins_anew(&agent.release)).collect();
    if agents.is_empty() {
        return running;
    }
    let sources = crate::launch::read(
        launch,
        Some((&connection.cluster, connection.access.simulated_nodes)),
        None,
        crate::launch::Nodes::WhenWaitedFor,
    )
    .await;
    if sources.unseen.iter().any(|unseen| !unseen.starts_with("W&B")) {
        return running;
    }
    let board = crate::launch::board(launch, &sources, jiff::Timestamp::now());
    for agent in agents {
        let is_its = |job: &&JobRow| {
            agent.queues.contains(&job.queue) && matches!(job.state, JobState::Pending | JobState::Running)
        };
        let names = board.jobs.iter().filter(is_its).map(|job| format!("{}/{}", job.namespace, job.name)).collect();
        running.insert(crate::plan::Target::Release(agent.release.clone()).to_string(), names);
    }
    running
}

fn missing_secrets(errors: Vec<(String, crate::live::SecretError)>) -> Failure {
    let lines: Vec<String> = errors.iter().map(|(at, error)| format!("\n  {at}: {error}")).collect();
    let error = anyhow::anyhow!(
        "{} secret {} no value:{}",
        errors.len(),
        if errors.len() == 1 { "reference gives" } else { "references give" },
        lines.concat()
    );
    Failure::hinted(error, "set what is named above; values are read when they are needed and kept nowhere")
}

/// Why a cluster cannot be reached, and what to do about it.
#[derive(Debug)]
pub struct Unreached {
    /// In one line.
    pub why: Why,
    /// One concrete action.
    pub hint: Option<String>,
}

/// Connects to the cluster and asks for its kinds.
///
/// # Errors
/// Why it cannot be reached, in one line.
pub async fn reach(provider: &dyn Provider, desired: &Desired, global: &Global) -> Result<Connection, Unreached> {
    let limits = (global.parallel, Duration::from_secs(global.request_timeout));
    let (access, cluster) = find_way(provider, &desired.wanted, limits).await?;
    discover(access, cluster).await
}

/// Finds out how to reach the cluster; nothing is sent to it yet.
async fn find_way(
    provider: &dyn Provider,
    wanted: &Wanted,
    (parallel, timeout): (usize, Duration),
) -> Result<(Access, Cluster), Unreached> {
    let access =
        provider.access(wanted).await.map_err(|error| Unreached { why: in_words(&error), hint: error.hint.clone() })?;
    let client = connect(&access).await.map_err(|error| unreached(&error))?;
    Ok((access, Cluster::new(client, parallel, timeout)))
}

async fn discover(access: Access, cluster: Cluster) -> Result<Connection, Unreached> {
    let discovery = cluster.discover().await.map_err(|error| unreached(&error))?;
    Ok(Connection { access, cluster, discovery })
}

fn unreached(error: &crate::cluster::ClusterError) -> Unreached {
    Unreached { why: in_words(error), hint: error.hint().map(str::to_owned) }
}

/// An error and its causes in one line.
fn in_words(error: &dyn std::error::Error) -> Why {
    Why(wbk_provider_api::in_words(error))
}

/// Where the memory of a blueprint is kept: one file for each way to reach a cluster. A wrong one costs time, never truth:
/// the objects' uids are in it.
pub fn memory_path(environment: &Environment, blueprint: &str, access: &Access) -> PathBuf {
    let server = access.kubeconfig.clusters.first().and_then(|cluster| cluster.cluster.as_ref()?.server.clone());
    let place =
        format!("{} {}", access.context, if access.simulated_nodes { None } else { server }.unwrap_or_default());
    let digest = crate::id::Digest::of_bytes(place.as_bytes());
    environment.state.join("inventory").join(format!("{blueprint}-{}.json", digest.short()))
}

/// All files of a blueprint.
///
/// # Errors
/// None was given.
pub fn files(blueprint: &BlueprintArgs) -> Result<Vec<PathBuf>, Failure> {
    let files = blueprint.all();
    if files.is_empty() { Err(Failure::usage("no blueprint was given")) } else { Ok(files) }
}

/// Additions by others, with the bodies to read their values from: one GET for each object that has any.
pub async fn additions(
    situation: &Situation,
) -> BTreeMap<crate::id::ObjectKey, (Vec<crate::live::Addition>, serde_json::Value)> {
    use futures::{StreamExt, stream};
    let Some(connection) = &situation.connection else { return BTreeMap::new() };
    let with_additions: Vec<_> = situation
        .sight
        .live
        .objects
        .keys()
        .filter_map(|key| {
            let meta = situation.sight.metas.get(key)?;
            let found = crate::live::additions(meta, &[]);
            (!found.is_empty()).then(|| (key.clone(), found))
        })
        .collect();
    stream::iter(with_additions)
        .map(|(key, found)| async move {
            let resource = connection.discovery.preferred(&key.kind)?;
            let id = crate::id::ObjectId {
                gvk: resource.gvk.clone(),
                namespace: key.namespace.clone(),
                name: key.name.clone(),
            };
            // Gone or unreadable meanwhile: its additions went with it, or are told by the next look.
            let body = connection.cluster.get(resource, &id).await.ok()??;
            Some((key, (found, body)))
        })
        .buffer_unordered(16)
        .filter_map(|found| async move { found })
        .collect()
        .await
}

//! Makes a cluster and its pools as they are wanted, and removes them. Every operation finishes what an interrupted one began.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Node, Pod};
use kube::api::{DeleteParams, EvictParams, ListParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt as _};
use serde_json::json;
use wbk_provider_api::{PoolSeen, PoolSpec, Progress, ProgressSink, Seen, Wanted, differences};

use crate::containers::{Container, Role, control_plane, owned};
use crate::machine::Machine;
use crate::observe::{World, identity, lacking};
use crate::{KindError, config, fake_gpu, nodes, pins, provider, record};

/// How often a condition is looked at; what is awaited takes seconds.
const LOOK: Duration = Duration::from_millis(250);
/// A control plane that was started answers after 5 to 20 s on two busy cores.
const ANSWERS: Duration = Duration::from_secs(180);
/// All nodes were Ready 31 to 50 s after the start of a creation; a busy machine takes longer.
const READY: Duration = Duration::from_secs(300);
/// Pods get their grace period (30 s by default), and a disruption budget gets the time of one replacement.
const DRAINED: Duration = Duration::from_secs(180);
/// Attempts of a patch that another writer got in between.
const ATTEMPTS: usize = 5;

const FIELD_MANAGER: &str = "wbk-infra";

/// Namespaces of a cluster that nobody has used yet.
const OF_KIND: [&str; 5] = ["default", "kube-node-lease", "kube-public", "kube-system", "local-path-storage"];

/// Creates the cluster, or starts it, or finishes or makes anew one whose creation was interrupted.
pub(crate) async fn start(
    machine: &Machine,
    wanted: &Wanted,
    expect: &str,
    progress: ProgressSink<'_>,
) -> Result<(), KindError> {
    let name = &wanted.cluster.name;
    let _lock = lock(machine, name, progress).await?;
    let containers = ours(machine, wanted).await?;
    if containers.is_empty() {
        if !expect.is_empty() {
            return Err(KindError::Moved { what: format!("kind cluster {name}") });
        }
        return create(machine, wanted, progress).await;
    }
    if !expect.is_empty() && identity(&containers) != expect {
        return Err(KindError::Moved { what: format!("kind cluster {name}") });
    }
    let stopped: Vec<&str> =
        containers.iter().filter(|container| !container.running).map(|container| container.name.as_str()).collect();
    if !stopped.is_empty() {
        progress(Progress(format!("starting {}", stopped.join(", "))));
        machine.start(&stopped).await?;
    }
    let Some(first) = control_plane(&containers) else {
        return anew(machine, wanted, progress).await;
    };
    let is_made = machine.has_file(&first.name, record::FILE).await?;
    let client = match answers(machine, wanted, is_made, progress).await {
        Ok(client) => client,
        Err(_) if !is_made => return anew(machine, wanted, progress).await,
        Err(error) => return Err(error),
    };
    let records = Api::<ConfigMap>::namespaced(client.clone(), record::NAMESPACE);
    let found = records.get_opt(record::NAME).await.map_err(KindError::api("read the record of the node pools"))?;
    match (found, is_made) {
        (Some(_), _) => {}
        (None, true) => write_record(&client, wanted).await?,
        (None, false) => {
            unused(&client, name).await?;
            return anew(machine, wanted, progress).await;
        }
    }
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    ready(&client, &names, progress).await
}

/// Deletes a cluster of which nothing is finished, and makes it.
async fn anew(machine: &Machine, wanted: &Wanted, progress: ProgressSink<'_>) -> Result<(), KindError> {
    progress(Progress("its creation was interrupted before it was complete: it is made anew".into()));
    remove_cluster(machine, &wanted.cluster.name).await?;
    create(machine, wanted, progress).await
}

/// Nobody uses it: nothing but what kind itself puts into a cluster.
async fn unused(client: &kube::Client, name: &str) -> Result<(), KindError> {
    let namespaces = Api::<Namespace>::all(client.clone()).list(&ListParams::default()).await;
    let namespaces = namespaces.map_err(KindError::api("list the namespaces"))?;
    let others: Vec<String> = namespaces
        .iter()
        .map(|namespace| namespace.name_any())
        .filter(|namespace| !OF_KIND.contains(&namespace.as_str()))
        .collect();
    if others.is_empty() {
        return Ok(());
    }
    Err(KindError::Refused {
        what: format!(
            "kind cluster {name} says that its creation was interrupted, and holds namespaces that somebody made: {}",
            others.join(", ")
        ),
        hint: format!("if they may be lost: kind delete cluster --name {name}, then apply again"),
    })
}

async fn create(machine: &Machine, wanted: &Wanted, progress: ProgressSink<'_>) -> Result<(), KindError> {
    let name = &wanted.cluster.name;
    let image = match (&wanted.cluster.kind.image, wanted.cluster.version.as_deref()) {
        (Some(image), _) => Some(image.as_str()),
        (None, Some(version)) => Some(
            pins::image(version)
                .ok_or_else(|| KindError::Version { version: version.to_owned(), known: pins::versions() })?,
        ),
        (None, None) => None,
    };
    let archives = archives(machine, wanted, progress).await?;
    let folder = machine.settings().folder(name);
    let marks = folder.join("mark");
    std::fs::create_dir_all(&marks).map_err(KindError::file("create directory", &marks))?;
    let path = folder.join("kind.yaml");
    let text = format!("{:#}\n", config::of(wanted, image, &marks));
    std::fs::write(&path, text).map_err(KindError::file("write", &path))?;
    let kubeconfig = folder.join("kubeconfig");
    machine.create(name, &path, &kubeconfig, progress).await?;
    let containers = ours(machine, wanted).await?;
    let client = answers(machine, wanted, true, progress).await?;
    load(machine, name, &containers.iter().collect::<Vec<_>>(), &archives, progress).await?;
    let names: Vec<&str> = containers.iter().map(|container| container.name.as_str()).collect();
    ready(&client, &names, progress).await?;
    write_record(&client, wanted).await?;
    // Last of all: it stands for everything before it.
    match control_plane(&containers) {
        Some(first) => machine.touch(&first.name, record::FILE).await,
        None => Err(KindError::NoCluster { name: name.clone() }),
    }
}

/// The archives of the images that no registry has, each made now if it is not there yet.
async fn archives(
    machine: &Machine,
    wanted: &Wanted,
    progress: ProgressSink<'_>,
) -> Result<BTreeMap<String, std::path::PathBuf>, KindError> {
    let mut archives = BTreeMap::new();
    for image in &wanted.cluster.kind.load {
        archives.insert(image.clone(), fake_gpu::archive(machine.settings(), image, progress).await?);
    }
    Ok(archives)
}

async fn load(
    machine: &Machine,
    cluster: &str,
    containers: &[&Container],
    archives: &BTreeMap<String, std::path::PathBuf>,
    progress: ProgressSink<'_>,
) -> Result<(), KindError> {
    let images = archives.keys().cloned().collect();
    for (image, nodes) in lacking(machine, containers, &images).await? {
        progress(Progress(format!("loading {image} onto {}", nodes.join(", "))));
        machine.load(cluster, &archives[&image], &nodes).await?;
    }
    Ok(())
}

async fn write_record(client: &kube::Client, wanted: &Wanted) -> Result<(), KindError> {
    let records = Api::<ConfigMap>::namespaced(client.clone(), record::NAMESPACE);
    let params = PostParams { field_manager: Some(FIELD_MANAGER.into()), ..PostParams::default() };
    match records.create(&params, &record::new(&wanted.blueprint)).await {
        Err(kube::Error::Api(status)) if status.code == 409 => Ok(()),
        result => result.map(drop).map_err(KindError::api("write the record of the node pools")),
    }
}

/// Deletes the cluster that was planned on, and what is kept of it here.
pub(crate) async fn delete(
    machine: &Machine,
    wanted: &Wanted,
    expect: &str,
    progress: ProgressSink<'_>,
) -> Result<(), KindError> {
    let name = &wanted.cluster.name;
    let _lock = lock(machine, name, progress).await?;
    let containers = ours(machine, wanted).await?;
    if !containers.is_empty() && !expect.is_empty() && identity(&containers) != expect {
        return Err(KindError::Moved { what: format!("kind cluster {name}") });
    }
    if !containers.is_empty() {
        progress(Progress(format!("deleting {} nodes", containers.len())));
    }
    remove_cluster(machine, name).await
}

async fn remove_cluster(machine: &Machine, name: &str) -> Result<(), KindError> {
    let folder = machine.settings().folder(name);
    std::fs::create_dir_all(&folder).map_err(KindError::file("create directory", &folder))?;
    machine.delete(name, &folder.join("kubeconfig")).await?;
    let left = machine.containers(name).await?;
    if let Some(left) = left.first() {
        let command = format!("kind delete cluster --name {name}");
        return Err(KindError::Failed { command, said: format!("{} is still there", left.name) });
    }
    for file in ["kubeconfig", "kind.yaml"] {
        let path = folder.join(file);
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                return Err(KindError::file("remove", &path)(error));
            }
            Ok(()) | Err(_) => {}
        }
    }
    Ok(())
}

/// Deletes the cluster and makes it as it is wanted now, pools and all.
pub(crate) async fn replace(
    machine: &Machine,
    wanted: &Wanted,
    expect: &str,
    progress: ProgressSink<'_>,
) -> Result<(), KindError> {
    delete(machine, wanted, expect, progress).await?;
    start(machine, wanted, "", progress).await?;
    for pool in wanted.pools.values() {
        apply_pool(machine, wanted, pool, "", progress).await?;
    }
    Ok(())
}

/// Makes a pool's nodes as they are wanted; those that are too many are drained and removed.
pub(crate) async fn apply_pool(
    machine: &Machine,
    wanted: &Wanted,
    pool: &PoolSpec,
    expect: &str,
    progress: ProgressSink<'_>,
) -> Result<(), KindError> {
    let client = provider::client(machine, wanted).await?;
    let world = World::read(machine, &client, ours(machine, wanted).await?, &wanted.cluster.kind.load).await?;
    let before = match world.pool(wanted, &pool.name) {
        Seen::Present(found) => {
            let is_as_wanted = differences(&found.spec, pool).is_empty()
                && found.deviations.is_empty()
                && found.nodes == pool.size.min;
            if is_as_wanted && recorded(&world, &pool.name) {
                return Ok(());
            }
            check(&found, pool, expect)?;
            found.spec
        }
        Seen::Absent | Seen::Unknown(_) => pool.clone(),
    };
    let containers = world.of_pool(&pool.name);
    let stopped: Vec<&str> =
        containers.iter().filter(|container| !container.running).map(|container| container.name.as_str()).collect();
    if !stopped.is_empty() {
        progress(Progress(format!("starting {}", stopped.join(", "))));
        machine.start(&stopped).await?;
    }
    let kept = usize::try_from(pool.size.min).unwrap_or(usize::MAX).min(containers.len());
    let (kept, surplus) = containers.split_at(kept);
    load(machine, &wanted.cluster.name, kept, &archives(machine, wanted, progress).await?, progress).await?;
    let names: Vec<&str> = kept.iter().map(|container| container.name.as_str()).collect();
    registered(&client, &names, progress).await?;
    // Nodes first, the record last: interrupted, the record still knows which labels were the old ones.
    for name in &names {
        change_node(&client, &wanted.blueprint, &before, pool, name).await?;
    }
    for container in surplus {
        remove_node(machine, &client, container, progress).await?;
    }
    ready(&client, &names, progress).await?;
    // Nodes that only another cluster can have are not there, and the record does not say that they are.
    let is_short = kept.len() < usize::try_from(pool.size.min).unwrap_or(usize::MAX);
    let size = if is_short { before.size } else { pool.size };
    put_record(&client, &pool.name, Some(&PoolSpec { size, ..pool.clone() })).await
}

fn recorded(world: &World, pool: &str) -> bool {
    world.record.as_ref().is_some_and(|record| record::pools(record).contains_key(pool))
}

/// What is planned on is what is there; a creation that was interrupted is finished.
fn check(found: &PoolSeen, pool: &PoolSpec, expect: &str) -> Result<(), KindError> {
    let is_unfinished = expect.is_empty() && differences(&found.spec, pool).is_empty();
    if is_unfinished || found.fingerprint == expect {
        Ok(())
    } else {
        Err(KindError::Moved { what: format!("node pool {}", pool.name) })
    }
}

/// Removes a pool: drains and removes its nodes, and takes it out of the record.
pub(crate) async fn delete_pool(
    machine: &Machine,
    wanted: &Wanted,
    name: &str,
    expect: &str,
    progress: ProgressSink<'_>,
) -> Result<(), KindError> {
    let client = provider::client(machine, wanted).await?;
    let world = World::read(machine, &client, ours(machine, wanted).await?, &wanted.cluster.kind.load).await?;
    match world.pool(wanted, name) {
        Seen::Absent | Seen::Unknown(_) => return Ok(()),
        Seen::Present(found) if !expect.is_empty() && found.fingerprint != expect => {
            return Err(KindError::Moved { what: format!("node pool {name}") });
        }
        Seen::Present(_) => {}
    }
    let containers = world.of_pool(name);
    if let Some(first) = containers.iter().find(|container| container.role != Role::Worker) {
        return Err(KindError::Refused {
            what: format!("node pool {name} is not deleted: {} is the control plane", first.name),
            hint: "keep the pool, or let the cluster be made anew".into(),
        });
    }
    for container in containers {
        remove_node(machine, &client, container, progress).await?;
    }
    put_record(&client, name, None).await
}

async fn put_record(client: &kube::Client, name: &str, pool: Option<&PoolSpec>) -> Result<(), KindError> {
    let records = Api::<ConfigMap>::namespaced(client.clone(), record::NAMESPACE);
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    records
        .patch(record::NAME, &params, &Patch::Merge(record::patch(name, pool)))
        .await
        .map(drop)
        .map_err(KindError::api(format!("write the record of node pool {name}")))
}

async fn change_node(
    client: &kube::Client,
    blueprint: &str,
    before: &PoolSpec,
    pool: &PoolSpec,
    name: &str,
) -> Result<(), KindError> {
    let api = Api::<Node>::all(client.clone());
    let params = PatchParams { field_manager: Some(FIELD_MANAGER.into()), ..PatchParams::default() };
    let read = || api.get(name);
    let mut node = read().await.map_err(KindError::api(format!("read node {name}")))?;
    let mut attempt = 1;
    while let Some(patch) = nodes::patch(blueprint, before, pool, &node) {
        match api.patch(name, &params, &Patch::Merge(patch)).await {
            Ok(_) => break,
            Err(kube::Error::Api(status)) if status.code == 409 && attempt < ATTEMPTS => {
                attempt += 1;
                node = read().await.map_err(KindError::api(format!("read node {name}")))?;
            }
            Err(error) => return Err(KindError::api(format!("change node {name}"))(error)),
        }
    }
    Ok(())
}

/// Cordons and drains a node, then removes its container and its object.
async fn remove_node(
    machine: &Machine,
    client: &kube::Client,
    container: &Container,
    progress: ProgressSink<'_>,
) -> Result<(), KindError> {
    let name = &container.name;
    let nodes = Api::<Node>::all(client.clone());
    let cordon = Patch::Merge(json!({"spec": {"unschedulable": true}}));
    let cordoned = nodes.patch(name, &PatchParams::default(), &cordon).await;
    gone_is_fine(cordoned.map(drop)).map_err(KindError::api(format!("cordon node {name}")))?;
    if container.running {
        drain(client, name, progress).await?;
    }
    progress(Progress(format!("removing node {name}")));
    machine.remove(name).await?;
    let removed = nodes.delete(name, &DeleteParams::default()).await.map(drop);
    gone_is_fine(removed).map_err(KindError::api(format!("remove node {name}")))
}

/// Evicts every pod that something else can replace or that nobody does; disruption budgets are kept.
async fn drain(client: &kube::Client, node: &str, progress: ProgressSink<'_>) -> Result<(), KindError> {
    let on_it = ListParams::default().fields(&format!("spec.nodeName={node}"));
    let wait = Wait::new(format!("the pods of node {node} to leave"), DRAINED, "a disruption budget may hold them");
    let mut said = 0;
    loop {
        let pods = Api::<Pod>::all(client.clone()).list(&on_it).await;
        let pods = pods.map_err(KindError::api(format!("list the pods of node {node}")))?.items;
        let staying: Vec<&Pod> = pods.iter().filter(|pod| leaves(pod)).collect();
        if staying.is_empty() {
            return Ok(());
        }
        if staying.len() != said {
            said = staying.len();
            progress(Progress(format!("draining node {node}: {said} pods")));
        }
        for pod in staying.iter().filter(|pod| pod.metadata.deletion_timestamp.is_none()) {
            let api = Api::<Pod>::namespaced(client.clone(), &pod.namespace().unwrap_or_default());
            match api.evict(&pod.name_any(), &EvictParams::default()).await {
                Ok(_) => {}
                // Held by a budget (429), or gone already.
                Err(kube::Error::Api(status)) if status.code == 429 || status.code == 404 => {}
                Err(error) => return Err(KindError::api(format!("evict pod {}", pod.name_any()))(error)),
            }
        }
        wait.again().await?;
    }
}

/// Pods of DaemonSets and of files on the node go with it; ended ones need nothing.
fn leaves(pod: &Pod) -> bool {
    let of_node = pod.owner_references().iter().any(|owner| owner.kind == "DaemonSet" || owner.kind == "Node");
    let phase = pod.status.as_ref().and_then(|status| status.phase.as_deref());
    !of_node && !matches!(phase, Some("Succeeded" | "Failed"))
}

/// The nodes are known to the API server.
async fn registered(client: &kube::Client, names: &[&str], progress: ProgressSink<'_>) -> Result<(), KindError> {
    let api = Api::<Node>::all(client.clone());
    let wait = Wait::new(format!("{} to register", names.join(", ")), READY, "see its log: docker logs NODE");
    let mut said = false;
    loop {
        let found = api.list(&ListParams::default()).await.map_err(KindError::api("list the nodes"))?;
        if names.iter().all(|name| found.items.iter().any(|node| node.name_any() == *name)) {
            return Ok(());
        }
        if !said {
            progress(Progress(format!("waiting for {} to register", names.join(", "))));
            said = true;
        }
        wait.again().await?;
    }
}

/// The nodes are Ready.
async fn ready(client: &kube::Client, names: &[&str], progress: ProgressSink<'_>) -> Result<(), KindError> {
    let api = Api::<Node>::all(client.clone());
    let wait = Wait::new(
        format!("{} to be Ready", names.join(", ")),
        READY,
        "see kubectl describe node, and the kubelet's log: docker exec NODE journalctl -u kubelet",
    );
    let mut said = false;
    loop {
        let found = api.list(&ListParams::default()).await.map_err(KindError::api("list the nodes"))?;
        let is_there = |name: &str| found.items.iter().any(|node| node.name_any() == name && nodes::is_ready(node));
        if names.iter().all(|name| is_there(name)) {
            return Ok(());
        }
        if !said {
            progress(Progress(format!("waiting for {} to be Ready", names.join(", "))));
            said = true;
        }
        wait.again().await?;
    }
}

/// A connection to an API server that answers. One that was never complete is not waited for as long.
async fn answers(
    machine: &Machine,
    wanted: &Wanted,
    is_made: bool,
    progress: ProgressSink<'_>,
) -> Result<kube::Client, KindError> {
    let name = &wanted.cluster.name;
    let within = if is_made { ANSWERS } else { ANSWERS / 9 };
    let wait = Wait::new(
        format!("the API server of kind cluster {name} to answer"),
        within,
        "see what it says: kind export logs",
    );
    let mut said = false;
    loop {
        if let Ok(client) = provider::client(machine, wanted).await
            && client.apiserver_version().await.is_ok()
        {
            return Ok(client);
        }
        if !said {
            progress(Progress("waiting for the API server".into()));
            said = true;
        }
        wait.again().await?;
    }
}

/// The cluster's containers, all of them this blueprint's.
async fn ours(machine: &Machine, wanted: &Wanted) -> Result<Vec<Container>, KindError> {
    let containers = machine.containers(&wanted.cluster.name).await?;
    match owned(&containers, &wanted.blueprint) {
        Ok(()) => Ok(containers),
        Err(owner) => Err(KindError::Foreign { name: wanted.cluster.name.clone(), owner }),
    }
}

/// Whoever has it works on the cluster, others of this machine wait.
async fn lock(machine: &Machine, name: &str, progress: ProgressSink<'_>) -> Result<std::fs::File, KindError> {
    /// The longest that another has it: a first creation that pulls and builds all it needs.
    const LONGEST: Duration = Duration::from_secs(3600);
    let folder = machine.settings().folder(name);
    std::fs::create_dir_all(&folder).map_err(KindError::file("create directory", &folder))?;
    let path = folder.join("lock");
    let file = std::fs::File::create(&path).map_err(KindError::file("open", &path))?;
    let wait = Wait::new("another wbk-infra that works on this cluster", LONGEST, "see which one runs");
    let mut said = false;
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(file),
            Err(std::fs::TryLockError::Error(error)) => return Err(KindError::file("lock", &path)(error)),
            Err(std::fs::TryLockError::WouldBlock) => {}
        }
        if !said {
            progress(Progress(format!("another wbk-infra works on kind cluster {name}; waiting for it")));
            said = true;
        }
        wait.again().await?;
    }
}

fn gone_is_fine(result: kube::Result<()>) -> kube::Result<()> {
    match result {
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        result => result,
    }
}

/// A wait for something with a name, until a deadline.
struct Wait {
    what: String,
    hint: &'static str,
    within: Duration,
    deadline: Instant,
}

impl Wait {
    fn new(what: impl Into<String>, within: Duration, hint: &'static str) -> Self {
        Self { what: what.into(), hint, within, deadline: Instant::now() + within }
    }

    async fn again(&self) -> Result<(), KindError> {
        if Instant::now() >= self.deadline {
            let (what, seconds) = (self.what.clone(), self.within.as_secs());
            return Err(KindError::Late { what, seconds, hint: self.hint.into() });
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }
}

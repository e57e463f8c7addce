//! The clusters that were made through the front: how far each of them and its node groups is. Their descriptions are fakecloud's.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use serde_json::{Value, json};

use crate::cluster::Plane;

/// Why a node group has no nodes, in the words of `health.issues` of DescribeNodegroup.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Issue {
    /// `AsgInstanceLaunchFailures`.
    pub(crate) code: String,
    /// What AWS says about it.
    pub(crate) message: String,
}

/// How far a cluster is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Phase {
    /// Its control plane is being started.
    Creating,
    /// Its endpoint answers.
    Active {
        /// The endpoint's URL.
        endpoint: String,
        /// PEM of the authority that signed its certificate.
        authority: String,
    },
    /// It could not be started.
    Failed(String),
    /// It is being ended.
    Deleting,
}

/// How far a node group is.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum GroupPhase {
    #[default]
    Creating,
    Updating,
    Active,
    Failed(Issue),
    /// It has nodes, and something is wrong.
    Degraded(Issue),
    Deleting,
}

/// A cluster.
pub(super) struct Cluster {
    pub(super) name: String,
    state: Mutex<State>,
    /// The control plane, when it runs.
    pub(super) plane: tokio::sync::RwLock<Option<Plane>>,
}

struct State {
    phase: Phase,
    vpc: String,
    security_group: Option<String>,
    groups: BTreeMap<String, Group>,
}

#[derive(Clone, Default)]
struct Group {
    phase: GroupPhase,
    /// Held by whoever makes, changes or removes its nodes.
    turn: Arc<tokio::sync::Mutex<()>>,
}

/// All of them, by name.
#[derive(Default)]
pub(super) struct World {
    clusters: Mutex<BTreeMap<String, Arc<Cluster>>>,
    failing: Mutex<BTreeMap<String, Issue>>,
}

impl World {
    fn all(&self) -> MutexGuard<'_, BTreeMap<String, Arc<Cluster>>> {
        self.clusters.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn get(&self, name: &str) -> Option<Arc<Cluster>> {
        self.all().get(name).cloned()
    }

    /// A new cluster; `None` where there is one of that name.
    pub(super) fn add(&self, name: &str, vpc: &str) -> Option<Arc<Cluster>> {
        let mut all = self.all();
        if all.contains_key(name) {
            return None;
        }
        let state = State { phase: Phase::Creating, vpc: vpc.into(), security_group: None, groups: BTreeMap::new() };
        let plane = tokio::sync::RwLock::default();
        let cluster = Arc::new(Cluster { name: name.into(), state: Mutex::new(state), plane });
        all.insert(name.into(), Arc::clone(&cluster));
        Some(cluster)
    }

    /// All clusters.
    pub(super) fn everything(&self) -> Vec<Arc<Cluster>> {
        self.all().values().cloned().collect()
    }

    pub(super) fn remove(&self, name: &str) {
        self.all().remove(name);
    }

    /// Forgets all of them, and what shall fail.
    pub(super) fn clear(&self) {
        self.all().clear();
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }

    /// The next creation of a node group of this name, or whose label `wbk-infra/pool` says it, fails.
    pub(super) fn fail(&self, pool: &str, issue: Issue) {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner).insert(pool.into(), issue);
    }

    /// A node group that has nodes is unwell from now on, or well again.
    pub(super) fn degrade(&self, cluster: &str, group: &str, issue: Option<Issue>) {
        if let Some(cluster) = self.get(cluster) {
            // Nobody works on its nodes for it.
            let _turn = cluster.set_group(group, issue.map_or(GroupPhase::Active, GroupPhase::Degraded));
        }
    }

    /// Whether this creation fails; once.
    pub(super) fn fails(&self, group: &Value) -> Option<Issue> {
        let mut failing = self.failing.lock().unwrap_or_else(PoisonError::into_inner);
        let names = [&group["nodegroupName"], &group["labels"]["wbk-infra/pool"]];
        names.into_iter().filter_map(Value::as_str).find_map(|name| failing.remove(name))
    }

    /// Puts into an answer of EKS what the stand knows better.
    pub(super) fn present(&self, body: &mut Value, asked_group: Option<&str>, asked_cluster: Option<&str>) {
        if let Some(found) = body.get_mut("cluster").filter(|found| found.is_object()) {
            let cluster = found["name"].as_str().and_then(|name| self.get(name));
            if let Some(cluster) = cluster {
                cluster.present(found);
            }
        }
        if let Some(found) = body.get_mut("nodegroup").filter(|found| found.is_object()) {
            let cluster = found["clusterName"].as_str().and_then(|name| self.get(name));
            if let (Some(cluster), Some(name)) = (cluster, found["nodegroupName"].as_str().map(str::to_owned)) {
                cluster.present_group(&name, found);
            }
        }
        // fakecloud says of every update that it is done at the second look; one of nodes is done when they are.
        if let (Some(update), Some(group)) = (body.get_mut("update").filter(|update| update.is_object()), asked_group) {
            let cluster = asked_cluster.and_then(|name| self.get(name));
            if cluster.is_some_and(|cluster| cluster.group(group) == Some(GroupPhase::Updating)) {
                update["status"] = "InProgress".into();
            }
        }
    }
}

impl Cluster {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn phase(&self) -> Phase {
        self.state().phase.clone()
    }

    pub(super) fn set_phase(&self, phase: Phase) {
        self.state().phase = phase;
    }

    pub(super) fn vpc(&self) -> String {
        self.state().vpc.clone()
    }

    pub(super) fn security_group(&self) -> Option<String> {
        self.state().security_group.clone()
    }

    pub(super) fn set_security_group(&self, id: &str) {
        self.state().security_group = Some(id.into());
    }

    pub(super) fn group(&self, name: &str) -> Option<GroupPhase> {
        self.state().groups.get(name).map(|group| group.phase.clone())
    }

    /// Names of its node groups.
    pub(super) fn groups(&self) -> Vec<String> {
        self.state().groups.keys().cloned().collect()
    }

    /// A new node group, being made; `false` where there is one of that name.
    pub(super) fn add_group(&self, name: &str) -> bool {
        let mut state = self.state();
        let is_new = !state.groups.contains_key(name);
        state.groups.entry(name.into()).or_default();
        is_new
    }

    /// Enters a phase; the turn of whoever then works on its nodes.
    pub(super) fn set_group(&self, name: &str, phase: GroupPhase) -> Arc<tokio::sync::Mutex<()>> {
        let mut state = self.state();
        let group = state.groups.entry(name.into()).or_default();
        group.phase = phase;
        Arc::clone(&group.turn)
    }

    /// Ends a phase of work, unless another has begun meanwhile.
    pub(super) fn end_group_phase(&self, name: &str, begun: &GroupPhase, now: GroupPhase) {
        if let Some(group) = self.state().groups.get_mut(name)
            && group.phase == *begun
        {
            group.phase = now;
        }
    }

    pub(super) fn remove_group(&self, name: &str) {
        self.state().groups.remove(name);
    }

    /// Quirk: fakecloud's endpoints lead nowhere, its authorities are empty, and a cluster of it is ACTIVE at the first look. Here it
    /// is when its API server answers; until then it has no endpoint, as in EKS.
    fn present(&self, found: &mut Value) {
        use base64::Engine as _;
        let state = self.state();
        found["resourcesVpcConfig"]["vpcId"] = state.vpc.as_str().into();
        found["resourcesVpcConfig"]["clusterSecurityGroupId"] = state.security_group.clone().into();
        match &state.phase {
            Phase::Active { endpoint, authority } => {
                found["status"] = "ACTIVE".into();
                found["endpoint"] = endpoint.as_str().into();
                found["certificateAuthority"] =
                    json!({"data": base64::engine::general_purpose::STANDARD.encode(authority)});
                return;
            }
            Phase::Creating => found["status"] = "CREATING".into(),
            Phase::Deleting => found["status"] = "DELETING".into(),
            Phase::Failed(why) => {
                found["status"] = "FAILED".into();
                found["health"] = json!({"issues": [{"code": "InternalFailure", "message": why, "resourceIds": []}]});
            }
        }
        for part in ["endpoint", "certificateAuthority"] {
            found.as_object_mut().map(|object| object.remove(part));
        }
    }

    /// Quirk: a node group of fakecloud is ACTIVE at the first look, never UPDATING, and its deletion takes no time.
    fn present_group(&self, name: &str, found: &mut Value) {
        let Some(phase) = self.group(name) else { return };
        found["status"] = match &phase {
            GroupPhase::Creating => "CREATING",
            GroupPhase::Updating => "UPDATING",
            GroupPhase::Active => "ACTIVE",
            GroupPhase::Failed(_) => "CREATE_FAILED",
            GroupPhase::Degraded(_) => "DEGRADED",
            GroupPhase::Deleting => "DELETING",
        }
        .into();
        if let GroupPhase::Failed(issue) | GroupPhase::Degraded(issue) = phase {
            let groups: Vec<Value> = found["resources"]["autoScalingGroups"]
                .as_array()
                .into_iter()
                .flatten()
                .map(|group| group["name"].clone())
                .collect();
            found["health"] =
                json!({"issues": [{"code": issue.code, "message": issue.message, "resourceIds": groups}]});
        }
    }
}

//! `status`: one screen.

use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;
use serde_json::Value;
use wbk_provider_api::Seen;

use super::session::{Session, out, unfit};
use crate::{
    cli::{
        args::{BlueprintArgs, Output},
        failure::{Exit, Failure},
        show::{Mood, paint},
        situation::{Purpose, Situation, files, read_ahead},
    },
    cluster::{Readiness, readiness},
    desired::Desired,
    live::{ClusterState, ObjectState, ReleaseState},
    plan::{Plan, PlanOptions, Summary, plan},
};

impl Session<'_> {
    /// `status`.
    pub async fn status(&self, blueprint: &BlueprintArgs) -> Result<Exit, Failure> {
        let (desired, head) = read_ahead(&files(blueprint)?, self.environment, self.global)?;
        let situation = self.look(&desired, Purpose::Apply, Some(head)).await?;
        let made = plan(&desired, &situation.sight.live, &situation.operations, &PlanOptions::default());
        let pods = pods(&situation, &desired).await;
        let status = Status::of(&desired, &situation, &made, pods);
        match self.global.output {
            Output::Human => out(&status.human()),
            Output::Json => out(&serde_json::to_string_pretty(&status)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&status)?)),
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
                return Err(unfit("status", other));
            }
        }
        Ok(Exit::Done)
    }
}

/// What the screen shows.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Status {
    blueprint: String,
    provider: String,
    cluster: String,
    simulated_nodes: bool,
    pools: Vec<Pool>,
    kinds: BTreeMap<String, Count>,
    releases: BTreeMap<String, String>,
    pods: Vec<Waiting>,
    plan: Summary,
}

#[derive(Debug, Serialize)]
struct Pool {
    name: String,
    nodes: Option<u32>,
    min: u32,
    max: u32,
    accelerator: Option<String>,
    note: Option<String>,
}

#[derive(Debug, Serialize, Default)]
struct Count {
    wanted: usize,
    there: usize,
}

/// A pod that does not run, and why.
#[derive(Debug, Serialize)]
struct Waiting {
    pod: String,
    why: String,
}

/// Pods of the blueprint's namespaces that are not ready: at most this many are shown.
const SHOWN: usize = 10;

/// Looks for pods that wait, in the blueprint's namespaces.
async fn pods(situation: &Situation, desired: &Desired) -> Vec<Waiting> {
    let Some(connection) = &situation.connection else { return Vec::new() };
    // A picture only: without the right to list pods the rest of the screen stands.
    let Ok(list) = connection.cluster.request(Method::GET, "/api/v1/pods?limit=2000", None, "list the pods").await
    else {
        return Vec::new();
    };
    let ours = |pod: &&Value| {
        let namespace = pod.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
        desired.objects.iter().any(|object| object.id.namespace.as_deref() == Some(namespace))
            || desired.releases.iter().any(|release| release.id.namespace == namespace)
    };
    list["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(ours)
        .filter_map(|pod| match readiness(pod) {
            Readiness::Ready => None,
            Readiness::Waiting(why) | Readiness::Failed(why) => {
                let text = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
                Some(Waiting { pod: format!("{}/{}", text("/metadata/namespace"), text("/metadata/name")), why })
            }
        })
        .collect()
}

impl Status {
    /// Sums up what was seen.
    fn of(desired: &Desired, situation: &Situation, plan: &Plan, pods: Vec<Waiting>) -> Self {
        let live = &situation.sight.live;
        let cluster = match &live.cluster {
            ClusterState::Absent => "not there yet".to_owned(),
            ClusterState::Reached(world) => format!("answers (context {})", world.context),
            ClusterState::Unknown(why) => format!("does not answer: {}", why.0),
        };
        let pools = desired
            .wanted
            .pools
            .values()
            .map(|pool| {
                let seen = live.provider.pools.get(&pool.name);
                Pool {
                    name: pool.name.clone(),
                    nodes: seen.and_then(Seen::present).map(|seen| seen.nodes),
                    min: pool.size.min,
                    max: pool.size.max,
                    accelerator: pool
                        .accelerator
                        .as_ref()
                        .map(|accelerator| format!("{} x {}", accelerator.count, accelerator.model)),
                    note: match seen {
                        Some(Seen::Present(seen)) if !seen.deviations.is_empty() => {
                            Some(format!("{} deviations", seen.deviations.len()))
                        }
                        Some(Seen::Unknown(why)) => Some(why.0.clone()),
                        Some(Seen::Present(_) | Seen::Absent) | None => None,
                    },
                }
            })
            .collect();
        let mut kinds: BTreeMap<String, Count> = BTreeMap::new();
        for object in &desired.objects {
            let count = kinds.entry(object.id.gvk.group_kind().to_string()).or_default();
            count.wanted += 1;
            if matches!(live.objects.get(&object.id.key()), Some(ObjectState::Present(..))) {
                count.there += 1;
            }
        }
        let releases = live
            .releases
            .iter()
            .map(|(id, state)| {
                let text = match state {
                    ReleaseState::Seen { record: Some(record), drifted, .. } if drifted.is_empty() => {
                        format!("{} (revision {})", record.status, record.revision)
                    }
                    ReleaseState::Seen { record: Some(record), drifted, .. } => {
                        format!("{} (revision {}), {} objects drifted", record.status, record.revision, drifted.len())
                    }
                    ReleaseState::Seen { record: None, .. } => "not there".to_owned(),
                    ReleaseState::Unknown(why) => format!("not seen: {}", why.0),
                };
                (id.to_string(), text)
            })
            .collect();
        Self {
            blueprint: desired.name.clone(),
            provider: desired.wanted.cluster.provider.to_string(),
            cluster,
            simulated_nodes: situation.simulated(desired),
            pools,
            kinds,
            releases,
            pods,
            plan: Summary::of(plan),
        }
    }

    /// The screen.
    fn human(&self) -> String {
        let mut lines = vec![
            paint(Mood::Strong, format!("{} on {}", self.blueprint, self.provider)),
            format!("  cluster   {}", self.cluster),
        ];
        let simulated = if self.simulated_nodes { " (simulated nodes)" } else { "" };
        if !self.pools.is_empty() {
            lines.push(format!("{}{simulated}", paint(Mood::Strong, "Node pools")));
        }
        for pool in &self.pools {
            let nodes = pool.nodes.map_or_else(|| "?".to_owned(), |nodes| nodes.to_string());
            let what = pool.accelerator.as_deref().unwrap_or("no GPUs");
            let note = pool.note.as_ref().map(|note| format!("  {}", paint(Mood::Change, note))).unwrap_or_default();
            lines.push(format!("  {:16} {nodes:>3} nodes of {}..{}  {what}{note}", pool.name, pool.min, pool.max));
        }
        lines.push(paint(Mood::Strong, "Objects"));
        for (kind, count) in &self.kinds {
            let mark = if count.there == count.wanted { paint(Mood::Good, "ok") } else { paint(Mood::Bad, "--") };
            lines.push(format!("  {mark} {:44} {} of {}", kind, count.there, count.wanted));
        }
        if !self.releases.is_empty() {
            lines.push(paint(Mood::Strong, "Helm releases"));
            lines.extend(self.releases.iter().map(|(name, state)| format!("  {name:32} {state}")));
        }
        if !self.pods.is_empty() {
            lines.push(format!("{}{simulated}", paint(Mood::Strong, "Pods that wait")));
            lines.extend(self.pods.iter().take(SHOWN).map(|waiting| format!("  {:32} {}", waiting.pod, waiting.why)));
            if self.pods.len() > SHOWN {
                lines.push(format!("  … and {} more", self.pods.len() - SHOWN));
            }
        }
        lines.push(format!("Plan: {}.", self.plan));
        lines.join("\n")
    }
}

//! Makes a pod or a Job for a check, follows it to its end, and says why it does not get there while that is still
//! happening: a check ends as soon as nothing can change any more, not when its time is over.

use std::time::Duration;

use serde_json::Value;
use tokio::time::Instant;

use super::api::{Api, Trouble};
use super::check::{CheckId, Evidence, Outcome};
use super::context::{CheckContext, Nodes};
use super::explain::events;
use super::placement::{Placement, held};
use super::probe::{Refusal, refusal};
use super::prospect::{Cause, Heals, Prospect, Scene, foresee, refused};
use super::report::Landing;
use super::{checks, marks};
use crate::cluster::{condition, is_true, name, one_line, pod_trouble, text};

/// The pause between two looks: short, since what is measured is how fast the platform is.
const PAUSE: Duration = Duration::from_millis(250);

/// Until here nothing is asked but the thing itself: what goes well goes faster.
const QUIET: Duration = Duration::from_millis(1200);

/// What was made.
#[derive(Debug, Clone)]
pub(super) struct Made {
    pub(super) kind: Kind,
    pub(super) space: String,
    pub(super) name: String,
    pub(super) path: String,
}

/// Kinds that are followed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Job,
    Pod,
}

impl Kind {
    fn collection(self, space: &str) -> String {
        match self {
            Self::Job => format!("/apis/batch/v1/namespaces/{space}/jobs"),
            Self::Pod => format!("/api/v1/namespaces/{space}/pods"),
        }
    }

    fn as_str(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::Pod => "Pod",
        }
    }
}

/// What is waited for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Goal {
    /// It ends well.
    Ends,
    /// It runs and is ready.
    Runs,
}

/// Whether the pool may grow for it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Growth {
    /// It has the nodes that it has.
    Fixed,
    /// Nodes may come, as long as the bound lasts.
    Expected,
}

/// How following ended.
#[derive(Debug, Clone)]
pub(super) enum Ended {
    /// As it should.
    Reached,
    /// It ran and failed; why.
    Failed(String),
    /// It will not get there.
    Stuck(Prospect),
    /// Somebody took it away.
    Gone(String),
    /// Its time is over; what it waited for last.
    Late(Prospect),
}

/// What became of it.
#[derive(Debug, Clone)]
pub(super) struct Followed {
    pub(super) ended: Ended,
    pub(super) pod: Option<Value>,
    pub(super) took: Duration,
}

impl Followed {
    /// The node that it was given to.
    pub(super) fn node(&self) -> &str {
        self.pod.as_ref().map_or("", |pod| text(pod, "/spec/nodeName"))
    }
}

/// Makes a thing in a namespace, marked and noted for removal. A refusal that may pass is met with patience: what the
/// quota's controller has not counted back yet, a webhook that restarts. The inner error is a refusal that says something
/// of the platform; the outer one is trouble that says nothing of it.
pub(super) async fn make(
    cx: &CheckContext,
    check: &CheckId,
    (kind, space): (Kind, &str),
    mut manifest: Value,
    bound: Duration,
) -> Result<Result<Made, Prospect>, Trouble> {
    let lease = cx.heartbeat.begin(cx, space).await;
    manifest["metadata"]["namespace"] = space.into();
    marks::stamp(cx, check, bound, lease.as_deref(), &mut manifest);
    let collection = kind.collection(space);
    let name = name(&manifest).to_owned();
    let path = format!("{collection}/{name}");
    cx.litter.note(path.clone());
    let deadline = Instant::now() + cx.options.patience;
    loop {
        let found = match cx.api().post(&collection, &manifest).await {
            Ok(_) => return Ok(Ok(Made { kind, space: space.to_owned(), name, path })),
            Err(Trouble::Forbidden { attempted, message }) => match refusal(&message) {
                Refusal::NoRight => return Err(Trouble::Forbidden { attempted, message }),
                Refusal::Quota
                | Refusal::QuotaUncounted
                | Refusal::PodSecurity
                | Refusal::LimitRange
                | Refusal::Other => refused(&message),
            },
            Err(Trouble::Refused { code: 400 | 422, message, .. }) => refused(&message),
            Err(Trouble::Refused { message, .. }) if message.contains("webhook") => refused(&message),
            Err(trouble) => return Err(trouble),
        };
        let again = Instant::now() + PAUSE * 2;
        if found.heals != Heals::Perhaps || again > deadline {
            return Ok(Err(found));
        }
        tokio::time::sleep_until(again).await;
    }
}

/// Removes it now rather than at the end, so that its GPU is free for the next; what fails here is tried again then.
pub(super) async fn remove(cx: &CheckContext, made: &Made) {
    if cx.api().delete(&made.path).await.is_ok() {
        cx.litter.forget(&made.path);
    }
}

/// What is followed, and how.
pub(super) struct Following<'a> {
    pub(super) check: &'a CheckId,
    pub(super) made: &'a Made,
    pub(super) placement: &'a Placement,
    pub(super) resource: Option<&'a str>,
    pub(super) goal: Goal,
    pub(super) growth: Growth,
    pub(super) bound: Duration,
}

struct Look {
    ended: Option<Ended>,
    pod: Option<Value>,
}

impl Following<'_> {
    /// Follows it to its end.
    pub(super) async fn run(&self, cx: &CheckContext) -> Result<Followed, Trouble> {
        let api = cx.api();
        let began = Instant::now();
        let deadline = began + self.bound;
        let mut since: Option<(Cause, Instant)> = None;
        loop {
            let look = self.look(cx, &api).await?;
            let took = began.elapsed();
            if let Some(ended) = look.ended {
                self.note(cx, look.pod.as_ref());
                return Ok(Followed { ended, pod: look.pod, took });
            }
            let again = Instant::now() + PAUSE;
            if took >= QUIET || again > deadline {
                let found = self.foresee(cx, look.pod.as_ref()).await?;
                let (first, seen) = match since {
                    Some((cause, at)) if cause == found.cause => (false, at),
                    Some(_) | None => (true, Instant::now()),
                };
                since = Some((found.cause, seen));
                let over = match found.heals {
                    Heals::InTime => false,
                    Heals::Perhaps if self.growth == Growth::Expected && grows(found.cause) => false,
                    Heals::Perhaps => seen.elapsed() >= cx.options.patience,
                    // What two looks agree on is no moment between two states.
                    Heals::Never => !first,
                };
                if over || again > deadline {
                    let found = self.explained(cx, found).await;
                    self.note(cx, look.pod.as_ref());
                    let ended = if over { Ended::Stuck(found) } else { Ended::Late(found) };
                    return Ok(Followed { ended, pod: look.pod, took });
                }
            }
            tokio::time::sleep_until(again.min(deadline)).await;
        }
    }

    fn note(&self, cx: &CheckContext, pod: Option<&Value>) {
        if let Some(pod) = pod.filter(|pod| !text(pod, "/spec/nodeName").is_empty()) {
            cx.landed(Landing {
                node: text(pod, "/spec/nodeName").to_owned(),
                check: self.check.clone(),
                pod: format!("{}/{}", self.made.space, name(pod)),
            });
        }
    }

    async fn look(&self, cx: &CheckContext, api: &Api) -> Result<Look, Trouble> {
        let made = self.made;
        let found: Option<Value> = api.find(&made.path).await?;
        let Some(found) = found else {
            let words = format!("{} {}/{} was deleted by somebody else", made.kind.as_str(), made.space, made.name);
            return Ok(Look { ended: Some(Ended::Gone(words)), pod: None });
        };
        match made.kind {
            Kind::Pod => {
                let ended = match text(&found, "/status/phase") {
                    "Succeeded" => Some(Ended::Reached),
                    "Failed" => Some(Ended::Failed(self.failure(cx, api, &found).await)),
                    "Running" if self.goal == Goal::Runs && is_true(&found, "Ready") => Some(Ended::Reached),
                    _ => None,
                };
                Ok(Look { ended, pod: Some(found) })
            }
            Kind::Job => {
                let complete = is_true(&found, "Complete");
                let failed = condition(&found, "Failed").filter(|c| text(c, "/status") == "True");
                let selector = format!("batch.kubernetes.io/job-name={}", made.name);
                let pods = api.list(&Kind::Pod.collection(&made.space), &selector).await?;
                let pod = pods.into_iter().next();
                let ended = match (complete, failed) {
                    (true, _) => Some(Ended::Reached),
                    (false, None) => None,
                    (false, Some(failed)) => {
                        let words = match &pod {
                            Some(pod) => self.failure(cx, api, pod).await,
                            None => one_line(&format!("{} {}", text(failed, "/reason"), text(failed, "/message"))),
                        };
                        Some(Ended::Failed(words))
                    }
                };
                Ok(Look { ended, pod })
            }
        }
    }

    /// Why a pod failed, with the end of its log where there are logs.
    async fn failure(&self, cx: &CheckContext, api: &Api, pod: &Value) -> String {
        let on = text(pod, "/spec/nodeName");
        let trouble = pod_trouble(pod).unwrap_or_else(|| "it failed and does not say why".into());
        let log = match cx.nodes {
            Nodes::Simulated => None,
            Nodes::Real => {
                let path = format!("{}/{}/log?tailLines=5", Kind::Pod.collection(&self.made.space), name(pod));
                // An explanation is an extra.
                api.text(&path).await.ok().map(|log| one_line(&log)).filter(|log| !log.is_empty())
            }
        };
        let said = log.map(|log| format!("; it said: {log}")).unwrap_or_default();
        format!("it failed on {}node {on}: {trouble}{said}", cx.nodes.adjective())
    }

    async fn foresee(&self, cx: &CheckContext, pod: Option<&Value>) -> Result<Prospect, Trouble> {
        let nodes = cx.all_nodes().await?;
        let events = match pod {
            Some(pod) => events(cx, &self.made.space, "Pod", name(pod)).await,
            None => events(cx, &self.made.space, self.made.kind.as_str(), &self.made.name).await,
        };
        let scene = Scene { placement: self.placement, resource: self.resource, pod, events: &events, nodes: &nodes };
        Ok(foresee(&scene))
    }

    /// Adds what only others know: what became of the device plugin, who holds the GPUs.
    async fn explained(&self, cx: &CheckContext, mut found: Prospect) -> Prospect {
        let more = match (found.cause, self.resource) {
            (Cause::NoGpus, Some(resource)) => checks::advertisers_in_words(cx, self.placement, resource).await,
            (Cause::Full, Some(resource)) => holders(cx, self.placement, resource).await,
            _ => None,
        };
        if let Some(more) = more {
            found.words.push_str("; ");
            found.words.push_str(&more);
        }
        found
    }
}

/// Causes that a growing pool takes away.
fn grows(cause: Cause) -> bool {
    matches!(
        cause,
        Cause::NoNodes | Cause::NotReady | Cause::NoGpus | Cause::Full | Cause::Tainted | Cause::Unscheduled
    )
}

/// Who holds a pool's GPUs; `None` where nobody does or the caller may not look.
async fn holders(cx: &CheckContext, placement: &Placement, resource: &str) -> Option<String> {
    // An explanation is an extra.
    let (nodes, pods) = (cx.all_nodes().await.ok()?, cx.live_pods().await.ok()?);
    let nodes: Vec<&str> = placement.nodes(&nodes).into_iter().map(name).collect();
    let of: Vec<String> = pods
        .iter()
        .filter(|pod| nodes.contains(&text(pod, "/spec/nodeName")))
        .filter_map(|pod| {
            let count = held(pod, resource);
            (count > 0).then(|| format!("{}/{} has {count}", text(pod, "/metadata/namespace"), name(pod)))
        })
        .collect();
    (!of.is_empty()).then(|| format!("{resource} is held: {}", checks::few(&of)))
}

/// The outcome of a check whose thing did not get there. `evidence` makes evidence of what was measured.
pub(super) fn conclude(
    ended: Ended,
    placement: &Placement,
    took: Duration,
    evidence: impl FnOnce(String) -> Evidence,
) -> Outcome {
    let pool = &placement.pool;
    let (found, after) = match ended {
        Ended::Reached => return Outcome::pass(evidence(format!("done in {:.1} s", took.as_secs_f64()))),
        Ended::Failed(words) => {
            let hint = format!("`wbk-infra verify --only nodes,gpus` tells whether pool {pool} itself is right");
            return Outcome::fail(evidence(words), hint);
        }
        Ended::Gone(words) => return Outcome::inconclusive(words),
        Ended::Stuck(found) => (found, String::new()),
        Ended::Late(found) => (found, format!("not finished within {:.0} s: ", took.as_secs_f64())),
    };
    let words = format!("{after}{}", found.words);
    let hint = match found.cause {
        // Busy is not broken.
        Cause::Full => return Outcome::inconclusive(format!("pool {pool} has no room for the check: {words}")),
        Cause::Quota => return Outcome::inconclusive(format!("the quota has no room for the check: {words}")),
        Cause::NoNodes => format!("see nodes.ready/{pool}, and the provider or autoscaler for why no node comes"),
        Cause::Cordoned => format!("kubectl uncordon -l {}", selector(placement)),
        Cause::NotReady => format!("kubectl describe node -l {}", selector(placement)),
        Cause::Tainted => format!("take the taint away, or add it to pool {pool} in the blueprint"),
        Cause::NoGpus => format!("see gpus.advertiser/{pool}"),
        Cause::Image => {
            "name an image that the nodes can pull: --image for plain pods, --gpu-image for nvidia-smi".into()
        }
        Cause::Container => "see that the container runtime of the node is set up for GPUs".into(),
        Cause::Refused => "see which policy or webhook refuses it: Jobs of users meet the same one".into(),
        Cause::Unscheduled | Cause::Kubelet | Cause::Waiting => {
            format!("read the reason; `wbk-infra verify --only nodes,gpus` tells whether pool {pool} itself is right")
        }
    };
    Outcome::fail(evidence(words), hint)
}

fn selector(placement: &Placement) -> String {
    placement.selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

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
use crate::cluster::{condition, is_true, name, never_began, one_line, pod_trouble, text};

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
    /// As it was asked for, to ask for it once more.
    manifest: Value,
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
    /// A node's container runtime did not start it; what it said.
    NotBegun(String),
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
    /// What is there of it; `None` where it was refused.
    pub(super) made: Option<Made>,
    /// Why a first try never began to run, where this was the second.
    first: Option<String>,
}

impl Followed {
    /// Nobody let it be made.
    pub(super) fn refused(found: Prospect) -> Self {
        Self { ended: Ended::Stuck(found), pod: None, took: Duration::ZERO, made: None, first: None }
    }

    /// The node that it was given to.
    pub(super) fn node(&self) -> &str {
        self.pod.as_ref().map_or("", |pod| text(pod, "/spec/nodeName"))
    }

    /// Where it is; empty where it was refused.
    pub(super) fn path(&self) -> &str {
        self.made.as_ref().map_or("", |made| &made.path)
    }

    /// What was measured, with what became of a first try.
    pub(super) fn told(&self, measured: &str) -> String {
        match &self.first {
            None => measured.to_owned(),
            Some(first) if measured.contains(first.as_str()) => format!("{measured}; a first try met the same"),
            Some(first) => format!("{measured}; a first try never began to run: {first}"),
        }
    }

    /// Removes what is there of it, now rather than at the end.
    pub(super) async fn remove(&self, cx: &CheckContext) {
        if let Some(made) = &self.made {
            remove(cx, made).await;
        }
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
            Ok(_) => return Ok(Ok(Made { kind, space: space.to_owned(), name, path, manifest })),
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

/// How something is followed. What never began to run is made once more: that a container runtime fails to start a container is
/// often a moment's trouble (`unable to freeze` of cgroup v1, a shim that answers late) and then says nothing of the platform; where it
/// happens twice it does.
pub(super) struct Following<'a> {
    pub(super) check: &'a CheckId,
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
    /// Makes it and follows it to its end, which is [`Ended::Stuck`] where it is refused.
    pub(super) async fn send(
        &self,
        cx: &CheckContext,
        what: (Kind, &str),
        manifest: Value,
    ) -> Result<Followed, Trouble> {
        match make(cx, self.check, what, manifest, self.bound).await? {
            Ok(made) => self.follow(cx, made).await,
            Err(refused) => Ok(Followed::refused(refused)),
        }
    }

    /// Follows to its end what was made. It is another thing afterwards where the first never began to run.
    pub(super) async fn follow(&self, cx: &CheckContext, made: Made) -> Result<Followed, Trouble> {
        let began = Instant::now();
        let deadline = began + self.bound;
        let first = self.watch(cx, made.clone(), deadline).await?;
        let Ended::NotBegun(words) = &first.ended else { return Ok(first) };
        first.remove(cx).await;
        let Made { kind, space, name, mut manifest, .. } = made;
        // Another name: what is deleted may stay for a while.
        manifest["metadata"]["name"] = format!("{name}-2").into();
        let second = match make(cx, self.check, (kind, &space), manifest, self.bound).await? {
            Ok(made) => self.watch(cx, made, deadline).await?,
            Err(refused) => Followed::refused(refused),
        };
        Ok(Followed { took: began.elapsed(), first: Some(words.clone()), ..second })
    }

    async fn watch(&self, cx: &CheckContext, made: Made, deadline: Instant) -> Result<Followed, Trouble> {
        let api = cx.api();
        let began = Instant::now();
        let mut since: Option<(Cause, Instant)> = None;
        let followed = |ended: Ended, pod: Option<Value>, made: Made| {
            self.note(cx, &made, pod.as_ref());
            Followed { ended, pod, took: began.elapsed(), made: Some(made), first: None }
        };
        loop {
            let look = look(cx, &api, &made, self.goal).await?;
            if let Some(ended) = look.ended {
                return Ok(followed(ended, look.pod, made));
            }
            let again = Instant::now() + PAUSE;
            if began.elapsed() >= QUIET || again > deadline {
                let found = self.foresee(cx, &made, look.pod.as_ref()).await?;
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
                    let ended = if over { Ended::Stuck(found) } else { Ended::Late(found) };
                    return Ok(followed(ended, look.pod, made));
                }
            }
            tokio::time::sleep_until(again.min(deadline)).await;
        }
    }

    fn note(&self, cx: &CheckContext, made: &Made, pod: Option<&Value>) {
        if let Some(pod) = pod.filter(|pod| !text(pod, "/spec/nodeName").is_empty()) {
            cx.landed(Landing {
                node: text(pod, "/spec/nodeName").to_owned(),
                check: self.check.clone(),
                pod: format!("{}/{}", made.space, name(pod)),
            });
        }
    }

    async fn foresee(&self, cx: &CheckContext, made: &Made, pod: Option<&Value>) -> Result<Prospect, Trouble> {
        let nodes = cx.all_nodes().await?;
        let events = match pod {
            Some(pod) => events(cx, &made.space, "Pod", name(pod)).await,
            None => events(cx, &made.space, made.kind.as_str(), &made.name).await,
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

async fn look(cx: &CheckContext, api: &Api, made: &Made, goal: Goal) -> Result<Look, Trouble> {
    let found: Option<Value> = api.find(&made.path).await?;
    let Some(found) = found else {
        let words = format!("{} {}/{} was deleted by somebody else", made.kind.as_str(), made.space, made.name);
        return Ok(Look { ended: Some(Ended::Gone(words)), pod: None });
    };
    match made.kind {
        Kind::Pod => {
            let ended = match text(&found, "/status/phase") {
                "Succeeded" => Some(Ended::Reached),
                "Failed" => Some(failure(cx, api, made, &found).await),
                "Running" if goal == Goal::Runs && is_true(&found, "Ready") => Some(Ended::Reached),
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
                (false, Some(failed)) => Some(match &pod {
                    Some(pod) => failure(cx, api, made, pod).await,
                    None => {
                        Ended::Failed(one_line(&format!("{} {}", text(failed, "/reason"), text(failed, "/message"))))
                    }
                }),
            };
            Ok(Look { ended, pod })
        }
    }
}

/// Why a pod failed, with the end of its log where there are logs.
async fn failure(cx: &CheckContext, api: &Api, made: &Made, pod: &Value) -> Ended {
    let on = text(pod, "/spec/nodeName");
    let trouble = pod_trouble(pod).unwrap_or_else(|| "it failed and does not say why".into());
    if never_began(pod) {
        return Ended::NotBegun(format!("it did not start on {}node {on}: {trouble}", cx.nodes.adjective()));
    }
    let log = match cx.nodes {
        Nodes::Simulated => None,
        Nodes::Real => {
            let path = format!("{}/{}/log?tailLines=5", Kind::Pod.collection(&made.space), name(pod));
            // An explanation is an extra.
            api.text(&path).await.ok().map(|log| one_line(&log)).filter(|log| !log.is_empty())
        }
    };
    let said = log.map(|log| format!("; it said: {log}")).unwrap_or_default();
    Ended::Failed(format!("it failed on {}node {on}: {trouble}{said}", cx.nodes.adjective()))
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
    followed: &Followed,
    placement: &Placement,
    evidence: impl FnOnce(String) -> Evidence,
) -> Outcome {
    let pool = &placement.pool;
    let took = followed.took.as_secs_f64();
    let (found, after) = match &followed.ended {
        Ended::Reached => return Outcome::pass(evidence(followed.told(&format!("done in {took:.1} s")))),
        Ended::Failed(words) => {
            let hint = format!("`wbk-infra verify --only nodes,gpus` tells whether pool {pool} itself is right");
            return Outcome::fail(evidence(followed.told(words)), hint);
        }
        Ended::NotBegun(words) => return Outcome::fail(evidence(followed.told(words)), START_HINT),
        Ended::Gone(words) => return Outcome::inconclusive(followed.told(words)),
        Ended::Stuck(found) => (found, String::new()),
        Ended::Late(found) => (found, format!("not finished within {took:.0} s: ")),
    };
    let words = followed.told(&format!("{after}{}", found.words));
    let hint = match found.cause {
        // Busy is not broken.
        Cause::Full => return Outcome::inconclusive(format!("pool {pool} has no room for the check: {words}")),
        Cause::Quota => return Outcome::inconclusive(format!("the quota has no room for the check: {words}")),
        Cause::NoNodes => format!(
            "see nodes.ready/{pool}, and the provider or autoscaler (autoscaler.sees, where it is checked) for why no node comes"
        ),
        Cause::Cordoned => format!("kubectl uncordon -l {}", selector(placement)),
        Cause::NotReady => format!("kubectl describe node -l {}", selector(placement)),
        Cause::Tainted => format!("take the taint away, or add it to pool {pool} in the blueprint"),
        Cause::NoGpus => format!("see gpus.advertiser/{pool}"),
        Cause::Image => {
            "name an image that the nodes can pull: --image for plain pods, --gpu-image for nvidia-smi".into()
        }
        Cause::Container => START_HINT.into(),
        Cause::Refused => "see which policy or webhook refuses it: Jobs of users meet the same one".into(),
        Cause::Unscheduled | Cause::Kubelet | Cause::Waiting => {
            format!("read the reason; `wbk-infra verify --only nodes,gpus` tells whether pool {pool} itself is right")
        }
    };
    Outcome::fail(evidence(words), hint)
}

const START_HINT: &str = "see that the container runtime of the node is set up for GPUs, and what its log says";

fn selector(placement: &Placement) -> String {
    placement.selector.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

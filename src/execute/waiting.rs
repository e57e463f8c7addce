//! Waiting for readiness and for removal, with the name of what is awaited: pod, container and last event when it is slow.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use http::Method;
use serde_json::Value;

use super::{error::StepError, news::News};
use crate::{
    cluster::{Cluster, ClusterError, Discovery, Readiness, Resource, explain_pods, readiness},
    id::{GroupKind, Gvk, ObjectId},
};

/// After this long a wait is slow: pods and events are read to say why, and again after as long. Ready objects are ready
/// within a second.
const SLOW: Duration = Duration::from_secs(5);

/// Without news for so long, whoever waits looks for himself: a WATCH may be behind, or broken without a word.
const SILENCE: Duration = Duration::from_secs(2);

/// The finalizer of a claim that a pod names (Kubernetes, `pkg/controller/volume/pvcprotection`).
const KEPT_BY_PODS: &str = "kubernetes.io/pvc-protection";

/// Kinds that are not ready just by being there.
const GATED: [(&str, &str); 8] = [
    ("", "Namespace"),
    ("", "Pod"),
    ("apps", "Deployment"),
    ("apps", "StatefulSet"),
    ("apps", "DaemonSet"),
    ("batch", "Job"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apiregistration.k8s.io", "APIService"),
];

/// Whether objects of a kind are waited for.
pub(super) fn is_gated(kind: &GroupKind) -> bool {
    GATED.iter().any(|(group, name)| kind.group == *group && kind.kind == *name)
}

/// What a wait needs.
pub(super) struct Wait<'a> {
    pub cluster: &'a Cluster,
    pub discovery: &'a Discovery,
    pub resource: &'a Resource,
    pub id: &'a ObjectId,
    pub deadline: Instant,
    pub say: &'a (dyn Fn(String) + Send + Sync),
}

/// Polls from fast to slow: most objects are ready at the first look.
struct Pace(Duration);

impl Pace {
    fn new() -> Self {
        Self(Duration::from_millis(40))
    }

    async fn pause(&mut self) {
        tokio::time::sleep(self.0).await;
        self.0 = (self.0 * 2).min(Duration::from_secs(1));
    }
}

impl Wait<'_> {
    /// Waits until the object is ready: for news of it where there is any, else by looking again and again.
    pub(super) async fn until_ready(&self, mut news: Option<News>) -> Result<(), StepError> {
        if !is_gated(&self.id.gvk.group_kind()) {
            return Ok(());
        }
        let started = Instant::now();
        let mut pace = Pace::new();
        let mut said = String::new();
        let mut explained: Option<(Instant, String, String)> = None;
        loop {
            let waiting = match self.next_look(&mut news).await {
                Ok(Some(object)) => match readiness(&object) {
                    Readiness::Ready => return Ok(()),
                    Readiness::Failed(why) => {
                        let why = self.explained(&object, why).await;
                        return Err(StepError::overdue(format!("{} did not become ready", self.id), why));
                    }
                    Readiness::Waiting(why) if started.elapsed() < SLOW => why,
                    Readiness::Waiting(why) => match &explained {
                        // Two more requests at each look would slow what is waited for, where much is.
                        Some((at, before, text)) if *before == why && at.elapsed() < SLOW => text.clone(),
                        _ => {
                            let text = self.explained(&object, why.clone()).await;
                            explained = Some((Instant::now(), why, text.clone()));
                            text
                        }
                    },
                },
                Ok(None) => {
                    return Err(StepError::overdue(
                        format!("{} did not become ready", self.id),
                        "it was deleted meanwhile".into(),
                    ));
                }
                Err(error) if error.kind.may_pass() => format!("the API server does not answer: {}", error.words()),
                Err(error) => return Err(error.into()),
            };
            if Instant::now() > self.deadline {
                return Err(StepError::overdue(
                    format!("{} did not become ready in {} s", self.id, started.elapsed().as_secs()),
                    waiting,
                ));
            }
            if waiting != said {
                (self.say)(waiting.clone());
                said = waiting;
            }
            if news.is_none() {
                pace.pause().await;
            }
        }
    }

    /// The object as the next news shows it; as it is now where there is no news, or none comes.
    async fn next_look(&self, news: &mut Option<News>) -> Result<Option<Arc<Value>>, ClusterError> {
        if let Some(expected) = news {
            match tokio::time::timeout(SILENCE, expected.next()).await {
                Ok(Some(object)) => return Ok(Some(object)),
                Ok(None) => *news = None,
                Err(_elapsed) => {}
            }
        }
        Ok(self.cluster.get(self.resource, self.id).await?.map(Arc::new))
    }

    /// Waits until the object with this uid is gone; of a claim `in_a_namespace_that_goes`, until nothing but pods keeps it: they go with the
    /// namespace, which is deleted after it. Pods that finished keep a claim too, and nobody may own them: agents leave those of their builds.
    pub(super) async fn until_gone(&self, uid: &str, in_a_namespace_that_goes: bool) -> Result<(), StepError> {
        let mut pace = Pace::new();
        let mut said = String::new();
        loop {
            let waiting = match self.cluster.get_metadata(self.resource, self.id).await {
                Ok(None) => return Ok(()),
                Ok(Some(meta)) if meta.uid != uid => return Ok(()),
                Ok(Some(meta)) if meta.finalizers.is_empty() => "its removal".to_owned(),
                Ok(Some(meta)) if meta.deleting && meta.finalizers == [KEPT_BY_PODS] => {
                    if in_a_namespace_that_goes {
                        return Ok(());
                    }
                    self.users_of_claim().await.unwrap_or_else(|| meta.finalizers.join(", "))
                }
                Ok(Some(meta)) if self.id.gvk.kind == "Namespace" => {
                    self.namespace_remains().await.unwrap_or_else(|| meta.finalizers.join(", "))
                }
                Ok(Some(meta)) => format!("its finalizers {}", meta.finalizers.join(", ")),
                Err(error) if error.kind.may_pass() => format!("the API server does not answer: {}", error.words()),
                Err(error) => return Err(error.into()),
            };
            if Instant::now() > self.deadline {
                return Err(StepError::overdue(format!("{} is not gone", self.id), format!("it waits for {waiting}")));
            }
            if waiting != said {
                (self.say)(format!("waits for {waiting}"));
                said = waiting;
            }
            pace.pause().await;
        }
    }

    /// The pods that name a claim.
    async fn users_of_claim(&self) -> Option<String> {
        let path = format!("/api/v1/namespaces/{}/pods", self.id.namespace.as_deref()?);
        // An explanation only: without it the finalizer is named.
        let pods = self.cluster.request(Method::GET, &path, None, "look at pods that use it").await.ok()?;
        let uses = |pod: &&Value| {
            let volumes = pod.pointer("/spec/volumes").and_then(Value::as_array);
            volumes.into_iter().flatten().any(|volume| {
                volume.pointer("/persistentVolumeClaim/claimName").and_then(Value::as_str) == Some(&self.id.name)
            })
        };
        let told = |pod: &Value| {
            let at = |pointer: &str| pod.pointer(pointer).and_then(Value::as_str).unwrap_or_default();
            format!("{} ({})", at("/metadata/name"), at("/status/phase"))
        };
        let users: Vec<String> = pods["items"].as_array()?.iter().filter(uses).map(told).collect();
        (!users.is_empty()).then(|| format!("the pods that use it, also when they have finished: {}", users.join(", ")))
    }

    /// What a namespace that is being deleted still holds, in the server's words.
    async fn namespace_remains(&self) -> Option<String> {
        // An explanation only: without it the finalizers are named.
        let object = self.cluster.get(self.resource, self.id).await.ok()??;
        let conditions = object.pointer("/status/conditions")?.as_array()?;
        let remains: Vec<&str> = conditions
            .iter()
            .filter(|condition| condition["status"] == "True")
            .filter_map(|condition| condition["message"].as_str())
            .collect();
        (!remains.is_empty()).then(|| remains.join("; "))
    }

    /// Adds what the pods and the last event say.
    async fn explained(&self, object: &Value, why: String) -> String {
        let mut parts = vec![why];
        parts.extend(self.pods(object).await);
        parts.extend(self.last_event().await);
        parts.join("; ")
    }

    async fn pods(&self, object: &Value) -> Option<String> {
        let labels = object.pointer("/spec/selector/matchLabels")?.as_object()?;
        let selector: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        let namespace = self.id.namespace.as_deref()?;
        self.discovery.find(&Gvk::new("v1", "Pod"))?;
        let selector = selector.join(",").replace('/', "%2F").replace('=', "%3D").replace(',', "%2C");
        let path = format!("/api/v1/namespaces/{namespace}/pods?limit=20&labelSelector={selector}");
        // An explanation only: a caller that may not list pods still waits.
        let pods = self.cluster.request(Method::GET, &path, None, "look at its pods").await.ok()?;
        explain_pods(pods["items"].as_array()?)
    }

    async fn last_event(&self) -> Option<String> {
        let namespace = self.id.namespace.as_deref()?;
        let selector = format!("involvedObject.name%3D{}%2Ctype%3DWarning", self.id.name);
        let path = format!("/api/v1/namespaces/{namespace}/events?limit=50&fieldSelector={selector}");
        // An explanation only, as above.
        let events = self.cluster.request(Method::GET, &path, None, "look at its events").await.ok()?;
        let time = |event: &Value| {
            event["lastTimestamp"].as_str().or(event["eventTime"].as_str()).unwrap_or_default().to_owned()
        };
        let last = events["items"].as_array()?.iter().max_by_key(|event| time(event))?;
        Some(format!(
            "last event: {} {}",
            last["reason"].as_str().unwrap_or_default(),
            last["message"].as_str().unwrap_or_default()
        ))
    }
}

//! A W&B server that the blueprint hosts: its operator has installed it, its parts are up, and it answers.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::few;
use super::settle::settled_within;
use super::workloads::explained;
use crate::cluster::{Rollout, is_true, name, text, workload};
use crate::desired::{Desired, DesiredObject, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::{CheckContext, Nodes, VerifyOptions};

/// The custom resource of both generations of W&B's operator.
const GROUP: &str = "apps.wandb.com";
/// The port of operator-wandb's Service NAME-app, and the path of its readiness probe (0.43.8, values of `app`).
const PORT: u16 = 8080;
const READY: &str = "ready";

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let servers = desired.objects.iter().filter(|object| {
        object.id.gvk.group == GROUP && object.id.gvk.kind == "WeightsAndBiases" && object.id.namespace.is_some()
    });
    for object in servers {
        let server = Server { object: object.clone() };
        checks.push(Arc::new(Applied(server.clone())));
        checks.push(Arc::new(Up(server.clone())));
        checks.push(Arc::new(Answers(server)));
    }
}

#[derive(Clone)]
struct Server {
    object: DesiredObject,
}

impl Server {
    fn space(&self) -> &str {
        self.object.id.namespace.as_deref().unwrap_or_default()
    }

    fn subject(&self) -> String {
        format!("{}/{}", self.space(), self.object.id.name)
    }

    fn is_v1(&self) -> bool {
        self.object.id.gvk.version == "v1"
    }

    async fn live(&self, cx: &CheckContext) -> Result<Option<Value>, Trouble> {
        let (version, space, name) = (&self.object.id.gvk.version, self.space(), &self.object.id.name);
        cx.api().find(&format!("/apis/{GROUP}/{version}/namespaces/{space}/weightsandbiases/{name}")).await
    }

    /// The Deployments and StatefulSets that the operator made, with their kinds.
    async fn parts(&self, cx: &CheckContext) -> Result<Vec<(&'static str, Value)>, Trouble> {
        // Operator v1 installs a Helm release of the resource's name; of v2 everything in the namespace is.
        let labels =
            if self.is_v1() { format!("app.kubernetes.io/instance={}", self.object.id.name) } else { String::new() };
        let mut parts = Vec::new();
        for (kind, plural) in [("Deployment", "deployments"), ("StatefulSet", "statefulsets")] {
            let path = format!("/apis/apps/v1/namespaces/{}/{plural}", self.space());
            parts.extend(cx.api().list(&path, &labels).await?.into_iter().map(|part| (kind, part)));
        }
        Ok(parts)
    }
}

/// How long a server may take to come up: what its own startup probe allows (operator-wandb 0.43.8: 120 times 5 s).
const START: Duration = Duration::from_secs(600);

/// How long it is waited for. Where no program runs nothing comes that is not there.
fn patience(cx: &CheckContext) -> Duration {
    match cx.nodes {
        Nodes::Real => START.max(cx.options.patience),
        Nodes::Simulated => cx.options.patience,
    }
}

/// What is said where no program runs.
fn asleep(cx: &CheckContext) -> Option<Outcome> {
    (cx.nodes == Nodes::Simulated)
        .then(|| Outcome::skipped("the operator's pod is simulated: no program of it runs, and it installs nothing"))
}

struct Applied(Server);

#[async_trait]
impl Check for Applied {
    fn id(&self) -> CheckId {
        CheckId::about("server.applied", &self.0.subject())
    }

    fn title(&self) -> String {
        format!("W&B's operator has installed the server {}", self.0.subject())
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.0.object.origin.clone())
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        patience(cx) + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled_within(patience(cx), || {
            async {
                match self.0.live(cx).await {
                    Ok(found) => self.judge(cx, found.as_ref()),
                    Err(trouble) => trouble.into(),
                }
            }
            .boxed()
        })
        .await
    }
}

impl Applied {
    fn judge(&self, cx: &CheckContext, found: Option<&Value>) -> Outcome {
        let server = &self.0;
        let source = format!("status of WeightsAndBiases {}", server.subject());
        let (wanted, is_done, seen) = match (server.is_v1(), found) {
            (_, None) => {
                let evidence = Evidence::new("there is no such resource", "installed", source);
                return Outcome::fail(evidence, "wbk-infra apply makes it");
            }
            (true, Some(found)) => {
                let phase = text(found, "/status/phase");
                ("phase Completed", phase == "Completed", phase.to_owned())
            }
            (false, Some(found)) => {
                let ready = found.pointer("/status/ready").and_then(Value::as_bool);
                let is_done = ready.unwrap_or_else(|| is_true(found, "Ready"));
                ("ready", is_done, ready.map_or_else(String::new, |ready| format!("ready: {ready}")))
            }
        };
        if is_done {
            return Outcome::pass(Evidence::new(seen, wanted, source));
        }
        if seen.is_empty()
            && let Some(asleep) = asleep(cx)
        {
            return asleep;
        }
        let measured = if seen.is_empty() { "nobody has looked at it".to_owned() } else { format!("phase {seen}") };
        let hint = format!(
            "the operator says why: kubectl -n {} logs -l control-plane=controller-manager --tail 50",
            server.space()
        );
        Outcome::fail(
            Evidence::new(measured, wanted, source).with(json!({"status": found.map(|found| &found["status"])})),
            hint,
        )
    }
}

struct Up(Server);

#[async_trait]
impl Check for Up {
    fn id(&self) -> CheckId {
        CheckId::about("server.ready", &self.0.subject())
    }

    fn title(&self) -> String {
        format!("every part of the server {} is up", self.0.subject())
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.0.object.origin.clone())
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        patience(cx) + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        settled_within(patience(cx), || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await
    }
}

impl Up {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let parts = self.0.parts(cx).await?;
        let source = format!("Deployments and StatefulSets of namespace {}", self.0.space());
        let wanted = "each has all its pods";
        if parts.is_empty() {
            let evidence = Evidence::new("the operator has made none", wanted, source);
            let fails = || Outcome::fail(evidence, format!("kubectl -n {} get events", self.0.space()));
            return Ok(asleep(cx).unwrap_or_else(fails));
        }
        let mut down: Vec<(&Value, String)> = Vec::new();
        for (kind, part) in &parts {
            if let Rollout::NotReady(words) = workload(kind, part) {
                down.push((part, format!("{} {}: {words}", kind.to_lowercase(), name(part))));
            }
        }
        let said: Vec<String> = down.iter().map(|(_, words)| words.clone()).collect();
        Ok(match down.first() {
            None => Outcome::pass(Evidence::new(format!("{} parts are up", parts.len()), wanted, source)),
            Some((first, _)) => {
                let evidence = Evidence::new(few(&said), wanted, source).with(json!({"down": said}));
                explained(cx, self.0.space(), first, evidence).await
            }
        })
    }
}

struct Answers(Server);

#[async_trait]
impl Check for Answers {
    fn id(&self) -> CheckId {
        CheckId::about("server.answers", &self.0.subject())
    }

    fn title(&self) -> String {
        format!("the server {} says that it is ready", self.0.subject())
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.0.object.origin.clone())
    }

    fn applies(&self, _: &Desired, _: &VerifyOptions) -> Applicability {
        match self.0.is_v1() {
            true => Applicability::Applies,
            false => Applicability::Skipped("operator v2 is a beta that names its services itself".into()),
        }
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        patience(cx) + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        if cx.nodes == Nodes::Simulated {
            return Outcome::skipped("simulated nodes run no programs that could answer");
        }
        let (space, name) = (self.0.space(), &self.0.object.id.name);
        let path = format!("/api/v1/namespaces/{space}/services/{name}-app:{PORT}/proxy/{READY}");
        settled_within(patience(cx), || {
            async {
                let wanted = "an answer of its readiness probe, through the API server";
                match cx.api().text(&path).await {
                    Ok(_) => Outcome::pass(Evidence::new("it answers", wanted, format!("GET {path}"))),
                    Err(trouble @ Trouble::Forbidden { .. }) => trouble.into(),
                    Err(trouble) => {
                        let words = match Outcome::from(trouble) {
                            Outcome::Inconclusive { reason } => reason,
                            _ => "it does not answer".to_owned(),
                        };
                        let hint = format!("kubectl -n {space} logs deploy/{name}-app-bc --tail 50");
                        Outcome::fail(Evidence::new(words, wanted, format!("GET {path}")), hint)
                    }
                }
            }
            .boxed()
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::super::fixture::desired;
    use super::super::tests::context;
    use super::*;

    fn server(version: &str) -> Server {
        let manifest = json!({"apiVersion": format!("apps.wandb.com/{version}"), "kind": "WeightsAndBiases",
            "metadata": {"name": "wandb", "namespace": "wandb-server"}, "spec": {}});
        Server { object: desired(vec![manifest]).objects.remove(0) }
    }

    fn judged(version: &str, nodes: Nodes, status: Value) -> Outcome {
        let cx = context(desired(vec![]), nodes);
        Applied(server(version)).judge(&cx, Some(&json!({"status": status})))
    }

    // A context has a connection, which lives in a runtime.
    #[tokio::test]
    async fn only_what_the_operator_says_is_done_is_done() {
        let real = Nodes::Real;
        assert!(matches!(judged("v1", real, json!({"phase": "Completed"})), Outcome::Pass { .. }));
        assert!(matches!(judged("v1", Nodes::Simulated, json!({"phase": "Completed"})), Outcome::Pass { .. }));
        assert!(matches!(judged("v1", real, json!({"phase": "Invalid Config"})), Outcome::Fail { .. }));
        assert!(matches!(judged("v1", Nodes::Simulated, json!({"phase": "Loading"})), Outcome::Fail { .. }));
        assert!(matches!(judged("v1", real, json!({})), Outcome::Fail { .. }));
        assert!(matches!(judged("v1", Nodes::Simulated, json!({})), Outcome::Skipped { .. }));
        assert!(matches!(judged("v2", real, json!({"ready": true})), Outcome::Pass { .. }));
        assert!(matches!(judged("v2", real, json!({"ready": false})), Outcome::Fail { .. }));
    }

    #[test]
    fn there_are_three_checks_of_each_server() {
        let mut checks = Vec::new();
        derive(&desired(vec![server("v1").object.manifest.value().clone()]), &mut checks);
        assert_eq!(checks.len(), 3);
    }
}

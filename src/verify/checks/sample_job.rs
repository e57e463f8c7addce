//! A sample Job runs to completion on each pool: the proof that the scheduler, the taints, the GPUs, the quota and pod
//! security agree.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use tokio::time::Instant;
use wbk_provider_api::PoolSpec;

use super::constraints::{Constraints, resources};
use super::gpus::offered;
use super::{POOL_LABEL, pool_selector};
use crate::cluster::one_line;
use crate::cluster::{condition, is_true, name, text};
use crate::desired::Desired;
use crate::quantity::Quantity;
use crate::verify::api::{Api, Trouble};
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::cleanup::{BLUEPRINT, MANAGED_BY, label_value};
use crate::verify::context::{CheckContext, Nodes};
use crate::verify::explain::{last_event, pods};
use crate::verify::probe::restricted_container;

/// The pause between two looks at a Job: short, since what is measured is how fast the platform is.
const PAUSE: Duration = Duration::from_millis(300);

/// Covers the explanation and the removal after this check gave up.
const AFTER_GIVING_UP: u64 = 60;

/// How long a finished Job stays where nobody could remove it: long enough to be looked at, gone before the day is over.
const TTL_SECONDS: u64 = 600;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        checks.push(Arc::new(SampleJob { pool: pool.clone() }));
    }
}

struct SampleJob {
    pool: PoolSpec,
}

#[async_trait]
impl Check for SampleJob {
    fn id(&self) -> CheckId {
        CheckId::about("jobs.sample", &self.pool.name)
    }

    fn title(&self) -> String {
        match &self.pool.shape.gpu {
            Some(gpu) => format!("a Job with 1 {} runs to completion on pool {}", gpu.resource, self.pool.name),
            None => format!("a Job runs to completion on pool {}", self.pool.name),
        }
    }

    fn applies(&self, desired: &Desired) -> Applicability {
        if self.pool.size.min == 0 {
            let why = format!("pool {} may have no nodes (min 0), and a sample Job would make it grow", self.pool.name);
            Applicability::Skipped(why)
        } else if desired.promises.job_namespaces.is_empty() {
            Applicability::Skipped("the blueprint has no namespace for Jobs".into())
        } else {
            Applicability::Applies
        }
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        cx.options.sample_deadline + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        let Some(space) = cx.desired.promises.job_namespaces.first() else {
            return Outcome::skipped("the blueprint has no namespace for Jobs");
        };
        self.prove(cx, space).await.unwrap_or_else(Outcome::from)
    }
}

impl SampleJob {
    async fn prove(&self, cx: &CheckContext, space: &str) -> Result<Outcome, Trouble> {
        let api = cx.api();
        let bounds = Constraints::of(cx, space).await?;
        let job = manifest(cx, &self.pool, space, &bounds);
        let jobs = format!("/apis/batch/v1/namespaces/{space}/jobs");
        let path = format!("{jobs}/{}", name(&job));
        cx.litter.note(path.clone());
        let began = Instant::now();
        match api.post(&jobs, &job).await {
            Ok(_) => {}
            Err(Trouble::Refused { code, message, .. }) if code == 422 || code == 400 => {
                return Ok(self.fail(format!("the Job was refused: {message}"), &path));
            }
            Err(trouble) => return Err(trouble),
        }
        let outcome = self.follow(cx, &api, space, &path, began).await?;
        // Now rather than at the end, so that its GPU is free for the next; what fails here is tried again at the end.
        if api.delete(&path).await.is_ok() {
            cx.litter.forget(&path);
        }
        Ok(outcome)
    }

    async fn follow(
        &self,
        cx: &CheckContext,
        api: &Api,
        space: &str,
        path: &str,
        began: Instant,
    ) -> Result<Outcome, Trouble> {
        let deadline = began + cx.options.sample_deadline;
        loop {
            let Some(job) = api.find::<Value>(path).await? else {
                let why = "the sample Job was deleted while it ran: by another verification of this blueprint?";
                return Ok(Outcome::inconclusive(why));
            };
            if is_true(&job, "Complete") {
                return Ok(self.pass(cx, path, began.elapsed()));
            }
            if let Some(failed) = condition(&job, "Failed").filter(|c| text(c, "/status") == "True") {
                let words = format!("it failed: {} {}", text(failed, "/reason"), text(failed, "/message"));
                return self.unfinished(cx, space, &job, one_line(&words), path).await;
            }
            let again = Instant::now() + PAUSE;
            if again > deadline {
                let words = format!("not finished within {} s", cx.options.sample_deadline.as_secs_f32());
                return self.unfinished(cx, space, &job, words, path).await;
            }
            tokio::time::sleep_until(again).await;
        }
    }

    fn pass(&self, cx: &CheckContext, path: &str, took: Duration) -> Outcome {
        let simulated = match cx.nodes {
            Nodes::Real => "",
            Nodes::Simulated => " on a simulated node",
        };
        let evidence = Evidence::new(
            format!("completed in {:.1} s{simulated}", took.as_secs_f64()),
            self.wanted(),
            format!("POST and GET {path}"),
        );
        Outcome::pass(evidence.with(json!({
            "job": path, "seconds": took.as_secs_f64(), "simulated": cx.nodes == Nodes::Simulated
        })))
    }

    fn wanted(&self) -> String {
        format!("a Job pinned to pool {} completes", self.pool.name)
    }

    fn fail(&self, measured: String, path: &str) -> Outcome {
        let hint = format!(
            "read the reason; `wbk-infra verify --only nodes,gpus` tells whether pool {} itself is right",
            self.pool.name
        );
        Outcome::fail(Evidence::new(measured, self.wanted(), format!("POST and GET {path}")), hint)
    }

    /// Tells a platform that is broken from one that is busy.
    async fn unfinished(
        &self,
        cx: &CheckContext,
        space: &str,
        job: &Value,
        words: String,
        path: &str,
    ) -> Result<Outcome, Trouble> {
        let of_pods = pods(cx, space, &format!("batch.kubernetes.io/job-name={}", name(job))).await;
        let why = match of_pods {
            Some(why) => why,
            None => match last_event(cx, space, "Job", name(job)).await {
                Some(event) => format!("it has no pod; last event: {event}"),
                None => "it has no pod in trouble and no event".to_owned(),
            },
        };
        if why.contains("exceeded quota") {
            return Ok(Outcome::inconclusive(format!("the quota of {space} has no room for a sample Job: {why}")));
        }
        if let Some(gpu) = &self.pool.shape.gpu
            && why.contains(&format!("Insufficient {}", gpu.resource))
        {
            let nodes = cx.api().list("/api/v1/nodes", &pool_selector(&self.pool)).await?;
            let there: i128 = nodes.iter().map(|node| offered(node, &gpu.resource)).sum();
            if there > 0 {
                let words = format!("all {there} {} of pool {} are in use: {why}", gpu.resource, self.pool.name);
                return Ok(Outcome::inconclusive(words));
            }
        }
        Ok(self.fail(format!("{words}: {why}"), path))
    }
}

/// The Job: pinned to the pool, tolerating its taints, as small as the namespace allows, acceptable to every level of
/// pod security, ending and going by itself.
fn manifest(cx: &CheckContext, pool: &PoolSpec, space: &str, bounds: &Constraints) -> Value {
    let mut amounts = bounds.small(1);
    if let Some(gpu) = &pool.shape.gpu {
        amounts.insert(gpu.resource.clone(), Quantity::whole(1));
    }
    let mut container = restricted_container(cx.options.image(cx.nodes), resources(&amounts));
    if cx.nodes == Nodes::Real {
        container["command"] = json!(["true"]);
    }
    let labels = json!({(MANAGED_BY.0): MANAGED_BY.1, (BLUEPRINT): label_value(&cx.desired.name)});
    let tolerations: Vec<Value> = pool
        .taints
        .iter()
        .map(|taint| json!({"key": taint.key, "operator": "Exists", "effect": taint.effect.as_str()}))
        .collect();
    let selector = match pool.labels.get(POOL_LABEL) {
        Some(value) => json!({(POOL_LABEL): value}),
        None => json!(pool.labels),
    };
    // Later than this check gives up: the Job controller deletes the pods at the deadline, and with them the reason.
    let seconds = cx.options.sample_deadline.as_secs() + AFTER_GIVING_UP;
    json!({
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": format!("wbk-verify-{}-{}", short(&pool.name), cx.run),
            "namespace": space,
            "labels": labels,
        },
        "spec": {
            "backoffLimit": 0,
            "activeDeadlineSeconds": seconds,
            "ttlSecondsAfterFinished": TTL_SECONDS,
            "template": {
                "metadata": {"labels": labels},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": false,
                    "enableServiceLinks": false,
                    "terminationGracePeriodSeconds": 0,
                    "nodeSelector": selector,
                    "tolerations": tolerations,
                    "containers": [container],
                },
            },
        },
    })
}

/// A pool's name as a part of a Job's name: the whole has at most 63 characters, 43 with the suffix of its pods.
fn short(pool: &str) -> String {
    let name: String =
        pool.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect();
    name.trim_matches('-').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::{desired, gpu_pool};
    use crate::verify::checks::tests::context;

    #[tokio::test]
    async fn the_job_is_pinned_tolerant_small_and_restricted() {
        let cx = context(desired(vec![]), Nodes::Simulated);
        let job = manifest(&cx, &gpu_pool("A_100", 1, 1), "jobs", &Constraints::default());
        assert_eq!(name(&job), format!("wbk-verify-a100-{}", cx.run));
        let spec = &job["spec"]["template"]["spec"];
        assert_eq!(spec["nodeSelector"], json!({"wbk-infra/pool": "A_100"}));
        assert_eq!(spec["tolerations"][0]["operator"], json!("Exists"));
        assert_eq!(spec["containers"][0]["resources"]["limits"]["nvidia.com/gpu"], json!("1"));
        assert_eq!(spec["containers"][0]["securityContext"]["runAsNonRoot"], json!(true));
        assert_eq!(spec["containers"][0].get("command"), None, "nothing runs on simulated nodes");
        assert_eq!(job["metadata"]["labels"]["app.kubernetes.io/managed-by"], json!("wbk-infra-verify"));
        assert_eq!(job["spec"]["activeDeadlineSeconds"], json!(240));
    }

    #[test]
    fn pools_without_nodes_and_blueprints_without_namespaces_are_skipped_with_the_reason() {
        let check = |min| SampleJob { pool: gpu_pool("a", min, 4) };
        let mut state = desired(vec![]);
        assert!(matches!(check(1).applies(&state), Applicability::Skipped(why) if why.contains("namespace")));
        state.promises.job_namespaces = vec!["jobs".into()];
        assert!(matches!(check(0).applies(&state), Applicability::Skipped(why) if why.contains("min 0")));
        assert_eq!(check(1).applies(&state), Applicability::Applies);
    }
}

//! Why Kueue keeps a job suspended: the job's Workload says it. Pure.
//!
//! Facts: kueue.x-k8s.io/v1beta2 (Kueue v0.19.2, `apis/kueue/v1beta2/workload_types.go`); the phrases are those of its
//! `pkg/scheduler/flavorassigner` and `pkg/controller/core/workload_controller.go`.

use serde_json::Value;

use super::obstacle::Obstacle;
use super::work::label;
use crate::cluster::{condition, one_line, text};
use crate::desired::DesiredQueue;

/// The label by which a Job is Kueue's.
const QUEUE: &str = "kueue.x-k8s.io/queue-name";

/// Where the Workloads of a namespace are.
pub(crate) fn path(namespace: &str) -> String {
    format!("/apis/kueue.x-k8s.io/v1beta2/namespaces/{namespace}/workloads")
}

/// Whether nobody lets a job begin.
pub(crate) fn is_suspended(job: &Value) -> bool {
    job["spec"]["suspend"] == true
}

/// What keeps a suspended job.
pub(super) fn keeps(job: &Value, workloads: &[Value], queue: &DesiredQueue) -> Obstacle {
    let (name, space) = (text(job, "/metadata/name"), &queue.namespace);
    let local = label(job, QUEUE);
    if local.is_empty() {
        let mend = format!("kubectl -n {space} patch job {name} -p '{{\"spec\":{{\"suspend\":false}}}}'");
        return Obstacle::new("it is suspended by hand: no scheduler of jobs has it", mend);
    }
    let owns = |workload: &&Value| {
        let owners = workload["metadata"]["ownerReferences"].as_array();
        owners.into_iter().flatten().any(|owner| owner["uid"] == job["metadata"]["uid"])
    };
    let Some(workload) = workloads.iter().find(owns) else {
        let fix = "wbk-infra verify --only releases says whether Kueue runs; its log says more";
        return Obstacle::new(format!("it is suspended for Kueue's queue {local}, and Kueue has not seen it"), fix);
    };
    let said = |kind: &str, status: &str| {
        condition(workload, kind)
            .filter(|found| text(found, "/status") == status)
            .map(|found| one_line(text(found, "/message")))
    };
    if said("QuotaReserved", "True").is_some() {
        let words = said("Admitted", "False").unwrap_or_else(|| "it is about to begin".into());
        let fix = format!("kubectl -n {space} describe workload {}", text(workload, "/metadata/name"));
        return Obstacle::new(format!("Kueue has room for it, and waits for admission checks: {words}"), fix);
    }
    let words = said("QuotaReserved", "False").unwrap_or_else(|| "it has not looked at it yet".into());
    let fix = fix(&words, queue);
    let words = match said("Evicted", "True") {
        Some(before) => format!("it was taken back ({before}) and waits in Kueue's queue {local}: {words}"),
        None => format!("it waits in Kueue's queue {local}: {words}"),
    };
    Obstacle::new(words, fix)
}

fn fix(words: &str, queue: &DesiredQueue) -> String {
    let pool = queue.pool.as_deref().unwrap_or("…");
    if words.contains("maximum capacity") {
        format!(
            "alone it is more than pool {pool} has at its largest: let the job ask for less, or raise nodePools[{pool}].size.max"
        )
    } else if words.contains("insufficient unused quota") {
        format!("it goes on when other jobs on pool {pool} end; or raise nodePools[{pool}].size.max")
    } else if words.contains("untolerated taint") || words.contains("doesn't match node affinity") {
        "wbk-infra apply gives the queue its pool's selector and tolerations".to_owned()
    } else if words.contains("unavailable in ClusterQueue") {
        format!("let launch.queues[{}] ask for what its pool's nodes offer", queue.name)
    } else if words.contains("doesn't exist") || words.contains("is inactive") {
        "wbk-infra apply makes Kueue's queues and flavors of the pools".to_owned()
    } else {
        format!("kubectl -n {} get workloads.kueue.x-k8s.io -o wide says more", queue.namespace)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::board::tests::launch;
    use super::*;

    fn job() -> Value {
        json!({"metadata": {"name": "a", "uid": "u", "labels": {QUEUE: "wbk"}}, "spec": {"suspend": true}})
    }

    fn kept(conditions: Value) -> Obstacle {
        let workload = json!({"metadata": {"name": "job-a", "ownerReferences": [{"uid": "u"}]}, "status": {"conditions": conditions}});
        keeps(&job(), &[workload], &launch().queues[0])
    }

    #[test]
    fn the_workload_says_why() {
        let full = "couldn't assign flavors to pod set main: insufficient unused quota for nvidia.com/gpu in flavor l4, 1 more needed";
        let found = kept(json!([{"type": "QuotaReserved", "status": "False", "message": full}]));
        assert!(found.why.ends_with("1 more needed") && found.why.contains("Kueue's queue wbk"), "{found:?}");
        assert!(found.fix.contains("when other jobs"), "{found:?}");
        let never = "couldn't assign flavors to pod set main: insufficient quota for nvidia.com/gpu in flavor l4, previously \
                     considered podsets requests (0) + current podset request (9) > maximum capacity (4)";
        let found = kept(json!([{"type": "QuotaReserved", "status": "False", "message": never}]));
        assert!(found.fix.contains("ask for less"), "{found:?}");
        let found = kept(json!([
            {"type": "Evicted", "status": "True", "message": "Preempted to accommodate a workload"},
            {"type": "QuotaReserved", "status": "False", "message": full},
        ]));
        assert!(found.why.contains("taken back (Preempted"), "{found:?}");
    }

    #[test]
    fn one_that_kueue_does_not_know_is_no_waiting_one() {
        let queue = &launch().queues[0];
        assert!(keeps(&job(), &[], queue).why.contains("has not seen it"));
        let by_hand = json!({"metadata": {"name": "a", "uid": "u"}, "spec": {"suspend": true}});
        assert!(keeps(&by_hand, &[], queue).why.contains("by hand"));
    }
}

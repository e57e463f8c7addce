//! What is written on everything that a verification makes, so that nothing of it is ever left without an owner.

use std::time::Duration;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::check::CheckId;
use super::context::CheckContext;

/// Says on an object that a verification made it.
pub(super) const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "wbk-infra-verify");
/// Says on an object for which blueprint it was made.
pub(super) const BLUEPRINT: &str = "wbk-infra/blueprint";
/// Label: the run that made it.
pub(super) const RUN: &str = "wbk-infra/verify-run";
/// Annotation: the check that made it.
pub(super) const CHECK: &str = "wbk-infra/verify-check";
/// Annotation: when the run that made it is over at the latest, RFC 3339.
pub(super) const UNTIL: &str = "wbk-infra/verify-until";
/// Annotation: the Lease that the run renews while it lives, `namespace/name`; absent where it may have none.
pub(super) const LEASE: &str = "wbk-infra/verify-lease";

/// Added to a check's own bound: explaining, removing, and clocks of two machines that differ.
const MARGIN: Duration = Duration::from_secs(120);

/// The label selector of everything that verifications of this blueprint made.
pub(super) fn selector(blueprint: &str) -> String {
    format!("{}={},{BLUEPRINT}={}", MANAGED_BY.0, MANAGED_BY.1, label_value(blueprint))
}

/// The labels of what a run makes.
pub(super) fn labels(cx: &CheckContext) -> Value {
    json!({(MANAGED_BY.0): MANAGED_BY.1, (BLUEPRINT): label_value(&cx.desired.name), (RUN): cx.run})
}

/// Writes the marks on an object and on its pod template, beside what is there.
pub(super) fn stamp(cx: &CheckContext, check: &CheckId, bound: Duration, lease: Option<&str>, object: &mut Value) {
    let until = cx.now().saturating_add(bound + MARGIN).unwrap_or(Timestamp::MAX);
    let mut annotations = json!({(CHECK): check.as_str(), (UNTIL): until.to_string()});
    if let Some(lease) = lease {
        annotations[LEASE] = lease.into();
    }
    let labels = labels(cx);
    let on = |metadata: &mut Value| {
        for (part, marks) in [("labels", &labels), ("annotations", &annotations)] {
            for (key, value) in marks.as_object().into_iter().flatten() {
                metadata[part][key] = value.clone();
            }
        }
    };
    on(&mut object["metadata"]);
    if object.pointer("/spec/template").is_some() {
        on(&mut object["spec"]["template"]["metadata"]);
    }
}

/// A name as a label's value: at most 63 characters of those allowed.
pub(super) fn label_value(name: &str) -> String {
    let kept: String = name
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.') { c } else { '-' })
        .take(63)
        .collect();
    kept.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
}

/// The name of a thing that a check makes: `wbk-verify-WHAT-POOL-RUN`, at most 52 characters, so that the pods of a Job
/// of that name have room for their suffix in 63.
pub(super) fn object_name(what: &str, pool: &str, run: &str) -> String {
    let pool: String = pool.to_lowercase().chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    let room = 52_usize.saturating_sub("wbk-verify---".len() + what.len() + run.len());
    let pool: String = pool.chars().take(room).collect();
    match pool.trim_matches('-') {
        "" => format!("wbk-verify-{what}-{run}"),
        pool => format!("wbk-verify-{what}-{pool}-{run}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::desired;
    use crate::verify::checks::tests::context;
    use crate::verify::context::Nodes;

    #[test]
    fn label_values_are_always_allowed_ones() {
        assert_eq!(label_value("research"), "research");
        assert_eq!(label_value("-a b-"), "a-b");
        assert_eq!(label_value(&"x".repeat(80)).len(), 63);
    }

    #[test]
    fn names_keep_their_run_and_have_room_for_a_suffix() {
        assert_eq!(object_name("job", "A_100", "0badcafe"), "wbk-verify-job-a100-0badcafe");
        assert_eq!(object_name("job", "__", "0badcafe"), "wbk-verify-job-0badcafe");
        let long = object_name("preempting", &"p-".repeat(60), "0badcafe");
        assert!(long.len() <= 52 && long.ends_with("-0badcafe"), "{long}");
    }

    #[tokio::test]
    async fn marks_stand_on_the_object_and_on_its_pods() {
        let cx = context(desired(vec![]), Nodes::Simulated);
        let mut job = json!({"metadata": {"labels": {"mine": "1"}}, "spec": {"template": {"spec": {}}}});
        stamp(&cx, &CheckId::once("jobs.sample"), Duration::from_secs(60), Some("a/b"), &mut job);
        assert_eq!(job["metadata"]["labels"]["mine"], "1");
        assert_eq!(job["metadata"]["labels"][RUN], json!(cx.run));
        assert_eq!(job["spec"]["template"]["metadata"]["labels"][MANAGED_BY.0], MANAGED_BY.1);
        assert_eq!(job["metadata"]["annotations"][UNTIL], "1970-01-01T00:03:00Z");
        assert_eq!(job["metadata"]["annotations"][LEASE], "a/b");
    }
}

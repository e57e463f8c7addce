//! Pure: the pod that a quota must refuse, made so that nothing else refuses it first.
//!
//! Admission runs LimitRanger, then PodSecurity, then ResourceQuota; the pod therefore keeps to every LimitRange, passes
//! the level `restricted`, and declares every compute resource that a quota wants declared.

use std::collections::BTreeMap;

use serde_json::Value;

use super::constraints::{Constraints, resources};
use crate::quantity::Quantity;
use crate::verify::probe::restricted_container;

/// Containers that a probe may have. A real pod of this size is unusual, and a request with it is still below 64 KiB.
const MOST_CONTAINERS: i128 = 64;

/// The containers of a pod that exceeds `resource` of a quota.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Probe {
    /// The quota's resource, `requests.nvidia.com/gpu`.
    pub(super) resource: String,
    /// The containers.
    pub(super) containers: Vec<Value>,
}

/// Finds a pod that exceeds the quota, or says why one pod cannot.
pub(super) fn probe(hard: &BTreeMap<String, String>, bounds: &Constraints, image: &str) -> Result<Probe, String> {
    let mut candidates: Vec<(u8, &str, &str, Quantity)> = hard
        .iter()
        .filter_map(|(key, amount)| {
            let resource = key.strip_prefix("requests.").or_else(|| key.strip_prefix("limits.")).unwrap_or(key);
            Some((rank(key, resource)?, key.as_str(), resource, amount.parse().ok()?)) // no amount bounds nothing
        })
        .collect();
    candidates.sort_unstable();
    for (_, key, resource, hard) in &candidates {
        if let Some(containers) = exceeding(resource, *hard, bounds, image) {
            return Ok(Probe { resource: (*key).to_owned(), containers });
        }
    }
    let keys = hard.keys().cloned().collect::<Vec<_>>().join(", ");
    Err(if candidates.is_empty() {
        format!("one pod alone cannot exceed a quota on {keys}; quota.hard proves that it is there and counted")
    } else {
        format!("the namespace's LimitRanges allow no single pod that exceeds the quota on {keys}")
    })
}

/// The order in which resources are tried: extended ones first, as no LimitRange of ours bounds them. A count of
/// objects is exceeded by many objects, not by one large one.
fn rank(key: &str, resource: &str) -> Option<u8> {
    if key.starts_with("count/") {
        return None;
    }
    match resource {
        extended if extended.contains('/') => key.starts_with("requests.").then_some(0),
        "cpu" => Some(1),
        "memory" => Some(2),
        "ephemeral-storage" => Some(3),
        _ => None,
    }
}

fn exceeding(resource: &str, hard: Quantity, bounds: &Constraints, image: &str) -> Option<Vec<Value>> {
    let step = match resource {
        "memory" | "ephemeral-storage" => Quantity::whole(1 << 20),
        _ => Quantity::whole(1),
    };
    let needed = hard + step;
    if bounds.pod_max.get(resource).is_some_and(|most| *most < needed) {
        return None;
    }
    let containers = match bounds.container_max.get(resource) {
        Some(most) => needed.parts_of(*most),
        None => 1,
    };
    if containers > MOST_CONTAINERS {
        return None;
    }
    let each = needed.divided_up(containers);
    // Extended resources are whole numbers.
    let each =
        if resource.contains('/') { Quantity::whole(i64::try_from(each.units_rounded_up()).ok()?) } else { each };
    let mut amounts = bounds.small(containers);
    amounts.insert(resource.to_owned(), each);
    let container = restricted_container(image, resources(&amounts));
    Some(
        (0..containers)
            .map(|at| {
                let mut container = container.clone();
                container["name"] = format!("probe-{at}").into();
                container
            })
            .collect(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn hard(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
        pairs.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect()
    }

    fn bounds(limits: Value) -> Constraints {
        Constraints::read([&json!({"spec": {"limits": limits}})].into_iter())
    }

    fn sum(probe: &Probe, resource: &str) -> Quantity {
        let amounts = probe.containers.iter().map(|c| Quantity::of(&c["resources"]["limits"][resource]).expect("set"));
        amounts.fold(Quantity::default(), |a, b| a + b)
    }

    #[test]
    fn gpus_are_exceeded_before_anything_else() {
        let probe =
            probe(&hard(&[("requests.nvidia.com/gpu", "16"), ("requests.cpu", "256")]), &Constraints::default(), "i")
                .expect("a probe");
        assert_eq!(probe.resource, "requests.nvidia.com/gpu");
        assert_eq!(probe.containers[0]["resources"]["limits"]["nvidia.com/gpu"], json!("17"));
        assert_eq!(probe.containers[0]["resources"]["requests"]["cpu"], json!("10m"), "quotas want it declared");
    }

    #[test]
    fn a_container_maximum_is_kept_by_more_containers() {
        let bounds =
            bounds(json!([{"type": "Container", "max": {"cpu": "8", "memory": "4Gi"}, "min": {"cpu": "100m"}}]));
        let probe = probe(&hard(&[("requests.cpu", "20")]), &bounds, "i").expect("a probe");
        assert_eq!(probe.containers.len(), 3);
        assert!(sum(&probe, "cpu") > "20".parse().expect("a quantity"));
        for container in &probe.containers {
            let cpu = Quantity::of(&container["resources"]["limits"]["cpu"]).expect("set");
            assert!(cpu <= Quantity::whole(8));
        }
    }

    #[test]
    fn what_a_pod_maximum_forbids_falls_to_the_next_resource() {
        let bounds = bounds(json!([{"type": "Pod", "max": {"cpu": "8"}}]));
        let probe = probe(&hard(&[("cpu", "20"), ("memory", "1Ti")]), &bounds, "i").expect("a probe");
        assert_eq!(probe.resource, "memory");
        assert!(sum(&probe, "memory") > "1Ti".parse().expect("a quantity"));
    }

    #[test]
    fn counts_cannot_be_exceeded_by_one_pod() {
        let why = probe(&hard(&[("pods", "200"), ("count/jobs.batch", "5")]), &Constraints::default(), "i");
        assert!(why.expect_err("no probe").contains("pods"));
        let bounds = bounds(json!([{"type": "Container", "max": {"cpu": "1m"}}]));
        assert!(probe(&hard(&[("cpu", "20")]), &bounds, "i").expect_err("no probe").contains("LimitRange"));
    }

    #[test]
    fn limits_of_extended_resources_are_never_probed() {
        // Kubernetes accepts such a quota and never counts it.
        assert!(probe(&hard(&[("limits.nvidia.com/gpu", "1")]), &Constraints::default(), "i").is_err());
    }
}

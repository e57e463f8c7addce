//! What a namespace's LimitRanges allow, so that a probe is not refused by them before it reaches what it probes.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::{namespace, of_kind};
use crate::cluster::text;
use crate::quantity::Quantity;
use crate::verify::api::Trouble;
use crate::verify::context::CheckContext;

type Amounts = BTreeMap<String, Quantity>;

/// The bounds of all LimitRanges of a namespace together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) struct Constraints {
    /// Least for one container.
    pub(super) container_min: Amounts,
    /// Most for one container.
    pub(super) container_max: Amounts,
    /// Least for all containers of a pod.
    pub(super) pod_min: Amounts,
    /// Most for all containers of a pod.
    pub(super) pod_max: Amounts,
    /// Limits that a container without its own gets.
    pub(super) default_limits: Amounts,
    /// Requests that a container without its own gets.
    pub(super) default_requests: Amounts,
}

impl Constraints {
    /// Reads the live LimitRanges; those of the blueprint where the caller may not read them.
    pub(super) async fn of(cx: &CheckContext, space: &str) -> Result<Self, Trouble> {
        match cx.api().list(&format!("/api/v1/namespaces/{space}/limitranges"), "").await {
            Ok(live) => Ok(Self::read(live.iter())),
            Err(Trouble::Forbidden { .. }) => Ok(Self::wanted(&cx.desired, space)),
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads the LimitRanges that the blueprint asks for.
    pub(super) fn wanted(desired: &crate::desired::Desired, space: &str) -> Self {
        let ranges = of_kind(desired, "", "LimitRange").filter(|range| namespace(range) == space);
        Self::read(ranges.map(|range| range.manifest.value()))
    }

    /// Reads LimitRanges.
    pub(super) fn read<'a>(ranges: impl Iterator<Item = &'a Value>) -> Self {
        let mut all = Self::default();
        let items = ranges.filter_map(|range| range.pointer("/spec/limits")?.as_array()).flatten();
        for item in items {
            let (min, max) = (amounts(item, "min"), amounts(item, "max"));
            match text(item, "/type") {
                "Container" => {
                    // The API server's own rule (SetDefaults_LimitRangeItem): a maximum is the default limit, a
                    // default limit is the default request, and a minimum fills what is still open.
                    let mut limits = amounts(item, "default");
                    fill(&mut limits, &max);
                    let mut requests = amounts(item, "defaultRequest");
                    fill(&mut requests, &limits);
                    fill(&mut requests, &min);
                    fill(&mut all.default_limits, &limits);
                    fill(&mut all.default_requests, &requests);
                    tighten(&mut all.container_min, min, Quantity::max);
                    tighten(&mut all.container_max, max, Quantity::min);
                }
                "Pod" => {
                    tighten(&mut all.pod_min, min, Quantity::max);
                    tighten(&mut all.pod_max, max, Quantity::min);
                }
                _ => {}
            }
        }
        all
    }

    /// Resources as small as they may be, requests equal to limits, for one of `containers` containers of a pod.
    pub(super) fn small(&self, containers: i128) -> Amounts {
        // 10m and 16Mi: what a process that exits at once needs, and what a kubelet still accepts.
        let floor = BTreeMap::from([
            ("cpu".to_owned(), Quantity::millis(10)),
            ("memory".to_owned(), Quantity::whole(16 << 20)),
        ]);
        let mut out = floor;
        for (resource, least) in &self.container_min {
            raise(&mut out, resource, *least);
        }
        for (resource, least) in &self.pod_min {
            raise(&mut out, resource, least.divided_up(containers.max(1)));
        }
        out
    }
}

fn raise(out: &mut Amounts, resource: &str, least: Quantity) {
    let entry = out.entry(resource.to_owned()).or_insert(least);
    *entry = (*entry).max(least);
}

fn fill(into: &mut Amounts, from: &Amounts) {
    for (resource, amount) in from {
        into.entry(resource.clone()).or_insert(*amount);
    }
}

fn tighten(into: &mut Amounts, from: Amounts, stricter: fn(Quantity, Quantity) -> Quantity) {
    for (resource, amount) in from {
        let entry = into.entry(resource).or_insert(amount);
        *entry = stricter(*entry, amount);
    }
}

/// The amounts of a resource list.
pub(super) fn amounts(object: &Value, key: &str) -> Amounts {
    let list = object.get(key).and_then(Value::as_object);
    list.into_iter()
        .flatten()
        .filter_map(|(resource, amount)| Some((resource.clone(), Quantity::of(amount)?)))
        .collect()
}

/// A container's `resources` with requests equal to limits.
pub(super) fn resources(amounts: &Amounts) -> Value {
    let map: Map<String, Value> =
        amounts.iter().map(|(resource, amount)| (resource.clone(), json!(amount.to_string()))).collect();
    json!({"requests": map, "limits": map})
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        text.parse().expect("a quantity")
    }

    #[test]
    fn defaults_are_filled_as_the_api_server_fills_them() {
        let range = json!({"spec": {"limits": [{"type": "Container",
            "max": {"cpu": "4"}, "min": {"memory": "64Mi"}, "default": {"memory": "1Gi"}, "defaultRequest": {"cpu": "500m"}}]}});
        let all = Constraints::read([&range].into_iter());
        assert_eq!(all.default_limits, BTreeMap::from([("cpu".into(), q("4")), ("memory".into(), q("1Gi"))]));
        assert_eq!(all.default_requests, BTreeMap::from([("cpu".into(), q("500m")), ("memory".into(), q("1Gi"))]));
    }

    #[test]
    fn several_ranges_give_the_strictest_bounds() {
        let range = |max: &str, min: &str| json!({"spec": {"limits": [{"type": "Container", "max": {"cpu": max}, "min": {"cpu": min}}]}});
        let (a, b) = (range("4", "100m"), range("8", "200m"));
        let all = Constraints::read([&a, &b].into_iter());
        assert_eq!(all.container_max["cpu"], q("4"));
        assert_eq!(all.container_min["cpu"], q("200m"));
        assert_eq!(all.small(1)["cpu"], q("200m"));
    }

    #[test]
    fn a_pod_minimum_is_shared_among_its_containers() {
        let range = json!({"spec": {"limits": [{"type": "Pod", "min": {"cpu": "1"}}]}});
        let all = Constraints::read([&range].into_iter());
        assert_eq!(all.small(4)["cpu"], q("250m"));
    }
}

//! Resources: what a pod asks for as the scheduler counts it, and what a node has.
//!
//! Source: `PodRequests` and `AggregateContainerRequests` of k8s.io/component-helpers 0.36, `SetDefaults_Pod` of
//! pkg/apis/core/v1 and `Resource.Add` of pkg/scheduler/framework (Kubernetes 1.36, where pod-level resources are on).

use std::collections::BTreeMap;

use serde_json::Value;

use crate::quantity::Quantity;

/// Amounts by resource, exact.
pub type Quantities = BTreeMap<String, Quantity>;

/// Amounts as the scheduler counts: CPU in thousandths, everything else in whole units, both rounded up.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Amounts(BTreeMap<String, i64>);

/// CPU.
pub const CPU: &str = "cpu";
/// Memory.
pub const MEMORY: &str = "memory";
/// Disk of the node.
pub const EPHEMERAL: &str = "ephemeral-storage";
/// Pods on a node.
pub const PODS: &str = "pods";

impl Amounts {
    /// Counts quantities; what the scheduler does not count is left out.
    pub fn of(quantities: &Quantities) -> Self {
        let mut amounts = BTreeMap::new();
        for (name, quantity) in quantities {
            let amount = if name == CPU { quantity.millis_rounded_up() } else { quantity.units_rounded_up() };
            if is_counted(name) {
                // More than 2^63 of anything is as much as nobody has.
                amounts.insert(name.clone(), i64::try_from(amount).unwrap_or(i64::MAX));
            }
        }
        Self(amounts)
    }

    /// The amount of a resource; none is 0.
    pub fn get(&self, name: &str) -> i64 {
        self.0.get(name).copied().unwrap_or(0)
    }

    /// Sets an amount.
    pub fn set(&mut self, name: &str, amount: i64) {
        self.0.insert(name.to_owned(), amount);
    }

    /// Takes a resource away.
    pub fn remove(&mut self, name: &str) {
        self.0.remove(name);
    }

    /// Adds amounts.
    pub fn add(&mut self, other: &Self) {
        for (name, amount) in &other.0 {
            let sum = self.get(name).saturating_add(*amount);
            self.0.insert(name.clone(), sum);
        }
    }

    /// Every resource with its amount.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|(name, amount)| (name.as_str(), *amount))
    }

    /// Whether nothing is asked for.
    pub fn is_nothing(&self) -> bool {
        self.0.values().all(|amount| *amount == 0)
    }
}

/// An amount for people: `1500m`, `16Gi`, `8`.
pub fn show(name: &str, amount: i64) -> String {
    if name == CPU { Quantity::millis(amount).to_string() } else { Quantity::whole(amount).to_string() }
}

/// Whether the scheduler counts a resource: its own four, extended ones, huge pages, attachable volumes.
fn is_counted(name: &str) -> bool {
    matches!(name, CPU | MEMORY | EPHEMERAL | PODS)
        || is_extended(name)
        || name.starts_with("hugepages-")
        || name.contains("kubernetes.io/")
        || name.starts_with("attachable-volumes-")
}

/// Whether a resource is an extended one, `vendor/thing`.
pub fn is_extended(name: &str) -> bool {
    name.contains('/') && !name.contains("kubernetes.io/") && !name.starts_with("requests.")
}

/// Reads a list of amounts; what is no quantity is left out, the API server refuses it. It rounds what is finer than a
/// thousandth up (`SetDefaults_ResourceList`).
pub fn quantities(value: &Value) -> Quantities {
    let pairs = value.as_object().into_iter().flatten();
    let whole = |quantity: Quantity| i64::try_from(quantity.millis_rounded_up()).map_or(quantity, Quantity::millis);
    pairs.filter_map(|(name, value)| Some((name.clone(), whole(Quantity::of(value)?)))).collect()
}

/// What the containers of a namespace ask for where they do not say: its LimitRanges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ContainerDefaults {
    /// `defaultRequest`, or what the API server makes of `default`.
    pub requests: Quantities,
    /// `default`, or what the API server makes of `max`.
    pub limits: Quantities,
}

impl ContainerDefaults {
    /// Reads a LimitRange. Source: `SetDefaults_LimitRangeItem`: a `max` is the `default`, a `default` the
    /// `defaultRequest`, and a `min` the `defaultRequest` where there is neither.
    pub fn of(limit_range: &Value) -> Self {
        let mut defaults = Self::default();
        for item in limit_range["spec"]["limits"].as_array().into_iter().flatten() {
            if item["type"] != "Container" {
                continue;
            }
            let [max, mut limits, mut requests, min] =
                ["max", "default", "defaultRequest", "min"].map(|key| quantities(&item[key]));
            fill(&mut limits, &max);
            fill(&mut requests, &limits);
            fill(&mut requests, &min);
            fill(&mut defaults.limits, &limits);
            fill(&mut defaults.requests, &requests);
        }
        defaults
    }

    /// Adds another LimitRange of the same namespace; the first one wins.
    pub fn and(&mut self, other: &Self) {
        fill(&mut self.limits, &other.limits);
        fill(&mut self.requests, &other.requests);
    }
}

fn fill(into: &mut Quantities, from: &Quantities) {
    for (name, quantity) in from {
        into.entry(name.clone()).or_insert(*quantity);
    }
}

fn add(into: &mut Quantities, from: &Quantities) {
    for (name, quantity) in from {
        let sum = into.get(name).copied().unwrap_or_default() + *quantity;
        into.insert(name.clone(), sum);
    }
}

fn raise(into: &mut Quantities, to: &Quantities) {
    for (name, quantity) in to {
        if into.get(name).is_none_or(|have| have < quantity) {
            into.insert(name.clone(), *quantity);
        }
    }
}

/// What a container asks for: its requests, its limits where it has no request, and the namespace's defaults for the rest.
fn container_requests(container: &Value, defaults: &ContainerDefaults) -> Quantities {
    let mut requests = quantities(&container["resources"]["requests"]);
    let limits = quantities(&container["resources"]["limits"]);
    // Defaulting comes before admission.
    fill(&mut requests, &limits);
    fill(&mut requests, &defaults.requests);
    // A default limit alone gives no request: the pod's own defaulting has run by then.
    requests
}

/// What a pod asks for.
pub fn pod_requests(spec: &Value, defaults: &ContainerDefaults) -> Quantities {
    let containers = |key: &str| spec[key].as_array().map(Vec::as_slice).unwrap_or_default();
    let mut requests = Quantities::new();
    for container in containers("containers") {
        add(&mut requests, &container_requests(container, defaults));
    }
    let mut sidecars = Quantities::new();
    let mut before = Quantities::new();
    for container in containers("initContainers") {
        let own = container_requests(container, defaults);
        if container["restartPolicy"] == "Always" {
            // It keeps running: it counts beside the containers, and beside every init container after it.
            add(&mut requests, &own);
            add(&mut sidecars, &own);
            raise(&mut before, &sidecars);
        } else {
            let mut together = own;
            add(&mut together, &sidecars);
            raise(&mut before, &together);
        }
    }
    raise(&mut requests, &before);
    pod_level(&spec["resources"], &mut requests);
    add(&mut requests, &quantities(&spec["overhead"]));
    requests
}

/// The pod's own `resources` take the place of its containers' sum.
fn pod_level(resources: &Value, requests: &mut Quantities) {
    let supported = |name: &str| matches!(name, CPU | MEMORY) || name.starts_with("hugepages-");
    let mut own = quantities(&resources["requests"]);
    let limits = quantities(&resources["limits"]);
    if !limits.is_empty() {
        // Huge pages cannot be overcommitted: their request is not taken from the containers.
        for (name, quantity) in requests.iter().filter(|(name, _)| matches!(name.as_str(), CPU | MEMORY)) {
            own.entry(name.clone()).or_insert(*quantity);
        }
        for (name, quantity) in limits.iter().filter(|(name, _)| supported(name)) {
            own.entry(name.clone()).or_insert(*quantity);
        }
    }
    for (name, quantity) in own.into_iter().filter(|(name, _)| supported(name)) {
        requests.insert(name, quantity);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn amounts(spec: Value) -> Amounts {
        Amounts::of(&pod_requests(&spec, &ContainerDefaults::default()))
    }

    fn container(cpu: &str) -> Value {
        json!({"resources": {"requests": {"cpu": cpu}}})
    }

    fn sidecar(cpu: &str) -> Value {
        json!({"restartPolicy": "Always", "resources": {"requests": {"cpu": cpu}}})
    }

    #[test]
    fn init_containers_and_sidecars_count_in_their_order() {
        let cpu = |init: Value| amounts(json!({"containers": [container("1")], "initContainers": init})).get(CPU);
        assert_eq!(cpu(json!([container("3")])), 3000, "the largest step counts");
        assert_eq!(cpu(json!([sidecar("2")])), 3000, "a sidecar runs beside the containers");
        assert_eq!(cpu(json!([sidecar("2"), container("3")])), 5000, "and beside the init containers after it");
        assert_eq!(cpu(json!([container("3"), sidecar("2")])), 3000, "but not beside those before it");
        assert_eq!(cpu(json!([sidecar("1"), sidecar("2"), container("500m")])), 4000);
    }

    #[test]
    fn limits_stand_in_for_requests_and_overhead_is_added() {
        let spec = json!({"containers": [{"resources": {"limits": {"nvidia.com/gpu": 8, "cpu": "4"}}}],
            "overhead": {"cpu": "250m", "memory": "120Mi"}});
        let amounts = amounts(spec);
        assert_eq!((amounts.get("nvidia.com/gpu"), amounts.get(CPU), amounts.get(MEMORY)), (8, 4250, 120 << 20));
    }

    #[test]
    fn resources_of_the_pod_take_the_place_of_the_sum() {
        let spec = json!({"containers": [container("1"), container("1")], "resources": {"requests": {"cpu": "5", "memory": "1Gi"}}});
        assert_eq!((amounts(spec.clone()).get(CPU), amounts(spec).get(MEMORY)), (5000, 1 << 30));
        let limited = json!({"containers": [container("1")], "resources": {"limits": {"cpu": "5", "memory": "1Gi"}}});
        assert_eq!(amounts(limited.clone()).get(CPU), 1000, "the containers' sum is what the limit leaves open");
        assert_eq!(amounts(limited).get(MEMORY), 1 << 30);
    }

    #[test]
    fn amounts_are_rounded_up_to_thousandths_for_each_container_and_to_units_for_each_pod() {
        let spec = json!({"containers": [container("100u"), container("100u")]});
        assert_eq!(amounts(spec).get(CPU), 2);
        assert_eq!(amounts(json!({"containers": [{"resources": {"requests": {"memory": "1500m"}}}]})).get(MEMORY), 2);
    }

    #[test]
    fn a_limit_range_makes_a_max_a_request() {
        let range = json!({"spec": {"limits": [{"type": "Container", "max": {"nvidia.com/gpu": 8}}]}});
        let defaults = ContainerDefaults::of(&range);
        let spec = json!({"containers": [container("1")]});
        assert_eq!(Amounts::of(&pod_requests(&spec, &defaults)).get("nvidia.com/gpu"), 8);
    }
}

//! What it costs now: each live node with its price, split among the pods on it. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use wbk_provider_api::{Capacity, ProviderKind};

use super::allocate::{gpus_idle, split};
use super::facts::{Cloud, NodeFacts, gpus_of};
use super::money::UsdPerHour;
use super::prices::{Priced, Prices, Subject};
use super::read::Sources;
use crate::cluster::{container_statuses, text};
use crate::desired::QUEUE_LABEL;
use crate::gpu::scheduler::{Amounts, ContainerDefaults, pod_requests};

/// What is asked, beside what was seen.
#[derive(Debug, Clone)]
pub struct Question<'a> {
    /// The blueprint, where there is one.
    pub blueprint: Option<&'a str>,
    /// Its provider.
    pub provider: Option<ProviderKind>,
    /// The context by which the cluster was reached.
    pub context: &'a str,
    /// Whether nodes are simulated.
    pub simulated: bool,
    /// The blueprint's pools, with the GPUs of a node.
    pub pools: BTreeMap<String, u64>,
    /// The blueprint's queues.
    pub queues: BTreeSet<String>,
    /// Prices.
    pub prices: &'a Prices,
    /// The time.
    pub now: Timestamp,
}

/// What a platform costs now, in US dollars.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CostReport {
    /// Format of this report.
    pub format: u32,
    /// The blueprint's name.
    pub blueprint: Option<String>,
    /// The context by which the cluster was reached.
    pub context: String,
    /// Whether nodes are simulated: then these are the costs of the nodes that are played.
    pub simulated_nodes: bool,
    /// When it was looked at.
    #[schemars(with = "String", extend("format" = "date-time"))]
    pub at: Timestamp,
    /// The whole.
    pub total: Hourly,
    /// Whether a node, or what could not be seen, has no price: it costs at least this.
    pub at_least: bool,
    /// By how nodes are paid for.
    pub capacity: Vec<CapacityRow>,
    /// By pool, the dearest first. Together with `fixed` they are the whole.
    pub pools: Vec<PoolRow>,
    /// What costs by the hour and is no node.
    pub fixed: Vec<SharerRow>,
    /// By namespace, the dearest first; together with `idle` they are what the nodes cost. `null` where pods could not be seen.
    pub namespaces: Option<Vec<SharerRow>>,
    /// By queue of W&B Launch; together with `withoutQueue` they are what namespaces pay.
    pub queues: Option<Vec<SharerRow>>,
    /// What pods of no queue pay.
    pub without_queue: Option<UsdPerHour>,
    /// What nobody's requests pay for.
    pub idle: Option<UsdPerHour>,
    /// Nodes with GPUs that no pod asks for, the dearest first. They are a part of `idle`, except where pods without GPUs pay for a
    /// node by its CPU or memory.
    pub idle_gpus: Option<Vec<IdleGpus>>,
    /// Every node, by name.
    pub nodes: Vec<NodeRow>,
    /// The lists that prices were taken from.
    pub sources: Vec<PriceSource>,
    /// What could not be asked, and why.
    pub unseen: Vec<String>,
}

/// An amount as people think of it.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hourly {
    /// An hour.
    pub hour: UsdPerHour,
    /// 24 hours.
    pub day: UsdPerHour,
    /// 730 hours, as clouds count a month.
    pub month: UsdPerHour,
}

impl Hourly {
    pub(super) fn of(hour: UsdPerHour) -> Self {
        Self { hour, day: hour.times(24), month: hour.times(730) }
    }
}

/// Nodes that are paid for alike.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CapacityRow {
    /// How.
    pub capacity: Capacity,
    /// How many.
    pub nodes: usize,
    /// What they cost.
    pub hourly: UsdPerHour,
}

/// A pool.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PoolRow {
    /// Its name; `null` for nodes of none.
    pub name: Option<String>,
    /// Its nodes.
    pub nodes: usize,
    /// Of these, without a price.
    pub unpriced: usize,
    /// Machine types of its nodes, sorted.
    #[schemars(with = "Vec<String>")]
    pub machines: BTreeSet<String>,
    /// What they cost.
    pub hourly: UsdPerHour,
    /// Of this, what nobody's requests pay for.
    pub idle: Option<UsdPerHour>,
    /// What namespaces pay.
    pub namespaces: BTreeMap<String, UsdPerHour>,
    /// GPUs, shares or partitions that its nodes offer.
    pub gpus: u64,
    /// Of these, asked for by nobody.
    pub idle_gpus: Option<u64>,
}

/// Somebody, or something, that pays.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SharerRow {
    /// Its name.
    pub name: String,
    /// Pods on nodes.
    pub pods: usize,
    /// GPUs, shares or partitions that they ask for.
    pub gpus: u64,
    /// What it pays.
    pub hourly: UsdPerHour,
}

/// A node with GPUs that no pod asks for.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct IdleGpus {
    /// The node.
    pub node: String,
    /// Its pool.
    pub pool: Option<String>,
    /// The model, as the node's labels have it.
    pub model: Option<String>,
    /// How many of each resource.
    pub idle: BTreeMap<String, u64>,
    /// Of how many.
    pub of: BTreeMap<String, u64>,
    /// The part of the node's price that goes with them, by the share of its GPUs that is idle.
    pub hourly: Option<UsdPerHour>,
    /// Seconds for which they have been idle at most: since the node came, or since the last pod with GPUs that is still listed
    /// ended. A pod that is gone from the list may have ended later.
    pub at_most_seconds: Option<i64>,
}

/// A node.
#[derive(Debug, Clone, PartialEq, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeRow {
    /// Its name.
    pub name: String,
    /// Its pool.
    pub pool: Option<String>,
    /// Its cloud.
    pub cloud: Option<Cloud>,
    /// Its region.
    pub region: Option<String>,
    /// Its machine type.
    pub machine: Option<String>,
    /// How it is paid for.
    pub capacity: Capacity,
    /// What it costs; `null` where that is not known.
    pub hourly: Option<UsdPerHour>,
    /// Who says so, or why nobody does.
    pub priced: String,
    /// Of its price, what nobody's requests pay for.
    pub idle: Option<UsdPerHour>,
}

/// A list of prices.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct PriceSource {
    /// The day of its prices.
    pub date: String,
    /// Where it is from.
    pub source: String,
}

/// A pod on a node.
struct Sharer {
    namespace: String,
    queue: Option<String>,
    requests: Amounts,
}

/// What is known of the pods of one node.
#[derive(Default)]
struct OnNode {
    sharers: Vec<Sharer>,
    /// When the last pod with GPUs ended.
    last_end: Option<Timestamp>,
}

#[derive(Default)]
struct Sums {
    pods: usize,
    gpus: u64,
    hourly: UsdPerHour,
}

/// Sums it up.
pub fn cost_report(question: &Question<'_>, sources: &Sources) -> CostReport {
    let mut facts: Vec<NodeFacts> =
        sources.nodes.iter().flatten().map(|node| NodeFacts::of(node, question.provider)).collect();
    facts.sort_by(|a, b| a.name.cmp(&b.name));
    let pods = sources.pods.as_ref().map(|pods| by_node(pods));
    let mut sum = Summing::new(question, pods.is_some());
    for node in &facts {
        let nothing = OnNode::default();
        let on_node = pods.as_ref().map(|pods| pods.get(&node.name).unwrap_or(&nothing));
        sum.add(node, on_node);
    }
    for cloud in facts.iter().filter(|node| node.managed).filter_map(|node| node.cloud).collect::<BTreeSet<_>>() {
        sum.service(cloud);
    }
    sum.report(sources)
}

/// Pods that take room on a node, and the ends of others. A pod that ended, or has no node yet, costs nothing.
fn by_node(pods: &[Value]) -> BTreeMap<String, OnNode> {
    let mut nodes: BTreeMap<String, OnNode> = BTreeMap::new();
    for pod in pods {
        let node = text(pod, "/spec/nodeName");
        if node.is_empty() {
            continue;
        }
        let requests = Amounts::of(&pod_requests(&pod["spec"], &ContainerDefaults::default()));
        let on_node = nodes.entry(node.to_owned()).or_default();
        if matches!(text(pod, "/status/phase"), "Succeeded" | "Failed") {
            if !gpus_of(&requests).is_empty() {
                on_node.last_end = on_node.last_end.max(ended(pod));
            }
            continue;
        }
        on_node.sharers.push(Sharer {
            namespace: text(pod, "/metadata/namespace").to_owned(),
            queue: pod["metadata"]["labels"][QUEUE_LABEL].as_str().map(str::to_owned),
            requests,
        });
    }
    nodes
}

fn ended(pod: &Value) -> Option<Timestamp> {
    container_statuses(pod)
        .filter_map(|status| status.pointer("/state/terminated/finishedAt").and_then(Value::as_str))
        .filter_map(|time| time.parse::<Timestamp>().ok()) // What is no time says nothing.
        .max()
}

/// The sums while nodes are gone through.
struct Summing<'a> {
    question: &'a Question<'a>,
    sees_pods: bool,
    pools: BTreeMap<Option<String>, PoolRow>,
    capacity: BTreeMap<&'static str, CapacityRow>,
    namespaces: BTreeMap<String, Sums>,
    queues: BTreeMap<String, Sums>,
    without_queue: UsdPerHour,
    idle: UsdPerHour,
    idle_gpus: Vec<IdleGpus>,
    nodes: Vec<NodeRow>,
    sources: BTreeSet<PriceSource>,
    fixed: Vec<SharerRow>,
}

impl<'a> Summing<'a> {
    fn new(question: &'a Question<'a>, sees_pods: bool) -> Self {
        let pool = |name: &String| {
            let name = Some(name.clone());
            (name.clone(), empty_pool(name, sees_pods))
        };
        let own = question.prices.own.fixed.iter();
        Self {
            question,
            sees_pods,
            pools: question.pools.keys().map(pool).collect(),
            capacity: BTreeMap::new(),
            namespaces: BTreeMap::new(),
            queues: question.queues.iter().map(|queue| (queue.clone(), Sums::default())).collect(),
            without_queue: UsdPerHour::ZERO,
            idle: UsdPerHour::ZERO,
            idle_gpus: Vec::new(),
            nodes: Vec::new(),
            sources: BTreeSet::new(),
            fixed: own.map(|fixed| fixed_row(&fixed.name, fixed.hourly)).collect(),
        }
    }

    /// What a cloud asks for its Kubernetes service itself, where the blueprint's own prices do not name it.
    fn service(&mut self, cloud: Cloud) {
        let name = match cloud {
            Cloud::Aws => "EKS cluster",
            Cloud::Gcp => "GKE cluster",
            Cloud::Azure => "AKS cluster",
        };
        if self.fixed.iter().any(|row| row.name == name) {
            return;
        }
        if let Some(quote) = self.question.prices.of_service(cloud) {
            self.sources.insert(PriceSource { date: quote.date, source: quote.source });
            self.fixed.push(fixed_row(name, quote.price));
        }
    }

    fn add(&mut self, node: &NodeFacts, on_node: Option<&OnNode>) {
        let counted = node.pool.as_ref().and_then(|pool| self.question.pools.get(pool)).copied();
        let priced = self.question.prices.of(&Subject::of_node(node, counted));
        let price = priced.price();
        let amount = price.unwrap_or_default();
        let sees_pods = self.sees_pods;
        let pool = self.pools.entry(node.pool.clone()).or_insert_with(|| empty_pool(node.pool.clone(), sees_pods));
        let capacity = self.capacity.entry(capacity_word(node.capacity)).or_insert(CapacityRow {
            capacity: node.capacity,
            nodes: 0,
            hourly: UsdPerHour::ZERO,
        });
        capacity.nodes += 1;
        capacity.hourly += amount;
        pool.nodes += 1;
        pool.unpriced += usize::from(price.is_none());
        pool.machines.extend(node.machine.clone());
        pool.hourly += amount;
        let gpus = node.gpus();
        pool.gpus += gpus.values().sum::<u64>();
        let mut idle = None;
        if let Some(on_node) = on_node {
            let requests: Vec<&Amounts> = on_node.sharers.iter().map(|sharer| &sharer.requests).collect();
            let split = split(amount, &node.allocatable, &requests);
            let mut used = Amounts::default();
            for (sharer, pays) in on_node.sharers.iter().zip(&split.pods) {
                let asked: u64 = gpus_of(&sharer.requests).values().sum();
                used.add(&sharer.requests);
                *pool.namespaces.entry(sharer.namespace.clone()).or_default() += *pays;
                pays_more(self.namespaces.entry(sharer.namespace.clone()).or_default(), asked, *pays);
                match &sharer.queue {
                    Some(queue) => pays_more(self.queues.entry(queue.clone()).or_default(), asked, *pays),
                    None => self.without_queue += *pays,
                }
            }
            self.idle += split.idle;
            pool.idle = pool.idle.map(|sum| sum + split.idle);
            idle = price.map(|_| split.idle);
            let busy = gpus_of(&used);
            let left: BTreeMap<String, u64> = gpus
                .iter()
                .map(|(resource, count)| {
                    (resource.clone(), count.saturating_sub(busy.get(resource).copied().unwrap_or(0)))
                })
                .filter(|(_, left)| *left > 0)
                .collect();
            pool.idle_gpus = pool.idle_gpus.map(|sum| sum + left.values().sum::<u64>());
            if !left.is_empty() {
                let since = node.since.max(on_node.last_end);
                self.idle_gpus.push(IdleGpus {
                    node: node.name.clone(),
                    pool: node.pool.clone(),
                    model: node.model.clone(),
                    of: gpus
                        .iter()
                        .filter(|(name, _)| left.contains_key(*name))
                        .map(|(n, c)| (n.clone(), *c))
                        .collect(),
                    idle: left,
                    hourly: price.and_then(|price| gpus_idle(price, &node.allocatable, &used)),
                    at_most_seconds: since.map(|since| (self.question.now.as_second() - since.as_second()).max(0)),
                });
            }
        }
        self.nodes.push(NodeRow {
            name: node.name.clone(),
            pool: node.pool.clone(),
            cloud: node.cloud,
            region: node.region.clone(),
            machine: node.machine.clone(),
            capacity: node.capacity,
            hourly: price,
            priced: match &priced {
                Priced::Own(_) => "the blueprint's own price".into(),
                Priced::Listed(quote) => format!("{} of {}", quote.source, quote.date),
                Priced::Unknown(why) => why.clone(),
            },
            idle,
        });
        if let Priced::Listed(quote) = priced {
            self.sources.insert(PriceSource { date: quote.date, source: quote.source });
        }
    }

    fn report(self, sources: &Sources) -> CostReport {
        let question = self.question;
        let seen = self.sees_pods;
        let mut pools: Vec<PoolRow> = self.pools.into_values().collect();
        pools.sort_by(|a, b| (b.hourly, &a.name).cmp(&(a.hourly, &b.name)));
        let mut idle_gpus = self.idle_gpus;
        idle_gpus.sort_by(|a, b| (b.hourly, &a.node).cmp(&(a.hourly, &b.node)));
        let hour: UsdPerHour =
            pools.iter().map(|pool| pool.hourly).sum::<UsdPerHour>() + self.fixed.iter().map(|row| row.hourly).sum();
        CostReport {
            format: 1,
            blueprint: question.blueprint.map(str::to_owned),
            context: question.context.to_owned(),
            simulated_nodes: question.simulated,
            at: question.now,
            total: Hourly::of(hour),
            at_least: sources.nodes.is_none() || self.nodes.iter().any(|node| node.hourly.is_none()),
            capacity: self.capacity.into_values().collect(),
            pools,
            fixed: self.fixed,
            namespaces: seen.then(|| rows(self.namespaces)),
            queues: seen.then(|| rows(self.queues)),
            without_queue: seen.then_some(self.without_queue),
            idle: seen.then_some(self.idle),
            idle_gpus: seen.then_some(idle_gpus),
            nodes: self.nodes,
            sources: self.sources.into_iter().collect(),
            unseen: sources.unseen.clone(),
        }
    }
}

fn empty_pool(name: Option<String>, sees_pods: bool) -> PoolRow {
    PoolRow {
        name,
        nodes: 0,
        unpriced: 0,
        machines: BTreeSet::new(),
        hourly: UsdPerHour::ZERO,
        idle: sees_pods.then_some(UsdPerHour::ZERO),
        namespaces: BTreeMap::new(),
        gpus: 0,
        idle_gpus: sees_pods.then_some(0),
    }
}

fn fixed_row(name: &str, hourly: UsdPerHour) -> SharerRow {
    SharerRow { name: name.to_owned(), pods: 0, gpus: 0, hourly }
}

fn pays_more(sums: &mut Sums, gpus: u64, pays: UsdPerHour) {
    sums.pods += 1;
    sums.gpus += gpus;
    sums.hourly += pays;
}

fn rows(sums: BTreeMap<String, Sums>) -> Vec<SharerRow> {
    let mut rows: Vec<SharerRow> =
        sums.into_iter().map(|(name, Sums { pods, gpus, hourly })| SharerRow { name, pods, gpus, hourly }).collect();
    rows.sort_by(|a, b| (b.hourly, &a.name).cmp(&(a.hourly, &b.name)));
    rows
}

fn capacity_word(capacity: Capacity) -> &'static str {
    match capacity {
        Capacity::OnDemand => "on demand",
        Capacity::Spot => "spot",
    }
}

impl CapacityRow {
    /// The word for a person.
    pub fn word(&self) -> &'static str {
        capacity_word(self.capacity)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;
    use crate::cost::{FixedCost, OwnPrices, Payer, PriceRule, cents};

    fn node(name: &str, pool: &str, labels: Value) -> Value {
        let mut all = json!({"wbk-infra/pool": pool});
        for (key, value) in labels.as_object().into_iter().flatten() {
            all[key] = value.clone();
        }
        let allocatable = json!({"cpu": "96", "memory": "680Gi", "nvidia.com/gpu": if pool == "cpu" { 0 } else { 8 }});
        json!({"metadata": {"name": name, "labels": all, "creationTimestamp": "2026-01-01T00:00:00Z"},
            "status": {"allocatable": allocatable}})
    }

    fn pod(namespace: &str, node: &str, (cpu, gpus): (u32, u32), queue: Option<&str>) -> Value {
        let labels = queue.map_or(json!({}), |queue| json!({QUEUE_LABEL: queue}));
        json!({"metadata": {"name": "p", "namespace": namespace, "labels": labels}, "status": {"phase": "Running"},
            "spec": {"nodeName": node, "containers": [{"resources": {
                "requests": {"cpu": cpu, "nvidia.com/gpu": gpus}, "limits": {"nvidia.com/gpu": gpus}}}]}})
    }

    fn prices() -> Prices {
        let rule = |pool: &str, dollars: u64| PriceRule {
            pool: Some(pool.into()),
            machine: None,
            region: None,
            capacity: None,
            accelerator: None,
            price: UsdPerHour::micros(dollars * 1_000_000),
            each: Payer::Node,
        };
        let fixed = vec![FixedCost { name: "NAT".into(), hourly: UsdPerHour::micros(500_000) }];
        Prices { own: OwnPrices { rules: vec![rule("a100", 32), rule("cpu", 2)], fixed }, list: None }
    }

    fn report(nodes: Vec<Value>, pods: Option<Vec<Value>>) -> CostReport {
        let prices = prices();
        let question = Question {
            blueprint: Some("research"),
            provider: None,
            context: "c",
            simulated: false,
            pools: BTreeMap::from([("a100".to_owned(), 8), ("empty".to_owned(), 0)]),
            queues: BTreeSet::from(["big".to_owned(), "small".to_owned()]),
            prices: &prices,
            now: "2026-01-01T03:00:00Z".parse().unwrap(),
        };
        let unseen = if pods.is_none() { vec!["pods: forbidden".to_owned()] } else { Vec::new() };
        cost_report(&question, &Sources { nodes: Some(nodes), pods, unseen })
    }

    #[test]
    fn pools_namespaces_and_queues_are_the_same_money_seen_three_ways() {
        let mut ended = pod("jobs", "a100-1", (1, 8), Some("big"));
        ended["status"] = json!({"phase": "Succeeded",
            "containerStatuses": [{"state": {"terminated": {"finishedAt": "2026-01-01T02:00:00Z"}}}]});
        let mut waiting = pod("jobs", "", (1, 8), Some("big"));
        waiting["spec"]["nodeName"] = Value::Null;
        let found = report(
            vec![
                node("a100-0", "a100", json!({"wbk-infra/accelerator": "nvidia-a100-40gb"})),
                node("a100-1", "a100", json!({"wbk-infra/capacity": "spot"})),
                node("cpu-0", "cpu", json!({})),
                node("other", "mine", json!({"node.kubernetes.io/instance-type": "p5.48xlarge"})),
            ],
            Some(vec![
                pod("jobs", "a100-0", (8, 4), Some("big")),
                pod("tools", "a100-0", (24, 0), None),
                pod("tools", "cpu-0", (96, 0), None),
                ended,
                waiting,
            ]),
        );
        let shown: Vec<(&str, String)> =
            found.namespaces.iter().flatten().map(|row| (row.name.as_str(), row.hourly.to_string())).collect();
        assert_eq!(shown, [("jobs", "$16.00".into()), ("tools", "$10.00".into())]);
        assert_eq!(found.idle.unwrap().to_string(), "$40.00");
        assert_eq!(found.total.hour.to_string(), "$66.50", "with what is no node");
        assert_eq!(
            (found.total.day.to_string(), found.total.month.to_string()),
            ("$1,596.00".into(), "$48,545.00".into())
        );
        let queues: Vec<(&str, String)> =
            found.queues.iter().flatten().map(|row| (row.name.as_str(), row.hourly.to_string())).collect();
        assert_eq!(queues, [("big", "$16.00".into()), ("small", "$0.00".into())]);
        assert_eq!(found.without_queue.unwrap().to_string(), "$10.00");
        // The dearest first; a pool without nodes is there.
        let pools: Vec<&str> = found.pools.iter().filter_map(|pool| pool.name.as_deref()).collect();
        assert_eq!(pools, ["a100", "cpu", "empty", "mine"]);
        assert_eq!((found.pools[0].gpus, found.pools[0].idle_gpus), (16, Some(12)));
        let capacity: Vec<String> =
            found.capacity.iter().map(|row| format!("{} {} {}", row.nodes, row.word(), row.hourly)).collect();
        assert_eq!(capacity, ["3 on demand $34.00", "1 spot $32.00"]);
        // Which GPUs are idle, and since when at most: since its last job that is still listed, since the node came.
        let idle: Vec<(&str, u64, Option<String>, Option<i64>)> = found
            .idle_gpus
            .iter()
            .flatten()
            .map(|entry| {
                let price = entry.hourly.map(|price| price.to_string());
                (entry.node.as_str(), entry.idle["nvidia.com/gpu"], price, entry.at_most_seconds)
            })
            .collect();
        assert_eq!(
            idle,
            [
                ("a100-1", 8, Some("$32.00".into()), Some(3600)),
                ("a100-0", 4, Some("$16.00".into()), Some(10_800)),
                ("other", 8, None, Some(10_800)),
            ]
        );
        // Not guessed: it is of no cloud.
        assert!(found.at_least && found.nodes[3].hourly.is_none());
        assert!(found.nodes[3].priced.contains("of no cloud that has a list"), "{}", found.nodes[3].priced);
    }

    #[test]
    fn what_pods_do_is_not_said_where_they_cannot_be_seen() {
        let found = report(vec![node("a100-0", "a100", json!({}))], None);
        assert_eq!((found.namespaces, found.queues, found.idle, found.idle_gpus), (None, None, None, None));
        assert_eq!((found.total.hour.to_string(), found.unseen.len()), ("$32.50".into(), 1));
    }

    #[test]
    fn a_node_of_a_cloud_has_the_price_of_the_list_and_its_service_one_of_its_own() {
        let labels = json!({"node.kubernetes.io/instance-type": "g2-standard-24", "topology.kubernetes.io/region": "us-central1",
            "cloud.google.com/gke-nodepool": "l4", "cloud.google.com/gke-spot": "true"});
        let found = report(vec![node("gke-1", "l4", labels)], Some(Vec::new()));
        assert_eq!(found.fixed.iter().map(|row| row.name.as_str()).collect::<Vec<_>>(), ["NAT", "GKE cluster"]);
        assert!(!found.at_least && found.sources.len() == 2, "{:?}", found.sources);
        assert!(found.nodes[0].hourly.is_some_and(|price| price > UsdPerHour::micros(100_000)));
        assert_eq!(found.pools[0].idle, found.nodes[0].hourly);
    }

    proptest! {
        #[test]
        fn nothing_is_lost_between_nodes_and_those_who_pay(
            nodes in proptest::collection::vec(0..4_usize, 1..6),
            pods in proptest::collection::vec((0..6_usize, 0..3_usize, 0..120_u32, 0..9_u32), 0..40),
        ) {
            let pools = ["a100", "cpu", "a100", "unknown"];
            let all = nodes.iter().enumerate().map(|(at, pool)| node(&format!("n{at}"), pools[*pool], json!({}))).collect();
            let namespaces = ["jobs", "tools", "system"];
            let pods: Vec<Value> = pods
                .iter()
                .map(|(at, space, cpu, gpus)| {
                    let queue = (*space == 0).then_some(if *cpu % 2 == 0 { "big" } else { "made elsewhere" });
                    pod(namespaces[*space], &format!("n{at}"), (*cpu, *gpus), queue)
                })
                .collect();
            let found = report(all, Some(pods));
            let sum = |rows: &Option<Vec<SharerRow>>| rows.iter().flatten().map(|row| row.hourly).sum::<UsdPerHour>();
            let of_pools: UsdPerHour = found.pools.iter().map(|pool| pool.hourly).sum();
            let paid = sum(&found.namespaces);
            prop_assert_eq!(paid + found.idle.unwrap(), of_pools);
            prop_assert_eq!(sum(&found.queues) + found.without_queue.unwrap(), paid);
            prop_assert_eq!(of_pools + UsdPerHour::micros(500_000), found.total.hour);
            for pool in &found.pools {
                prop_assert_eq!(pool.namespaces.values().copied().sum::<UsdPerHour>() + pool.idle.unwrap(), pool.hourly);
            }
            // As a person adds the printed column up.
            let column: Vec<UsdPerHour> =
                found.namespaces.iter().flatten().map(|row| row.hourly).chain(found.idle).collect();
            prop_assert_eq!(crate::cost::spelled(cents(&column).iter().sum()), of_pools.to_string());
        }
    }
}

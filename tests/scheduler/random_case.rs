//! Random cases, near the edges: few keys and values, so that they meet often and miss narrowly.
//!
//! `CASE` in a value becomes the case's own name when it is asked, so that no case counts the pods of another.

use serde_json::{Value, json};

use super::case::Case;
use super::random::Random;

const KEYS: [&str; 4] = ["pool", "gpu", "memory", "wbk-infra/capacity"];
const VALUES: [&str; 5] = ["a", "b", "1", "24", "40535"];
const TAINTS: [&str; 3] = ["nvidia.com/gpu", "spot", "node.kubernetes.io/unschedulable"];
const TAINT_VALUES: [&str; 3] = ["present", "true", ""];
const EFFECTS: [&str; 3] = ["NoSchedule", "NoExecute", "PreferNoSchedule"];
const ZONE: &str = "topology.kubernetes.io/zone";

/// A case.
pub fn case(random: &mut Random) -> Case {
    let count = 1 + random.below(3);
    let nodes: Vec<Value> = (0..count).map(|_| node(random)).collect();
    let mut occupants = Vec::new();
    for at in 0..count {
        // Distinct priorities on a node: among equals the scheduler goes by when they started.
        let mut priorities: Vec<usize> = (0..6).collect();
        for _ in 0..*random.pick(&[0, 1, 2, 3, 4]) {
            let priority = priorities.remove(random.below(priorities.len()));
            occupants.push((at, occupant(random, priority)));
        }
    }
    let volume = random.chance(8).then(|| volume(random));
    let mut pod = pod(random);
    if volume.is_some() {
        pod["spec"]["volumes"] = json!([{"name": "data", "persistentVolumeClaim": {"claimName": "data"}}]);
    }
    Case { nodes, occupants, volume, pod }
}

fn node(random: &mut Random) -> Value {
    let mut labels = json!({});
    for key in KEYS {
        if random.chance(55) {
            labels[key] = json!(random.pick(&VALUES));
        }
    }
    if random.chance(70) {
        labels[ZONE] = json!(format!("CASE-{}", random.pick(&["x", "y"])));
    }
    let mut taints: Vec<Value> = Vec::new();
    for key in TAINTS {
        if random.chance(11) {
            taints.push(json!({"key": key, "value": random.pick(&TAINT_VALUES), "effect": random.pick(&EFFECTS)}));
        }
    }
    let mut allocatable = json!({
        "cpu": random.pick(&["2", "4", "4001m", "3999m", "3500500u"]),
        "memory": random.pick(&["8Gi", "8G", "8589934593"]),
        "pods": random.pick(&["110", "110", "110", "110", "3", "2", "1", "0"]),
    });
    if random.chance(50) {
        allocatable["nvidia.com/gpu"] = json!(random.pick(&["0", "1", "2", "8"]));
    }
    if random.chance(30) {
        allocatable["ephemeral-storage"] = json!("10Gi");
    }
    if random.chance(15) {
        allocatable["hugepages-2Mi"] = json!("512Mi");
    }
    json!({"labels": labels, "taints": taints, "allocatable": allocatable, "unschedulable": random.chance(6)})
}

fn requests(random: &mut Random, percent: usize) -> Value {
    let mut requests = json!({});
    if random.chance(percent) {
        requests["cpu"] = json!(random.pick(&["100m", "500m", "500m", "1", "2", "2001m", "3999m", "4", "100u", "0"]));
    }
    if random.chance(percent) {
        requests["memory"] = json!(random.pick(&["100Mi", "1Gi", "1Gi", "4Gi", "8G", "8Gi", "8589934593", "1500m"]));
    }
    if random.chance(percent / 9) {
        requests["ephemeral-storage"] = json!(random.pick(&["1Gi", "10Gi", "11Gi"]));
    }
    requests
}

fn container(random: &mut Random, name: String, percent: usize) -> Value {
    let mut resources = json!({"requests": requests(random, percent), "limits": {}});
    if random.chance(12) {
        resources["limits"]["nvidia.com/gpu"] = json!(random.pick(&["0", "1", "1", "2", "8", "9"]));
    }
    if random.chance(6) && !resources["requests"]["cpu"].is_null() {
        resources["limits"]["hugepages-2Mi"] = json!(random.pick(&["256Mi", "512Mi", "514Mi"]));
    }
    // A limit without a request is a request.
    if random.chance(10) && resources["requests"]["memory"].is_null() {
        resources["limits"]["memory"] = json!(random.pick(&["1Gi", "8Gi"]));
    }
    let mut container = json!({"name": name, "image": "none", "resources": resources});
    if random.chance(15) {
        let mut port = json!({"containerPort": 80, "hostPort": random.pick(&[80, 81])});
        if random.chance(40) {
            port["hostIP"] = json!(random.pick(&["10.0.0.1", "10.0.0.2", "0.0.0.0"]));
        }
        if random.chance(30) {
            port["protocol"] = json!("UDP");
        }
        container["ports"] = json!([port]);
    }
    container
}

fn containers(random: &mut Random, percent: usize) -> (Vec<Value>, Vec<Value>) {
    let count = 1 + random.below(2);
    let main = (0..count).map(|at| container(random, format!("main-{at}"), percent)).collect();
    let mut init = Vec::new();
    if random.chance(30) {
        for at in 0..1 + random.below(3) {
            let mut one = container(random, format!("init-{at}"), percent);
            if random.chance(50) {
                one["restartPolicy"] = json!("Always");
            }
            init.push(one);
        }
    }
    (main, init)
}

fn app(random: &mut Random) -> Value {
    json!({"app": format!("CASE-{}", random.pick(&["web", "db"])), "track": random.pick(&["stable", "canary"])})
}

fn occupant(random: &mut Random, priority: usize) -> Value {
    let mut spec = json!({
        "containers": [container(random, "main".into(), 80)],
        "priorityClassName": format!("p{priority}"),
        "terminationGracePeriodSeconds": 0,
    });
    if random.chance(10) {
        spec["affinity"] =
            json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [pod_term(random)]}});
    }
    json!({"metadata": {"labels": app(random), "namespace": random.pick(&["CASE", "CASE", "CASE-other"])}, "spec": spec})
}

fn selector(random: &mut Random) -> Value {
    let app = format!("CASE-{}", random.pick(&["web", "db"]));
    match random.below(6) {
        0..=2 => json!({"matchLabels": {"app": app}}),
        3 => json!({"matchExpressions": [{"key": "app", "operator": "In", "values": [app]},
            {"key": "track", "operator": "NotIn", "values": ["canary"]}]}),
        4 => {
            json!({"matchExpressions": [{"key": "app", "operator": "In", "values": [app]}, {"key": "track", "operator": "Exists"}]})
        }
        _ => json!({"matchLabels": {"app": app, "track": "stable"}}),
    }
}

fn topology_key(random: &mut Random) -> &'static str {
    [ZONE, ZONE, "kubernetes.io/hostname"][random.below(3)]
}

fn pod_term(random: &mut Random) -> Value {
    let mut term = json!({"labelSelector": selector(random), "topologyKey": topology_key(random)});
    match random.below(6) {
        0 => term["namespaces"] = json!(["CASE-other"]),
        1 => term["namespaceSelector"] = json!({}),
        2 => term["namespaceSelector"] = json!({"matchLabels": {"team": "CASE-other"}}),
        3 => term["matchLabelKeys"] = json!(["track"]),
        _ => {}
    }
    term
}

fn requirement(random: &mut Random) -> Value {
    let key = random.pick(&KEYS);
    match random.below(7) {
        0..=1 => json!({"key": key, "operator": "In", "values": [random.pick(&VALUES), random.pick(&VALUES)]}),
        2 => json!({"key": key, "operator": "NotIn", "values": [random.pick(&VALUES)]}),
        3 => json!({"key": key, "operator": "Exists"}),
        4 => json!({"key": key, "operator": "DoesNotExist"}),
        5 => json!({"key": key, "operator": "Gt", "values": [random.pick(&["0", "24", "40534", "40535", "-3"])]}),
        _ => json!({"key": key, "operator": "Lt", "values": [random.pick(&["2", "24", "40535", "40536"])]}),
    }
}

fn node_term(random: &mut Random) -> Value {
    let mut term = json!({});
    if random.chance(85) {
        let count = 1 + random.below(2);
        term["matchExpressions"] = (0..count).map(|_| requirement(random)).collect();
    }
    if random.chance(15) {
        let operator = random.pick(&["In", "NotIn"]);
        let name = format!("CASE-node-{}", random.below(3));
        term["matchFields"] = json!([{"key": "metadata.name", "operator": operator, "values": [name]}]);
    }
    term
}

fn toleration(random: &mut Random) -> Value {
    let mut toleration = json!({});
    let everything = random.chance(10);
    if !everything {
        toleration["key"] = json!(random.pick(&TAINTS));
    }
    if everything || random.chance(50) {
        toleration["operator"] = json!("Exists");
    } else {
        if random.chance(50) {
            toleration["operator"] = json!("Equal");
        }
        toleration["value"] = json!(random.pick(&TAINT_VALUES));
    }
    if random.chance(50) {
        toleration["effect"] = json!(random.pick(&EFFECTS));
    }
    if toleration["effect"] == "NoExecute" && random.chance(50) {
        toleration["tolerationSeconds"] = json!(3600);
    }
    toleration
}

fn spread(random: &mut Random) -> Value {
    let mut spread = json!({"maxSkew": 1 + random.below(2), "topologyKey": topology_key(random), "labelSelector": selector(random),
        "whenUnsatisfiable": if random.chance(85) { "DoNotSchedule" } else { "ScheduleAnyway" }});
    if spread["whenUnsatisfiable"] == "DoNotSchedule" && random.chance(25) {
        spread["minDomains"] = json!(1 + random.below(3));
    }
    if random.chance(30) {
        spread["nodeTaintsPolicy"] = json!(random.pick(&["Honor", "Ignore"]));
    }
    if random.chance(20) {
        spread["nodeAffinityPolicy"] = json!(random.pick(&["Honor", "Ignore"]));
    }
    if random.chance(15) {
        spread["matchLabelKeys"] = json!(["pod-template-hash"]);
    }
    spread
}

fn volume(random: &mut Random) -> Value {
    let mut volume = json!({"labels": {}});
    if random.chance(60) {
        volume["labels"][ZONE] = json!(random.pick(&["CASE-x", "CASE-y", "CASE-x__CASE-y"]));
    }
    if random.chance(60) {
        volume["nodeAffinity"] =
            json!({"required": {"nodeSelectorTerms": [{"matchExpressions": [requirement(random)]}]}});
    }
    volume
}

fn pod(random: &mut Random) -> Value {
    let (main, init) = containers(random, 45);
    let mut spec = json!({"containers": main, "initContainers": init, "terminationGracePeriodSeconds": 0});
    if random.chance(70) {
        spec["priorityClassName"] = json!(random.pick(&["p2", "p4", "p6", "p6", "p6", "never"]));
    }
    if random.chance(60) {
        let count = 1 + random.below(3);
        spec["tolerations"] = (0..count).map(|_| toleration(random)).collect();
    }
    if random.chance(8) {
        spec["nodeSelector"] = json!({*random.pick(&KEYS): random.pick(&VALUES)});
    }
    let mut affinity = json!({});
    if random.chance(22) {
        let terms: Vec<Value> = (0..1 + random.below(3)).map(|_| node_term(random)).collect();
        affinity["nodeAffinity"] =
            json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}});
    }
    for (kind, percent) in [("podAffinity", 8), ("podAntiAffinity", 10)] {
        if random.chance(percent) {
            let terms: Vec<Value> = (0..1 + random.below(2)).map(|_| pod_term(random)).collect();
            affinity[kind] = json!({"requiredDuringSchedulingIgnoredDuringExecution": terms});
        }
    }
    spec["affinity"] = affinity;
    if random.chance(12) {
        spec["topologySpreadConstraints"] = json!([spread(random)]);
    }
    if random.chance(8) {
        // Of the whole pod.
        let own = json!({"cpu": random.pick(&["1", "4", "4001m"]), "memory": random.pick(&["1Gi", "8Gi", "9Gi"])});
        spec["resources"] = if random.chance(60) { json!({"requests": own}) } else { json!({"limits": own}) };
    }
    if random.chance(8) {
        spec["runtimeClassName"] = json!("heavy");
    }
    json!({"metadata": {"labels": app(random)}, "spec": spec})
}

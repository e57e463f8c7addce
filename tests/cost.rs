//! What a platform costs, on a real control plane with simulated nodes: who pays, what is idle, what a plan makes of it, what is
//! refused, what cannot be seen. Prices of the nodes are the test's own; those of machines are the program's list.

mod support;

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use support::home::{Home, Run};

const NAME: &str = "costs";

const BLUEPRINT: &str = r#"apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: costs}
cluster: {provider: local}
nodePools:
  - {name: system, shape: {cpu: 4, memory: 16Gi}}
  - {name: l4, accelerator: {model: nvidia-l4, count: 4}, shape: {cpu: 16, memory: 64Gi}, capacity: spot, size: {min: 2, max: 4}}
gpu: {plugin: simulated}
namespaces: [{name: jobs}, {name: tools}]
"#;

const PRICES: &str = r#"cost:
  prices:
    - {accelerator: nvidia-l4, capacity: spot, gpuHourly: 0.3}
  fixed: [{name: NAT gateway, hourly: 0.05}]
"#;

/// A list in the format of the program's own; the pool's nodes have no machine type of a cloud.
const LIST: &str = "cloud,any,2026-11-01,our racks\nmachine,cpus,GiB,gpu,gpus,*\nrack-1,,,,,0.2/0.1\n";

fn run(home: &Home, arguments: &[&str]) -> Run {
    home.run(&[&[arguments[0], "costs.yaml", "-f", "prices.yaml"], &arguments[1..]].concat())
}

fn json(run: Run) -> Value {
    serde_json::from_str(&run.expect(0).stdout).expect("one JSON document")
}

fn dollars(value: &Value) -> f64 {
    value.as_f64().unwrap_or_else(|| panic!("{value} is no amount"))
}

fn job(name: &str, gpus: u32) -> String {
    let pod = json!({"nodeSelector": {"wbk-infra/pool": "l4"},
        "tolerations": [{"operator": "Exists"}],
        "containers": [{"name": "main", "image": "example.com/never-pulled:1", "command": ["sleep", "86400"],
            "resources": {"requests": {"cpu": "2", "memory": "4Gi", "nvidia.com/gpu": gpus.to_string()},
                "limits": {"nvidia.com/gpu": gpus.to_string()}}}]});
    json!({"apiVersion": "v1", "kind": "Pod", "spec": pod,
        "metadata": {"name": name, "namespace": "jobs", "labels": {"wbk-infra/launch-queue": "l4"}}})
    .to_string()
}

#[test]
fn what_a_platform_costs_now_and_what_a_plan_makes_of_it() {
    let home = Home::new();
    home.write("costs.yaml", BLUEPRINT);
    home.write("prices.yaml", PRICES);

    // Before there is anything: from nothing to the fewest and the most nodes; a pool without a price makes it "at least".
    let plan = json(run(&home, &["plan", "-o", "json"]));
    let schema: Value = serde_json::from_str(&home.run(&["schema", "plan"]).expect(0).stdout).expect("JSON");
    let problems = support::schema::problems(&schema, &plan);
    assert!(problems.is_empty(), "{problems:?}");
    let cost = &plan["cost"];
    assert_eq!((&cost["before"], &cost["atLeast"]), (&json!({"min": 0.0, "max": 0.0}), &json!(true)));
    assert_eq!(cost["after"], json!({"min": 2.45, "max": 4.85}), "{cost:#}");
    let text = run(&home, &["plan"]).expect(0).stdout;
    assert!(text.contains("Cost: at least $2.45 to $4.85 an hour, +$2.45 to +$4.85."), "{text}");
    assert!(text.contains("pool l4: 2 to 4 nodes of $1.20, $2.40 to $4.80"), "{text}");
    assert!(text.contains("pool system: 1 node, unknown: it is of no cloud"), "{text}");

    run(&home, &["apply", "--yes", "--no-verify"]).expect(0);
    home.write("pod.json", &job("train", 3));
    let pod = home.work().join("pod.json");
    home.kubectl(NAME, &["apply", "-f", pod.to_str().expect("a path")]).expect(0);
    let placed = |report: &Value| {
        let queued = report["queues"].as_array().is_some_and(|queues| !queues.is_empty());
        let pools = report["pools"].as_array().into_iter().flatten();
        queued && pools.into_iter().any(|pool| pool["name"] == "l4" && pool["gpus"] == 8)
    };
    let report = until(&home, &placed);
    let schema: Value = serde_json::from_str(&home.run(&["schema", "cost"]).expect(0).stdout).expect("JSON");
    let problems = support::schema::problems(&schema, &report);
    assert!(problems.is_empty(), "{problems:?}");

    // Two nodes of four GPUs at 0.3 each, and the gateway; three of eight GPUs pay, the rest is idle.
    assert_eq!(dollars(&report["total"]["hour"]), 2.45, "{report:#}");
    assert_eq!((&report["atLeast"], &report["simulatedNodes"]), (&json!(true), &json!(true)));
    let row = |list: &str, name: &str| -> Value {
        let rows = report[list].as_array().expect("rows").iter();
        rows.clone().find(|row| row["name"] == name).unwrap_or_else(|| panic!("no {name} in {report:#}")).clone()
    };
    assert_eq!((dollars(&row("namespaces", "jobs")["hourly"]), dollars(&row("queues", "l4")["hourly"])), (0.9, 0.9));
    assert_eq!((&row("queues", "l4")["gpus"], &row("pools", "l4")["gpus"]), (&json!(3), &json!(8)));
    let all = report["namespaces"].as_array().expect("rows").iter().map(|row| dollars(&row["hourly"])).sum::<f64>();
    assert!((all + dollars(&report["idle"]) - 2.4).abs() < 1e-9, "{report:#}");
    let idle = report["idleGpus"].as_array().expect("rows");
    let counts: Vec<u64> = idle.iter().filter_map(|entry| entry["idle"]["nvidia.com/gpu"].as_u64()).collect();
    assert_eq!(counts, [4, 1], "the dearest first: {report:#}");
    assert!(idle[0]["atMostSeconds"].as_i64().is_some_and(|seconds| (0..86_400).contains(&seconds)), "{report:#}");
    assert_eq!(row("pools", "system")["unpriced"], 1);

    // For people, pull requests and as a picture.
    let text = run(&home, &["cost"]).expect(0).stdout;
    assert!(text.contains("costs costs at least $2.45 an hour now, $58.80 a day, $1,788.50 in 730 hours"), "{text}");
    assert!(
        text.contains("without a price") && text.contains("NAT gateway") && text.contains("3 of 8 GPUs in use"),
        "{text}"
    );
    assert!(run(&home, &["cost", "-o", "markdown"]).expect(0).stdout.contains("| jobs | $0.90 |"));
    assert!(run(&home, &["cost", "-o", "html"]).expect(0).stdout.contains("5 of 8 GPUs idle"));
    let told = run(&home, &["cost", "-o", "sarif"]).expect(2).stderr;
    assert!(told.contains("cost has no output sarif"), "{told}");

    // The verification's page has the picture too.
    let page = home.work().join("verify.html");
    let html = format!("html={}", page.display());
    run(&home, &["verify", "--only", "nodes", "--report", &html]);
    let page = std::fs::read_to_string(page).expect("the report");
    assert!(page.contains("What it costs") && page.contains("5 of 8 GPUs idle"));

    // A list of one's own prices nodes by their machine type; any cluster, without a blueprint.
    home.kubectl(NAME, &["label", "node", "-l", "wbk-infra/pool=system", "node.kubernetes.io/instance-type=rack-1"])
        .expect(0);
    home.write("list.csv", LIST);
    let kubeconfig = home.kubeconfig(NAME);
    let other = |more: &[&str]| {
        let mut command = home.command(&[&["cost", "-o", "json", "--prices", "list.csv"], more].concat());
        Home::finish(command.env("KUBECONFIG", &kubeconfig))
    };
    let found = json(other(&[]));
    assert_eq!((&found["blueprint"], dollars(&found["total"]["hour"])), (&Value::Null, 0.2), "{found:#}");
    assert_eq!(found["sources"], json!([{"date": "2026-11-01", "source": "our racks"}]));
    home.write("list.csv", "cloud,any,2026-11-01,x\nmachine,cpus,GiB,gpu,gpus,*\nrack-1,,,,,cheap\n");
    let refused = other(&[]).expect(1).stderr;
    assert!(refused.contains("line 3: `cheap` is no price"), "{refused}");

    // Larger pools cost more, and more than the policy allows is refused before anything is done.
    home.write("more.yaml", "nodePools: [{name: l4, size: {min: 3, max: 6}}]\n");
    let text = run(&home, &["plan", "-f", "more.yaml"]).expect(0).stdout;
    assert!(text.contains("Cost: at least $3.65 to $7.25 an hour, +$1.20 to +$2.40."), "{text}");
    home.write("limit.yaml", "policy: {maxHourlyCost: 7}\n");
    run(&home, &["plan", "-f", "limit.yaml"]).expect(0);
    for command in ["plan", "apply"] {
        let refused = run(&home, &[command, "-f", "more.yaml", "-f", "limit.yaml"]).expect(1).stderr;
        assert!(
            refused.contains("may cost at least $7.25 an hour") && refused.contains("policy.maxHourlyCost is $7.00"),
            "{refused}"
        );
    }

    // Somebody who may not list pods is told so, and is not told that everything is idle.
    let some = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "nodes-only"},
            "rules": [{"apiGroups": [""], "resources": ["nodes"], "verbs": ["list"]}]},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "nodes-only"},
            "subjects": [{"kind": "ServiceAccount", "name": "looker", "namespace": "tools"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "nodes-only"}},
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "looker", "namespace": "tools"}}]});
    home.write("some.json", &some.to_string());
    home.kubectl(NAME, &["apply", "-f", home.work().join("some.json").to_str().expect("a path")]).expect(0);
    let token = home.kubectl(NAME, &["-n", "tools", "create", "token", "looker"]).expect(0).stdout;
    let text = std::fs::read_to_string(&kubeconfig).expect("a kubeconfig");
    let limited = home.write("limited.yaml", &with_token(&text, token.trim()));
    let seen = home.command(&["cost", "-o", "json"]).env("KUBECONFIG", limited).output().expect("it runs");
    assert_eq!(seen.status.code(), Some(6), "{}", String::from_utf8_lossy(&seen.stderr));
    let seen: Value = serde_json::from_slice(&seen.stdout).expect("JSON");
    assert_eq!((&seen["idle"], &seen["namespaces"], &seen["idleGpus"]), (&Value::Null, &Value::Null, &Value::Null));
    assert!(seen["unseen"][0].as_str().is_some_and(|why| why.contains("pods")), "{seen:#}");

    let text = run(&home, &["destroy", "--delete", "all", "--yes"]).expect(0).stdout;
    assert!(text.contains("Cost: at least $0.00 an hour, -$2.45 to -$4.85."), "{text}");
}

/// The report once it holds; a scheduler and a simulated kubelet take their time.
fn until(home: &Home, holds: &dyn Fn(&Value) -> bool) -> Value {
    let began = Instant::now();
    loop {
        let report = json(run(home, &["cost", "-o", "json"]));
        if holds(&report) {
            return report;
        }
        assert!(began.elapsed() < Duration::from_secs(120), "{report:#}");
        std::thread::sleep(Duration::from_millis(200));
    }
}

/// The same kubeconfig for somebody else.
fn with_token(kubeconfig: &str, token: &str) -> String {
    let mut config: Value = serde_json::from_str(kubeconfig).expect("this tool writes JSON, which is YAML");
    config["users"][0]["user"] = json!({"token": token});
    config.to_string()
}

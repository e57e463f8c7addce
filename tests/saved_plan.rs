//! A saved plan: the same bytes each time, bound to the world it saw, applied once, refused when it is not what was written.

mod support;

use serde_json::Value;
use support::home::{Home, Run};
use support::small::{self, NAME};

fn run(home: &Home, arguments: &[&str]) -> Run {
    small::run(home, arguments)
}

fn kubectl(home: &Home, arguments: &[&str]) -> String {
    home.kubectl(NAME, arguments).expect(0).stdout
}

fn config_map(home: &Home, name: &str) -> String {
    home.kubectl(NAME, &["-n", "team", "get", "configmap", name, "-o", "jsonpath={.data.a}"]).stdout
}

#[test]
fn a_saved_plan_is_exact_bound_to_its_world_and_applied_once() {
    let home = Home::new();
    small::write(&home, "v1", 0);
    assert_eq!(run(&home, &["plan", "small.yaml", "--exit-code", "--out", "new.plan"]).code, 3);
    assert!(!home.state().join("clusters").exists(), "a plan changes nothing");
    run(&home, &["apply", "new.plan"]).expect(0);
    assert_eq!(run(&home, &["plan", "small.yaml", "--exit-code"]).code, 0);

    // One with nothing in it leaves everything as it is, what is remembered of the objects too.
    let remembered = || {
        let folder =
            std::fs::read_dir(home.state().join("inventory")).expect("a memory").next().expect("one").expect("a file");
        std::fs::read(folder.path()).expect("the memory")
    };
    let before = remembered();
    assert_eq!(run(&home, &["plan", "small.yaml", "--out", "empty.plan"]).code, 0);
    run(&home, &["apply", "empty.plan"]).expect(0);
    assert!(before == remembered(), "an empty saved plan changed the memory");

    // Byte-identical twice, and the file is private to nobody: it holds no secret.
    let manifests = std::fs::read_to_string(home.work().join("manifests/all.yaml")).expect("written before");
    let changed =
        manifests.replace("data: {a: \"1\"}", "data: {a: \"10\"}").replace("data: {a: \"2\"}", "data: {a: \"20\"}");
    home.write("manifests/all.yaml", &changed);
    let saved = |name: &str| {
        assert_eq!(run(&home, &["plan", "small.yaml", "--exit-code", "--out", name]).code, 3);
        std::fs::read(home.work().join(name)).expect("a plan")
    };
    let first = saved("first.plan");
    assert!(first == saved("second.plan"), "two plans of the same world differ");
    assert!(!String::from_utf8_lossy(&first).contains("a-token"));

    // Edited, of another format, of no format, cut short.
    let text = String::from_utf8(first.clone()).expect("text");
    let refused = |name: &str, text: &str, said: &str| {
        home.write(name, text);
        let run = run(&home, &["apply", name, "--yes"]).expect(1);
        assert!(run.stderr.contains(said), "{name}: {}", run.all());
        assert_eq!(
            (config_map(&home, "one"), config_map(&home, "two")),
            ("1".into(), "2".into()),
            "{name} changed something"
        );
    };
    refused("edited.plan", &text.replace("\"10\"", "\"666\""), "edited or damaged");
    refused("edited-files.plan", &text.replacen("small.yaml", "other.yaml", 1), "edited or damaged");
    refused(
        "format.plan",
        &text.replacen("\"format\": 1", "\"format\": 2", 1),
        "format 2, and this program reads format 1",
    );
    refused("cut.plan", &text[..text.len() / 2], "plan");
    refused("extra.plan", &text.replacen("\"format\": 1", "\"extra\": 1,\n  \"format\": 1", 1), "no plan file");

    // Stale for one object: that step is refused, the others are done.
    kubectl(&home, &["-n", "team", "patch", "configmap", "one", "--type=merge", "-p", r#"{"data":{"a":"by-hand"}}"#]);
    let stale = run(&home, &["apply", "first.plan", "-o", "json"]).expect(4);
    assert_eq!(
        (config_map(&home, "one"), config_map(&home, "two")),
        ("by-hand".into(), "20".into()),
        "{}",
        stale.all()
    );
    assert!(stale.stderr.contains("it was changed since, last by kubectl-patch"), "{}", stale.stderr);
    assert!(stale.stderr.contains("hint: plan again"), "{}", stale.stderr);
    let report: Value = serde_json::from_str(&stale.stdout).expect("one JSON document");
    assert_eq!(report["failed"][0]["step"], "ConfigMap team/one");
    assert_eq!(report["failed"][0]["left"], "nothing");
    assert!(report["done"].as_array().is_some_and(|done| done.iter().any(|step| step == "ConfigMap team/two")));

    // Applied twice: the mark is on this machine and in the cluster.
    let twice = run(&home, &["apply", "first.plan"]).expect(1);
    assert!(twice.stderr.contains("applied before") && twice.stderr.contains("plan again"), "{}", twice.stderr);
    std::fs::remove_dir_all(home.state().join("applied-plans")).expect("the marks");
    let again = run(&home, &["apply", "first.plan"]).expect(1);
    assert!(again.stderr.contains("applied before"), "{}", again.stderr);

    // The next plan mends what was left.
    let take = ["plan", "small.yaml", "--conflicts", "take", "--out", "third.plan"];
    run(&home, &take).expect(0);
    let report = run(&home, &["apply", "third.plan", "-o", "json"]).expect(0);
    assert_eq!(config_map(&home, "one"), "10");
    let report: Value = serde_json::from_str(&report.stdout).expect("one JSON document");
    assert!(report["verification"].is_object(), "{report:#}");
    assert_eq!(report["remaining"], Value::Null);

    // The world came back to what it was: the plan says what a former one said, and is another plan, also for the cluster.
    for mark in ["kept", "removed", "kept"] {
        kubectl(&home, &["-n", "team", "delete", "configmap", "two"]);
        if mark == "removed" {
            std::fs::remove_dir_all(home.state().join("applied-plans")).expect("the marks");
        }
        saved("again.plan");
        run(&home, &["apply", "again.plan", "--no-verify"]).expect(0);
        assert_eq!(config_map(&home, "two"), "20", "{mark}");
    }
    // An object that the plan would create appeared meanwhile, among many that one LIST looks for; one that it would change
    // was deleted.
    let new: String = ["three", "four", "five", "six", "seven"]
        .map(|name| {
            format!("---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: team}}\ndata: {{a: \"3\"}}\n")
        })
        .concat();
    let both = changed.replace("data: {a: \"20\"}", "data: {a: \"21\"}") + &new;
    home.write("manifests/all.yaml", &both);
    saved("fourth.plan");
    kubectl(&home, &["-n", "team", "create", "configmap", "three", "--from-literal=a=theirs"]);
    kubectl(&home, &["-n", "team", "delete", "configmap", "two"]);
    let moved = run(&home, &["apply", "fourth.plan"]).expect(4);
    assert!(
        moved.stderr.contains("appeared since") && moved.stderr.contains("it was deleted since"),
        "{}",
        moved.stderr
    );
    assert_eq!((config_map(&home, "three"), config_map(&home, "four")), ("theirs".into(), "3".into()));

    // Another cluster behind the same name.
    kubectl(&home, &["-n", "team", "delete", "configmap", "three"]);
    saved("fifth.plan");
    home.run(&["local", "delete", NAME, "--yes"]).expect(0);
    home.write("manifests/all.yaml", &changed);
    run(&home, &["apply", "small.yaml", "--yes", "--no-verify"]).expect(0);
    let other = run(&home, &["apply", "fifth.plan"]).expect(1);
    assert!(other.stderr.contains("the plan was made for the cluster with uid"), "{}", other.stderr);
    assert_eq!(home.kubectl(NAME, &["-n", "team", "get", "configmap", "three"]).code, 1, "nothing was changed");
}

#[test]
fn the_published_schemas_are_those_of_the_program_and_a_plan_keeps_to_them() {
    let home = Home::new();
    for of in ["plan", "apply", "proof", "rehearsal", "verify", "fleet", "fleet-report", "cost"] {
        let schema = home.run(&["schema", of]).expect(0).stdout;
        let path = format!("{}/docs/{of}.schema.json", env!("CARGO_MANIFEST_DIR"));
        let published = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(
            schema == published,
            "docs/{of}.schema.json is not what the program says: wbk-infra schema {of} > docs/{of}.schema.json"
        );
    }
    small::write(&home, "v1", 0);
    let plan = run(&home, &["plan", "small.yaml", "-o", "json"]).expect(0).stdout;
    let plan: Value = serde_json::from_str(&plan).expect("one JSON document");
    let schema: Value = serde_json::from_str(&home.run(&["schema", "plan"]).expect(0).stdout).expect("JSON");
    let problems = support::schema::problems(&schema, &plan);
    assert!(problems.is_empty(), "{problems:#?}");
    let mut broken = plan.clone();
    broken["changes"][0]["action"] = "explode".into();
    broken["summary"]["create"] = "many".into();
    assert_eq!(support::schema::problems(&schema, &broken).len(), 2, "the validator sees what is wrong");
}

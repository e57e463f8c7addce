//! Rehearsals: of the shipped local blueprint with every fault at once, of the other shipped ones, of the clouds' shapes with
//! stand-ins of the charts that a section stands for; and what a rehearsal refuses.

#[path = "../support/mod.rs"]
mod support;

use serde_json::Value;
use support::home::Home;

const BLUEPRINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/local.yaml");

#[test]
fn a_platform_lives_through_every_fault_and_leaves_nothing() {
    let home = Home::new();
    let faults =
        ["--fault", "stockout:a100", "--fault", "throttle", "--fault", "spot-reclaim", "--fault", "kill-after=system"];
    let played = home.run(&[&["rehearse", BLUEPRINT, "-o", "json"], &faults[..]].concat()).expect(0);
    let report: Value = serde_json::from_str(&played.stdout).unwrap();
    assert_eq!(report["passed"], true, "{report:#}");
    let acts: Vec<&str> = report["acts"].as_array().unwrap().iter().filter_map(|act| act["name"].as_str()).collect();
    for act in ["apply, killed", "apply", "plan again", "verify", "drift", "apply, mending", "drift again", "destroy"] {
        assert!(acts.contains(&act), "no {act:?} in {acts:?}");
    }
    let act = |name: &str| report["acts"].as_array().unwrap().iter().find(|act| act["name"] == name).unwrap();
    assert_eq!(act("drift")["ended"], "3 things changed by hand, 3 found");
    assert!(report["unproven"].as_array().unwrap().iter().any(|open| open.as_str().unwrap().contains("driver")));
    assert_eq!(home.run(&["local", "list"]).expect(0).stdout.trim(), "no local clusters");
    assert!(!home.state().join("rehearsals/local").exists(), "the stage is gone");
}

#[test]
fn a_stock_out_stops_an_apply_by_name_and_the_next_one_finishes() {
    let home = Home::new();
    let played = home.run(&["rehearse", BLUEPRINT, "-o", "json", "--fault", "stockout:l4-spot"]).expect(0);
    let report: Value = serde_json::from_str(&played.stdout).unwrap();
    let act = report["acts"].as_array().unwrap().iter().find(|act| act["name"] == "apply, stock-out").unwrap();
    assert!(act["ended"].as_str().unwrap().starts_with("stopped with node pool l4-spot"), "{act:#}");
}

#[test]
fn faults_of_what_is_not_there_are_refused() {
    let home = Home::new();
    for (fault, told) in [
        ("stockout:h100", "there is no pool h100; there is a100, l4-spot, system"),
        ("flood", "is no fault: write stockout:POOL"),
    ] {
        let refused = home.run(&["rehearse", BLUEPRINT, "--fault", fault]).expect(2);
        assert!(refused.stderr.contains(told), "{}", refused.all());
    }
}

/// Plays one without faults; the report.
fn rehearse(home: &Home, blueprint: &str, more: &[&str]) -> Value {
    let played = home.run(&[&["rehearse", blueprint, "-o", "json"], more].concat()).expect(0);
    let report: Value = serde_json::from_str(&played.stdout).unwrap();
    assert_eq!(report["passed"], true, "{report:#}");
    report
}

/// The acts' words, by name.
fn ended(report: &Value, name: &str) -> String {
    let act = report["acts"].as_array().unwrap().iter().find(|act| act["name"] == name).unwrap();
    act["ended"].as_str().unwrap().to_owned()
}

#[test]
fn every_shipped_blueprint_is_rehearsed() {
    let blueprints = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints");
    let mut played = 0;
    for entry in std::fs::read_dir(blueprints).unwrap() {
        let path = entry.unwrap().path();
        // The test above plays that one with faults.
        if path.extension().is_some_and(|extension| extension == "yaml") && !path.ends_with("local.yaml") {
            let home = Home::new();
            // The charts of a real cluster's GPUs come from elsewhere; stand-ins take their place.
            let (mirror, lock) = support::charts::mirror(&home.work());
            let charts = ["--chart-mirror", mirror.to_str().unwrap(), "--chart-lock", lock.to_str().unwrap()];
            let cloud = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("eks-"));
            let report = rehearse(&home, path.to_str().unwrap(), if cloud { &charts } else { &[] });
            assert!(ended(&report, "verify").contains(" 0 fail"), "{}: {report:#}", path.display());
            played += 1;
        }
    }
    assert!(played >= 3, "only {played} blueprints were found");
}

#[test]
fn the_shapes_of_the_clouds_are_rehearsed() {
    let home = Home::new();
    let (mirror, lock) = support::charts::mirror(&home.work());
    let charts = ["--chart-mirror", mirror.to_str().unwrap(), "--chart-lock", lock.to_str().unwrap()];
    for cloud in ["eks", "gke", "aks"] {
        let blueprint = format!("{}/tests/rehearsal/{cloud}.yaml", env!("CARGO_MANIFEST_DIR"));
        let report = rehearse(&home, &blueprint, &charts);
        assert!(ended(&report, "verify").contains(" 0 fail"), "{cloud}: {report:#}");
        let open = report["unproven"].as_array().unwrap();
        let says = |words: &str| open.iter().any(|line| line.as_str().unwrap().contains(words));
        assert!(says(&format!("that {cloud} accepts the requests")) && says("grows from zero"), "{cloud}: {open:#?}");
    }
}

#[test]
fn gpus_that_an_operator_would_bring_are_no_play() {
    let home = Home::new();
    let eks = format!("{}/tests/rehearsal/eks.yaml", env!("CARGO_MANIFEST_DIR"));
    let overlay = home.write("operator.yaml", "gpu: {operator: true}\n");
    let refused = home.run(&["rehearse", "-f", &eks, "-f", overlay.to_str().unwrap()]).expect(2);
    assert!(refused.stderr.contains("pool a100: the GPU Operator"), "{}", refused.all());
}

//! A rehearsal of the shipped local blueprint with every fault at once, and what a rehearsal refuses.

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

//! The rules and dashboards of the `monitoring` section, held to the real promtool: the rules are right, each alert fires when it
//! should and not otherwise, and every query of every dashboard is one.
//!
//! promtool is taken from `WBK_INFRA_PROMTOOL`, from PATH (Debian's package `prometheus` has it), or from the cache of the other
//! programs, where it is built from its Go module once for a machine. `tests/monitoring/promtool` pins it and everything it is made
//! of by go.sum; the tag leaves service discovery out, which rules have nothing to do with: 1,075 packages instead of 1,284, 3 min 40 s
//! of processor time in user mode and 47 s in the kernel from nothing, with Go 1.26 on two cores. Because of those minutes the tests
//! run only when asked for, which CI does: `cargo test --test monitoring -- --ignored`. Asked for, they fail where no promtool can be
//! had.

mod support;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::{Value, json};
use wbk_infra::blueprint::{DiskFiles, Source, load, to_yaml};
use wbk_infra::desired::Desired;
use wbk_infra::id::Digest;

const MODULE: &str = "tests/monitoring/promtool";

/// promtool; the tests of one process wait for one build.
fn promtool() -> &'static Path {
    static PROMTOOL: OnceLock<PathBuf> = OnceLock::new();
    PROMTOOL.get_or_init(find_or_build)
}

/// promtool, built when it is not there yet.
fn find_or_build() -> PathBuf {
    if let Some(given) = std::env::var_os("WBK_INFRA_PROMTOOL") {
        return given.into();
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    if let Some(found) = std::env::split_paths(&path).map(|folder| folder.join("promtool")).find(|file| file.is_file())
    {
        return found;
    }
    let sum = std::fs::read(format!("{MODULE}/go.sum")).expect("go.sum");
    let folder = support::assets::cache_home()
        .join("wbk-infra/tools")
        .join(format!("promtool-{}", &Digest::of_bytes(&sum).0[..12]));
    let program = folder.join("promtool");
    if program.is_file() {
        return program;
    }
    eprintln!("  building promtool from Go modules, once for this machine: minutes");
    std::fs::create_dir_all(&folder).expect("a folder in the cache");
    // Built beside its place and moved there whole: two processes may build at once, and one may be interrupted.
    let work = tempfile::tempdir_in(&folder).expect("a temporary folder");
    let built = work.path().join("promtool");
    let output = Command::new("go")
        .args(["build", "-mod=readonly", "-trimpath", "-buildvcs=false", "-tags=remove_all_sd", "-ldflags=-s -w", "-o"])
        .arg(&built)
        .arg("github.com/prometheus/prometheus/cmd/promtool")
        .current_dir(MODULE)
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .output()
        .unwrap_or_else(|error| panic!("this test needs go, or WBK_INFRA_PROMTOOL: {error}"));
    assert!(output.status.success(), "promtool cannot be built: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::rename(&built, &program).expect("promtool in its place");
    program
}

/// Runs promtool on files of a folder.
fn run(folder: &Path, args: &[&str]) {
    let output = Command::new(promtool()).args(args).current_dir(folder).output().expect("promtool starts");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "promtool {}: {said}", args.join(" "));
    eprintln!("{said}");
}

fn desired() -> Desired {
    let text = "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: m}\ncluster: {provider: local}\n\
                nodePools: [{name: system}]\nmonitoring: {prometheus: true, alerts: true, dashboards: true}\n";
    let loaded = load(&[Source { name: "m.yaml".into(), text: text.into() }]).unwrap_or_else(|p| panic!("{p}"));
    loaded.resolve(&DiskFiles, jiff::civil::date(2026, 11, 22)).unwrap_or_else(|p| panic!("{p}"))
}

/// The text that a ConfigMap holds, by its key.
fn texts(desired: &Desired) -> BTreeMap<String, String> {
    let maps = desired.objects.iter().filter(|object| object.id.gvk.kind == "ConfigMap");
    maps.flat_map(|object| object.manifest["data"].as_object().expect("data"))
        .map(|(key, text)| (key.clone(), text.as_str().expect("text").to_owned()))
        .collect()
}

#[test]
#[ignore = "needs promtool: cargo test --test monitoring -- --ignored"]
fn each_alert_fires_when_it_should_and_not_otherwise() {
    let folder = tempfile::tempdir().unwrap();
    let texts = texts(&desired());
    std::fs::write(folder.path().join("rules.yaml"), &texts["wbk-rules.yaml"]).unwrap();
    let tests = std::fs::read_to_string("tests/monitoring/alerts.yaml").unwrap();
    std::fs::write(folder.path().join("alerts.yaml"), &tests).unwrap();
    run(folder.path(), &["check", "rules", "--lint=all", "--lint-fatal", "rules.yaml"]);
    run(folder.path(), &["test", "rules", "alerts.yaml"]);
    // No alert is without a test of both.
    for alert in texts["wbk-rules.yaml"].lines().filter_map(|line| line.trim().strip_prefix("- alert: ")) {
        let times = tests.matches(&format!("alertname: {alert}")).count();
        assert!(times >= 2, "{alert} has {times} tests; it needs one in which it fires and one in which it does not");
    }
}

#[test]
#[ignore = "needs promtool: cargo test --test monitoring -- --ignored"]
fn the_rule_object_says_what_the_text_says() {
    let desired = desired();
    let rule = desired.objects.iter().find(|object| object.id.gvk.kind == "PrometheusRule").expect("a PrometheusRule");
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("rules.yaml"), to_yaml(&rule.manifest["spec"])).unwrap();
    std::fs::copy("tests/monitoring/alerts.yaml", folder.path().join("alerts.yaml")).unwrap();
    run(folder.path(), &["test", "rules", "alerts.yaml"]);
}

#[test]
#[ignore = "needs promtool: cargo test --test monitoring -- --ignored"]
fn every_query_of_every_dashboard_is_one() {
    let mut rules = Vec::new();
    for (name, text) in texts(&desired()).iter().filter(|(name, _)| name.ends_with(".json")) {
        let dashboard: Value = serde_json::from_str(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        for panel in dashboard["panels"].as_array().expect("panels") {
            for target in panel["targets"].as_array().expect("targets") {
                let expr = target["expr"].as_str().expect("expr").replace("$namespace", ".*");
                rules.push(json!({"record": format!("dashboard:q{}:x", rules.len()), "expr": expr}));
            }
        }
    }
    assert!(rules.len() > 15, "{}", rules.len());
    let folder = tempfile::tempdir().unwrap();
    let groups = json!({"groups": [{"name": "dashboards", "rules": rules}]});
    std::fs::write(folder.path().join("rules.yaml"), to_yaml(&groups)).unwrap();
    run(folder.path(), &["check", "rules", "rules.yaml"]);
}

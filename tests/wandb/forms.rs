//! Every form of queue and agent that a blueprint can ask for, through the SDKs' own validators.

use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::{Map, Value, json};
use wbk_infra::blueprint::{DiskFiles, Ground, Source, load_on};
use wbk_infra::desired::Desired;

use super::sdk::Sdk;

/// Blueprints whose queues and agents are validated: the shipped one, and one with every form.
const BLUEPRINTS: [&str; 2] = [
    concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/launch-local.yaml"),
    concat!(env!("CARGO_MANIFEST_DIR"), "/tests/blueprints/good/launch-forms.yaml"),
];
/// Runs in an SDK's environment: reads `{"agents": {…}, "queues": {…}}`, answers what each was refused for; null where it was not.
const SCRIPT: &str = include_str!("validate.py");

/// The desired state of a blueprint.
pub fn desired(path: &str) -> Desired {
    let text = std::fs::read_to_string(Path::new(path)).expect("the blueprint is there");
    let loaded = load_on(&[Source { text, name: path.into() }], Ground::Rehearsed);
    let loaded = loaded.unwrap_or_else(|problems| panic!("{problems}"));
    loaded.resolve(&DiskFiles, jiff::civil::date(2026, 11, 22)).unwrap_or_else(|problems| panic!("{problems}"))
}

fn validate(sdk: &Sdk, forms: &Value) -> Value {
    let mut child = Command::new(sdk.bin.join("python"))
        .args(["-c", SCRIPT])
        .env_clear()
        .env("HOME", "/nonexistent")
        .env("WANDB_ERROR_REPORTING", "false")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the SDK's python starts");
    let mut input = child.stdin.take().expect("it is piped");
    input.write_all(forms.to_string().as_bytes()).expect("it reads");
    drop(input);
    let output = child.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "wandb {}: {said}", sdk.version);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"))
}

/// All forms pass, and what must not pass does not.
pub fn hold(sdk: &Sdk) {
    let (mut agents, mut queues) = (Map::new(), Map::new());
    for path in BLUEPRINTS {
        let desired = desired(path);
        let launch = desired.launch.as_ref().expect("it has a launch section");
        for queue in &launch.queues {
            queues.insert(format!("{}/{}", desired.name, queue.name), queue.content.clone().marked().config);
        }
        for agent in &launch.agents {
            let release = desired.releases.iter().find(|release| release.id == agent.release).expect("its release");
            agents.insert(format!("{}/{}", desired.name, agent.name), release.values["launchConfig"].clone());
        }
    }
    let (own_agents, own_queues) = (agents.len(), queues.len());
    assert!(own_agents >= 3 && own_queues >= 5, "{own_agents} agents, {own_queues} queues");
    agents.insert("bad".into(), json!({"entity": "e", "queue": "q"}));
    let context = json!({"spec": {"template": {"spec": {"containers": [{"securityContext": {"privileged": true}}]}}}});
    queues.insert("bad".into(), json!({"resource_args": {"kubernetes": context}}));
    let answer = validate(sdk, &json!({"agents": agents, "queues": queues}));
    for kind in ["agents", "queues"] {
        for (name, refused) in answer[kind].as_object().expect("an answer for each") {
            eprintln!("  wandb {}: {kind} {name}: {refused}", sdk.version);
            if name == "bad" {
                // Validation of queues came with 0.28.1.
                let is_refused = kind == "agents" || sdk.version != super::sdk::OLDEST;
                assert_eq!(refused.is_string(), is_refused, "wandb {}: {kind}: {refused}", sdk.version);
            } else {
                assert!(refused.is_null(), "wandb {} refuses {name}: {refused}", sdk.version);
            }
        }
    }
    assert_eq!(answer["queues"].as_object().map(Map::len), Some(own_queues + 1));
    assert_eq!(answer["agents"].as_object().map(Map::len), Some(own_agents + 1));
}

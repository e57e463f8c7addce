//! Manifests mean what kubectl takes them for. `tests/formats/go_yaml.json` is what sigs.k8s.io/yaml v1.6.0 (`YAMLToJSON`, which kubectl and
//! Helm call) made of each text: its JSON, or null where it refused.
//!
//! Left out, because the readings differ and nothing real writes them: float and infinite keys, `-0.0`, a tab behind a colon (refused here).

use wbk_infra::blueprint::read_manifests;

#[test]
fn manifests_are_read_as_kubectl_reads_them() {
    let text = std::fs::read_to_string("tests/formats/go_yaml.json").unwrap();
    let table: Vec<(String, Option<String>)> = serde_json::from_str(&text).unwrap();
    assert!(table.len() > 300);
    let mut differences = Vec::new();
    for (yaml, theirs) in table {
        let ours =
            read_manifests(&yaml, "f").ok().map(|manifests| manifests.into_iter().next().map(|(value, _)| value));
        let theirs = theirs.map(|json| Some(serde_json::from_str::<serde_json::Value>(&json).unwrap()));
        if ours != theirs {
            differences.push(format!("{yaml:?}: kubectl {theirs:?}, here {ours:?}"));
        }
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

use std::path::PathBuf;

use serde_json::json;

use super::*;
use crate::helm::OriginOfDigest;

/// Documents in JSON, which is YAML enough here.
fn read(text: &str) -> Result<Vec<Value>, String> {
    let text: String = text.lines().filter(|line| !line.starts_with('#') && !line.starts_with("---")).collect();
    if text.trim().is_empty() {
        return Ok(Vec::new());
    }
    serde_json::from_str(&text).map(|value| vec![value]).map_err(|error| error.to_string())
}

fn scope(gvk: &Gvk) -> Option<Scope> {
    match gvk.kind.as_str() {
        "ClusterRole" | "CustomResourceDefinition" => Some(Scope::Cluster),
        "ConfigMap" | "Secret" | "Job" => Some(Scope::Namespaced),
        _ => None,
    }
}

fn rendered(documents: &[(&str, Value)]) -> Result<Rendered, HelmError> {
    let text: String =
        documents.iter().map(|(template, value)| format!("---\n# Source: {template}\n{value}\n")).collect();
    let release = ReleaseId { namespace: "ns".into(), name: "rel".into() };
    let chart = LocalChart {
        reference: "./c".into(),
        path: PathBuf::from("c"),
        digest: Digest::of_bytes(b""),
        origin: OriginOfDigest::Local,
    };
    let request = RenderRequest {
        release: &release,
        chart: &chart,
        values: &Value::Null,
        exists: Exists::No,
        secrets: SecretValues::Shown,
    };
    let world = RenderWorld { kube_version: "1.36.0", api_versions: &BTreeSet::new(), scope: &scope, read };
    sort_out(&text, &request, &world)
}

fn ids(rendered: &Rendered) -> Vec<String> {
    rendered.objects.iter().map(|(id, _)| id.to_string()).collect()
}

#[test]
fn namespaces_are_filled_in_where_the_kind_has_one() {
    let rendered = rendered(&[
        ("c/templates/a.yaml", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}})),
        ("c/templates/a.yaml", json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "b", "namespace": "other"}})),
        (
            "c/templates/r.yaml",
            json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "r", "namespace": "wrong"}}),
        ),
        ("c/templates/w.yaml", json!({"apiVersion": "x.example/v1", "kind": "Wat", "metadata": {"name": "w"}})),
    ])
    .unwrap();
    assert_eq!(
        ids(&rendered),
        ["ConfigMap ns/a", "ConfigMap other/b", "ClusterRole.rbac.authorization.k8s.io r", "Wat.x.example ns/w"]
    );
    assert_eq!(rendered.objects[0].1["metadata"]["namespace"], "ns");
    assert_eq!(rendered.objects[0].1["metadata"]["annotations"]["meta.helm.sh/release-name"], "rel");
    assert_eq!(rendered.assumed_namespaced.into_iter().map(|gvk| gvk.kind).collect::<Vec<_>>(), ["Wat"]);
}

#[test]
fn definitions_tell_the_scope_of_their_kinds_and_are_kept_apart() {
    let crd = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": "wats.x.example"},
        "spec": {"group": "x.example", "scope": "Cluster", "names": {"kind": "Wat"}, "versions": [{"name": "v1"}]},
    });
    let wat = json!({"apiVersion": "x.example/v1", "kind": "Wat", "metadata": {"name": "w"}});
    let one = rendered(&[("c/crds/w.yaml", crd.clone()), ("c/templates/w.yaml", wat.clone())]).unwrap();
    assert_eq!(ids(&one), ["Wat.x.example w"]);
    assert_eq!(one.crds.len(), 1);
    // Helm puts no marks on what it never touches again.
    assert_eq!(one.crds[0].1.pointer("/metadata/annotations"), None);
    let two = rendered(&[("c/templates/crds/w.yaml", crd), ("c/templates/w.yaml", wat)]).unwrap();
    assert_eq!((two.crds.len(), two.objects.len()), (0, 2));
}

#[test]
fn hooks_are_kept_apart() {
    let rendered = rendered(&[(
        "c/templates/job.yaml",
        json!({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "j", "annotations": {"helm.sh/hook": "pre-install, post-upgrade"}}}),
    )])
    .unwrap();
    assert!(rendered.objects.is_empty());
    assert_eq!(rendered.hooks[0].events, ["pre-install", "post-upgrade"]);
}

#[test]
fn lists_are_their_items_and_nothing_is_there_twice() {
    let item = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "a"}});
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [item, {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}}]});
    let one = rendered(&[("c/templates/a.yaml", list.clone())]).unwrap();
    assert_eq!(ids(&one), ["ConfigMap ns/a", "Secret ns/s"]);
    assert!(one.has_secrets);
    let error = rendered(&[("c/templates/a.yaml", list), ("c/templates/b.yaml", item)]).unwrap_err().to_string();
    assert!(error.contains("c/templates/b.yaml") && error.contains("ConfigMap ns/a is there twice"), "{error}");
}

#[test]
fn what_is_no_manifest_names_its_template() {
    for bad in [json!({"a": 1}), json!({"apiVersion": "v1", "kind": "ConfigMap"}), json!([1])] {
        let error = rendered(&[("c/templates/bad.yaml", bad)]).unwrap_err().to_string();
        assert!(error.contains("c/templates/bad.yaml"), "{error}");
    }
}

#[test]
fn secrets_withheld_keep_their_keys_and_no_value() {
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "data": {"k": "Y2FuYXJ5"}, "stringData": {"l": "canary"}});
    let hook = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "h", "annotations": {"helm.sh/hook": "pre-install"}}, "data": {"k": "Y2FuYXJ5"}});
    let shown = rendered(&[("c/templates/s.yaml", secret), ("c/templates/h.yaml", hook)]).unwrap();
    assert!(!format!("{shown:?}").contains("canary") && !format!("{shown:?}").contains("Y2FuYXJ5"));
    let withheld = serde_json::to_string(&shown.withhold()).unwrap();
    assert!(!withheld.contains("canary") && !withheld.contains("Y2FuYXJ5"), "{withheld}");
    assert!(withheld.contains(r#""data":{"k":""}"#), "{withheld}");
}

#[test]
fn documents_end_at_a_line_of_dashes_and_know_their_template() {
    let text = "---\n# Source: c/crds/two.yaml\na: 1\n---\na: |\n  ---\n  text\n--- # again\n# Source: c/templates/b.yaml\nb: ---\n----\n";
    let found: Vec<_> =
        documents(text).iter().map(|document| (document.template, document.text.lines().count())).collect();
    assert_eq!(found, [("c/crds/two.yaml", 3), ("c/crds/two.yaml", 4), ("c/templates/b.yaml", 4)]);
}

#[test]
fn definition_files_are_those_of_crds_folders() {
    for (template, is) in [
        ("c/crds/a.yaml", true),
        ("c/charts/sub/crds/a.yaml", true),
        ("c/templates/crds/a.yaml", false),
        ("c/charts/crds/templates/a.yaml", false),
    ] {
        assert_eq!(is_definition_file(template), is, "{template}");
    }
}

#[test]
fn the_position_is_found_in_what_helm_says() {
    // Captured from helm 4.2.4 and 3.22.0.
    for (said, at) in [
        ("Error: execution error at (bad/templates/cm.yaml:6:8): needs a value", "bad/templates/cm.yaml:6:8"),
        (
            "Error: bad/templates/cm.yaml:5:15\n  executing \"bad/templates/cm.yaml\" at <.Values.a.b>:\n    nil pointer evaluating interface {}.b",
            "bad/templates/cm.yaml:5:15",
        ),
        (
            "Error: template: bad/templates/cm.yaml:5:15: executing \"bad/templates/cm.yaml\" at <.Values.a.b>: nil pointer evaluating interface {}.b",
            "bad/templates/cm.yaml:5:15",
        ),
        ("Error: parse error at (bad/templates/cm.yaml:5): function \"nosuch\" not defined", "bad/templates/cm.yaml:5"),
        (
            "Error: YAML parse error on bad/templates/cm.yaml: error converting YAML to JSON: yaml: line 3: mapping values",
            "bad/templates/cm.yaml",
        ),
    ] {
        assert_eq!(position(said).as_deref(), Some(at), "{said}");
    }
    assert_eq!(position("Error: Chart.yaml file is missing"), None);
}

#[test]
fn what_differs_in_two_renders_is_named() {
    let map = |value: &str| json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": value}, "data": {"k": "same"}});
    let secret = |value: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "s"}, "stringData": {"k": value}});
    let render =
        |value: &str| rendered(&[("c/templates/a.yaml", map("a")), ("c/templates/s.yaml", secret(value))]).unwrap();
    let mut one = render("x");
    let two = render("y");
    one.stability.unstable = differing(&one, &two);
    assert_eq!(one.stability.unstable.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Secret ns/s"]);
    // The digest is blind to them, so that it does not move with them.
    let mut two = two;
    two.stability = one.stability.clone();
    assert_eq!(digest(&one), digest(&two));
}

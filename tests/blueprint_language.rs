//! Overlays, explanations and robustness of the blueprint language, through the public interface.

use proptest::prelude::*;
use wbk_infra::blueprint::{CachedFiles, DiskFiles, ExplainError, Loaded, MemoryFiles, Source, ValueSource, load};
use wbk_infra::desired::Desired;

const BASE: &str = r#"apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: research}
cluster: {provider: local}
nodePools:
  - {name: system, size: {min: 1}}
  - name: a100
    accelerator: {model: nvidia-a100-40gb, count: 8}
    capacity: spot
gpu: {plugin: simulated}
scheduling: {priorities: [{name: training, value: 100}]}
namespaces:
  - name: wandb-jobs
    quota: {gpu: 8, pods: 10}
  - name: other
"#;

const PROD: &str = "nodePools:
- {name: a100, size: {min: 2}}
- {name: system, $patch: delete}
- {name: cpu}
namespaces:
- name: wandb-jobs
  quota: {gpu: 16, pods: null}
";

fn source(name: &str, text: &str) -> Source {
    Source { name: name.into(), text: text.into() }
}

fn today() -> jiff::civil::Date {
    jiff::civil::date(2026, 11, 22)
}

fn loaded() -> Loaded {
    load(&[source("base.yaml", BASE), source("prod.yaml", PROD)]).unwrap()
}

#[test]
fn overlays_merge_by_name_remove_by_null_and_explain_says_which_file_won() {
    let loaded = loaded();
    let at = |path: &str| match loaded.explain(path).unwrap().source {
        ValueSource::Written { at } => at.to_string(),
        other => format!("{other:?}"),
    };
    assert_eq!(at("namespaces[wandb-jobs].quota.gpu"), "prod.yaml:7:16");
    assert_eq!(at("nodePools[a100].size.min"), "prod.yaml:2:28");
    assert_eq!(at("nodePools[a100].accelerator.count"), "base.yaml:8:51");
    assert_eq!(at("namespaces[1].name"), "base.yaml:15:11");
    let quota = loaded.explain("namespaces[wandb-jobs].quota.pods").unwrap();
    assert_eq!((quota.value, quota.source), (serde_json::Value::Null, ValueSource::Default));
    let names: Vec<&str> = loaded.blueprint.node_pools.iter().map(|pool| pool.name.as_str()).collect();
    assert_eq!(names, ["a100", "cpu"]);
}

#[test]
fn explain_tells_defaults_and_derived_values_with_their_reason() {
    let loaded = loaded();
    let text = |path: &str| loaded.explain(path).unwrap().to_string();
    assert_eq!(
        text("scheduling.priorities[training].preempts"),
        "scheduling.priorities[training].preempts: true\ndefault of the language\nWhether its pods push out pods of lower priority."
    );
    assert_eq!(
        text("policy.maxDeletes"),
        "policy.maxDeletes: 10\ndefault of the language\nMost deletions in one plan, replacements counted."
    );
    assert_eq!(
        text("nodePools[a100].taints"),
        "nodePools[a100].taints: [{\"effect\":\"NoSchedule\",\"key\":\"nvidia.com/gpu\",\"value\":\"present\"},{\"effect\":\"NoSchedule\",\"key\":\"wbk-infra/spot\",\"value\":\"true\"}]\n\
         derived, from base.yaml:8:18:\n\
         - nvidia.com/gpu=present:NoSchedule: the pool has nvidia-a100-40gb, which only pods that ask for it shall occupy\n\
         - wbk-infra/spot=true:NoSchedule: spot nodes may be taken away, which only pods that accept it shall suffer\n\
         Taints of every node, beside those that follow from GPUs and spot."
    );
    assert!(text("nodePools[a100].labels[\"wbk-infra/pool\"]").contains("a100\"\nderived"));
    assert!(text("cluster.name").starts_with("cluster.name: \"research\"\nderived, from base.yaml:3:18"));
    assert!(text("nodePools[a100].size.max").contains("as many as `min`"));
}

#[test]
fn explain_refuses_what_is_no_path_or_names_nothing() {
    let loaded = loaded();
    assert_eq!(loaded.explain("a..b"), Err(ExplainError::NotAPath("a..b".into())));
    for path in ["nodePoolz", "nodePools[a101]", "namespaces[wandb-jobs].quota.gpus", "metadata.name.x"] {
        assert!(matches!(loaded.explain(path), Err(ExplainError::Unknown { .. })), "{path}");
    }
    let Err(ExplainError::Unknown { candidates, .. }) = loaded.explain("nodePools[a101]") else { panic!() };
    assert_eq!(candidates[0], "a100");
}

#[test]
fn problems_of_all_overlays_come_at_once_each_in_its_file() {
    let problems = load(&[
        source("a.yaml", BASE),
        source("b.yaml", "nodePoolz: []\n"),
        source("c.yaml", "cluster: {version: 1}\n"),
    ])
    .unwrap_err();
    let text = problems.to_string();
    assert!(text.contains("b.yaml:1:1: error: unknown key `nodePoolz`; hint: did you mean `nodePools`?"), "{text}");
    assert!(
        text.contains("c.yaml:1:20: error: `cluster.version`") && text.contains("hint: write it in quotes: \"1\""),
        "{text}"
    );
    assert_eq!(problems.len(), 2, "{text}");
}

#[test]
fn an_overlay_that_is_broken_does_not_make_the_rest_look_incomplete() {
    let problems = load(&[source("a.yaml", "metadata: {name: x}\n"), source("b.yaml", "a: [\n")]).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems}");
}

#[test]
fn the_same_blueprint_gives_the_same_bytes_whatever_the_order_of_its_keys() {
    let files = MemoryFiles::default();
    let one = loaded().resolve(&files, today()).unwrap().to_json();
    let objects = one["objects"].as_array().unwrap();
    let mut sorted: Vec<String> = objects.iter().map(|object| object["id"].to_string()).collect();
    sorted.dedup();
    assert_eq!(sorted.len(), objects.len());
    let lines: Vec<&str> = BASE.lines().collect();
    let moved = [&lines[9..11], &lines[..9], &lines[11..]].concat().join("\n");
    let moved = load(&[source("base.yaml", &format!("{moved}\n")), source("prod.yaml", PROD)])
        .unwrap()
        .resolve(&files, today())
        .unwrap();
    let without_places = |mut value: serde_json::Value| {
        for object in value["objects"].as_array_mut().unwrap() {
            object["origin"]["at"] = serde_json::Value::Null;
        }
        value.to_string()
    };
    assert_eq!(without_places(one), without_places(moved.to_json()));
}

#[test]
fn the_shipped_local_blueprint_has_no_warning_beside_a_chart_that_may_not_be_there_yet() {
    let text = std::fs::read_to_string("blueprints/local.yaml").unwrap();
    let loaded = load(&[source("blueprints/local.yaml", &text)]).unwrap();
    let problems = loaded.lint(&DiskFiles, today());
    let others: Vec<_> = problems.iter().filter(|problem| !problem.message.starts_with("there is no chart")).collect();
    assert!(others.is_empty(), "{problems}");
}

/// A blueprint with some of its text cut, doubled or replaced.
fn damaged() -> impl Strategy<Value = String> {
    let whole = std::fs::read_to_string("tests/blueprints/good/everything.yaml").unwrap();
    let words = prop::sample::select(vec![
        "null",
        "[]",
        "{}",
        "yes",
        "1",
        "-1",
        "x",
        "\n",
        ":",
        "- ",
        "{",
        "}",
        "''",
        "&a x",
        "*a",
        "<<: {a: 1}",
        "🦀",
        "\u{0}",
        "1e999",
        "!!int x",
    ]);
    proptest::collection::vec((any::<prop::sample::Index>(), 0usize..30, words), 1..5).prop_map(move |edits| {
        let mut characters: Vec<char> = whole.chars().collect();
        for (index, cut, word) in edits {
            let start = index.index(characters.len());
            let end = (start + cut).min(characters.len());
            characters.splice(start..end, word.chars());
        }
        characters.into_iter().collect()
    })
}

proptest! {
    #[test]
    fn a_damaged_blueprint_is_understood_or_refused_and_never_a_panic(text in damaged()) {
        match load(&[source("f.yaml", &text)]) {
            Ok(loaded) => {
                let files = MemoryFiles::default();
                let lint = loaded.lint(&files, today());
                prop_assert_eq!(loaded.resolve(&files, today()).is_err(), lint.has_errors());
                let _explained = loaded.explain("nodePools[mi300x].taints");
            }
            Err(problems) => {
                prop_assert!(problems.has_errors());
                prop_assert!(!problems.to_string().contains("bug of wbk-infra"), "{}", problems);
            }
        }
    }
}

/// Files on disk beside a cache: what a plan reads of them, and reads again from memory.
#[test]
fn a_manifest_that_did_not_change_is_not_read_again_and_is_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let manifest = |name: &str| {
        format!(
            "---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name}, namespace: default}}\ndata: {{a: \"{}\"}}\n",
            "x".repeat(400)
        )
    };
    let text: String = (0..100).map(|at| manifest(&format!("c{at}"))).collect();
    let path = folder.path().join("all.yaml");
    std::fs::write(&path, &text).unwrap();
    let blueprint = format!(
        "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: p}}\ncluster: {{provider: existing}}\nobjects: [{}]\n",
        path.display()
    );
    let loaded = load(&[Source { name: "b.yaml".into(), text: blueprint }]).unwrap();
    let files = CachedFiles { cache: folder.path().join("cache/known") };
    let first = loaded.resolve(&files, today()).unwrap();
    assert!(files.cache.exists());
    let again = loaded.resolve(&files, today()).unwrap();
    let digests = |desired: &Desired| desired.objects.iter().map(|object| object.digest()).collect::<Vec<_>>();
    assert_eq!(digests(&again), digests(&first));
    assert_eq!(again, first, "bodies are read when they are looked into");
    assert_eq!(loaded.resolve(&DiskFiles, today()).unwrap(), first);
    // No content is in the cache.
    assert!(!std::fs::read_to_string(&files.cache).unwrap().contains("xxx"));
    // Another text is read, whatever is remembered; a problem in it is told, and told again.
    std::fs::write(&path, text.replace("name: c7,", "name: C7,")).unwrap();
    for _ in 0..2 {
        let problems = loaded.resolve(&files, today()).unwrap_err();
        assert!(problems.to_string().contains("`C7` cannot be the name"), "{problems}");
    }
}

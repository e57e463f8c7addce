//! Blueprints as folders of text. `tests/blueprints/bad`: each file beside the problems it must give; `good` and the shipped
//! `blueprints/`: each file beside its rendered desired state in `rendered/`. Set `UPDATE_EXPECTED=1` to write what was
//! found, then read the difference.

use std::path::{Path, PathBuf};

use wbk_infra::blueprint::{DiskFiles, Loaded, Problems, Source, load};

fn today() -> jiff::civil::Date {
    jiff::civil::date(2026, 11, 22)
}

fn yaml_files(folder: &str) -> Vec<PathBuf> {
    let mut files: Vec<PathBuf> = std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "yaml"))
        .collect();
    files.sort();
    assert!(!files.is_empty(), "no case in {folder}");
    files
}

fn load_file(path: &Path) -> Result<Loaded, Problems> {
    let name = path.to_str().unwrap().to_owned();
    load(&[Source { text: std::fs::read_to_string(path).unwrap(), name }])
}

/// Compares, or writes where asked to; collects differences so that all cases run.
fn expect(path: &Path, found: &str, differences: &mut Vec<String>) {
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(path, found).unwrap();
        return;
    }
    let wanted = std::fs::read_to_string(path).unwrap_or_default();
    if wanted != found {
        differences.push(format!("{} differs; found:\n{found}", path.display()));
    }
}

#[test]
fn bad_blueprints_are_refused_with_every_problem_and_its_position() {
    let mut differences = Vec::new();
    for path in yaml_files("tests/blueprints/bad") {
        let problems = match load_file(&path) {
            Err(problems) => problems,
            Ok(loaded) => {
                let problems = loaded.lint(&DiskFiles, today());
                assert_eq!(loaded.resolve(&DiskFiles, today()).is_err(), problems.has_errors());
                problems
            }
        };
        assert!(problems.has_errors(), "{} is accepted", path.display());
        let text = format!("{problems}\n");
        assert!(!text.contains("canary") && !text.contains("Y2FuYXJ5"), "a secret is repeated:\n{text}");
        expect(&path.with_extension("txt"), &text, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn good_and_shipped_blueprints_mean_what_is_rendered_beside_them() {
    let mut differences = Vec::new();
    for path in yaml_files("blueprints").into_iter().chain(yaml_files("tests/blueprints/good")) {
        let loaded = load_file(&path).unwrap_or_else(|problems| panic!("{problems}"));
        let desired = loaded.resolve(&DiskFiles, today()).unwrap_or_else(|problems| panic!("{problems}"));
        let text = desired.render_yaml();
        let again = load_file(&path).unwrap().resolve(&DiskFiles, today()).unwrap();
        assert_eq!(text, again.render_yaml(), "rendering is not stable");
        assert_eq!(serde_json::from_str::<serde_json::Value>(&desired.render_json()).unwrap(), desired.to_json());
        expect(&Path::new("tests/blueprints/rendered").join(path.file_name().unwrap()), &text, &mut differences);
    }
    assert!(differences.is_empty(), "{}", differences.join("\n"));
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let found = format!("{:#}\n", wbk_infra::blueprint::json_schema());
    let mut differences = Vec::new();
    expect(Path::new("docs/blueprint.schema.json"), &found, &mut differences);
    assert!(differences.is_empty(), "docs/blueprint.schema.json is old; run with UPDATE_EXPECTED=1");
}

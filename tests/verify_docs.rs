//! The documentation of verification is complete: one row for each check, and the published schema is the program's.

use std::collections::BTreeSet;
use std::path::Path;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// The names of checks in the sources, `jobs.sample`.
fn in_sources() -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for entry in std::fs::read_dir(root().join("src/verify/checks")).expect("the checks are there") {
        let text = std::fs::read_to_string(entry.expect("an entry").path()).expect("a source is text");
        let product = text.split("#[cfg(test)]").next().unwrap_or_default();
        for start in ["CheckId::about(\"", "CheckId::once(\""] {
            names.extend(product.split(start).skip(1).filter_map(|rest| Some(rest.split('"').next()?.to_owned())));
        }
    }
    names
}

#[test]
fn every_check_has_one_row_and_every_row_a_check() {
    let text = std::fs::read_to_string(root().join("docs/verify.md")).expect("the documentation");
    let rows: Vec<&str> = text.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    let unique: BTreeSet<String> = rows.iter().map(|row| (*row).to_owned()).collect();
    assert_eq!(rows.len(), unique.len(), "a check has two rows");
    let checks = in_sources();
    assert!(checks.len() > 30, "{checks:?}");
    assert_eq!(unique, checks);
}

#[test]
fn the_published_schema_is_that_of_the_types() {
    let path = root().join("docs/verify.schema.json");
    let found = format!("{:#}\n", wbk_infra::verify::json_schema());
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, &found).expect("the schema can be written");
    }
    let published = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(published == found, "docs/verify.schema.json is old; run with UPDATE_EXPECTED=1");
}

//! Charts that this program carries: unpacked into the cache under the digest of their files, so that helm can be given them.

use std::path::{Path, PathBuf};

use super::chart::LocalChart;
use super::error::HelmError;
use crate::id::Digest;

/// A chart's files by their paths in it.
type Files = &'static [(&'static str, &'static str)];

macro_rules! files {
    ($chart:literal: $($file:literal),+ $(,)?) => {
        &[$(($file, include_str!(concat!("../../charts/", $chart, "/", $file)))),+]
    };
}

/// Our charts. A test holds each list complete.
const CHARTS: &[(&str, Files)] = &[
    (
        "fake-gpu",
        files!(
            "fake-gpu": "Chart.yaml", "README.md", "templates/access.yaml", "templates/daemonsets.yaml", "values.schema.json",
            "values.yaml",
        ),
    ),
    (
        "launch-agent",
        files!(
            "launch-agent": "Chart.yaml", "README.md", "templates/_helpers.tpl", "templates/access.yaml",
            "templates/agent.yaml", "values.schema.json", "values.yaml",
        ),
    ),
];

/// Unpacks a chart below `folder`, unless it is there already, whole and unchanged.
///
/// # Errors
/// There is no such chart; the folder cannot be written.
pub(super) fn open(folder: &Path, name: &str) -> Result<LocalChart, HelmError> {
    let Some((_, files)) = CHARTS.iter().find(|(own, _)| *own == name) else {
        return Err(HelmError::NoChart {
            path: PathBuf::from(name),
            problem: "this program carries no such chart".into(),
        });
    };
    let list: Vec<serde_json::Value> =
        files.iter().map(|(path, text)| serde_json::json!([path, Digest::of_bytes(text.as_bytes()).0])).collect();
    let digest = Digest::of_json(&serde_json::Value::Array(list));
    let target = folder.join(format!("{name}-{digest}"));
    if !is_whole(&target, files) {
        unpack(folder, &target, files)?;
    }
    let chart = LocalChart::open(&target)?;
    Ok(LocalChart { reference: format!("{name} (of wbk-infra)"), ..chart })
}

fn is_whole(target: &Path, files: Files) -> bool {
    // What cannot be read is written anew.
    files.iter().all(|(path, text)| std::fs::read(target.join(path)).is_ok_and(|found| found == text.as_bytes()))
}

fn unpack(folder: &Path, target: &Path, files: Files) -> Result<(), HelmError> {
    let io = |what: &'static str, path: &Path| {
        let path = path.to_owned();
        move |source| HelmError::Io { what, path, source }
    };
    std::fs::create_dir_all(folder).map_err(io("make the folder", folder))?;
    let scratch =
        tempfile::Builder::new().prefix("unpack-").tempdir_in(folder).map_err(io("make a folder in", folder))?;
    for (path, text) in files {
        let path = scratch.path().join(path);
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(io("make the folder", parent))?;
        }
        std::fs::write(&path, text).map_err(io("write", &path))?;
    }
    // One that somebody changed is in the way; another process may have put the right one there meanwhile.
    if target.exists() && !is_whole(target, files) {
        std::fs::remove_dir_all(target).map_err(io("remove", target))?;
    }
    match std::fs::rename(scratch.path(), target) {
        Err(_) if is_whole(target, files) => Ok(()),
        result => result.map_err(io("put the chart at", target)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_file_of_our_charts_is_carried() {
        for (name, files) in CHARTS {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("charts").join(name);
            let found: Vec<String> =
                super::super::chart::chart_files(&root).unwrap().into_iter().map(|(path, _)| path).collect();
            let carried: Vec<&str> = files.iter().map(|(path, _)| *path).collect();
            assert_eq!(carried, found, "{name}");
        }
    }

    #[test]
    fn a_chart_is_unpacked_once_and_again_when_somebody_changed_it() {
        let folder = tempfile::tempdir().unwrap();
        let first = open(folder.path(), "fake-gpu").unwrap();
        assert_eq!(open(folder.path(), "fake-gpu").unwrap(), first);
        std::fs::write(first.path.join("values.yaml"), "image: evil").unwrap();
        let again = open(folder.path(), "fake-gpu").unwrap();
        assert_eq!((&again.digest, &again.path), (&first.digest, &first.path));
        assert!(open(folder.path(), "nothing").is_err());
    }
}

//! The peer: `kubectl diff --server-side`, on the same marked manifests.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::Value;
use wbk_infra::id::ObjectId;
use wbk_provider_local::assets::Program;

use super::support::assets;

/// What kubectl says of one object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Said {
    Same,
    Differs,
    /// It could not say, in its words.
    Failed(String),
}

/// kubectl with a kubeconfig.
pub struct Kubectl<'a> {
    program: std::path::PathBuf,
    kubeconfig: &'a Path,
    folder: tempfile::TempDir,
}

impl<'a> Kubectl<'a> {
    pub fn new(kubeconfig: &'a Path) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        Self { program: assets::program(Program::Kubectl), kubeconfig, folder }
    }

    /// Compares all of them. It stops at the first object that the server refuses; then the halves are compared apart.
    pub fn diff(&self, objects: &[(ObjectId, Value)]) -> BTreeMap<String, Said> {
        if objects.is_empty() {
            return BTreeMap::new();
        }
        let folder = tempfile::tempdir_in(self.folder.path()).expect("a folder");
        for (at, (_, manifest)) in objects.iter().enumerate() {
            std::fs::write(folder.path().join(format!("{at}.json")), manifest.to_string()).expect("a file");
        }
        let output = Command::new(&self.program)
            .arg("--kubeconfig")
            .arg(self.kubeconfig)
            .args(["diff", "--server-side", "--force-conflicts", "--field-manager=wbk-infra", "--concurrency=8", "-f"])
            .arg(folder.path())
            .env("HOME", self.folder.path())
            .env("LC_ALL", "C")
            .env_remove("KUBECTL_EXTERNAL_DIFF")
            .stdin(Stdio::null())
            .output()
            .expect("kubectl starts");
        let text = String::from_utf8_lossy(&output.stdout);
        match (output.status.code(), objects) {
            (Some(0 | 1), _) => {
                let heads: Vec<&str> = text.lines().filter(|line| line.starts_with("diff -u")).collect();
                objects
                    .iter()
                    .map(|(id, _)| {
                        let namespace = id.namespace.as_deref().unwrap_or_default();
                        let file = format!(".{}.{namespace}.{}", id.gvk.kind, id.name);
                        let differs = heads.iter().any(|line| line.ends_with(&file));
                        (id.to_string(), if differs { Said::Differs } else { Said::Same })
                    })
                    .collect()
            }
            (_, [(id, _)]) => {
                let words = String::from_utf8_lossy(&output.stderr).into_owned();
                BTreeMap::from([(id.to_string(), Said::Failed(words))])
            }
            _ => {
                let (one, other) = objects.split_at(objects.len() / 2);
                let mut all = self.diff(one);
                all.extend(self.diff(other));
                all
            }
        }
    }
}

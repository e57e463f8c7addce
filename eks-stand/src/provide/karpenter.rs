//! The definition of Karpenter's NodePool, as AWS' Auto Mode has it in its clusters: out of Karpenter's own module.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::run;
use crate::StandError;

/// The module, of a version that Go 1.26.8 reads. It is downloaded once, by go into its own cache, and checked by it.
const MODULE: &str = "sigs.k8s.io/karpenter@v1.9.0";
/// The definition in it.
const FILE: &str = "pkg/apis/crds/karpenter.sh_nodepools.yaml";

/// The definition, YAML.
pub(crate) fn node_pool_definition() -> Result<Vec<u8>, StandError> {
    let hint = "Auto Mode's clusters need go and a module proxy";
    let download = || {
        let mut command = Command::new("go");
        // Outside of every module; the version alone says what is meant.
        command.args(["mod", "download", "-json", MODULE]).current_dir(std::env::temp_dir()).env("GOFLAGS", "-mod=mod");
        command
    };
    run("Karpenter's definitions", hint, &mut download())?;
    let garbled =
        |said: String| StandError::Provide { program: "Karpenter's definitions".into(), said, hint: hint.into() };
    let answer = download().output().map_err(|error| garbled(error.to_string()))?;
    let answer: Value = serde_json::from_slice(&answer.stdout).map_err(|error| garbled(error.to_string()))?;
    let folder = answer["Dir"].as_str().ok_or_else(|| garbled("go does not say where the module is".into()))?;
    let path = PathBuf::from(folder).join(FILE);
    std::fs::read(&path).map_err(StandError::file("read", &path))
}

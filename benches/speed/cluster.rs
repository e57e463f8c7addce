//! A control plane of the local provider for one race, in a state folder of its own, with the audit log on.

use std::{
    io::{Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// The name of the local cluster.
const NAME: &str = "speed";

/// A running control plane; it is deleted with this value.
pub struct ControlPlane {
    folder: tempfile::TempDir,
    /// The administrator's kubeconfig.
    pub kubeconfig: PathBuf,
}

impl ControlPlane {
    /// Starts one.
    pub fn start() -> Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut plane = Self { folder, kubeconfig: PathBuf::new() };
        let blueprint = plane.folder().join("cluster.yaml");
        std::fs::write(
            &blueprint,
            format!(
                "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: {NAME}}}\ncluster: {{provider: local, name: {NAME}, version: \"1.36\"}}\n"
            ),
        )?;
        let mut apply = plane.product(&["apply", "--yes", "--no-verify"]);
        apply.arg(&blueprint).env("WBK_INFRA_AUDIT", "1");
        finish(&mut apply)?;
        plane.kubeconfig = finish(&mut plane.product(&["local", "kubeconfig", NAME]))?.trim().into();
        Ok(plane)
    }

    /// Where files of the race go.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The product with the state folder of this race.
    pub fn product(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wbk-infra"));
        command.args(arguments).env_remove("KUBECONFIG").env("XDG_STATE_HOME", self.folder().join("state"));
        command
    }

    /// Where the audit log ends now.
    pub fn mark(&self) -> Result<u64> {
        Ok(std::fs::metadata(self.audit_log())?.len())
    }

    /// Requests of one user agent since a mark: `(verb, path)`.
    pub fn requests(&self, since: u64, agent: &str) -> Result<Vec<(String, String)>> {
        let mut file = std::fs::File::open(self.audit_log())?;
        // A log that is shorter than it was has been rotated.
        let from = if file.metadata()?.len() < since { 0 } else { since };
        file.seek(SeekFrom::Start(from))?;
        let mut text = String::new();
        file.read_to_string(&mut text)?;
        let of_agent = |line: &str| -> Option<(String, String)> {
            let entry: serde_json::Value = serde_json::from_str(line).ok()?; // The last line may be half written.
            let text = |key: &str| entry[key].as_str().unwrap_or_default().to_owned();
            (text("userAgent").starts_with(agent) && text("stage") == "ResponseComplete")
                .then(|| (text("verb"), text("requestURI")))
        };
        Ok(text.lines().filter_map(of_agent).collect())
    }

    fn audit_log(&self) -> PathBuf {
        self.folder().join(format!("state/wbk-infra/clusters/{NAME}/logs/audit.log"))
    }
}

impl Drop for ControlPlane {
    fn drop(&mut self) {
        if let Err(error) = finish(&mut self.product(&["local", "delete", NAME, "--yes"])) {
            eprintln!("the cluster of the race could not be deleted: {error:#}");
        }
    }
}

/// Runs a command to its end and answers what it printed.
pub fn finish(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    ensure!(output.status.success(), "{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    Ok(String::from_utf8(output.stdout)?)
}

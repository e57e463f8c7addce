//! The program as a user runs it, in a home of its own: every local cluster that it started is deleted when the home goes.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::assets;

/// A state folder, a working folder, and the program.
pub struct Home {
    folder: tempfile::TempDir,
}

/// What a run printed and how it ended.
#[derive(Debug)]
pub struct Run {
    /// Exit code; -1 when a signal ended it.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl Home {
    /// A new one.
    pub fn new() -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("work")).expect("a working folder");
        Self { folder }
    }

    /// The working folder.
    pub fn work(&self) -> PathBuf {
        self.folder.path().join("work")
    }

    /// The state folder of the program.
    pub fn state(&self) -> PathBuf {
        self.folder.path().join("state").join("wbk-infra")
    }

    /// Writes a file below the working folder and answers its path.
    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.work().join(name);
        std::fs::create_dir_all(path.parent().expect("a file has a folder")).expect("a folder");
        std::fs::write(&path, text).expect("a file");
        path
    }

    /// The program with its environment: nothing of the user's but programs and the cache.
    pub fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wbk-infra"));
        command
            .args(arguments)
            .current_dir(self.work())
            .stdin(Stdio::null())
            .env_remove("KUBECONFIG")
            .env("XDG_STATE_HOME", self.folder.path().join("state"))
            .env("XDG_CACHE_HOME", assets::cache_home())
            .env("NO_COLOR", "1");
        command
    }

    /// Runs the program to its end.
    pub fn run(&self, arguments: &[&str]) -> Run {
        Self::finish(&mut self.command(arguments))
    }

    /// Runs a command to its end.
    pub fn finish(command: &mut Command) -> Run {
        let output = command.output().expect("the program starts");
        Run {
            code: output.status.code().unwrap_or(-1),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// The kubeconfig of a local cluster.
    pub fn kubeconfig(&self, cluster: &str) -> PathBuf {
        let run = self.run(&["local", "kubeconfig", cluster]);
        assert_eq!(run.code, 0, "{run:?}");
        PathBuf::from(run.stdout.trim())
    }

    /// kubectl on a local cluster.
    pub fn kubectl(&self, cluster: &str, arguments: &[&str]) -> Run {
        let kubectl = assets::program(wbk_provider_local::assets::Program::Kubectl);
        Self::finish(
            Command::new(kubectl)
                .arg("--kubeconfig")
                .arg(self.kubeconfig(cluster))
                .args(arguments)
                .stdin(Stdio::null()),
        )
    }
}

impl Run {
    /// Both outputs, for messages and for looking for what must be in neither.
    pub fn all(&self) -> String {
        format!("{}\n{}", self.stdout, self.stderr)
    }

    /// Fails the test with all that was printed unless the exit code is this one.
    #[track_caller]
    pub fn expect(self, code: i32) -> Self {
        assert_eq!(self.code, code, "stdout:\n{}\nstderr:\n{}", self.stdout, self.stderr);
        self
    }
}

impl Drop for Home {
    fn drop(&mut self) {
        let clusters = self.state().join("clusters");
        for entry in std::fs::read_dir(clusters).into_iter().flatten().flatten() {
            let name = entry.file_name();
            if is_cluster(&entry.path()) {
                let run = self.run(&["local", "delete", &name.to_string_lossy(), "--yes"]);
                if run.code != 0 {
                    eprintln!("could not delete the cluster {}: {}", name.to_string_lossy(), run.all());
                }
            }
        }
    }
}

fn is_cluster(path: &Path) -> bool {
    path.is_dir()
}

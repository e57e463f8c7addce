//! A real launch agent as a process.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use serde_json::Value;

use super::sdk::Sdk;

/// A running agent. It ends with this value.
pub struct Agent {
    child: Mutex<Child>,
    log: PathBuf,
    home: tempfile::TempDir,
}

/// What an agent is given beside its program, as its pod would be.
pub struct Given {
    /// The account's way to the cluster.
    pub kubeconfig: Value,
    /// launch-config.yaml.
    pub config: String,
    /// Its environment: the API key, the W&B server's address and what else its Deployment says.
    pub environment: BTreeMap<String, String>,
}

impl Agent {
    /// Starts it: the SDK's own program, a home with nothing in it but the account's kubeconfig and the configuration where a pod of
    /// W&B's image has it, and no environment of the user's.
    pub fn start(sdk: &Sdk, given: &Given) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        for (folder, file, text) in [
            (".kube", "config", given.kubeconfig.to_string().as_str()),
            (".config/wandb", "launch-config.yaml", &given.config),
        ] {
            let folder = home.path().join(folder);
            std::fs::create_dir_all(&folder).expect("a folder");
            std::fs::write(folder.join(file), text).expect("a file");
        }
        let log = home.path().join("agent.log");
        let out = std::fs::File::create(&log).expect("a log");
        let mut command = Command::new(sdk.wandb());
        command
            .arg("launch-agent")
            .current_dir(home.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", sdk.bin.display()))
            .env("HOME", home.path())
            .envs(&given.environment)
            // Nothing is told to anybody outside this machine.
            .env("WANDB_ERROR_REPORTING", "false")
            .env("NO_PROXY", "127.0.0.1,localhost")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out);
        // A group of its own: the agent's own service process ends with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", sdk.wandb().display()));
        Self { child: Mutex::new(child), log, home }
    }

    /// What it printed until now.
    pub fn log(&self) -> String {
        std::fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string())
    }

    /// Fails the test if it has ended.
    #[track_caller]
    pub fn runs(&self) {
        let status = self.child.lock().expect("no one panicked").try_wait().expect("our child");
        assert!(status.is_none(), "the agent ended: {status:?}");
    }

    /// Waits until it ends, which it should not, and answers its last words.
    pub async fn ended(&self) -> String {
        let mut rhythm = tokio::time::interval(Duration::from_secs(1));
        loop {
            rhythm.tick().await;
            let status = self.child.lock().expect("no one panicked").try_wait().expect("our child");
            if let Some(status) = status {
                return format!("{status}\n{}", self.last_words());
            }
        }
    }

    fn last_words(&self) -> String {
        let log = self.log();
        let mut lines: Vec<&str> = log.lines().rev().take(30).collect();
        lines.reverse();
        lines.join("\n")
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("the agent's last words ({}):\n{}", self.home.path().display(), self.last_words());
        }
        // Who panicked with it in hand left it as it was.
        let child = self.child.get_mut().unwrap_or_else(std::sync::PoisonError::into_inner);
        if let Some(group) = i32::try_from(child.id()).ok().and_then(Pid::from_raw) {
            // It may have ended by itself.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let _ = child.wait();
    }
}

//! A real launch agent as a process.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use wbk_fake_wandb::FakeWandb;

use super::place::Place;
use super::rights::Mode;
use super::sdk::Sdk;

/// A running agent. It ends with this value.
pub struct Agent {
    child: Mutex<Child>,
    log: PathBuf,
    home: tempfile::TempDir,
}

impl Agent {
    /// Starts it: the SDK's own program, a home with nothing in it but the account's kubeconfig, and no environment of the user's.
    pub fn start(sdk: &Sdk, place: &Place, server: &FakeWandb, entity: &str, queue: &str) -> Self {
        let home = tempfile::tempdir().expect("a temporary folder");
        let kube = home.path().join(".kube");
        std::fs::create_dir(&kube).expect("a folder");
        std::fs::write(kube.join("config"), place.kubeconfig.to_string()).expect("a kubeconfig");
        let config = home.path().join("launch-config.yaml");
        let text = format!(
            "entity: {entity}\nqueues: [{queue}]\nmax_jobs: 4\nstopped_run_timeout: 5\nbuilder: {{type: noop}}\nverbosity: 2\n"
        );
        std::fs::write(&config, text).expect("a launch config");
        let log = home.path().join("agent.log");
        let out = std::fs::File::create(&log).expect("a log");
        let mut command = Command::new(sdk.wandb());
        command
            .args(["launch-agent", "--config"])
            .arg(&config)
            .current_dir(home.path())
            .env_clear()
            .env("PATH", format!("{}:/usr/local/bin:/usr/bin:/bin", sdk.bin.display()))
            .env("HOME", home.path())
            .env("WANDB_BASE_URL", server.url())
            .env("WANDB_API_KEY", server.key())
            // Nothing is told to anybody outside this machine.
            .env("WANDB_ERROR_REPORTING", "false")
            .env("NO_PROXY", "127.0.0.1,localhost")
            .stdin(Stdio::null())
            .stdout(out.try_clone().expect("a log"))
            .stderr(out);
        if place.mode == Mode::Helm {
            command.env("WANDB_RELEASE_NAME", super::place::RELEASE);
        }
        // A group of its own: the agent's own service process ends with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        let child = command.spawn().unwrap_or_else(|error| panic!("cannot start {}: {error}", sdk.wandb().display()));
        Self { child: Mutex::new(child), log, home }
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
        let log = std::fs::read_to_string(&self.log).unwrap_or_else(|error| error.to_string());
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

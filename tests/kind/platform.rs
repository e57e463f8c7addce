//! The platform under test: one kind cluster of the test's own, and the program that keeps it.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::Value;

use crate::support::home::{Home, Run};

/// The kubelet tells of changed devices with its next status, 10 s later at most; the rest is for busy machines.
pub const PATIENCE: Duration = Duration::from_secs(120);

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/kind");

pub struct Platform {
    home: Home,
    pub name: String,
    files: Vec<String>,
    environment: Vec<(String, String)>,
}

impl Platform {
    pub fn new(what: &str) -> Self {
        let home = Home::new();
        let name = format!("{what}-{}", std::process::id());
        // A cluster of the test's own, whatever the blueprint is called.
        let mut overlay = format!("cluster: {{name: {name}");
        if let Ok(image) = std::env::var("WBK_KIND_IMAGE") {
            overlay.push_str(&format!(", kind: {{image: {image:?}}}"));
        }
        overlay.push_str("}\n");
        let overlay = home.write("overlay.yaml", &overlay);
        let blueprint = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/kind-gpu.yaml");
        let files = vec![blueprint.to_owned(), overlay.display().to_string()];
        Self { home, name, files, environment: Vec::new() }
    }

    /// From now on the blueprint has this laid over it.
    pub fn lay(&mut self, name: &str, text: &str) {
        let path = self.home.write(name, text).display().to_string();
        if !self.files.contains(&path) {
            self.files.push(path);
        }
    }

    /// From now on the program is given this variable.
    pub fn give(&mut self, name: &str, value: &str) {
        self.environment.push((name.into(), value.into()));
    }

    /// A file of tests/kind/plans, to be laid over the blueprint.
    pub fn overlay(&self, name: &str) -> String {
        format!("{FOLDER}/plans/{name}")
    }

    pub fn run(&self, command: &str, more: &[&str]) -> Run {
        self.run_with(&[], command, more)
    }

    /// Runs the program with overlays after those of the platform.
    pub fn run_with(&self, overlays: &[String], command: &str, more: &[&str]) -> Run {
        let files = self.files.iter().chain(overlays).flat_map(|file| ["--file", file.as_str()]);
        let arguments: Vec<&str> = [command].into_iter().chain(files).chain(more.iter().copied()).collect();
        self.finish(&arguments)
    }

    /// Runs the program with the files last: for commands of commands.
    pub fn say(&self, words: &[&str]) -> Run {
        let files = self.files.iter().flat_map(|file| ["--file", file.as_str()]);
        self.finish(&words.iter().copied().chain(files).collect::<Vec<_>>())
    }

    fn finish(&self, arguments: &[&str]) -> Run {
        let mut command = self.home.command(arguments);
        for (name, value) in &self.environment {
            command.env(name, value);
        }
        Home::finish(&mut command)
    }

    pub fn engine(&self, arguments: &[&str]) -> Run {
        let engine = std::env::var("KIND_EXPERIMENTAL_PROVIDER").unwrap_or_else(|_| "docker".into());
        Home::finish(Command::new(engine).args(arguments))
    }

    /// The node of a pool that has one, without the cluster's name.
    pub fn on_node(&self, node: &str, script: &str) -> Run {
        self.engine(&["exec", &format!("{}-{node}", self.name), "sh", "-c", script]).expect(0)
    }

    pub fn kubectl(&self, arguments: &str) -> Run {
        self.on_node("control-plane", &format!("kubectl --kubeconfig=/etc/kubernetes/admin.conf {arguments}"))
    }

    /// Makes what a file of tests/kind/live says, with the image that is on every node.
    pub fn make(&self, name: &str) {
        let path = Path::new(FOLDER).join("live").join(name);
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let text = text.replace("IMAGE", &wbk_provider_kind::fake_gpu::image());
        self.kubectl(&format!("apply -f - <<'END'\n{text}\nEND"));
    }

    /// What `verify` says of some checks: the outcome of each, and everything else as text.
    pub fn verdicts(&self, checks: &[&str]) -> Vec<(String, String)> {
        self.verdicts_with(checks, &[])
    }

    /// The same with more words.
    pub fn verdicts_with(&self, checks: &[&str], more: &[&str]) -> Vec<(String, String)> {
        let only: Vec<&str> = checks.iter().flat_map(|check| ["--only", check]).collect();
        let run = self.run("verify", &[only.as_slice(), &["--output", "json"], more].concat());
        let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("no report: {}", run.all()));
        let verdict = |check: &&str| {
            let found = report["checks"].as_array().into_iter().flatten().find(|found| found["id"] == *check);
            let found = found.unwrap_or_else(|| panic!("there is no check {check}: {}", run.all()));
            (found["outcome"].as_str().unwrap_or_default().to_owned(), found.to_string())
        };
        checks.iter().map(verdict).collect()
    }

    /// Everything that a fault can spoil and that needs no pod of its own to be seen, awaited.
    ///
    /// # Errors
    /// It is not healthy again within the patience; what is wrong.
    pub fn wait_until_healthy(&self) -> Result<(), String> {
        let of_nodes = ["nodes", "gpus.allocatable", "gpus.advertiser", "gpus.labels"];
        let of_objects = ["quota", "limits", "priorities", "releases"];
        let only: Vec<&str> = of_nodes.into_iter().chain(of_objects).flat_map(|part| ["--only", part]).collect();
        let deadline = Instant::now() + PATIENCE;
        loop {
            let run = self.run("verify", &only);
            if run.code == 0 {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(format!("it is not healthy again: {}", run.all()));
            }
        }
    }
}

impl Drop for Platform {
    fn drop(&mut self) {
        let run = self.run("destroy", &["--delete", "all", "--yes"]);
        if run.code != 0 {
            eprintln!("left behind: {}", run.all());
        }
    }
}

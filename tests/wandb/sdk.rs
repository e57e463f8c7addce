//! Pinned releases of the `wandb` package, each in a virtual environment of the test cache.

use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::support::assets;

/// The newest release, and the oldest that is claimed to work (the default of W&B's own chart).
pub const NEWEST: &str = "0.31.0";
pub const OLDEST: &str = "0.17.3";

/// Which python makes the environments, where it is not `python3`. Both SDKs run on 3.11.
const PYTHON_VARIABLE: &str = "WBK_INFRA_TEST_PYTHON";

/// An installed release.
pub struct Sdk {
    /// Its version.
    pub version: String,
    /// The folder of its programs.
    pub bin: PathBuf,
}

impl Sdk {
    /// The release, installed once for a machine with pip and the user's own configuration of it (`PIP_INDEX_URL`, `pip.conf`).
    ///
    /// # Panics
    /// It cannot be had: a test that proves nothing must not look like one that passed.
    pub fn provide(version: &str) -> Self {
        let root = assets::cache_home().join("wbk-infra").join("wandb");
        std::fs::create_dir_all(&root).expect("a folder in the cache");
        // Two test runs at once share one installation.
        let lock = File::create(root.join(format!("{version}.lock"))).expect("a lock file");
        lock.lock().expect("the lock of the installation");
        let folder = root.join(version);
        let found = Self { version: version.into(), bin: folder.join("bin") };
        let mark = folder.join("complete");
        if mark.exists() && found.bin.join("wandb").exists() {
            return found;
        }
        if folder.exists() {
            std::fs::remove_dir_all(&folder).expect("the half-made installation can be removed");
        }
        let python = std::env::var(PYTHON_VARIABLE).unwrap_or_else(|_| "python3".into());
        eprintln!("  installing wandb[launch] {version} into {} (pip, your index)", folder.display());
        run(version, Command::new(&python).args(["-m", "venv"]).arg(&folder));
        let package = format!("wandb[launch]=={version}");
        // Compiled when it is imported: most of what the package needs never is.
        let pip = ["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check", package.as_str()];
        run(version, Command::new(found.bin.join("python")).args(pip));
        std::fs::write(&mark, version).expect("a mark");
        found
    }

    /// Its program.
    pub fn wandb(&self) -> PathBuf {
        self.bin.join("wandb")
    }
}

fn run(version: &str, command: &mut Command) {
    let shown = Path::new(command.get_program()).display().to_string();
    let done = command.stdin(Stdio::null()).output().unwrap_or_else(|error| {
        panic!("this test needs wandb {version}: {shown} does not start: {error}\nhint: install python 3.11 with venv, or name one in {PYTHON_VARIABLE}")
    });
    if !done.status.success() {
        let said = String::from_utf8_lossy(&done.stderr);
        let tail: Vec<&str> = said.lines().rev().take(12).collect();
        let tail: Vec<&str> = tail.into_iter().rev().collect();
        panic!(
            "this test needs wandb {version}, which could not be installed:\n{}\nhint: pip must reach a package index (PIP_INDEX_URL, pip.conf, HTTPS_PROXY)",
            tail.join("\n")
        );
    }
}

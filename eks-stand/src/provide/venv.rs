//! moto, microburst and the aws CLI: one python environment of pinned packages.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::{Tell, lock, run};
use crate::{Settings, StandError};

/// What is installed. moto and the CLI each allow many releases of boto; without the last two pip tries a hundred of them.
const PACKAGES: [&str; 5] = [
    "moto[autoscaling,ec2,iam,server,ssm,sts]==5.2.5",
    "microburst==0.10.0",
    "awscli==1.45.11",
    "boto3==1.43.11",
    "botocore==1.43.11",
];
/// Names the folder; changed with the packages.
const NAME: &str = "python-moto-5.2.5";
const HINT: &str = "python 3.11 with venv is needed (WBK_INFRA_TEST_PYTHON names another), and pip must reach a package index \
                    (PIP_INDEX_URL, pip.conf, HTTPS_PROXY)";

/// The environment's programs.
#[derive(Debug, Clone)]
pub(crate) struct Venv {
    bin: PathBuf,
}

impl Venv {
    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.bin.join(name)
    }
}

/// The environment, made if it is not there. Blocks for a minute or two when it is made (250 MB).
pub(crate) fn venv(settings: &Settings, tell: Tell<'_>) -> Result<Venv, StandError> {
    let root = settings.cache.join("aws");
    let folder = root.join(NAME);
    let _lock = lock(&root.join(format!("{NAME}.lock")), tell)?;
    let venv = Venv { bin: folder.join("bin") };
    let mark = folder.join("complete");
    if is_complete(&mark) {
        return Ok(venv);
    }
    if folder.exists() {
        std::fs::remove_dir_all(&folder).map_err(StandError::file("remove", &folder))?;
    }
    tell(&format!("installing moto, microburst and the aws CLI into {} (pip, your index)", folder.display()));
    let what = "a python environment";
    run(what, HINT, Command::new(&settings.python).args(["-m", "venv"]).arg(&folder))?;
    // Compiled when it is imported: most of what these packages need never is.
    let pip = ["-m", "pip", "install", "--quiet", "--no-compile", "--disable-pip-version-check"];
    run("moto and the aws CLI", HINT, Command::new(venv.program("python")).args(pip).args(PACKAGES))?;
    std::fs::write(&mark, PACKAGES.join("\n")).map_err(StandError::file("write", &mark))?;
    Ok(venv)
}

fn is_complete(mark: &Path) -> bool {
    std::fs::read_to_string(mark).is_ok_and(|has| has == PACKAGES.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn without_a_python_it_says_what_is_missing() {
        let cache = tempfile::tempdir().unwrap();
        let mut settings = Settings::of_environment();
        settings.cache = cache.path().to_owned();
        settings.python = "/nowhere/python".into();
        let said = venv(&settings, &|_| {}).unwrap_err().to_string();
        assert!(said.contains("could not be provided") && said.contains("WBK_INFRA_TEST_PYTHON"), "{said}");
    }
}

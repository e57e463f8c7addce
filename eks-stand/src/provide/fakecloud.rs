//! fakecloud, an emulator under the AGPL: built from the crate registry, once, and only ever run as a process.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use super::{Tell, last_lines, lock};
use crate::{Settings, StandError};

/// The version whose behaviour the quirks were measured against.
const VERSION: &str = "0.51.0";
/// Crates in its lock file.
const ABOUT_CRATES: usize = 790;
/// Crates between two words of progress.
const STEP: usize = 50;

/// The program: the one that the settings name, the cached one, or one that is built now (about 20 minutes on two cores, 2.5 GiB
/// of space meanwhile). Interrupted, the next build goes on.
pub(crate) fn fakecloud(settings: &Settings, tell: Tell<'_>) -> Result<PathBuf, StandError> {
    if let Some(given) = &settings.fakecloud {
        return is_file(given).then(|| given.clone()).ok_or_else(|| StandError::Provide {
            program: "fakecloud".into(),
            said: format!("{} is no file", given.display()),
            hint: "WBK_INFRA_FAKECLOUD names a ready binary; without it one is built".into(),
        });
    }
    let root = settings.cache.join("aws");
    let folder = root.join(format!("fakecloud-{VERSION}"));
    let program = folder.join("bin").join("fakecloud");
    let _lock = lock(&root.join(format!("fakecloud-{VERSION}.lock")), tell)?;
    if !is_file(&program) {
        let target = root.join(format!("fakecloud-{VERSION}-target"));
        tell(&format!("building fakecloud {VERSION} into {}: about 20 minutes on two cores, once", folder.display()));
        // cargo puts the program in place when it is whole.
        build(&folder, &target, tell)?;
        std::fs::remove_dir_all(&target).map_err(StandError::file("remove", &target))?;
    }
    Ok(program)
}

fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file())
}

fn build(folder: &Path, target: &Path, tell: Tell<'_>) -> Result<(), StandError> {
    let failed = |said: String| StandError::Provide {
        program: format!("fakecloud {VERSION}"),
        said,
        hint: "cargo must reach the crate registry; or name a ready binary in WBK_INFRA_FAKECLOUD".into(),
    };
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut child = Command::new(cargo)
        .args(["install", "fakecloud", "--version", VERSION, "--locked", "--root"])
        .arg(folder)
        .env("CARGO_TARGET_DIR", target)
        // Its own release profile optimises for an hour; nobody measures the emulator.
        .env("CARGO_PROFILE_RELEASE_LTO", "off")
        .env("CARGO_PROFILE_RELEASE_OPT_LEVEL", "1")
        .env("CARGO_PROFILE_RELEASE_CODEGEN_UNITS", "16")
        .env("CARGO_TERM_COLOR", "never")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| failed(error.to_string()))?;
    let mut said = Vec::new();
    let mut crates = 0;
    // What cannot be read is only missing from the message; the exit status decides.
    for line in child.stderr.take().into_iter().flat_map(|stderr| BufReader::new(stderr).lines()).map_while(Result::ok)
    {
        if line.trim_start().starts_with("Compiling ") {
            crates += 1;
            if crates % STEP == 0 {
                tell(&format!("building fakecloud: {crates} of about {ABOUT_CRATES} crates"));
            }
        } else {
            said.push(line);
        }
    }
    let status = child.wait().map_err(|error| failed(error.to_string()))?;
    if status.success() { Ok(()) } else { Err(failed(last_lines(&said.join("\n")))) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_that_was_named_and_is_not_there_is_refused_and_not_built() {
        let mut settings = Settings::of_environment();
        settings.cache = tempfile::tempdir().unwrap().path().to_owned();
        settings.fakecloud = Some("/nowhere/fakecloud".into());
        let said = fakecloud(&settings, &|line| panic!("{line}")).unwrap_err().to_string();
        assert!(said.contains("/nowhere/fakecloud is no file") && said.contains("WBK_INFRA_FAKECLOUD"), "{said}");
    }
}

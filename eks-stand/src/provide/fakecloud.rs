//! fakecloud, an emulator under the AGPL: five of its services built from the crate registry, once, and only ever run as a process.
//!
//! Its own program has a hundred services, of which the stand asks five; built with little optimisation it takes 35 minutes of
//! processor time. `eks-stand/fakecloud` is a program of its own around those, with a lock file of its own and fakecloud's licence.

use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::{Tell, last_lines, lock};
use crate::{Settings, StandError};

/// The version whose behaviour the quirks were measured against.
const VERSION: &str = "0.51.0";
/// Crates that are compiled.
const ABOUT_CRATES: usize = 240;
/// Crates between two words of progress.
const STEP: usize = 40;

/// The program's name.
const PROGRAM: &str = "fakecloud-in-part";
/// The files that it is built from.
const FILES: [(&str, &str); 3] = [
    ("Cargo.toml", include_str!("../../fakecloud/Cargo.toml")),
    ("Cargo.lock", include_str!("../../fakecloud/Cargo.lock")),
    ("src/main.rs", include_str!("../../fakecloud/src/main.rs")),
];

/// The program: the one that the settings name, the cached one, or one that is built now. Interrupted, the next build goes on.
pub(crate) fn fakecloud(settings: &Settings, tell: Tell<'_>) -> Result<PathBuf, StandError> {
    if let Some(given) = &settings.fakecloud {
        return is_file(given).then(|| given.clone()).ok_or_else(|| StandError::Provide {
            program: "fakecloud".into(),
            said: format!("{} is no file", given.display()),
            hint: "WBK_INFRA_FAKECLOUD names a ready binary; without it one is built".into(),
        });
    }
    let root = settings.cache.join("aws");
    // Another lock file or another main is another program.
    let name = format!("fakecloud-{VERSION}-{}", digest());
    let program = root.join(&name).join(PROGRAM);
    let _lock = lock(&root.join(format!("{name}.lock")), tell)?;
    if !is_file(&program) {
        let work = root.join(format!("{name}-build"));
        tell(&format!("building fakecloud {VERSION} into {}: about 3 minutes on two cores, once", program.display()));
        let built = build(&work, tell)?;
        // In place when it is whole: a copy beside it is renamed.
        let folder = root.join(&name);
        std::fs::create_dir_all(&folder).map_err(StandError::file("create", &folder))?;
        let whole = folder.join(format!("{PROGRAM}.new"));
        std::fs::copy(&built, &whole).map_err(StandError::file("copy", &built))?;
        std::fs::rename(&whole, &program).map_err(StandError::file("rename", &whole))?;
        std::fs::remove_dir_all(&work).map_err(StandError::file("remove", &work))?;
    }
    Ok(program)
}

fn is_file(path: &Path) -> bool {
    std::fs::metadata(path).is_ok_and(|meta| meta.is_file())
}

fn digest() -> String {
    let mut digest = Sha256::new();
    for (name, text) in FILES {
        digest.update(name);
        digest.update(text);
    }
    digest.finalize()[..4].iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Builds it in a folder; answers where the program is.
fn build(work: &Path, tell: Tell<'_>) -> Result<PathBuf, StandError> {
    let failed = |said: String| StandError::Provide {
        program: format!("fakecloud {VERSION}"),
        said,
        hint: "cargo must reach the crate registry; or name a ready binary in WBK_INFRA_FAKECLOUD".into(),
    };
    for (name, text) in FILES {
        let file = work.join(name);
        let folder = file.parent().unwrap_or(work);
        std::fs::create_dir_all(folder).map_err(StandError::file("create", folder))?;
        std::fs::write(&file, text).map_err(StandError::file("write", &file))?;
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let target = work.join("target");
    let mut child = Command::new(cargo)
        .args(["build", "--locked", "--manifest-path"])
        .arg(work.join("Cargo.toml"))
        .arg("--target-dir")
        .arg(&target)
        .env("CARGO_TERM_COLOR", "never")
        // What whoever runs the tests says about their own build is not about this one.
        .env_remove("CARGO_TARGET_DIR")
        .env_remove("CARGO_BUILD_TARGET")
        .env_remove("RUSTFLAGS")
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
    if status.success() { Ok(target.join("debug").join(PROGRAM)) } else { Err(failed(last_lines(&said.join("\n")))) }
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

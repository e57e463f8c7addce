//! helm on the search path, where it is new enough.

use std::path::Path;
use std::process::{Command, Stdio};

use super::{Found, Program, Source};
use crate::Settings;

/// 3.14 is the first whose `--hide-secret` and server-side dry run can be relied on.
const OLDEST: (u64, u64) = (3, 14);

/// helm on PATH; or in words why not.
pub(super) fn on_path(settings: &Settings) -> Result<Found, String> {
    let path = settings.which("helm").ok_or("helm is not on PATH")?;
    let version = version_of(&path, settings)?;
    if new_enough(&version) {
        return Ok(Found {
            program: Program::Helm,
            version: Some(version),
            path,
            source: Source::Path,
            verified: None,
        });
    }
    Err(format!("{} is {version}, older than {}.{}", path.display(), OLDEST.0, OLDEST.1))
}

fn version_of(helm: &Path, settings: &Settings) -> Result<String, String> {
    let output = Command::new(helm)
        .args(["version", "--template", "{{.Version}}"])
        // Nothing else of this environment, which may hold secrets, is for a program that only says its version.
        .env_clear()
        .env("PATH", std::env::join_paths(&settings.path).unwrap_or_default()) // It came from such a list.
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| format!("{} cannot be started: {error}", helm.display()))?;
    let text = String::from_utf8_lossy(&output.stdout).trim().trim_start_matches('v').to_owned();
    if output.status.success() && parse(&text).is_some() {
        Ok(text)
    } else {
        Err(format!("{} does not tell its version", helm.display()))
    }
}

fn parse(version: &str) -> Option<(u64, u64)> {
    let mut parts = version.split(['.', '+', '-']);
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn new_enough(version: &str) -> bool {
    parse(version).is_some_and(|found| found >= OLDEST)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_by_number() {
        for good in ["3.14.0", "3.20.1", "4.2.4", "4.0.0-rc.1+g123"] {
            assert!(new_enough(good), "{good}");
        }
        for bad in ["3.9.0", "2.17.0", "", "main"] {
            assert!(!new_enough(bad), "{bad}");
        }
    }
}

//! `ci init`: a nightly drift check for a user's blueprint, as a script that runs anywhere and a workflow that runs the script.

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

use super::session::{Session, out};
use crate::cli::{
    args::{BlueprintArgs, CiCommand},
    failure::{Exit, Failure},
    situation::{files, read},
};

const SCRIPT: &str = include_str!("../ci/drift.sh");
const WORKFLOW: &str = include_str!("../ci/drift.yml");

/// Where the two files go, from the root of the repository.
const SCRIPT_PATH: &str = "scripts/wbk-infra-drift.sh";
const WORKFLOW_PATH: &str = ".github/workflows/wbk-infra-drift.yml";

/// `ci …`.
pub fn ci(session: &Session<'_>, command: &CiCommand) -> Result<Exit, Failure> {
    let CiCommand::Init { blueprint, directory, schedule, force } = command;
    init(session, blueprint, directory, schedule, *force)
}

fn init(
    session: &Session<'_>,
    blueprint: &BlueprintArgs,
    root: &Path,
    schedule: &str,
    force: bool,
) -> Result<Exit, Failure> {
    let files = files(blueprint)?;
    // A blueprint that is wrong shall be known today, not tonight.
    let desired = read(&files, session.environment)?;
    if schedule.split_whitespace().count() != 5 || schedule.contains(['"', '\\', '\n']) {
        return Err(Failure::usage(format!("{schedule:?} is no cron schedule: minute, hour, day, month, day of week")));
    }
    let mut arguments = Vec::new();
    for file in &files {
        arguments.push(format!("--file {}", quoted(&relative(root, file)?)));
    }
    let fill = |template: &str| {
        template
            .replace("@NAME@", &desired.name)
            .replace("@SCRIPT@", SCRIPT_PATH)
            .replace("@ROOT@", "..")
            .replace("@FILES@", &arguments.join(" "))
            .replace("@SCHEDULE@", schedule)
    };
    let written = [(SCRIPT_PATH, fill(SCRIPT), 0o755), (WORKFLOW_PATH, fill(WORKFLOW), 0o644)];
    let there: Vec<&str> =
        written.iter().map(|(path, ..)| *path).filter(|path| root.join(path).symlink_metadata().is_ok()).collect();
    if !there.is_empty() && !force {
        let error = anyhow::anyhow!("nothing was written: {} is there already", there.join(" and "));
        return Err(Failure::hinted(error, "write over it with --force, or name another --directory"));
    }
    for (path, text, mode) in written {
        let path = root.join(path);
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
        }
        std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode))
            .with_context(|| format!("set the mode of {}", path.display()))?;
        out(&path.display().to_string());
    }
    if !session.global.quiet {
        anstream::eprintln!(
            "Set the repository variable WBK_INFRA_URL (where the program is) and the secret WBK_INFRA_KUBECONFIG."
        );
    }
    Ok(Exit::Done)
}

/// A file as the script, which works in the root, names it.
fn relative(root: &Path, file: &Path) -> Result<PathBuf, Failure> {
    let absolute = |path: &Path| {
        std::fs::canonicalize(path).with_context(|| format!("find {}", path.display())).map_err(Failure::from)
    };
    let (root, file) = (absolute(root)?, absolute(file)?);
    file.strip_prefix(&root).map(Path::to_owned).map_err(|_| {
        Failure::hinted(
            anyhow::anyhow!(
                "{} is not below {}, so that a checkout of it has no blueprint",
                file.display(),
                root.display()
            ),
            "name the repository's root: --directory FOLDER",
        )
    })
}

/// As one word of a shell.
fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    if text.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c)) && !text.starts_with('-') {
        return text.into_owned();
    }
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_one_word_whatever_they_hold() {
        assert_eq!(quoted(Path::new("blueprints/kind-gpu.yaml")), "blueprints/kind-gpu.yaml");
        assert_eq!(quoted(Path::new("it's here/$(x).yaml")), r"'it'\''s here/$(x).yaml'");
    }
}

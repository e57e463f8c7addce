//! The image of the fake GPU plugin, which no registry has: given by the user, of the cache, or built by cargo from the sources
//! that this program carries.
//!
//! The image's tag is a digest of those sources, so that another version is another image, and its name is under `localhost/`:
//! no pull ever leaves the machine.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use wbk_provider_api::{Progress, ProgressSink};

use crate::command::{Call, run};
use crate::{KindError, Settings};

/// A cold release build took 4 minutes on two busy cores; the rest is for downloads.
const BUILD: Duration = Duration::from_secs(1800);
/// The program writes its image in a fraction of a second.
const WRITE: Duration = Duration::from_secs(60);

/// The crate's files. Its lock file is the workspace's: cargo takes the versions of what it needs from it.
const SOURCES: &[(&str, &str)] = &[
    ("Cargo.toml", include_str!("../../../fake-gpu/Cargo.toml")),
    ("build.rs", include_str!("../../../fake-gpu/build.rs")),
    ("src/api.rs", include_str!("../../../fake-gpu/src/api.rs")),
    ("src/cdi.rs", include_str!("../../../fake-gpu/src/cdi.rs")),
    ("src/config.rs", include_str!("../../../fake-gpu/src/config.rs")),
    ("src/devices.rs", include_str!("../../../fake-gpu/src/devices.rs")),
    ("src/image.rs", include_str!("../../../fake-gpu/src/image.rs")),
    ("src/label_node.rs", include_str!("../../../fake-gpu/src/label_node.rs")),
    ("src/labels.rs", include_str!("../../../fake-gpu/src/labels.rs")),
    ("src/lib.rs", include_str!("../../../fake-gpu/src/lib.rs")),
    ("src/main.rs", include_str!("../../../fake-gpu/src/main.rs")),
    ("src/model.rs", include_str!("../../../fake-gpu/src/model.rs")),
    ("src/plugin.rs", include_str!("../../../fake-gpu/src/plugin.rs")),
    ("src/serve.rs", include_str!("../../../fake-gpu/src/serve.rs")),
    ("src/smi.rs", include_str!("../../../fake-gpu/src/smi.rs")),
];
const LOCK: &str = include_str!("../../../Cargo.lock");

/// Makes it a workspace of its own, small and with no symbols.
const ALONE: &str = "\n[workspace]\n\n[profile.release]\nopt-level = \"s\"\nstrip = true\npanic = \"abort\"\n";

/// The image's name, always the same for the same sources.
pub fn image() -> String {
    let mut digest = Sha256::new();
    for (path, text) in SOURCES {
        digest.update(path.len().to_le_bytes());
        digest.update(path);
        digest.update(text.len().to_le_bytes());
        digest.update(text);
    }
    let hex: String = digest.finalize().iter().take(6).map(|byte| format!("{byte:02x}")).collect();
    format!("localhost/wbk-fake-gpu:{hex}")
}

/// An archive that holds the image, for `kind load image-archive` or `docker load`.
///
/// # Errors
/// There is no cargo, or the build fails; the image is another one.
pub async fn archive(settings: &Settings, wanted: &str, progress: ProgressSink<'_>) -> Result<PathBuf, KindError> {
    let own = image();
    if wanted != own {
        return Err(KindError::Refused {
            what: format!("the image {wanted} is not one that this program can make ({own} is)"),
            hint: "plan again".into(),
        });
    }
    let folder = settings.cache_dir.join("fake-gpu").join(own.rsplit(':').next().unwrap_or_default());
    // A program that was given may be another at the next time, and what it makes must never pass for what the sources make.
    let archive = folder.join(if settings.fake_gpu.is_some() { "given.tar" } else { "image.tar" });
    if archive.is_file() && settings.fake_gpu.is_none() {
        return Ok(archive);
    }
    std::fs::create_dir_all(&folder).map_err(KindError::file("create directory", &folder))?;
    let program = match &settings.fake_gpu {
        Some(given) => given.clone(),
        None => program(settings, &folder, progress).await?,
    };
    let new = folder.join(format!(".image-{}.tar", std::process::id()));
    let call = Call {
        program: &program,
        args: vec!["image".into(), new.display().to_string(), own.clone()],
        variables: Vec::new(),
        within: WRITE,
    };
    run(settings, call, None).await?;
    std::fs::rename(&new, &archive).map_err(KindError::file("write", &archive))?;
    Ok(archive)
}

/// The static program, built if it is not there yet.
async fn program(settings: &Settings, folder: &Path, progress: ProgressSink<'_>) -> Result<PathBuf, KindError> {
    let program = folder.join("wbk-fake-gpu");
    if program.is_file() {
        return Ok(program);
    }
    let missing = |tried: &str| KindError::NoProgram {
        program: "wbk-fake-gpu".into(),
        tried: tried.into(),
        hint: "install Rust (https://rustup.rs), or give the program: WBK_INFRA_FAKE_GPU=FILE".into(),
    };
    if !settings.builds {
        return Err(missing("it is not in the cache"));
    }
    let cargo =
        settings.which("cargo").ok_or_else(|| missing("it is not in the cache, and PATH has no cargo to build it"))?;
    progress(Progress("building the fake GPU plugin (once, some minutes)".into()));
    let sources = folder.join("source");
    unpack(&sources)?;
    let target = host_target();
    let call = Call {
        program: &cargo,
        args: ["build", "--release", "--bin", "wbk-fake-gpu", "--target", target.as_str(), "--manifest-path"]
            .map(str::to_owned)
            .into_iter()
            .chain([sources.join("Cargo.toml").display().to_string()])
            .collect(),
        variables: vec![
            // Static, so that it runs in an image without anything else and in anybody's container.
            ("RUSTFLAGS", "-C target-feature=+crt-static".into()),
            ("CARGO_TARGET_DIR", folder.join("target").display().to_string()),
            ("CARGO_TERM_COLOR", "never".into()),
        ],
        within: BUILD,
    };
    run(settings, call, Some(progress)).await?;
    let built = folder.join("target").join(&target).join("release/wbk-fake-gpu");
    std::fs::copy(&built, &program).map_err(KindError::file("copy", &built))?;
    // Half a gigabyte that nobody needs again; that it cannot be removed costs space alone.
    let _ = std::fs::remove_dir_all(folder.join("target"));
    Ok(program)
}

fn unpack(folder: &Path) -> Result<(), KindError> {
    let write = |path: PathBuf, text: &str| {
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(KindError::file("create directory", parent))?;
        }
        std::fs::write(&path, text).map_err(KindError::file("write", &path))
    };
    for (path, text) in SOURCES {
        write(folder.join(path), text)?;
    }
    write(folder.join("Cargo.toml"), &format!("{}{ALONE}", SOURCES[0].1))?;
    write(folder.join("Cargo.lock"), LOCK)
}

/// The triple of a static program for this machine's processor. Node images are Linux everywhere; on another system a cross
/// compiler would be needed, and the user gives the program instead.
fn host_target() -> String {
    format!("{}-unknown-linux-gnu", std::env::consts::ARCH)
}

/// Files of the crate that are not carried; a test holds the list complete.
#[doc(hidden)]
pub fn carried() -> BTreeSet<&'static str> {
    SOURCES.iter().map(|(path, _)| *path).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_source_of_the_crate_is_carried() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fake-gpu");
        let mut found = BTreeSet::from(["Cargo.toml".to_owned(), "build.rs".to_owned()]);
        for entry in std::fs::read_dir(root.join("src")).unwrap() {
            found.insert(format!("src/{}", entry.unwrap().file_name().to_str().unwrap()));
        }
        assert_eq!(found, carried().into_iter().map(str::to_owned).collect());
    }

    #[test]
    fn the_image_is_named_by_its_sources_and_never_leaves_this_machine() {
        assert_eq!(image(), image());
        assert!(image().starts_with("localhost/wbk-fake-gpu:"), "{}", image());
    }

    #[tokio::test]
    async fn what_a_given_program_makes_is_not_kept_for_those_who_give_none() {
        use std::os::unix::fs::PermissionsExt as _;
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("given");
        let mut settings = Settings::new(folder.path(), folder.path().join("cache"));
        settings.builds = false;
        settings.fake_gpu = Some(program.clone());
        for made in ["one", "two"] {
            std::fs::write(&program, format!("#!/bin/sh\nprintf {made} >\"$2\"\n")).unwrap();
            std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
            let archive = archive(&settings, &image(), &|_| {}).await.unwrap();
            assert_eq!(std::fs::read_to_string(archive).unwrap(), made);
        }
        settings.fake_gpu = None;
        let error = archive(&settings, &image(), &|_| {}).await.unwrap_err().to_string();
        assert!(error.contains("not in the cache"), "{error}");
    }

    #[test]
    fn the_unpacked_crate_is_a_workspace_of_its_own() {
        let folder = tempfile::tempdir().unwrap();
        unpack(folder.path()).unwrap();
        let manifest = std::fs::read_to_string(folder.path().join("Cargo.toml")).unwrap();
        assert!(manifest.contains("[workspace]") && !manifest.contains(".workspace = true"), "{manifest}");
        assert!(folder.path().join("src/main.rs").is_file() && folder.path().join("Cargo.lock").is_file());
    }
}

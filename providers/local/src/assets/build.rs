//! Builds all programs as one binary from Go modules: the source is in this crate, `go.sum` verifies what it needs.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use sha2::{Digest as _, Sha256};

use super::pins::Build;
use super::{AssetEvent, AssetSink, Program, Source, cache};
use crate::{LocalError, Settings, files};

const SOURCE: [(&str, &str); 3] = [
    ("go.mod", include_str!("../../assets/multicall/go.mod")),
    ("go.sum", include_str!("../../assets/multicall/go.sum")),
    ("main.go", include_str!("../../assets/multicall/main.go")),
];

/// `go build -v` names each package it compiles; with a cold cache all that `go list -deps` counts.
const ABOUT_PACKAGES: u32 = 2_970;

/// Where the build's result is, or will be.
pub(super) fn directory(settings: &Settings, build: &Build) -> PathBuf {
    cache::built_dir(settings, build, &source_digest())
}

fn source_digest() -> String {
    let mut digest = Sha256::new();
    for (name, content) in SOURCE {
        digest.update(name);
        digest.update([0]);
        digest.update(content);
    }
    cache::hex(&digest.finalize()[..6])
}

/// Builds, with the machine's own Go settings (GOPROXY, GOFLAGS and so on). Interrupted, Go's caches keep what was done.
pub(super) fn build(settings: &Settings, go: &Path, build: &Build, sink: AssetSink<'_>) -> Result<(), LocalError> {
    let target = directory(settings, build);
    let parent = cache::root(settings).join("built");
    files::private_dir(&parent)?;
    let work = tempfile::tempdir_in(&parent).map_err(LocalError::file("create a directory in", &parent))?;
    let source = work.path().join("source");
    let staging = work.path().join("staging");
    files::private_dir(&source)?;
    files::private_dir(&staging)?;
    for (name, content) in SOURCE {
        files::write_private(&source.join(name), content.as_bytes())?;
    }
    let binary = staging.join(Program::Etcd.name());
    compile(go, &source, &binary, build, sink)?;
    let mut versions = BTreeMap::new();
    for program in Program::ALL {
        let name = staging.join(program.name());
        if name != binary {
            // Hard links: a program finds its name in argv[0], and one that is deleted leaves the others whole.
            std::fs::hard_link(&binary, &name).map_err(LocalError::file("link", &name))?;
        }
        versions.insert(program, build.version_of(program).to_owned());
    }
    cache::publish(&staging, &target, &versions, Source::Built, "modules by go.sum".into())?;
    sink(AssetEvent::Ready { what: format!("control plane {} (built)", build.kubernetes) });
    Ok(())
}

fn compile(go: &Path, source: &Path, binary: &Path, build: &Build, sink: AssetSink<'_>) -> Result<(), LocalError> {
    let (major, minor) = build.minor.split_once('.').unwrap_or((&build.minor, ""));
    let version = "k8s.io/component-base/version";
    let flags = format!(
        "-s -w -X {version}.gitVersion=v{} -X {version}.gitMajor={major} -X {version}.gitMinor={minor} \
         -X helm.sh/helm/v4/internal/version.version=v{}",
        build.kubernetes, build.helm
    );
    let mut child = Command::new(go)
        .arg("build")
        // One line for each package: the progress.
        .arg("-v")
        // go.sum is complete and must stay what it is; a vendor mode of the machine's GOFLAGS does not apply here.
        .arg("-mod=readonly")
        // The source is in no repository of its own, but may be inside one.
        .arg("-buildvcs=false")
        // No path of this machine in the binary.
        .arg("-trimpath")
        .arg("-ldflags")
        .arg(flags)
        .arg("-o")
        .arg(binary)
        .arg(".")
        .current_dir(source)
        // A static binary needs no C compiler, and runs wherever the cache is carried.
        .env("CGO_ENABLED", "0")
        .env("GOWORK", "off")
        .env("LC_ALL", "C")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|error| LocalError::Spawn { program: go.into(), source: error })?;
    let mut said = Vec::new();
    let (mut modules, mut packages) = (0, 0);
    if let Some(stderr) = child.stderr.take() {
        for line in BufReader::new(stderr).lines() {
            // Whatever cannot be read is only missing from the message; the exit status decides.
            let Ok(line) = line else { break };
            if line.starts_with("go: downloading ") {
                modules += 1;
                sink(AssetEvent::DownloadingModules { count: modules });
            } else if is_package(&line) {
                packages += 1;
                sink(AssetEvent::Compiling { count: packages, about: ABOUT_PACKAGES.max(packages) });
            } else {
                said.push(line);
            }
        }
    }
    let status = child.wait().map_err(|error| LocalError::Spawn { program: go.into(), source: error })?;
    if status.success() {
        return Ok(());
    }
    let last = said[said.len().saturating_sub(12)..].join("\n");
    Err(LocalError::Program { program: format!("go build ({status})"), what: last })
}

fn is_package(line: &str) -> bool {
    !line.is_empty() && !line.contains(' ') && !line.starts_with('#') && !line.ends_with(':')
}

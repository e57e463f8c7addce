//! Charts from a registry and from a repository, with a real helm.

use std::path::{Path, PathBuf};
use std::process::Command;

use wbk_infra::desired::ChartSource;
use wbk_infra::helm::{Helm, HelmError, OriginOfDigest};
use wbk_infra::id::Digest;

use super::server::Server;
use super::{real_helm, repository_file, support};

/// Packs charts/team-tools, and gives the archive.
fn archive(folder: &Path) -> Vec<u8> {
    let output = Command::new(support::helm_program())
        .arg("package")
        .arg(repository_file("charts/team-tools"))
        .arg("--destination")
        .arg(folder)
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(folder.join("team-tools-0.1.0.tgz")).unwrap()
}

fn oci(server: &Server, digest: Option<String>) -> ChartSource {
    ChartSource::Oci {
        reference: format!("oci://{}/charts/team-tools", server.address),
        version: "0.1.0".into(),
        digest,
    }
}

fn repository(server: &Server, digest: Option<String>) -> ChartSource {
    ChartSource::Repository {
        url: format!("http://{}/stable", server.address),
        name: "team-tools".into(),
        version: "0.1.0".into(),
        digest,
    }
}

/// A server with the chart in both forms, and the digest of the archive.
fn serve(archive: &[u8]) -> (Server, Digest, Digest) {
    let server = Server::start();
    let manifest = server.push("charts/team-tools", "team-tools", "0.1.0", archive);
    let digest = Digest::of_bytes(archive);
    let index = format!(
        "apiVersion: v1\nentries:\n  team-tools:\n    - apiVersion: v2\n      name: team-tools\n      version: 0.1.0\n      \
         digest: {digest}\n      urls: [team-tools-0.1.0.tgz]\n"
    );
    server.put("/stable/index.yaml", "text/yaml", index.as_bytes());
    server.put("/stable/team-tools-0.1.0.tgz", "application/gzip", archive);
    (server, digest, manifest)
}

/// Files below a folder, names and contents.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut all = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.unwrap().path();
        if path.is_dir() { all.extend(files(&path)) } else { all.push(path) }
    }
    all
}

async fn helm_with_chart() -> (tempfile::TempDir, Helm, Vec<u8>) {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let archive = archive(home.path());
    (home, helm, archive)
}

#[tokio::test]
async fn a_pinned_chart_is_pulled_once_and_then_found_offline() {
    let (_home, helm, archive) = helm_with_chart().await;
    for source in [oci, repository] {
        let (server, digest, _) = serve(&archive);
        let pinned = source(&server, Some(format!("sha256:{digest}")));
        let chart = helm.chart(&pinned).await.unwrap();
        assert_eq!((&chart.digest, chart.origin), (&digest, OriginOfDigest::Pinned));
        assert_eq!(std::fs::read(&chart.path).unwrap(), archive);
        drop(server);
        assert_eq!(helm.chart(&pinned).await.unwrap(), chart);
        // What is kept is looked at each time: a file that was changed is pulled again.
        std::fs::write(&chart.path, b"something else").unwrap();
        assert!(helm.chart(&pinned).await.is_err());
        std::fs::remove_file(&chart.path).unwrap();
    }
}

#[tokio::test]
async fn an_unpinned_chart_reports_its_digest_and_is_not_asked_for_again() {
    let (_home, helm, archive) = helm_with_chart().await;
    for source in [oci, repository] {
        let (server, digest, _) = serve(&archive);
        let unpinned = source(&server, None);
        let chart = helm.chart(&unpinned).await.unwrap();
        assert_eq!((&chart.digest, chart.origin), (&digest, OriginOfDigest::Found));
        let asked = server.requests();
        assert!(asked > 0);
        assert_eq!(helm.chart(&unpinned).await.unwrap(), chart);
        assert_eq!(server.requests(), asked);
        std::fs::remove_file(&chart.path).unwrap();
    }
}

#[tokio::test]
async fn a_chart_that_is_not_the_pinned_one_is_refused_and_nothing_of_it_is_kept() {
    let (home, helm, archive) = helm_with_chart().await;
    for source in [oci, repository] {
        let (server, digest, manifest) = serve(&archive);
        let wrong = Digest::of_bytes(b"wrong");
        let error = helm.chart(&source(&server, Some(format!("sha256:{wrong}")))).await.unwrap_err();
        let HelmError::DigestMismatch { found, pinned_is_manifest: false, .. } = &error else { panic!("{error:?}") };
        assert_eq!(*found, format!("sha256:{digest}"));
        let kept = files(&home.path().join("helm"));
        assert!(kept.iter().all(|path| std::fs::read(path).unwrap() != archive), "{kept:?}");
        // Helm prints the manifest's digest, and so that is what people copy.
        let error = helm.chart(&source(&server, Some(format!("sha256:{manifest}")))).await.unwrap_err();
        let HelmError::DigestMismatch { pinned_is_manifest, .. } = error else { panic!("{error:?}") };
        assert_eq!(pinned_is_manifest, matches!(source(&server, None), ChartSource::Oci { .. }));
    }
}

#[tokio::test]
async fn a_chart_that_is_not_there_says_so() {
    let (_home, helm, _) = helm_with_chart().await;
    let server = Server::start();
    for source in [oci(&server, None), repository(&server, None)] {
        let error = helm.chart(&source).await.unwrap_err();
        let text = error.to_string();
        assert!(text.contains("team-tools 0.1.0") && matches!(error, HelmError::Failed { .. }), "{text}");
    }
}

//! Charts from registries and repositories, kept by digest in our own cache.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::chart::{LocalChart, OriginOfDigest, read};
use super::command::{Call, Helm, create_private_folder};
use super::error::{HelmError, Started};
use crate::desired::ChartSource;
use crate::id::Digest;

/// A chart on a server.
struct Remote<'a> {
    /// For messages and as the cache's key: source and version.
    reference: String,
    /// What `helm pull` gets.
    args: Vec<&'a str>,
    /// The pin, without `sha256:`.
    pin: Option<String>,
}

impl Helm {
    /// Gets a chart: from its path, from our cache, or from its server by `helm pull`.
    ///
    /// A version that was pulled once is not asked for again, so that plans do not need the network; without a pin, what the
    /// server sent the first time is taken as the truth ([`OriginOfDigest::Found`]).
    ///
    /// # Errors
    /// [`HelmError::NoChart`], [`HelmError::BadReference`], [`HelmError::DigestMismatch`] (nothing of the chart is kept), and
    /// what helm says about a chart it cannot get.
    pub async fn chart(&self, source: &ChartSource) -> Result<LocalChart, HelmError> {
        let place = self
            .places()
            .place(source)
            .map_err(|error| HelmError::BadReference { chart: reference_of(source), problem: error.to_string() })?;
        let remote = match &place {
            ChartSource::Path { path } => return LocalChart::open(Path::new(path)),
            ChartSource::Archive { path, name, version, digest } => {
                return archive(path, &format!("{name} {version}"), digest.as_deref());
            }
            ChartSource::Embedded { name } => return super::embedded::open(&self.home().join("charts"), name),
            ChartSource::Oci { reference, version, digest } => oci(reference, version, digest.as_deref())?,
            ChartSource::Repository { url, name, version, digest } => {
                repository(url, name, version, digest.as_deref())?
            }
        };
        let folder = self.home().join("charts");
        if let Some(chart) = cached(&folder, &remote)? {
            return Ok(chart);
        }
        create_private_folder(&folder)?;
        self.pull(&folder, &remote).await
    }

    /// Pulls into a folder that goes away unless the digest is right.
    async fn pull(&self, folder: &Path, remote: &Remote<'_>) -> Result<LocalChart, HelmError> {
        let scratch = tempfile::Builder::new().prefix("pull-").tempdir_in(folder).map_err(|source| HelmError::Io {
            what: "make a folder in",
            path: folder.to_owned(),
            source,
        })?;
        let target = scratch.path().join("chart");
        create_private_folder(&target)?;
        let mut args: Vec<OsString> = vec!["pull".into()];
        args.extend(remote.args.iter().map(OsString::from));
        args.extend(["--destination".into(), target.clone().into_os_string()]);
        let printed = self
            .run(Call {
                what: format!("pull chart {}", remote.reference),
                args,
                started: Started::ReadOnly,
                deadline: self.deadline(),
                cluster: None,
                // Helm keeps what it pulled in its cache, before anybody looked at the digest.
                cache: Some(&scratch.path().join("cache")),
            })
            .await?;
        let archive = only_archive(&target, remote)?;
        let found = Digest::of_bytes(&read(&archive)?);
        if let Some(pinned) = remote.pin.as_ref().filter(|pinned| **pinned != found.0) {
            return Err(HelmError::DigestMismatch {
                chart: remote.reference.clone(),
                pinned: format!("sha256:{pinned}"),
                found: format!("sha256:{found}"),
                pinned_is_manifest: printed.says(&format!("sha256:{pinned}")),
            });
        }
        let kept = archive_path(folder, &found);
        std::fs::rename(&archive, &kept).map_err(|source| HelmError::Io {
            what: "keep chart",
            path: kept.clone(),
            source,
        })?;
        remember(folder, remote, &found)?;
        Ok(local(remote, kept, found))
    }
}

/// What a chart is called in a message.
fn reference_of(source: &ChartSource) -> String {
    match source {
        ChartSource::Path { path } => path.clone(),
        ChartSource::Embedded { name } => name.clone(),
        ChartSource::Archive { name, version, .. } | ChartSource::Repository { name, version, .. } => {
            format!("{name} {version}")
        }
        ChartSource::Oci { reference, version, .. } => format!("{} {version}", without_credentials(reference)),
    }
}

/// An archive of this machine that stands for one on a server: its digest must be the same.
fn archive(path: &str, name: &str, digest: Option<&str>) -> Result<LocalChart, HelmError> {
    let mut chart = LocalChart::open(Path::new(path))?;
    chart.reference = format!("{name} from {path}");
    chart.origin = OriginOfDigest::Found;
    if let Some(pinned) = digest {
        let found = format!("sha256:{}", chart.digest);
        if pinned != found {
            let chart = chart.reference;
            return Err(HelmError::DigestMismatch { chart, pinned: pinned.into(), found, pinned_is_manifest: false });
        }
        chart.origin = OriginOfDigest::Pinned;
    }
    Ok(chart)
}

fn local(remote: &Remote<'_>, path: PathBuf, digest: Digest) -> LocalChart {
    let origin = if remote.pin.is_some() { OriginOfDigest::Pinned } else { OriginOfDigest::Found };
    LocalChart { reference: remote.reference.clone(), path, digest, origin }
}

/// What our cache has of the chart. A file that is not what its name says is as good as none: it is pulled again.
fn cached(folder: &Path, remote: &Remote<'_>) -> Result<Option<LocalChart>, HelmError> {
    let digest = match &remote.pin {
        Some(pin) => Digest(pin.clone()),
        None => match std::fs::read_to_string(reference_path(folder, remote)) {
            Ok(text) if is_sha256(text.trim()) => Digest(text.trim().to_owned()),
            // Unreadable or never written: the server knows.
            Ok(_) | Err(_) => return Ok(None),
        },
    };
    let path = archive_path(folder, &digest);
    if !path.is_file() || Digest::of_bytes(&read(&path)?) != digest {
        return Ok(None);
    }
    Ok(Some(local(remote, path, digest)))
}

fn remember(folder: &Path, remote: &Remote<'_>, digest: &Digest) -> Result<(), HelmError> {
    let path = reference_path(folder, remote);
    let io = |source| HelmError::Io { what: "write", path: path.clone(), source };
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
    std::io::Write::write_all(&mut file, digest.0.as_bytes()).map_err(io)?;
    file.persist(&path).map_err(|error| io(error.error))?;
    Ok(())
}

fn archive_path(folder: &Path, digest: &Digest) -> PathBuf {
    folder.join(format!("sha256-{digest}.tgz"))
}

fn reference_path(folder: &Path, remote: &Remote<'_>) -> PathBuf {
    folder.join(format!("reference-{}", Digest::of_bytes(remote.reference.as_bytes())))
}

fn only_archive(folder: &Path, remote: &Remote<'_>) -> Result<PathBuf, HelmError> {
    let io = |source| HelmError::Io { what: "list", path: folder.to_owned(), source };
    let mut archives = Vec::new();
    for entry in std::fs::read_dir(folder).map_err(io)? {
        let path = entry.map_err(io)?.path();
        if path.extension().is_some_and(|extension| extension == "tgz") {
            archives.push(path);
        }
    }
    match <[PathBuf; 1]>::try_from(archives) {
        Ok([archive]) => Ok(archive),
        Err(archives) => Err(HelmError::BadReference {
            chart: remote.reference.clone(),
            problem: format!("helm pulled {} archives where one was asked for", archives.len()),
        }),
    }
}

fn oci<'a>(reference: &'a str, version: &'a str, digest: Option<&str>) -> Result<Remote<'a>, HelmError> {
    let name = format!("{reference} {version}");
    let bad = |problem: &str| HelmError::BadReference { chart: without_credentials(&name), problem: problem.into() };
    let rest = reference.strip_prefix("oci://").ok_or_else(|| bad("an OCI reference starts with oci://"))?;
    let (host, path) = rest.split_once('/').ok_or_else(|| bad("an OCI reference is oci://host/path/chart"))?;
    if host.is_empty() || path.is_empty() || path.ends_with('/') {
        return Err(bad("an OCI reference is oci://host/path/chart"));
    }
    if host.contains('@') {
        return Err(bad("credentials do not belong in a reference; use `helm registry login`"));
    }
    if path.contains([':', '@']) {
        return Err(bad("tag and digest do not belong in the reference; they have fields of their own"));
    }
    let pin = check(version, digest).map_err(|problem| bad(&problem))?;
    let mut args = vec![reference, "--version", version];
    if is_loopback(host) {
        // Registries on this machine speak plain http; every other one must not.
        args.push("--plain-http");
    }
    Ok(Remote { reference: name, args, pin })
}

fn repository<'a>(
    url: &'a str,
    chart: &'a str,
    version: &'a str,
    digest: Option<&str>,
) -> Result<Remote<'a>, HelmError> {
    let name = format!("{}/{chart} {version}", url.trim_end_matches('/'));
    let bad = |problem: &str| HelmError::BadReference { chart: without_credentials(&name), problem: problem.into() };
    let (scheme, rest) = url.split_once("://").ok_or_else(|| bad("a repository is an https:// address"))?;
    let host = rest.split('/').next().unwrap_or_default();
    if host.is_empty() {
        return Err(bad("the address names no host"));
    }
    if host.contains('@') {
        return Err(bad("credentials do not belong in an address: it stands in plans and process lists"));
    }
    match scheme {
        "https" => {}
        "http" if is_loopback(host) => {}
        "http" => return Err(bad("plain http is for this machine only; use https")),
        _ => return Err(bad("a repository is an https:// address")),
    }
    if chart.is_empty() || chart.starts_with('-') || chart.contains(['/', ':', '@']) {
        return Err(bad("a chart in a repository is named without path or tag"));
    }
    let pin = check(version, digest).map_err(|problem| bad(&problem))?;
    Ok(Remote { reference: name, args: vec![chart, "--repo", url, "--version", version], pin })
}

/// Sees that the version is exact (helm would take a range) and the pin a SHA-256.
fn check(version: &str, digest: Option<&str>) -> Result<Option<String>, String> {
    let plain = version.strip_prefix('v').unwrap_or(version);
    let plain = plain.split_once('+').map_or(plain, |(plain, _)| plain);
    let (numbers, pre) = plain.split_once('-').unwrap_or((plain, "x"));
    let number = |part: &str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_digit());
    let exact = numbers.split('.').count() == 3
        && numbers.split('.').all(number)
        && !pre.is_empty()
        && version.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'+'));
    if !exact {
        return Err(format!("{version:?} is no exact version like 1.2.3"));
    }
    let Some(digest) = digest else { return Ok(None) };
    match digest.strip_prefix("sha256:").filter(|hex| is_sha256(hex)) {
        Some(hex) => Ok(Some(hex.to_owned())),
        None => Err(format!("{digest:?} is no digest like sha256:<64 hexadecimal digits in lower case>")),
    }
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
}

fn is_loopback(host: &str) -> bool {
    let host = match host.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((address, _)) => address,
        None => host.split_once(':').map_or(host, |(host, _)| host),
    };
    host == "localhost" || host.parse::<std::net::IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Cuts `user:password@` out of an address, for messages.
fn without_credentials(reference: &str) -> String {
    match reference.split_once("://") {
        Some((scheme, rest)) => {
            let (host, path) = rest.split_once('/').unwrap_or((rest, ""));
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            format!("{scheme}://{host}/{path}")
        }
        None => reference.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(result: Result<Remote<'_>, HelmError>) -> String {
        match result {
            Ok(_) => "accepted".into(),
            Err(error) => error.to_string(),
        }
    }

    #[test]
    fn plain_http_is_for_loopback_hosts_only() {
        for host in ["localhost", "localhost:5000", "127.0.0.1:5000", "127.9.9.9", "[::1]:5000", "[::1]"] {
            assert!(is_loopback(host), "{host}");
        }
        for host in ["localhost.example.com", "10.0.0.1", "127.0.0.1.example.com", "example.com:127", "[::2]:1"] {
            assert!(!is_loopback(host), "{host}");
        }
        let plain = |reference| oci(reference, "1.2.3", None).unwrap().args.contains(&"--plain-http");
        assert!(plain("oci://127.0.0.1:5000/charts/a"));
        assert!(!plain("oci://registry.example.com/charts/a"));
        assert!(problem(repository("http://example.com", "a", "1.2.3", None)).contains("use https"));
        assert_eq!(problem(repository("http://127.0.0.1:1", "a", "1.2.3", None)), "accepted");
    }

    #[test]
    fn versions_are_exact_and_pins_are_digests() {
        for version in ["1.2.3", "v1.2.3", "1.2.3-rc.1", "1.2.3+build.5", "0.0.0-alpha+x"] {
            assert_eq!(check(version, None), Ok(None), "{version}");
        }
        for version in ["", "1", "1.2", "^1.2.3", "1.2.x", ">=1.0.0", "1.2.3 - 2.0.0", "latest", "1.2.3-"] {
            assert!(check(version, None).is_err(), "{version}");
        }
        let hex = "0".repeat(64);
        assert_eq!(check("1.2.3", Some(&format!("sha256:{hex}"))), Ok(Some(hex.clone())));
        for digest in [hex.as_str(), "sha256:12", "sha512:00"] {
            assert!(check("1.2.3", Some(digest)).is_err(), "{digest}");
        }
    }

    #[test]
    fn credentials_in_an_address_are_refused_and_not_repeated() {
        for said in [
            problem(repository("https://me:hunter2@example.com/x", "a", "1.2.3", None)),
            problem(oci("oci://me:hunter2@example.com/x", "1.2.3", None)),
        ] {
            assert!(said.contains("credentials do not belong") && !said.contains("hunter2"), "{said}");
        }
    }

    #[test]
    fn tags_and_ranges_do_not_hide_in_a_reference() {
        assert!(problem(oci("oci://example.com/a:1.2.3", "1.2.3", None)).contains("fields of their own"));
        assert!(problem(oci("https://example.com/a", "1.2.3", None)).contains("oci://"));
        assert!(problem(repository("https://example.com", "-x", "1.2.3", None)).contains("without path"));
    }
}

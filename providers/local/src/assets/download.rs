//! Downloads one pinned archive, resumes what was interrupted, and unpacks it only when its checksum is right.

use std::collections::BTreeSet;
use std::fs::{File, OpenOptions};
use std::io::{Read, Seek as _, SeekFrom, Write as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime};

use sha2::{Digest, Sha256, Sha512};

use super::pins::{Checksum, PinnedFile};
use super::{AssetEvent, AssetSink, Source, cache};
use crate::{LocalError, Settings, files};

/// A host that does not answer costs this much; answering ones took under 0.5 s.
const CONNECT: Duration = Duration::from_secs(4);
/// A server that accepted and says nothing for this long has stalled.
const STALLED: Duration = Duration::from_secs(30);
/// The largest archive has 350 MB: 200 kB/s are enough.
const WHOLE: Duration = Duration::from_secs(30 * 60);
/// A host that did not answer is not asked again for this long; a machine without internet waits once.
const REMEMBERED: Duration = Duration::from_secs(10 * 60);
/// How often progress is told.
const TELL: Duration = Duration::from_millis(250);

/// Puts the programs of `pinned` into the cache.
pub(super) fn download(settings: &Settings, pinned: &PinnedFile, sink: AssetSink<'_>) -> Result<(), LocalError> {
    let url = pinned.address(settings.mirror.as_deref());
    let root = cache::root(settings);
    let partial_dir = root.join("partial");
    files::private_dir(&partial_dir)?;
    // The pin is in the name: what was begun for another pin is never continued.
    let partial = partial_dir.join(format!("{}.{}.partial", pinned.file_name(), &pinned.checksum.pinned()[..16]));
    fetch(settings, &url, &partial, pinned.file_name(), sink)?;
    if let Err(error) = verify(&url, &partial, &pinned.checksum) {
        files::remove_file(&partial)?;
        return Err(error);
    }
    let target = cache::downloaded_dir(settings, pinned);
    let parent = target.parent().unwrap_or(&root);
    files::private_dir(parent)?;
    let staging = tempfile::tempdir_in(parent).map_err(LocalError::file("create a directory in", parent))?;
    unpack(&partial, pinned, staging.path())?;
    let versions = pinned.members.keys().map(|program| (*program, pinned.version.clone())).collect();
    let verified = format!("{} pinned", pinned.checksum.algorithm());
    cache::publish(&staging.keep(), &target, &versions, Source::Downloaded(url), verified)?;
    files::remove_file(&partial)?;
    sink(AssetEvent::Ready { what: format!("{} {}", pinned.name, pinned.version) });
    Ok(())
}

fn fetch(settings: &Settings, url: &str, partial: &Path, name: &str, sink: AssetSink<'_>) -> Result<(), LocalError> {
    let failed = |what: String| LocalError::Download { url: url.into(), what };
    let marker = unreachable_marker(settings, url);
    if remembered(&marker) {
        return Err(failed("the host did not answer a short while ago".into()));
    }
    let agent = agent(settings).map_err(&failed)?;
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .read(true)
        .write(true)
        .open(partial)
        .map_err(LocalError::file("open", partial))?;
    let mut have = file.metadata().map_err(LocalError::file("read", partial))?.len();
    let mut response = request(&agent, url, have).map_err(|error| {
        if is_unreachable(&error) {
            // Only a memory: without it the next attempt waits once more.
            let _ = std::fs::write(&marker, b"");
        }
        failed(error.to_string())
    })?;
    let resumed = response.status() == 206 && starts_at(&response, have);
    if have > 0 && !resumed && response.status() != 200 {
        // The server cannot continue (416, or another range): from the beginning.
        response = request(&agent, url, 0).map_err(|error| failed(error.to_string()))?;
    }
    if !resumed {
        if response.status() != 200 {
            files::remove_file(partial)?;
            return Err(failed(format!("the server answered {}", response.status())));
        }
        have = 0;
        file.set_len(0).map_err(LocalError::file("write", partial))?;
    }
    file.seek(SeekFrom::Start(have)).map_err(LocalError::file("write", partial))?;
    let total = response.body().content_length().map(|rest| rest + have);
    let mut reader = response.body_mut().with_config().limit(u64::MAX).reader();
    let mut buffer = vec![0; 1 << 17];
    let mut told = Instant::now();
    sink(AssetEvent::Downloading { file: name.into(), bytes: have, total });
    loop {
        let count =
            reader.read(&mut buffer).map_err(|error| failed(format!("interrupted after {have} bytes: {error}")))?;
        if count == 0 {
            break;
        }
        file.write_all(&buffer[..count]).map_err(LocalError::file("write", partial))?;
        have += count as u64;
        if told.elapsed() >= TELL {
            told = Instant::now();
            sink(AssetEvent::Downloading { file: name.into(), bytes: have, total });
        }
    }
    if total.is_some_and(|total| have < total) {
        return Err(failed(format!("interrupted after {have} bytes")));
    }
    sink(AssetEvent::Downloading { file: name.into(), bytes: have, total });
    file.sync_all().map_err(LocalError::file("write", partial))
}

fn agent(settings: &Settings) -> Result<ureq::Agent, String> {
    let proxy = match &settings.proxy {
        None => None,
        Some(address) => Some(proxy(address, settings.no_proxy.as_deref())?),
    };
    let config = ureq::Agent::config_builder()
        .timeout_resolve(Some(CONNECT))
        .timeout_connect(Some(CONNECT))
        .timeout_recv_response(Some(STALLED))
        .timeout_per_read(Some(STALLED))
        .timeout_global(Some(WHOLE))
        .http_status_as_error(false)
        .proxy(proxy)
        .user_agent("wbk-infra")
        .build();
    Ok(config.new_agent())
}

fn proxy(address: &str, no_proxy: Option<&str>) -> Result<ureq::Proxy, String> {
    // The address may hold a password, so no error repeats it.
    let unusable = |_| "the proxy's address cannot be used".to_owned();
    let plain = ureq::Proxy::new(address).map_err(unusable)?;
    let Some(no_proxy) = no_proxy else { return Ok(plain) };
    let mut builder = ureq::Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
    if let Some(user) = plain.username() {
        builder = builder.username(user);
    }
    if let Some(password) = plain.password() {
        builder = builder.password(password);
    }
    for host in no_proxy.split(',').map(str::trim).filter(|host| !host.is_empty()) {
        builder = builder.no_proxy(host);
    }
    builder.build().map_err(unusable)
}

fn request(agent: &ureq::Agent, url: &str, have: u64) -> Result<ureq::http::Response<ureq::Body>, ureq::Error> {
    let request = agent.get(url);
    if have > 0 { request.header("Range", format!("bytes={have}-")).call() } else { request.call() }
}

fn starts_at(response: &ureq::http::Response<ureq::Body>, have: u64) -> bool {
    response
        .headers()
        .get("content-range")
        .and_then(|value| value.to_str().ok())
        .is_some_and(|value| value.starts_with(&format!("bytes {have}-")))
}

fn is_unreachable(error: &ureq::Error) -> bool {
    use std::io::ErrorKind;
    match error {
        ureq::Error::HostNotFound | ureq::Error::ConnectionFailed | ureq::Error::Timeout(_) => true,
        ureq::Error::Io(error) => !matches!(error.kind(), ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset),
        _ => false,
    }
}

fn unreachable_marker(settings: &Settings, url: &str) -> PathBuf {
    let host = url.split("://").nth(1).unwrap_or(url).split('/').next().unwrap_or(url);
    let safe: String =
        host.chars().map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '-' { c } else { '_' }).collect();
    cache::root(settings).join("partial").join(format!("{safe}.unreachable"))
}

fn remembered(marker: &Path) -> bool {
    // A marker that is not there, or is from the future, is no memory.
    std::fs::metadata(marker)
        .and_then(|meta| meta.modified())
        .is_ok_and(|at| SystemTime::now().duration_since(at).is_ok_and(|age| age < REMEMBERED))
}

fn verify(url: &str, path: &Path, checksum: &Checksum) -> Result<(), LocalError> {
    let found = match checksum {
        Checksum::Sha256(_) => digest_of(path, Sha256::new())?,
        Checksum::Sha512(_) => digest_of(path, Sha512::new())?,
    };
    if found.eq_ignore_ascii_case(checksum.pinned()) {
        return Ok(());
    }
    Err(LocalError::Checksum {
        url: url.into(),
        algorithm: checksum.algorithm(),
        found,
        pinned: checksum.pinned().into(),
    })
}

fn digest_of<D: Digest>(path: &Path, mut digest: D) -> Result<String, LocalError> {
    let mut file = File::open(path).map_err(LocalError::file("read", path))?;
    let mut buffer = vec![0; 1 << 20];
    loop {
        match file.read(&mut buffer).map_err(LocalError::file("read", path))? {
            0 => return Ok(cache::hex(digest.finalize().as_slice())),
            count => digest.update(&buffer[..count]),
        }
    }
}

fn unpack(archive: &Path, pinned: &PinnedFile, into: &Path) -> Result<(), LocalError> {
    let file = File::open(archive).map_err(LocalError::file("read", archive))?;
    let mut archive_reader = tar::Archive::new(flate2::read::GzDecoder::new(file));
    let mut left: BTreeSet<_> = pinned.members.keys().copied().collect();
    for entry in archive_reader.entries().map_err(LocalError::file("unpack", archive))? {
        let mut entry = entry.map_err(LocalError::file("unpack", archive))?;
        let name = entry.path().map_err(LocalError::file("unpack", archive))?.to_string_lossy().into_owned();
        let wanted = pinned.members.iter().find(|(_, member)| **member == name.trim_start_matches("./"));
        if let Some((program, _)) = wanted {
            let path = into.join(program.name());
            let mut out = File::create(&path).map_err(LocalError::file("write", &path))?;
            std::io::copy(&mut entry, &mut out).map_err(LocalError::file("write", &path))?;
            out.sync_all().map_err(LocalError::file("write", &path))?;
            left.remove(program);
        }
        if left.is_empty() {
            return Ok(());
        }
    }
    let missing: Vec<_> = left.iter().map(|program| program.name()).collect();
    Err(LocalError::Damaged { path: archive.into(), what: format!("it lacks {}", missing.join(", ")) })
}

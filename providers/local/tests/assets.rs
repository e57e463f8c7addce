//! Where programs come from: a loopback mirror that behaves and misbehaves, and a build that two processes share.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use anyhow::{Context as _, Result};
use serde_json::json;
use sha2::{Digest as _, Sha256, Sha512};
use wbk_provider_local::assets::{AssetEvent, Pins, Program, Source, provide_pinned, report};
use wbk_provider_local::{LocalError, Settings};

/// Serves files by path; remembers what was asked.
struct Mirror {
    address: String,
    files: Arc<Mutex<BTreeMap<String, Vec<u8>>>>,
    /// `path range` of every request.
    asked: Arc<Mutex<Vec<String>>>,
    /// Bytes after which the next answer breaks off.
    breaks_after: Arc<Mutex<Option<usize>>>,
}

impl Mirror {
    fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let mirror = Self {
            address: format!("http://{}", listener.local_addr()?),
            files: Arc::default(),
            asked: Arc::default(),
            breaks_after: Arc::default(),
        };
        let (files, asked, breaks) = (mirror.files.clone(), mirror.asked.clone(), mirror.breaks_after.clone());
        // Ends with the test's process.
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                // A client that goes away in between is its own business.
                let _ = answer(&stream, &files, &asked, &breaks);
            }
        });
        Ok(mirror)
    }
}

fn answer(
    mut stream: &TcpStream,
    files: &Mutex<BTreeMap<String, Vec<u8>>>,
    asked: &Mutex<Vec<String>>,
    breaks: &Mutex<Option<usize>>,
) -> Result<()> {
    let mut lines = BufReader::new(stream).lines();
    let request = lines.next().context("a request")??;
    let path = request.split(' ').nth(1).context("a path")?.to_owned();
    let mut from = None;
    for line in lines {
        let line = line?.to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(range) = line.strip_prefix("range: bytes=") {
            from = range.trim_end_matches('-').parse::<usize>().ok();
        }
    }
    asked.lock().unwrap().push(format!("{path} {from:?}"));
    let Some(body) = files.lock().unwrap().get(&path).cloned() else {
        write!(stream, "HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")?;
        return Ok(());
    };
    let start = from.unwrap_or(0).min(body.len());
    match from {
        Some(_) => write!(
            stream,
            "HTTP/1.1 206 Partial Content\r\nContent-Range: bytes {start}-{}/{}\r\n",
            body.len() - 1,
            body.len()
        )?,
        None => write!(stream, "HTTP/1.1 200 OK\r\n")?,
    }
    write!(stream, "Content-Length: {}\r\nConnection: close\r\n\r\n", body.len() - start)?;
    let end = breaks.lock().unwrap().take().map_or(body.len(), |count| (start + count).min(body.len()));
    stream.write_all(&body[start..end])?;
    Ok(())
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An archive as the releases are: a tar.gz with the programs somewhere in it, large enough to break off.
fn archive(members: &[(&str, &str)]) -> Result<Vec<u8>> {
    let mut builder = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::none()));
    let mut add = |name: &str, content: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(u64::try_from(content.len()).expect("it fits"));
        header.set_mode(0o755);
        header.set_cksum();
        builder.append_data(&mut header, name, content)
    };
    add("README.md", &vec![b'x'; 300_000])?;
    for (name, content) in members {
        add(name, content.as_bytes())?;
    }
    Ok(builder.into_inner()?.finish()?)
}

fn pins(etcd: &[u8], kubernetes: &[u8]) -> Result<Pins> {
    let (os, arch) = (if cfg!(target_os = "macos") { "darwin" } else { "linux" }, arch());
    let file = |name: &str, checksum: (&str, String), members: serde_json::Value| {
        json!({
            "minor": "1.36", "name": name, "version": "1.2.3", "os": os, "arch": arch,
            "url": format!("https://unreachable.invalid/files/{name}.tar.gz"), checksum.0: checksum.1,
            "members": members,
        })
    };
    let pins = json!({
        "builds": [{"minor": "1.36", "kubernetes": "1.36.3", "etcd": "3.6.8", "helm": "4.2.4"}],
        "files": [
            file("kubernetes", ("sha512", hex(&Sha512::digest(kubernetes))), json!({
                "kube-apiserver": "k/bin/kube-apiserver",
                "kube-scheduler": "k/bin/kube-scheduler",
            })),
            file("etcd", ("sha256", hex(&Sha256::digest(etcd))), json!({"etcd": "e/etcd"})),
        ],
    });
    Ok(Pins::parse(&pins.to_string())?)
}

fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

struct World {
    _directory: tempfile::TempDir,
    settings: Settings,
    pins: Pins,
    mirror: Mirror,
}

fn world() -> Result<World> {
    let directory = tempfile::tempdir()?;
    let etcd = archive(&[("e/etcd", "#!/bin/sh\necho etcd\n")])?;
    let kubernetes =
        archive(&[("./k/bin/kube-apiserver", "api"), ("k/bin/other", "no"), ("k/bin/kube-scheduler", "scheduler")])?;
    let pins = pins(&etcd, &kubernetes)?;
    let mirror = Mirror::start()?;
    mirror
        .files
        .lock()
        .unwrap()
        .extend([("/m/files/etcd.tar.gz".to_owned(), etcd), ("/m/files/kubernetes.tar.gz".to_owned(), kubernetes)]);
    let mut settings = Settings::new(directory.path().join("state"), directory.path().join("cache"));
    settings.mirror = Some(format!("{}/m", mirror.address));
    Ok(World { _directory: directory, settings, pins, mirror })
}

fn partials(settings: &Settings) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(settings.cache_dir.join("assets/partial"));
    entries.into_iter().flatten().flatten().map(|entry| entry.path()).collect()
}

/// Held by tests that write a program and start it: a fork of another thread in between would keep the file open for
/// writing, and the system refuses to run such a file.
static STARTS_PROGRAMS: Mutex<()> = Mutex::new(());

const QUIET: &(dyn Fn(AssetEvent) + Sync) = &|_| {};
const PINNED: [Program; 3] = [Program::Etcd, Program::ApiServer, Program::Scheduler];

#[test]
fn what_is_pinned_is_downloaded_verified_unpacked_and_cached() -> Result<()> {
    let World { settings, pins, mirror, .. } = &world()?;
    let events = Mutex::new(Vec::new());
    let found = provide_pinned(settings, pins, None, &PINNED, &|event| events.lock().unwrap().push(event))?;
    assert_eq!(std::fs::read_to_string(&found[&Program::ApiServer].path)?, "api");
    assert_eq!(found[&Program::Etcd].version.as_deref(), Some("1.2.3"));
    assert_eq!(found[&Program::Scheduler].verified.as_deref(), Some("sha512 pinned"));
    assert!(matches!(&found[&Program::Etcd].source, Source::Downloaded(url) if url.starts_with(&mirror.address)));
    assert_ne!(std::fs::metadata(&found[&Program::Etcd].path)?.permissions().mode() & 0o111, 0);
    assert!(events.lock().unwrap().iter().any(|event| matches!(event, AssetEvent::Downloading { total: Some(_), .. })));
    assert!(partials(settings).is_empty());

    // The second time nothing is asked; a program that was cut short is fetched again.
    let asked = mirror.asked.lock().unwrap().len();
    provide_pinned(settings, pins, None, &PINNED, QUIET)?;
    assert_eq!(mirror.asked.lock().unwrap().len(), asked);
    std::fs::write(&found[&Program::Etcd].path, "#!")?;
    let again = provide_pinned(settings, pins, None, &[Program::Etcd], QUIET)?;
    assert_eq!(std::fs::read_to_string(&again[&Program::Etcd].path)?, "#!/bin/sh\necho etcd\n");
    Ok(())
}

#[test]
fn a_wrong_checksum_is_refused_and_nothing_of_it_stays() -> Result<()> {
    let World { settings, pins, mirror, .. } = &world()?;
    let evil = archive(&[("e/etcd", "evil")])?;
    mirror.files.lock().unwrap().insert("/m/files/etcd.tar.gz".into(), evil);
    // What a killed process left is swept away by the next.
    std::fs::create_dir_all(settings.cache_dir.join("assets/built/.tmpAbCdEf/source"))?;
    let error = provide_pinned(settings, pins, None, &[Program::Etcd], QUIET).unwrap_err();
    assert!(!settings.cache_dir.join("assets/built/.tmpAbCdEf").exists());
    assert!(matches!(&error, LocalError::Checksum { algorithm: "sha256", .. }), "{error}");
    assert!(error.to_string().contains("wrong checksum"));
    assert!(partials(settings).is_empty());
    assert!(!settings.cache_dir.join("assets/downloaded").exists(), "nothing was unpacked");
    Ok(())
}

#[test]
fn an_interrupted_download_goes_on_where_it_stopped() -> Result<()> {
    let World { settings, pins, mirror, .. } = &world()?;
    *mirror.breaks_after.lock().unwrap() = Some(200_000);
    let error = provide_pinned(settings, pins, None, &[Program::Etcd], QUIET).unwrap_err();
    assert!(error.to_string().contains("interrupted after 200000 bytes"), "{error}");
    assert_eq!(partials(settings).len(), 1);
    let found = provide_pinned(settings, pins, None, &[Program::Etcd], QUIET)?;
    assert_eq!(std::fs::read_to_string(&found[&Program::Etcd].path)?, "#!/bin/sh\necho etcd\n");
    let asked = mirror.asked.lock().unwrap().clone();
    assert_eq!(asked, ["/m/files/etcd.tar.gz None", "/m/files/etcd.tar.gz Some(200000)"]);
    assert!(partials(settings).is_empty());
    Ok(())
}

#[test]
fn what_the_mirror_lacks_and_nothing_can_build_is_named_with_all_that_was_tried() -> Result<()> {
    let World { settings, pins, mirror, .. } = &world()?;
    mirror.files.lock().unwrap().clear();
    let programs = [Program::Etcd, Program::ControllerManager];
    let error = provide_pinned(settings, pins, None, &programs, QUIET).unwrap_err();
    let text = error.to_string();
    assert!(text.starts_with("etcd, kube-controller-manager cannot be found or made"), "{text}");
    assert!(text.contains("the server answered 404") && text.contains("go is not on PATH"), "{text}");
    let hint = error.hint().context("a hint")?;
    assert!(hint.contains("Go") && hint.contains("KUBEBUILDER_ASSETS") && hint.contains("mirror"), "{hint}");
    Ok(())
}

#[test]
fn a_host_that_does_not_answer_is_remembered() -> Result<()> {
    let World { settings, pins, .. } = &world()?;
    let mut settings = settings.clone();
    // A port that was just given back: nobody listens there.
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    settings.mirror = Some(format!("http://127.0.0.1:{port}"));
    let first = provide_pinned(&settings, pins, None, &[Program::Etcd], QUIET).unwrap_err();
    assert!(!first.to_string().contains("a short while ago"), "{first}");
    let second = provide_pinned(&settings, pins, None, &[Program::Etcd], QUIET).unwrap_err();
    assert!(second.to_string().contains("did not answer a short while ago"), "{second}");
    Ok(())
}

#[test]
fn a_directory_that_was_given_comes_first_and_may_hold_only_some() -> Result<()> {
    let World { settings, pins, mirror, .. } = &world()?;
    let mut settings = settings.clone();
    let given = settings.cache_dir.join("given");
    std::fs::create_dir_all(&given)?;
    program(&given.join("etcd"), "#!/bin/sh\n")?;
    settings.assets_dir = Some(given.clone());
    let found = provide_pinned(&settings, pins, None, &[Program::Etcd, Program::ApiServer], QUIET)?;
    assert_eq!((&found[&Program::Etcd].source, &found[&Program::Etcd].path), (&Source::Given, &given.join("etcd")));
    assert!(matches!(found[&Program::ApiServer].source, Source::Downloaded(_)));
    assert!(mirror.asked.lock().unwrap().iter().all(|asked| !asked.contains("etcd")));
    let etcd = report(&settings).into_iter().find(|row| row.name == "etcd").context("a row")?;
    assert_eq!((etcd.source.as_str(), etcd.verified), ("the directory given", None));
    Ok(())
}

#[test]
fn helm_on_the_path_serves_if_it_is_new_enough() -> Result<()> {
    let _alone = STARTS_PROGRAMS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let World { settings, pins, .. } = &world()?;
    let mut settings = settings.clone();
    let bin = settings.cache_dir.join("bin");
    std::fs::create_dir_all(&bin)?;
    settings.path = vec![bin.clone()];
    program(&bin.join("helm"), "#!/bin/sh\n[ \"$1 $2\" = 'version --template' ] && printf v3.20.1\n")?;
    let found = provide_pinned(&settings, pins, None, &[Program::Helm], QUIET)?;
    assert_eq!(found[&Program::Helm].version.as_deref(), Some("3.20.1"));
    assert_eq!(found[&Program::Helm].source, Source::Path);
    program(&bin.join("helm"), "#!/bin/sh\nprintf v3.2.0\n")?;
    assert!(provide_pinned(&settings, pins, None, &[Program::Helm], QUIET).is_err());
    let row = report(&settings).into_iter().find(|row| row.name == "helm").context("a row")?;
    assert!(row.source.contains("is 3.2.0, older than 3.14"), "{}", row.source);
    Ok(())
}

/// A stand-in for go: counts its runs, waits for a file so that the other process certainly comes in between, says
/// what `go build -v` says, and writes the file that `-o` names.
const GO: &str = r#"#!/bin/sh
echo run >> "$(dirname "$0")/runs"
while [ ! -e "$(dirname "$0")/proceed" ]; do sleep 0.02; done
[ -e "$(dirname "$0")/fail" ] && { echo "main.go:1: no space left on device" >&2; exit 1; }
grep -q 'k8s.io/kubernetes v1.36.3' go.mod && test -s go.sum && test -s main.go || exit 3
[ "$CGO_ENABLED" = 0 ] || exit 4
echo "go: downloading example.com/m v1.0.0" >&2
echo "example.com/m/pkg" >&2
while [ "$1" != -o ]; do shift; done
printf built > "$2"
"#;

#[test]
fn two_at_once_share_one_build() -> Result<()> {
    let _alone = STARTS_PROGRAMS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let World { settings, pins, .. } = &world()?;
    let mut settings = settings.clone();
    settings.downloads = false;
    let bin = settings.cache_dir.join("bin");
    std::fs::create_dir_all(&bin)?;
    settings.path = vec![bin.clone()];
    program(&bin.join("go"), GO)?;
    let events = Mutex::new(Vec::new());
    let sink = |event: AssetEvent| {
        if event == AssetEvent::WaitsForOther {
            std::fs::write(bin.join("proceed"), "").expect("the stand-in is told to go on");
        }
        events.lock().unwrap().push(event);
    };
    std::thread::scope(|scope| {
        let work = || provide_pinned(&settings, pins, None, &Program::ALL, &sink);
        let (one, two) = (scope.spawn(work), scope.spawn(work));
        for result in [one.join(), two.join()] {
            let found = result.expect("no panic")?;
            assert_eq!(found.len(), 6);
            for (program, found) in &found {
                assert_eq!(found.path.file_name().and_then(|name| name.to_str()), Some(program.name()));
                assert_eq!(std::fs::read_to_string(&found.path)?, "built");
                assert_eq!(found.source, Source::Built);
            }
            assert_eq!(found[&Program::Etcd].version.as_deref(), Some("3.6.8"));
        }
        anyhow::Ok(())
    })?;
    assert_eq!(std::fs::read_to_string(bin.join("runs"))?, "run\n");
    let events = events.lock().unwrap();
    assert!(events.contains(&AssetEvent::WaitsForOther));
    assert!(events.contains(&AssetEvent::DownloadingModules { count: 1 }));
    assert!(events.iter().any(|event| matches!(event, AssetEvent::Compiling { count: 1, .. })));
    Ok(())
}

#[test]
fn a_build_that_fails_says_why_leaves_nothing_and_can_be_tried_again() -> Result<()> {
    let _alone = STARTS_PROGRAMS.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let World { settings, pins, .. } = &world()?;
    let mut settings = settings.clone();
    settings.downloads = false;
    let bin = settings.cache_dir.join("bin");
    std::fs::create_dir_all(&bin)?;
    settings.path = vec![bin.clone()];
    program(&bin.join("go"), GO)?;
    std::fs::write(bin.join("proceed"), "")?;
    std::fs::write(bin.join("fail"), "")?;
    let error = provide_pinned(&settings, pins, None, &Program::CONTROL_PLANE, QUIET).unwrap_err();
    assert!(error.to_string().contains("no space left on device"), "{error}");
    assert!(error.hint().context("a hint")?.contains("disk is full"));
    assert_eq!(std::fs::read_dir(settings.cache_dir.join("assets/built"))?.count(), 0);
    std::fs::remove_file(bin.join("fail"))?;
    provide_pinned(&settings, pins, None, &Program::CONTROL_PLANE, QUIET)?;
    Ok(())
}

fn program(path: &Path, content: &str) -> Result<()> {
    std::fs::write(path, content)?;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755))?;
    Ok(())
}

//! Starting helm: the only function in this program that does.

use std::ffi::{OsStr, OsString};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt as _};
use tokio::process::{Child, Command};
use tokio::sync::watch;

use super::error::{HelmError, Started};
use super::memory::Memory;
use super::version::{HelmVersion, MINIMUM, Major};
use crate::desired::ChartPlaces;

/// Most bytes of standard output that are kept. A release's record must fit in a Secret (1 MiB, compressed about tenfold by
/// helm), so that an honest answer stays under a quarter of this.
const STDOUT_LIMIT: usize = 64 << 20;
/// Most bytes of standard error that are kept, from its end: room for twenty very long lines.
const STDERR_LIMIT: usize = 64 << 10;
/// Lines of standard error that an error carries.
const STDERR_LINES: usize = 20;
/// How long `helm version` may take. It reads nothing and takes 50 ms on an idle machine; the rest is for a cold disk, a program of
/// 60 MB (140 MB as part of our multi-call binary) and a machine that is busy.
const VERSION_DEADLINE: Duration = Duration::from_secs(30);

/// How a caller tells running helms to stop.
#[derive(Debug)]
pub struct CancelHandle(watch::Sender<bool>);

/// What a running helm listens to.
#[derive(Debug, Clone)]
pub struct Cancel(Option<watch::Receiver<bool>>);

impl Cancel {
    /// Makes a handle and what listens to it.
    pub fn pair() -> (CancelHandle, Self) {
        let (sender, receiver) = watch::channel(false);
        (CancelHandle(sender), Self(Some(receiver)))
    }

    /// Never cancelled.
    pub fn never() -> Self {
        Self(None)
    }

    /// Resolves once the handle was used; never when it was dropped unused.
    async fn cancelled(&self) {
        if let Some(receiver) = &self.0
            && receiver.clone().wait_for(|cancelled| *cancelled).await.is_ok()
        {
            return;
        }
        std::future::pending().await
    }
}

impl CancelHandle {
    /// Interrupts every helm that listens, now and later.
    pub fn cancel(&self) {
        // `send` fails, and keeps the old value, when nobody listens yet; this does not.
        self.0.send_replace(true);
    }
}

/// What the command line decides about helm.
#[derive(Debug, Clone)]
pub struct HelmSettings {
    /// The program.
    pub program: PathBuf,
    /// A folder of ours for helm's cache, configuration and data, so that the user's repositories and plugins change nothing.
    pub home: PathBuf,
    /// The environment that helm gets; see [`allowed_environment`].
    pub environment: Vec<(OsString, OsString)>,
    /// The user's registry credentials (`HELM_REGISTRY_CONFIG`, or where `helm registry login` writes), read only by helm.
    pub registry_config: Option<PathBuf>,
    /// How long a call that changes nothing may take.
    pub deadline: Duration,
    /// How long helm may take to end after an interrupt, before it is killed. A `helm upgrade` that is interrupted writes
    /// "failed" into its record first, which takes a request or two.
    pub grace: Duration,
    /// What interrupts running helms.
    pub cancel: Cancel,
}

/// How helm reaches a cluster.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClusterAccess {
    /// A kubeconfig file, or several as `KUBECONFIG` joins them.
    pub kubeconfig: PathBuf,
    /// The context; the current one when absent.
    pub context: Option<String>,
}

/// Names of environment variables that helm, and what it starts (credential plugins of the clouds), may need.
/// Everything else is kept from it: `HELM_*` and `KUBE*` change what helm does, and secrets of the blueprint are often in
/// the environment of this process.
const ALLOWED: &[&str] = &[
    "HOME",
    "PATH",
    "USER",
    "LOGNAME",
    "TMPDIR",
    // Proxies and trust, in both spellings that Go reads.
    "HTTP_PROXY",
    "HTTPS_PROXY",
    "NO_PROXY",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    // Registry credentials of Docker, which helm falls back to, and the helpers they may name.
    "DOCKER_CONFIG",
    "REGISTRY_AUTH_FILE",
    "DBUS_SESSION_BUS_ADDRESS",
    // Credential plugins of kubeconfigs.
    "USE_GKE_GCLOUD_AUTH_PLUGIN",
    "XDG_CONFIG_HOME",
    "XDG_CACHE_HOME",
    "XDG_DATA_HOME",
    "XDG_RUNTIME_DIR",
];

/// Beginnings of names of environment variables that credential plugins of kubeconfigs read.
const ALLOWED_PREFIXES: &[&str] = &["AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "AAD_", "MSI_", "IDENTITY_"];

/// Picks what helm may see from an environment.
pub fn allowed_environment(all: impl IntoIterator<Item = (OsString, OsString)>) -> Vec<(OsString, OsString)> {
    all.into_iter()
        .filter(|(name, _)| {
            name.to_str().is_some_and(|name| {
                ALLOWED.contains(&name) || ALLOWED_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
            })
        })
        .collect()
}

/// A helm that was found good enough to be used.
#[derive(Debug, Clone)]
pub struct Helm {
    settings: HelmSettings,
    version: HelmVersion,
    major: Major,
    places: ChartPlaces,
}

/// One call of helm.
#[derive(Debug)]
pub(super) struct Call<'a> {
    /// What is attempted, on what, as in "helm failed to …": `install release wandb/agent`.
    pub what: String,
    /// The verb and its arguments. Nothing secret is ever in them: a process list shows them.
    pub args: Vec<OsString>,
    /// Whether it changes something.
    pub started: Started,
    /// When it is given up.
    pub deadline: Duration,
    /// The cluster; without one, helm cannot reach any.
    pub cluster: Option<&'a ClusterAccess>,
    /// A cache of its own, for a download that nothing may be kept of.
    pub cache: Option<&'a Path>,
}

/// What helm printed.
#[derive(Debug)]
pub(super) struct Printed {
    /// Standard output. It may hold manifests, and so secrets.
    pub stdout: Vec<u8>,
    /// The end of standard error.
    pub stderr: Vec<u8>,
}

impl Printed {
    /// Whether a text was printed on either pipe. For hints only: decisions rest on machine output.
    pub(super) fn says(&self, text: &str) -> bool {
        let holds = |bytes: &[u8]| bytes.windows(text.len()).any(|window| window == text.as_bytes());
        holds(&self.stdout) || holds(&self.stderr)
    }
}

impl Helm {
    /// Asks the program for its version, and takes it when it will do. A program that was asked before and did not change since
    /// is not started.
    ///
    /// # Errors
    /// [`HelmError::NotFound`], [`HelmError::CannotStart`], [`HelmError::NotHelm`], [`HelmError::TooOld`],
    /// [`HelmError::UnknownMajor`], and what a process that fails, hangs or is killed gives.
    pub async fn open(settings: HelmSettings) -> Result<Self, HelmError> {
        let memory = Memory::of(&settings.home, &settings.program);
        let version = match memory.as_ref().and_then(Memory::recall) {
            Some(version) => version,
            None => {
                let version = ask_version(&settings).await?;
                if let Some(memory) = &memory {
                    memory.keep(&version);
                }
                version
            }
        };
        Self::of_version(settings, version)
    }

    fn of_version(settings: HelmSettings, found: HelmVersion) -> Result<Self, HelmError> {
        let program = settings.program.clone();
        if found.is_too_old() {
            return Err(HelmError::TooOld { program, found, minimum: MINIMUM });
        }
        let Some(major) = found.known_major() else {
            return Err(HelmError::UnknownMajor { program, found });
        };
        Ok(Self { settings, version: found, major, places: ChartPlaces::default() })
    }

    /// The same helm, listening to another handle.
    pub fn with_cancel(mut self, cancel: Cancel) -> Self {
        self.settings.cancel = cancel;
        self
    }

    /// The same helm, which gets the program's own third-party charts from elsewhere.
    pub fn with_charts_from(mut self, places: ChartPlaces) -> Self {
        self.places = places;
        self
    }

    /// Where a chart comes from.
    pub(super) fn places(&self) -> &ChartPlaces {
        &self.places
    }

    /// Its version.
    pub fn version(&self) -> &HelmVersion {
        &self.version
    }

    /// Its major version, which decides its flags.
    pub fn major(&self) -> Major {
        self.major
    }

    /// Where it is.
    pub fn program(&self) -> &Path {
        &self.settings.program
    }

    /// Our folder for its files.
    pub(super) fn home(&self) -> &Path {
        &self.settings.home
    }

    /// How long a call that changes nothing may take.
    pub(super) fn deadline(&self) -> Duration {
        self.settings.deadline
    }

    /// Runs it once.
    pub(super) async fn run(&self, call: Call<'_>) -> Result<Printed, HelmError> {
        start(&self.settings, call).await
    }

    /// Writes values into a file that only this user can read, and that goes when the answer is dropped.
    pub(super) fn write_values(&self, values: &serde_json::Value) -> Result<tempfile::NamedTempFile, HelmError> {
        let folder = self.settings.home.join("values");
        create_private_folder(&folder)?;
        let io = |source| HelmError::Io { what: "write values in", path: folder.clone(), source };
        // tempfile makes it with mode 0600. JSON is YAML.
        let mut file = tempfile::Builder::new().prefix("values-").suffix(".yaml").tempfile_in(&folder).map_err(io)?;
        std::io::Write::write_all(file.as_file_mut(), values.to_string().as_bytes()).map_err(io)?;
        Ok(file)
    }
}

async fn ask_version(settings: &HelmSettings) -> Result<HelmVersion, HelmError> {
    let call = Call {
        what: "say its version".into(),
        // No `--short`: its output changed between majors; a template's does not.
        args: ["version", "--template", "{{.Version}}"].map(OsString::from).to_vec(),
        started: Started::ReadOnly,
        deadline: VERSION_DEADLINE.min(settings.deadline),
        cluster: None,
        cache: None,
    };
    let printed = start(settings, call).await?;
    let said = String::from_utf8_lossy(&printed.stdout);
    HelmVersion::parse(&said)
        .ok_or_else(|| HelmError::NotHelm { program: settings.program.clone(), said: said.chars().take(80).collect() })
}

/// Makes a folder, and those above it, that only this user can enter.
pub(super) fn create_private_folder(folder: &Path) -> Result<(), HelmError> {
    use std::os::unix::fs::DirBuilderExt as _;
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(|source| HelmError::Io {
        what: "make folder",
        path: folder.to_owned(),
        source,
    })
}

/// Starts helm, and sees it through to its end.
async fn start(settings: &HelmSettings, call: Call<'_>) -> Result<Printed, HelmError> {
    let mut child = command(settings, &call).spawn().map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => HelmError::NotFound { program: settings.program.clone() },
        _ => HelmError::CannotStart { program: settings.program.clone(), source },
    })?;
    let mut group = Group::of(&child);
    let stdout = child.stdout.take();
    let stderr = child.stderr.take();
    let mut work = Box::pin(async move {
        let (stdout, stderr, status) =
            tokio::join!(read_head(stdout, STDOUT_LIMIT), read_tail(stderr, STDERR_LIMIT), child.wait());
        (stdout, stderr, status)
    });

    let ended = tokio::select! {
        done = &mut work => Ok(done),
        () = tokio::time::sleep(call.deadline) => Err(true),
        () = settings.cancel.cancelled() => Err(false),
    };
    let (stdout, stderr, status) = match ended {
        Ok(done) => done,
        Err(timed_out) => {
            group.signal(Signal::INT);
            let by_force = tokio::time::timeout(settings.grace, &mut work).await.is_err();
            if by_force {
                group.signal(Signal::KILL);
                // A killed process ends; waiting for it only takes its record out of the process table.
                let _ = work.await;
            }
            group.disarm();
            let Call { what, started, deadline: after, .. } = call;
            return Err(if timed_out {
                HelmError::TimedOut { what, after, by_force, started }
            } else {
                HelmError::Cancelled { what, by_force, started }
            });
        }
    };
    group.disarm();
    let status = status.map_err(|source| HelmError::CannotStart { program: settings.program.clone(), source })?;
    finish(call, stdout, stderr, status)
}

/// Turns an exit status into an answer or an error.
fn finish(call: Call<'_>, stdout: Option<Vec<u8>>, stderr: Vec<u8>, status: ExitStatus) -> Result<Printed, HelmError> {
    let Call { what, args, started, deadline: _, cluster: _, cache: _ } = call;
    if let Some(signal) = status.signal() {
        return Err(HelmError::Killed { what, signal, stderr: last_lines(&stderr), started });
    }
    if !status.success() {
        let args = args.iter().map(|arg| arg.to_string_lossy().into_owned()).collect();
        let code = status.code().unwrap_or(-1);
        return Err(HelmError::Failed { what, code, args, stderr: last_lines(&stderr), started });
    }
    match stdout {
        Some(stdout) => Ok(Printed { stdout, stderr }),
        None => Err(HelmError::TooMuchOutput { what, limit: STDOUT_LIMIT }),
    }
}

/// The command line and environment of one call.
fn command(settings: &HelmSettings, call: &Call<'_>) -> Command {
    let mut command = Command::new(&settings.program);
    command
        .args(&call.args)
        .env_clear()
        .envs(settings.environment.iter().map(|(name, value)| (name.as_os_str(), value.as_os_str())))
        // Messages and numbers as this tool reads them.
        .env("LC_ALL", "C")
        // The user's repositories, plugins and cached indexes must not change what a blueprint means.
        .env("HELM_CACHE_HOME", call.cache.unwrap_or(&settings.home.join("cache")))
        .env("HELM_CONFIG_HOME", settings.home.join("config"))
        .env("HELM_DATA_HOME", settings.home.join("data"))
        // A plugin can be a downloader or a post-renderer, and so change what is installed.
        .env("HELM_NO_PLUGINS", "1")
        // The records this tool looks for.
        .env("HELM_DRIVER", "secret")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // A group of its own: Ctrl-C on the terminal reaches this tool, which decides what becomes of helm.
        .process_group(0);
    if let Some(registry) = &settings.registry_config {
        command.env("HELM_REGISTRY_CONFIG", registry);
    }
    match call.cluster {
        Some(cluster) => {
            command.env("KUBECONFIG", &cluster.kubeconfig);
            if let Some(context) = &cluster.context {
                command.args([OsStr::new("--kube-context"), OsStr::new(context)]);
            }
        }
        // Without it helm would fall back to ~/.kube/config, or to the cluster it runs in.
        None => {
            command.env("KUBECONFIG", "/dev/null");
        }
    }
    command
}

/// The process group of a running helm. Dropped while armed (its future was dropped), it interrupts the group.
struct Group(Option<Pid>);

impl Group {
    fn of(child: &Child) -> Self {
        // A child that was not waited for has an id, and it stays its own until then.
        Self(child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw))
    }

    fn signal(&self, signal: Signal) {
        if let Some(pid) = self.0 {
            // It fails when the group is gone already, which is what was wanted.
            let _ = kill_process_group(pid, signal);
        }
    }

    /// Its process was waited for: its number may soon be somebody else's.
    fn disarm(&mut self) {
        self.0 = None;
    }
}

impl Drop for Group {
    fn drop(&mut self) {
        self.signal(Signal::INT);
    }
}

/// Reads to the end; `None` when it was more than the limit.
async fn read_head(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> Option<Vec<u8>> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else { return Some(kept) };
    let mut buffer = vec![0; 64 << 10];
    let mut too_much = false;
    // A pipe that breaks ends like one that is closed; the exit status says whether the output can be trusted.
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        too_much |= kept.len() + count > limit;
        if !too_much {
            kept.extend_from_slice(&buffer[..count]);
        }
    }
    (!too_much).then_some(kept)
}

/// Reads to the end, and keeps the last bytes.
async fn read_tail(pipe: Option<impl AsyncRead + Unpin>, limit: usize) -> Vec<u8> {
    let mut kept = Vec::new();
    let Some(mut pipe) = pipe else { return kept };
    let mut buffer = vec![0; 16 << 10];
    while let Ok(count @ 1..) = pipe.read(&mut buffer).await {
        kept.extend_from_slice(&buffer[..count]);
        if kept.len() > 2 * limit {
            kept.drain(..kept.len() - limit);
        }
    }
    kept
}

/// The last lines of a program's standard error, without control characters (a chart's author chooses what is in it).
fn last_lines(stderr: &[u8]) -> String {
    let text = String::from_utf8_lossy(stderr);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let skipped = lines.len().saturating_sub(STDERR_LINES);
    lines[skipped..].join("\n").chars().filter(|c| *c == '\n' || *c == '\t' || !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_is_an_allow_list() {
        let all = ["PATH", "HTTPS_PROXY", "AWS_PROFILE", "HELM_DEBUG", "KUBECONFIG", "WANDB_API_KEY", "LD_PRELOAD"]
            .map(|name| (OsString::from(name), OsString::from("x")));
        let names: Vec<_> = allowed_environment(all).into_iter().map(|(name, _)| name).collect();
        assert_eq!(names, ["PATH", "HTTPS_PROXY", "AWS_PROFILE"]);
    }

    #[test]
    fn only_the_last_twenty_lines_are_kept_and_nothing_that_moves_the_cursor() {
        let text: String = (0..30).map(|line| format!("line {line}\n\n")).collect();
        let kept = last_lines(text.as_bytes());
        assert!(kept.starts_with("line 10\n") && kept.ends_with("line 29"), "{kept}");
        assert_eq!(last_lines(b"\x1b[31mred\x07"), "[31mred");
    }

    #[tokio::test]
    async fn a_pipe_that_says_too_much_is_drained_and_refused() {
        let text = vec![b'x'; 1000];
        assert_eq!(read_head(Some(&text[..]), 999).await, None);
        assert_eq!(read_head(Some(&text[..]), 1000).await, Some(text));
    }
}

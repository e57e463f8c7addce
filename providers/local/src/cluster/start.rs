//! Brings a cluster up: creates what is missing, starts what does not run, and waits until all of it is ready.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::time::Duration;

use k8s_openapi::api::core::v1::ServiceAccount;
use kube::Api;
use wbk_provider_api::{Progress, ProgressSink};

use super::process::{self, Process};
use super::record::{Ports, Record, is_free};
use super::{ClusterStatus, Component, Directory, Wait, kubeconfig, pki, status, stop, wait};
use crate::assets::{self, Found, Pins, Program};
use crate::{LocalError, Settings, files, simulator};

/// Ready after 3 s on an idle machine with two cores; the rest is for busy ones.
const READY: Duration = Duration::from_secs(180);
/// A killed process gave its port back within 0.1 s; a port that somebody else took costs this once.
const GIVEN_BACK: Duration = Duration::from_secs(2);
/// Attempts with other ports, where somebody took ours between choosing and listening.
const ATTEMPTS: usize = 4;
/// Lines of a log that an error shows.
const LOG_LINES: usize = 12;

/// Only who asked for what and when: the tests and benchmarks count requests by it.
const AUDIT_POLICY: &str = "apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules: [{level: Metadata}]
";

pub(super) async fn start(
    settings: &Settings,
    directory: &Directory,
    minor: Option<&str>,
    progress: ProgressSink<'_>,
) -> Result<ClusterStatus, LocalError> {
    let _lock = wait::lock(directory, progress).await?;
    let mut record = record(settings, directory, minor)?;
    let programs = programs(settings, &record.minor, progress).await?;
    directory.create()?;
    record.write(directory)?;
    pki::ensure(directory)?;
    files::write_private(&directory.audit_policy(), AUDIT_POLICY.as_bytes())?;

    let cluster = Starting { settings, directory, programs, progress };
    let client = cluster.api_server(&mut record).await?;
    cluster.version(&client, &mut record).await?;
    simulator::grant(&client).await?;
    for component in [Component::ControllerManager, Component::Scheduler, Component::Simulator] {
        cluster.ensure(component, &record)?;
    }
    cluster.controllers(&client).await?;
    status::status(directory)?.ok_or_else(|| LocalError::NoCluster { name: directory.name().into() })
}

/// What is known of the cluster, or a new one's facts. Data without a record gets one: it is never thrown away.
fn record(settings: &Settings, directory: &Directory, minor: Option<&str>) -> Result<Record, LocalError> {
    let Some(mut record) = Record::read(directory)? else {
        let build = Pins::embedded();
        return Record::new(&build.build_for(minor)?.minor, settings.audit);
    };
    if let Some(wanted) = minor.filter(|wanted| *wanted != record.minor) {
        return Err(LocalError::OtherVersion {
            name: directory.name().into(),
            has: record.minor,
            wanted: wanted.into(),
        });
    }
    record.audit |= settings.audit;
    Ok(record)
}

async fn programs(
    settings: &Settings,
    minor: &str,
    progress: ProgressSink<'_>,
) -> Result<BTreeMap<Program, Found>, LocalError> {
    let (events, mut incoming) = tokio::sync::mpsc::unbounded_channel();
    let (settings, minor) = (settings.clone(), minor.to_owned());
    // Blocks on network, files and a compiler.
    let work = tokio::task::spawn_blocking(move || {
        // Nobody listens only when this start was given up; then nothing is to be told.
        let sink = |event| drop(events.send(event));
        assets::provide(&settings, Some(&minor), &Program::CONTROL_PLANE, &sink)
    });
    while let Some(event) = incoming.recv().await {
        progress(Progress(assets::AssetEvent::to_string(&event)));
    }
    work.await.map_err(|_| LocalError::Task { what: "finds the control plane's programs" })?
}

/// Whether a port is free now or shortly: a process that was killed counts as dead before the last of its threads has
/// given its sockets back.
async fn becomes_free(port: u16) -> bool {
    let wait = Wait::new("a port to be free", GIVEN_BACK);
    while !is_free(port) {
        if wait.again().await.is_err() {
            return false;
        }
    }
    true
}

/// Looks in a row in which a process is not found before it counts as ended: between fork and exec it does not look like
/// itself yet.
const LOOKS: u32 = 5;

struct Starting<'a> {
    settings: &'a Settings,
    directory: &'a Directory,
    programs: BTreeMap<Program, Found>,
    progress: ProgressSink<'a>,
}

impl Starting<'_> {
    /// Store and API server, on ports that are ours; a client once the API server says that it is ready.
    async fn api_server(&self, record: &mut Record) -> Result<kube::Client, LocalError> {
        let mut attempt = 1;
        loop {
            self.ports(record).await?;
            record.write(self.directory)?;
            kubeconfig::write_all(self.directory, record)?;
            (self.progress)(Progress("starting etcd and kube-apiserver".into()));
            let etcd = self.ensure(Component::Etcd, record)?;
            // At once: the API server asks again until the store answers.
            let api_server = self.ensure(Component::ApiServer, record)?;
            match self.ready(&etcd, &api_server, record).await {
                Err(LocalError::Died { log, .. }) if attempt < ATTEMPTS && log.contains("address already in use") => {
                    attempt += 1;
                    stop::end(self.directory, &[Component::ApiServer, Component::Etcd], self.progress).await?;
                    record.ports = Ports::free()?;
                }
                result => return result,
            }
        }
    }

    /// Keeps the ports of what lives and those that are free; whoever used a port that changes is ended.
    async fn ports(&self, record: &mut Record) -> Result<(), LocalError> {
        let lives = |component| process::find(self.directory, component).is_some();
        let fresh = Ports::free()?;
        if !lives(Component::Etcd) && !becomes_free(record.ports.etcd).await {
            record.ports.etcd = fresh.etcd;
            stop::end(self.directory, &[Component::ApiServer], self.progress).await?;
        }
        if !lives(Component::ApiServer) && !becomes_free(record.ports.api_server).await {
            record.ports.api_server = fresh.api_server;
            let users = [Component::Scheduler, Component::ControllerManager, Component::Simulator];
            stop::end(self.directory, &users, self.progress).await?;
        }
        Ok(())
    }

    /// The component's process, started if it does not live.
    fn ensure(&self, component: Component, record: &Record) -> Result<Process, LocalError> {
        if let Some(process) = process::find(self.directory, component) {
            return Ok(process);
        }
        let program: Vec<OsString> = match component.program() {
            Some(program) => vec![self.programs[&program].path.clone().into()],
            None => self.settings.simulator.clone(),
        };
        process::spawn(self.directory, component, &program, &component.arguments(self.directory, record))
    }

    async fn ready(&self, etcd: &Process, api_server: &Process, record: &Record) -> Result<kube::Client, LocalError> {
        let access = kubeconfig::read(&self.directory.kubeconfig())?;
        let client = kubeconfig::client(access, &kubeconfig::context(self.directory.name())).await?;
        let mut current = api_server.clone();
        let mut restarts = 0;
        let wait = Wait::new(format!("the API server of local cluster {} to be ready", self.directory.name()), READY);
        loop {
            self.still_lives(Component::Etcd, etcd)?;
            if !process::is_alive(&current) {
                // It gives up when the store is slow to come; the store lives, so it is started again.
                restarts += 1;
                if restarts >= ATTEMPTS || !self.lost_store() {
                    self.still_lives(Component::ApiServer, &current)?;
                }
                current = self.ensure(Component::ApiServer, record)?;
            }
            let request = http::Request::get("/readyz").body(Vec::new()).expect("a constant path is a valid request");
            // Refused and not ready are what is waited out.
            if client.request_text(request).await.is_ok() {
                return Ok(client);
            }
            self.explain(Component::ApiServer, wait.again().await)?;
        }
    }

    fn lost_store(&self) -> bool {
        let log = files::tail(&self.directory.log(Component::ApiServer), LOG_LINES);
        log.contains("connection refused") || log.contains("context deadline exceeded")
    }

    fn still_lives(&self, component: Component, process: &Process) -> Result<(), LocalError> {
        if process::is_alive(process) {
            return Ok(());
        }
        let log = files::tail(&self.directory.log(component), LOG_LINES);
        Err(LocalError::Died { component: component.name().into(), log })
    }

    /// Controllers run when a namespace has its service account, which every pod needs.
    async fn controllers(&self, client: &kube::Client) -> Result<(), LocalError> {
        (self.progress)(Progress("starting controllers, scheduler and simulator".into()));
        let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
        let wait = Wait::new("the controllers to make the first service account", READY);
        let mut missed = 0;
        loop {
            let components = [Component::ControllerManager, Component::Scheduler, Component::Simulator];
            if let Some(component) = components.into_iter().find(|it| process::find(self.directory, *it).is_none()) {
                missed += 1;
                if missed >= LOOKS {
                    let log = files::tail(&self.directory.log(component), LOG_LINES);
                    return Err(LocalError::Died { component: component.name().into(), log });
                }
                self.explain(component, wait.again().await)?;
                continue;
            }
            missed = 0;
            let account = accounts.get_opt("default").await;
            if account.map_err(LocalError::api("read the service account default/default"))?.is_some() {
                return Ok(());
            }
            self.explain(Component::ControllerManager, wait.again().await)?;
        }
    }

    async fn version(&self, client: &kube::Client, record: &mut Record) -> Result<(), LocalError> {
        let info = client.apiserver_version().await.map_err(LocalError::api("read the API server's version"))?;
        let version = info.git_version.trim_start_matches('v').to_owned();
        if !version.starts_with(&format!("{}.", record.minor)) {
            // Only binaries that were given can be of another version. Nothing but their own start was written yet.
            stop::stop(self.directory, self.progress).await?;
            return Err(LocalError::OtherVersion {
                name: self.directory.name().into(),
                has: version,
                wanted: record.minor.clone(),
            });
        }
        record.version = Some(version);
        record.write(self.directory)
    }

    /// Adds the log to an error that only says that something was late.
    fn explain<T>(&self, component: Component, result: Result<T, LocalError>) -> Result<T, LocalError> {
        result.map_err(|error| match error {
            LocalError::Late { what, seconds, .. } => {
                let log = files::tail(&self.directory.log(component), LOG_LINES);
                LocalError::Late { what, seconds, log: format!("; the log of {component} ends with:\n{log}") }
            }
            other => other,
        })
    }
}

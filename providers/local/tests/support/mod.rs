//! What the tests of a running cluster share: programs provisioned by the crate itself, a cluster in a directory of
//! its own that ends with the test, and waiting on conditions.
//!
//! Programs come from the usual cache (`XDG_CACHE_HOME`), so that they are built once for a machine.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use wbk_provider_api::{
    Capacity, ClusterSpec, GpuShape, PoolSize, PoolSpec, Progress, Provider as _, ProviderKind, Shape, Taint,
    TaintEffect, Wanted,
};
use wbk_provider_local::cluster::{Clusters, Component};
use wbk_provider_local::{LocalProvider, Settings};

/// Longest that anything is waited for: a machine that runs many tests at once.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// Settings of this machine, with a state directory of the test's own.
pub fn settings(state: PathBuf) -> Settings {
    let home = PathBuf::from(std::env::var_os("HOME").expect("HOME is set"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map_or_else(|| home.join(".cache"), PathBuf::from);
    let mut settings = Settings::new(state, cache.join("wbk-infra"));
    settings.assets_dir = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    settings.mirror = std::env::var("WBK_INFRA_MIRROR").ok();
    settings.proxy = std::env::var("HTTPS_PROXY").or_else(|_| std::env::var("https_proxy")).ok();
    settings.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    settings.simulator = vec![env!("CARGO_BIN_EXE_wbk-local-simulate").into()];
    settings
}

/// A provider with a state directory of its own; dropped, every process that it started is ended and all is removed.
pub struct Rig {
    pub provider: Arc<LocalProvider>,
    pub state: PathBuf,
    directory: Option<tempfile::TempDir>,
}

impl Rig {
    pub fn new() -> Result<Self> {
        Self::with(|_| {})
    }

    pub fn with(change: impl FnOnce(&mut Settings)) -> Result<Self> {
        let directory = tempfile::tempdir()?;
        let state = directory.path().join("state");
        let mut settings = settings(state.clone());
        change(&mut settings);
        Ok(Self { provider: Arc::new(LocalProvider::new(settings)), state, directory: Some(directory) })
    }

    pub fn clusters(&self) -> &Clusters {
        self.provider.clusters()
    }

    pub async fn client(&self, name: &str) -> Result<kube::Client> {
        let access = self.clusters().access(name)?;
        let options = kube::config::KubeConfigOptions { context: Some(access.context.clone()), ..Default::default() };
        let mut config = kube::Config::from_custom_kubeconfig(access.kubeconfig, &options).await?;
        config.proxy_url = None;
        Ok(kube::Client::try_from(config)?)
    }

    pub fn pid(&self, name: &str, component: Component) -> Result<i32> {
        let status = self.clusters().status(name)?.context("the cluster is there")?;
        status.pid(component).with_context(|| format!("{component} runs"))
    }

    /// Plans and performs until nothing is left to do; what was done, as `action target`.
    pub async fn converge(&self, wanted: &Wanted) -> Result<Vec<String>> {
        let mut done = Vec::new();
        for _ in 0..4 {
            let seen = self.provider.observe(wanted).await;
            let operations = self.provider.plan(wanted, &seen);
            if operations.is_empty() {
                return Ok(done);
            }
            for operation in operations {
                done.push(format!("{:?} {}", operation.action, operation.target));
                self.provider.perform(wanted, &operation, "token", &tell).await.map_err(chain)?;
            }
        }
        bail!("planning after applying is not empty: {done:?}")
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let provider = self.provider.clone();
        // A thread of its own: the test's runtime may be the one that drops this.
        let ended = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(async {
                for status in provider.clusters().list()? {
                    provider.clusters().delete(&status.name, &tell).await?;
                }
                anyhow::Ok(())
            })
        });
        match ended.join() {
            Ok(Ok(())) => {}
            Ok(Err(error)) => eprintln!("could not clean up: {error:#}"),
            Err(_) => eprintln!("could not clean up"),
        }
        drop(self.directory.take());
    }
}

/// Prints progress, so that a test that takes minutes (a build) says why.
pub fn tell(progress: Progress) {
    eprintln!("  {}", progress.0);
}

/// A provider's error with its causes, for `?`.
pub fn chain(error: wbk_provider_api::ProviderError) -> anyhow::Error {
    anyhow::Error::new(error)
}

/// Looks until it holds.
pub async fn eventually<T>(what: &str, mut look: impl AsyncFnMut() -> Result<Option<T>>) -> Result<T> {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look().await? {
            return Ok(found);
        }
        if Instant::now() > deadline {
            bail!("{what}: not within {} s", PATIENCE.as_secs());
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

/// Whether a process of that pid lives (and is no zombie).
pub fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .ok()
        .and_then(|stat| Some(stat.rsplit_once(") ")?.1.chars().next()? != 'Z'))
        .unwrap_or(false)
}

/// SIGKILL.
pub fn kill(pid: i32) {
    let pid = rustix::process::Pid::from_raw(pid).expect("a pid is positive");
    rustix::process::kill_process(pid, rustix::process::Signal::KILL).expect("the process can be killed");
}

pub fn wanted(cluster: &str, pools: Vec<PoolSpec>) -> Wanted {
    Wanted {
        blueprint: "research".into(),
        cluster: ClusterSpec {
            provider: ProviderKind::Local,
            name: cluster.into(),
            version: Some("1.36".into()),
            region: None,
            context: None,
            kubeconfig: None,
            uid: None,
            kind: Default::default(),
            eks: None,
        },
        pools: pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect(),
    }
}

pub fn cpu_pool(name: &str, nodes: u32) -> PoolSpec {
    PoolSpec {
        name: name.into(),
        machine: Some("simulated-4".into()),
        shape: Shape { cpu_millis: 3920, memory_bytes: 16_000_000_000, pods: 110, gpu: None },
        accelerator: None,
        size: PoolSize { min: nodes, max: nodes },
        capacity: Capacity::OnDemand,
        labels: BTreeMap::from([("team".to_owned(), "research".to_owned())]),
        taints: Vec::new(),
    }
}

pub fn gpu_pool(name: &str, nodes: u32) -> PoolSpec {
    let mut pool = cpu_pool(name, nodes);
    pool.shape.gpu = Some(GpuShape { resource: "nvidia.com/gpu".into(), pci_vendor: "10de".into(), count: 8 });
    pool.taints =
        vec![Taint { key: "nvidia.com/gpu".into(), value: "present".into(), effect: TaintEffect::NoSchedule }];
    pool
}

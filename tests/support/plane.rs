//! A whole control plane of this test's own, started by the local provider's code: etcd, kube-apiserver,
//! kube-controller-manager, kube-scheduler. On loopback, in a folder of its own, gone with the last test that uses it.

use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use kube::config::KubeConfigOptions;
use wbk_provider_api::{Access, Progress};
use wbk_provider_local::Settings;
use wbk_provider_local::cluster::Clusters;

use super::assets;

/// Its name; every test binary has a state folder of its own, so that the names do not meet.
const NAME: &str = "test";

/// A running control plane. It ends with this value.
pub struct Plane {
    clusters: Clusters,
    folder: Option<tempfile::TempDir>,
}

/// The control plane that the tests of this binary share while one of them runs; each uses names of its own.
///
/// # Panics
/// It cannot be had: a test that proves nothing must not look like one that passed.
pub fn plane() -> Arc<Plane> {
    static SHARED: Mutex<Weak<Plane>> = Mutex::new(Weak::new());
    // A test that failed while it started one left nothing half made in here.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(plane) = shared.upgrade() {
        return plane;
    }
    let plane = Arc::new(Plane::start());
    *shared = Arc::downgrade(&plane);
    plane
}

impl Plane {
    fn start() -> Self {
        Self::start_with(|_| {})
    }

    /// One that nobody shares, whose API server keeps an audit log.
    ///
    /// # Panics
    /// It cannot be had.
    pub fn audited() -> Self {
        Self::start_with(|settings| settings.audit = true)
    }

    /// The audit log of [`Self::audited`].
    pub fn audit_log(&self) -> PathBuf {
        self.clusters.audit_path(NAME).expect("it runs")
    }

    fn start_with(change: impl FnOnce(&mut Settings)) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mut settings = assets::settings(folder.path().join("state"));
        change(&mut settings);
        settings.simulator = vec![env!("CARGO_BIN_EXE_wbk-infra").into(), "local".into(), "simulate".into()];
        let plane = Self { clusters: Clusters::new(settings), folder: Some(folder) };
        let clusters = plane.clusters.clone();
        let started = apart(move || async move { clusters.start(NAME, Some("1.36"), &tell).await.map(drop) });
        started.unwrap_or_else(|error| panic!("this test needs a control plane: {error}: {:?}", error));
        plane
    }

    /// How its administrator reaches it.
    pub fn access(&self) -> Access {
        self.clusters.access(NAME).expect("it runs")
    }

    /// Its kubeconfig.
    pub fn kubeconfig(&self) -> PathBuf {
        self.clusters.kubeconfig_path(NAME).expect("it runs")
    }

    /// Its administrator's configuration.
    pub async fn config(&self) -> kube::Config {
        let access = self.access();
        let options = KubeConfigOptions { context: Some(access.context), ..KubeConfigOptions::default() };
        let mut config =
            kube::Config::from_custom_kubeconfig(access.kubeconfig, &options).await.expect("a kubeconfig of ours");
        let host = config.cluster_url.host().unwrap_or_default();
        assert!(matches!(host, "127.0.0.1" | "localhost" | "[::1]"), "{host} is not on this machine: refused");
        config.proxy_url = None;
        config
    }
}

impl Drop for Plane {
    fn drop(&mut self) {
        let clusters = self.clusters.clone();
        if let Err(error) = apart(move || async move { clusters.delete(NAME, &tell).await }) {
            eprintln!("could not end the control plane: {error}");
        }
        drop(self.folder.take());
    }
}

/// Runs on a thread of its own: the runtime of the test may be the one that drops the plane.
fn apart<T: Send + 'static, F: Future<Output = T>>(work: impl FnOnce() -> F + Send + 'static) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(work())
    };
    std::thread::spawn(run).join().expect("the thread that works for the control plane")
}

/// Prints progress, so that a test that takes minutes (a build) says why.
fn tell(progress: Progress) {
    eprintln!("  {}", progress.0);
}

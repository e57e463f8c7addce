//! What tests need from outside: a helm, a control plane, YAML.

#![allow(dead_code, reason = "each test binary uses a part of it")]

pub mod assets;
pub mod charts;
pub mod fake_api;
pub mod home;
pub mod plane;
pub mod schema;
pub mod small;
pub mod tls;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use wbk_provider_local::assets::Program;

/// The environment variable that names the helm to test with; the whole suite passes with either major.
const HELM_VARIABLE: &str = "WBK_INFRA_TEST_HELM";
/// How long a control plane may take to be ready: 3 s on an idle machine, and tests run while others compile.
const READY_DEADLINE: Duration = Duration::from_secs(120);

/// The helm to test with.
pub fn helm_program() -> PathBuf {
    std::env::var_os(HELM_VARIABLE).map_or_else(|| assets::program(Program::Helm), PathBuf::from)
}

/// A control plane of this test's own: etcd and kube-apiserver. It ends with this value.
pub struct Cluster {
    /// Its kubeconfig.
    pub kubeconfig: PathBuf,
    _etcd: Running,
    server: Mutex<Running>,
    folder: tempfile::TempDir,
}

struct Running(Child);

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended by itself; either way it is gone afterwards.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A control plane, shared by the tests that run at the same time; each uses namespaces of its own. A test that cannot have
/// one fails.
pub fn cluster() -> Arc<Cluster> {
    static SHARED: Mutex<Weak<Cluster>> = Mutex::new(Weak::new());
    // A test that failed while it started one left nothing half made in here.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(cluster) = shared.upgrade() {
        return cluster;
    }
    let cluster = Arc::new(start_cluster());
    *shared = Arc::downgrade(&cluster);
    cluster
}

fn start_cluster() -> Cluster {
    let programs = assets::programs(&[Program::Etcd, Program::ApiServer]);
    let (etcd, server) = (programs[&Program::Etcd].clone(), programs[&Program::ApiServer].clone());
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let [client, peer, secure] = free_ports();
    let client = format!("http://127.0.0.1:{client}");
    let peer = format!("http://127.0.0.1:{peer}");
    let key = rcgen::KeyPair::generate().unwrap();
    std::fs::write(path("sa.key"), key.serialize_pem()).unwrap();
    std::fs::write(path("sa.pub"), key.public_key_pem()).unwrap();
    let token = "only-for-this-test-on-loopback";
    std::fs::write(path("tokens.csv"), format!("{token},admin,admin,system:masters\n")).unwrap();
    let etcd = start(
        &etcd,
        &path("etcd.log"),
        &[
            format!("--data-dir={}", path("etcd")),
            format!("--listen-client-urls={client}"),
            format!("--advertise-client-urls={client}"),
            format!("--listen-peer-urls={peer}"),
            format!("--initial-advertise-peer-urls={peer}"),
            format!("--initial-cluster=default={peer}"),
            "--unsafe-no-fsync".into(),
        ],
    );
    let server = start(
        &server,
        &path("server.log"),
        &[
            format!("--etcd-servers={client}"),
            format!("--cert-dir={}", path("certs")),
            format!("--secure-port={secure}"),
            "--bind-address=127.0.0.1".into(),
            format!("--service-account-key-file={}", path("sa.pub")),
            format!("--service-account-signing-key-file={}", path("sa.key")),
            "--service-account-issuer=https://kubernetes.default.svc".into(),
            format!("--token-auth-file={}", path("tokens.csv")),
            "--authorization-mode=RBAC".into(),
            "--service-cluster-ip-range=10.0.0.0/24".into(),
            // Without a controller manager nobody makes the account that pods would run as.
            "--disable-admission-plugins=ServiceAccount".into(),
        ],
    );
    let kubeconfig = folder.path().join("kubeconfig");
    let text = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "test", "cluster": {"server": format!("https://127.0.0.1:{secure}"), "insecure-skip-tls-verify": true}}],
        "users": [{"name": "test", "user": {"token": token}}],
        "contexts": [{"name": "test", "context": {"cluster": "test", "user": "test"}}],
    });
    std::fs::write(&kubeconfig, text.to_string()).unwrap();
    Cluster { kubeconfig, _etcd: etcd, server: Mutex::new(server), folder }
}

impl Cluster {
    /// A client, once the control plane is ready.
    pub async fn client(&self) -> kube::Client {
        let kubeconfig = kube::config::Kubeconfig::read_from(&self.kubeconfig).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &Default::default()).await.unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let begun = Instant::now();
        loop {
            let request = http::Request::get("/readyz").body(Vec::new()).unwrap();
            match client.request_text(request).await {
                Ok(_) => return client,
                Err(error) if begun.elapsed() > READY_DEADLINE || self.ended() => {
                    let log = std::fs::read_to_string(self.folder.path().join("server.log")).unwrap_or_default();
                    let tail = log.lines().rev().take(5).collect::<Vec<_>>().join("\n");
                    panic!("the control plane is not ready: {error}\n{tail}")
                }
                Err(_) => tokio::time::sleep(Duration::from_millis(100)).await,
            }
        }
    }
}

impl Cluster {
    fn ended(&self) -> bool {
        let mut server = self.server.lock().unwrap_or_else(PoisonError::into_inner);
        matches!(server.0.try_wait(), Ok(Some(_)))
    }
}

fn start(program: &Path, log: &str, args: &[String]) -> Running {
    let log = std::fs::File::create(log).unwrap();
    let child = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stdout(log.try_clone().unwrap())
        .stderr(log)
        .spawn()
        .unwrap_or_else(|error| panic!("cannot start {}: {error}", program.display()));
    Running(child)
}

fn free_ports<const N: usize>() -> [u16; N] {
    let listeners: [TcpListener; N] = std::array::from_fn(|_| TcpListener::bind("127.0.0.1:0").unwrap());
    listeners.map(|listener| listener.local_addr().unwrap().port())
}

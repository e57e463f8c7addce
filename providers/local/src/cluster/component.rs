//! The five processes of a cluster, and the arguments each is started with.

use std::ffi::OsString;
use std::path::Path;

use super::Directory;
use super::record::Record;
use crate::assets::Program;

/// A process of a cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize)]
pub enum Component {
    /// The store.
    #[serde(rename = "etcd")]
    Etcd,
    /// The API server.
    #[serde(rename = "kube-apiserver")]
    ApiServer,
    /// The controllers.
    #[serde(rename = "kube-controller-manager")]
    ControllerManager,
    /// The scheduler.
    #[serde(rename = "kube-scheduler")]
    Scheduler,
    /// The simulated kubelets.
    #[serde(rename = "simulator")]
    Simulator,
}

impl Component {
    /// All, in the order in which they are started.
    pub const ALL: [Self; 5] = [Self::Etcd, Self::ApiServer, Self::ControllerManager, Self::Scheduler, Self::Simulator];

    /// Its name, as commands take it and logs are called.
    pub fn name(self) -> &'static str {
        match self {
            Self::Etcd => "etcd",
            Self::ApiServer => "kube-apiserver",
            Self::ControllerManager => "kube-controller-manager",
            Self::Scheduler => "kube-scheduler",
            Self::Simulator => "simulator",
        }
    }

    /// The component of that name; short names (`apiserver`) are understood.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|component| {
            component.name() == name || component.name().strip_prefix("kube-").is_some_and(|short| short == name)
        })
    }

    /// The program that it is; `None` for the simulator, which is this tool itself.
    pub(crate) fn program(self) -> Option<Program> {
        match self {
            Self::Etcd => Some(Program::Etcd),
            Self::ApiServer => Some(Program::ApiServer),
            Self::ControllerManager => Some(Program::ControllerManager),
            Self::Scheduler => Some(Program::Scheduler),
            Self::Simulator => None,
        }
    }

    /// The argument that no other process of this machine has: by it a process is recognised.
    pub(crate) fn marker(self, directory: &Directory) -> OsString {
        match self {
            Self::Etcd => flag("--data-dir", &directory.etcd()),
            Self::ApiServer => flag("--client-ca-file", &directory.pki("ca.crt")),
            Self::ControllerManager => flag("--kubeconfig", &directory.pki("controller-manager.kubeconfig")),
            Self::Scheduler => flag("--kubeconfig", &directory.pki("scheduler.kubeconfig")),
            Self::Simulator => directory.pki("simulator.kubeconfig").into(),
        }
    }

    /// What it is started with; secrets are in files, never here.
    pub(crate) fn arguments(self, directory: &Directory, record: &Record) -> Vec<OsString> {
        let mut arguments = vec![self.marker(directory)];
        match self {
            Self::Etcd => etcd(directory, record, &mut arguments),
            Self::ApiServer => api_server(directory, record, &mut arguments),
            Self::ControllerManager => controller_manager(directory, &mut arguments),
            Self::Scheduler => scheduler(&mut arguments),
            Self::Simulator => arguments.insert(0, "--kubeconfig".into()),
        }
        arguments
    }
}

impl std::fmt::Display for Component {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}

fn flag(name: &str, path: &Path) -> OsString {
    let mut flag = OsString::from(name);
    flag.push("=");
    flag.push(path);
    flag
}

/// Its files are written through (fsync stays on): a user's platform is in it.
fn etcd(directory: &Directory, record: &Record, arguments: &mut Vec<OsString>) {
    let address = format!("https://127.0.0.1:{}", record.ports.etcd);
    arguments.extend([
        "--name=local".into(),
        format!("--listen-client-urls={address}").into(),
        format!("--advertise-client-urls={address}").into(),
        // There is no peer. Port 0 takes any free one, and the certificates keep strangers out of it.
        "--listen-peer-urls=https://127.0.0.1:0".into(),
        "--initial-advertise-peer-urls=https://127.0.0.1:1".into(),
        "--initial-cluster=local=https://127.0.0.1:1".into(),
        "--client-cert-auth=true".into(),
        flag("--trusted-ca-file", &directory.pki("etcd-ca.crt")),
        flag("--cert-file", &directory.pki("etcd.crt")),
        flag("--key-file", &directory.pki("etcd.key")),
        "--peer-client-cert-auth=true".into(),
        flag("--peer-trusted-ca-file", &directory.pki("etcd-ca.crt")),
        flag("--peer-cert-file", &directory.pki("etcd.crt")),
        flag("--peer-key-file", &directory.pki("etcd.key")),
        // Fewer entries held in memory than the default; a local cluster has no slow follower to serve.
        "--snapshot-count=5000".into(),
        "--log-level=warn".into(),
    ]);
}

fn api_server(directory: &Directory, record: &Record, arguments: &mut Vec<OsString>) {
    arguments.extend([
        "--bind-address=127.0.0.1".into(),
        // Without it the address of a network interface is looked for, and a machine may have none.
        "--advertise-address=127.0.0.1".into(),
        "--endpoint-reconciler-type=none".into(),
        format!("--secure-port={}", record.ports.api_server).into(),
        format!("--etcd-servers=https://127.0.0.1:{}", record.ports.etcd).into(),
        flag("--etcd-cafile", &directory.pki("etcd-ca.crt")),
        flag("--etcd-certfile", &directory.pki("etcd-client.crt")),
        flag("--etcd-keyfile", &directory.pki("etcd-client.key")),
        flag("--tls-cert-file", &directory.pki("apiserver.crt")),
        flag("--tls-private-key-file", &directory.pki("apiserver.key")),
        flag("--service-account-key-file", &directory.pki("service-accounts.pub")),
        flag("--service-account-signing-key-file", &directory.pki("service-accounts.key")),
        "--service-account-issuer=https://kubernetes.default.svc.cluster.local".into(),
        "--service-cluster-ip-range=10.96.0.0/16".into(),
        "--authorization-mode=Node,RBAC".into(),
        "--anonymous-auth=false".into(),
        "--allow-privileged=true".into(),
        "--profiling=false".into(),
    ]);
    if record.audit {
        arguments.extend([
            flag("--audit-policy-file", &directory.audit_policy()),
            flag("--audit-log-path", &directory.audit_log()),
            "--audit-log-maxsize=100".into(),
            "--audit-log-maxbackup=2".into(),
        ]);
    }
}

fn controller_manager(directory: &Directory, arguments: &mut Vec<OsString>) {
    arguments.extend([
        "--leader-elect=false".into(),
        // Nobody asks it anything: no port, nothing to guard.
        "--secure-port=0".into(),
        "--use-service-account-credentials=true".into(),
        flag("--root-ca-file", &directory.pki("ca.crt")),
        flag("--service-account-private-key-file", &directory.pki("service-accounts.key")),
        flag("--cluster-signing-cert-file", &directory.pki("ca.crt")),
        flag("--cluster-signing-key-file", &directory.pki("ca.key")),
        // The default of 20 is for servers that many share; this one is ours alone.
        "--kube-api-qps=200".into(),
        "--kube-api-burst=400".into(),
        "--profiling=false".into(),
    ]);
}

fn scheduler(arguments: &mut Vec<OsString>) {
    arguments.extend([
        "--leader-elect=false".into(),
        "--secure-port=0".into(),
        "--kube-api-qps=200".into(),
        "--kube-api-burst=400".into(),
        "--profiling=false".into(),
    ]);
}

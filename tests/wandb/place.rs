//! Where an agent and its jobs live: a namespace for the agent with its service account, one for the jobs with exactly the Role under
//! test, and a kubeconfig with the account's own token.

use serde_json::{Value, json};

use super::live;
use super::rights::{self, Mode};
use super::support::plane::Plane;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

/// The Helm release that an agent believes to be of.
pub const RELEASE: &str = "launch";
/// The agent's account.
const ACCOUNT: &str = "wandb-launch";

/// The two namespaces of an agent.
pub struct Place {
    /// How the agent was installed.
    pub mode: Mode,
    /// The agent's namespace.
    pub agent: String,
    /// The jobs' namespace.
    pub jobs: String,
    /// The account's kubeconfig.
    pub kubeconfig: Value,
    /// The administrator.
    pub admin: kube::Client,
}

impl Place {
    /// Makes it.
    pub async fn make(plane: &Plane, name: &str, mode: Mode, key: &str) -> Self {
        let config = plane.config().await;
        let (server, authority) = (config.cluster_url.to_string(), authority(plane));
        let admin = kube::Client::try_from(config).expect("a client");
        let (agent, jobs) = (format!("agent-{name}"), format!("jobs-{name}"));
        let named = |kind: &str, api: &str, space: &str, name: &str| json!({"apiVersion": api, "kind": kind, "metadata": {"namespace": space, "name": name}});
        for space in [&agent, &jobs] {
            let space = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}});
            live::send(&admin, "POST", "/api/v1/namespaces", &space).await;
        }
        let mut role = named("Role", "rbac.authorization.k8s.io/v1", &jobs, ACCOUNT);
        role["rules"] = rights::rules(mode);
        let mut binding = named("RoleBinding", "rbac.authorization.k8s.io/v1", &jobs, ACCOUNT);
        binding["roleRef"] = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": ACCOUNT});
        binding["subjects"] = json!([{"kind": "ServiceAccount", "namespace": agent, "name": ACCOUNT}]);
        let account = named("ServiceAccount", "v1", &agent, ACCOUNT);
        let mut objects = vec![account, role, binding];
        if mode == Mode::Helm {
            // As a chart makes it: the agent finds it and compares its data.
            let mut secret = named("Secret", "v1", &jobs, &format!("wandb-api-key-{RELEASE}"));
            secret["metadata"]["labels"] = json!({"wandb.ai/created-by": "helm-chart"});
            secret["type"] = json!("kubernetes.io/basic-auth");
            secret["data"] = json!({"password": STANDARD.encode(key)});
            objects.push(secret);
        }
        for object in &objects {
            live::send(&admin, "POST", &live::collection(object), object).await;
        }
        let path = format!("/api/v1/namespaces/{agent}/serviceaccounts/{ACCOUNT}/token");
        let asked = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"expirationSeconds": 7200}});
        let token = live::send(&admin, "POST", &path, &asked).await["status"]["token"].clone();
        let kubeconfig = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "agent",
            "clusters": [{"name": "plane", "cluster": {"server": server, "certificate-authority-data": authority}}],
            "users": [{"name": "agent", "user": {"token": token}}],
            "contexts": [{"name": "agent", "context": {"cluster": "plane", "user": "agent", "namespace": agent}}],
        });
        Self { mode, agent, jobs, kubeconfig, admin }
    }

    /// The account's name in the API server's audit log.
    pub fn user(&self) -> String {
        format!("system:serviceaccount:{}:{ACCOUNT}", self.agent)
    }
}

/// The certificate authority of a plane, as its kubeconfig has it.
fn authority(plane: &Plane) -> String {
    let access = plane.access();
    let cluster = access.kubeconfig.clusters.first().and_then(|named| named.cluster.clone());
    cluster.and_then(|cluster| cluster.certificate_authority_data).expect("certificates are in the kubeconfig")
}

/// A simulated node for all jobs.
pub async fn make_node(plane: &Plane) {
    let admin = kube::Client::try_from(plane.config().await).expect("a client");
    let shape = json!({"cpu_millis": 8000, "memory_bytes": 32_u64 << 30, "pods": 110, "gpu": null});
    let node = json!({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "wandb-0",
        "labels": {"wbk-infra/simulated": "true"}, "annotations": {"wbk-infra/shape": shape.to_string()}}});
    live::send(&admin, "POST", "/api/v1/nodes", &node).await;
}

//! What stands in the pods of agents, builds and jobs beside their own program: certificates, the proxy, environment, files, volumes.
//!
//! Sources: Go (wandb-core, kaniko) reads SSL_CERT_FILE; requests reads REQUESTS_CA_BUNDLE, and boto AWS_CA_BUNDLE before it; git
//! reads GIT_SSL_CAINFO, the program curl CURL_CA_BUNDLE. Each of them takes the place of the public certificates. Of the proxy's
//! variables curl reads `http_proxy` in small letters alone, others either.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::blueprint::schema::{CaBundle, Launch, Queue, Text};
use crate::desired::{SecretReference, SecretSlot};

/// The ConfigMap with the certificates, where this tool makes it, and its key.
const CA: (&str, &str) = ("wandb-ca", "ca.crt");
/// Where the certificates stand in a container.
const CA_FOLDER: &str = "/etc/wbk-infra/ca";
/// Variables by which programs find certificates.
const CA_VARIABLES: [&str; 5] =
    ["AWS_CA_BUNDLE", "CURL_CA_BUNDLE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "SSL_CERT_FILE"];
/// The Secret with a proxy's addresses that hold a password.
pub(super) const PROXY_SECRET: &str = "wandb-proxy";
/// What no proxy may be asked for: the API server's own address (Kubernetes sets the variable in every container and replaces it
/// here), Services, this machine, and what clouds answer themselves (metadata; EKS Pod Identity).
const NEVER_PROXIED: [&str; 7] = [
    "$(KUBERNETES_SERVICE_HOST)",
    ".svc",
    ".cluster.local",
    "localhost",
    "127.0.0.1",
    "169.254.169.254",
    "169.254.170.23",
];
/// Where Google's metadata server is asked for by name.
const GOOGLE: &str = "metadata.google.internal";

/// A variable of a container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Variable {
    /// As it stands here.
    Plain(String),
    /// A key of a Secret in the pod's namespace.
    Key {
        /// The Secret.
        secret: String,
        /// Its key.
        key: String,
    },
}

impl Variable {
    /// As an entry of a container's `env`.
    fn entry(&self, name: &str) -> Value {
        match self {
            Self::Plain(value) => json!({"name": name, "value": value}),
            Self::Key { secret, key } => {
                json!({"name": name, "valueFrom": {"secretKeyRef": {"name": secret, "key": key}}})
            }
        }
    }
}

/// What a container gets.
#[derive(Debug, Clone, Default)]
pub(super) struct Parts {
    /// Variables by name.
    pub env: BTreeMap<String, Variable>,
    mounts: Vec<Value>,
    volumes: Vec<Value>,
}

impl Parts {
    /// Of every container of Launch: certificates and the proxy.
    pub fn common(launch: &Launch) -> Self {
        let mut parts = Self { env: proxy(launch), ..Self::default() };
        if let Some((name, key)) = ca_bundle(launch) {
            for variable in CA_VARIABLES {
                parts.env.insert(variable.into(), Variable::Plain(format!("{CA_FOLDER}/{key}")));
            }
            parts.mounts.push(json!({"name": "ca", "mountPath": CA_FOLDER, "readOnly": true}));
            parts.volumes.push(json!({"name": "ca", "configMap": {"name": name}}));
        }
        parts
    }

    /// Of a job: those, and what its queue says. The queue's own variables win.
    pub fn of_queue(launch: &Launch, queue: &Queue, namespace: &str) -> Self {
        let mut parts = Self::common(launch);
        for (name, text) in &queue.env {
            let variable = match text {
                Text::Plain(text) => Variable::Plain(text.clone()),
                Text::Secret(from) => match in_place(from, namespace) {
                    Some((secret, key)) => Variable::Key { secret: secret.into(), key: key.into() },
                    None => Variable::Key { secret: secret_name(queue), key: name.clone() },
                },
            };
            parts.env.insert(name.clone(), variable);
        }
        // One volume for each Secret, and each file mounted alone: a folder would hide what the image has beside it.
        let mut by_secret: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for (path, from) in &queue.files {
            let (secret, key) = match in_place(from, namespace) {
                Some((secret, key)) => (secret.to_owned(), key.to_owned()),
                None => (secret_name(queue), file_key(path)),
            };
            let name = format!("files-{secret}").replace('.', "-");
            parts.mounts.push(json!({"name": name, "mountPath": path, "subPath": key, "readOnly": true}));
            let items = by_secret.entry(secret).or_default();
            let item = json!({"key": key, "path": key});
            if !items.contains(&item) {
                items.push(item);
            }
        }
        for (secret, items) in by_secret {
            let name = format!("files-{secret}").replace('.', "-");
            parts.volumes.push(json!({"name": name, "secret": {"secretName": secret, "items": items}}));
        }
        let mut claims: Vec<&str> = queue.volumes.iter().map(|volume| volume.claim.as_str()).collect();
        claims.sort_unstable();
        claims.dedup();
        for mount in &queue.volumes {
            let mut value = json!({"name": volume_name(&mount.claim), "mountPath": mount.path});
            if mount.read_only {
                value["readOnly"] = true.into();
            }
            if let Some(folder) = &mount.folder {
                value["subPath"] = folder.clone().into();
            }
            parts.mounts.push(value);
        }
        for claim in claims {
            parts.volumes.push(json!({"name": volume_name(claim), "persistentVolumeClaim": {"claimName": claim}}));
        }
        parts
    }

    /// Whether there is nothing.
    pub fn is_empty(&self) -> bool {
        self.env.is_empty() && self.mounts.is_empty()
    }

    /// Lays them into a pod's specification, on its first container.
    pub fn lay_into(&self, pod: &mut Value) {
        let append = |list: &mut Value, more: &[Value]| {
            let mut all = list.as_array().cloned().unwrap_or_default();
            all.extend(more.iter().cloned());
            if !all.is_empty() {
                *list = all.into();
            }
        };
        let env: Vec<Value> = self.env.iter().map(|(name, variable)| variable.entry(name)).collect();
        append(&mut pod["containers"][0]["env"], &env);
        append(&mut pod["containers"][0]["volumeMounts"], &self.mounts);
        append(&mut pod["volumes"], &self.volumes);
        for pointer in ["/containers/0", ""] {
            // Indexing made keys for what stayed empty.
            if let Some(map) = pod.pointer_mut(pointer).and_then(Value::as_object_mut) {
                map.retain(|_, value| !value.is_null());
            }
        }
    }
}

/// ConfigMap and key of the certificates, in each namespace of agents and jobs.
pub(super) fn ca_bundle(launch: &Launch) -> Option<(&str, &str)> {
    match launch.ca_bundle.as_ref()? {
        CaBundle::ConfigMap(path) => path.split_once('/'),
        CaBundle::File(_) | CaBundle::Env(_) | CaBundle::Secret(_) | CaBundle::Command(_) => Some(CA),
    }
}

/// Where the certificates are read: for this tool's own requests, and for the ConfigMap that it makes.
pub(super) fn ca_reference(launch: &Launch) -> Option<SecretReference> {
    Some(match launch.ca_bundle.clone()? {
        CaBundle::File(path) => SecretReference::File(path),
        CaBundle::Env(name) => SecretReference::Env(name),
        CaBundle::Secret(path) => SecretReference::Secret(path),
        CaBundle::Command(words) => SecretReference::Command(words),
        CaBundle::ConfigMap(path) => SecretReference::ConfigMap(format!("{}/{path}", launch.namespace)),
    })
}

/// The proxy's variables, in capital and in small letters.
fn proxy(launch: &Launch) -> BTreeMap<String, Variable> {
    let mut env = BTreeMap::new();
    let Some(proxy) = &launch.proxy else { return env };
    let mut add = |name: &str, variable: Variable| {
        env.insert(name.to_ascii_lowercase(), variable.clone());
        env.insert(name.to_owned(), variable);
    };
    for (name, address) in [("HTTP_PROXY", &proxy.http), ("HTTPS_PROXY", &proxy.https)] {
        match address {
            Some(Text::Plain(address)) => add(name, Variable::Plain(address.clone())),
            Some(Text::Secret(_)) => add(name, Variable::Key { secret: PROXY_SECRET.into(), key: name.into() }),
            None => {}
        }
    }
    let own = proxy.no_proxy.iter().map(String::as_str);
    let mut all: Vec<&str> = NEVER_PROXIED.into_iter().chain([GOOGLE]).collect();
    for one in own {
        if !all.contains(&one) {
            all.push(one);
        }
    }
    add("NO_PROXY", Variable::Plain(all.join(",")));
    env
}

/// Keys of the Secret with the proxy's addresses; none where nothing is secret in them.
pub(super) fn proxy_slots(launch: &Launch) -> Vec<(&'static str, &SecretReference)> {
    let Some(proxy) = &launch.proxy else { return Vec::new() };
    [("HTTP_PROXY", &proxy.http), ("HTTPS_PROXY", &proxy.https)]
        .into_iter()
        .filter_map(|(name, address)| match address {
            Some(Text::Secret(from)) => Some((name, from)),
            Some(Text::Plain(_)) | None => None,
        })
        .collect()
}

/// The Secret of a queue's own environment and files, in the namespace of its jobs.
pub(super) fn secret_name(queue: &Queue) -> String {
    format!("launch-queue-{}", queue.name.to_ascii_lowercase().replace(['_', '.'], "-"))
}

/// The key of a file in that Secret; lint refuses two paths that share one.
pub(crate) fn file_key(path: &str) -> String {
    let letter = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '.' };
    format!("file{}", path.chars().map(letter).collect::<String>())
}

/// What that Secret holds.
pub(super) fn own_slots(queue: &Queue, namespace: &str) -> Vec<SecretSlot> {
    let env = queue.env.iter().filter_map(|(name, text)| match text {
        Text::Secret(from) => Some((name.clone(), from)),
        Text::Plain(_) => None,
    });
    let files = queue.files.iter().map(|(path, from)| (file_key(path), from));
    env.chain(files)
        .filter(|(_, from)| in_place(from, namespace).is_none())
        .map(|(key, from)| SecretSlot::new(key, from.clone()))
        .collect()
}

/// Secret and key, where the reference is to one in the jobs' own namespace: it needs no copy.
fn in_place<'a>(from: &'a SecretReference, namespace: &str) -> Option<(&'a str, &'a str)> {
    let SecretReference::Secret(path) = from else { return None };
    path.strip_prefix(namespace)?.strip_prefix('/')?.split_once('/')
}

/// The volume of a claim in a pod: claims may have dots and be longer than volumes' names.
fn volume_name(claim: &str) -> String {
    let name = format!("claim-{}", claim.replace('.', "-"));
    name[..name.len().min(63)].trim_end_matches('-').to_owned()
}

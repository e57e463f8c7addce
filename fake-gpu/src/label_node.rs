//! The labels of NFD and GFD, written by this pod itself, for clusters that have neither.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde_json::json;

/// Where a pod finds its service account.
pub const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// An API server that is alive answers in milliseconds.
const ANSWER: Duration = Duration::from_secs(15);

/// Writes them on the node with the pod's own service account.
///
/// # Errors
/// The account is not there, or the API server refuses.
pub fn label(node: &str, labels: &BTreeMap<String, String>, server: &str) -> Result<(), String> {
    let account = Path::new(ACCOUNT);
    let read = |name: &str| {
        std::fs::read_to_string(account.join(name)).map_err(|error| format!("cannot read {ACCOUNT}/{name}: {error}"))
    };
    let token = read("token")?;
    let certificates = ureq::tls::parse_pem(read("ca.crt")?.as_bytes())
        .filter_map(|item| match item {
            Ok(ureq::tls::PemItem::Certificate(certificate)) => Some(Ok(certificate)),
            Ok(_) => None,
            Err(error) => Some(Err(format!("cannot use {ACCOUNT}/ca.crt: {error}"))),
        })
        .collect::<Result<Vec<_>, String>>()?;
    let tls = ureq::tls::TlsConfig::builder().root_certs(ureq::tls::RootCerts::new_with_certs(&certificates)).build();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().tls_config(tls).timeout_global(Some(ANSWER)).proxy(None).build().into();
    let patch = json!({"metadata": {"labels": labels}}).to_string();
    agent
        .patch(format!("{server}/api/v1/nodes/{node}?fieldManager=wbk-fake-gpu"))
        .header("authorization", format!("Bearer {}", token.trim()))
        .header("content-type", "application/merge-patch+json")
        .send(patch)
        .map(drop)
        .map_err(|error| format!("cannot label node {node}: {error}"))
}

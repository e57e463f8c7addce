//! Kubeconfigs with the certificates in them.

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::Directory;
use super::pki::CLIENTS;
use super::record::Record;
use crate::{LocalError, files};

/// The context's name in a cluster's kubeconfig.
pub(crate) fn context(name: &str) -> String {
    format!("wbk-infra-{name}")
}

/// Writes the administrator's kubeconfig and each component's, where they differ from what is there.
pub(crate) fn write_all(directory: &Directory, record: &Record) -> Result<(), LocalError> {
    let authority = encoded(&directory.pki("ca.crt"))?;
    for client in &CLIENTS {
        let certificate = encoded(&directory.pki(&format!("{}.crt", client.file)))?;
        let key = encoded(&directory.pki(&format!("{}.key", client.file)))?;
        let name = context(directory.name());
        // JSON is YAML, and serde_json quotes what needs it.
        let json = serde_json::json!({
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [{"name": name, "cluster": {
                "server": format!("https://127.0.0.1:{}", record.ports.api_server),
                "certificate-authority-data": authority,
            }}],
            "users": [{"name": name, "user": {"client-certificate-data": certificate, "client-key-data": key}}],
            "contexts": [{"name": name, "context": {"cluster": name, "user": name}}],
            "current-context": name,
        });
        let path = match client.file {
            "admin" => directory.kubeconfig(),
            file => directory.pki(&format!("{file}.kubeconfig")),
        };
        let text = serde_json::to_vec_pretty(&json).expect("a kubeconfig is plain data");
        // One that cannot be read is written.
        if std::fs::read(&path).ok().as_deref() != Some(text.as_slice()) {
            files::write_private(&path, &text)?;
        }
    }
    Ok(())
}

fn encoded(path: &Path) -> Result<String, LocalError> {
    Ok(STANDARD.encode(std::fs::read(path).map_err(LocalError::file("read", path))?))
}

pub(crate) fn read(path: &Path) -> Result<Kubeconfig, LocalError> {
    Kubeconfig::read_from(path).map_err(|source| LocalError::Kubeconfig { path: path.into(), source })
}

pub(crate) async fn client(kubeconfig: Kubeconfig, context: &str) -> Result<kube::Client, LocalError> {
    let options = KubeConfigOptions { context: Some(context.into()), ..KubeConfigOptions::default() };
    let mut config = kube::Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|source| LocalError::Kubeconfig { path: context.into(), source })?;
    // The API server is on this machine, whatever proxy the environment names.
    config.proxy_url = None;
    kube::Client::try_from(config).map_err(LocalError::api("make a client for the local API server"))
}

//! From a kubeconfig in memory to a client that speaks HTTP/2 over one connection.

use std::time::Duration;

use hyper_util::{client::legacy::connect::HttpConnector, rt::TokioExecutor};
use kube::{
    Client, Config,
    client::{Body, ClientBuilder, ConfigExt},
    config::KubeConfigOptions,
};
use tower::{BoxError, ServiceBuilder, ServiceExt};
use wbk_provider_api::Access;

use super::{ClusterError, ErrorKind, one_connection::OneConnection};

/// How long a TCP connection may take. A reachable server answers within a few round trips; 10 s covers a slow VPN.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// What the server may send before it is read, in bytes: for one answer and for all. HTTP/2 begins with 64 KiB for both,
/// so that a LIST of 2 MB waits for dozens of round trips; a window that adapts spends some on learning it.
const STREAM_WINDOW: u32 = 4 << 20;
const CONNECTION_WINDOW: u32 = 32 << 20;

/// Makes a client for an API server.
///
/// kube's own stack speaks HTTP/1.1 with a connection for each request in flight; one HTTP/2 connection serves
/// dozens of parallel LISTs without their handshakes (17 to 68 ms for 25). Behind a proxy kube's stack is used.
///
/// # Errors
/// The kubeconfig names no such context, or its certificates or exec plugin are unusable.
pub async fn connect(access: &Access) -> Result<Client, ClusterError> {
    let attempted = || match exec_plugin(access) {
        Some(plugin) => {
            format!("connect to the cluster of context {:?} with the credentials that {plugin} gives", access.context)
        }
        None => format!("connect to the cluster of context {:?}", access.context),
    };
    let options = KubeConfigOptions { context: Some(access.context.clone()), ..KubeConfigOptions::default() };
    let config = Config::from_custom_kubeconfig(access.kubeconfig.clone(), &options)
        .await
        .map_err(|source| ClusterError::caused(attempted(), ErrorKind::Local, source))?;
    let local = |source: kube::Error| ClusterError::caused(attempted(), ErrorKind::Local, source);
    if config.proxy_url.is_some() {
        return Client::try_from(config).map_err(local);
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_connect_timeout(Some(CONNECT_TIMEOUT));
    tcp.set_nodelay(true);
    let mut tls = hyper_rustls::HttpsConnectorBuilder::new()
        .with_tls_config(config.rustls_client_config().map_err(local)?)
        .https_or_http();
    if let Some(name) = &config.tls_server_name {
        let name = name.clone().try_into().map_err(|source: rustls_pki_types::InvalidDnsNameError| {
            ClusterError::caused(attempted(), ErrorKind::Local, source)
        })?;
        tls = tls.with_server_name_resolver(hyper_rustls::FixedServerNameResolver::new(name));
    }
    let http = hyper_util::client::legacy::Client::builder(TokioExecutor::new())
        .http2_initial_stream_window_size(STREAM_WINDOW)
        .http2_initial_connection_window_size(CONNECTION_WINDOW)
        .build::<_, Body>(OneConnection::new(tls.enable_all_versions().wrap_connector(tcp)));
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer().map_err(local)?)
        .layer(config.extra_headers_layer().map_err(local)?)
        .map_err(BoxError::from)
        .service(http);
    Ok(ClientBuilder::new(service.boxed(), config.default_namespace.clone()).build())
}

/// The program that gives the credentials of a context, where one does.
fn exec_plugin(access: &Access) -> Option<&str> {
    let config = &access.kubeconfig;
    let context = config.contexts.iter().find(|context| context.name == access.context)?.context.as_ref()?;
    let user = config.auth_infos.iter().find(|user| Some(&user.name) == context.user.as_ref())?;
    user.auth_info.as_ref()?.exec.as_ref()?.command.as_deref()
}

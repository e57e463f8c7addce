//! How requests leave: TLS by rustls with ring, the proxy that the environment names, and a count of them.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use aws_smithy_http_client::proxy::ProxyConfig;
use aws_smithy_http_client::tls::{Provider, TlsContext, TrustStore, rustls_provider::CryptoMode};
use aws_smithy_http_client::{Builder, Connector};
use aws_smithy_runtime_api::client::http::{
    HttpClient, HttpConnector, HttpConnectorFuture, HttpConnectorSettings, SharedHttpClient, SharedHttpConnector,
};
use aws_smithy_runtime_api::client::orchestrator::HttpRequest;
use aws_smithy_runtime_api::client::runtime_components::RuntimeComponents;

use crate::error::AwsError;

/// Requests that left, retries among them; those for the machine's own metadata are not counted.
#[derive(Debug, Clone, Default)]
pub(crate) struct Counting(Arc<AtomicU64>);

impl Counting {
    pub(crate) fn read(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// The client of everything. Metadata services of the machine (link-local addresses: EC2, ECS, EKS Pod Identity) are asked without the
/// proxy, which could only answer with its own identity.
///
/// # Errors
/// What TLS shall trust is not to be used.
pub(crate) fn client(counting: &Counting, authorities: Option<&[u8]>) -> Result<SharedHttpClient, AwsError> {
    let trusted = match authorities {
        // In place of the machine's own, as the aws CLI has it.
        Some(pem) => TrustStore::empty().with_pem_certificate(pem),
        None => TrustStore::default(),
    };
    let tls = TlsContext::builder().with_trust_store(trusted).build();
    let tls = tls.map_err(|error| AwsError::refused("reach AWS by TLS", error.to_string()))?;
    let (proxied, direct) = (through(ProxyConfig::from_env(), &tls), through(ProxyConfig::disabled(), &tls));
    Ok(SharedHttpClient::new(Routed { proxied, direct, counting: counting.clone() }))
}

fn through(proxy: ProxyConfig, tls: &TlsContext) -> SharedHttpClient {
    let tls = tls.clone();
    Builder::new().build_with_connector_fn(move |settings, components| {
        let mut builder = Connector::builder().proxy_config(proxy.clone());
        if let Some(settings) = settings {
            builder = builder.connector_settings(settings.clone());
        }
        builder.set_sleep_impl(components.and_then(RuntimeComponents::sleep_impl));
        builder.tls_provider(Provider::Rustls(CryptoMode::Ring)).tls_context(tls.clone()).build()
    })
}

#[derive(Debug)]
struct Routed<T> {
    proxied: T,
    direct: T,
    counting: Counting,
}

impl HttpClient for Routed<SharedHttpClient> {
    fn http_connector(&self, settings: &HttpConnectorSettings, components: &RuntimeComponents) -> SharedHttpConnector {
        SharedHttpConnector::new(Routed {
            proxied: self.proxied.http_connector(settings, components),
            direct: self.direct.http_connector(settings, components),
            counting: self.counting.clone(),
        })
    }
}

impl HttpConnector for Routed<SharedHttpConnector> {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        if is_of_the_machine(request.uri()) {
            return self.direct.call(request);
        }
        self.counting.0.fetch_add(1, Ordering::Relaxed);
        self.proxied.call(request)
    }
}

/// Whether a URI is of the machine's metadata services: 169.254.0.0/16, and fd00:ec2::/32 in IPv6.
fn is_of_the_machine(uri: &str) -> bool {
    let host = uri.split_once("://").map_or(uri, |(_, rest)| rest);
    host.starts_with("169.254.") || host.starts_with("[fd00:ec2:")
}

#[cfg(test)]
mod tests {
    use super::is_of_the_machine;

    #[test]
    fn only_metadata_services_are_of_the_machine() {
        assert!(is_of_the_machine("http://169.254.169.254/latest/api/token"));
        assert!(is_of_the_machine("http://[fd00:ec2::23]/v1/credentials"));
        assert!(!is_of_the_machine("https://eks.us-west-2.amazonaws.com/clusters?x=169.254.1.1"));
    }
}

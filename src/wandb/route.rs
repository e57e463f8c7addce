//! The way to W&B: whose certificates are trusted, and through which proxy.

use std::sync::Arc;

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::{PemObject as _, SectionKind};
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// What is between this program and W&B; nothing, where it says nothing.
#[derive(Clone, Default)]
pub struct Route {
    authorities: Option<Vec<CertificateDer<'static>>>,
    proxies: Proxies,
}

/// The proxies of this process, as its environment says: of the cluster's nothing follows for this machine.
#[derive(Clone, Default)]
pub struct Proxies {
    /// For `http://`.
    pub http: Option<String>,
    /// For `https://`.
    pub https: Option<String>,
    /// Hosts without, separated by commas.
    pub no_proxy: Option<String>,
}

impl std::fmt::Debug for Proxies {
    /// A proxy's address may hold a password.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Proxies").field("no_proxy", &self.no_proxy).finish_non_exhaustive()
    }
}

impl Route {
    /// A way through proxies.
    pub fn through(proxies: Proxies) -> Self {
        Self { authorities: None, proxies }
    }

    /// The same, with these authorities in place of the public ones.
    ///
    /// # Errors
    /// It is no PEM with certificates, or has a private key in it.
    pub fn trusting(self, pem: &[u8]) -> Result<Self, String> {
        Ok(Self { authorities: Some(certificates(pem)?), ..self })
    }

    /// The beginning of a client's configuration for an address.
    pub(super) fn config(&self, url: &str) -> ConfigBuilder<AgentScope> {
        let mut config = ureq::Agent::config_builder().proxy(self.proxy(url));
        if let Some(authorities) = &self.authorities {
            let roots: Vec<Certificate<'static>> =
                authorities.iter().map(|one| Certificate::from_der(one.as_ref()).to_owned()).collect();
            let roots = RootCerts::Specific(Arc::new(roots));
            config = config.tls_config(TlsConfig::builder().root_certs(roots).build());
        }
        config
    }

    /// The proxy for an address; one that cannot be used counts as none, and the request says what it meets.
    fn proxy(&self, url: &str) -> Option<ureq::Proxy> {
        let address = if url.starts_with("https://") { &self.proxies.https } else { &self.proxies.http };
        let plain = ureq::Proxy::new(address.as_deref()?).ok()?;
        let mut builder = ureq::Proxy::builder(plain.protocol()).host(plain.host()).port(plain.port());
        if let Some(user) = plain.username() {
            builder = builder.username(user);
        }
        if let Some(password) = plain.password() {
            builder = builder.password(password);
        }
        for host in self.proxies.no_proxy.iter().flat_map(|list| list.split(',')).map(str::trim) {
            if !host.is_empty() {
                builder = builder.no_proxy(host);
            }
        }
        builder.build().ok()
    }
}

/// The certificates of a bundle.
///
/// # Errors
/// Why it is none.
pub fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut found = Vec::new();
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        match section.map_err(|error| format!("it is no PEM: {error}"))? {
            (SectionKind::Certificate, der) => found.push(CertificateDer::from(der)),
            (SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey, _) => {
                return Err("a private key is in it, and everybody in the namespaces of jobs may read it there".into());
            }
            _ => {}
        }
    }
    if found.is_empty() { Err("no certificate (-----BEGIN CERTIFICATE-----) is in it".into()) } else { Ok(found) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bundle() -> (String, String) {
        let made = rcgen::generate_simple_self_signed(vec!["wandb.example.com".to_owned()]).unwrap();
        (made.cert.pem(), made.signing_key.serialize_pem())
    }

    #[test]
    fn a_bundle_is_certificates_and_nothing_else() {
        let (certificate, key) = bundle();
        assert_eq!(certificates(format!("# ours\n{certificate}{certificate}").as_bytes()).unwrap().len(), 2);
        assert!(certificates(format!("{certificate}{key}").as_bytes()).unwrap_err().contains("private key"));
        assert!(certificates(b"hello").unwrap_err().contains("no certificate"));
        assert!(certificates(b"-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n").is_err());
    }

    #[test]
    fn each_kind_of_address_has_its_proxy_and_some_hosts_have_none() {
        let proxies = Proxies {
            http: None,
            https: Some("http://user:secret@proxy.example.com:3128".into()),
            no_proxy: Some("localhost, .corp.example".into()),
        };
        let route = Route::through(proxies.clone());
        let proxy = route.proxy("https://api.wandb.ai").unwrap();
        assert_eq!((proxy.host(), proxy.port(), proxy.password()), ("proxy.example.com", 3128, Some("secret")));
        assert!(proxy.is_no_proxy(&"https://w.corp.example/".parse().unwrap()));
        assert!(!proxy.is_no_proxy(&"https://api.wandb.ai/".parse().unwrap()));
        assert!(route.proxy("http://127.0.0.1:8080").is_none());
        assert!(!format!("{proxies:?}").contains("secret"));
    }
}

//! A certificate authority of one cluster, and the certificate of its API server on loopback.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use crate::StandError;

/// What a server needs, and what its clients trust.
pub(super) struct Tls {
    /// Accepts connections.
    pub(super) acceptor: TlsAcceptor,
    /// The authority's certificate, PEM.
    pub(super) authority: String,
}

impl Tls {
    /// Makes both anew.
    pub(super) fn make(cluster: &str) -> Result<Self, StandError> {
        let failed = |error: rcgen::Error| StandError::plane("cannot make certificates", &error);
        let authority_key = KeyPair::generate().map_err(failed)?;
        let mut wanted = CertificateParams::default();
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        wanted.distinguished_name.push(DnType::CommonName, format!("eks stand {cluster}"));
        let authority = wanted.self_signed(&authority_key).map_err(failed)?;
        let issuer = Issuer::new(wanted, authority_key);
        let key = KeyPair::generate().map_err(failed)?;
        let mut wanted =
            CertificateParams::new(vec!["127.0.0.1".to_owned(), "localhost".to_owned()]).map_err(failed)?;
        wanted.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        wanted.use_authority_key_identifier_extension = true;
        let certificate = wanted.signed_by(&key, &issuer).map_err(failed)?;
        let private = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
        let failed = |error: tokio_rustls::rustls::Error| StandError::plane("cannot use the certificates", &error);
        let provider = Arc::new(tokio_rustls::rustls::crypto::ring::default_provider());
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(failed)?
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], private)
            .map_err(failed)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), authority: authority.pem() })
    }
}

//! The cluster's certificates: two authorities (one for the API, one for the store alone), and who they vouch for.
//!
//! Each file is made once and kept; a pair of which one half is missing is made anew. Keys are P-256.

use std::path::Path;

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SanType,
};

use super::Directory;
use crate::{LocalError, files, names};

/// A local cluster is a workbench: its certificates outlive it.
const YEARS: i32 = 10;

/// Someone the API server knows by certificate.
pub(crate) const CLIENTS: [Client; 4] = [
    Client { file: "admin", user: "wbk-infra:admin", group: Some("system:masters") },
    Client { file: "controller-manager", user: "system:kube-controller-manager", group: None },
    Client { file: "scheduler", user: "system:kube-scheduler", group: None },
    Client { file: "simulator", user: names::SIMULATOR_USER, group: None },
];

/// A client certificate.
pub(crate) struct Client {
    /// The name of its files.
    pub file: &'static str,
    user: &'static str,
    group: Option<&'static str>,
}

/// Makes what is missing.
pub(crate) fn ensure(directory: &Directory) -> Result<(), LocalError> {
    let api = Authority::ensure(directory, "ca", &format!("wbk-infra local {}", directory.name()))?;
    let mut server = params("kube-apiserver", None, ExtendedKeyUsagePurpose::ServerAuth);
    server.subject_alt_names = server_names(directory.name())?;
    api.ensure_signed(directory, "apiserver", server)?;
    for client in &CLIENTS {
        let wanted = params(client.user, client.group, ExtendedKeyUsagePurpose::ClientAuth);
        api.ensure_signed(directory, client.file, wanted)?;
    }
    let store = Authority::ensure(directory, "etcd-ca", &format!("wbk-infra local {} etcd", directory.name()))?;
    let mut server = params("etcd", None, ExtendedKeyUsagePurpose::ServerAuth);
    // etcd dials itself with the same certificate.
    server.extended_key_usages.push(ExtendedKeyUsagePurpose::ClientAuth);
    server.subject_alt_names = loopback()?;
    store.ensure_signed(directory, "etcd", server)?;
    store.ensure_signed(
        directory,
        "etcd-client",
        params("kube-apiserver", None, ExtendedKeyUsagePurpose::ClientAuth),
    )?;
    ensure_signing_key(directory)
}

/// Where the key pair of `name` is: certificate, key.
fn pair(directory: &Directory, name: &str) -> (std::path::PathBuf, std::path::PathBuf) {
    (directory.pki(&format!("{name}.crt")), directory.pki(&format!("{name}.key")))
}

struct Authority {
    issuer: Issuer<'static, KeyPair>,
    /// Made now: what an earlier one signed is worth nothing.
    is_new: bool,
}

impl Authority {
    fn ensure(directory: &Directory, name: &str, subject: &str) -> Result<Self, LocalError> {
        let (certificate, key) = pair(directory, name);
        if certificate.exists() && key.exists() {
            let key = KeyPair::from_pem(&read(&key)?).map_err(failed(name))?;
            let issuer = Issuer::from_ca_cert_pem(&read(&certificate)?, key).map_err(failed(name))?;
            return Ok(Self { issuer, is_new: false });
        }
        let key_pair = KeyPair::generate().map_err(failed(name))?;
        let mut wanted = CertificateParams::default();
        wanted.distinguished_name = distinguished_name(subject, None);
        wanted.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        wanted.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
        lifetime(&mut wanted);
        let signed = wanted.self_signed(&key_pair).map_err(failed(name))?;
        files::remove_file(&certificate)?;
        files::write_private(&key, key_pair.serialize_pem().as_bytes())?;
        files::write_private(&certificate, signed.pem().as_bytes())?;
        Ok(Self { issuer: Issuer::new(wanted, key_pair), is_new: true })
    }

    fn ensure_signed(&self, directory: &Directory, name: &str, wanted: CertificateParams) -> Result<(), LocalError> {
        let (certificate, key) = pair(directory, name);
        if !self.is_new && certificate.exists() && key.exists() {
            return Ok(());
        }
        let key_pair = KeyPair::generate().map_err(failed(name))?;
        let signed = wanted.signed_by(&key_pair, &self.issuer).map_err(failed(name))?;
        // Killed in between, the half that is missing makes the pair anew.
        files::remove_file(&certificate)?;
        files::write_private(&key, key_pair.serialize_pem().as_bytes())?;
        files::write_private(&certificate, signed.pem().as_bytes())
    }
}

/// The pair that signs service accounts' tokens.
fn ensure_signing_key(directory: &Directory) -> Result<(), LocalError> {
    let (private, public) = (directory.pki("service-accounts.key"), directory.pki("service-accounts.pub"));
    let key = if private.exists() {
        KeyPair::from_pem(&read(&private)?).map_err(failed("service accounts"))?
    } else {
        let key = KeyPair::generate().map_err(failed("service accounts"))?;
        files::write_private(&private, key.serialize_pem().as_bytes())?;
        key
    };
    files::write_private(&public, key.public_key_pem().as_bytes())
}

fn params(user: &str, group: Option<&str>, usage: ExtendedKeyUsagePurpose) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = distinguished_name(user, group);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![usage];
    params.use_authority_key_identifier_extension = true;
    lifetime(&mut params);
    params
}

fn distinguished_name(common: &str, organization: Option<&str>) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    if let Some(organization) = organization {
        name.push(DnType::OrganizationName, organization);
    }
    name.push(DnType::CommonName, common);
    name
}

/// From yesterday, so that no clock that is a little off refuses it.
fn lifetime(params: &mut CertificateParams) {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    let from = today.yesterday().unwrap_or(today);
    let (year, month) = (i32::from(from.year()), from.month().unsigned_abs());
    params.not_before = rcgen::date_time_ymd(year, month, from.day().unsigned_abs());
    // Day 28 is in every month; a day or two do not matter in ten years.
    params.not_after = rcgen::date_time_ymd(year + YEARS, month, from.day().unsigned_abs().min(28));
}

fn server_names(name: &str) -> Result<Vec<SanType>, LocalError> {
    let mut names = loopback()?;
    for dns in ["kubernetes", "kubernetes.default", "kubernetes.default.svc", "kubernetes.default.svc.cluster.local"] {
        names.push(SanType::DnsName(dns.try_into().map_err(failed(name))?));
    }
    Ok(names)
}

fn loopback() -> Result<Vec<SanType>, LocalError> {
    Ok(vec![
        SanType::DnsName("localhost".try_into().map_err(failed("localhost"))?),
        SanType::IpAddress(std::net::Ipv4Addr::LOCALHOST.into()),
    ])
}

fn read(path: &Path) -> Result<String, LocalError> {
    std::fs::read_to_string(path).map_err(LocalError::file("read", path))
}

fn failed(what: &str) -> impl FnOnce(rcgen::Error) -> LocalError {
    let what = what.to_owned();
    move |source| LocalError::Certificate { what, source }
}

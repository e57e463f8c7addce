//! How AWS is asked, in the variables that every tool of AWS reads.

use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use wbk_provider_eks::{Retries, Way};

use super::{environment::Environment, failure::Failure};

/// Reads them. Proxies (`HTTPS_PROXY`, `NO_PROXY`), profiles and credentials are read by AWS' own library.
///
/// # Errors
/// A variable that says nothing that can be done: it is named.
pub fn way(environment: &Environment) -> Result<Way, Failure> {
    let authorities = environment.get("AWS_CA_BUNDLE").map(|file| authorities(&file)).transpose()?;
    let attempts = environment.get("AWS_MAX_ATTEMPTS").map(|text| {
        let number = text.trim().parse::<u32>().ok().filter(|number| *number > 0);
        let wrong = || format!("AWS_MAX_ATTEMPTS is {text:?}: a number of tries from 1 was expected");
        number.ok_or_else(|| Failure::usage(wrong()))
    });
    let retries = environment.get("AWS_RETRY_MODE").map(|text| match text.trim().to_ascii_lowercase().as_str() {
        // What the aws CLI did before there were modes is nearest to the standard one, which took its place.
        "standard" | "legacy" => Ok(Retries::Standard),
        "adaptive" => Ok(Retries::Adaptive),
        _ => Err(Failure::usage(format!("AWS_RETRY_MODE is {text:?}: legacy, standard or adaptive was expected"))),
    });
    Ok(Way { authorities, attempts: attempts.transpose()?, retries: retries.transpose()? })
}

fn authorities(file: &str) -> Result<Vec<u8>, Failure> {
    let hint = "name a file of certificates in PEM in AWS_CA_BUNDLE, or unset it";
    let attempted = format!("read the certificates of AWS_CA_BUNDLE, {file}");
    let pem = std::fs::read(file)
        .map_err(|error| Failure::hinted(anyhow::Error::from(error).context(attempted.clone()), hint))?;
    let found: Result<Vec<CertificateDer<'_>>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(pem),
        Ok(_) => Err(Failure::hinted(anyhow::anyhow!("no certificate in PEM is in it").context(attempted), hint)),
        Err(error) => Err(Failure::hinted(anyhow::anyhow!("it is no PEM: {error}").context(attempted), hint)),
    }
}

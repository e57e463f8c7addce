//! The bearer tokens of EKS: a presigned STS URL, checked as aws-iam-authenticator does (`pkg/token/token.go`, `Verify`), and its
//! signature as STS does.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;

use super::sigv4::Presigned;

const PREFIX: &str = "k8s-aws-v1.";
/// The header that binds a token to one cluster.
const CLUSTER: &str = "x-k8s-aws-id";
/// Tokens live so long after their date, whatever `X-Amz-Expires` says.
const LIFETIME_SECONDS: i64 = 15 * 60;
/// Longest token and longest `X-Amz-Expires`.
const LONGEST: (usize, i64) = (4096, 900);
/// What else in the URL is refused.
const PARAMETERS: [&str; 10] = [
    "action",
    "version",
    "x-amz-algorithm",
    "x-amz-credential",
    "x-amz-date",
    "x-amz-expires",
    "x-amz-security-token",
    "x-amz-signature",
    "x-amz-signedheaders",
    "x-amz-user-agent",
];

/// Whether a token is good for the cluster now; why not, in words. `hosts` are the stand's own, which stand for STS.
pub(super) fn check(token: &str, cluster: &str, hosts: &[String], now: Timestamp) -> Result<(), String> {
    if token.len() > LONGEST.0 {
        return Err("token is too large".into());
    }
    let encoded = token.strip_prefix(PREFIX).ok_or_else(|| format!("token is missing expected {PREFIX:?} prefix"))?;
    let url = URL_SAFE_NO_PAD.decode(encoded).map_err(|error| format!("token is no unpadded base64url: {error}"))?;
    let url = String::from_utf8(url).map_err(|error| error.to_string())?;
    let (scheme, rest) = url.split_once("://").ok_or("no URL in the token")?;
    let (place, query) = rest.split_once('?').ok_or("no query in the pre-signed URL")?;
    let (host, path) = place.split_once('/').map_or((place, String::new()), |(host, path)| (host, format!("/{path}")));
    let is_ours = scheme == "http" && hosts.iter().any(|ours| ours == host);
    let is_sts = scheme == "https"
        && host.starts_with("sts.")
        && (host.ends_with(".amazonaws.com") || host.ends_with(".amazonaws.com.cn"));
    if !(is_ours || is_sts) {
        return Err(format!("unexpected host {scheme}://{host} in pre-signed URL"));
    }
    if path != "/" {
        return Err("unexpected path in pre-signed URL".into());
    }
    let mut parameters = BTreeMap::new();
    for (name, value) in form_urlencoded::parse(query.as_bytes()) {
        let name = name.to_ascii_lowercase();
        if !PARAMETERS.contains(&name.as_str()) {
            return Err(format!("non-whitelisted query parameter {name:?}"));
        }
        if parameters.insert(name, value.into_owned()).is_some() {
            return Err("query parameter with multiple values not supported".into());
        }
    }
    let parameter = |name: &str| parameters.get(name).map(String::as_str).unwrap_or_default();
    if parameter("action") != "GetCallerIdentity" {
        return Err("unexpected action parameter in pre-signed URL".into());
    }
    let signed = parameter("x-amz-signedheaders");
    if !signed.split(';').any(|header| header == CLUSTER) {
        return Err(format!("client did not sign the {CLUSTER} header in the pre-signed URL"));
    }
    if !parameter("x-amz-expires").parse().is_ok_and(|expires: i64| (0..=LONGEST.1).contains(&expires)) {
        return Err("invalid X-Amz-Expires parameter in pre-signed URL".into());
    }
    let date = parameter("x-amz-date");
    let since = jiff::civil::DateTime::strptime("%Y%m%dT%H%M%SZ", date)
        .and_then(|date| date.to_zoned(jiff::tz::TimeZone::UTC))
        .map_err(|error| format!("error parsing X-Amz-Date parameter {date}: {error}"))?;
    if now.as_second() - since.timestamp().as_second() > LIFETIME_SECONDS {
        return Err("X-Amz-Date parameter is expired".into());
    }
    let presigned = Presigned { host, path: &path, query, credential: parameter("x-amz-credential"), date, signed };
    if presigned.signature(&[(CLUSTER, cluster)]) != parameter("x-amz-signature") {
        return Err(format!("the signature is not that of the stand's key for cluster {cluster}"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `aws eks get-token --cluster-name demo` (1.45.11), with the stand's keys and `AWS_ENDPOINT_URL=http://127.0.0.1:4566`.
    const TOKEN: &str = include_str!("token.txt");
    const MADE: &str = "2026-11-22T14:31:12Z";

    fn checked(token: &str, cluster: &str, host: &str, later: i64) -> Result<(), String> {
        let made: Timestamp = MADE.parse().unwrap();
        check(token, cluster, &[host.to_owned()], Timestamp::from_second(made.as_second() + later).unwrap())
    }

    #[test]
    fn a_token_of_the_aws_cli_is_good_for_its_cluster_and_fifteen_minutes() {
        let (token, host) = (TOKEN.trim(), "127.0.0.1:4566");
        checked(token, "demo", host, 60).unwrap();
        assert!(checked(token, "other", host, 60).unwrap_err().contains("signature"));
        assert!(checked(token, "demo", host, 901).unwrap_err().contains("expired"));
        assert!(checked(token, "demo", "127.0.0.1:1", 60).unwrap_err().contains("host"));
    }

    #[test]
    fn what_is_no_such_token_is_refused() {
        let url = String::from_utf8(URL_SAFE_NO_PAD.decode(TOKEN.trim().trim_start_matches(PREFIX)).unwrap()).unwrap();
        let changed = |from: &str, to: &str| format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(url.replace(from, to)));
        for (token, why) in [
            ("abc".to_owned(), "prefix"),
            (format!("{}=", TOKEN.trim()), "base64url"),
            (changed("GetCallerIdentity", "AssumeRole"), "action"),
            (changed("Expires=60", "Expires=901"), "X-Amz-Expires"),
            (changed("%3Bx-k8s-aws-id", ""), "sign"),
            (changed("Action=", "Other=1&Action="), "whitelisted"),
            (changed("/?", "/x?"), "path"),
            (changed("Expires=60", "Expires=61"), "signature"),
        ] {
            let said = checked(&token, "demo", "127.0.0.1:4566", 60).unwrap_err();
            assert!(said.contains(why), "{why}: {said}");
        }
    }
}

//! How the tool gets into the cluster: a presigned `sts:GetCallerIdentity` URL as a bearer token, as `aws eks get-token` makes it
//! (kubernetes-sigs/aws-iam-authenticator, `pkg/token/token.go`), by the same credentials as all else.

use std::time::{Duration, SystemTime};

use aws_credential_types::provider::ProvideCredentials;
use aws_sigv4::http_request::{SignableBody, SignableRequest, SignatureLocation, SigningSettings, sign};
use aws_sigv4::sign::v4;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind, Trouble};

/// What EKS takes a token for, counted from its signature.
const LIFE: Duration = Duration::from_secs(15 * 60);
/// So much earlier a new one is made: clocks differ, and requests take time.
const MARGIN: Duration = Duration::from_secs(60);
/// The life that the URL itself asks for; the authenticator takes the token for longer.
const URL_LIFE: Duration = Duration::from_secs(60);
/// The signed header that binds a token to one cluster.
const CLUSTER_HEADER: &str = "x-k8s-aws-id";
const PREFIX: &str = "k8s-aws-v1.";

/// A bearer token, and until when it serves.
pub struct Token {
    /// Secret.
    pub bearer: String,
    /// When a new one is needed.
    pub until: SystemTime,
}

impl std::fmt::Debug for Token {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Token").field("until", &self.until).finish_non_exhaustive()
    }
}

/// Makes a token for a cluster of the region.
///
/// # Errors
/// There are no credentials.
pub async fn token(aws: &Aws, cluster: &str) -> Result<Token, AwsError> {
    let attempted = format!("sign in to EKS cluster {cluster}");
    let failed = |kind: AwsErrorKind, words: String| AwsError::new(attempted.clone(), kind, words);
    let provider = aws
        .config
        .credentials_provider()
        .ok_or_else(|| failed(AwsErrorKind::Credentials(Trouble::None), "there are no AWS credentials".into()))?;
    let credentials = provider
        .provide_credentials()
        .await
        .map_err(|error| failed(AwsErrorKind::Credentials(Trouble::None), error.to_string()))?;
    let now = SystemTime::now();
    let identity = credentials.into();
    let mut settings = SigningSettings::default();
    settings.signature_location = SignatureLocation::QueryParams;
    settings.expires_in = Some(URL_LIFE);
    let garbled = |error: &dyn std::fmt::Display| failed(AwsErrorKind::Garbled, error.to_string());
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(&aws.region)
        .name("sts")
        .time(now)
        .settings(settings)
        .build()
        .map_err(|error| garbled(&error))?
        .into();
    let suffix = if aws.region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    let url = format!("https://sts.{}.{suffix}/?Action=GetCallerIdentity&Version=2011-06-15", aws.region);
    let headers = [(CLUSTER_HEADER, cluster)].into_iter();
    let request = SignableRequest::new("GET", url.as_str(), headers, SignableBody::Bytes(&[]))
        .map_err(|error| garbled(&error))?;
    let (instructions, _) = sign(request, &params).map_err(|error| garbled(&error))?.into_parts();
    let mut signed = http::Request::get(&url).body(()).map_err(|error| garbled(&error))?;
    instructions.apply_to_request_http1x(&mut signed);
    let bearer = format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(signed.uri().to_string()));
    Ok(Token { bearer, until: now + LIFE - MARGIN })
}

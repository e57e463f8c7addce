//! What comes back from AWS where something was not done: sorted by what a caller does about it, in AWS' own words, never with credentials.

use std::error::Error;

use aws_credential_types::provider::error::CredentialsError;
use aws_smithy_runtime_api::client::orchestrator::HttpResponse;
use aws_smithy_runtime_api::client::result::SdkError;
use aws_smithy_types::error::metadata::ProvideErrorMetadata;
use wbk_provider_api::{LeftBehind, ProviderError, Why, in_words};

/// Something that was not done in AWS.
#[derive(Debug, thiserror::Error)]
#[error("cannot {attempted}")]
pub struct AwsError {
    /// What was attempted on what: `create the IAM role research-node`.
    pub attempted: String,
    /// What a caller does about it.
    pub kind: AwsErrorKind,
    /// What it left behind.
    pub left: LeftBehind,
    /// One concrete action, where it is more to the point than the kind's.
    pub hint: Option<String>,
    /// What AWS said, or why it was not asked.
    #[source]
    pub source: Words,
}

/// Why it was not done.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AwsErrorKind {
    /// There is no such thing.
    NotFound,
    /// There is one already.
    AlreadyThere,
    /// Something else depends on it.
    InUse,
    /// It is being changed: later it is possible.
    Busy,
    /// The credentials may not.
    Denied {
        /// The IAM action that is missing, `iam:CreateRole`.
        action: Option<String>,
    },
    /// AWS does not take the credentials, or there are none.
    Credentials(Trouble),
    /// Too many requests, after all attempts.
    Throttled,
    /// The account or the region may not have more of it.
    Limit,
    /// AWS refused it as it was asked for.
    Refused,
    /// It was made, and failed.
    Failed,
    /// It did not come about in time.
    Late,
    /// No answer, or that none can be given now.
    Unreachable,
    /// An answer that is none of AWS'.
    Garbled,
}

/// What is wrong with credentials.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trouble {
    /// There are none.
    None,
    /// They were good once.
    Expired,
    /// The session of IAM Identity Center that gives them is over.
    SignedOut,
    /// AWS does not know them.
    Invalid,
    /// The clock of this machine is wrong.
    Clock,
    /// Whatever should give them fails.
    Failed,
}

/// What AWS said: code, message and the request's id.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Words(String);

impl AwsError {
    /// One that AWS did not say itself.
    pub fn new(attempted: impl Into<String>, kind: AwsErrorKind, words: impl Into<String>) -> Self {
        let left = left_by(&kind);
        Self { attempted: attempted.into(), kind, left, hint: None, source: Words(words.into()) }
    }

    /// What is not done, and why.
    pub fn refused(attempted: impl Into<String>, why: impl Into<String>) -> Self {
        Self::new(attempted, AwsErrorKind::Refused, why)
    }

    /// For `map_err` after a call: what came back from it.
    pub fn sdk<E>(attempted: impl Into<String>) -> impl FnOnce(SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        move |error| Self::from_sdk(attempted, error)
    }

    /// What came back from a call.
    pub fn from_sdk<E>(attempted: impl Into<String>, error: SdkError<E, HttpResponse>) -> Self
    where
        E: ProvideErrorMetadata + Error + Send + Sync + 'static,
    {
        let status = error.raw_response().map(|response| response.status().as_u16());
        if let SdkError::ServiceError(said) = &error {
            let meta = said.err().meta();
            if let Some(code) = meta.code() {
                let message = without_secrets(meta.message().unwrap_or_default());
                let kind = kind_of(code, message, &action_of(std::any::type_name::<E>()));
                let request = meta.extra("aws_request_id").map(|id| format!(" (request {id})")).unwrap_or_default();
                let colon = if message.is_empty() { "" } else { ": " };
                return Self::new(attempted, kind, format!("{code}{colon}{message}{request}"));
            }
        }
        if let Some(status) = status {
            let kind = match status {
                429 => AwsErrorKind::Throttled,
                500..=599 => AwsErrorKind::Unreachable,
                _ => AwsErrorKind::Garbled,
            };
            return Self::new(attempted, kind, format!("the endpoint answered {status} without a code of AWS"));
        }
        let words = error.source().map_or_else(|| error.to_string(), in_words);
        if let Some(cause) = credentials_error(&error) {
            let words = in_words(cause);
            return Self::new(attempted, AwsErrorKind::Credentials(trouble_of(cause, &words)), without_secrets(&words));
        }
        Self::new(attempted, AwsErrorKind::Unreachable, without_secrets(&words))
    }

    /// With a hint that is more to the point.
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// It came after something was changed already.
    pub fn after_change(mut self) -> Self {
        if self.left == LeftBehind::Nothing {
            self.left = LeftBehind::Partial;
        }
        self
    }

    /// One concrete action for the user.
    pub fn hint(&self) -> Option<String> {
        if self.hint.is_some() {
            return self.hint.clone();
        }
        let hint = match &self.kind {
            AwsErrorKind::Denied { action: Some(action) } => {
                return Some(format!("let these credentials do {action}, or use others (AWS_PROFILE)"));
            }
            AwsErrorKind::Denied { action: None } => "let these credentials do it, or use others (AWS_PROFILE)",
            AwsErrorKind::Credentials(Trouble::None) => {
                "name a profile in AWS_PROFILE, or make one: `aws configure sso`, `aws configure`"
            }
            AwsErrorKind::Credentials(Trouble::SignedOut) => {
                "`aws sso login`, with --profile where AWS_PROFILE names one"
            }
            AwsErrorKind::Credentials(Trouble::Expired) => {
                "get new session credentials from where these came: `aws sso login`, or export the new AWS_SESSION_TOKEN with its keys"
            }
            AwsErrorKind::Credentials(Trouble::Invalid) => {
                "`aws sts get-caller-identity` with the same AWS_PROFILE shows whether they work at all; a region that the account \
                 has not enabled refuses good ones"
            }
            AwsErrorKind::Credentials(Trouble::Clock) => "set the clock of this machine: AWS allows five minutes",
            AwsErrorKind::Credentials(Trouble::Failed) => {
                "`aws sts get-caller-identity` with the same AWS_PROFILE shows whether the profile works at all"
            }
            AwsErrorKind::Throttled => "other programs use the account's request rate too: run it again a minute later",
            AwsErrorKind::Limit => {
                "raise the quota: https://console.aws.amazon.com/servicequotas, or remove what is not used"
            }
            AwsErrorKind::Busy => "run it again when the other change is done",
            AwsErrorKind::Unreachable => "look at the network, HTTPS_PROXY and cluster.region, and run it again",
            AwsErrorKind::Garbled => "AWS_ENDPOINT_URL, or a proxy on the way, leads to something that is not AWS",
            AwsErrorKind::NotFound
            | AwsErrorKind::AlreadyThere
            | AwsErrorKind::InUse
            | AwsErrorKind::Refused
            | AwsErrorKind::Failed
            | AwsErrorKind::Late => return None,
        };
        Some(hint.to_owned())
    }

    /// Why something could not be seen: one sentence, with the action that is missing.
    pub fn why(&self) -> Why {
        Why(match &self.kind {
            AwsErrorKind::Denied { action: Some(action) } => format!("{self}: {action} is not allowed"),
            _ => in_words(self),
        })
    }

    /// As the provider's error about `attempted`.
    pub fn into_provider(self, attempted: impl Into<String>) -> ProviderError {
        let (left, hint) = (self.left, self.hint());
        ProviderError { attempted: attempted.into(), left, hint, source: Some(Box::new(self)) }
    }
}

/// The trouble with credentials that an error comes from.
fn credentials_error<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CredentialsError> {
    let mut cause = error.source();
    while let Some(inner) = cause {
        if let Some(found) = inner.downcast_ref() {
            return Some(found);
        }
        cause = inner.source();
    }
    None
}

/// A refusal changed nothing; what was made and failed is there; without an answer it is not known.
fn left_by(kind: &AwsErrorKind) -> LeftBehind {
    match kind {
        AwsErrorKind::NotFound
        | AwsErrorKind::AlreadyThere
        | AwsErrorKind::InUse
        | AwsErrorKind::Busy
        | AwsErrorKind::Denied { .. }
        | AwsErrorKind::Credentials(_)
        | AwsErrorKind::Throttled
        | AwsErrorKind::Limit
        | AwsErrorKind::Refused => LeftBehind::Nothing,
        AwsErrorKind::Failed | AwsErrorKind::Late => LeftBehind::Partial,
        AwsErrorKind::Unreachable | AwsErrorKind::Garbled => LeftBehind::Unknown,
    }
}

/// The IAM action of an operation, from the name of its error's type in the SDK: `aws_sdk_iam::operation::create_role::CreateRoleError`.
fn action_of(error_type: &str) -> Option<String> {
    let service = error_type.strip_prefix("aws_sdk_")?.split("::").next()?;
    let operation = error_type.rsplit("::").next()?.strip_suffix("Error")?;
    Some(format!("{service}:{operation}"))
}

/// The action that a refusal names.
fn action_in(message: &str) -> Option<String> {
    let (_, rest) = message.split_once("not authorized to perform: ")?;
    let action = rest.split_whitespace().next()?.trim_end_matches([',', '.']);
    action.contains(':').then(|| action.to_owned())
}

/// Sorts an answer. Codes: "Common errors" of each service's API reference, and EC2's "Error codes"; the retry list of the SDK.
fn kind_of(code: &str, message: &str, action: &Option<String>) -> AwsErrorKind {
    const THROTTLED: [&str; 12] = [
        "Throttling",
        "ThrottlingException",
        "ThrottledException",
        "RequestThrottledException",
        "RequestThrottled",
        "TooManyRequestsException",
        "RequestLimitExceeded",
        "BandwidthLimitExceeded",
        "SlowDown",
        "PriorRequestNotComplete",
        "EC2ThrottledException",
        "Client.RequestLimitExceeded",
    ];
    let says = |words: &str| message.to_ascii_lowercase().contains(words);
    match code {
        _ if THROTTLED.contains(&code) => AwsErrorKind::Throttled,
        "AccessDenied" | "AccessDeniedException" | "UnauthorizedOperation" | "UnauthorizedException" => {
            AwsErrorKind::Denied { action: action_in(message).or_else(|| action.clone()) }
        }
        "ExpiredToken" | "ExpiredTokenException" | "TokenRefreshRequired" => {
            AwsErrorKind::Credentials(Trouble::Expired)
        }
        "RequestExpired" | "RequestTimeTooSkewed" => AwsErrorKind::Credentials(Trouble::Clock),
        "SignatureDoesNotMatch" | "InvalidSignatureException"
            if says("signature expired") || says("not yet current") =>
        {
            AwsErrorKind::Credentials(Trouble::Clock)
        }
        "AuthFailure"
        | "InvalidClientTokenId"
        | "UnrecognizedClientException"
        | "InvalidAccessKeyId"
        | "SignatureDoesNotMatch"
        | "InvalidSignatureException"
        | "IncompleteSignature"
        | "IncompleteSignatureException"
        | "MissingAuthenticationToken"
        | "MissingAuthenticationTokenException"
        | "OptInRequired" => AwsErrorKind::Credentials(Trouble::Invalid),
        // EKS has one code for a name that is taken, a thing that others need, and an update that runs.
        "ResourceInUseException" if says("already exists") || says("already in use") => AwsErrorKind::AlreadyThere,
        "ResourceInUseException" if says("attached") => AwsErrorKind::InUse,
        "ResourceInUseException" | "ResourceInUse" | "ConcurrentModification" | "ConcurrentModificationException" => {
            AwsErrorKind::Busy
        }
        "DependencyViolation"
        | "DeleteConflict"
        | "InvalidIPAddress.InUse"
        | "InvalidAddress.InUse"
        | "InvalidPlacementGroup.InUse"
        | "InvalidGroup.InUse" => AwsErrorKind::InUse,
        "NoSuchEntity" | "ResourceNotFoundException" | "NatGatewayNotFound" | "Gateway.NotAttached" => {
            AwsErrorKind::NotFound
        }
        _ if code.ends_with(".NotFound") || code == "NotFoundException" => AwsErrorKind::NotFound,
        "InvalidPlacementGroup.Unknown" | "InvalidLaunchTemplateName.NotFoundException" => AwsErrorKind::NotFound,
        "Resource.AlreadyAssociated"
        | "RouteAlreadyExists"
        | "EntityAlreadyExists"
        | "EntityAlreadyExistsException" => AwsErrorKind::AlreadyThere,
        _ if code.ends_with("AlreadyExists")
            || code.ends_with("AlreadyExistsException")
            || code.ends_with(".Duplicate")
            // Addresses of a subnet that is there: another one's, or the same one's, made by a call whose answer was lost.
            || code == "InvalidSubnet.Conflict" =>
        {
            AwsErrorKind::AlreadyThere
        }
        "InsufficientFreeAddressesInSubnet" | "InsufficientInstanceCapacity" => AwsErrorKind::Limit,
        _ if code.contains("LimitExceeded") || code.contains("QuotaExceeded") => AwsErrorKind::Limit,
        "InternalError"
        | "InternalFailure"
        | "InternalServerError"
        | "ServerException"
        | "ServiceUnavailable"
        | "ServiceUnavailableException"
        | "Unavailable"
        | "ServiceFailure"
        | "RequestTimeout" => AwsErrorKind::Unreachable,
        _ => AwsErrorKind::Refused,
    }
}

fn trouble_of(error: &CredentialsError, words: &str) -> Trouble {
    let says = |part: &str| words.to_ascii_lowercase().contains(part);
    match error {
        CredentialsError::CredentialsNotLoaded(_) => Trouble::None,
        _ if says("sso")
            && (says("expired") || says("not found") || says("failed to load") || says("unauthorized")) =>
        {
            Trouble::SignedOut
        }
        _ if says("expired") => Trouble::Expired,
        _ => Trouble::Failed,
    }
}

/// What AWS repeats of a request that it could not verify holds the session's token, and the reason of a denial may come sealed in
/// hundreds of letters: both are left out.
fn without_secrets(message: &str) -> &str {
    let cuts = [
        "The Canonical String",
        "Authorization=",
        "Encoded authorization failure message",
        "'Credential=",
        "(Hashed with",
    ];
    let end = cuts.iter().filter_map(|cut| message.find(cut)).min().unwrap_or(message.len());
    message[..end].trim()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn kind(code: &str, message: &str) -> AwsErrorKind {
        kind_of(code, message, &action_of("aws_sdk_ec2::operation::create_vpc::CreateVpcError"))
    }

    #[test]
    fn a_denial_names_the_action_from_its_words_or_from_the_operation() {
        let words = "User: arn:aws:iam::123456789012:user/a is not authorized to perform: iam:PassRole on resource: arn:x because no \
                     identity-based policy allows it";
        assert_eq!(kind("AccessDenied", words), AwsErrorKind::Denied { action: Some("iam:PassRole".into()) });
        let silent = "You are not authorized to perform this operation.";
        let denied = kind("UnauthorizedOperation", silent);
        assert_eq!(denied, AwsErrorKind::Denied { action: Some("ec2:CreateVpc".into()) });
        let error = AwsError::new("create a VPC", denied, silent);
        assert_eq!(error.hint().unwrap(), "let these credentials do ec2:CreateVpc, or use others (AWS_PROFILE)");
        assert_eq!(error.why().0, "cannot create a VPC: ec2:CreateVpc is not allowed");
    }

    #[test]
    fn one_code_of_eks_is_three_things() {
        let taken = "Cluster already exists with name: research";
        assert_eq!(kind("ResourceInUseException", taken), AwsErrorKind::AlreadyThere);
        assert_eq!(kind("ResourceInUseException", "Cluster has nodegroups attached"), AwsErrorKind::InUse);
        let running = "Cannot UpdateNodegroupConfig because node group x currently has update y in progress";
        assert_eq!(kind("ResourceInUseException", running), AwsErrorKind::Busy);
    }

    #[test]
    fn a_rate_is_no_quota() {
        assert_eq!(kind("RequestLimitExceeded", ""), AwsErrorKind::Throttled);
        for code in ["VpcLimitExceeded", "AddressLimitExceeded", "ResourceLimitExceededException", "LimitExceeded"] {
            assert_eq!(kind(code, ""), AwsErrorKind::Limit, "{code}");
        }
    }

    #[test]
    fn what_was_just_made_and_is_not_known_yet_is_not_found() {
        for code in ["InvalidVpcID.NotFound", "InvalidRouteTableID.NotFound", "NoSuchEntity", "NatGatewayNotFound"] {
            assert_eq!(kind(code, ""), AwsErrorKind::NotFound, "{code}");
        }
        assert_eq!(kind("InvalidVpcID.Malformed", ""), AwsErrorKind::Refused);
    }

    #[test]
    fn remedies_of_credentials_are_named() {
        let hint = |trouble| AwsError::new("x", AwsErrorKind::Credentials(trouble), "").hint().unwrap();
        assert!(hint(Trouble::SignedOut).contains("aws sso login"));
        assert!(hint(Trouble::None).contains("AWS_PROFILE"));
        let clock = "Signature expired: 20261122T000000Z is now earlier than 20261122T001500Z";
        assert_eq!(kind("SignatureDoesNotMatch", clock), AwsErrorKind::Credentials(Trouble::Clock));
        assert_eq!(kind("ExpiredToken", ""), AwsErrorKind::Credentials(Trouble::Expired));
        let expired = CredentialsError::provider_error("the SSO token has expired");
        assert_eq!(trouble_of(&expired, &in_words(&expired)), Trouble::SignedOut);
        let none = CredentialsError::not_loaded("no providers in chain provided credentials");
        assert_eq!(trouble_of(&none, &in_words(&none)), Trouble::None);
    }

    #[test]
    fn a_refused_signature_shows_no_part_of_the_request() {
        let said = "The request signature we calculated does not match the signature you provided.\n\nThe Canonical String for this \
                    request should have been\n'POST\n/\n\nx-amz-security-token:IQoJb3Jp'";
        assert_eq!(
            without_secrets(said),
            "The request signature we calculated does not match the signature you provided."
        );
    }

    #[test]
    fn without_an_answer_it_is_unknown_what_is_left() {
        assert_eq!(AwsError::new("x", AwsErrorKind::Unreachable, "").left, LeftBehind::Unknown);
        assert_eq!(AwsError::refused("x", "").left, LeftBehind::Nothing);
        assert_eq!(AwsError::refused("x", "").after_change().left, LeftBehind::Partial);
    }
}

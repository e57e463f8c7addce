//! The clients of AWS, made once from the standard chain: environment, profiles, SSO, processes, web identity, the machine's role.

use std::time::Duration;

use aws_config::identity::IdentityCache;
use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{AppName, BehaviorVersion, Region, SdkConfig};
use tokio::sync::OnceCell;

use crate::error::{AwsError, AwsErrorKind};
use crate::http::{self, Counting};
use crate::settings::{Retries, Way};

/// Attempts of one call, the first among them. Five pauses of at most 1, 2, 4, 8 and 16 s, half of that on average, outlast the bursts that
/// EC2's and IAM's request buckets refill in (a few tokens a second), and a network that is not there is told after half a minute at
/// most. The SDK's own default of 3 gives up within 3 s, which forty node groups at once exceed.
const ATTEMPTS: u32 = 6;
/// For a TCP connection and its TLS: several times the round trip to the farthest region (about 0.3 s), through a proxy.
const CONNECT: Duration = Duration::from_secs(6);
/// For one attempt: DescribeInstanceTypes and CreateCluster are the slowest calls that are made and answer within a few seconds.
const ATTEMPT: Duration = Duration::from_secs(30);
/// For a call with all its attempts.
const CALL: Duration = Duration::from_secs(120);
/// For getting credentials: a process or a browser's session may be asked, and STS. A machine without a metadata service is known
/// within 2 s (the SDK's connect timeout there is 1 s, without a retry), so that this does not cover it.
const CREDENTIALS: Duration = Duration::from_secs(30);

/// Adaptive where nobody says otherwise: after a throttle all calls of a service share a rate, so that many parallel steps do not starve
/// each other.
fn retries(way: &Way) -> RetryConfig {
    match way.retries.unwrap_or(Retries::Adaptive) {
        Retries::Standard => RetryConfig::standard(),
        Retries::Adaptive => RetryConfig::adaptive(),
    }
}

/// AWS, in one region.
#[derive(Debug)]
pub struct Aws {
    /// Clusters, node groups, add-ons, access.
    pub eks: aws_sdk_eks::Client,
    /// Networks, launch templates, machine types.
    pub ec2: aws_sdk_ec2::Client,
    /// Roles. Global: the same in every region of a partition.
    pub iam: aws_sdk_iam::Client,
    /// Whose credentials they are.
    pub sts: aws_sdk_sts::Client,
    /// How much the account may have.
    pub quotas: aws_sdk_servicequotas::Client,
    /// The groups behind node groups.
    pub autoscaling: aws_sdk_autoscaling::Client,
    /// The region.
    pub region: String,
    /// What the clients were made from: credentials and endpoints, for what is signed by hand.
    pub config: SdkConfig,
    counting: Counting,
    caller: OnceCell<Caller>,
}

/// Whose credentials they are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Caller {
    /// Twelve digits.
    pub account: String,
    /// ARN of the user or the role's session.
    pub arn: String,
}

impl Aws {
    /// Makes the clients as this program judges. Nothing is asked yet: credentials are looked for when the first request needs them.
    ///
    /// # Errors
    /// No region was given.
    pub async fn connect(region: &str) -> Result<Self, AwsError> {
        Self::connect_by(region, &Way::default()).await
    }

    /// Makes the clients as the environment says.
    ///
    /// # Errors
    /// No region was given.
    pub async fn connect_by(region: &str, way: &Way) -> Result<Self, AwsError> {
        if region.is_empty() {
            return Err(AwsError::refused("reach AWS", "no region is named").with_hint("write cluster.region"));
        }
        let counting = Counting::default();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(CONNECT)
            .operation_attempt_timeout(ATTEMPT)
            .operation_timeout(CALL)
            .build();
        let config = aws_config::defaults(BehaviorVersion::v2026_01_12())
            .region(Region::new(region.to_owned()))
            .http_client(http::client(&counting, way.authorities.as_deref())?)
            .retry_config(retries(way).with_max_attempts(way.attempts.unwrap_or(ATTEMPTS)))
            .timeout_config(timeouts)
            .identity_cache(IdentityCache::lazy().load_timeout(CREDENTIALS).build())
            .app_name(AppName::new("wbk-infra").expect("letters and a dash are what a name may have"))
            .load()
            .await;
        Ok(Self {
            eks: aws_sdk_eks::Client::new(&config),
            ec2: aws_sdk_ec2::Client::new(&config),
            iam: aws_sdk_iam::Client::new(&config),
            sts: aws_sdk_sts::Client::new(&config),
            quotas: aws_sdk_servicequotas::Client::new(&config),
            autoscaling: aws_sdk_autoscaling::Client::new(&config),
            region: region.to_owned(),
            config,
            counting,
            caller: OnceCell::new(),
        })
    }

    /// HTTP requests that were sent so far, retries and those for credentials among them.
    pub fn requests(&self) -> u64 {
        self.counting.read()
    }

    /// Whose credentials they are; asked once.
    ///
    /// # Errors
    /// There are none, or AWS does not take them.
    pub async fn caller(&self) -> Result<&Caller, AwsError> {
        let ask = || async {
            let attempted = "ask whose AWS credentials these are";
            let said = self.sts.get_caller_identity().send().await.map_err(AwsError::sdk(attempted))?;
            match (said.account, said.arn) {
                (Some(account), Some(arn)) => Ok(Caller { account, arn }),
                _ => Err(AwsError::new(attempted, AwsErrorKind::Garbled, "the answer names no account")),
            }
        };
        self.caller.get_or_try_init(ask).await
    }
}

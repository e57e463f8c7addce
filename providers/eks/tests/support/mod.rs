//! AWS on loopback for these tests: the stand that scripts/eks-tests.sh starts, by the variables that it prints.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::collections::BTreeMap;
use std::time::Duration;

use tokio::time::Instant;
use wbk_provider_api::PartId;
use wbk_provider_eks::aws::Aws;
use wbk_provider_eks::marks::Marks;
use wbk_provider_eks::part::Part;
use wbk_provider_eks::work::Work;

pub type Tags = BTreeMap<String, String>;
pub type Parts = BTreeMap<PartId, Part>;

/// The stand's.
///
/// # Panics
/// There is none. These tests make and delete networks and roles: they talk to nothing but loopback.
pub async fn aws() -> Aws {
    let endpoint = std::env::var("AWS_ENDPOINT_URL").unwrap_or_default();
    assert!(
        endpoint.starts_with("http://127.0.0.1:"),
        "AWS_ENDPOINT_URL is {endpoint:?}: these tests need the stand, and nothing else will do (scripts/eks-tests.sh)"
    );
    Aws::connect("us-west-2").await.expect("a region is named")
}

/// A cluster of one test's own: tests share the stand.
pub fn marks(cluster: &str) -> Marks {
    Marks {
        blueprint: "contract".into(),
        cluster: cluster.into(),
        region: "us-west-2".into(),
        tags: BTreeMap::from([("team".to_owned(), "research".to_owned())]),
    }
}

/// Far more than an emulator takes.
pub fn work<'a>(aws: &'a Aws, marks: &'a Marks) -> Work<'a> {
    Work { aws, marks, token: &marks.cluster, until: Instant::now() + Duration::from_secs(60), say: &|_| {} }
}

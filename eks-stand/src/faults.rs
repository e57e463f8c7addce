//! microburst's rules, set while it runs.

use std::net::SocketAddr;

use http::{Request, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::StandError;

/// Replaces the rules.
pub(crate) async fn set(microburst: SocketAddr, rules: &Value) -> Result<(), StandError> {
    let failed = |why: String| StandError::Ask { whom: "microburst".into(), why };
    let client = Client::builder(TokioExecutor::new()).build_http::<Full<Bytes>>();
    let request = Request::builder()
        .method("POST")
        .uri(format!("http://{microburst}/_microburst/rules"))
        .header(header::CONTENT_TYPE, "application/json")
        .body(Full::from(rules.to_string()))
        .map_err(|error| failed(error.to_string()))?;
    let answer = client.request(request).await.map_err(|error| failed(error.to_string()))?;
    let status = answer.status();
    let body = answer.into_body().collect().await.map_err(|error| failed(error.to_string()))?.to_bytes();
    if status.is_success() { Ok(()) } else { Err(failed(format!("{status}: {}", String::from_utf8_lossy(&body)))) }
}

//! Requests to the API server: bounded in time, with what went wrong told apart.
//!
//! `kube::Client::request` is not used: it logs the body of an answer that it cannot parse, and such a body may be a
//! Secret's.

use std::time::Duration;

use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE};
use kube::Client;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

use crate::cluster::is_quota_contended;

/// Objects in one page of a LIST: the size that kubectl uses, and small enough that no page is slow.
const PAGE: &str = "500";

/// Tries of one request that the server puts off with 429. Its `Retry-After` is one second as a rule, so that a burst
/// is waited out and an overload is reported.
const TRIES: u32 = 4;

/// Tries of a request that lost the race for a quota's count. Each is a fresh race of the server's own three; some twenty checks
/// make pods at once, and ten tries over 2.3 s let all of them through one after the other.
const QUOTA_TRIES: u32 = 10;

/// The answer to "only the metadata, please".
const METADATA_LIST: &str = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";

/// Why a request has no answer that a check could use.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum Trouble {
    /// The caller has no right to it (401, 403).
    #[error("no right to {attempted}: {message}")]
    Forbidden {
        /// The request.
        attempted: String,
        /// The server's words.
        message: String,
    },
    /// It is not there (404).
    #[error("{attempted}: not found")]
    NotFound {
        /// The request.
        attempted: String,
    },
    /// The server refused it for another reason, or failed at it.
    #[error("{attempted} was answered with {code} {reason}: {message}")]
    Refused {
        /// The request.
        attempted: String,
        /// The HTTP status.
        code: u16,
        /// The status' reason, `Invalid`.
        reason: String,
        /// The server's words.
        message: String,
    },
    /// No answer in time.
    #[error("{attempted} was not answered within {} s", bound.as_secs_f32())]
    Silent {
        /// The request.
        attempted: String,
        /// How long was waited.
        bound: Duration,
    },
    /// No connection, or one that broke.
    #[error("{attempted} did not reach the API server: {cause}")]
    Unreachable {
        /// The request.
        attempted: String,
        /// What the connection said.
        cause: String,
    },
    /// An answer that is not what the API promises.
    #[error("{attempted} was answered with something that cannot be read: {cause}")]
    Garbled {
        /// The request.
        attempted: String,
        /// What the parser said; never the text.
        cause: String,
    },
}

impl Trouble {
    /// Whether the server as a whole is out of reach, so that asking it anything else is useless.
    pub(super) fn is_out_of_reach(&self) -> bool {
        match self {
            Self::Silent { .. } | Self::Unreachable { .. } => true,
            Self::Forbidden { .. } | Self::NotFound { .. } | Self::Refused { .. } | Self::Garbled { .. } => false,
        }
    }
}

/// The API server, and how long to wait for each of its answers.
#[derive(Clone)]
pub(super) struct Api {
    client: Client,
    bound: Duration,
}

impl Api {
    /// Waits at most `bound` for each answer.
    pub(super) fn new(client: Client, bound: Duration) -> Self {
        Self { client, bound }
    }

    /// Reads one thing.
    pub(super) async fn get<T: DeserializeOwned>(&self, path: &str) -> Result<T, Trouble> {
        self.json("GET", path, None, "application/json").await
    }

    /// Reads one thing that may be absent.
    pub(super) async fn find<T: DeserializeOwned>(&self, path: &str) -> Result<Option<T>, Trouble> {
        match self.get(path).await {
            Ok(found) => Ok(Some(found)),
            Err(Trouble::NotFound { .. }) => Ok(None),
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads all objects at `path` that a label selector takes in (empty: all).
    pub(super) async fn list(&self, path: &str, labels: &str) -> Result<Vec<Value>, Trouble> {
        self.pages(path, &[("labelSelector", labels)], "application/json").await
    }

    /// Reads all objects at `path` that a field selector takes in.
    pub(super) async fn list_by_field(&self, path: &str, fields: &str) -> Result<Vec<Value>, Trouble> {
        self.pages(path, &[("fieldSelector", fields)], "application/json").await
    }

    /// Reads only the metadata of all objects at `path` that a label selector takes in.
    pub(super) async fn list_metadata(&self, path: &str, labels: &str) -> Result<Vec<Value>, Trouble> {
        self.pages(path, &[("labelSelector", labels)], METADATA_LIST).await
    }

    /// Sends an object to `path`.
    pub(super) async fn post(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.json("POST", path, Some(body), "application/json").await
    }

    /// Replaces what is at `path`.
    pub(super) async fn put(&self, path: &str, body: &Value) -> Result<Value, Trouble> {
        self.json("PUT", path, Some(body), "application/json").await
    }

    /// Deletes what is at `path`, its dependants in the background. What is not there counts as deleted.
    pub(super) async fn delete(&self, path: &str) -> Result<(), Trouble> {
        let options = serde_json::json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": "Background"
        });
        match self.json::<Value>("DELETE", path, Some(&options), "application/json").await {
            Ok(_) | Err(Trouble::NotFound { .. }) => Ok(()),
            Err(trouble) => Err(trouble),
        }
    }

    /// Reads text.
    pub(super) async fn text(&self, path: &str) -> Result<String, Trouble> {
        self.exchange("GET", path, None, "*/*").await
    }

    async fn pages(&self, path: &str, selectors: &[(&str, &str)], accept: &str) -> Result<Vec<Value>, Trouble> {
        #[derive(Deserialize)]
        struct Page {
            /// `null` in an empty list of metadata.
            items: Option<Vec<Value>>,
            #[serde(default)]
            metadata: PageMeta,
        }
        #[derive(Deserialize, Default)]
        struct PageMeta {
            #[serde(default, rename = "continue")]
            next: String,
        }
        let mut items = Vec::new();
        let mut next = String::new();
        loop {
            let query = selectors.iter().copied().chain([("limit", PAGE), ("continue", next.as_str())]);
            let page: Page = self.json("GET", &with_query(path, query), None, accept).await?;
            items.extend(page.items.unwrap_or_default());
            if page.metadata.next.is_empty() {
                return Ok(items);
            }
            next = page.metadata.next;
        }
    }

    async fn json<T: DeserializeOwned>(
        &self,
        method: &str,
        path: &str,
        body: Option<&Value>,
        accept: &str,
    ) -> Result<T, Trouble> {
        let text = self.exchange(method, path, body, accept).await?;
        serde_json::from_str(&text).map_err(|error| Trouble::Garbled {
            attempted: attempted(method, path),
            // Line, column and category only: serde_json's own message may quote the text.
            cause: format!("{:?} error in line {} column {}", error.classify(), error.line(), error.column()),
        })
    }

    async fn exchange(&self, method: &str, path: &str, body: Option<&Value>, accept: &str) -> Result<String, Trouble> {
        let mut tries = 1;
        loop {
            let put_off = match self.once(method, path, body, accept).await {
                Ok(text) => return Ok(text),
                // The server says when to come back; the check's own bound covers the sum.
                Err(kube::Error::Api(status)) if status.code == 429 && tries < TRIES => {
                    let seconds = status.details.as_ref().map_or(1, |details| details.retry_after_seconds.clamp(1, 5));
                    Duration::from_secs(seconds.into())
                }
                // Checks run side by side, and several make pods in one namespace.
                Err(kube::Error::Api(status)) if is_quota_contended(&status, path) && tries < QUOTA_TRIES => {
                    Duration::from_millis(50) * tries
                }
                Err(error) => return Err(self.trouble(attempted(method, path), error)),
            };
            tries += 1;
            tokio::time::sleep(put_off).await;
        }
    }

    async fn once(&self, method: &str, path: &str, body: Option<&Value>, accept: &str) -> kube::Result<String> {
        let bytes = body.map(|body| body.to_string().into_bytes()).unwrap_or_default();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header(ACCEPT, accept)
            .header(CONTENT_TYPE, "application/json")
            .body(bytes)
            .map_err(kube::Error::HttpError)?;
        match tokio::time::timeout(self.bound, self.client.request_text(request)).await {
            Ok(answer) => answer,
            Err(elapsed) => Err(kube::Error::Service(Box::new(elapsed))),
        }
    }

    fn trouble(&self, attempted: String, error: kube::Error) -> Trouble {
        match error {
            kube::Error::Api(status) => match status.code {
                401 | 403 => Trouble::Forbidden { attempted, message: status.message },
                404 => Trouble::NotFound { attempted },
                code => Trouble::Refused { attempted, code, reason: status.reason, message: status.message },
            },
            kube::Error::Service(cause) if cause.is::<tokio::time::error::Elapsed>() => {
                Trouble::Silent { attempted, bound: self.bound }
            }
            kube::Error::FromUtf8(_) => Trouble::Garbled { attempted, cause: "not UTF-8".into() },
            error => Trouble::Unreachable { attempted, cause: deepest(&error) },
        }
    }
}

/// The innermost cause: the outer ones of a connection error say the same with fewer facts.
fn deepest(error: &dyn std::error::Error) -> String {
    let mut deepest = error;
    while let Some(source) = deepest.source() {
        deepest = source;
    }
    deepest.to_string()
}

fn attempted(method: &str, path: &str) -> String {
    format!("{method} {}", path.split('?').next().unwrap_or(path))
}

fn with_query<'a>(path: &str, query: impl Iterator<Item = (&'a str, &'a str)>) -> String {
    let mut out = path.to_owned();
    let mut joint = '?';
    for (key, value) in query.filter(|(_, value)| !value.is_empty()) {
        out.push(joint);
        out.push_str(key);
        out.push('=');
        escape_into(value, &mut out);
        joint = '&';
    }
    out
}

/// Escapes what is not unreserved in a URL's query (RFC 3986).
fn escape_into(value: &str, out: &mut String) {
    for byte in value.bytes() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => out.push(char::from(byte)),
            byte => out.push_str(&format!("%{byte:02X}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_query_is_escaped_and_has_no_empty_parts() {
        let query = [("labelSelector", "wbk-infra/pool=a,b"), ("limit", "500"), ("continue", "")];
        assert_eq!(
            with_query("/api/v1/nodes", query.into_iter()),
            "/api/v1/nodes?labelSelector=wbk-infra%2Fpool%3Da%2Cb&limit=500"
        );
    }

    #[test]
    fn trouble_names_the_request_without_its_query() {
        assert_eq!(attempted("GET", "/api/v1/nodes?limit=500"), "GET /api/v1/nodes");
    }
}

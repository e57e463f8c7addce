//! One GraphQL request to W&B, its retries, and what may go wrong.

use std::time::Duration;

use base64::Engine as _;
use serde_json::{Value, json};

use super::route::Route;
use crate::desired::WandbService;
use crate::live::SecretValue;

/// W&B answers in tenths of a second; a request that takes longer is one that nobody answers.
const ANSWER: Duration = Duration::from_secs(20);
/// Before each further try of what may pass.
const PAUSES: [Duration; 2] = [Duration::from_millis(300), Duration::from_millis(1500)];
/// An answer with all queues of a team is tens of kilobytes.
const MOST: u64 = 32 << 20;

/// A connection to W&B as one account.
#[derive(Clone)]
pub struct Wandb {
    agent: ureq::Agent,
    base: String,
    url: String,
    authorization: String,
    /// The team or user whose queues they are.
    pub entity: String,
}

impl std::fmt::Debug for Wandb {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Wandb").field("url", &self.url).field("entity", &self.entity).finish_non_exhaustive()
    }
}

/// W&B did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum WandbError {
    /// The key is no key there.
    #[error("{url} does not take the API key (status {status})")]
    Key {
        /// Where.
        url: String,
        /// 401 or 403.
        status: u16,
    },
    /// Nobody answered, or an answer says that it is W&B's trouble and passes.
    #[error("{url} cannot be asked: {why}")]
    Unreachable {
        /// Where.
        url: String,
        /// In the words of whoever failed.
        why: String,
    },
    /// It understood and refused.
    #[error("W&B refuses to {what}: {words}")]
    Refused {
        /// What was asked for.
        what: String,
        /// W&B's words.
        words: String,
    },
    /// The answer is not one to this question.
    #[error("W&B answers in a form that this program does not know: {0}")]
    Strange(String),
}

impl WandbError {
    /// Whether it may be otherwise in a while.
    pub fn may_pass(&self) -> bool {
        matches!(self, Self::Unreachable { .. })
    }
}

impl Wandb {
    /// Makes one that asks directly and trusts public certificates. Nothing is sent yet.
    pub fn new(service: &WandbService, key: &SecretValue) -> Self {
        Self::over(service, key, &Route::default())
    }

    /// Makes one that goes a way of its own. Nothing is sent yet.
    pub fn over(service: &WandbService, key: &SecretValue, route: &Route) -> Self {
        let config = route
            .config(&service.base_url)
            .timeout_global(Some(ANSWER))
            // What a refusal says is in its body.
            .http_status_as_error(false)
            .user_agent(concat!("wbk-infra/", env!("CARGO_PKG_VERSION")))
            .build();
        let account = [b"api:", key.expose()].concat();
        Self {
            agent: config.into(),
            base: service.base_url.clone(),
            url: format!("{}/graphql", service.base_url),
            authorization: format!("Basic {}", base64::engine::general_purpose::STANDARD.encode(account)),
            entity: service.entity.clone(),
        }
    }

    /// Sends a document and answers its `data`. `what` is said in errors: "list the queues".
    ///
    /// # Errors
    /// After a second and third try where the first may pass.
    pub async fn ask(&self, what: &str, document: &str, variables: Value) -> Result<Value, WandbError> {
        let body = json!({"query": document, "variables": variables}).to_string();
        let what = what.to_owned();
        self.patiently(move |this| this.once(&what, &body)).await
    }

    /// Sends JSON to an address of its own; what is answered says nothing more than that it was taken.
    ///
    /// # Errors
    /// See [`Wandb::ask`].
    pub(super) async fn post(&self, what: &str, path: &str, body: &Value) -> Result<(), WandbError> {
        let (url, body, what) = (format!("{}{path}", self.base), body.to_string(), what.to_owned());
        let send = move |this: &Self| match this.exchange(&url, &body)? {
            (200..300, _) => Ok(()),
            (status, text) => Err(WandbError::Refused { what: what.clone(), words: shown(status, &text) }),
        };
        self.patiently(send).await
    }

    /// Does it, and again where the first answer may pass.
    async fn patiently<T: Send + 'static>(
        &self,
        work: impl Fn(&Self) -> Result<T, WandbError> + Clone + Send + 'static,
    ) -> Result<T, WandbError> {
        let mut pauses = PAUSES.iter();
        loop {
            let (this, work) = (self.clone(), work.clone());
            let answer = tokio::task::spawn_blocking(move || work(&this)).await;
            // It is never cancelled: it panicked, and so does this.
            let answer = answer.unwrap_or_else(|error| std::panic::resume_unwind(error.into_panic()));
            match (answer, pauses.next()) {
                (Err(error), Some(pause)) if error.may_pass() => tokio::time::sleep(*pause).await,
                (answer, _) => return answer,
            }
        }
    }

    /// Status and text of an answer that may be one.
    fn exchange(&self, url: &str, body: &str) -> Result<(u16, String), WandbError> {
        let unreachable = |why: String| WandbError::Unreachable { url: url.to_owned(), why };
        let mut answer = self
            .agent
            .post(url)
            .header("authorization", &self.authorization)
            .header("content-type", "application/json")
            .send(body)
            .map_err(|error| unreachable(error.to_string()))?;
        let status = answer.status().as_u16();
        let text = answer
            .body_mut()
            .with_config()
            .limit(MOST)
            .read_to_string()
            .map_err(|error| unreachable(error.to_string()))?;
        match status {
            401 | 403 => Err(WandbError::Key { url: url.to_owned(), status }),
            429 | 500.. => Err(unreachable(format!("status {status}"))),
            _ => Ok((status, text)),
        }
    }

    fn once(&self, what: &str, body: &str) -> Result<Value, WandbError> {
        let (status, text) = self.exchange(&self.url, body)?;
        let mut document: Value = serde_json::from_str(&text).map_err(|_| strange(status, &text))?;
        let words: Vec<&str> = document["errors"]
            .as_array()
            .into_iter()
            .flatten()
            .map(|error| error["message"].as_str().unwrap_or("it says no reason"))
            .collect();
        if !words.is_empty() {
            return Err(WandbError::Refused { what: what.to_owned(), words: words.join("; ") });
        }
        if status != 200 || !document["data"].is_object() {
            return Err(strange(status, &text));
        }
        Ok(document["data"].take())
    }
}

fn strange(status: u16, text: &str) -> WandbError {
    WandbError::Strange(shown(status, text))
}

fn shown(status: u16, text: &str) -> String {
    let start: String = text.chars().take(120).collect();
    format!("status {status}, {start:?}")
}

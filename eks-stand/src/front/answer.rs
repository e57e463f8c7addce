//! Answers in AWS's wire formats.

use http::{HeaderValue, Response, StatusCode, header};
use hyper::body::Bytes;
use serde_json::{Value, json};

use crate::StandError;

/// An answer whose body is whole.
pub(crate) type Answer = Response<Bytes>;

/// A refusal as AWS words it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Refusal {
    /// `InvalidParameterException`.
    pub(crate) code: &'static str,
    /// The sentence.
    pub(crate) message: String,
}

impl Refusal {
    pub(crate) fn new(code: &'static str, message: impl Into<String>) -> Self {
        Self { code, message: message.into() }
    }

    /// The status that EKS sends with it (botocore's model, `httpStatusCode`).
    fn status(&self) -> StatusCode {
        match self.code {
            "ResourceInUseException" => StatusCode::CONFLICT,
            "ResourceNotFoundException" => StatusCode::NOT_FOUND,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// For restJson1 and awsJson1.1: SDKs read the header or the body.
    pub(crate) fn answer(&self) -> Answer {
        let mut answer = json_answer(self.status(), &json!({"__type": self.code, "message": self.message}));
        answer.headers_mut().insert("x-amzn-errortype", HeaderValue::from_static(self.code));
        answer
    }
}

/// Why a request has no good answer.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// It is answered with a refusal.
    Refused(Refusal),
    /// The stand itself could not answer.
    Failed(StandError),
}

impl From<Refusal> for Trouble {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<StandError> for Trouble {
    fn from(error: StandError) -> Self {
        Self::Failed(error)
    }
}

pub(crate) fn json_answer(status: StatusCode, body: &Value) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_string()));
    *answer.status_mut() = status;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    answer
}

pub(crate) fn xml_answer(body: &str) -> Answer {
    let mut answer = Response::new(Bytes::from(body.to_owned()));
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    answer
}

/// The error that an answer is, where it is one.
pub(crate) fn error_of(answer: &Answer) -> Option<String> {
    if answer.status().is_success() {
        return None;
    }
    let named = answer.headers().get("x-amzn-errortype").and_then(|value| value.to_str().ok()).map(str::to_owned);
    let text = || String::from_utf8_lossy(answer.body()).into_owned();
    let in_body = || serde_json::from_slice::<Value>(answer.body()).ok()?["__type"].as_str().map(str::to_owned);
    let code = named.or_else(in_body).or_else(|| crate::xml::text(&text(), "Code").map(str::to_owned))?;
    // Some say it with a namespace before it and a URL behind it.
    Some(code.rsplit('#').next().unwrap_or_default().split(':').next().unwrap_or_default().to_owned())
}

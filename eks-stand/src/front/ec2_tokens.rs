//! Quirk: EC2's client tokens. moto takes them and never looks at them; EC2 answers a token that it knows with what it made, and refuses
//! one that comes with other parameters (EC2 API reference, "Ensuring idempotency"). Two calls at once under one token are not told
//! apart here.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use http::{HeaderValue, StatusCode, header};
use hyper::body::Bytes;

use super::answer::Answer;
use crate::asked::{Asked, parameter};

/// What was asked and answered, by operation and token.
#[derive(Default)]
pub(super) struct Ec2Tokens {
    answers: Mutex<BTreeMap<(String, String), (Bytes, Answer)>>,
}

impl Ec2Tokens {
    /// The answer that this request had already.
    pub(super) fn answered(&self, asked: &Asked, body: &Bytes) -> Option<Answer> {
        let key = key(asked, body)?;
        let (before, answer) = self.answers.lock().unwrap_or_else(PoisonError::into_inner).get(&key).cloned()?;
        Some(if before == *body { answer } else { mismatch() })
    }

    /// Remembers what was made.
    pub(super) fn note(&self, asked: &Asked, body: &Bytes, answer: &Answer) {
        if let Some(key) = key(asked, body).filter(|_| answer.status().is_success()) {
            self.answers.lock().unwrap_or_else(PoisonError::into_inner).insert(key, (body.clone(), answer.clone()));
        }
    }

    pub(super) fn clear(&self) {
        self.answers.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn key(asked: &Asked, body: &[u8]) -> Option<(String, String)> {
    let creates = asked.service == "ec2" && asked.operation.starts_with("Create");
    let token = creates.then(|| parameter(body, "ClientToken")).flatten()?;
    Some((asked.operation.clone(), token))
}

fn mismatch() -> Answer {
    let said = "<Response><Errors><Error><Code>IdempotentParameterMismatch</Code><Message>Client token already used before.</Message>\
                </Error></Errors><RequestID>0</RequestID></Response>";
    let mut answer = Answer::new(Bytes::from_static(said.as_bytes()));
    *answer.status_mut() = StatusCode::BAD_REQUEST;
    answer.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("text/xml"));
    answer
}

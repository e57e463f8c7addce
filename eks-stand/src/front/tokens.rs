//! Quirk: `clientRequestToken`. AWS promises that the same token with the same body is done once and answered alike; both emulators
//! store the token and never look at it, so that a repeated create is a ResourceInUseException.
//!
//! How long AWS remembers is not documented. Here a token is forgotten with the thing that it made.

use std::sync::{Mutex, PoisonError};

use serde_json::Value;

use super::answer::Answer;
use crate::eks_api::EksCall;

/// What was done for tokens.
#[derive(Default)]
pub(super) struct Tokens {
    done: Mutex<Vec<Done>>,
}

struct Done {
    call: EksCall,
    token: String,
    body: Value,
    answer: Answer,
}

fn token(body: &Value) -> Option<&str> {
    body["clientRequestToken"].as_str().filter(|token| !token.is_empty())
}

impl Tokens {
    /// The answer that this request had before.
    pub(super) fn answered(&self, call: &EksCall, body: &Value) -> Option<Answer> {
        let wanted = token(body)?;
        let done = self.done.lock().unwrap_or_else(PoisonError::into_inner);
        done.iter()
            .find(|done| done.call == *call && done.token == wanted && done.body == *body)
            .map(|done| done.answer.clone())
    }

    /// Remembers an answer; refusals are not: who repeats one asks anew.
    pub(super) fn remember(&self, call: &EksCall, body: &Value, answer: &Answer) {
        let (Some(token), true) = (token(body), answer.status().is_success()) else { return };
        let done = Done { call: call.clone(), token: token.into(), body: body.clone(), answer: answer.clone() };
        self.done.lock().unwrap_or_else(PoisonError::into_inner).push(done);
    }

    /// Forgets what a cluster, or one thing of it, was made with.
    pub(super) fn forget(&self, cluster: &str, child: Option<&str>) {
        let of_it = |done: &Done| {
            let of_cluster = done.call.cluster.as_deref() == Some(cluster) || done.body["name"] == cluster;
            let names = [&done.body["nodegroupName"], &done.body["addonName"], &done.body["principalArn"]];
            of_cluster
                && child.is_none_or(|child| {
                    done.call.child.as_deref() == Some(child) || names.iter().any(|name| **name == child)
                })
        };
        self.done.lock().unwrap_or_else(PoisonError::into_inner).retain(|done| !of_it(done));
    }

    pub(super) fn clear(&self) {
        self.done.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

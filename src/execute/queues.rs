//! The steps about queues of W&B Launch.

use async_trait::async_trait;
use wbk_provider_api::LeftBehind;

use super::{
    actuator::QueueRunner,
    error::{Because, StepError},
};
use crate::{
    live::SecretValues,
    plan::{Expect, QueueStep, Step, Target},
    wandb::{Proxies, Route, Wandb, WandbError},
};

/// Writes queues through W&B's API.
pub struct WandbRunner<'a> {
    values: &'a SecretValues,
    proxies: Proxies,
}

impl<'a> WandbRunner<'a> {
    /// Makes one; the key is among the values, and so are the certificates that W&B is trusted by.
    pub fn new(values: &'a SecretValues, proxies: Proxies) -> Self {
        Self { values, proxies }
    }
}

fn failed(what: String, left: LeftBehind) -> impl FnOnce(WandbError) -> StepError {
    move |error| {
        let hint = match &error {
            WandbError::Key { .. } => Some("give a key of somebody who may write to the entity".to_owned()),
            WandbError::Unreachable { .. } => Some("apply again when W&B answers".to_owned()),
            WandbError::Refused { .. } | WandbError::Strange(_) => None,
        };
        StepError { attempted: what, left, hint, source: Some(Box::new(error)) }
    }
}

#[async_trait]
impl QueueRunner for WandbRunner<'_> {
    async fn run(&self, step: &Step, queue: &QueueStep) -> Result<(), StepError> {
        let Target::Queue(name) = &step.target else {
            return Err(StepError::stale(&step.target.to_string(), "the plan's step does not fit its target"));
        };
        let Some(key) = self.values.get(&queue.service.api_key) else {
            return Err(StepError::stale(&step.target.to_string(), "its API key was not read when this apply began"));
        };
        let mut route = Route::through(self.proxies.clone());
        if let Some(bundle) = queue.service.ca.as_ref().and_then(|from| self.values.get(from)) {
            route = route.trusting(bundle.expose()).map_err(|why| StepError::stale(&step.target.to_string(), why))?;
        }
        let wandb = Wandb::over(&queue.service, key, &route);
        let what = || format!("{} queue {name}", step.action.word());
        let mut queues = wandb.queues().await.map_err(failed(what(), LeftBehind::Nothing))?;
        let found = queues.remove(name);
        let is_as_planned = match (&step.expect, &found) {
            (Expect::Absent, None) => true,
            (Expect::Queue { id, digest }, Some(found)) => *id == found.id && *digest == found.content.digest(),
            _ => false,
        };
        // Done by an apply that was cut off before it could say so.
        let is_done = match (&queue.content, &found) {
            (Some(content), Some(found)) => found.content == *content,
            (None, None) => true,
            (Some(_), None) | (None, Some(_)) => false,
        };
        if is_done {
            return Ok(());
        }
        if !is_as_planned {
            return Err(StepError::stale(&step.target.to_string(), "somebody changed it since it was planned"));
        }
        match (&queue.content, found) {
            (Some(content), _) => {
                wandb.upsert_queue(name, content).await.map_err(failed(what(), LeftBehind::Unknown))?;
                let written = wandb.queues().await.map_err(failed(what(), LeftBehind::Unknown))?.remove(name);
                match written {
                    Some(written) if written.content == *content => Ok(()),
                    Some(_) => Err(StepError {
                        attempted: what(),
                        left: LeftBehind::Partial,
                        hint: Some("plan again: it shows what W&B made of it".into()),
                        source: Some(Box::new(Because("W&B took it and answers with another content".into()))),
                    }),
                    None => Err(StepError {
                        attempted: what(),
                        left: LeftBehind::Unknown,
                        hint: None,
                        source: Some(Box::new(Because("W&B took it and does not list it".into()))),
                    }),
                }
            }
            (None, Some(found)) => {
                wandb.delete_queue(name, &found.id).await.map_err(failed(what(), LeftBehind::Unknown))
            }
            (None, None) => Ok(()),
        }
    }
}

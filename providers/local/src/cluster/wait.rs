//! Waiting for a condition, with a deadline and the name of what is awaited.

use std::time::Duration;

use tokio::time::Instant;
use wbk_provider_api::{Progress, ProgressSink};

use super::Directory;
use crate::{LocalError, files};

/// How often a condition is looked at; what is awaited takes seconds.
const LOOK: Duration = Duration::from_millis(40);

/// A wait for something with a name, until a deadline.
///
/// A loop over it, rather than a function that takes an asynchronous closure: the futures of those are not provably
/// `Send` for every lifetime, which the provider's trait demands.
pub(crate) struct Wait {
    what: String,
    within: Duration,
    deadline: Instant,
}

impl Wait {
    pub(crate) fn new(what: impl Into<String>, within: Duration) -> Self {
        Self { what: what.into(), within, deadline: Instant::now() + within }
    }

    /// Waits until it is time to look again.
    pub(crate) async fn again(&self) -> Result<(), LocalError> {
        if Instant::now() >= self.deadline {
            let (what, seconds) = (self.what.clone(), self.within.as_secs());
            return Err(LocalError::Late { what, seconds, log: String::new() });
        }
        tokio::time::sleep(LOOK).await;
        Ok(())
    }
}

/// The cluster's lock; whoever has it works on the cluster, the others wait.
pub(crate) async fn lock(directory: &Directory, progress: ProgressSink<'_>) -> Result<files::Lock, LocalError> {
    /// The longest that another has it: a first start that builds the control plane on a slow machine.
    const LONGEST: Duration = Duration::from_secs(60 * 60);
    if let Some(lock) = files::try_lock(directory.lock())? {
        return Ok(lock);
    }
    progress(Progress(format!("another wbk-infra works on local cluster {}; waiting for it", directory.name())));
    let wait = Wait::new("another wbk-infra that works on this cluster", LONGEST);
    loop {
        if let Some(lock) = files::try_lock(directory.lock())? {
            return Ok(lock);
        }
        wait.again().await?;
    }
}

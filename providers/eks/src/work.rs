//! What every change in AWS is given, and how it waits: on a condition, with a deadline and the name of what is awaited.

use std::time::Duration;

use tokio::time::Instant;
use wbk_provider_api::{Progress, ProgressSink};

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;

/// First and longest pause between two looks at something that takes minutes. A NAT gateway takes about two minutes, so that the longest
/// adds a tenth at most.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(15));
/// How long something that was just made may be unknown to the rest of AWS. EC2's guide on eventual consistency asks for retries with
/// growing pauses up to a few minutes; in practice it is seconds, and what is truly not there should not be waited for.
const CONSISTENT: Duration = Duration::from_secs(45);

/// What a change is given.
#[derive(Clone, Copy)]
pub struct Work<'a> {
    /// AWS.
    pub aws: &'a Aws,
    /// Whose things they are.
    pub marks: &'a Marks,
    /// The same for every try of the same change.
    pub token: &'a str,
    /// When it is given up.
    pub until: Instant,
    /// Where progress goes.
    pub say: ProgressSink<'a>,
}

impl Work<'_> {
    /// A client token of AWS for one thing: the same for every try, at most 64 letters.
    pub fn client_token(&self, thing: &str) -> String {
        crate::marks::digest(&format!("{} {thing}", self.token))[..40].to_owned()
    }

    /// Begins to wait for something, `the NAT gateway nat-1 to be available`.
    pub(crate) fn wait_for(&self, what: impl Into<String>) -> Waiting<'_> {
        Waiting { work: self, what: what.into(), pause: PAUSES.0, since: Instant::now() }
    }
}

/// Waiting for one thing.
pub(crate) struct Waiting<'a> {
    work: &'a Work<'a>,
    what: String,
    pause: Duration,
    since: Instant,
}

impl Waiting<'_> {
    /// It is not so yet: says so, pauses, and fails where the deadline comes first. `state` is what there is instead.
    pub(crate) async fn on(&mut self, state: &str) -> Result<(), AwsError> {
        let Self { work, what, .. } = &self;
        let next = Instant::now() + self.pause;
        if next >= work.until {
            let attempted = format!("wait for {what}");
            let words = format!("after {} s it is still: {state}", self.since.elapsed().as_secs());
            return Err(AwsError::new(attempted, AwsErrorKind::Late, words).after_change());
        }
        (work.say)(Progress(format!("waiting for {what}: {state}")));
        tokio::time::sleep_until(next).await;
        self.pause = (self.pause * 3 / 2).min(PAUSES.1);
        Ok(())
    }
}

/// Makes a call again for as long as something that was just made may not be known everywhere.
pub(crate) async fn settled<T, F>(mut call: impl FnMut() -> F) -> Result<T, AwsError>
where
    F: Future<Output = Result<T, AwsError>>,
{
    let until = Instant::now() + CONSISTENT;
    let mut pause = Duration::from_millis(500);
    loop {
        match call().await {
            Err(error) if error.kind == AwsErrorKind::NotFound && Instant::now() + pause < until => {
                tokio::time::sleep(pause).await;
                pause *= 2;
            }
            done => return done,
        }
    }
}

//! Looking again until a promise holds or patience runs out.

use std::time::Duration;

use futures::future::BoxFuture;
use tokio::time::Instant;

use crate::verify::check::Outcome;
use crate::verify::context::CheckContext;

/// The first pause between two looks: controllers settle small things within some 100 ms.
const FIRST_PAUSE: Duration = Duration::from_millis(200);

/// The longest pause between two looks: the most that a report comes late, and one small request every two seconds
/// from each of at most a handful of waiting checks.
const LONGEST_PAUSE: Duration = Duration::from_secs(2);

/// Looks until the outcome is not a failure or the options' patience is over; returns the last outcome. Polls rather
/// than watches: a watch needs a right of its own, and the rights of a verifier are not to grow for half a second.
pub(super) async fn settled<'a>(cx: &CheckContext, look: impl Fn() -> BoxFuture<'a, Outcome> + Send) -> Outcome {
    settled_within(cx.options.patience, look).await
}

/// The same with a patience of its own.
pub(super) async fn settled_within<'a>(
    patience: Duration,
    look: impl Fn() -> BoxFuture<'a, Outcome> + Send,
) -> Outcome {
    let deadline = Instant::now() + patience;
    let mut pause = FIRST_PAUSE;
    loop {
        let outcome = look().await;
        let again = Instant::now() + pause;
        if !matches!(outcome, Outcome::Fail { .. }) || again > deadline {
            return outcome;
        }
        tokio::time::sleep_until(again).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}

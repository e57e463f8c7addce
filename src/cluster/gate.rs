//! How many requests are under way at once: as many as the server bears, learnt from its 429s.

use std::sync::Mutex;

use tokio::sync::Notify;

/// Additive increase, multiplicative decrease, between one and a ceiling.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
    freed: Notify,
}

#[derive(Debug)]
struct State {
    limit: usize,
    ceiling: usize,
    running: usize,
    successes: usize,
}

/// Requests at once when nothing is known. On a 2-core API server 8 reach 80 % of the best rate and 32 all of it. Far away
/// the number counts more: a plan's LISTs, one for each kind and seldom more than 30, go out in one round trip.
const START: usize = 32;

impl Gate {
    pub(super) fn new(ceiling: usize) -> Self {
        let ceiling = ceiling.max(1);
        let state = State { limit: START.min(ceiling), ceiling, running: 0, successes: 0 };
        Self { state: Mutex::new(state), freed: Notify::new() }
    }

    /// Waits for a place.
    pub(super) async fn enter(&self) -> Place<'_> {
        loop {
            let freed = self.freed.notified();
            {
                let mut state = self.state.lock().expect("no holder of this lock panics");
                if state.running < state.limit {
                    state.running += 1;
                    return Place { gate: self };
                }
            }
            freed.await;
        }
    }

    /// The server served a request.
    pub(super) fn served(&self) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        state.successes += 1;
        if state.successes >= state.limit && state.limit < state.ceiling {
            state.limit += 1;
            state.successes = 0;
            self.freed.notify_one();
        }
    }

    /// The server asked for fewer requests.
    pub(super) fn throttled(&self) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        state.limit = (state.limit / 2).max(1);
        state.successes = 0;
    }
}

/// A place among the running requests; given back when dropped.
#[derive(Debug)]
pub(super) struct Place<'a> {
    gate: &'a Gate,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.gate.state.lock().expect("no holder of this lock panics").running -= 1;
        self.gate.freed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn throttling_halves_and_service_restores() {
        let gate = Gate::new(32);
        for _ in 0..5 {
            gate.throttled();
        }
        let first = gate.enter().await;
        let second = tokio::time::timeout(std::time::Duration::from_millis(20), gate.enter()).await;
        assert!(second.is_err(), "limit one lets one in");
        drop(first);
        for _ in 0..3 {
            gate.served();
        }
        let _a = gate.enter().await;
        let _b = gate.enter().await;
    }
}

//! How many requests are under way at once: as many as the server bears, learnt from its 429s. Who waits for a place gets it
//! by urgency, then by arrival.

use std::{
    cmp::Reverse,
    collections::BTreeMap,
    sync::{Arc, Mutex},
};

use tokio::sync::oneshot;

/// Additive increase, multiplicative decrease, between one and a ceiling.
#[derive(Debug)]
pub(super) struct Gate {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    limit: usize,
    ceiling: usize,
    running: usize,
    successes: usize,
    arrivals: u64,
    waiting: BTreeMap<(Reverse<u32>, u64), oneshot::Sender<Place>>,
}

/// Requests at once when nothing is known. On a 2-core API server 8 reach 80 % of the best rate and 32 all of it. Far away
/// the number counts more: a plan's LISTs, one for each kind and seldom more than 30, go out in one round trip.
const START: usize = 32;

impl Gate {
    pub(super) fn new(ceiling: usize) -> Arc<Self> {
        let ceiling = ceiling.max(1);
        let state = State {
            limit: START.min(ceiling),
            ceiling,
            running: 0,
            successes: 0,
            arrivals: 0,
            waiting: BTreeMap::new(),
        };
        Arc::new(Self { state: Mutex::new(state) })
    }

    /// Waits for a place.
    pub(super) async fn enter(self: &Arc<Self>, urgency: u32) -> Place {
        loop {
            let turn = {
                let mut state = self.state.lock().expect("no holder of this lock panics");
                if state.running < state.limit {
                    state.running += 1;
                    return Place(Some(Arc::clone(self)));
                }
                let (sender, turn) = oneshot::channel();
                state.arrivals += 1;
                let arrival = state.arrivals;
                state.waiting.insert((Reverse(urgency), arrival), sender);
                turn
            };
            // The gate outlives whoever waits at it, so that a turn always comes; were it lost, the loop asks again.
            if let Ok(place) = turn.await {
                return place;
            }
        }
    }

    /// Lets in who waits, as far as there is room.
    fn admit(self: &Arc<Self>, state: &mut State) {
        while state.running < state.limit
            && let Some((_, sender)) = state.waiting.pop_first()
        {
            state.running += 1;
            if let Err(mut place) = sender.send(Place(Some(Arc::clone(self)))) {
                // Whoever waited has gone. The place is given back here: its drop would lock again.
                place.0 = None;
                state.running -= 1;
            }
        }
    }

    /// The server served a request.
    pub(super) fn served(self: &Arc<Self>) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        state.successes += 1;
        if state.successes >= state.limit && state.limit < state.ceiling {
            state.limit += 1;
            state.successes = 0;
            self.admit(&mut state);
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
pub(super) struct Place(Option<Arc<Gate>>);

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gate) = self.0.take() {
            let mut state = gate.state.lock().expect("no holder of this lock panics");
            state.running -= 1;
            gate.admit(&mut state);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn throttling_halves_and_service_restores() {
        let gate = Gate::new(32);
        for _ in 0..5 {
            gate.throttled();
        }
        let first = gate.enter(0).await;
        let second = tokio::time::timeout(Duration::from_millis(20), gate.enter(0)).await;
        assert!(second.is_err(), "limit one lets one in");
        drop(first);
        for _ in 0..3 {
            gate.served();
        }
        let _a = gate.enter(0).await;
        let _b = gate.enter(0).await;
    }

    #[tokio::test]
    async fn the_urgent_go_first_and_who_went_away_takes_no_place() {
        let gate = Gate::new(1);
        let held = gate.enter(0).await;
        let order = Arc::new(Mutex::new(Vec::new()));
        let wait = |name: &'static str, urgency: u32| {
            let (gate, order) = (Arc::clone(&gate), Arc::clone(&order));
            tokio::spawn(async move {
                let _place = gate.enter(urgency).await;
                order.lock().expect("not poisoned").push(name);
            })
        };
        let mut tasks = Vec::new();
        for (name, urgency) in [("first", 1), ("gone", 9), ("second", 1), ("urgent", 5)] {
            tasks.push(wait(name, urgency));
            // In this order they arrive.
            while gate.state.lock().expect("not poisoned").waiting.len() < tasks.len() {
                tokio::task::yield_now().await;
            }
        }
        tasks.remove(1).abort();
        drop(held);
        for task in tasks {
            task.await.expect("it gets its place");
        }
        assert_eq!(*order.lock().expect("not poisoned"), ["urgent", "first", "second"]);
        assert_eq!(gate.state.lock().expect("not poisoned").running, 0);
    }
}

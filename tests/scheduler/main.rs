//! The model of the scheduler beside the real kube-scheduler: random nodes, with pods on them, and one pod more, on a real API
//! server. What the model says must happen: the pod is bound to one of the nodes that it names, or after exactly the victims that
//! it names have left, or the pod's condition has word for word the message that it predicts.
//!
//! 100 cases in `cargo test`; a number of your own, and a seed:
//!
//!     WBK_INFRA_SCHEDULER_CASES=1000 cargo test --test scheduler -- --nocapture
//!     WBK_INFRA_SCHEDULER_CASES=1000 WBK_INFRA_SCHEDULER_SEED=7 cargo test --test scheduler -- --nocapture
//!
//! A case that differs is made smaller, as long as it still differs, and printed.

mod case;
#[path = "../support/random.rs"]
mod random;
mod random_case;
mod shrink;
#[path = "../support/mod.rs"]
mod support;
mod world;

use case::{Case, Outcome};
use random::Random;
use world::World;

/// Cases that are asked at once: each has nodes of its own, so that none is in another's way.
const BATCH: usize = 50;

fn number(variable: &str, default: u64) -> u64 {
    match std::env::var(variable) {
        Ok(text) => text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text}")),
        Err(_) => default,
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_model_says_what_kube_scheduler_does() {
    let cases = usize::try_from(number("WBK_INFRA_SCHEDULER_CASES", 100)).expect("a number of cases");
    let seed = number("WBK_INFRA_SCHEDULER_SEED", 1);
    let world = World::start().await;
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let mut differing: Vec<(Case, Outcome)> = Vec::new();
    while tally.judged < cases {
        let batch: Vec<Case> = (0..BATCH).map(|_| random_case::case(&mut random)).collect();
        for (case, outcome) in batch.iter().zip(world.ask(&batch).await) {
            tally.count(&outcome);
            if matches!(outcome, Outcome::Differs { .. }) {
                differing.push((case.clone(), outcome));
            }
        }
        if differing.len() >= 10 {
            // So many have one cause: no need for more.
            for (case, outcome) in differing.iter().take(5) {
                eprintln!("{case}\n{outcome}\n");
            }
            differing.truncate(1);
            break;
        }
    }
    eprintln!("seed {seed}: {tally:?}");
    for (_, outcome) in &differing {
        eprintln!("{outcome}");
    }
    let mut real = Vec::new();
    for (case, _) in differing {
        // A case that does not differ again met the scheduler before it had seen all of it.
        if let [again @ Outcome::Differs { .. }] = &world.ask(std::slice::from_ref(&case)).await[..] {
            let (smaller, outcome) = shrink::shrink(&world, case, again.clone()).await;
            real.push(format!("{smaller:#}\n{outcome}"));
        }
    }
    assert!(real.is_empty(), "{} cases differ (seed {seed}):\n{}", real.len(), real.join("\n\n"));
    assert!(tally.bound * 20 > tally.judged, "too few pods fit: {tally:?}");
    assert!(tally.preempted * 50 > tally.judged, "too few pods preempt: {tally:?}");
    assert!(tally.refused * 5 > tally.judged, "too few pods are refused: {tally:?}");
}

/// How many cases ended how.
#[derive(Debug, Default)]
struct Tally {
    judged: usize,
    bound: usize,
    preempted: usize,
    refused: usize,
    /// The API server would not have it: not a case.
    invalid: usize,
    differ: usize,
}

impl Tally {
    fn count(&mut self, outcome: &Outcome) {
        self.judged += 1;
        match outcome {
            Outcome::Bound => self.bound += 1,
            Outcome::Preempted => self.preempted += 1,
            Outcome::Refused => self.refused += 1,
            Outcome::Invalid(_) => {
                self.judged -= 1;
                self.invalid += 1;
            }
            Outcome::Differs { .. } => self.differ += 1,
        }
    }
}

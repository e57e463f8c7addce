//! Runs a law on many cases.

use std::future::Future;

use proptest::prelude::*;
use proptest::test_runner::{Config, RngAlgorithm, TestRng, TestRunner};

/// Threads of a law: as many as the cores of a small machine. A case takes 0.2 s of one in a debug build.
pub const THREADS: u8 = 2;

/// Runs a law on many cases; the same ones each time.
pub fn law<S: Strategy, F: Future<Output = Result<(), TestCaseError>>>(
    cases: u32,
    strategy: impl Fn() -> S + Sync,
    test: impl Fn(S::Value) -> F + Sync,
) {
    let run = |thread: u8| {
        let cases = cases / u32::from(THREADS);
        let config = Config { cases, failure_persistence: None, max_shrink_iters: 0, ..Config::default() };
        let mut runner = TestRunner::new_with_rng(config, TestRng::from_seed(RngAlgorithm::ChaCha, &[thread; 32]));
        let outcome = runner.run(&strategy(), |case| {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
            runtime.block_on(test(case))
        });
        outcome.map_err(|error| error.to_string())
    };
    let failures: Vec<String> = std::thread::scope(|scope| {
        let run = &run;
        let threads: Vec<_> = (0..THREADS).map(|thread| scope.spawn(move || run(thread))).collect();
        threads.into_iter().filter_map(|thread| thread.join().expect("a law answers").err()).collect()
    });
    if let Some(failure) = failures.first() {
        panic!("{failure}");
    }
}

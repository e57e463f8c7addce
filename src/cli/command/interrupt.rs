//! Ctrl-C and SIGTERM.

use tokio::{
    signal::unix::{Signal, SignalKind, signal},
    sync::watch,
};

use crate::execute::Stop;

/// Ctrl-C once: finish what runs. Twice: stop now. Whoever signals after this returned is heard.
pub fn stop_on_interrupt() -> watch::Receiver<Stop> {
    let (sender, receiver) = watch::channel(Stop::No);
    // A signal that cannot be listened to keeps what it does by itself: it ends this process.
    let mut interrupt = signal(SignalKind::interrupt()).ok();
    let mut terminate = signal(SignalKind::terminate()).ok();
    tokio::spawn(async move {
        for next in [Stop::Finish, Stop::Now] {
            tokio::select! {
                () = heard(&mut interrupt) => {}
                () = heard(&mut terminate) => {}
            }
            if sender.send(next).is_err() {
                return;
            }
        }
        // Keeps the channel open: a closed one would read as a stop.
        sender.closed().await;
    });
    receiver
}

async fn heard(signal: &mut Option<Signal>) {
    match signal {
        Some(signal) => {
            signal.recv().await;
        }
        None => std::future::pending().await,
    }
}

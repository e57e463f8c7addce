//! The simulator as a process of its own, for this crate's tests: what `wbk-infra local simulate` is in the product.

use std::path::PathBuf;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut arguments = std::env::args_os().skip(1);
    let kubeconfig = match (arguments.next(), arguments.next(), arguments.next()) {
        (Some(flag), Some(path), None) if flag == "--kubeconfig" => PathBuf::from(path),
        _ => panic!("usage: wbk-local-simulate --kubeconfig FILE"),
    };
    let mut terminate =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate()).expect("SIGTERM can be listened to");
    let shutdown = async move {
        terminate.recv().await;
    };
    let result = wbk_provider_local::simulator::run(&kubeconfig, shutdown, &|line| eprintln!("{line}")).await;
    if let Err(error) = result {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

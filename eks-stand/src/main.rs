//! `wbk-eks-stand`: the stand by hand, until Ctrl-C.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use wbk_eks_stand::{Settings, Stand};

const USAGE: &str = "usage: wbk-eks-stand [--faults] [--log FILE] [--region REGION]
Prints the variables that make programs use it, as lines for a shell, and serves until Ctrl-C.
  --faults   microburst in front: rules go to $AWS_ENDPOINT_URL/_microburst/rules
  --log      one line of JSON for every request";

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    match run(std::env::args().skip(1)).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

async fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let mut settings = Settings::of_environment();
    while let Some(flag) = args.next() {
        let mut value = || args.next().ok_or_else(|| USAGE.to_owned());
        match flag.as_str() {
            "--faults" => settings.faults = true,
            "--log" => settings.log = Some(value()?.into()),
            "--region" => settings.region = value()?,
            _ => return Err(USAGE.into()),
        }
    }
    let waits = |error: std::io::Error| format!("cannot wait for signals: {error}");
    let mut terminate = signal(SignalKind::terminate()).map_err(waits)?;
    let mut interrupt = signal(SignalKind::interrupt()).map_err(waits)?;
    let starting = Stand::start_with(settings, |line| eprintln!("{line}"));
    let stand = tokio::select! {
        stand = starting => stand.map_err(|error| error.to_string())?,
        _ = interrupt.recv() => return Err("interrupted".into()),
        _ = terminate.recv() => return Err("interrupted".into()),
    };
    for (name, value) in stand.env() {
        println!("export {name}={value}");
    }
    println!("# the aws CLI is {}", stand.aws_cli().display());
    tokio::select! {
        _ = interrupt.recv() => {}
        _ = terminate.recv() => {}
    }
    eprintln!("ending");
    drop(stand);
    Ok(())
}

//! `wbk-fake-wandb`: the server by hand, to try Launch without an account.

use std::process::ExitCode;

use wbk_fake_wandb::{Config, Entity, FakeWandb};

const USAGE: &str =
    "usage: wbk-fake-wandb [--address ADDRESS] [--port PORT] [--user NAME] [--team NAME]... [--foreign NAME]...
The key is in WBK_FAKE_WANDB_KEY (40 characters); without it a well-known one is used, and printed.";

fn main() -> ExitCode {
    match run(std::env::args().skip(1)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::from(2)
        }
    }
}

fn run(mut args: impl Iterator<Item = String>) -> Result<(), String> {
    let mut config = Config { port: 8080, ..Config::default() };
    let mut entities = Vec::new();
    while let Some(flag) = args.next() {
        let value = args.next().ok_or_else(|| USAGE.to_owned())?;
        match flag.as_str() {
            "--address" => config.address = value.parse().map_err(|_| format!("{value} is no IP address"))?,
            "--port" => config.port = value.parse().map_err(|_| format!("{value} is no port"))?,
            "--user" => config.username = value,
            "--team" => entities.push(Entity::team(&value)),
            "--foreign" => entities.push(Entity::foreign(&value)),
            _ => return Err(USAGE.into()),
        }
    }
    if !entities.is_empty() {
        config.entities = entities;
    }
    let own_key = std::env::var("WBK_FAKE_WANDB_KEY").ok(); // Unset: the well-known one.
    let shown = if own_key.is_some() { "$WBK_FAKE_WANDB_KEY".to_owned() } else { config.key.clone() };
    config.key = own_key.unwrap_or(config.key);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.map_err(|error| format!("cannot start: {error}"))?;
    let (address, port) = (config.address, config.port);
    let server =
        FakeWandb::start(config).map_err(|error| format!("cannot listen at {address} port {port}: {error}"))?;
    println!("WANDB_BASE_URL={} WANDB_API_KEY={shown}", server.url());
    runtime.block_on(tokio::signal::ctrl_c()).map_err(|error| format!("cannot wait for signals: {error}"))
}

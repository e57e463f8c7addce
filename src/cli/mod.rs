//! The command line: the only module that prints, reads the environment or ends the process.

mod args;
mod aws;
mod command;
mod environment;
mod failure;
mod pin;
mod releases;
mod secrets;
mod show;
mod situation;
mod wandb;

use std::process::ExitCode;

use clap::Parser;

use args::{Cli, Colour, Command};
use command::Session;
use environment::Environment;
use failure::{Exit, Failure};

pub use args::Cli as CommandLine;
pub use show::{PlanReport, plan_human};

/// Reads the arguments, runs the command, prints a failure, and answers the exit code.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help and version are asked for: they are no error and go to standard output.
            let code = if error.use_stderr() { Exit::Usage } else { Exit::Done };
            if error.print().is_err() {
                return Exit::Failed.into();
            }
            return code.into();
        }
    };
    match cli.global.color {
        Colour::Auto => {}
        Colour::Always => anstream::ColorChoice::Always.write_global(),
        Colour::Never => anstream::ColorChoice::Never.write_global(),
    }
    let mut environment = Environment::read();
    if let Some(path) = &cli.global.rehearsal {
        match wbk_provider_rehearsal::Rehearsal::read(path) {
            Ok(rehearsal) => environment.rehearsal = Some(rehearsal),
            Err(error) => {
                anstream::eprintln!("error: read the rehearsal {}: {error}", path.display());
                return Exit::Usage.into();
            }
        }
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            anstream::eprintln!("error: start the runtime: {error}");
            return Exit::Failed.into();
        }
    };
    let outcome = runtime.block_on(run(cli, &environment));
    // What still runs (a renewal, a helm) must not hold the process back.
    runtime.shutdown_timeout(std::time::Duration::from_millis(100));
    match outcome {
        Ok(exit) => exit.into(),
        Err(failure) => {
            anstream::eprintln!("{}", failure.text());
            failure.exit.into()
        }
    }
}

async fn run(cli: Cli, environment: &Environment) -> Result<Exit, Failure> {
    let Cli { command, mut global } = cli;
    if let Command::Verify { json: true, .. } = command {
        global.output = args::Output::Json;
    }
    let context = Session { environment, global: &global };
    match command {
        Command::Plan { blueprint, decisions, proof, out, exit_code } => {
            context.plan(&blueprint, (&decisions, &proof), out.as_deref(), exit_code).await
        }
        Command::Apply { blueprint, decisions, proof, checks, yes, no_verify } => {
            context.apply(&blueprint, (&decisions, &proof), &checks, yes, !no_verify).await
        }
        Command::Verify { blueprint, checks, list, json: _ } => context.verify(&blueprint, &checks, list).await,
        Command::Drift { blueprint, watch, interval } => context.drift(&blueprint, watch, interval).await,
        Command::Destroy { blueprint, decisions, max_deletes, yes } => {
            context.destroy(&blueprint, &decisions, (max_deletes, yes)).await
        }
        Command::Rehearse { blueprint, fault, keep } => context.rehearse(&blueprint, &fault, keep).await,
        Command::Fleet { command } => context.fleet(&command).await,
        Command::Launch { command } => context.launch(command).await,
        Command::Cost { blueprint, files } => context.cost(&args::BlueprintArgs { blueprint, files }).await,
        Command::Sweep { command } => context.sweep(command).await,
        Command::Status { blueprint } => context.status(&blueprint).await,
        Command::Lint { blueprint } => command::lint(&blueprint, &global),
        Command::Render { blueprint } => command::render(&blueprint, &context),
        Command::Explain(args) => context.explain(args).await,
        Command::Schema { of } => command::schema(of),
        Command::Ci { command } => command::ci(&context, &command),
        Command::Completions { shell } => command::completions(shell),
        Command::Doctor { blueprint } => command::doctor(&context, blueprint.blueprint.as_deref()).await,
        Command::Import { command } => context.import(&command).await,
        Command::Eks { command } => command::eks(&command, environment).await,
        Command::Local { command } => command::local(&context, command).await,
        Command::Assets { fetch } => command::assets(&context, fetch),
    }
}

//! `local`.

use wbk_provider_api::Progress;
use wbk_provider_local::{LocalError, LocalProvider, cluster::Component, simulator};

use super::{
    interrupt::stop_on_interrupt,
    session::{Session, out, unfit},
};
use crate::cli::{
    args::{LocalCommand, Output},
    failure::{Exit, Failure},
    show::{Mood, paint},
    situation::local_settings,
};

/// Lines of a log that are printed: the last ones hold what went wrong.
const LOG_LINES: usize = 200;

/// `local …`.
pub async fn local(context: &Session<'_>, command: LocalCommand) -> Result<Exit, Failure> {
    let provider = LocalProvider::new(local_settings(context.environment, context.global));
    let clusters = provider.clusters();
    let quiet = context.global.quiet;
    let say = move |Progress(line): Progress| {
        if !quiet {
            anstream::eprintln!("{line}");
        }
    };
    match command {
        LocalCommand::List => {
            let list = clusters.list()?;
            match context.global.output {
                Output::Human if list.is_empty() => out("no local clusters"),
                Output::Human => {
                    for cluster in &list {
                        let state = if cluster.is_running() {
                            paint(Mood::Good, "running")
                        } else if cluster.is_stopped() {
                            paint(Mood::Faint, "stopped")
                        } else {
                            paint(Mood::Change, "half running")
                        };
                        let memory: u64 =
                            cluster.components.iter().filter_map(|component| component.resident_bytes).sum();
                        out(&format!(
                            "{:20} {state}  Kubernetes {}  {}  {} MB",
                            cluster.name,
                            cluster.version.as_deref().unwrap_or(&cluster.minor),
                            cluster.server,
                            memory / 1_000_000
                        ));
                    }
                }
                Output::Json => out(&serde_json::to_string_pretty(&list)?),
                Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&list)?)),
                other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
                    return Err(unfit("local list", other));
                }
            }
        }
        LocalCommand::Start { name } => {
            if clusters.status(&name)?.is_none() {
                // A new one is made by an apply, with the version and the pools that a blueprint gives.
                return Err(LocalError::NoCluster { name }.into());
            }
            let status = clusters.start(&name, None, &say).await?;
            out(&format!("{name} runs at {} (nodes simulated)", status.server));
        }
        LocalCommand::Stop { name } => {
            clusters.stop(&name, &say).await?;
            out(&format!("{name} is stopped; its data is kept"));
        }
        LocalCommand::Logs { name, component } => {
            let Some(component) = Component::from_name(&component) else {
                let names: Vec<&str> = Component::ALL.into_iter().map(Component::name).collect();
                return Err(Failure::usage(format!(
                    "there is no component {component:?}; there are {}",
                    names.join(", ")
                )));
            };
            out(&clusters.logs(&name, component, LOG_LINES)?);
        }
        LocalCommand::Kubeconfig { name } => out(&clusters.kubeconfig_path(&name)?.display().to_string()),
        LocalCommand::Delete { name, yes } => {
            if !yes && !confirmed(context, &name)? {
                return Ok(Exit::Done);
            }
            clusters.delete(&name, &say).await?;
            out(&format!("{name} and its data are gone"));
        }
        LocalCommand::Simulate { kubeconfig } => {
            let mut stop = stop_on_interrupt();
            let shutdown = async move {
                // A closed channel is a stop too.
                let _closed = stop.changed().await;
            };
            simulator::run(&kubeconfig, shutdown, &|line| anstream::eprintln!("{line}")).await?;
        }
    }
    Ok(Exit::Done)
}

fn confirmed(context: &Session<'_>, name: &str) -> Result<bool, Failure> {
    if !context.environment.can_ask {
        return Err(Failure::usage(format!("deleting {name} loses its data, and nobody can be asked here: add --yes")));
    }
    anstream::eprint!("Delete the local cluster {name} with all its data? [yes/no] ");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(answer.trim() == "yes")
}

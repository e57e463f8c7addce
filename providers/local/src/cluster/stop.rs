//! Ends a cluster's processes, those that write first.

use std::time::Duration;

use rustix::process::Signal;
use wbk_provider_api::{Progress, ProgressSink};

use super::process::{self, Process};
use super::{Component, Directory, Wait};
use crate::{LocalError, files};

/// Who is ended together, in this order: nobody writes any more when the store ends.
const ORDER: [&[Component]; 3] = [
    &[Component::Scheduler, Component::ControllerManager, Component::Simulator],
    &[Component::ApiServer],
    &[Component::Etcd],
];
/// An API server without clients ends in 0.3 s; one that drains watches may take some seconds.
const GRACE: Duration = Duration::from_secs(10);
/// After SIGKILL the system needs only to take its memory back.
const KILLED: Duration = Duration::from_secs(10);

/// Ends them all.
pub(super) async fn stop(directory: &Directory, progress: ProgressSink<'_>) -> Result<(), LocalError> {
    for group in ORDER {
        end(directory, group, progress).await?;
    }
    Ok(())
}

/// Ends some of them, together.
pub(super) async fn end(
    directory: &Directory,
    components: &[Component],
    progress: ProgressSink<'_>,
) -> Result<(), LocalError> {
    let alive: Vec<(Component, Process)> = components
        .iter()
        .filter_map(|component| process::find(directory, *component).map(|process| (*component, process)))
        .collect();
    for (component, process) in &alive {
        progress(Progress(format!("stopping {component}")));
        process::signal(process, *component, Signal::TERM)?;
    }
    for (component, process) in &alive {
        if ended(process, *component, GRACE).await.is_err() {
            progress(Progress(format!("{component} does not stop by itself; killing it")));
            process::signal(process, *component, Signal::KILL)?;
            ended(process, *component, KILLED).await?;
        }
    }
    for component in components {
        files::remove_file(&directory.pid(*component))?;
    }
    Ok(())
}

async fn ended(process: &Process, component: Component, within: Duration) -> Result<(), LocalError> {
    let what = format!("{component} (pid {}) to end", process.pid);
    let wait = Wait::new(what, within);
    while process::is_alive(process) {
        wait.again().await?;
    }
    Ok(())
}

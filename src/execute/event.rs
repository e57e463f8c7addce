//! What happens, as it happens. The executor tells; the command line shows.

use crate::plan::{Action, StepId};

/// One thing that happened.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// A step began.
    Started {
        /// Which.
        step: StepId,
        /// What it does.
        action: Action,
    },
    /// A step waits.
    Waiting {
        /// Which.
        step: StepId,
        /// For what, with pod, container and event where it is slow.
        what: String,
    },
    /// A step is done, its readiness included.
    Done {
        /// Which.
        step: StepId,
        /// What it did.
        action: Action,
        /// How long it took, in milliseconds.
        millis: u64,
    },
    /// A step failed.
    Failed {
        /// Which.
        step: StepId,
        /// The error and its causes in one line.
        error: String,
        /// One concrete action.
        hint: Option<String>,
    },
    /// A step will not run.
    Blocked {
        /// Which.
        step: StepId,
        /// Because of what.
        because: String,
    },
    /// Something worth knowing that is about no step.
    Note(String),
}

/// Where events go; called from any task.
pub type EventSink<'a> = &'a (dyn Fn(Event) + Send + Sync);

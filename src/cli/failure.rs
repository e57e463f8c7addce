//! How a command ends when it does not succeed: what was attempted, the causes, one hint, and the exit code.

use std::process::ExitCode;

/// The documented exit codes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// Done, or nothing to do.
    Done,
    /// Failed, nothing left behind that the message does not name.
    Failed,
    /// Wrong usage.
    Usage,
    /// Changes or drift pending.
    Pending,
    /// Apply stopped with something left.
    Stopped,
    /// A check failed.
    CheckFailed,
    /// A check was inconclusive.
    Inconclusive,
    /// Interrupted.
    Interrupted,
}

impl Exit {
    /// Its number.
    pub fn code(self) -> u8 {
        match self {
            Self::Done => 0,
            Self::Failed => 1,
            Self::Usage => 2,
            Self::Pending => 3,
            Self::Stopped => 4,
            Self::CheckFailed => 5,
            Self::Inconclusive => 6,
            Self::Interrupted => 130,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit.code())
    }
}

/// A command failed.
#[derive(Debug)]
pub struct Failure {
    /// What failed, with its causes.
    pub error: anyhow::Error,
    /// One concrete action.
    pub hint: Option<String>,
    /// The exit code.
    pub exit: Exit,
}

impl Failure {
    /// A failure with a hint.
    pub fn hinted(error: impl Into<anyhow::Error>, hint: impl Into<String>) -> Self {
        Self { error: error.into(), hint: Some(hint.into()), exit: Exit::Failed }
    }

    /// Wrong usage.
    pub fn usage(message: impl Into<String>) -> Self {
        Self { error: anyhow::Error::msg(message.into()), hint: None, exit: Exit::Usage }
    }

    /// The message, its causes on lines of their own, the hint. A cause that its parent repeats is dropped: some libraries
    /// print their cause in their own text.
    pub fn text(&self) -> String {
        let mut lines = vec![format!("error: {}", self.error)];
        let mut said = self.error.to_string();
        for cause in self.error.chain().skip(1) {
            let text = cause.to_string();
            if said.contains(&text) {
                continue;
            }
            lines.push(format!("  because: {text}"));
            said = text;
        }
        if let Some(hint) = &self.hint {
            lines.push(format!("  hint: {hint}"));
        }
        lines.join("\n")
    }
}

impl<E: Into<anyhow::Error>> From<E> for Failure {
    fn from(error: E) -> Self {
        let error = error.into();
        let hint = hint(&error);
        Self { error, hint, exit: Exit::Failed }
    }
}

/// Hints are data of the errors that know one.
fn hint(error: &anyhow::Error) -> Option<String> {
    for cause in error.chain() {
        if let Some(error) = cause.downcast_ref::<crate::cluster::ClusterError>()
            && let Some(hint) = error.hint()
        {
            return Some(hint.to_owned());
        }
        if let Some(error) = cause.downcast_ref::<wbk_provider_api::ProviderError>() {
            return error.hint.clone();
        }
        if let Some(error) = cause.downcast_ref::<crate::execute::StepError>() {
            return error.hint.clone();
        }
        if let Some(error) = cause.downcast_ref::<wbk_provider_local::LocalError>() {
            return error.hint();
        }
        if let Some(error) = cause.downcast_ref::<crate::helm::HelmError>() {
            return error.hint().map(|hint| hint.to_string());
        }
    }
    None
}

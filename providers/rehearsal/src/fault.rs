//! What may go wrong on request, as a user writes it: `stockout:a100`, `throttle`, `spot-reclaim`, `kill-after=STEP`.

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// One thing that goes wrong, once.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", tag = "fault")]
pub enum Fault {
    /// The zone has no capacity when the pool is first created.
    Stockout {
        /// The pool.
        pool: String,
    },
    /// Each first request about a thing is answered "too many requests".
    Throttle,
    /// After the apply, the cloud takes a node of every spot pool back.
    SpotReclaim,
    /// The apply is killed (SIGKILL) when this step is done.
    KillAfter {
        /// Part of the step's name, as the plan prints it.
        step: String,
    },
}

/// A fault that is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0:?} is no fault: write stockout:POOL, throttle, spot-reclaim or kill-after=STEP")]
pub struct FaultError(String);

impl std::str::FromStr for Fault {
    type Err = FaultError;

    fn from_str(text: &str) -> Result<Self, FaultError> {
        let wrong = || FaultError(text.to_owned());
        let named = |name: &str| (!name.is_empty()).then(|| name.to_owned()).ok_or_else(wrong);
        match text {
            "throttle" => Ok(Self::Throttle),
            "spot-reclaim" => Ok(Self::SpotReclaim),
            _ => {
                if let Some(pool) = text.strip_prefix("stockout:") {
                    Ok(Self::Stockout { pool: named(pool)? })
                } else if let Some(step) = text.strip_prefix("kill-after=") {
                    Ok(Self::KillAfter { step: named(step)? })
                } else {
                    Err(wrong())
                }
            }
        }
    }
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Stockout { pool } => write!(f, "stockout:{pool}"),
            Self::Throttle => f.write_str("throttle"),
            Self::SpotReclaim => f.write_str("spot-reclaim"),
            Self::KillAfter { step } => write!(f, "kill-after={step}"),
        }
    }
}

/// What has happened already, kept as empty files: a fault happens once, also across processes.
#[derive(Debug, Clone)]
pub(crate) struct Happened {
    folder: PathBuf,
}

impl Happened {
    pub(crate) fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned() }
    }

    /// `true` the first time it is asked about this; and from then on it has happened.
    ///
    /// # Errors
    /// The folder cannot be written.
    pub(crate) fn first(&self, what: &str) -> std::io::Result<bool> {
        std::fs::create_dir_all(&self.folder)?;
        match std::fs::File::create_new(self.path(what)) {
            Ok(_) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether it has happened.
    pub(crate) fn has(&self, what: &str) -> bool {
        self.path(what).exists()
    }

    fn path(&self, what: &str) -> PathBuf {
        let name: String = what.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
        self.folder.join(name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn faults_read_as_they_are_written() {
        for text in ["stockout:a100", "throttle", "spot-reclaim", "kill-after=Namespace wandb-jobs"] {
            assert_eq!(text.parse::<Fault>().unwrap().to_string(), text);
        }
        for text in ["stockout", "stockout:", "kill-after=", "flood"] {
            assert!(text.parse::<Fault>().is_err(), "{text}");
        }
    }

    #[test]
    fn what_happens_once_happens_once() {
        let folder = tempfile::tempdir().unwrap();
        let happened = Happened::new(&folder.path().join("faults"));
        assert!(happened.first("stockout:a100").unwrap());
        assert!(!happened.first("stockout:a100").unwrap());
        assert!(happened.first("stockout:l4").unwrap());
    }
}

//! The intent log: what was about to be done is on disk before it is done. It answers "what was cut off?"; the world, not
//! this file, says what is there, so that it may be deleted at any time.

use std::{
    fs::{File, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    sync::Mutex,
};

use serde::{Deserialize, Serialize};

use crate::id::Digest;

/// The journal could not be written: nothing is started that is not announced.
#[derive(Debug, thiserror::Error)]
#[error("write the journal {path}")]
pub struct JournalError {
    /// The file.
    pub path: String,
    /// The cause.
    #[source]
    pub source: std::io::Error,
}

/// One line of the journal.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "entry")]
enum Entry {
    Begin { plan: Digest, steps: usize, time: String },
    Started { step: String, action: String, token: String },
    Done { step: String },
    Failed { step: String, error: String, left: String },
    End { complete: bool },
}

/// What an earlier apply began and did not end.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Unfinished {
    /// When it began.
    pub since: String,
    /// Steps that were started and of which no end is known.
    pub started: Vec<String>,
    /// Lines that could not be read; the file was moved aside.
    pub damaged: Option<PathBuf>,
}

/// An open journal.
#[derive(Debug)]
pub struct Journal {
    path: PathBuf,
    file: Mutex<File>,
}

impl Journal {
    /// Opens the journal of a plan that begins now, and answers what the one before left unfinished.
    ///
    /// # Errors
    /// The folder or the file cannot be written.
    pub fn begin(
        path: &Path,
        plan: &Digest,
        steps: usize,
        now: &str,
    ) -> Result<(Self, Option<Unfinished>), JournalError> {
        let failed = |source| JournalError { path: path.display().to_string(), source };
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder).map_err(failed)?;
        }
        let before = Self::unfinished(path).map_err(failed)?;
        // The former journal is history once its unfinished steps are known: the new plan sees the world as it is.
        let file = OpenOptions::new().create(true).write(true).truncate(true).open(path).map_err(failed)?;
        let journal = Self { path: path.to_owned(), file: Mutex::new(file) };
        journal.write(&[Entry::Begin { plan: plan.clone(), steps, time: now.to_owned() }], Durability::Synced)?;
        Ok((journal, before))
    }

    /// Whether an apply began here and did not end: its Lease may still be held, and its ApplySet may name kinds that went.
    pub fn was_cut_off(path: &Path) -> bool {
        // Unreadable: begin says why.
        Self::unfinished(path).map_or(true, |found| found.is_some())
    }

    fn unfinished(path: &Path) -> std::io::Result<Option<Unfinished>> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(None),
            Err(error) if error.kind() == std::io::ErrorKind::InvalidData => String::from("not text"),
            Err(error) => return Err(error),
        };
        let mut found = Unfinished::default();
        let mut ended = text.is_empty();
        let lines: Vec<&str> = text.lines().collect();
        for (number, line) in lines.iter().enumerate() {
            match serde_json::from_str::<Entry>(line) {
                Ok(Entry::Begin { time, .. }) => found.since = time,
                Ok(Entry::Started { step, .. }) => found.started.push(step),
                Ok(Entry::Done { step } | Entry::Failed { step, .. }) => {
                    found.started.retain(|started| *started != step)
                }
                Ok(Entry::End { .. }) => ended = true,
                // A kill may cut the last line short; anywhere else somebody edited the file.
                Err(_) if number + 1 == lines.len() && !text.ends_with('\n') => {}
                Err(_) => {
                    let aside = path.with_extension("damaged");
                    std::fs::rename(path, &aside)?;
                    found.damaged = Some(aside);
                    return Ok(Some(found));
                }
            }
        }
        Ok((!ended).then_some(found))
    }

    /// Announces steps; they are on disk when this returns.
    ///
    /// # Errors
    /// The disk refuses: then none of them may be started.
    pub fn started(&self, steps: &[(String, String, String)]) -> Result<(), JournalError> {
        let entries: Vec<Entry> =
            steps.iter().cloned().map(|(step, action, token)| Entry::Started { step, action, token }).collect();
        self.write(&entries, Durability::Synced)
    }

    /// Notes that a step is done. It need not be on disk at once: a lost line costs one comparison.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn done(&self, step: &str) -> Result<(), JournalError> {
        self.write(&[Entry::Done { step: step.to_owned() }], Durability::Buffered)
    }

    /// Notes that a step failed and what it left.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn failed(&self, step: &str, error: &str, left: &str) -> Result<(), JournalError> {
        let entry = Entry::Failed { step: step.to_owned(), error: error.to_owned(), left: left.to_owned() };
        self.write(&[entry], Durability::Buffered)
    }

    /// Notes the end.
    ///
    /// # Errors
    /// The disk refuses.
    pub fn end(&self, complete: bool) -> Result<(), JournalError> {
        self.write(&[Entry::End { complete }], Durability::Synced)
    }

    fn write(&self, entries: &[Entry], durability: Durability) -> Result<(), JournalError> {
        let failed = |source| JournalError { path: self.path.display().to_string(), source };
        let mut bytes = Vec::new();
        for entry in entries {
            serde_json::to_writer(&mut bytes, entry).map_err(|error| failed(error.into()))?;
            bytes.push(b'\n');
        }
        let mut file = self.file.lock().expect("no holder of this lock panics");
        file.write_all(&bytes).map_err(failed)?;
        match durability {
            Durability::Synced => file.sync_data().map_err(failed),
            Durability::Buffered => Ok(()),
        }
    }
}

#[derive(Clone, Copy)]
enum Durability {
    Synced,
    Buffered,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn start(path: &Path) -> (Journal, Option<Unfinished>) {
        Journal::begin(path, &Digest("d".into()), 2, "2026-01-01T00:00:00Z").expect("opens")
    }

    #[test]
    fn a_cut_off_apply_is_told_by_the_next_and_an_ended_one_is_not() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        let (journal, before) = start(&path);
        assert_eq!(before, None);
        let step = |name: &str| (name.to_owned(), "create".to_owned(), "t".to_owned());
        journal.started(&[step("a"), step("b")]).expect("written");
        journal.done("a").expect("written");
        let (journal, before) = start(&path);
        assert_eq!(before.expect("it was cut off").started, ["b"]);
        journal.end(true).expect("written");
        assert_eq!(start(&path).1, None);
    }

    #[test]
    fn an_edited_journal_is_moved_aside_and_a_torn_last_line_is_not_an_edit() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("journal");
        drop(start(&path));
        let text = std::fs::read_to_string(&path).expect("read");
        std::fs::write(&path, format!("{text}{{\"entry\":\"sta")).expect("written");
        assert_eq!(start(&path).1.expect("cut off").damaged, None);
        std::fs::write(&path, "nonsense\n{}\n").expect("written");
        let damaged = start(&path).1.expect("told").damaged.expect("moved");
        assert!(damaged.exists());
    }
}

//! An item's life, for people.

use super::{Mood, paint};
use crate::launch::{Lifecycle, StageState};

/// The steps one below the other, what is at each, and its fix.
pub fn lifecycle_human(life: &Lifecycle) -> String {
    let mut text = format!("{}\n{}\n\n", paint(Mood::Strong, &life.of), life.verdict);
    for stage in &life.stages {
        let (mood, mark) = match stage.state {
            StageState::Done => (Mood::Good, "✓"),
            StageState::Here => (Mood::Change, "●"),
            StageState::Stuck => (Mood::Bad, "✗"),
            StageState::Unknown => (Mood::Change, "?"),
            StageState::Ahead => (Mood::Faint, "·"),
        };
        text.push_str(&format!("  {}  {}\n", paint(mood, format!("{mark} {:<8}", stage.step.word())), stage.says));
        for held in &stage.here {
            match &held.obstacle {
                Some(obstacle) => text.push_str(&format!(
                    "              {}: {}\n              fix: {}\n",
                    held.what, obstacle.why, obstacle.fix
                )),
                None => text.push_str(&format!("              {}\n", held.what)),
            }
        }
    }
    for unseen in &life.unseen {
        text.push_str(&format!("{} {unseen}\n", paint(Mood::Bad, "not seen:")));
    }
    text.trim_end().to_owned()
}

//! Sweeps on one screen, for people.

use super::{Mood, paint};
use crate::sweep::SweepBoard;
use crate::wandb::SweepState;

/// Sweeps with runs, best run, agents and notes.
pub fn sweep_human(board: &SweepBoard) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    if board.sweeps.is_empty() {
        line("no sweeps".into());
    }
    for sweep in &board.sweeps {
        let state = match sweep.state {
            Some(state @ (SweepState::Pending | SweepState::Paused | SweepState::Other)) => {
                paint(Mood::Change, state.word())
            }
            Some(state @ (SweepState::Running | SweepState::Finished)) => paint(Mood::Good, state.word()),
            Some(state @ (SweepState::Canceled | SweepState::Crashed)) => paint(Mood::Bad, state.word()),
            None => "?".into(),
        };
        let runs: Vec<String> = sweep.runs.iter().map(|(state, count)| format!("{count} {state}")).collect();
        let total: usize = sweep.runs.values().sum();
        let of = sweep.expected.map_or_else(String::new, |expected| format!(" of {expected}"));
        let runs = if runs.is_empty() { String::new() } else { format!(": {}", runs.join(", ")) };
        line(format!("{}  {state}  {total}{of} runs{runs}  {}", paint(Mood::Strong, &sweep.name), sweep.path));
        if let Some(best) = &sweep.best {
            let set: Vec<String> = best.set.iter().map(|(name, value)| format!("{name}={value}")).collect();
            line(format!("  best: {} {} with {} (run {})", best.metric, best.value, set.join(" "), best.run));
        }
        if let Some(job) = &sweep.job {
            line(format!("  Job {job}, {} agents", sweep.wanted));
        }
        for agent in &sweep.agents {
            let mood = match agent.state.as_str() {
                "running" | "succeeded" => Mood::Good,
                "failed" => Mood::Bad,
                _ => Mood::Change,
            };
            let node = agent.node.as_deref().map(|node| format!("  node {node}")).unwrap_or_default();
            line(format!("    {}  {}{node}", paint(mood, format!("{:<9}", agent.state)), agent.pod));
            if let Some(why) = &agent.why {
                line(format!("      {why}"));
            }
        }
        for note in &sweep.notes {
            line(format!("  {note}"));
        }
    }
    for unseen in &board.unseen {
        line(format!("{} {unseen}", paint(Mood::Bad, "not seen:")));
    }
    text.trim_end().to_owned()
}

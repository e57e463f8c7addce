//! Progress: a few live lines on a terminal, plain lines elsewhere. On standard error, always.

use std::{collections::BTreeMap, sync::Mutex, time::Duration};

use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};

use super::{Mood, paint};
use crate::execute::Event;

/// Steps shown at once on a terminal; the rest is counted.
const SHOWN: usize = 8;

/// Shows what happens.
pub struct Progress {
    mode: Mode,
    state: Mutex<State>,
}

enum Mode {
    Silent,
    Plain { verbose: bool },
    Terminal { screen: MultiProgress, total: ProgressBar },
}

#[derive(Default)]
struct State {
    bars: BTreeMap<String, ProgressBar>,
    waits: BTreeMap<String, String>,
}

impl Progress {
    /// For `steps` steps. `terminal` says that standard error is one.
    pub fn new(steps: usize, terminal: bool, quiet: bool, verbose: bool) -> Self {
        let mode = if quiet {
            Mode::Silent
        } else if terminal {
            let screen = MultiProgress::with_draw_target(ProgressDrawTarget::stderr_with_hz(10));
            let total = screen.add(ProgressBar::new(steps as u64));
            let style = ProgressStyle::with_template("{bar:24.green} {pos}/{len} {elapsed} {msg}")
                .unwrap_or_else(|_| ProgressStyle::default_bar()); // The template is a constant that a test holds.
            total.set_style(style);
            total.enable_steady_tick(Duration::from_millis(250));
            Mode::Terminal { screen, total }
        } else {
            Mode::Plain { verbose }
        };
        Self { mode, state: Mutex::new(State::default()) }
    }

    /// A line about no step: a build that runs, a wait for a lease.
    pub fn say(&self, line: &str) {
        match &self.mode {
            Mode::Silent => {}
            Mode::Plain { .. } => anstream::eprintln!("{line}"),
            Mode::Terminal { total, .. } => total.suspend(|| anstream::eprintln!("{line}")),
        }
    }

    /// Shows an event.
    pub fn show(&self, event: &Event) {
        let mut state = self.state.lock().expect("no holder of this lock panics");
        match event {
            Event::Note(note) => self.say(note),
            Event::Failed { step, error, hint } => {
                self.clear(&mut state, &step.0);
                self.say(&format!("{} {step}: {error}", paint(Mood::Bad, "failed ")));
                if let Some(hint) = hint {
                    self.say(&format!("        hint: {hint}"));
                }
            }
            Event::Blocked { step, because } => {
                self.say(&format!("{} {step}: {because}", paint(Mood::Change, "blocked")))
            }
            Event::Started { step, action } => {
                if let Mode::Terminal { screen, .. } = &self.mode
                    && state.bars.len() < SHOWN
                {
                    let bar = screen.add(ProgressBar::new_spinner());
                    bar.set_style(
                        ProgressStyle::with_template("  {spinner} {msg}")
                            .unwrap_or_else(|_| ProgressStyle::default_spinner()),
                    );
                    bar.enable_steady_tick(Duration::from_millis(120));
                    bar.set_message(format!("{} {step}", action.word()));
                    state.bars.insert(step.0.clone(), bar);
                }
            }
            Event::Waiting { step, what } => {
                if let Some(bar) = state.bars.get(&step.0) {
                    bar.set_message(format!("{step}: {what}"));
                } else if let Mode::Plain { .. } = &self.mode
                    && state.waits.insert(step.0.clone(), what.clone()).as_ref() != Some(what)
                {
                    self.say(&format!("{} {step}: {what}", paint(Mood::Faint, "waits  ")));
                }
            }
            Event::Done { step, action, millis } => {
                self.clear(&mut state, &step.0);
                match &self.mode {
                    Mode::Silent => {}
                    Mode::Terminal { total, .. } => total.inc(1),
                    Mode::Plain { verbose } => {
                        let took = if *verbose || *millis >= 1000 {
                            format!(" ({:.1} s)", *millis as f64 / 1000.0)
                        } else {
                            String::new()
                        };
                        let word = format!("{:7}", past(*action));
                        self.say(&format!("{} {step}{took}", paint(Mood::Good, word)));
                    }
                }
            }
        }
    }

    fn clear(&self, state: &mut State, step: &str) {
        if let Some(bar) = state.bars.remove(step) {
            bar.finish_and_clear();
        }
    }

    /// Takes the live lines away.
    pub fn finish(&self) {
        if let Mode::Terminal { total, .. } = &self.mode {
            total.finish_and_clear();
        }
    }
}

fn past(action: crate::plan::Action) -> &'static str {
    use crate::plan::Action;
    match action {
        Action::Create => "created",
        Action::Start => "started",
        Action::Update => "updated",
        Action::Replace => "replaced",
        Action::Adopt => "adopted",
        Action::Disown => "disowned",
        Action::Delete => "deleted",
    }
}

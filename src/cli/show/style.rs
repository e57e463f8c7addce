//! Colours, by meaning. `anstream` strips them where the output is no terminal.

use anstyle::{AnsiColor, Style};

/// What a piece of text says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mood {
    /// Something new, or good.
    Good,
    /// Something that changes.
    Change,
    /// Something that goes, or failed.
    Bad,
    /// Less important.
    Faint,
    /// A heading.
    Strong,
}

/// Text in the colour of its meaning.
pub fn paint(mood: Mood, text: impl std::fmt::Display) -> String {
    let colour = |colour: AnsiColor| Style::new().fg_color(Some(colour.into()));
    let style = match mood {
        Mood::Good => colour(AnsiColor::Green),
        Mood::Change => colour(AnsiColor::Yellow),
        Mood::Bad => colour(AnsiColor::Red),
        Mood::Faint => Style::new().dimmed(),
        Mood::Strong => Style::new().bold(),
    };
    format!("{style}{text}{style:#}")
}

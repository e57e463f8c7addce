//! Drift for a person at a terminal; readable without colour.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{DriftKind, DriftReport, Severity};

/// The report as text with ANSI styles; a caller without a terminal strips them (`anstream`).
pub fn human(report: &DriftReport) -> String {
    let mut out = String::new();
    for (object, items) in report.objects() {
        let bold = Style::new().bold();
        line(&mut out, format_args!("{bold}{}{bold:#}", safe(object)));
        for item in items {
            let colour = match item.kind {
                DriftKind::Changed | DriftKind::Taken => AnsiColor::Yellow,
                DriftKind::Removed => AnsiColor::Red,
                DriftKind::Added => AnsiColor::Green,
            };
            let style = colour.on_default();
            let severity = match item.severity {
                Severity::Error => " [error]",
                Severity::Warning => "",
                Severity::Note => " [note]",
            };
            line(&mut out, format_args!("  {style}{}{style:#} {}{severity}", item.kind.mark(), item.what()));
            let who = item.who_and_when();
            if !who.is_empty() {
                line(&mut out, format_args!("      {}", safe(&who)));
            }
            if let Some(origin) = &item.origin {
                line(&mut out, format_args!("      asked for at {origin}"));
            }
        }
    }
    for unseen in &report.unseen {
        line(&mut out, format_args!("? {}: not looked at: {}", safe(&unseen.what), safe(&unseen.why)));
    }
    line(&mut out, format_args!("{}", report.headline()));
    out
}

/// Text of a server on one line, without control characters: it may neither break the layout nor steer the terminal.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{text}");
}

//! The report for a person at a terminal: by section, what is wrong with evidence and hint; readable without colour.

use std::fmt::Write as _;

use anstyle::{AnsiColor, Style};

use super::{Entry, Report, Verdict};
use crate::verify::Outcome;

/// The report as text with ANSI styles; a caller without a terminal strips them (`anstream`).
pub fn human(report: &Report) -> String {
    let mut out = String::new();
    let wide = report.entries.iter().map(|entry| entry.id.as_str().chars().count()).max().unwrap_or(0).min(48);
    for (section, entries) in report.sections() {
        let bold = Style::new().bold();
        line(&mut out, format_args!("{bold}{section}{bold:#}"));
        for entry in entries {
            one(&mut out, entry, wide);
        }
    }
    for note in &report.notes {
        line(&mut out, format_args!("note: {}", safe(note)));
    }
    let (word, colour) = match report.verdict() {
        Verdict::Pass => ("verified", AnsiColor::Green),
        Verdict::Fail => ("not verified", AnsiColor::Red),
        Verdict::Inconclusive => ("in doubt", AnsiColor::Yellow),
    };
    let style = colour.on_default().bold();
    let simulated = if report.nodes_simulated { ", on simulated nodes" } else { "" };
    let interrupted = if report.interrupted { " (interrupted)" } else { "" };
    let took = report.finished.duration_since(report.started).as_secs_f64();
    line(
        &mut out,
        format_args!("{style}{word}{style:#}: {}{interrupted} in {took:.1} s{simulated}", report.summary(),),
    );
    out
}

fn one(out: &mut String, entry: &Entry, wide: usize) {
    let (mark, colour, first) = match &entry.outcome {
        Outcome::Pass { evidence } => ("ok", AnsiColor::Green, evidence.measured.as_str()),
        Outcome::Fail { evidence, .. } => ("FAIL", AnsiColor::Red, evidence.measured.as_str()),
        Outcome::Skipped { reason } => ("skip", AnsiColor::BrightBlack, reason.as_str()),
        Outcome::Inconclusive { reason } => ("?", AnsiColor::Yellow, reason.as_str()),
    };
    let style = colour.on_default();
    let first = safe(first);
    line(out, format_args!("  {style}{mark:<4}{style:#}  {:<wide$}  {first}", entry.id));
    let indent = " ".repeat(8);
    if let Outcome::Fail { evidence, hint } = &entry.outcome {
        line(out, format_args!("{indent}wanted: {}", safe(&evidence.wanted)));
        line(out, format_args!("{indent}source: {}", safe(&evidence.source)));
        if let Some(at) = entry.origin.as_ref().and_then(|origin| origin.at.as_deref()) {
            line(out, format_args!("{indent}asked for at: {at}"));
        }
        if let Some(hint) = hint {
            line(out, format_args!("{indent}hint: {}", safe(hint)));
        }
    }
}

/// Text of a server on one line, without control characters: it may neither break the layout nor steer the terminal.
fn safe(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

fn line(out: &mut String, text: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{text}");
}

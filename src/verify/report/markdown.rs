//! The report as Markdown, for a pull request: what is wrong first, everything else folded.

use std::fmt::Write as _;

use super::{Report, Verdict};
use crate::verify::Outcome;

/// The report as GitHub-flavoured Markdown.
pub fn markdown(report: &Report) -> String {
    let mut out = String::new();
    let verdict = match report.verdict() {
        Verdict::Pass => "✅ every promise that was checked holds",
        Verdict::Fail => "❌ at least one promise does not hold",
        Verdict::Inconclusive => "❔ at least one promise could not be checked",
    };
    let simulated = if report.nodes_simulated { " (simulated nodes)" } else { "" };
    line(&mut out, &format!("### Verification of `{}`{simulated}", report.blueprint));
    line(&mut out, "");
    line(&mut out, &format!("{verdict}: {}", report.summary()));
    if report.interrupted {
        line(&mut out, "\n⚠️ interrupted before its end");
    }
    let (wrong, right): (Vec<_>, Vec<_>) = report
        .entries
        .iter()
        .partition(|entry| matches!(entry.outcome, Outcome::Fail { .. } | Outcome::Inconclusive { .. }));
    if !wrong.is_empty() {
        line(&mut out, "\n| | check | found | wanted, or what to do |\n|---|---|---|---|");
        wrong.iter().for_each(|entry| row(&mut out, entry));
    }
    if !right.is_empty() {
        let heading = format!("\n<details><summary>{} more checks</summary>\n", right.len());
        line(&mut out, &heading);
        line(&mut out, "| | check | found | wanted |\n|---|---|---|---|");
        right.iter().for_each(|entry| row(&mut out, entry));
        line(&mut out, "\n</details>");
    }
    if !report.notes.is_empty() {
        line(&mut out, "");
        for note in &report.notes {
            line(&mut out, &format!("- {}", cell(note)));
        }
    }
    out
}

fn row(out: &mut String, entry: &super::Entry) {
    let (mark, found, wanted) = match &entry.outcome {
        Outcome::Pass { evidence } => ("✅", cell(&evidence.measured), cell(&evidence.wanted)),
        Outcome::Fail { evidence, hint } => {
            let hint = hint.as_ref().map(|hint| format!("<br>hint: {}", cell(hint))).unwrap_or_default();
            ("❌", cell(&evidence.measured), format!("{}{hint}", cell(&evidence.wanted)))
        }
        Outcome::Skipped { reason } => ("⏭️", cell(reason), String::new()),
        Outcome::Inconclusive { reason } => ("❔", cell(reason), "inconclusive".to_owned()),
    };
    line(out, &format!("| {mark} | `{}`<br>{} | {found} | {wanted} |", entry.id, cell(&entry.title)));
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{text}");
}

/// Text that stays in its table cell and is not taken for markup.
pub(crate) fn cell(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '|' => out.push_str("\\|"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '&' => out.push_str("&amp;"),
            '\n' | '\r' => out.push(' '),
            '`' | '*' | '_' | '[' | ']' | '\\' => {
                out.push('\\');
                out.push(c);
            }
            c => out.push(c),
        }
    }
    out
}

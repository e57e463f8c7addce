//! Drift as Markdown, for a pull request or a ticket.

use std::fmt::Write as _;

use super::DriftReport;
use crate::verify::markdown_cell as cell;

/// The report as GitHub-flavoured Markdown.
pub fn markdown(report: &DriftReport) -> String {
    let mut out = String::new();
    line(&mut out, &format!("### Drift of `{}`\n", report.blueprint));
    line(&mut out, &format!("{}, seen at {}", report.headline(), report.seen));
    if !report.items.is_empty() {
        line(&mut out, "\n| | object | what | who and when | asked for at |\n|---|---|---|---|---|");
        for item in &report.items {
            let origin =
                item.origin.as_deref().map(|origin| format!("`{}`", origin.replace('`', ""))).unwrap_or_default();
            line(
                &mut out,
                &format!(
                    "| {} | `{}` | {} | {} | {origin} |",
                    item.severity.as_str(),
                    item.object.replace(['`', '|'], " "),
                    cell(&item.what()),
                    cell(&item.who_and_when()),
                ),
            );
        }
    }
    if !report.unseen.is_empty() {
        line(&mut out, "\nNot looked at:\n");
        for unseen in &report.unseen {
            line(&mut out, &format!("- {}: {}", cell(&unseen.what), cell(&unseen.why)));
        }
    }
    out
}

fn line(out: &mut String, text: &str) {
    // Writing to a String cannot fail.
    let _infallible = writeln!(out, "{text}");
}

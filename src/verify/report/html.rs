//! The report as one HTML page that needs nothing else: no other file, no network, and no script to be read (the script on
//! it only filters).

use std::fmt::Write as _;

use serde_json::Value;

use super::picture::{outcome_class, picture};
use super::{Entry, Report, Verdict};
use crate::cost::cost_picture;
use crate::gpu::picture_svg;
use crate::markup::escape;
use crate::verify::Outcome;

/// How pages of this program look.
pub const PAGE_CSS: &str = include_str!("page.css");

/// The report as a page, with the picture of the closure proof where one was made.
pub fn html(report: &Report) -> String {
    let (class, words) = match report.verdict() {
        Verdict::Pass => ("good", "every promise that was checked holds"),
        Verdict::Fail => ("bad", "at least one promise does not hold"),
        Verdict::Inconclusive => ("doubt", "at least one promise could not be checked"),
    };
    let name = escape(&report.blueprint);
    let mut out = String::with_capacity(64 * 1024);
    let mut put = |text: &str| out.push_str(text);
    put(&format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'; \
         script-src 'unsafe-inline'\">\n<title>Verification of {name}</title>\n<style>\n{}</style>\n</head>\n<body>\n<main>\n",
        PAGE_CSS
    ));
    put(&header(report, class, words));
    put(&tiles(report));
    if !report.notes.is_empty() {
        let notes: String = report.notes.iter().map(|note| format!("<li>{}</li>", escape(note))).collect();
        put(&format!("<ul class=\"notes\">{notes}</ul>\n"));
    }
    let drawn = picture(report);
    if !drawn.is_empty() {
        put(&format!("<h2>The platform</h2>\n<div class=\"figure\">{drawn}{LEGEND}</div>\n"));
    }
    if let Some(proof) = &report.proof {
        // In a page the element needs no namespace of its own.
        let drawn = picture_svg(proof).replacen(" xmlns=\"http://www.w3.org/2000/svg\"", "", 1);
        put(&format!(
            "<h2>What can run where</h2>\n<div class=\"figure\" id=\"proof\">{drawn}<div class=\"legend\">The closure proof on \
             these nodes: what fits, beside its DaemonSets, on a node that is otherwise empty. Green can run there, red breaks \
             there, dotted cannot be said.</div></div>\n"
        ));
    }
    if let Some(cost) = &report.cost {
        put(&format!("<h2>What it costs</h2>\n<div class=\"figure\" id=\"cost\">{}</div>\n", cost_picture(cost)));
    }
    put(
        "<h2>The checks</h2>\n<div class=\"find\"><input id=\"find\" type=\"search\" placeholder=\"Find: a100, quota, NotReady\" \
         aria-label=\"Find checks\"><button id=\"unfold\" type=\"button\">Unfold</button></div><br>\n",
    );
    for (section, entries) in report.sections() {
        let good = entries.iter().filter(|entry| matches!(entry.outcome, Outcome::Pass { .. })).count();
        put(&format!(
            "<section class=\"group\"><h3><span>{}</span><span class=\"quiet\">{good} of {}</span></h3>\n",
            escape(section),
            entries.len()
        ));
        for entry in entries {
            put(&check(entry));
        }
        put("</section>\n");
    }
    put("<div id=\"none\" class=\"none quiet\">No check matches.</div>\n");
    put(&format!(
        "<footer>wbk-infra {} · exit code {}</footer>\n</main>\n<script>\n{}</script>\n</body>\n</html>\n",
        env!("CARGO_PKG_VERSION"),
        report.verdict().exit_code(),
        include_str!("page.js")
    ));
    out
}

const LEGEND: &str = "<div class=\"legend\"><span><span class=\"swatch\" style=\"background:var(--gpu)\"></span>GPU \
    offered</span><span><span class=\"swatch\" style=\"border:2px dashed var(--bad)\"></span>GPU missing</span><span><span \
    class=\"swatch\" style=\"background:var(--doubt-soft);border:1px solid var(--doubt)\"></span>taint of the \
    pool</span><span><span class=\"swatch\" style=\"background:var(--bad-soft);border:1px solid var(--bad)\"></span>taint \
    that the pool does not say</span><span><span class=\"swatch\" style=\"background:var(--card);border:1px solid \
    var(--line);border-radius:6px\"></span>where the pod of a check ran</span></div>";

fn header(report: &Report, class: &str, words: &str) -> String {
    let took = report.finished.duration_since(report.started).as_secs_f64();
    let simulated = if report.nodes_simulated { " · <b>simulated nodes</b>" } else { "" };
    let interrupted = if report.interrupted { " · <b>interrupted before its end</b>" } else { "" };
    format!(
        "<header><div><span class=\"verdict {class}\">{words}</span><h1>Verification of {}</h1><div \
         class=\"quiet\">cluster {} of provider {}{simulated} · {} · {took:.1} s{interrupted}</div></div>\
         <button id=\"theme\" type=\"button\">Light / dark</button></header>\n",
        escape(&report.blueprint),
        escape(&report.cluster),
        escape(&report.provider),
        report.started.strftime("%Y-%m-%d %H:%M:%S UTC"),
    )
}

fn tiles(report: &Report) -> String {
    let summary = report.summary();
    let all = [
        ("good", summary.passed, "passed"),
        ("bad", summary.failed, "failed"),
        ("doubt", summary.inconclusive, "inconclusive"),
        ("skip", summary.skipped, "skipped"),
    ];
    let tiles: String = all
        .iter()
        .map(|(class, count, word)| {
            format!(
                "<button type=\"button\" class=\"tile {class}\" data-of=\"{class}\" aria-pressed=\"true\" \
                 title=\"show or hide\"><b>{count}</b>{word}</button>"
            )
        })
        .collect();
    format!("<div class=\"tiles\">{tiles}</div>\n")
}

fn check(entry: &Entry) -> String {
    let class = outcome_class(entry);
    let found = match &entry.outcome {
        Outcome::Pass { evidence } | Outcome::Fail { evidence, .. } => &evidence.measured,
        Outcome::Skipped { reason } | Outcome::Inconclusive { reason } => reason,
    };
    let mut more = String::new();
    let mut row = |name: &str, value: &str| {
        // Writing to a String cannot fail.
        let _infallible = write!(more, "<dt>{name}</dt><dd>{value}</dd>");
    };
    row("promise", &escape(&entry.title));
    match &entry.outcome {
        Outcome::Pass { evidence } | Outcome::Fail { evidence, .. } => {
            row("found", &escape(&evidence.measured));
            row("wanted", &escape(&evidence.wanted));
            row("read from", &format!("<code>{}</code>", escape(&evidence.source)));
            if let Outcome::Fail { hint: Some(hint), .. } = &entry.outcome {
                row("hint", &format!("<span class=\"hint\">{}</span>", escape(hint)));
            }
        }
        Outcome::Skipped { reason } => row("skipped", &escape(reason)),
        Outcome::Inconclusive { reason } => row("in doubt", &escape(reason)),
    }
    if let Some(origin) = &entry.origin {
        let at = origin.at.as_ref().map(|at| format!(" at {}", escape(at))).unwrap_or_default();
        row("asked for", &format!("<code>{}</code>{at}", escape(&origin.path)));
    }
    let data = match &entry.outcome {
        Outcome::Pass { evidence } | Outcome::Fail { evidence, .. } if evidence.data != Value::Null => {
            format!("<pre>{}</pre>", escape_lines(&format!("{:#}", evidence.data)))
        }
        Outcome::Pass { .. } | Outcome::Fail { .. } | Outcome::Skipped { .. } | Outcome::Inconclusive { .. } => {
            String::new()
        }
    };
    let open = if class == "bad" { " open" } else { "" };
    format!(
        "<details class=\"check {class}\" data-of=\"{class}\"{open}><summary><span class=\"dot {class}\"></span><span \
         class=\"id mono\">{}</span><span class=\"quiet\">{}</span><span class=\"found\">{}</span></summary><div \
         class=\"more\"><dl>{more}</dl>{data}</div></details>\n",
        escape(entry.id.as_str()),
        took(entry),
        escape(found),
    )
}

fn took(entry: &Entry) -> String {
    match entry.duration.as_millis() {
        0 => String::new(),
        short @ 1..=999 => format!("{short} ms"),
        _ => format!("{:.1} s", entry.duration.as_secs_f64()),
    }
}

/// As [`escape`], with its lines.
fn escape_lines(text: &str) -> String {
    text.lines().map(escape).collect::<Vec<_>>().join("\n")
}

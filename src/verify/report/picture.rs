//! The picture of a verified platform as SVG: pools with their taints, nodes with what they offer, and the pods of checks
//! where the scheduler put them. Colours are the page's own (CSS variables), so that it follows light and dark.

use std::fmt::Write as _;

use super::{Entry, NodeSight, PoolSight, Report};
use crate::markup::escape;
use crate::verify::Outcome;

/// Width of the whole, in SVG units; the page scales it.
const WIDTH: usize = 1120;
/// Between boxes, and inside them.
const GAP: usize = 16;
/// Nodes of a pool that are drawn; a pool of hundreds would be a wall.
const MOST_NODES: usize = 12;
/// GPUs of a node that are drawn as squares.
const MOST_SQUARES: usize = 16;
/// Height of a line of text.
const LINE: usize = 20;
/// Width of a character of the small monospaced text, rounded up.
const CHARACTER: usize = 7;

/// The picture; empty where there are no pools.
pub(super) fn picture(report: &Report) -> String {
    if report.pools.is_empty() {
        return String::new();
    }
    let columns = if report.pools.len() == 1 { 1 } else { 2 };
    let width = (WIDTH - GAP * (columns - 1)) / columns;
    let mut body = String::new();
    let (mut y, mut row_height) = (0, 0);
    for (at, pool) in report.pools.iter().enumerate() {
        let column = at % columns;
        if column == 0 && at > 0 {
            y += row_height + GAP;
            row_height = 0;
        }
        let height = draw_pool(&mut body, report, pool, Frame { x: column * (width + GAP), y, width });
        row_height = row_height.max(height);
    }
    // The line around the lowest box is drawn half outside of it.
    let height = y + row_height + 2;
    format!(
        "<svg class=\"picture\" viewBox=\"0 0 {WIDTH} {height}\" role=\"img\" \
         aria-label=\"Pools, nodes and the pods of checks\">{body}</svg>"
    )
}

#[derive(Clone, Copy)]
struct Frame {
    x: usize,
    y: usize,
    width: usize,
}

fn draw_pool(out: &mut String, report: &Report, pool: &PoolSight, frame: Frame) -> usize {
    let mut inside = String::new();
    let Frame { x, y, width } = frame;
    let left = x + GAP;
    let room = (width - 2 * GAP) / CHARACTER;
    let mut at = y + 28;
    text(&mut inside, left, at, "pool-name", &pool.name, 40);
    let model = pool.accelerator.as_deref().unwrap_or("no accelerator");
    let size = if pool.min == pool.max { pool.min.to_string() } else { format!("{} to {}", pool.min, pool.max) };
    let nodes = if pool.max == 1 { "node" } else { "nodes" };
    right(&mut inside, x + width - GAP, at, "quiet", &format!("{model} · {size} {nodes}"));
    at += 8;
    for taint in &pool.taints {
        chip(&mut inside, left, at, "taint", taint, room);
        at += LINE + 4;
    }
    at += 6;
    match &pool.nodes {
        None => {
            text(&mut inside, left, at + 14, "quiet", "its nodes could not be seen", room);
            at += LINE + 4;
        }
        Some(nodes) if nodes.is_empty() => {
            text(&mut inside, left, at + 14, "quiet", "no nodes now", room);
            at += LINE + 4;
        }
        Some(nodes) => {
            for node in nodes.iter().take(MOST_NODES) {
                let frame = Frame { x: left, y: at, width: width - 2 * GAP };
                at += draw_node(&mut inside, report, node, frame) + 8;
            }
            if nodes.len() > MOST_NODES {
                let more = format!("and {} more nodes", nodes.len() - MOST_NODES);
                text(&mut inside, left, at + 14, "quiet", &more, room);
                at += LINE + 4;
            }
        }
    }
    let height = at + GAP - 8 - y;
    put(
        out,
        format_args!(
            "<g><rect class=\"pool\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"10\"/>{inside}</g>"
        ),
    );
    height
}

fn draw_node(out: &mut String, report: &Report, node: &NodeSight, frame: Frame) -> usize {
    let mut inside = String::new();
    let Frame { x, y, width } = frame;
    let left = x + 12;
    let room = (width - 24) / CHARACTER;
    let (class, state) = match (node.ready, node.cordoned) {
        (true, false) => ("good", "Ready"),
        (true, true) => ("doubt", "Ready, cordoned"),
        (false, _) => ("bad", "NotReady"),
    };
    let mut at = y + 20;
    put(&mut inside, format_args!("<circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"5\"/>", left + 4, at - 4));
    text(&mut inside, left + 16, at, "node-name", &node.name, room / 2);
    right(&mut inside, x + width - 12, at, "quiet", &format!("{state} · {} CPU · {}", node.cpu, node.memory));
    at += 8;
    for gpus in &node.gpus {
        at += draw_gpus(&mut inside, gpus, left, at, room);
    }
    for taint in &node.other_taints {
        chip(&mut inside, left, at, "taint foreign", taint, room);
        at += LINE + 4;
    }
    let mut landed = left;
    for landing in report.landings.iter().filter(|landing| landing.node == node.name) {
        let label = landing.check.as_str().split('/').next().unwrap_or_default();
        let wide = label.chars().count() * CHARACTER + 22;
        if landed > left && landed + wide > x + width - 12 {
            landed = left;
            at += LINE + 4;
        }
        let class = report.entries.iter().find(|entry| entry.id == landing.check).map_or("doubt", outcome_class);
        put(
            &mut inside,
            format_args!(
                "<g><title>pod {} of {}</title><rect class=\"landing\" x=\"{landed}\" y=\"{at}\" width=\"{wide}\" \
                 height=\"{LINE}\" rx=\"10\"/><circle class=\"{class}\" cx=\"{}\" cy=\"{}\" r=\"4\"/></g>",
                escape(&landing.pod),
                escape(landing.check.as_str()),
                landed + 10,
                at + 10,
            ),
        );
        text(&mut inside, landed + 18, at + 14, "small", label, 40);
        landed += wide + 6;
    }
    if landed > left {
        at += LINE + 4;
    }
    let height = at + 6 - y;
    put(
        out,
        format_args!(
            "<rect class=\"node\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"{height}\" rx=\"8\"/>{inside}"
        ),
    );
    height
}

/// One square for each GPU: full where it is offered, hollow where the blueprint counts on one that is not.
fn draw_gpus(out: &mut String, gpus: &super::NodeGpus, x: usize, y: usize, room: usize) -> usize {
    let (offered, wanted) = (as_count(gpus.allocatable), as_count(gpus.wanted));
    let all = offered.max(wanted);
    let mut next = x;
    if all <= MOST_SQUARES {
        for at in 0..all {
            let class = match (at < offered, at < wanted) {
                (true, true) => "gpu",
                (true, false) => "gpu extra",
                (false, _) => "gpu missing",
            };
            put(
                out,
                format_args!(
                    "<rect class=\"{class}\" x=\"{next}\" y=\"{}\" width=\"14\" height=\"14\" rx=\"3\"/>",
                    y + 3
                ),
            );
            next += 18;
        }
    }
    let words = match offered == wanted {
        true => format!("{offered} × {}", gpus.resource),
        false => format!("{offered} of {wanted} × {}", gpus.resource),
    };
    text(out, next + 6, y + 15, "small", &words, room);
    LINE + 6
}

fn as_count(count: u64) -> usize {
    usize::try_from(count).unwrap_or(usize::MAX)
}

/// The class that colours an outcome.
pub(super) fn outcome_class(entry: &Entry) -> &'static str {
    match entry.outcome {
        Outcome::Pass { .. } => "good",
        Outcome::Fail { .. } => "bad",
        Outcome::Inconclusive { .. } => "doubt",
        Outcome::Skipped { .. } => "skip",
    }
}

fn chip(out: &mut String, x: usize, y: usize, class: &str, words: &str, room: usize) {
    let wide = words.chars().count().min(room) * CHARACTER + 16;
    put(
        out,
        format_args!("<rect class=\"{class}\" x=\"{x}\" y=\"{y}\" width=\"{wide}\" height=\"{LINE}\" rx=\"10\"/>"),
    );
    text(out, x + 8, y + 14, "small", words, room);
}

fn text(out: &mut String, x: usize, y: usize, class: &str, words: &str, room: usize) {
    let short: String = match words.char_indices().nth(room.max(2)) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words.to_owned(),
    };
    let title = if short == words { String::new() } else { format!("<title>{}</title>", escape(words)) };
    put(out, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\">{title}{}</text>", escape(&short)));
}

fn right(out: &mut String, x: usize, y: usize, class: &str, words: &str) {
    put(out, format_args!("<text class=\"{class}\" x=\"{x}\" y=\"{y}\" text-anchor=\"end\">{}</text>", escape(words)));
}

fn put(out: &mut String, words: std::fmt::Arguments<'_>) {
    // Writing to a String cannot fail.
    let _infallible = out.write_fmt(words);
}

//! An item's life as SVG, and as a page of its own: no scripts, nothing from elsewhere.

use std::fmt::Write;

use super::lifecycle::{Lifecycle, StageState};
use crate::markup::escape;

const WIDTH: usize = 980;
const TOP: usize = 28;
const LINE: usize = 19;
/// Characters of a line of text: one of this size is 7 wide at most.
const CHARACTERS: usize = 112;
const TEXT_X: usize = 176;

/// The picture: the steps one below the other, what is at each, and its fix.
pub fn svg(life: &Lifecycle) -> String {
    let (mut marks, mut words, mut rail) = (String::new(), String::new(), String::new());
    let mut y = TOP;
    for (at, stage) in life.stages.iter().enumerate() {
        let class = class(stage.state);
        let mut lines: Vec<(&str, String)> = wrap(&stage.says).into_iter().map(|line| ("says", line)).collect();
        for held in &stage.here {
            let text = match &held.obstacle {
                Some(obstacle) => format!("{}: {}", held.what, obstacle.why),
                None => held.what.clone(),
            };
            let class = if held.obstacle.is_some() { "why" } else { "what" };
            lines.extend(wrap(&text).into_iter().map(|line| (class, line)));
            let fix = held.obstacle.iter().flat_map(|obstacle| wrap(&format!("fix: {}", obstacle.fix)));
            lines.extend(fix.map(|line| ("fix", line)));
        }
        let height = lines.len() * LINE + 22;
        // Writing into text does not fail.
        if at + 1 < life.stages.len() {
            let _ = write!(
                rail,
                "<line class=\"rail {class}\" x1=\"36\" y1=\"{}\" x2=\"36\" y2=\"{}\"/>",
                y + 14,
                y + height + 14
            );
        }
        let _ = write!(
            marks,
            "<circle class=\"mark {class}\" cx=\"36\" cy=\"{cy}\" r=\"13\"/><text class=\"sign\" x=\"36\" y=\"{ty}\">{sign}</text><text class=\"step {class}\" x=\"62\" y=\"{ty}\">{step}</text>",
            cy = y + 14,
            ty = y + 19,
            sign = sign(stage.state, at + 1),
            step = stage.step.word(),
        );
        for (line, (class, text)) in lines.iter().enumerate() {
            let _ = write!(
                words,
                "<text class=\"{class}\" x=\"{TEXT_X}\" y=\"{}\">{}</text>",
                y + 19 + line * LINE,
                escape(text)
            );
        }
        y += height;
    }
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"life\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"{label}\">\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n{rail}{marks}{words}</svg>\n",
        height = y + 10,
        label = escape(&format!("The life of {}: {}", life.of, life.verdict)),
    )
}

/// The picture on a self-contained page.
pub fn html(life: &Lifecycle) -> String {
    let stuck = life.stages.iter().any(|stage| stage.state == StageState::Stuck);
    let unseen: String = life.unseen.iter().map(|one| format!("<li>{}</li>", escape(one))).collect();
    let unseen = if unseen.is_empty() { unseen } else { format!("<h2>Not seen</h2><ul>{unseen}</ul>") };
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\"><meta name=\"viewport\" content=\"width=device-width\"><title>{of}</title><style>{PAGE}</style></head><body>\n<h1>{of}</h1>\n<p class=\"verdict {class}\">{verdict}</p>\n<div class=\"picture\">{picture}</div>\n{unseen}</body></html>\n",
        of = escape(&life.of),
        class = if stuck { "bad" } else { "good" },
        verdict = escape(&life.verdict),
        picture = svg(life),
    )
}

fn class(state: StageState) -> &'static str {
    match state {
        StageState::Done => "done",
        StageState::Here => "here",
        StageState::Stuck => "stuck",
        StageState::Ahead => "ahead",
        StageState::Unknown => "unknown",
    }
}

fn sign(state: StageState, number: usize) -> String {
    match state {
        StageState::Done => "✓".to_owned(),
        StageState::Stuck => "!".to_owned(),
        StageState::Unknown => "?".to_owned(),
        StageState::Here | StageState::Ahead => number.to_string(),
    }
}

/// Words in lines of a picture's width.
fn wrap(text: &str) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut().filter(|line| line.chars().count() + 1 + word.chars().count() <= CHARACTERS) {
            Some(line) => {
                line.push(' ');
                line.push_str(word);
            }
            None => lines.push(word.to_owned()),
        }
    }
    lines
}

/// Each rule is about this picture alone: it may stand in a page that has others.
const STYLE: &str = "
.life .paper{fill:#fbfcfd}
.life text{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:13px;fill:#10161d}
.life .rail{stroke:#c9d2dc;stroke-width:3}
.life .rail.done{stroke:#1a8f5a}
.life .mark{fill:#fff;stroke:#c9d2dc;stroke-width:2}
.life .mark.done{fill:#1a8f5a;stroke:#1a8f5a}
.life .mark.here{fill:#123f8a;stroke:#123f8a}
.life .mark.stuck{fill:#c62828;stroke:#c62828}
.life .mark.unknown{fill:#b88a00;stroke:#b88a00}
.life .sign{text-anchor:middle;font-weight:700;fill:#5b6775}
.life .done+.sign,.life .here+.sign,.life .stuck+.sign,.life .unknown+.sign{fill:#fff}
.life .step{font-size:15px;font-weight:600}
.life .step.ahead{fill:#5b6775}
.life .step.stuck,.life .why{fill:#c62828}
.life .says{fill:#5b6775}
.life .what{fill:#123f8a}
.life .fix{font-weight:600}
";

const PAGE: &str = "
body{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;margin:28px auto;max-width:1020px;padding:0 20px;color:#10161d;background:#f3f5f8;line-height:1.45}
h1{font-size:22px;margin:0 0 8px}
.verdict{font-size:16px;font-weight:600;padding:10px 14px;border-radius:8px}
.good{background:#e2f4ea;color:#0d5a38}
.bad{background:#fde7e7;color:#8e1b1b}
.picture{background:#fbfcfd;border:1px solid #d5dce4;border-radius:10px;overflow-x:auto}
.picture svg{display:block;max-width:100%;height:auto}
";

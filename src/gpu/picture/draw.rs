//! The picture itself: SVG without scripts and without anything from elsewhere.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::super::closure::{Broken, Can, PoolProof, Proof, Standing};
use crate::markup::escape;

/// Widths and heights, in pixels.
const POOL_X: usize = 24;
const POOL_WIDTH: usize = 596;
const WORK_X: usize = 846;
const WORK_WIDTH: usize = 430;
const WIDTH: usize = WORK_X + WORK_WIDTH + 24;
const TOP: usize = 64;
const LINE: usize = 19;
const GAP: usize = 22;
/// Characters that a line of a box holds: a character of this size is 6.7 wide.
const POOL_CHARACTERS: usize = 84;
const WORK_CHARACTERS: usize = 56;
/// Workloads that are drawn one by one; more are drawn together where they are alike.
const ONE_BY_ONE: usize = 24;

/// A line of text in a box.
struct Line {
    class: &'static str,
    text: String,
    title: String,
}

impl Line {
    fn new(class: &'static str, text: impl Into<String>) -> Self {
        let text = text.into();
        Self { class, title: text.clone(), text }
    }
}

/// A workload, or some that are alike.
struct Work {
    name: String,
    detail: String,
    class: &'static str,
    all: Vec<String>,
    /// Pools, and whether it can run there.
    places: BTreeMap<String, Can>,
}

/// The picture.
pub fn svg(proof: &Proof) -> String {
    let works = works(proof);
    let mut pools = String::new();
    let mut anchors: BTreeMap<&str, usize> = BTreeMap::new();
    let mut y = TOP;
    for pool in &proof.pools {
        let lines = pool_lines(pool, &proof.broken);
        let height = lines.len() * LINE + 52;
        anchors.insert(&pool.name, y + 26);
        pool_box(&mut pools, pool, &lines, (y, height), &proof.broken);
        y += height + GAP;
    }
    let pools_end = y;
    let mut boxes = String::new();
    let mut edges = String::new();
    y = TOP;
    for work in &works {
        let height = 52;
        work_box(&mut boxes, work, y);
        for (at, (pool, can)) in work.places.iter().enumerate() {
            let Some(anchor) = anchors.get(pool.as_str()) else { continue };
            edge(&mut edges, (POOL_X + POOL_WIDTH, *anchor), (WORK_X, y + 16 + (at * 6).min(30)), (*can, work, pool));
        }
        y += height + 12;
    }
    let height = pools_end.max(y) + 16;
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"proof\" viewBox=\"0 0 {WIDTH} {height}\" width=\"{WIDTH}\" height=\"{height}\" role=\"img\" aria-label=\"Closure proof of {}\">\n<style>{STYLE}</style>\n<rect class=\"paper\" width=\"{WIDTH}\" height=\"{height}\"/>\n<text class=\"head\" x=\"{POOL_X}\" y=\"36\">Node pools</text>\n<text class=\"head\" x=\"{WORK_X}\" y=\"36\">Workloads</text>\n{edges}{pools}{boxes}</svg>\n",
        escape(&proof.platform)
    )
}

fn works(proof: &Proof) -> Vec<Work> {
    let apart = proof.workloads.len() <= ONE_BY_ONE;
    let mut together: Vec<Work> = Vec::new();
    for workload in &proof.workloads {
        let (class, word) = match workload.standing {
            Standing::Runs => ("runs", "can run"),
            Standing::Broken => ("broken", "cannot run"),
            Standing::Unknown => ("unknown", "cannot be said"),
            Standing::Idle => ("idle", "on no pool"),
        };
        let mut places: BTreeMap<String, Can> = workload
            .places
            .iter()
            .filter(|place| place.can != Can::No)
            .map(|place| (place.pool.clone(), place.can))
            .collect();
        let chains = proof.broken.iter().filter(|broken| broken.workloads.contains(&workload.what));
        for pool in chains.filter_map(|broken| broken.pool.clone()) {
            places.insert(pool, Can::No);
        }
        let broken = places.values().any(|can| *can == Can::No);
        let (class, word) = match (broken, workload.standing) {
            (true, Standing::Runs) => ("broken", "not everywhere"),
            (true, _) => ("broken", word),
            (false, _) => (class, word),
        };
        let alike = together.iter_mut().find(|work| {
            !apart && !broken && work.class == class && work.places == places && work.detail.ends_with(&workload.from)
        });
        match alike {
            Some(work) => {
                work.all.push(workload.what.clone());
                work.name = format!("{} workloads", work.all.len());
            }
            None => together.push(Work {
                name: workload.what.clone(),
                detail: format!("{word} · {}", workload.from),
                class,
                all: vec![workload.what.clone()],
                places,
            }),
        }
    }
    together
}

fn pool_lines(pool: &PoolProof, broken: &[Broken]) -> Vec<Line> {
    let mut lines: Vec<Line> = pool.taints.iter().map(|taint| Line::new("taint", format!("taint  {taint}"))).collect();
    let telling = |key: &str| !key.starts_with("kubernetes.io/") && !key.starts_with("wbk-infra/blueprint");
    for label in pool.labels.iter().filter(|label| label.at_birth && telling(&label.key)) {
        lines.push(Line::new("label", format!("label  {}={}", label.key, label.value.as_deref().unwrap_or("…"))));
    }
    let late: Vec<_> = pool.labels.iter().filter(|label| !label.at_birth).collect();
    // Of a writer's many labels the first few tell enough.
    for label in late.iter().take(4) {
        let value = label.value.as_deref().unwrap_or("…");
        let mut line = Line::new("late", format!("label  {}={value}  ← {}", label.key, short(&label.from)));
        line.title = format!("{}={value}, written by {}", label.key, label.from);
        lines.push(line);
    }
    if late.len() > 4 {
        lines.push(Line::new("late", format!("       … and {} more labels that arrive later", late.len() - 4)));
    }
    for resource in &pool.resources {
        let from = if resource.from == "the node" { String::new() } else { format!("  ← {}", short(&resource.from)) };
        let text = format!("{} {} ({} left){from}", resource.allocatable, resource.name, resource.left);
        lines.push(Line::new("resource", format!("offers {text}")));
    }
    for daemon in &pool.daemon_sets {
        lines.push(Line::new("daemon", format!("runs   {}", short(daemon))));
    }
    for one in broken.iter().filter(|one| one.pool.as_deref() == Some(&pool.name)) {
        let says = one.chain.last().map(|link| link.says.clone()).unwrap_or_default();
        let mut line = Line::new("wrong", format!("✗ {says}"));
        line.title = format!("{}. Fix: {}", one.what, one.fix);
        lines.push(line);
    }
    lines
}

/// `DaemonSet.apps wbk-gpu/wbk-nfd-worker` as `wbk-nfd-worker`.
fn short(what: &str) -> String {
    let names: Vec<&str> = what.split(" and ").map(|one| one.rsplit(['/', ' ']).next().unwrap_or(one)).collect();
    if what.starts_with("DaemonSet") { names.join(" and ") } else { what.to_owned() }
}

fn pool_box(out: &mut String, pool: &PoolProof, lines: &[Line], (y, height): (usize, usize), broken: &[Broken]) {
    let class = if broken.iter().any(|one| one.pool.as_deref() == Some(&pool.name)) { "pool hurt" } else { "pool" };
    let nodes = if pool.min == pool.max { pool.min.to_string() } else { format!("{}–{}", pool.min, pool.max) };
    let accelerator = pool.accelerator.as_ref().map(|model| format!(" · {model}")).unwrap_or_default();
    push(
        out,
        format!(
            "<rect class=\"{class}\" x=\"{POOL_X}\" y=\"{y}\" width=\"{POOL_WIDTH}\" height=\"{height}\" rx=\"8\"/>\n"
        ),
    );
    push(out, format!("<text class=\"name\" x=\"{}\" y=\"{}\">{}</text>\n", POOL_X + 16, y + 28, escape(&pool.name)));
    push(
        out,
        format!(
            "<text class=\"size\" x=\"{}\" y=\"{}\" text-anchor=\"end\">{nodes} {}{}</text>\n",
            POOL_X + POOL_WIDTH - 16,
            y + 28,
            if pool.max == 1 { "node" } else { "nodes" },
            escape(&accelerator)
        ),
    );
    for (at, line) in lines.iter().enumerate() {
        push(
            out,
            format!(
                "<text class=\"{}\" x=\"{}\" y=\"{}\">{}<title>{}</title></text>\n",
                line.class,
                POOL_X + 16,
                y + 52 + at * LINE,
                escape(&cut(&line.text, POOL_CHARACTERS)),
                escape(&line.title)
            ),
        );
    }
}

fn work_box(out: &mut String, work: &Work, y: usize) {
    let title: String = work.all.iter().take(40).map(|name| format!("{name}\n")).collect();
    push(
        out,
        format!(
            "<g><title>{}</title><rect class=\"work {class}\" x=\"{WORK_X}\" y=\"{y}\" width=\"{WORK_WIDTH}\" height=\"52\" rx=\"6\"/><rect class=\"mark {class}\" x=\"{WORK_X}\" y=\"{y}\" width=\"5\" height=\"52\" rx=\"2\"/><text class=\"what\" x=\"{}\" y=\"{}\">{}</text><text class=\"from\" x=\"{}\" y=\"{}\">{}</text></g>\n",
            escape(title.trim_end()),
            WORK_X + 16,
            y + 22,
            escape(&cut(&work.name, WORK_CHARACTERS)),
            WORK_X + 16,
            y + 41,
            escape(&cut(&work.detail, WORK_CHARACTERS + 6)),
            class = work.class,
        ),
    );
}

fn edge(out: &mut String, from: (usize, usize), to: (usize, usize), (can, work, pool): (Can, &Work, &str)) {
    let class = match can {
        Can::Yes => "edge yes",
        Can::No => "edge no",
        Can::Unknown => "edge perhaps",
    };
    let word = match can {
        Can::Yes => "can run on",
        Can::No => "cannot run on",
        Can::Unknown => "perhaps on",
    };
    let middle = (from.0 + to.0) / 2;
    push(
        out,
        format!(
            "<path class=\"{class}\" d=\"M {} {} C {middle} {}, {middle} {}, {} {}\"><title>{}</title></path>\n",
            to.0,
            to.1,
            to.1,
            from.1,
            from.0,
            from.1,
            escape(&format!("{} {word} {pool}", work.name))
        ),
    );
    push(out, format!("<circle class=\"{class} end\" cx=\"{}\" cy=\"{}\" r=\"4\"/>\n", from.0, from.1));
}

fn push(out: &mut String, text: String) {
    // Writing to a String cannot fail.
    let _ = out.write_str(&text);
}

fn cut(text: &str, characters: usize) -> String {
    if text.chars().count() <= characters {
        return text.to_owned();
    }
    let kept: String = text.chars().take(characters - 1).collect();
    format!("{kept}…")
}

/// Each rule is about this picture alone: it may stand in a page that has others.
const STYLE: &str = "
.proof .paper{fill:#fbfcfd}
.proof text{font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,'DejaVu Sans Mono',monospace;font-size:11px;fill:#2b3440;white-space:pre}
.proof .head{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:17px;font-weight:600;fill:#10161d}
.proof .name,.proof .size{font-family:system-ui,-apple-system,'Segoe UI',Roboto,'DejaVu Sans',sans-serif;font-size:15px;font-weight:600;fill:#10161d}
.proof .size{font-size:12px;font-weight:400;fill:#5b6775}
.proof .pool{fill:#ffffff;stroke:#c9d2dc;stroke-width:1.2}
.proof .pool.hurt{stroke:#c62828;stroke-width:2}
.proof .taint{fill:#a35200}
.proof .label{fill:#5b6775}
.proof .late{fill:#0b6b53}
.proof .resource{fill:#123f8a}
.proof .daemon{fill:#5a3d91}
.proof .wrong{fill:#c62828;font-weight:600}
.proof .work{fill:#ffffff;stroke:#c9d2dc}
.proof .work.broken{stroke:#c62828;stroke-width:2}
.proof .mark{stroke:none;fill:#1a8f5a}
.proof .mark.broken{fill:#c62828}
.proof .mark.unknown{fill:#b88a00}
.proof .mark.idle{fill:#9aa5b1}
.proof .what{font-size:12px;fill:#10161d}
.proof .from{fill:#5b6775}
.proof .edge{fill:none;stroke-width:1.6;opacity:.75}
.proof .yes{stroke:#1a8f5a}
.proof .no{stroke:#c62828;stroke-width:2.2;stroke-dasharray:7 4;opacity:1}
.proof .perhaps{stroke:#b88a00;stroke-dasharray:2 4}
.proof .end{stroke-dasharray:none}
.proof .end.yes{fill:#1a8f5a}
.proof .end.no{fill:#c62828}
.proof .end.perhaps{fill:#b88a00}
";

//! What it costs, drawn: a bar for each pool as long as it is dear, in parts of those who pay, its idle part hatched, with its GPUs below;
//! and a bar of the whole by queue. Colours follow the page's light and dark.

use std::fmt::Write as _;

use super::money::UsdPerHour;
use super::report::{CostReport, PoolRow, SharerRow};
use crate::markup::escape;
use crate::verify::PAGE_CSS;

/// Width of the whole, in SVG units; the page scales it.
const WIDTH: f64 = 1120.0;
/// Where bars begin; names and amounts are before it.
const LEFT: f64 = 280.0;
/// Height of a bar.
const BAR: f64 = 30.0;
/// Width of a character of the text in a bar, rounded up.
const CHARACTER: f64 = 7.6;
/// GPUs of a pool that are drawn; more are said in words.
const MOST_GPUS: u64 = 64;
/// Nodes with idle GPUs, and nodes without a price, that a page names; `-o json` has all.
const MOST_NAMED: usize = 20;
/// Colours of those who pay; with more of them they repeat.
const COLOURS: usize = 8;

const CSS: &str = include_str!("picture.css");

/// The picture, with its style; a part of a page.
pub fn cost_picture(report: &CostReport) -> String {
    let mut body = String::new();
    let mut y = 6.0;
    let names: Vec<&str> = report.namespaces.iter().flatten().map(|row| row.name.as_str()).collect();
    let dearest = report.pools.iter().map(|pool| pool.hourly).max().unwrap_or_default();
    for pool in &report.pools {
        y = draw_pool(&mut body, pool, &names, (dearest, y));
    }
    if let (Some(queues), Some(without), Some(idle)) = (&report.queues, report.without_queue, report.idle)
        && !queues.is_empty()
    {
        let _infallible = write!(body, "<line class=\"rule\" x1=\"0\" x2=\"{WIDTH}\" y1=\"{y}\" y2=\"{y}\"/>");
        y = draw_queues(&mut body, queues, (without, idle), y + 18.0);
    }
    format!(
        "<style>{CSS}</style><svg class=\"cost\" viewBox=\"0 0 {WIDTH} {y}\" role=\"img\" aria-label=\"What pools cost, and who \
         pays\"><defs><pattern id=\"cost-idle\" width=\"8\" height=\"8\" patternUnits=\"userSpaceOnUse\" \
         patternTransform=\"rotate(45)\"><line class=\"hatch\" x1=\"0\" y1=\"0\" x2=\"0\" y2=\"8\"/></pattern></defs>{body}</svg>{}",
        legend(report, &names)
    )
}

fn draw_pool(out: &mut String, pool: &PoolRow, names: &[&str], (dearest, top): (UsdPerHour, f64)) -> f64 {
    let name = pool.name.as_deref().unwrap_or("(no pool)");
    let machines: Vec<&str> = pool.machines.iter().map(String::as_str).collect();
    let machines = if machines.is_empty() { String::new() } else { format!(" {}", machines.join(", ")) };
    put(out, 0.0, top + 14.0, "name", &cut(name, 30));
    let nodes = if pool.nodes == 1 { "node" } else { "nodes" };
    put(out, 0.0, top + 32.0, "quiet", &cut(&format!("{} {nodes}{machines}", pool.nodes), 40));
    end(out, LEFT - 16.0, top + 14.0, "amount", &pool.hourly.to_string());
    let full = WIDTH - LEFT;
    let length = |amount: UsdPerHour| match dearest.as_micros() {
        0 => 0.0,
        most => full * amount.as_micros() as f64 / most as f64,
    };
    let mut x = LEFT;
    // In the order of the legend: the same colour is at the same place of each bar.
    for (at, name) in names.iter().enumerate() {
        if let Some(amount) = pool.namespaces.get(*name) {
            x = segment(out, (x, top, length(*amount)), &format!("s{}", at % COLOURS), (name, *amount));
        }
    }
    match pool.idle {
        Some(idle) => x = idle_segment(out, (x, top, length(idle)), idle),
        None => x = segment(out, (x, top, length(pool.hourly)), "idle", ("who pays could not be seen", pool.hourly)),
    }
    if pool.unpriced > 0 {
        let x = if x > LEFT { x + 6.0 } else { x };
        let words = format!("{} without a price", pool.unpriced);
        let width = (words.chars().count() as f64) * CHARACTER + 16.0;
        let x = x.min(WIDTH - width);
        rect(out, (x, top, width), "unpriced", &words);
        put(out, x + 8.0, top + 20.0, "quiet", &words);
    }
    let mut bottom = top + BAR + 8.0;
    if pool.gpus > 0 {
        bottom = draw_gpus(out, pool, bottom);
    }
    bottom.max(top + 44.0) + 14.0
}

/// One square for each GPU: full where a pod has it, hollow where nobody asks for it.
fn draw_gpus(out: &mut String, pool: &PoolRow, top: f64) -> f64 {
    let free = pool.idle_gpus.unwrap_or(0).min(pool.gpus);
    let busy = pool.gpus - free;
    let mut x = LEFT;
    if pool.gpus <= MOST_GPUS {
        for at in 0..pool.gpus {
            let class = if at < busy { "gpu" } else { "gpu free" };
            let _infallible =
                write!(out, "<rect class=\"{class}\" x=\"{x}\" y=\"{top}\" width=\"9\" height=\"9\" rx=\"2\"/>");
            x += 12.0;
        }
        x += 6.0;
    }
    let words = match pool.idle_gpus {
        None => format!("{} GPUs", pool.gpus),
        Some(0) => format!("all {} GPUs in use", pool.gpus),
        Some(free) => format!("{free} of {} GPUs idle", pool.gpus),
    };
    put(out, x, top + 9.0, "quiet", &words);
    top + 18.0
}

fn draw_queues(out: &mut String, queues: &[SharerRow], (without, idle): (UsdPerHour, UsdPerHour), top: f64) -> f64 {
    let all = queues.iter().map(|queue| queue.hourly).sum::<UsdPerHour>() + without + idle;
    let full = WIDTH - LEFT;
    let length = |amount: UsdPerHour| match all.as_micros() {
        0 => 0.0,
        most => full * amount.as_micros() as f64 / most as f64,
    };
    put(out, 0.0, top + 14.0, "name", "queues");
    put(out, 0.0, top + 32.0, "quiet", "who pays for all nodes");
    end(out, LEFT - 16.0, top + 14.0, "amount", &all.to_string());
    let mut x = LEFT;
    for (at, queue) in queues.iter().enumerate() {
        x = segment(
            out,
            (x, top, length(queue.hourly)),
            &format!("s{}", (at + 3) % COLOURS),
            (&queue.name, queue.hourly),
        );
    }
    x = segment(out, (x, top, length(without)), "s6", ("no queue", without));
    idle_segment(out, (x, top, length(idle)), idle);
    top + 52.0
}

fn idle_segment(out: &mut String, (x, y, width): (f64, f64, f64), amount: UsdPerHour) -> f64 {
    if width <= 0.0 {
        return x;
    }
    rect(out, (x, y, width), "idle", &format!("idle: {amount}"));
    let _infallible = write!(
        out,
        "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\" fill=\"url(#cost-idle)\" pointer-events=\"none\"/>"
    );
    let words = format!("idle {amount}");
    if fits(&words, width) {
        put(out, x + 8.0, y + 20.0, "", &words);
    }
    x + width
}

/// A part of a bar; the words are in it where they fit, and always its title.
fn segment(out: &mut String, (x, y, width): (f64, f64, f64), class: &str, (name, amount): (&str, UsdPerHour)) -> f64 {
    if width <= 0.0 {
        return x;
    }
    rect(out, (x, y, width), class, &format!("{name}: {amount}"));
    let full = format!("{name} {amount}");
    if let Some(words) = [full.as_str(), name].into_iter().find(|words| fits(words, width)) {
        put(out, x + 8.0, y + 20.0, "in", words);
    }
    x + width
}

fn fits(words: &str, width: f64) -> bool {
    words.chars().count() as f64 * CHARACTER + 16.0 <= width
}

fn rect(out: &mut String, (x, y, width): (f64, f64, f64), class: &str, title: &str) {
    let _infallible = write!(
        out,
        "<rect class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{width:.1}\" height=\"{BAR}\"><title>{}</title></rect>",
        escape(title)
    );
}

fn put(out: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let _infallible = write!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{}</text>", escape(words));
}

fn end(out: &mut String, x: f64, y: f64, class: &str, words: &str) {
    let _infallible =
        write!(out, "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"end\">{}</text>", escape(words));
}

fn cut(words: &str, most: usize) -> String {
    match words.char_indices().nth(most) {
        Some((at, _)) => format!("{}…", &words[..at]),
        None => words.to_owned(),
    }
}

fn legend(report: &CostReport, names: &[&str]) -> String {
    const FILLS: [&str; COLOURS] =
        ["#3f6fd1", "#8a5cc7", "#1f8a8a", "#b3572f", "#5c7d2e", "#b0408a", "#476582", "#8a6d1b"];
    let mut out = String::from("<div class=\"legend\">");
    for (at, name) in names.iter().enumerate().take(COLOURS) {
        let _infallible = write!(
            out,
            "<span><span class=\"swatch\" style=\"background:{}\"></span>namespace {}</span>",
            FILLS[at],
            escape(name)
        );
    }
    let least = if report.at_least { "at least " } else { "" };
    let days: Vec<String> =
        report.sources.iter().map(|source| format!("{} of {}", source.source, source.date)).collect();
    let days = if days.is_empty() { String::new() } else { format!(" Prices: {}.", days.join("; ")) };
    let _infallible = write!(
        out,
        "<span>hatched: asked for by nobody</span><span>Dollars an hour; {least}{} in all.{}</span></div>",
        report.total.hour,
        escape(&days)
    );
    out
}

/// A page that needs nothing else.
pub fn cost_html(report: &CostReport) -> String {
    let name = escape(report.blueprint.as_deref().unwrap_or(&report.context));
    let least = if report.at_least { "at least " } else { "" };
    let total = report.total;
    let idle = report.idle.map_or_else(|| "?".to_owned(), |idle| idle.to_string());
    let tile =
        |words: String, what: &str| format!("<div class=\"tile\" style=\"opacity:1\"><b>{words}</b>{what}</div>");
    let tiles = [
        tile(total.hour.to_string(), &format!("{least}an hour")),
        tile(total.day.to_string(), "a day"),
        tile(total.month.to_string(), "in 730 hours"),
        tile(idle, "an hour idle"),
    ];
    let simulated = if report.simulated_nodes { " · <b>simulated nodes</b>" } else { "" };
    let mut tables = String::new();
    for (title, rows) in [("Namespaces", &report.namespaces), ("Queues", &report.queues)] {
        let Some(rows) = rows.as_ref().filter(|rows| !rows.is_empty()) else { continue };
        let rows: String = rows
            .iter()
            .map(|row| {
                format!(
                    "<tr><td>{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td><td class=\"number\">{}</td></tr>",
                    escape(&row.name),
                    row.hourly,
                    row.pods,
                    row.gpus
                )
            })
            .collect();
        tables.push_str(&format!(
            "<h2>{title}</h2><table class=\"cost\"><tr><th>name</th><th class=\"number\">an hour</th><th \
             class=\"number\">pods</th><th class=\"number\">GPUs</th></tr>{rows}</table>"
        ));
    }
    let mut notes = String::new();
    let idle_gpus = report.idle_gpus.iter().flatten();
    for entry in idle_gpus.clone().take(MOST_NAMED) {
        let counts: Vec<String> = entry
            .idle
            .iter()
            .map(|(resource, count)| format!("{count} of {} {resource}", entry.of.get(resource).copied().unwrap_or(0)))
            .collect();
        let price = entry.hourly.map_or_else(|| "no price known".to_owned(), |price| format!("{price} an hour"));
        notes.push_str(&format!("<li>{}: {} idle, {price}</li>", escape(&entry.node), escape(&counts.join(", "))));
    }
    let unpriced = report.nodes.iter().filter(|node| node.hourly.is_none());
    for node in unpriced.clone().take(MOST_NAMED) {
        notes.push_str(&format!("<li>{} has no price: {}</li>", escape(&node.name), escape(&node.priced)));
    }
    let more = idle_gpus.count().saturating_sub(MOST_NAMED) + unpriced.count().saturating_sub(MOST_NAMED);
    if more > 0 {
        notes.push_str(&format!("<li>and {more} more</li>"));
    }
    for unseen in &report.unseen {
        notes.push_str(&format!("<li>not seen: {}</li>", escape(unseen)));
    }
    let notes = if notes.is_empty() { notes } else { format!("<ul class=\"notes\">{notes}</ul>") };
    format!(
        "<!doctype html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src 'unsafe-inline'\">\n\
         <title>What {name} costs</title>\n<style>\n{PAGE_CSS}</style>\n</head>\n<body>\n<main>\n\
         <header><div><h1>What {name} costs</h1><div class=\"quiet\">context {}{simulated} · {}</div></div></header>\n\
         <div class=\"tiles\">{}</div>\n{notes}\n<h2>Pools, and who pays for them</h2>\n<div class=\"figure\">{}</div>\n{tables}\n\
         <footer>wbk-infra {}</footer>\n</main>\n</body>\n</html>\n",
        escape(&report.context),
        report.at.strftime("%Y-%m-%d %H:%M:%S UTC"),
        tiles.concat(),
        cost_picture(report),
        env!("CARGO_PKG_VERSION"),
    )
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::json;

    use super::*;
    use crate::cost::{CostQuestion, Prices, Sources, cost_report};

    #[test]
    fn names_are_text_and_a_pool_without_a_price_is_drawn_as_one() {
        let node = json!({"metadata": {"name": "n", "labels": {"wbk-infra/pool": "<script>"}},
            "status": {"allocatable": {"cpu": "4", "nvidia.com/gpu": "2"}}});
        let prices = Prices::default();
        let question = CostQuestion {
            blueprint: Some("<b>"),
            provider: None,
            context: "c",
            simulated: true,
            pools: BTreeMap::new(),
            queues: ["l4".to_owned()].into(),
            prices: &prices,
            now: "2026-01-01T00:00:00Z".parse().unwrap(),
        };
        let sources = Sources { nodes: Some(vec![node]), pods: Some(Vec::new()), unseen: Vec::new() };
        let page = cost_html(&cost_report(&question, &sources));
        assert!(!page.contains("<script>") && !page.contains("<b>\u{20}") && page.contains("What &lt;b&gt; costs"));
        assert!(page.contains("1 without a price") && page.contains("at least"));
        assert!(page.contains("2 of 2 GPUs idle") && page.matches("class=\"gpu free\"").count() == 2);
        assert!(!page.contains("NaN") && !page.contains("http://") && !page.contains("https://"));
    }
}

//! What the platform costs, for people and for pull requests.

use std::collections::BTreeMap;

use super::{Mood, paint};
use crate::cost::{CostReport, IdleGpus, PlanCost, PoolRow, SharerRow, UsdPerHour, cents, spelled};

/// Nodes without a price, and nodes with idle GPUs, that are named without `--verbose`.
const NAMED: usize = 10;

/// A table: heading, columns of each row.
struct Table {
    heading: &'static str,
    rows: Vec<[String; 4]>,
}

/// The report as text.
pub fn cost_human(report: &CostReport, verbose: bool) -> String {
    let mut text = String::new();
    let mut line = |words: &str| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    line(&paint(Mood::Strong, headline(report)));
    for table in tables(report) {
        line("");
        line(&paint(Mood::Strong, table.heading));
        let width = |at: usize| table.rows.iter().map(|row| row[at].chars().count()).max().unwrap_or(0);
        let [name, amount, share, _] = [width(0), width(1), width(2), 0];
        for [first, second, third, rest] in &table.rows {
            line(&format!("  {first:<name$}  {second:>amount$}  {third:>share$}  {rest}"));
        }
    }
    let most = if verbose { usize::MAX } else { NAMED };
    if let Some(idle) = report.idle_gpus.as_ref().filter(|idle| !idle.is_empty()) {
        line("");
        line(&paint(Mood::Strong, "idle GPUs"));
        for entry in idle.iter().take(most) {
            line(&format!("  {}", idle_words(entry)));
        }
        rest(idle.len(), most, &mut line);
    }
    let unpriced: Vec<_> = report.nodes.iter().filter(|node| node.hourly.is_none()).collect();
    if !unpriced.is_empty() {
        line("");
        line(&paint(Mood::Strong, "without a price"));
        for node in unpriced.iter().take(most) {
            line(&format!("  {}: {}", node.name, node.priced));
        }
        rest(unpriced.len(), most, &mut line);
    }
    if verbose {
        line("");
        line(&paint(Mood::Strong, "nodes"));
        for node in &report.nodes {
            let price = node.hourly.map_or_else(|| "?".to_owned(), |price| price.to_string());
            line(&format!("  {}  {price}  {}", node.name, node.priced));
        }
    }
    if !report.sources.is_empty() {
        line("");
        line(&paint(Mood::Faint, format!("prices: {}", sources(report).join("; "))));
    }
    for unseen in &report.unseen {
        line(&format!("{} {unseen}", paint(Mood::Bad, "not seen:")));
    }
    text.trim_end().to_owned()
}

/// The report as Markdown.
pub fn cost_markdown(report: &CostReport) -> String {
    let mut text = format!("### wbk-infra cost\n\n{}\n", headline(report));
    for table in tables(report) {
        text.push_str(&format!("\n| {} | an hour | | |\n|---|--:|--:|---|\n", table.heading));
        for row in table.rows {
            text.push_str(&format!("| {} |\n", row.map(|cell| cell.replace('|', "\\|")).join(" | ")));
        }
    }
    for entry in report.idle_gpus.iter().flatten() {
        text.push_str(&format!("\n> idle GPUs: {}\n", idle_words(entry)));
    }
    for node in report.nodes.iter().filter(|node| node.hourly.is_none()) {
        text.push_str(&format!("\n> {} has no price: {}\n", node.name, node.priced));
    }
    for unseen in &report.unseen {
        text.push_str(&format!("\n> not seen: {unseen}\n"));
    }
    if !report.sources.is_empty() {
        text.push_str(&format!("\nPrices: {}.\n", sources(report).join("; ")));
    }
    text
}

fn headline(report: &CostReport) -> String {
    let what = report.blueprint.as_deref().unwrap_or(&report.context);
    let least = if report.at_least { "at least " } else { "" };
    let simulated = if report.simulated_nodes { ", nodes simulated" } else { "" };
    let total = report.total;
    let capacity: Vec<String> = report
        .capacity
        .iter()
        .map(|row| format!("{} {} {}", row.nodes, if row.nodes == 1 { "node" } else { "nodes" }, row.word()))
        .collect();
    let nodes = if capacity.is_empty() { "no nodes".to_owned() } else { capacity.join(", ") };
    let has_none = !report.nodes.is_empty() && report.nodes.iter().all(|node| node.hourly.is_none());
    if has_none && report.fixed.is_empty() {
        return format!(
            "of {what} nothing has a price that is known: give prices under `cost.prices` ({nodes}{simulated})"
        );
    }
    format!(
        "{what} costs {least}{} an hour now, {} a day, {} in 730 hours ({nodes}{simulated})",
        total.hour, total.day, total.month
    )
}

fn tables(report: &CostReport) -> Vec<Table> {
    let mut tables = Vec::new();
    let mut rows: Vec<(String, UsdPerHour, String)> = report.pools.iter().map(pool_row).collect();
    rows.extend(report.fixed.iter().map(|fixed| (fixed.name.clone(), fixed.hourly, "no node".to_owned())));
    if !rows.is_empty() {
        tables.push(table("pools", rows));
    }
    if let (Some(namespaces), Some(idle)) = (&report.namespaces, report.idle) {
        let mut rows: Vec<_> = namespaces.iter().map(sharer_row).collect();
        rows.push(("(idle)".into(), idle, "asked for by nobody".into()));
        tables.push(table("namespaces", rows));
    }
    if let (Some(queues), Some(without)) =
        (report.queues.as_ref().filter(|queues| !queues.is_empty()), report.without_queue)
    {
        let mut rows: Vec<_> = queues.iter().map(sharer_row).collect();
        rows.push(("(no queue)".into(), without, String::new()));
        tables.push(table("queues", rows));
    }
    tables
}

/// The amounts of a table add up to the cent, and to what the whole is.
fn table(heading: &'static str, rows: Vec<(String, UsdPerHour, String)>) -> Table {
    let amounts: Vec<UsdPerHour> = rows.iter().map(|(_, amount, _)| *amount).collect();
    let whole: UsdPerHour = amounts.iter().copied().sum();
    let rows = rows.into_iter().zip(cents(&amounts)).map(|((name, amount, more), cents)| {
        let share = match whole.as_micros() {
            0 => String::new(),
            whole => format!("{:.0} %", 100.0 * amount.as_micros() as f64 / whole as f64),
        };
        [name, spelled(cents), share, more]
    });
    Table { heading, rows: rows.collect() }
}

fn pool_row(pool: &PoolRow) -> (String, UsdPerHour, String) {
    let PoolRow { name, nodes, unpriced, machines, hourly, idle, namespaces: _, gpus, idle_gpus } = pool;
    let mut more = format!("{nodes} {}", if *nodes == 1 { "node" } else { "nodes" });
    if !machines.is_empty() {
        more.push_str(&format!(" {}", machines.iter().map(String::as_str).collect::<Vec<_>>().join(", ")));
    }
    if let Some(idle) = idle.filter(|idle| *idle > UsdPerHour::ZERO) {
        more.push_str(&format!(", idle {idle}"));
    }
    if let Some(idle) = idle_gpus.filter(|_| *gpus > 0) {
        more.push_str(&format!(", {} of {gpus} GPUs in use", gpus - idle.min(*gpus)));
    }
    if *unpriced > 0 {
        more.push_str(&format!(", {unpriced} without a price"));
    }
    (name.clone().unwrap_or_else(|| "(no pool)".into()), *hourly, more)
}

fn sharer_row(row: &SharerRow) -> (String, UsdPerHour, String) {
    let SharerRow { name, pods, gpus, hourly } = row;
    let mut more = format!("{pods} {}", if *pods == 1 { "pod" } else { "pods" });
    if *gpus > 0 {
        more.push_str(&format!(", {gpus} {}", if *gpus == 1 { "GPU" } else { "GPUs" }));
    }
    (name.clone(), *hourly, more)
}

fn idle_words(entry: &IdleGpus) -> String {
    let IdleGpus { node, pool, model, idle, of, hourly, at_most_seconds } = entry;
    let counts: Vec<String> = idle
        .iter()
        .map(|(resource, count)| format!("{count} of {} {resource}", of.get(resource).copied().unwrap_or(0)))
        .collect();
    let pool = pool.as_deref().map(|pool| format!(" (pool {pool})")).unwrap_or_default();
    let model = model.as_deref().map(|model| format!(", {model}")).unwrap_or_default();
    let price = hourly.map_or_else(|| "no price known".to_owned(), |price| format!("{price} an hour"));
    let since = at_most_seconds.map(|seconds| format!(", for at most {}", age(seconds))).unwrap_or_default();
    format!("{node}{pool}: {}{model}, {price}{since}", counts.join(", "))
}

fn age(seconds: i64) -> String {
    match seconds {
        ..120 => format!("{seconds} s"),
        120..7200 => format!("{} min", seconds / 60),
        7200..172_800 => format!("{} h", seconds / 3600),
        _ => format!("{} days", seconds / 86_400),
    }
}

fn sources(report: &CostReport) -> Vec<String> {
    let mut days: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for source in &report.sources {
        days.entry(&source.date).or_default().push(&source.source);
    }
    days.into_iter().map(|(date, sources)| format!("{} of {date}", sources.join(", "))).collect()
}

fn rest(all: usize, shown: usize, line: &mut impl FnMut(&str)) {
    if all > shown {
        line(&format!("  and {} more (--verbose)", all - shown));
    }
}

/// The lines that a plan has about costs: the whole, the pools that change, the pools without a price.
pub(super) fn plan_cost_lines(cost: &PlanCost) -> Vec<String> {
    let PlanCost { pools, fixed: _, before: _, after: _, at_least: _ } = cost;
    let mut lines = vec![format!("Cost: {}.", cost.line())];
    for pool in pools {
        if pool.before == pool.after && pool.node.is_some() {
            continue;
        }
        let nodes = pool.nodes_after.or(pool.nodes_before).map(|size| match (size.min, size.max) {
            (1, 1) => "1 node".to_owned(),
            (min, max) if min == max => format!("{min} nodes"),
            (min, max) => format!("{min} to {max} nodes"),
        });
        let nodes = nodes.unwrap_or_default();
        lines.push(match pool.node {
            None => format!("  pool {}: {nodes}, unknown: {}", pool.name, pool.priced),
            Some(each) if pool.nodes_after.is_none() => format!("  pool {}: {nodes} of {each} go", pool.name),
            Some(each) => {
                let before = match pool.nodes_before {
                    None => String::new(),
                    Some(_) => format!(" (now {})", pool.before),
                };
                format!("  pool {}: {nodes} of {each}, {}{before}", pool.name, pool.after)
            }
        });
    }
    lines
}

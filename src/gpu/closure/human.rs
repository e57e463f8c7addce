//! The proof as text, for people.

use super::proof::{Broken, Can, Place, PoolProof, Proof, Standing, WorkloadProof};

/// The proof as text. `verbose` lists every label and every reason.
pub fn human(proof: &Proof, verbose: bool) -> String {
    let mut text = format!("Closure proof of {}\n", proof.platform);
    for pool in &proof.pools {
        text.push('\n');
        one_pool(&mut text, pool, verbose);
    }
    text.push_str("\nworkloads\n");
    for workload in &proof.workloads {
        one_workload(&mut text, workload, verbose);
    }
    if !proof.unseen.is_empty() {
        text.push_str("\nnot looked at\n");
        for unseen in &proof.unseen {
            text.push_str(&format!("  {}: {}\n", unseen.what, unseen.why));
        }
    }
    text.push_str(&format!("\n{}", verdict(proof)));
    text
}

/// The chains that break, and one line of summary.
pub fn verdict(proof: &Proof) -> String {
    let mut text = String::new();
    for broken in &proof.broken {
        text.push_str(&one_broken(broken));
    }
    let count = |standing| proof.workloads.iter().filter(|workload| workload.standing == standing).count();
    let (runs, unknown, idle) = (count(Standing::Runs), count(Standing::Unknown), count(Standing::Idle));
    let rest = [(unknown, "unknown"), (idle, "on no pool and needed by none")];
    let rest: Vec<String> =
        rest.iter().filter(|(count, _)| *count > 0).map(|(count, word)| format!(", {count} {word}")).collect();
    let end = match proof.broken.len() {
        0 => format!("proven: {runs} workloads can run{}\n", rest.concat()),
        1 => format!("broken: 1 chain; {runs} workloads can run{}\n", rest.concat()),
        many => format!("broken: {many} chains; {runs} workloads can run{}\n", rest.concat()),
    };
    text.push_str(&end);
    text
}

fn one_pool(text: &mut String, pool: &PoolProof, verbose: bool) {
    let accelerator = pool.accelerator.as_ref().map(|model| format!(", {model}")).unwrap_or_default();
    text.push_str(&format!("pool {} ({} to {} nodes{accelerator})\n", pool.name, pool.min, pool.max));
    if !pool.taints.is_empty() {
        text.push_str(&format!("  taints       {}\n", pool.taints.join(", ")));
    }
    let late: Vec<_> = pool.labels.iter().filter(|label| verbose || !label.at_birth).collect();
    for label in late {
        let value = label.value.as_deref().unwrap_or("(known on the live node)");
        text.push_str(&format!(
            "  label        {}={value}, {}\n",
            label.key,
            if label.at_birth { "from birth".to_owned() } else { format!("from {}", label.from) }
        ));
    }
    for resource in &pool.resources {
        let from = if resource.from == "the node" { String::new() } else { format!(", from {}", resource.from) };
        text.push_str(&format!(
            "  allocatable  {} {}, {} left beside DaemonSets{from}\n",
            resource.allocatable, resource.name, resource.left
        ));
    }
    for daemon in &pool.daemon_sets {
        text.push_str(&format!("  runs         {daemon}\n"));
    }
}

fn one_workload(text: &mut String, workload: &WorkloadProof, verbose: bool) {
    let mark = match workload.standing {
        Standing::Runs => "ok     ",
        Standing::Broken => "BROKEN ",
        Standing::Unknown => "unknown",
        Standing::Idle => "idle   ",
    };
    text.push_str(&format!("  {mark} {}\n", workload.what));
    // Places with one and the same reason are told together.
    let mut told: Vec<(Can, &[String], Vec<&str>)> = Vec::new();
    for Place { pool, can, because } in &workload.places {
        match told.iter_mut().find(|(have, reasons, _)| have == can && *reasons == because.as_slice()) {
            Some((_, _, pools)) => pools.push(pool),
            None => told.push((*can, because, vec![pool])),
        }
    }
    for (can, because, pools) in told {
        let word = match can {
            Can::Yes => "can run on",
            Can::No => "not on",
            Can::Unknown => "perhaps on",
        };
        let shown = if verbose || can == Can::Yes { because.len() } else { because.len().min(2) };
        text.push_str(&format!("            {word} {}: {}\n", pools.join(", "), because[..shown].join("; ")));
    }
}

/// One chain, with its fix.
pub fn one_broken(broken: &Broken) -> String {
    let mut text = format!("broken: {}\n", broken.what);
    if let Some(at) = &broken.at {
        text.push_str(&format!("  at {at}\n"));
    }
    for link in &broken.chain {
        text.push_str(&format!("  {} {}\n", if link.holds { "✓" } else { "✗" }, link.says));
    }
    text.push_str(&format!("  fix: {}\n\n", broken.fix));
    text
}

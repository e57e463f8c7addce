//! Machines: whether EC2 has them, and whether they have what the pool promises.

use wbk_provider_api::{Accelerator, Capacity};
use wbk_provider_eks::catalog::{self, Machine, MachineGpu, Sale};

use super::super::Report;
use super::given::is_given;
use crate::blueprint::check::nearest;
use crate::blueprint::path::{Step, steps};
use crate::blueprint::schema::NodePool;

pub(super) fn rules(report: &mut Report<'_>, index: usize, pool: &NodePool) {
    let path = steps!["nodePools", index, "machine"];
    let known = pool.machine.as_deref().and_then(|name| known(report, path, name));
    match (&pool.machine, known, &pool.accelerator) {
        (Some(_), Some(machine), Some(accelerator)) => has(report, index, machine, accelerator),
        (Some(_), Some(machine), None) => unasked(report, path, machine),
        (None, _, Some(accelerator)) => somewhere(report, index, accelerator),
        (Some(_), None, _) | (None, _, None) => {}
    }
    let Some(machine) = crate::desired::eks_machine(pool).filter(|_| !is_given(pool)) else { return };
    sold(report, index, pool, machine);
    if let Some(shape) = &pool.shape
        && (shape.cpu.millis > u64::from(machine.vcpus) * 1000 || shape.memory.0 > machine.memory_mib << 20)
    {
        let message = format!("{} has {} CPU and {} GiB", machine.name, machine.vcpus, machine.memory_mib >> 10);
        report.error(steps!["nodePools", index, "shape"], &message, "remove it: the machine's own is known");
    }
    let section = pool.eks.as_ref();
    if section.is_some_and(|section| section.efa) && machine.efa == 0 {
        report.error(
            steps!["nodePools", index, "eks", "efa"],
            &format!("{} has no elastic fabric adapter", machine.name),
            "remove it, or name a machine that has one, such as p4d.24xlarge or p5.48xlarge",
        );
    }
    also(report, index, pool, machine);
}

/// The machine of a name; tells of one that is none.
fn known(report: &mut Report<'_>, path: &[Step<'_>], name: &str) -> Option<&'static Machine> {
    if let Some(machine) = catalog::machine(name) {
        return Some(machine);
    }
    let names: Vec<&str> = catalog::machines().map(|machine| machine.name.as_str()).collect();
    let hint = match nearest(name, &names) {
        Some(meant) => format!("did you mean `{meant}`?"),
        None => sizes(name, &names).unwrap_or_else(|| "write for example `m7i.xlarge`".to_owned()),
    };
    let is_size = |size: &str| names.iter().any(|known| known.split_once('.').is_some_and(|(_, other)| other == size));
    match name.split_once('.') {
        // A family and a size: the list here is of a day, and EC2 adds to it.
        Some((family, size)) if is_family(family) && is_size(size) => report.warning(
            path,
            &format!(
                "{name} was not among EC2's machines on {}: it is newer, or gone, and what it has is not known",
                day()
            ),
            &format!("{hint} For a newer one, say what it has: `shape: {{cpu: …, memory: …}}`"),
        ),
        _ => report.error(path, &format!("{name:?} is no machine of EC2"), &hint),
    }
    None
}

/// What there is of a known family.
fn sizes(name: &str, names: &[&str]) -> Option<String> {
    let (family, _) = name.split_once('.')?;
    let own: Vec<&str> =
        names.iter().copied().filter(|other| other.split_once('.').is_some_and(|(own, _)| own == family)).collect();
    (!own.is_empty()).then(|| format!("there are {}", own.join(", ")))
}

fn day() -> &'static str {
    catalog::machines_source().split(';').next().unwrap_or_default()
}

/// `m7i`, `p6-b200`, `u7in-16tb`: letters and a digit, then more.
fn is_family(text: &str) -> bool {
    let rest = text.trim_start_matches(|c: char| c.is_ascii_lowercase());
    rest.len() < text.len()
        && rest.starts_with(|c: char| c.is_ascii_digit())
        && rest.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

fn words(gpu: &MachineGpu) -> String {
    match gpu.count {
        0 => format!("a part of one {}", gpu.model),
        count => format!("{count} {}", gpu.model),
    }
}

/// A machine that does not have the GPUs asked for.
fn has(report: &mut Report<'_>, index: usize, machine: &Machine, accelerator: &Accelerator) {
    let name = &machine.name;
    let Accelerator { model, count } = accelerator;
    let message = match &machine.gpu {
        None => format!("{name} has no GPU"),
        Some(gpu) if gpu.is(model) && gpu.count == *count => return,
        Some(gpu) => format!("{name} has {}", words(gpu)),
    };
    let able: Vec<&str> =
        catalog::with_accelerator(model, *count).into_iter().map(|machine| machine.name.as_str()).take(4).collect();
    let hint = if able.is_empty() {
        counts(model, *count)
    } else {
        format!("remove `machine`, or write {}", able.join(" or "))
    };
    let message = format!("the pool has {count} {model} on each node, and {message}");
    report.error(steps!["nodePools", index, "machine"], &message, &hint);
}

/// GPUs that no machine has.
fn somewhere(report: &mut Report<'_>, index: usize, accelerator: &Accelerator) {
    let Accelerator { model, count } = accelerator;
    if catalog::with_accelerator(model, *count).is_empty() {
        let path = steps!["nodePools", index, "accelerator"];
        report.error(path, &format!("no machine of EC2 has {count} {model}"), &counts(model, *count));
    }
}

/// What there is instead.
fn counts(model: &str, count: u32) -> String {
    let counts: Vec<String> = catalog::counts_of(model).iter().map(ToString::to_string).collect();
    if !counts.is_empty() {
        return format!("machines have {} of {model}, not {count}", counts.join(" or "));
    }
    let models: Vec<&str> = catalog::models().into_iter().collect();
    format!("EC2 has {}", models.join(", "))
}

/// Accelerators that the pool does not speak of.
fn unasked(report: &mut Report<'_>, path: &[Step<'_>], machine: &Machine) {
    match (&machine.gpu, machine.neuron) {
        (Some(gpu), _) if gpu.count > 0 => report.warning(
            path,
            &format!(
                "{} has {}, which nobody asked for: no taint keeps others away, and nothing advertises them",
                machine.name,
                words(gpu)
            ),
            &format!("write `accelerator: {{model: {}, count: {}}}`", gpu.model, gpu.count),
        ),
        (Some(gpu), _) => report.warning(
            path,
            &format!("{} has {}, which no device plugin here advertises", machine.name, words(gpu)),
            "name a machine with whole GPUs, and share them with `gpu.sharing`",
        ),
        (None, 0) => {}
        (None, count) => report.warning(
            path,
            &format!("no device plugin here advertises the Neuron devices of {} ({count})", machine.name),
            "add AWS' own neuron chart under `charts:`",
        ),
    }
}

/// A machine that EC2 does not sell as the pool buys it.
fn sold(report: &mut Report<'_>, index: usize, pool: &NodePool, machine: &Machine) {
    let block = pool.eks.as_ref().and_then(|section| section.capacity_block.as_deref());
    let sale = Sale::of(pool.capacity, block);
    if machine.sold.contains(&sale) {
        return;
    }
    let (message, hint) = match sale {
        Sale::OnDemand => ("on demand", "write `capacity: spot`, or `eks: {capacityBlock: cr-…}`"),
        Sale::Spot => ("as spot", "remove `capacity: spot`"),
        Sale::CapacityBlock => ("in capacity blocks", "remove `capacityBlock`"),
    };
    report.error(steps!["nodePools", index], &format!("EC2 does not sell {} {message}", machine.name), hint);
}

/// Machines that serve as well as the first.
fn also(report: &mut Report<'_>, index: usize, pool: &NodePool, first: &Machine) {
    let also = pool.eks.as_ref().map(|section| section.also.as_slice()).unwrap_or_default();
    if !also.is_empty() && pool.capacity != Capacity::Spot {
        report.error(
            steps!["nodePools", index, "eks", "also"],
            "several machines are for spot: on demand the first is always taken while it is there",
            "remove them, or write `capacity: spot`",
        );
    }
    for (number, name) in also.iter().enumerate() {
        let path = steps!["nodePools", index, "eks", "also", number];
        if *name == first.name || also[..number].contains(name) {
            report.error(path, &format!("{name} is there twice"), "keep one of them");
            continue;
        }
        let Some(other) = known(report, path, name) else { continue };
        let gpus = |machine: &Machine| machine.gpu.as_ref().map(|gpu| (gpu.model.clone(), gpu.count));
        if other.arch != first.arch {
            let message = format!("{name} is {}, and {} is {}", other.arch, first.name, first.arch);
            report.error(path, &message, "name machines of one processor");
        } else if gpus(other) != gpus(first) || other.neuron != first.neuron {
            let own = |machine: &Machine| machine.gpu.as_ref().map_or_else(|| "no GPU".to_owned(), words);
            let message = format!("{name} has {}, and {} has {}", own(other), first.name, own(first));
            report.error(path, &message, "name machines with the same GPUs");
        } else if other.vcpus < first.vcpus || other.memory_mib < first.memory_mib {
            let message = format!(
                "{name} is smaller ({} CPU, {} GiB) than {}, whose shape the pool has: a pod may fit the one and not the other",
                other.vcpus,
                other.memory_mib >> 10,
                first.name
            );
            report.warning(path, &message, "name the smallest as `machine`");
        }
    }
}

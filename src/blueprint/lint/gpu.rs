//! GPUs: who advertises them, how they are shared, and what cannot be combined.

use std::collections::BTreeMap;

use wbk_provider_api::ProviderKind;

use super::Report;
use crate::blueprint::path::steps;
use crate::blueprint::schema::{Gang, Gpu, GpuPlugin, NodePool, Sharing, SharingStrategy};
use crate::desired::{Advertiser, GpuVendor, mig, pool_gpus};

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    pools_without_advertiser(report);
    gang(report);
    let Some(gpu) = &blueprint.gpu else { return };
    plugin(report, gpu);
    operator(report, gpu);
    metrics(report, gpu);
    sharing(report, gpu);
    one_name_for_two_things(report);
}

fn accelerated<'a>(report: &Report<'a>) -> impl Iterator<Item = (usize, &'a NodePool, GpuVendor)> + use<'a> {
    let pools = report.loaded.blueprint.node_pools.iter().enumerate();
    pools.filter_map(|(index, pool)| {
        let vendor = GpuVendor::of_model(&pool.accelerator.as_ref()?.model)?;
        Some((index, pool, vendor))
    })
}

/// GPUs that no pod will ever get.
fn pools_without_advertiser(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let gpus = pool_gpus(blueprint);
    let hint = match blueprint.cluster.provider {
        ProviderKind::Local | ProviderKind::Kind => "add `gpu: {plugin: simulated}`",
        _ => "add `gpu: {plugin: auto}`",
    };
    for (index, pool, _) in accelerated(report) {
        if let Some(Advertiser::None { why }) = gpus.get(&pool.name).map(|gpus| &gpus.advertiser) {
            let why = if blueprint.gpu.is_some() { format!(": {why}") } else { String::new() };
            report.warning(
                steps!["nodePools", index, "accelerator"],
                &format!("nothing makes these GPUs allocatable, so no pod can have one{why}"),
                hint,
            );
        }
    }
}

fn plugin(report: &mut Report<'_>, gpu: &Gpu) {
    let blueprint = &report.loaded.blueprint;
    let path = steps!["gpu", "plugin"];
    let vendors: Vec<GpuVendor> = accelerated(report).map(|(_, _, vendor)| vendor).collect();
    let existing = blueprint.cluster.provider == ProviderKind::Existing;
    let named = match gpu.plugin {
        GpuPlugin::Nvidia => Some(GpuVendor::Nvidia),
        GpuPlugin::Amd => Some(GpuVendor::Amd),
        GpuPlugin::Intel => Some(GpuVendor::Intel),
        GpuPlugin::Auto | GpuPlugin::Simulated | GpuPlugin::None => None,
    };
    match (gpu.plugin, named) {
        (GpuPlugin::Auto, _) if existing && vendors.is_empty() => report.error(
            steps!["gpu"],
            "`plugin: auto` goes by the pools, and nothing is known of an existing cluster's nodes",
            "write `plugin: nvidia`, or amd, or intel",
        ),
        (GpuPlugin::Auto | GpuPlugin::Simulated, _) if vendors.is_empty() && !existing => report.warning(
            path,
            "no pool has GPUs",
            "give a pool an `accelerator`, or remove the section",
        ),
        (_, Some(named)) if !existing && !vendors.contains(&named) => report.error(
            path,
            &format!("no pool has GPUs of {}", named.as_str()),
            "give a pool an `accelerator` whose model begins with the vendor, or write `plugin: auto`",
        ),
        (GpuPlugin::Intel, _) if !brings_cert_manager(report) => report.warning(
            path,
            "Intel's operator needs cert-manager in the cluster, and nothing in the blueprint installs it",
            "add cert-manager under `charts:`, unless the cluster has it",
        ),
        (_, Some(_)) if blueprint.cluster.provider == ProviderKind::Local => report.warning(
            path,
            "the nodes of a local cluster are simulated: the vendor's own charts are installed, and their pods are played",
            "write `plugin: simulated` for stand-ins, which need no charts",
        ),
        _ => {}
    }
}

fn brings_cert_manager(report: &Report<'_>) -> bool {
    report.loaded.blueprint.charts.iter().any(|chart| chart.chart.contains("cert-manager"))
}

/// Queues need their scheduler's webhooks, and Kueue's need pools.
fn gang(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let path = steps!["scheduling", "gang"];
    let name = match blueprint.scheduling.gang {
        Gang::None => return,
        Gang::Volcano => "Volcano",
        Gang::Kueue => "Kueue",
    };
    match blueprint.cluster.provider {
        ProviderKind::Local => report.error(
            path,
            &format!("the pods of simulated nodes run no program, so {name}'s webhooks would never answer"),
            "remove it; it works on clusters with real nodes",
        ),
        ProviderKind::Existing if blueprint.scheduling.gang == Gang::Kueue => report.error(
            path,
            "Kueue's quotas follow from node pools, and nothing is known of an existing cluster's nodes",
            "install Kueue under `charts:` and write its queues under `objects:`",
        ),
        _ => {}
    }
}

fn operator(report: &mut Report<'_>, gpu: &Gpu) {
    if !gpu.operator {
        return;
    }
    let path = steps!["gpu", "operator"];
    if !gpu.discovery {
        report.error(
            steps!["gpu", "discovery"],
            "the GPU Operator finds nodes by NFD's labels",
            "remove `discovery: false`",
        );
    }
    let provider = report.loaded.blueprint.cluster.provider;
    match gpu.plugin {
        GpuPlugin::Amd | GpuPlugin::Intel => {
            return report.error(path, "the GPU Operator is NVIDIA's", "remove it, or write `plugin: nvidia`");
        }
        GpuPlugin::Simulated | GpuPlugin::None => {
            return report.error(
                path,
                "there is nothing for the GPU Operator to do",
                "remove it, or write `plugin: nvidia`",
            );
        }
        GpuPlugin::Auto if matches!(provider, ProviderKind::Local | ProviderKind::Kind) => {
            let message =
                format!("`plugin: auto` means simulated GPUs on {provider}, which the GPU Operator knows nothing of");
            return report.error(path, &message, "remove it, or write `plugin: nvidia`");
        }
        GpuPlugin::Auto | GpuPlugin::Nvidia => {}
    }
    let gpus = pool_gpus(&report.loaded.blueprint);
    for (index, pool, _) in accelerated(report) {
        match gpus.get(&pool.name).map(|gpus| (&gpus.advertiser, gpus.model.as_str())) {
            Some((Advertiser::Platform { why }, _)) => report.error(
                steps!["gpu", "operator"],
                &format!("pool {} would have two advertisers: {why}", pool.name),
                "remove `operator`",
            ),
            Some((Advertiser::GpuOperator, model)) => {
                if let Some(problem) = crate::desired::driver_problem(model) {
                    let hint = "remove `operator`, and use node images whose driver is of that branch or older";
                    report.error(steps!["nodePools", index, "accelerator"], &problem, hint);
                }
            }
            _ => {}
        }
    }
}

fn metrics(report: &mut Report<'_>, gpu: &Gpu) {
    if !gpu.metrics {
        return;
    }
    let path = steps!["gpu", "metrics"];
    let hint = "remove it";
    match gpu.plugin {
        GpuPlugin::None => report.error(path, "nothing exports metrics of GPUs that are somebody else's", hint),
        GpuPlugin::Amd | GpuPlugin::Intel => report.error(path, "the DCGM exporter is for NVIDIA's GPUs alone", hint),
        GpuPlugin::Auto | GpuPlugin::Simulated | GpuPlugin::Nvidia => {
            let vendors: Vec<GpuVendor> = accelerated(report).map(|(_, _, vendor)| vendor).collect();
            if report.loaded.blueprint.cluster.provider == ProviderKind::Kind && gpu.plugin != GpuPlugin::Nvidia {
                report.error(path, "the simulated GPUs of a kind cluster have no metrics", hint);
            }
            if !vendors.is_empty() && !vendors.contains(&GpuVendor::Nvidia) {
                report.error(path, "no pool has GPUs of nvidia, and the DCGM exporter is for those alone", hint);
            }
        }
    }
}

fn sharing(report: &mut Report<'_>, gpu: &Gpu) {
    let blueprint = &report.loaded.blueprint;
    for (index, sharing) in gpu.sharing.iter().enumerate() {
        let at = steps!["gpu", "sharing", index, "pool"];
        if let Some(first) = gpu.sharing[..index].iter().position(|other| other.pool == sharing.pool) {
            let first = report.loaded.at(steps!["gpu", "sharing", first]).clone();
            report.error(
                at,
                &format!("the GPUs of pool {} are shared twice", sharing.pool),
                &format!("the first is at {first}; keep one"),
            );
            continue;
        }
        let Some(pool) = blueprint.node_pools.iter().find(|pool| pool.name == sharing.pool) else {
            report.error(at, "there is no pool of this name", "name one of `nodePools`");
            continue;
        };
        let Some(vendor) = pool.accelerator.as_ref().and_then(|found| GpuVendor::of_model(&found.model)) else {
            report.error(at, "this pool has no GPUs to share", "name a pool with an `accelerator`");
            continue;
        };
        if vendor != GpuVendor::Nvidia {
            report.error(
                at,
                "only NVIDIA's device plugin shares or partitions GPUs",
                "remove it, or name a pool of NVIDIA GPUs",
            );
            continue;
        }
        if gpu.plugin == GpuPlugin::None {
            report.error(
                at,
                "no device plugin of this blueprint's would read it",
                "remove it, or write another `gpu.plugin`",
            );
        }
        let model = pool.accelerator.as_ref().map(|accelerator| accelerator.model.as_str()).unwrap_or_default();
        match sharing.strategy {
            SharingStrategy::Mig => partitions(report, index, sharing, model),
            SharingStrategy::TimeSlicing | SharingStrategy::Mps => replicas(report, index, sharing),
        }
        advertised_how(report, gpu, index, sharing);
    }
}

fn replicas(report: &mut Report<'_>, index: usize, sharing: &Sharing) {
    let word = if sharing.strategy == SharingStrategy::Mps { "MPS" } else { "time-slicing" };
    if sharing.replicas.is_none() {
        report.error(
            steps!["gpu", "sharing", index],
            &format!("`replicas` is missing: {word} needs to know how many pods share one GPU"),
            "write for example `replicas: 4`",
        );
    }
    for (key, set) in [("profile", sharing.profile.is_some()), ("profiles", !sharing.profiles.is_empty())] {
        if set {
            report.error(
                steps!["gpu", "sharing", index, key],
                &format!("{word} and MIG are not combined here: a GPU is shared in one way"),
                "remove it, or write `strategy: mig`",
            );
        }
    }
}

fn partitions(report: &mut Report<'_>, index: usize, sharing: &Sharing, model: &str) {
    for (key, set) in [("replicas", sharing.replicas.is_some()), ("rename", sharing.rename.is_some())] {
        if set {
            report.error(
                steps!["gpu", "sharing", index, key],
                "MIG has no replicas: its partitions are resources of their own",
                "remove it, or write `strategy: time-slicing`",
            );
        }
    }
    let (path, found): (_, Result<(), mig::MigProblem>) = match (&sharing.profile, sharing.profiles.is_empty()) {
        (None, true) => {
            return report.error(
                steps!["gpu", "sharing", index],
                "MIG needs `profile` (all partitions equal) or `profiles` (several sizes)",
                "write for example `profile: 1g.5gb`, or `profiles: {1g.5gb: 4, 3g.20gb: 1}`",
            );
        }
        (Some(_), false) => {
            return report.error(
                steps!["gpu", "sharing", index, "profiles"],
                "MIG has either `profile` or `profiles`",
                "keep one of them",
            );
        }
        (Some(profile), true) => {
            (steps!["gpu", "sharing", index, "profile"].to_vec(), mig::instances(model, profile).map(drop))
        }
        (None, false) => (steps!["gpu", "sharing", index, "profiles"].to_vec(), mig::fits(model, &sharing.profiles)),
    };
    let Err(problem) = found else { return };
    let hint = match &problem {
        mig::MigProblem::Without { .. } => "use time-slicing or MPS, or a GPU that has MIG".to_owned(),
        mig::MigProblem::UnknownModel { known, .. } => format!("known: {}", known.join(", ")),
        mig::MigProblem::UnknownProfile { known, .. } => format!("it has {}", known.join(", ")),
        mig::MigProblem::DoNotFit { most, .. } => format!("alone, these fit: {most}"),
    };
    report.error(&path, &problem.to_string(), &hint);
}

fn advertised_how(report: &mut Report<'_>, gpu: &Gpu, index: usize, sharing: &Sharing) {
    let gpus = pool_gpus(&report.loaded.blueprint);
    let Some(pool) = gpus.get(&sharing.pool) else { return };
    match (&pool.advertiser, sharing.strategy) {
        (Advertiser::NvidiaPlugin, SharingStrategy::Mig) => report.warning(
            steps!["gpu", "sharing", index],
            "NVIDIA's device plugin advertises partitions and does not make them: the nodes' GPUs must be partitioned already",
            "write `operator: true`, whose MIG manager makes them, unless the node image does",
        ),
        (Advertiser::Platform { why }, _) if report.loaded.blueprint.cluster.provider == ProviderKind::Eks => {
            report.error(
                steps!["gpu", "sharing", index],
                &format!("the GPUs of pool {} would not be shared: {why}, and reads settings of its own", sharing.pool),
                "remove the pool's `eks.ami`: Amazon Linux 2023 is taken, on which this sharing works",
            );
        }
        (Advertiser::NvidiaPlugin, SharingStrategy::Mps) if !gpu.discovery => report.error(
            steps!["gpu", "discovery"],
            "MPS needs discovery: its control daemon runs only where GFD has written `nvidia.com/mps.capable`",
            "remove `discovery: false`",
        ),
        _ => {}
    }
}

/// A whole GPU here and a part of one there, under one name.
fn one_name_for_two_things(report: &mut Report<'_>) {
    let gpus = pool_gpus(&report.loaded.blueprint);
    let mut sizes: BTreeMap<&str, BTreeMap<u64, &str>> = BTreeMap::new();
    for (pool, gpus) in &gpus {
        for (resource, count) in &gpus.allocatable {
            sizes.entry(resource).or_default().insert(count / u64::from(gpus.devices.max(1)), pool);
        }
    }
    for (resource, sizes) in sizes
        .into_iter()
        .filter(|(resource, sizes)| sizes.len() > 1 && !resource.contains("/mig-") && !resource.ends_with(".shared"))
    {
        let pools: Vec<&str> = sizes.into_values().collect();
        report.warning(
            steps!["gpu", "sharing"],
            &format!("{resource} is not the same thing on all pools ({})", pools.join(", ")),
            "let shares have another name (`rename: true`, or `profiles` for MIG), or select the pool in each workload",
        );
    }
}

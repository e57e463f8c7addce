//! Volumes: who may mount what a driver makes, whether it can ever be filled, and what a queue's jobs do with it.

use super::Report;
use crate::blueprint::path::steps;
use crate::blueprint::schema::{AccessMode, Blueprint, Namespace, Queue, Volume, VolumeMode, VolumeSource};
use crate::desired::{Driver, class_of, namespace_of, pool_of, pool_spec};
use wbk_provider_api::ProviderKind;

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    for (index, namespace) in blueprint.namespaces.iter().enumerate() {
        for (number, volume) in namespace.storage.iter().enumerate() {
            access(report, volume, (index, number));
            source(report, namespace, volume, (index, number));
        }
    }
    for (index, queue) in blueprint.launch.iter().flat_map(|launch| &launch.queues).enumerate() {
        mounts(report, queue, index);
    }
    unwritten(report);
}

fn words(mode: AccessMode) -> &'static str {
    match mode {
        AccessMode::ReadWriteOnce => "ReadWriteOnce",
        AccessMode::ReadWriteOncePod => "ReadWriteOncePod",
        AccessMode::ReadWriteMany => "ReadWriteMany",
        AccessMode::ReadOnlyMany => "ReadOnlyMany",
    }
}

/// What its driver can do; a raw device is another matter, and an unknown driver none.
fn access(report: &mut Report<'_>, volume: &Volume, (index, number): (usize, usize)) {
    let Some((class, driver)) = class_of(&report.loaded.blueprint, volume) else { return };
    // Of one that is made empty and only read, more is wrong than its driver.
    let is_empty = volume.access == AccessMode::ReadOnlyMany && volume.from.is_none();
    if driver.access.contains(&volume.access) || volume.mode == VolumeMode::Block || is_empty {
        return;
    }
    let can: Vec<&str> = driver.access.iter().map(|mode| words(*mode)).collect();
    let shared = match report.loaded.blueprint.cluster.provider {
        ProviderKind::Gke => "; Filestore (class standard-rwx) has the others",
        ProviderKind::Eks => "; EFS (a class with provisioner efs.csi.aws.com) has the others",
        ProviderKind::Aks => "; Azure Files (class azurefile-csi) has the others",
        ProviderKind::Kind | ProviderKind::Local | ProviderKind::Existing => "",
    };
    report.error(
        steps!["namespaces", index, "storage", number, "access"],
        &format!(
            "no volume of class {class} is {}: {} makes {}, and the claim would wait for ever",
            words(volume.access),
            driver.name,
            can.join(", ")
        ),
        &format!("use one of these{shared}"),
    );
}

/// A volume that only reads must come from somewhere.
fn source(report: &mut Report<'_>, namespace: &Namespace, volume: &Volume, (index, number): (usize, usize)) {
    let path = steps!["namespaces", index, "storage", number, "from"];
    let blueprint = &report.loaded.blueprint;
    let by_hand = volume.class.as_ref().is_some_and(|name| {
        let class = blueprint.storage_classes.iter().find(|class| class.name == *name);
        name.is_empty() || class.is_some_and(|class| class.provisioner == "kubernetes.io/no-provisioner")
    });
    let Some(VolumeSource { claim, snapshot }) = &volume.from else {
        if volume.access == AccessMode::ReadOnlyMany && !by_hand {
            let message = "it would be made empty, and nobody could ever write to it";
            let hint = "write `access: ReadWriteMany` and mount it with `readOnly: true` where jobs only read, or say what it is a copy \
                        of: `from: {claim: …}` or `from: {snapshot: …}`";
            let path = steps!["namespaces", index, "storage", number, "access"];
            match class_of(blueprint, volume) {
                Some(_) => report.error(path, message, hint),
                // A class that this program does not know may hand out volumes that somebody filled.
                None => report.warning(path, message, hint),
            }
        }
        return;
    };
    match (claim, snapshot) {
        (Some(claim), None) if *claim == volume.name => {
            report.error(path, "it would be a copy of itself", "name another claim of the namespace");
        }
        (Some(claim), None) => match namespace.storage.iter().find(|other| other.name == *claim) {
            None => report.warning(
                path,
                &format!("the blueprint makes no claim {claim} in this namespace"),
                "add it under `storage:`; a copy waits until it is there",
            ),
            Some(other) if other.size > volume.size => report.error(
                steps!["namespaces", index, "storage", number, "size"],
                &format!("a copy is no smaller than claim {claim} of {}", other.size),
                &format!("write {}", other.size),
            ),
            Some(_) => {}
        },
        (None, Some(_)) => {}
        (Some(_), Some(_)) | (None, None) => {
            report.error(path, "a volume is a copy of one thing", "write `claim: …` or `snapshot: …`");
        }
    }
}

/// The claim that a name means in a namespace.
pub(super) fn claim<'a>(blueprint: &'a Blueprint, namespace: &str, name: &str) -> Option<&'a Volume> {
    let namespace = blueprint.namespaces.iter().find(|known| known.name == namespace)?;
    namespace.storage.iter().find(|volume| volume.name == name)
}

/// What the blueprint does not have may come from `objects`, or be there already.
pub(super) fn may_be_elsewhere(blueprint: &Blueprint) -> bool {
    blueprint.cluster.provider == ProviderKind::Existing || !blueprint.objects.is_empty()
}

fn mounts(report: &mut Report<'_>, queue: &Queue, index: usize) {
    let blueprint = &report.loaded.blueprint;
    let Some(namespace) = namespace_of(blueprint, queue) else { return };
    let several_nodes = pool_of(blueprint, queue).is_none_or(|pool| pool_spec(blueprint, pool).size.max > 1);
    for (number, mount) in queue.volumes.iter().enumerate() {
        let path = steps!["launch", "queues", index, "volumes", number];
        if mount.path == "/dev/shm" {
            report.error(path, "this is the job's shared memory", "write `sharedMemory: …` for its size");
        }
        if mount
            .folder
            .as_deref()
            .is_some_and(|folder| folder.starts_with('/') || folder.split('/').any(|part| part == ".."))
        {
            report.error(
                steps!["launch", "queues", index, "volumes", number, "folder"],
                "a folder of the volume is relative to it",
                "write for example `imagenet/train`",
            );
        }
        if queue.files.contains_key(&mount.path) {
            report.error(path, "a file of the queue has the same path", "mount it elsewhere");
        }
        let Some(volume) = claim(blueprint, namespace, &mount.claim) else {
            let known: Vec<&str> = blueprint
                .namespaces
                .iter()
                .filter(|known| known.name == namespace)
                .flat_map(|known| known.storage.iter().map(|volume| volume.name.as_str()))
                .collect();
            let there =
                if known.is_empty() { "there is none".to_owned() } else { format!("there is {}", known.join(", ")) };
            let message =
                format!("namespace {namespace} has no claim {}: no pod of the queue would ever be placed", mount.claim);
            let path = steps!["launch", "queues", index, "volumes", number, "claim"];
            match may_be_elsewhere(blueprint) {
                true => report.warning(path, &message, &there),
                false => report.error(path, &message, &format!("{there}; add it to the namespace's `storage`")),
            }
            continue;
        };
        if volume.mode == VolumeMode::Block {
            report.error(
                path,
                "the claim is a raw device, and a queue mounts file systems",
                "write `mode: Filesystem`, or use `config`",
            );
        }
        match volume.access {
            AccessMode::ReadOnlyMany if !mount.read_only => report.error(
                path,
                "the claim is ReadOnlyMany: a pod that would write to it does not start",
                "write `readOnly: true`",
            ),
            AccessMode::ReadWriteOncePod => report.warning(
                path,
                "one pod at a time may have the claim: of the queue's jobs one runs, and the others wait",
                "use ReadWriteMany for jobs that run beside each other",
            ),
            AccessMode::ReadWriteOnce if several_nodes => {
                let bound = class_of(blueprint, volume).and_then(|(_, driver): (_, &Driver)| driver.bound);
                let place = match bound {
                    Some("zone") => "; and its first pod decides its zone, outside of which no job ever runs",
                    Some(_) => "; and its first pod decides its node for good",
                    None => "",
                };
                report.warning(
                    path,
                    &format!("one node at a time may have the claim, also to read: jobs on another node wait{place}"),
                    "use ReadWriteMany, a copy for each job, or a pool of one node",
                );
            }
            AccessMode::ReadWriteOnce | AccessMode::ReadWriteMany | AccessMode::ReadOnlyMany => {}
        }
        if blueprint.cluster.provider == ProviderKind::Local {
            report.warning(
                path,
                "the local provider makes no volumes: jobs of the queue wait until a PersistentVolume for the claim is there",
                "add one under `objects:`",
            );
        }
    }
}

/// Claims that queues read and none of them fills.
fn unwritten(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let Some(launch) = &blueprint.launch else { return };
    let all = launch.queues.iter().enumerate().flat_map(|(index, queue)| {
        let namespace = namespace_of(blueprint, queue);
        queue.volumes.iter().enumerate().filter_map(move |(number, mount)| Some((index, number, namespace?, mount)))
    });
    let all: Vec<_> = all.collect();
    for (at, (index, number, namespace, mount)) in all.iter().enumerate() {
        let same = |(_, _, other, one): &&(usize, usize, &str, &crate::blueprint::schema::Mount)| {
            other == namespace && one.claim == mount.claim
        };
        let is_first = !all[..at].iter().any(|one| same(&one));
        let written = all.iter().filter(same).any(|(_, _, _, one)| !one.read_only);
        let Some(volume) = claim(blueprint, namespace, &mount.claim) else { continue };
        if is_first && !written && volume.from.is_none() && volume.access != AccessMode::ReadOnlyMany {
            report.warning(
                steps!["launch", "queues", *index, "volumes", *number],
                "every queue only reads the claim, which is made empty: nothing of this blueprint fills it",
                "add a queue that mounts it without `readOnly`, whose job writes the data",
            );
        }
    }
}

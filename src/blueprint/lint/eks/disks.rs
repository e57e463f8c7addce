//! Disks of nodes: what EC2 takes of each sort of volume (botocore, ec2 `LaunchTemplateEbsBlockDeviceRequest`).

use super::super::Report;
use super::{arn, region};
use crate::blueprint::path::steps;
use crate::blueprint::schema::{EksDiskSection, EksPoolSection, EksVolume};

/// GiB of the smallest disk: EKS' own default, and what an image needs before the first container.
const SMALLEST: u64 = 20;
/// GiB of the largest.
const LARGEST: u64 = 65_536;
/// MiB a second of gp3.
const THROUGHPUT: std::ops::RangeInclusive<u32> = 125..=2000;

pub(super) fn rules(report: &mut Report<'_>, index: usize, section: &EksPoolSection) {
    let Some(disk) = &section.disk else { return };
    let path = steps!["nodePools", index, "eks", "disk"];
    if let Some(size) = disk.size() {
        if size.0 < SMALLEST << 30 {
            let message = format!("{size} is less than the {SMALLEST} GiB that an image needs");
            report.error(path, &message, "write for example `disk: 100Gi`");
        } else if size.0 > LARGEST << 30 {
            let message = format!("{size} is more than the {LARGEST} GiB that a volume has");
            report.error(path, &message, "write for example `disk: 1Ti`");
        }
    }
    if let Some(full) = disk.full() {
        speed(report, index, full);
        key(report, index, full);
    }
}

fn speed(report: &mut Report<'_>, index: usize, disk: &EksDiskSection) {
    let kind = disk.kind.unwrap_or(EksVolume::Gp3);
    let operations = match kind {
        EksVolume::Gp3 => 3000..=80_000,
        EksVolume::Io2 => 100..=256_000,
    };
    let path = steps!["nodePools", index, "eks", "disk", "iops"];
    match disk.iops {
        Some(iops) if !operations.contains(&iops) => {
            let (least, most) = (operations.start(), operations.end());
            let message = format!("{} has {least} to {most} operations a second, and not {iops}", kind.as_str());
            report.error(path, &message, &format!("write for example `iops: {}`", (*least).max(6000)));
        }
        None if kind == EksVolume::Io2 => report.error(
            steps!["nodePools", index, "eks", "disk"],
            "EC2 makes no io2 volume without its operations a second",
            "write for example `iops: 16000`, or remove `type`: gp3 has 3000 without a word",
        ),
        Some(_) | None => {}
    }
    let Some(throughput) = disk.throughput else { return };
    let path = steps!["nodePools", index, "eks", "disk", "throughput"];
    if kind != EksVolume::Gp3 {
        report.error(path, "the throughput of io2 follows from its operations", "remove it, or write `type: gp3`");
    } else if !THROUGHPUT.contains(&throughput) {
        let message = format!("gp3 has 125 to 2000 MiB a second, and not {throughput}");
        report.error(path, &message, "write for example `throughput: 500`");
    } else if throughput > disk.iops.unwrap_or(3000) / 4 {
        // EBS user guide, "General Purpose SSD volumes": 0.25 MiB/s for each operation.
        let message = format!("{throughput} MiB a second take {} operations a second", throughput * 4);
        report.error(path, &message, &format!("write `iops: {}`", throughput * 4));
    }
}

fn key(report: &mut Report<'_>, index: usize, disk: &EksDiskSection) {
    let Some([service, place, _, resource]) = disk.key.as_deref().and_then(arn) else { return };
    let path = steps!["nodePools", index, "eks", "disk", "key"];
    let hint = "write for example `arn:aws:kms:us-west-2:111122223333:key/…`";
    if service != "kms" || !resource.starts_with("key/") {
        report.error(path, "this is no key of KMS", hint);
    } else if region(report).is_some_and(|region| region != place) {
        report.error(path, &format!("the key is in {place}, and the nodes are not"), hint);
    }
}

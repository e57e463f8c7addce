//! What a version of a launch template says, in the words of [`Template`]. Pure.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_ec2::types::{LaunchTemplateHttpTokensState, ResponseLaunchTemplateData};

use super::{SecurityGroupRef, Template, TemplateDisk};
use crate::names::Names;

/// A version, told.
pub(crate) fn template(data: &ResponseLaunchTemplateData, names: &Names) -> Template {
    let mut interfaces = BTreeMap::new();
    let mut groups: BTreeSet<SecurityGroupRef> =
        data.security_group_ids().iter().map(|id| names.security_group(id)).collect();
    for (index, one) in data.network_interfaces().iter().enumerate() {
        let card = number(one.network_card_index).unwrap_or_default();
        let device = number(one.device_index).unwrap_or_default();
        let kind = one.interface_type().unwrap_or("interface");
        // The first is the machine's own; each further card has one beside it. Anything else differs from what is wanted.
        let told = match device == u32::from(index > 0) {
            true => kind.to_owned(),
            false => format!("{kind} at device {device}"),
        };
        interfaces.insert(card, told);
        groups.extend(one.groups().iter().map(|id| names.security_group(id)));
    }
    let block = data.capacity_reservation_specification().and_then(|one| one.capacity_reservation_target.as_ref());
    let metadata = data.metadata_options();
    Template {
        machine: data.instance_type().map(|machine| machine.as_str().to_owned()),
        disk: disk(data),
        interfaces,
        security_groups: groups,
        placement_group: data.placement().and_then(|one| one.group_id()).map(|id| names.placement_group(id)),
        capacity_block: block.and_then(|target| target.capacity_reservation_id.clone()),
        metadata_hops: metadata.and_then(|one| number(one.http_put_response_hop_limit)).unwrap_or(1),
        metadata_sessions: metadata.is_some_and(|one| one.http_tokens == Some(LaunchTemplateHttpTokensState::Required)),
    }
}

fn disk(data: &ResponseLaunchTemplateData) -> TemplateDisk {
    let mapping = data.block_device_mappings().first();
    let ebs = mapping.and_then(|mapping| mapping.ebs());
    TemplateDisk {
        device: mapping.and_then(|mapping| mapping.device_name()).unwrap_or_default().to_owned(),
        gib: ebs.and_then(|ebs| number(ebs.volume_size)).unwrap_or_default(),
        kind: ebs.and_then(|ebs| ebs.volume_type()).map(|kind| kind.as_str().to_owned()).unwrap_or_default(),
        throughput: ebs.and_then(|ebs| number(ebs.throughput)),
        iops: ebs.and_then(|ebs| number(ebs.iops)),
        key: ebs.and_then(|ebs| ebs.kms_key_id()).map(str::to_owned),
    }
}

fn number(value: Option<i32>) -> Option<u32> {
    value.and_then(|value| u32::try_from(value).ok())
}

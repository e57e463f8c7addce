//! Launch templates: what the machines of a node group are made from, beyond what the group itself can say. Wanted and found are told in the
//! same words; what a version holds beside them is somebody else's and left alone.
//!
//! A change is a new version, and the group goes to it; old versions stay, as a group that is being replaced follows one of them.

mod observe;
mod perform;
mod read;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use wbk_provider_api::{EksDisk, EksPool};

use crate::catalog::{ImageSystem, Machine, image_of};

pub(crate) use observe::{Answers, observe};
pub(crate) use perform::{create, current, delete, says, update};

/// The name of the part that is the security group of fabric adapters.
pub const FABRIC: &str = "efa";
/// The strategy of placement groups: in one part of one zone, where the network is fastest.
pub const NEAR: &str = "cluster";

/// How many hops an answer of the metadata service may take: pods are one further than the node. EKS' own templates say so too (EKS user
/// guide, "Customize managed nodes with launch templates").
const HOPS: u32 = 2;

/// What machines are made from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Template {
    /// The machine, where the group may not say it: in a capacity block.
    pub machine: Option<String>,
    /// The disk.
    pub disk: TemplateDisk,
    /// Network interfaces by network card, `efa` or `interface`; none where EC2 gives the usual one.
    pub interfaces: BTreeMap<u32, String>,
    /// Security groups of every interface; none where EKS gives the cluster's.
    pub security_groups: BTreeSet<SecurityGroupRef>,
    /// Name of the placement group's part.
    pub placement_group: Option<String>,
    /// The capacity block that machines are taken from.
    pub capacity_block: Option<String>,
    /// Hops that an answer of the metadata service may take.
    pub metadata_hops: u32,
    /// Whether the metadata service answers only to who asks for a session first.
    pub metadata_sessions: bool,
}

/// The disk of a machine.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct TemplateDisk {
    /// The device that the image keeps images and containers on.
    pub device: String,
    /// Its size.
    pub gib: u32,
    /// `gp3`.
    #[serde(rename = "type")]
    pub kind: String,
    /// MiB a second.
    pub throughput: Option<u32>,
    /// Operations a second.
    pub iops: Option<u32>,
    /// ARN of the KMS key that it is encrypted with.
    pub key: Option<String>,
}

/// A security group: the cluster's, by the name of its part, or by its id where it is somebody else's.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum SecurityGroupRef {
    /// The one that EKS makes for a cluster, which lets nodes and control plane reach each other.
    Cluster,
    /// One of ours.
    Part(String),
    /// `sg-…`.
    Id(String),
}

impl Template {
    /// What a pool's machines are made from; `None` where its node group can say it all.
    ///
    /// With interfaces of its own a machine gets no security group by itself, so that the cluster's is named too (EKS user guide, "Customize
    /// managed nodes with launch templates"). Machines of a capacity block are near each other already (eksctl,
    /// pkg/cfn/builder/managed_launch_template.go).
    pub fn of(name: &str, pool: &EksPool, machine: Option<&Machine>) -> Option<Self> {
        if !pool.needs_template() {
            return None;
        }
        let interfaces = if pool.efa { machine.map(interfaces).unwrap_or_default() } else { BTreeMap::new() };
        let fabric = [SecurityGroupRef::Cluster, SecurityGroupRef::Part(FABRIC.to_owned())];
        Some(Self {
            machine: pool.capacity_block.as_ref().and_then(|_| pool.machines.first().cloned()),
            disk: TemplateDisk::of(&pool.disk, &pool.ami),
            security_groups: if interfaces.is_empty() { BTreeSet::new() } else { fabric.into() },
            placement_group: (pool.efa && pool.capacity_block.is_none()).then(|| name.to_owned()),
            interfaces,
            capacity_block: pool.capacity_block.clone(),
            metadata_hops: HOPS,
            metadata_sessions: true,
        })
    }
}

impl TemplateDisk {
    /// Bottlerocket has its own system on the first disk, and all else on a second (karpenter-provider-aws,
    /// pkg/providers/amifamily/bottlerocket.go).
    fn of(disk: &EksDisk, ami: &str) -> Self {
        let bottlerocket = image_of(ami).is_some_and(|image| image.system == ImageSystem::Bottlerocket);
        Self {
            device: if bottlerocket { "/dev/xvdb" } else { "/dev/xvda" }.to_owned(),
            gib: disk.gib,
            kind: disk.kind.clone().unwrap_or_else(|| "gp3".to_owned()),
            throughput: disk.throughput,
            iops: disk.iops,
            key: disk.key.clone(),
        }
    }
}

/// One fabric adapter on each network card that has one. The first card of the machines in [`crate::catalog::FIRST_CARD_WITHOUT_EFA`] has
/// none, and still carries the machine's address.
fn interfaces(machine: &Machine) -> BTreeMap<u32, String> {
    let first = u32::from(crate::catalog::FIRST_CARD_WITHOUT_EFA.contains(&machine.name.as_str()));
    let plain = (0..first).map(|card| (card, "interface".to_owned()));
    plain.chain((first..first + machine.efa).map(|card| (card, "efa".to_owned()))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::machine;

    fn pool(machine: &str) -> EksPool {
        EksPool {
            machines: vec![machine.to_owned()],
            ami: "AL2023_x86_64_NVIDIA".into(),
            disk: EksDisk::of(200),
            efa: false,
            capacity_block: None,
            zones: BTreeSet::new(),
            max_unavailable: 1,
            repair: false,
            group: None,
            version: None,
            advertised: BTreeMap::new(),
        }
    }

    #[test]
    fn a_pool_that_its_group_can_tell_has_none() {
        assert_eq!(Template::of("a", &pool("p4d.24xlarge"), machine("p4d.24xlarge")), None);
    }

    #[test]
    fn adapters_are_one_on_each_card_that_has_one() {
        let efa = |name: &str| {
            let template = Template::of("a", &EksPool { efa: true, ..pool(name) }, machine(name)).unwrap();
            let count = |kind: &str| template.interfaces.values().filter(|is| *is == kind).count();
            (template.interfaces.keys().copied().max(), count("efa"), count("interface"))
        };
        assert_eq!(efa("g6.8xlarge"), (Some(0), 1, 0));
        assert_eq!(efa("p4d.24xlarge"), (Some(3), 4, 0));
        assert_eq!(efa("p5.48xlarge"), (Some(31), 32, 0));
        assert_eq!(efa("p6-b300.48xlarge"), (Some(16), 16, 1));
    }

    #[test]
    fn a_capacity_block_names_the_machine_and_needs_no_placement_group() {
        let block = EksPool { efa: true, capacity_block: Some("cr-0".into()), ..pool("p5.48xlarge") };
        let template = Template::of("a", &block, machine("p5.48xlarge")).unwrap();
        assert_eq!((template.machine.as_deref(), template.placement_group), (Some("p5.48xlarge"), None));
        let on_demand =
            Template::of("a", &EksPool { efa: true, ..pool("p5.48xlarge") }, machine("p5.48xlarge")).unwrap();
        assert_eq!((on_demand.machine, on_demand.placement_group.as_deref()), (None, Some("a")));
        assert!(on_demand.security_groups.contains(&SecurityGroupRef::Cluster));
    }

    #[test]
    fn the_disk_of_bottlerocket_is_its_second() {
        let disk = EksDisk { throughput: Some(500), ..EksDisk::of(300) };
        let of = |ami: &str| {
            Template::of("a", &EksPool { ami: ami.into(), disk: disk.clone(), ..pool("g6.xlarge") }, None).unwrap().disk
        };
        assert_eq!(of("BOTTLEROCKET_x86_64_NVIDIA").device, "/dev/xvdb");
        assert_eq!(
            (of("AL2023_x86_64_NVIDIA").device.as_str(), of("AL2023_x86_64_NVIDIA").kind.as_str()),
            ("/dev/xvda", "gp3")
        );
    }
}

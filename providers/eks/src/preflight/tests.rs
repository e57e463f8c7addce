//! A platform of three pools in three zones, and what is said of it when one fact is otherwise.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use wbk_provider_api::{
    Capacity, Disruption, EksDisk, EksNetwork, EksPool, EksSpec, Operation, OperationAction, PartId, PoolSize,
    PoolSpec, ProviderTarget, Shape, Wanted, Weight,
};

use super::{Situation, findings};
use crate::facts::{BlockFact, Fact, Facts, GroupNow, QuotaFact, SubnetFact, VersionFact, VersionStatus};

const G_ON_DEMAND: &str = "L-DB2E81BA";
const G_SPOT: &str = "L-3819A6DF";
const P_ON_DEMAND: &str = "L-417A185B";

fn pool(name: &str, size: (u32, u32), capacity: Capacity) -> PoolSpec {
    PoolSpec {
        name: name.into(),
        machine: None,
        shape: Shape { cpu_millis: 0, memory_bytes: 0, pods: 58, gpu: None },
        accelerator: None,
        size: PoolSize { min: size.0, max: size.1 },
        capacity,
        labels: BTreeMap::new(),
        taints: Vec::new(),
    }
}

fn eks_pool(machines: &[&str]) -> EksPool {
    EksPool {
        group: None,
        version: None,
        machines: machines.iter().map(|name| (*name).to_owned()).collect(),
        ami: "AL2023_x86_64_NVIDIA".into(),
        disk: EksDisk::of(100),
        efa: false,
        capacity_block: None,
        zones: BTreeSet::new(),
        max_unavailable: 1,
        repair: false,
        advertised: BTreeMap::new(),
    }
}

/// A block for `h100`, as it is bought, and what else of it is said.
fn block(platform: &mut Platform, change: impl Fn(&mut BlockFact)) -> Vec<(Weight, String)> {
    let mut fact = BlockFact {
        machine: "p5.48xlarge".into(),
        zone: "us-west-2a".into(),
        total: 4,
        state: "scheduled".into(),
        block: true,
        begins: Some("2026-12-01T11:30Z".into()),
        ends: Some("2026-12-02T11:30Z".into()),
    };
    change(&mut fact);
    let eks = platform.wanted.cluster.eks.as_mut().unwrap();
    let pool = eks.pools.get_mut("h100").unwrap();
    pool.capacity_block = Some("cr-1".into());
    pool.zones = BTreeSet::from(["us-west-2a".to_owned()]);
    platform.facts.blocks = Fact::Known(BTreeMap::from([("cr-1".to_owned(), fact)]));
    platform.operations = vec![operation(OperationAction::Create, node_pool("h100"))];
    let situation = Situation {
        wanted: &platform.wanted,
        facts: &platform.facts,
        groups: &platform.groups,
        zones: &["us-west-2a".to_owned(), "us-west-2b".to_owned()],
        operations: &platform.operations,
    };
    let of_pool = findings(&situation).into_iter().filter(|finding| finding.target == node_pool("h100"));
    of_pool.map(|finding| (finding.weight, finding.says)).collect()
}

#[test]
fn a_capacity_block_is_held_to_its_pool() {
    let said = |change: fn(&mut BlockFact)| block(&mut Platform::new(), change);
    let one = |change: fn(&mut BlockFact)| {
        let said = said(change);
        assert!(said.iter().any(|(weight, _)| *weight == Weight::Blocks), "{said:?}");
        said[0].1.clone()
    };
    let begins = said(|_| {});
    assert_eq!(begins.len(), 1, "{begins:?}");
    assert!(begins[0].0 == Weight::Advice && begins[0].1.contains("begins at 2026-12-01T11:30Z"), "{begins:?}");
    assert!(said(|block| block.state = "active".into())[0].1.contains("ends at 2026-12-02T11:30Z"));
    assert!(one(|block| block.zone = "us-west-2b".into()).contains("is in us-west-2b"));
    assert!(one(|block| block.machine = "p4d.24xlarge".into()).contains("has p4d.24xlarge"));
    assert!(one(|block| block.total = 2).contains("has 2 machines, and the pool may have 4"));
    assert!(one(|block| block.block = false).contains("no capacity block"));
    assert!(one(|block| block.state = "expired".into()).contains("ended at 2026-12-02T11:30Z"));
    let mut platform = Platform::new();
    let _set = block(&mut platform, |_| {});
    platform.facts.blocks = Fact::Known(BTreeMap::new());
    let zones = ["us-west-2a".to_owned()];
    let situation = Situation {
        wanted: &platform.wanted,
        facts: &platform.facts,
        groups: &platform.groups,
        zones: &zones,
        operations: &platform.operations,
    };
    assert!(findings(&situation).iter().any(|finding| finding.says.contains("no capacity reservation cr-1")));
}

struct Platform {
    wanted: Wanted,
    facts: Facts,
    groups: Vec<GroupNow>,
    operations: Vec<Operation>,
}

fn operation(action: OperationAction, target: ProviderTarget) -> Operation {
    Operation::new(action, target, "because", 60)
}

fn node_pool(name: &str) -> ProviderTarget {
    ProviderTarget::NodePool(name.into())
}

impl Platform {
    /// Nothing is there, and everything is allowed: 8 x g6.xlarge on demand at most, 4 x p5.48xlarge, 8 x g6.xlarge of spot.
    fn new() -> Self {
        let eks: EksSpec = serde_json::from_value(json!({
            "account": "111122223333",
            "network": {"own": {"cidr": "10.0.0.0/16", "zones": [], "nat": "one"}},
            "endpoint": {"public": true, "private": true, "publicCidrs": []},
            "authentication": "api", "support": "standard", "deletionProtection": false, "oidc": false,
            "addons": {"vpc-cni": {}}, "autoscaler": "cluster-autoscaler", "pools": {},
        }))
        .unwrap();
        let mut eks = eks;
        eks.pools = BTreeMap::from([
            ("l4".to_owned(), eks_pool(&["g6.xlarge"])),
            ("h100".to_owned(), eks_pool(&["p5.48xlarge"])),
            ("spot".to_owned(), eks_pool(&["g6.xlarge", "g6.2xlarge"])),
        ]);
        let pools = [
            pool("l4", (2, 8), Capacity::OnDemand),
            pool("h100", (0, 4), Capacity::OnDemand),
            pool("spot", (0, 8), Capacity::Spot),
        ];
        let wanted: Wanted = serde_json::from_value(json!({
            "blueprint": "research",
            "cluster": {"provider": "eks", "name": "research", "version": "1.34", "region": "us-west-2",
                        "context": null, "kubeconfig": null, "uid": null},
            "pools": {},
        }))
        .unwrap();
        let mut wanted = wanted;
        wanted.cluster.eks = Some(Box::new(eks));
        wanted.pools = pools.into_iter().map(|pool| (pool.name.clone(), pool)).collect();
        let zones = || ["us-west-2a", "us-west-2b", "us-west-2c"].map(str::to_owned);
        let quota = |limit| QuotaFact { limit, used: Some(0) };
        let version = |status, until: &str| VersionFact {
            status,
            standard_until: Some(until.into()),
            extended_until: Some("2027-12-01".into()),
        };
        let facts = Facts {
            account: Fact::Known("111122223333".into()),
            zones: Fact::Known(
                zones().into_iter().map(|zone| (zone.clone(), zone.replace("us-west-2", "usw2-"))).collect(),
            ),
            offered: Fact::Known(
                ["g6.xlarge", "g6.2xlarge", "p5.48xlarge"].map(|name| (name.to_owned(), zones().into())).into(),
            ),
            quotas: Fact::Known(
                [(G_ON_DEMAND, 32), (G_SPOT, 64), (P_ON_DEMAND, 768)]
                    .map(|(code, limit)| (code.to_owned(), quota(limit)))
                    .into(),
            ),
            versions: Fact::Known(BTreeMap::from([
                ("1.31".to_owned(), version(VersionStatus::Ended, "2025-11-01")),
                ("1.33".to_owned(), version(VersionStatus::Extended, "2026-07-01")),
                ("1.34".to_owned(), version(VersionStatus::Standard, "2026-12-01")),
                ("1.35".to_owned(), version(VersionStatus::Standard, "2027-03-01")),
            ])),
            addon_versions: Fact::Known(BTreeMap::from([("vpc-cni".to_owned(), "v1.20.0-eksbuild.1".to_owned())])),
            images: Fact::unknown("not asked"),
            blocks: Fact::Known(BTreeMap::new()),
            subnets: Fact::Known(BTreeMap::new()),
        };
        let mut operations = vec![
            operation(OperationAction::Create, ProviderTarget::Cluster("research".into())),
            operation(OperationAction::Create, ProviderTarget::Part(PartId::new("add-on", "vpc-cni"))),
        ];
        operations.extend(["l4", "h100", "spot"].map(|name| operation(OperationAction::Create, node_pool(name))));
        Self { wanted, facts, groups: Vec::new(), operations }
    }

    fn eks(&mut self) -> &mut EksSpec {
        self.wanted.cluster.eks.as_mut().unwrap()
    }

    fn quota(&mut self, code: &str, limit: u64, used: u64) {
        let Fact::Known(quotas) = &mut self.facts.quotas else { unreachable!() };
        quotas.insert(code.into(), QuotaFact { limit, used: Some(used) });
    }

    fn group(&mut self, pool: &str, machine: &str, desired: u32) {
        let capacity = self.wanted.pools[pool].capacity;
        self.groups.push(GroupNow {
            pool: pool.into(),
            machines: vec![machine.into()],
            capacity,
            block: false,
            desired,
        });
    }

    /// One line for each finding.
    fn lines(&self) -> Vec<String> {
        let zones = ["us-west-2a", "us-west-2b", "us-west-2c"].map(str::to_owned);
        let situation = Situation {
            wanted: &self.wanted,
            facts: &self.facts,
            groups: &self.groups,
            zones: &zones,
            operations: &self.operations,
        };
        findings(&situation)
            .into_iter()
            .map(|finding| {
                let weight = if finding.weight == Weight::Blocks { "blocks" } else { "advice" };
                format!("{weight} {}: {}; {}", finding.target, finding.says, finding.hint)
            })
            .collect()
    }

    fn says(change: impl FnOnce(&mut Self)) -> String {
        let mut platform = Self::new();
        change(&mut platform);
        platform.lines().join("\n")
    }
}

#[test]
fn where_everything_is_allowed_nothing_is_said() {
    assert_eq!(Platform::new().lines(), Vec::<String>::new());
}

#[test]
fn another_account_blocks_everything_and_nothing_else_is_said() {
    let said = Platform::says(|platform| {
        platform.facts.account = Fact::Known("999900001111".into());
        platform.quota(P_ON_DEMAND, 0, 0);
    });
    assert_eq!(
        said,
        "blocks cluster research: the credentials are of account 999900001111, and the blueprint is pinned to 111122223333; \
         use credentials of account 111122223333 (AWS_PROFILE), or change `cluster.eks.account`"
    );
}

#[test]
fn a_quota_of_zero_is_told_of_a_pool_that_begins_empty_with_the_command_that_raises_it() {
    assert_eq!(
        Platform::says(|platform| platform.quota(P_ON_DEMAND, 0, 0)),
        "advice node pool h100: not one node of it fits: one has 192 vCPUs, and the quota is 0 (Running On-Demand P instances, \
         L-417A185B); aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-417A185B \
         --desired-value 768 --region us-west-2"
    );
}

#[test]
fn a_pool_that_must_have_nodes_at_once_is_blocked() {
    let said = Platform::says(|platform| platform.quota(G_ON_DEMAND, 32, 28));
    assert!(
        said.starts_with("blocks node pool l4: it needs 8 vCPUs while it runs, 28 of the quota's 32 are taken"),
        "{said}"
    );
    assert!(said.contains("--desired-value 36"), "{said}");
}

#[test]
fn a_pool_that_fits_now_and_not_at_its_largest_is_advice() {
    let said = Platform::says(|platform| platform.quota(G_ON_DEMAND, 32, 16));
    assert!(
        said.starts_with(
            "advice node pool l4: at their largest, l4 have 32 vCPUs beside the 16 of others, and the quota is 32"
        ),
        "{said}"
    );
}

/// Of several machines of a spot pool any may come: the largest counts.
#[test]
fn the_largest_machine_of_a_spot_pool_counts() {
    assert_eq!(Platform::says(|platform| platform.quota(G_SPOT, 64, 0)), "");
    let said = Platform::says(|platform| platform.quota(G_SPOT, 63, 0));
    assert!(said.starts_with("advice node pool spot: at their largest, spot have 64 vCPUs"), "{said}");
}

#[test]
fn a_replacement_has_both_groups_for_its_time_and_a_rolling_update_twice_its_zones_more() {
    let with = |operation: Operation, limit: u64| {
        Platform::says(|platform| {
            platform.group("l4", "g6.xlarge", 8);
            platform.quota(G_ON_DEMAND, limit, 32);
            platform.operations = vec![operation];
        })
    };
    let replace = || operation(OperationAction::Replace, node_pool("l4"));
    assert_eq!(with(replace(), 64), "");
    let said = with(replace(), 63);
    assert!(said.starts_with("blocks node pool l4: it needs 32 vCPUs while it runs, 32 of the quota's 63"), "{said}");
    let update =
        || Operation { disruption: Disruption::Rolling, ..operation(OperationAction::Update, node_pool("l4")) };
    // Three zones: six nodes of 4 vCPUs.
    assert_eq!(with(update(), 56), "");
    assert!(with(update(), 55).starts_with("blocks node pool l4: it needs 24 vCPUs"));
    // Labels and sizes change in place, and no node is added for them.
    assert_eq!(with(operation(OperationAction::Update, node_pool("l4")), 32), "");
}

#[test]
fn operations_fill_a_quota_in_their_order() {
    let said = Platform::says(|platform| {
        let mut second = platform.wanted.pools["l4"].clone();
        second.name = "l4-more".into();
        platform.wanted.pools.insert("l4-more".into(), second);
        let pool = platform.eks().pools["l4"].clone();
        platform.eks().pools.insert("l4-more".into(), pool);
        platform.operations.push(operation(OperationAction::Create, node_pool("l4-more")));
        platform.quota(G_ON_DEMAND, 12, 0);
    });
    assert!(said.contains("blocks node pool l4-more: it needs 8 vCPUs while it runs, 8 of the quota's 12"), "{said}");
    assert!(!said.contains("blocks node pool l4:"), "{said}");
}

#[test]
fn a_machine_that_the_zones_do_not_have_is_told_with_those_that_have_it() {
    let offered = |zones: &[&str]| {
        let zones: BTreeSet<String> = zones.iter().map(|zone| (*zone).to_owned()).collect();
        Platform::says(|platform| {
            let Fact::Known(offered) = &mut platform.facts.offered else { unreachable!() };
            offered.insert("p5.48xlarge".into(), zones);
        })
    };
    assert!(offered(&[]).starts_with("blocks node pool h100: us-west-2 does not have p5.48xlarge"));
    let said = offered(&["us-west-2d"]);
    assert!(said.starts_with("blocks node pool h100: p5.48xlarge is in us-west-2d, and the pool is in us-west-2a, us-west-2b, us-west-2c; write `cluster.eks.network.zones` with one of us-west-2d"), "{said}");
    assert!(
        offered(&["us-west-2b"])
            .starts_with("advice node pool h100: of the pool's zones, only us-west-2b has p5.48xlarge")
    );
}

#[test]
fn one_of_several_machines_that_is_missing_is_advice() {
    let said = Platform::says(|platform| {
        let Fact::Known(offered) = &mut platform.facts.offered else { unreachable!() };
        offered.remove("g6.2xlarge");
    });
    assert!(said.starts_with("advice node pool spot: us-west-2 does not have g6.2xlarge"), "{said}");
}

#[test]
fn versions_are_told_by_what_they_cost_or_that_there_are_none() {
    let version = |version: &str| Platform::says(|platform| platform.wanted.cluster.version = Some(version.into()));
    assert!(version("1.33").starts_with(
        "advice cluster research: Kubernetes 1.33 is in extended support until 2027-12-01: the cluster costs 0.60"
    ));
    assert!(
        version("1.31")
            .starts_with("blocks cluster research: EKS no longer supports Kubernetes 1.31; write one of 1.34, 1.35")
    );
    assert!(version("1.99").starts_with("blocks cluster research: EKS does not have Kubernetes 1.99"));
    // Of a cluster that is there and stays as it is, it is good to know.
    let said = Platform::says(|platform| {
        platform.wanted.cluster.version = Some("1.31".into());
        platform.operations.clear();
    });
    assert!(said.starts_with("advice cluster research: EKS no longer supports"), "{said}");
}

#[test]
fn an_add_on_and_an_image_that_there_are_not_block_themselves_alone() {
    let said = Platform::says(|platform| platform.facts.addon_versions = Fact::Known(BTreeMap::new()));
    assert!(said.starts_with("blocks add-on vpc-cni: EKS has no add-on vpc-cni for Kubernetes 1.34"), "{said}");
    let said = Platform::says(|platform| platform.facts.images = Fact::Known(BTreeMap::new()));
    assert!(said.contains("blocks node pool l4: there is no image AL2023_x86_64_NVIDIA for Kubernetes 1.34"), "{said}");
}

#[test]
fn zones_and_subnets_are_looked_at_before_anything_is_made() {
    let given = |subnets: &[(&str, &str, u64)]| {
        let facts = subnets
            .iter()
            .map(|(id, zone, free)| ((*id).to_owned(), SubnetFact { zone: (*zone).to_owned(), free: *free }))
            .collect();
        Platform::says(|platform| {
            platform.eks().network = EksNetwork::Given { subnets: ["subnet-1", "subnet-2"].map(str::to_owned).into() };
            platform.facts.subnets = Fact::Known(facts);
        })
    };
    assert_eq!(given(&[("subnet-1", "us-west-2a", 4000), ("subnet-2", "us-west-2b", 4000)]), "");
    assert!(
        given(&[("subnet-1", "us-west-2a", 4000)])
            .starts_with("blocks cluster research: us-west-2 has no subnet subnet-2")
    );
    let one = given(&[("subnet-1", "us-west-2a", 4000), ("subnet-2", "us-west-2a", 4000)]);
    assert!(one.starts_with("blocks cluster research: all subnets are in us-west-2a"), "{one}");
    let full = given(&[("subnet-1", "us-west-2a", 3), ("subnet-2", "us-west-2b", 4000)]);
    assert!(
        full.starts_with("blocks cluster research: subnet-1 has 3 free addresses, and the control plane takes 6"),
        "{full}"
    );
    let few = given(&[("subnet-1", "us-west-2a", 100), ("subnet-2", "us-west-2b", 100)]);
    // 8 and 8 nodes of 58 pods, 4 of 100, and one address for each node.
    assert!(
        few.starts_with(
            "advice cluster research: the subnets have 200 free addresses, and all nodes full of pods would take 1348"
        ),
        "{few}"
    );
    let said = Platform::says(|platform| {
        let Fact::Known(zones) = &mut platform.facts.zones else { unreachable!() };
        zones.insert("us-west-2a".into(), "use1-az3".into());
        zones.remove("us-west-2c");
    });
    assert!(
        said.contains("EKS has no control plane in us-west-2a (use1-az3)") && said.contains("no zone us-west-2c"),
        "{said}"
    );
}

#[test]
fn what_was_not_looked_up_is_said_once_and_blocks_nothing() {
    let said =
        Platform::says(|platform| platform.facts = Facts::unknown("AccessDenied: servicequotas:GetServiceQuota"));
    assert!(said.starts_with("advice cluster research: not looked up, and so not checked: the account,"), "{said}");
    assert_eq!(said.lines().count(), 1);
    let quiet = Platform::says(|platform| {
        platform.facts = Facts::unknown("no credentials");
        platform.operations.clear();
    });
    assert_eq!(quiet, "");
}

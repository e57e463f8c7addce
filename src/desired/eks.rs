//! What an EKS cluster and its node groups are asked for: every default filled. Pure.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{
    EksAccess, EksAddon, EksAutoscaler, EksDisk, EksEndpoint, EksIdentity, EksIdentityWay, EksNat, EksNetwork, EksPool,
    EksSpec, ProviderKind,
};
use wbk_provider_eks::catalog::{self, Machine};
use wbk_provider_eks::marks::{Marks, partition_of};
use wbk_provider_eks::wanted::identity_role;

use super::ecr;
use crate::blueprint::Blueprint;
use crate::blueprint::schema::{EksAddonEntry, EksDiskEntry, EksPoolSection, EksSection, Identity, NodePool};

/// Addresses of a network whose blueprint names none: the largest that a VPC may have.
const CIDR: &str = "10.0.0.0/16";
/// Add-ons that every cluster has: network, DNS, service addresses, and credentials for pods.
const ADDONS: [&str; 4] = ["vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent"];
/// The agent that finds broken nodes; node repair is blind without it.
const NODE_MONITORING: &str = "eks-node-monitoring-agent";
/// GiB of the root disk. Images of GPU workloads are 10 to 20 GiB each, and a node holds several.
const DISK_GIB: u32 = 100;
const GPU_DISK_GIB: u32 = 200;

/// The machine of a pool: the one it names, or the cheapest with its accelerators.
pub(crate) fn machine(pool: &NodePool) -> Option<&'static Machine> {
    match (&pool.machine, &pool.accelerator) {
        (Some(name), _) => catalog::machine(name),
        (None, Some(accelerator)) => catalog::with_accelerator(&accelerator.model, accelerator.count).first().copied(),
        (None, None) => catalog::machine(PLAIN_MACHINE),
    }
}

/// The machine of a pool that says nothing about it: 4 CPU and 16 GiB, as elsewhere.
const PLAIN_MACHINE: &str = "m7i.xlarge";

/// Everything that only EKS has; `None` for other providers.
pub(super) fn spec(blueprint: &Blueprint) -> Option<Box<EksSpec>> {
    if blueprint.cluster.provider != ProviderKind::Eks {
        return None;
    }
    let section = blueprint.cluster.eks.clone().unwrap_or_else(nothing_said);
    let identities = identities(blueprint);
    Some(Box::new(EksSpec {
        account: section.account.clone(),
        given: section.given.clone(),
        network: network(&section),
        endpoint: endpoint(&section),
        authentication: section.authentication,
        access: access(&section),
        logging: section.logging.iter().map(|log| log.as_str().to_owned()).collect(),
        encryption_key: section.encryption_key.clone(),
        support: section.support,
        deletion_protection: section.deletion_protection,
        addons: addons(blueprint, &section),
        autoscaler: section.autoscaler.unwrap_or_else(|| usual_scaler(blueprint)),
        cluster_role: section.cluster_role.clone(),
        node_role: section.node_role.clone(),
        oidc: identities.iter().any(|identity| identity.via == EksIdentityWay::Irsa),
        tags: section.tags.clone(),
        pools: blueprint.node_pools.iter().map(|pool| (pool.name.clone(), self::pool(blueprint, pool))).collect(),
        identities,
    }))
}

fn nothing_said() -> EksSection {
    serde_json::from_value(serde_json::json!({})).expect("every key of the section may be absent")
}

fn network(section: &EksSection) -> EksNetwork {
    let network = section.network.clone().unwrap_or_default();
    if network.subnets.is_empty() {
        EksNetwork::Own {
            cidr: network.cidr.unwrap_or_else(|| CIDR.to_owned()),
            zones: network.zones,
            nat: network.nat.unwrap_or(EksNat::One),
        }
    } else {
        EksNetwork::Given { subnets: network.subnets.into_iter().collect() }
    }
}

fn endpoint(section: &EksSection) -> EksEndpoint {
    let endpoint = section.endpoint.clone().unwrap_or_default();
    let from = match (endpoint.public, endpoint.public_cidrs.is_empty()) {
        (true, true) => BTreeSet::from(["0.0.0.0/0".to_owned()]),
        (true, false) => endpoint.public_cidrs.into_iter().collect(),
        (false, _) => BTreeSet::new(),
    };
    EksEndpoint { public: endpoint.public, private: endpoint.private, public_cidrs: from }
}

fn access(section: &EksSection) -> Vec<EksAccess> {
    let mut access: Vec<EksAccess> = section
        .access
        .iter()
        .map(|entry| EksAccess {
            principal: entry.principal.clone(),
            policy: entry.policy.clone(),
            namespaces: entry.namespaces.iter().cloned().collect(),
            groups: entry.groups.iter().cloned().collect(),
        })
        .collect();
    access.sort_by(|one, other| one.principal.cmp(&other.principal));
    access
}

fn addons(blueprint: &Blueprint, section: &EksSection) -> BTreeMap<String, EksAddon> {
    // A given cluster has what it has, and what the blueprint names; Auto Mode's nodes have all of these in them (EKS user guide, "EKS
    // Auto Mode", add-ons).
    let none = section.given.is_some() || super::auto_mode::is_on(blueprint);
    let always: &[&str] = if none { &[] } else { &ADDONS };
    let mut addons: BTreeMap<String, EksAddon> =
        always.iter().map(|name| ((*name).to_owned(), EksAddon::default())).collect();
    let repairs = blueprint.node_pools.iter().any(|pool| pool.eks.as_ref().is_some_and(|eks| eks.repair));
    if repairs && !none {
        addons.insert(NODE_MONITORING.to_owned(), EksAddon::default());
    }
    for entry in &section.addons {
        match entry {
            EksAddonEntry::Name(name) => {
                addons.entry(name.clone()).or_default();
            }
            EksAddonEntry::Full(full) => {
                let configuration = full.configuration.clone().map(|free| free.into_iter().collect());
                let addon = EksAddon {
                    version: full.version.clone(),
                    configuration: configuration.map(serde_json::Value::Object),
                };
                addons.insert(full.name.clone(), addon);
            }
        }
    }
    addons
}

/// Who scales the pools; `None` where there is no EKS.
pub(crate) fn scaler(blueprint: &Blueprint) -> Option<EksAutoscaler> {
    let cluster = &blueprint.cluster;
    let said = || cluster.eks.as_ref().and_then(|section| section.autoscaler);
    (cluster.provider == ProviderKind::Eks).then(|| said().unwrap_or_else(|| usual_scaler(blueprint)))
}

/// Whoever gives a pool room wants it used. In a given cluster whoever adds nodes now goes on with it.
fn usual_scaler(blueprint: &Blueprint) -> EksAutoscaler {
    let given = blueprint.cluster.eks.as_ref().is_some_and(|section| section.given.is_some());
    let has_room =
        blueprint.node_pools.iter().any(|pool| pool.size.max.unwrap_or(pool.size.min.max(1)) > pool.size.min);
    if has_room && !given { EksAutoscaler::ClusterAutoscaler } else { EksAutoscaler::None }
}

fn pool(blueprint: &Blueprint, pool: &NodePool) -> EksPool {
    let section = pool.eks.clone().unwrap_or_else(|| EksPoolSection { max_unavailable: 1, ..Default::default() });
    let machine = machine(pool);
    let named = pool.machine.clone().or_else(|| machine.map(|machine| machine.name.clone()));
    let gib = match section.disk.as_ref().and_then(EksDiskEntry::size) {
        Some(bytes) => u32::try_from(bytes.0.div_ceil(1 << 30)).unwrap_or(u32::MAX),
        None if pool.accelerator.is_some() => GPU_DISK_GIB,
        None => DISK_GIB,
    };
    let more = section.disk.as_ref().and_then(|disk| disk.full().cloned()).unwrap_or_default();
    let disk = EksDisk {
        gib,
        kind: more.kind.map(|kind| kind.as_str().to_owned()),
        throughput: more.throughput,
        iops: more.iops,
        key: more.key,
    };
    EksPool {
        group: section.group,
        version: section.version,
        machines: named.into_iter().chain(section.also).collect(),
        ami: section.ami.unwrap_or_else(|| machine.map_or("AL2023_x86_64_STANDARD", catalog::ami).to_owned()),
        disk,
        efa: section.efa,
        capacity_block: section.capacity_block,
        zones: section.zones.into_iter().collect(),
        max_unavailable: section.max_unavailable,
        repair: section.repair,
        advertised: super::gpu::offered_by(blueprint, pool),
    }
}

/// The annotation by which pods of a service account are its role, where they get their credentials through the cluster's OIDC issuer:
/// the key and the role's ARN, which is known before the role is there.
pub(super) fn role_annotation(blueprint: &Blueprint, namespace: &str, identity: &Identity) -> Option<(String, String)> {
    let irsa = identity.grants.eks.as_ref().is_some_and(|grants| grants.via == EksIdentityWay::Irsa);
    let cluster = super::pools::cluster_name(blueprint);
    let account = blueprint.cluster.eks.as_ref()?.account.as_ref().filter(|_| irsa)?;
    let marks = Marks {
        blueprint: blueprint.metadata.name.clone(),
        cluster,
        region: blueprint.cluster.region.clone()?,
        tags: BTreeMap::new(),
    };
    let role = marks.role_name(&identity_role(namespace, &identity.service_account));
    Some((
        "eks.amazonaws.com/role-arn".into(),
        format!("arn:{}:iam::{account}:role{}{role}", marks.partition(), marks.iam_path()),
    ))
}

fn identities(blueprint: &Blueprint) -> Vec<EksIdentity> {
    let partition = partition_of(blueprint.cluster.region.as_deref().unwrap_or_default());
    let mut identities: Vec<EksIdentity> = blueprint
        .namespaces
        .iter()
        .flat_map(|namespace| {
            namespace.identities.iter().filter_map(|identity| {
                let grants = identity.grants.eks.as_ref()?;
                let mut inline = grants.inline.clone();
                let region = blueprint.cluster.region.as_deref().unwrap_or_default();
                let account = blueprint.cluster.eks.as_ref().and_then(|eks| eks.account.as_deref());
                if let Some(policy) = ecr::policy(&grants.ecr, partition, region, account) {
                    inline.insert(ecr::POLICY.to_owned(), policy);
                }
                Some(EksIdentity {
                    namespace: namespace.name.clone(),
                    service_account: identity.service_account.clone(),
                    via: grants.via,
                    policies: grants.policies.iter().cloned().collect(),
                    inline,
                })
            })
        })
        .collect();
    let same = |one: &EksIdentity, other: &EksIdentity| {
        (&one.namespace, &one.service_account) == (&other.namespace, &other.service_account)
    };
    for builder in ecr::builders(blueprint, partition) {
        // What somebody wrote for it is what it gets.
        if !identities.iter().any(|own| same(own, &builder)) {
            identities.push(builder);
        }
    }
    identities.extend(super::autoscaler::identity(blueprint, &identities));
    identities
        .sort_by(|one, other| (&one.namespace, &one.service_account).cmp(&(&other.namespace, &other.service_account)));
    identities
}

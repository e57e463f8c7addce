//! What a blueprint asks of AWS, thing by thing, with what each needs to be there first. Pure.

mod scaling;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use wbk_provider_api::{
    Capacity, EksAuthentication, EksAutoscaler, EksIdentity, EksIdentityWay, EksNat, EksNetwork, EksPool, EksSpec,
    PartId, PoolSpec, ProviderTarget, TaintEffect, Wanted,
};

use crate::catalog;
use crate::iam::{canonical, policy_arn};
use crate::inside::access::NODES;
use crate::layout::layout;
use crate::marks::{Marks, POOL};
use crate::part::{Part, Role, Tier, Trust, Way, sort};
use crate::shape::{ClusterShape, GroupShape, RoleRef, SubnetRef, TemplateRef};
use crate::template::{FABRIC, NEAR, SecurityGroupRef, Template};
use crate::world::World;
use scaling::scaling_tags;
pub use scaling::{SCALED, scaled_cluster};

/// Names of parts that there is one of.
pub const CLUSTER_ROLE: &str = "cluster";
/// See [`CLUSTER_ROLE`].
pub const NODE_ROLE: &str = "node";
/// See [`CLUSTER_ROLE`].
pub const NETWORK: &str = "network";

/// Add-ons that nodes cannot do without: they are there before the first node group. The others need nodes to run on.
const BEFORE_NODES: [&str; 3] = ["vpc-cni", "kube-proxy", "eks-pod-identity-agent"];

/// What Auto Mode does for a cluster (EKS user guide, "Amazon EKS Auto Mode cluster IAM role").
const AUTO_MODE_POLICIES: [&str; 5] = [
    "AmazonEKSClusterPolicy",
    "AmazonEKSComputePolicy",
    "AmazonEKSBlockStoragePolicy",
    "AmazonEKSLoadBalancingPolicy",
    "AmazonEKSNetworkingPolicy",
];

/// Service accounts of add-ons that call AWS, with the policy that AWS keeps for each (EKS user guide, "Amazon EKS add-ons").
pub const ADDON_IDENTITIES: [(&str, &str, &str); 3] = [
    ("aws-ebs-csi-driver", "ebs-csi-controller-sa", "service-role/AmazonEBSCSIDriverPolicy"),
    ("aws-efs-csi-driver", "efs-csi-controller-sa", "service-role/AmazonEFSCSIDriverPolicy"),
    ("aws-mountpoint-s3-csi-driver", "s3-csi-driver-sa", "AmazonS3ReadOnlyAccess"),
];

/// Everything that is asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Platform {
    /// The parts.
    pub parts: BTreeMap<PartId, WantedPart>,
    /// The cluster.
    pub cluster: ClusterShape,
    /// Its tags.
    pub cluster_tags: BTreeMap<String, String>,
    /// What the cluster needs first.
    pub cluster_needs: BTreeSet<ProviderTarget>,
    /// Node groups, by pool.
    pub groups: BTreeMap<String, WantedGroup>,
    /// What could not be worked out, in words: nothing is made while there is any.
    pub gaps: Vec<String>,
}

/// One part.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedPart {
    /// What it is.
    pub part: Part,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What must be there first.
    pub needs: BTreeSet<ProviderTarget>,
}

/// One node group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedGroup {
    /// What it is.
    pub shape: GroupShape,
    /// Its tags.
    pub tags: BTreeMap<String, String>,
    /// What the autoscaler reads on the Auto Scaling group behind it.
    pub scaling_tags: BTreeMap<String, String>,
    /// What must be there first.
    pub needs: BTreeSet<ProviderTarget>,
    /// Why it has no nodes yet, or none any more, though the blueprint asks for some.
    pub waits: Option<String>,
    /// Where else such nodes may be had: what to write.
    pub elsewhere: String,
}

/// Works it out. `world` decides what the region and what exists decide: zones, addresses, default versions.
///
/// # Panics
/// `wanted` is not of EKS.
pub fn platform(wanted: &Wanted, world: &World) -> Platform {
    let spec = wanted.cluster.eks.as_deref().expect("a blueprint of EKS has what only EKS has");
    let mut draft = Draft { wanted, spec, world, marks: Marks::of(wanted), parts: BTreeMap::new(), gaps: Vec::new() };
    let network = draft.network();
    draft.roles();
    draft.access();
    draft.addons();
    draft.identities();
    let cluster = draft.cluster(&network);
    let mut cluster_needs = draft.of_sort(&[sort::SUBNET]);
    cluster_needs.extend(draft.there(sort::ROLE, CLUSTER_ROLE));
    // Auto Mode's pools are objects in the cluster.
    let grouped = || wanted.pools.values().filter(|_| spec.autoscaler != EksAutoscaler::AutoMode);
    if grouped().next().is_some() {
        draft.templates();
    }
    let groups = grouped().map(|pool| (pool.name.clone(), draft.group(pool, &network))).collect();
    let cluster_tags = if draft.is_given() { BTreeMap::new() } else { draft.marks.tags("cluster", &[]) };
    let Draft { parts, gaps, .. } = draft;
    Platform { parts, cluster, cluster_tags, cluster_needs, groups, gaps }
}

struct Draft<'a> {
    wanted: &'a Wanted,
    spec: &'a EksSpec,
    world: &'a World,
    marks: Marks,
    parts: BTreeMap<PartId, WantedPart>,
    gaps: Vec<String>,
}

/// The subnets of a platform.
struct Network {
    /// All of them, with their zones where they are ours.
    all: BTreeSet<SubnetRef>,
    /// Those for nodes, by zone; under "" where they are somebody else's.
    nodes: BTreeMap<String, BTreeSet<SubnetRef>>,
}

impl Draft<'_> {
    fn add(&mut self, name: &str, part: Part, extra: &[(&str, &str)], needs: impl IntoIterator<Item = ProviderTarget>) {
        let tags = match &part {
            // What has no name of its own to be tagged with in AWS.
            Part::AccessEntry { .. }
            | Part::NodeAccess { .. }
            | Part::PodIdentity { .. }
            | Part::Addon { .. }
            | Part::OidcProvider {}
            | Part::LoadBalancer { .. }
            | Part::Volume { .. }
            | Part::Role(_) => {
                let mut tags = self.marks.tags(name, extra);
                tags.remove("Name");
                tags
            }
            Part::Vpc { .. }
            | Part::InternetGateway { .. }
            | Part::Subnet { .. }
            | Part::ElasticIp {}
            | Part::NatGateway { .. }
            | Part::RouteTable { .. }
            | Part::SecurityGroup { .. }
            | Part::PlacementGroup { .. }
            | Part::LaunchTemplate(_) => self.marks.tags(name, extra),
        };
        self.parts.insert(part.id(name), WantedPart { part, tags, needs: needs.into_iter().collect() });
    }

    /// Whether the cluster is somebody else's, and the blueprint names it.
    fn is_given(&self) -> bool {
        self.spec.given.is_some()
    }

    fn cluster_target(&self) -> ProviderTarget {
        ProviderTarget::Cluster(self.wanted.cluster.name.clone())
    }

    fn there(&self, sort: &str, name: &str) -> Option<ProviderTarget> {
        let id = PartId::new(sort, name);
        self.parts.contains_key(&id).then_some(ProviderTarget::Part(id))
    }

    fn of_sort(&self, sorts: &[&str]) -> BTreeSet<ProviderTarget> {
        self.parts.keys().filter(|id| sorts.contains(&id.sort.as_str())).cloned().map(ProviderTarget::Part).collect()
    }

    fn network(&mut self) -> Network {
        let (cidr, zones, nat) = match &self.spec.network {
            EksNetwork::Given { subnets } => {
                let all: BTreeSet<SubnetRef> = subnets.iter().cloned().map(SubnetRef::Id).collect();
                return Network { nodes: BTreeMap::from([(String::new(), all.clone())]), all };
            }
            EksNetwork::Own { cidr, zones, nat } => (cidr.clone(), self.zones(zones), *nat),
        };
        let part = |sort: &str, name: &str| ProviderTarget::Part(PartId::new(sort, name));
        let vpc = part(sort::VPC, NETWORK);
        self.add(NETWORK, Part::Vpc { cidr: cidr.clone(), dns_names: true }, &[], []);
        self.add(NETWORK, Part::InternetGateway { attached: true }, &[], [vpc.clone()]);
        let tiers: &[Tier] = if nat == EksNat::None { &[Tier::Public] } else { &[Tier::Private, Tier::Public] };
        let laid = layout(&cidr, &zones, tiers, &self.existing_subnets());
        if laid.len() < zones.len() * tiers.len() {
            self.gaps.push(format!("{cidr} has no room for subnets in {} zones", zones.len()));
        }
        let shared = format!("kubernetes.io/cluster/{}", self.wanted.cluster.name);
        for ((tier, zone), cidr) in &laid {
            let role = match tier {
                Tier::Public => "kubernetes.io/role/elb",
                Tier::Private => "kubernetes.io/role/internal-elb",
            };
            let subnet = Part::Subnet { zone: zone.clone(), cidr: cidr.clone(), tier: *tier };
            self.add(&subnet_name(*tier, zone), subnet, &[(role, "1"), (&shared, "shared")], [vpc.clone()]);
        }
        self.routes(nat, &zones);
        let of = |tier: Tier| -> BTreeMap<String, BTreeSet<SubnetRef>> {
            let own = |zone: &String| BTreeSet::from([SubnetRef::Part(subnet_name(tier, zone))]);
            zones.iter().map(|zone| (zone.clone(), own(zone))).collect()
        };
        let all = tiers.iter().flat_map(|tier| of(*tier).into_values().flatten()).collect();
        Network { all, nodes: of(tiers[0]) }
    }

    fn routes(&mut self, nat: EksNat, zones: &[String]) {
        let part = |sort: &str, name: &str| ProviderTarget::Part(PartId::new(sort, name));
        let names = |tier: Tier, zones: &[String]| -> BTreeSet<String> {
            zones.iter().map(|zone| subnet_name(tier, zone)).collect()
        };
        let subnets = |names: &BTreeSet<String>| -> Vec<ProviderTarget> {
            names.iter().map(|name| part(sort::SUBNET, name)).collect()
        };
        let public = names(Tier::Public, zones);
        let needs = subnets(&public).into_iter().chain([part(sort::INTERNET_GATEWAY, NETWORK)]);
        self.add("public", Part::RouteTable { out: Way::Internet, subnets: public }, &[], needs);
        let gateways: Vec<(String, Vec<String>)> = match nat {
            EksNat::None => Vec::new(),
            EksNat::One => {
                // The one that is there stays where it is.
                let there =
                    |zone: &&String| self.world.parts.contains_key(&PartId::new(sort::NAT_GATEWAY, (*zone).clone()));
                zones
                    .iter()
                    .find(there)
                    .or(zones.first())
                    .map(|zone| (zone.clone(), zones.to_vec()))
                    .into_iter()
                    .collect()
            }
            EksNat::PerZone => zones.iter().map(|zone| (zone.clone(), vec![zone.clone()])).collect(),
        };
        for (zone, served) in gateways {
            let subnet = subnet_name(Tier::Public, &zone);
            self.add(&zone, Part::ElasticIp {}, &[], [part(sort::INTERNET_GATEWAY, NETWORK)]);
            let needs = [part(sort::ELASTIC_IP, &zone), part(sort::SUBNET, &subnet), part(sort::ROUTE_TABLE, "public")];
            self.add(&zone, Part::NatGateway { subnet, address: zone.clone() }, &[], needs);
            let served = names(Tier::Private, &served);
            let needs = subnets(&served).into_iter().chain([part(sort::NAT_GATEWAY, &zone)]);
            let name = if nat == EksNat::One { "private".to_owned() } else { format!("private-{zone}") };
            self.add(&name, Part::RouteTable { out: Way::Nat(zone.clone()), subnets: served }, &[], needs);
        }
    }

    /// Those that the blueprint names; else those that the network has already; else the first that the region offers.
    fn zones(&mut self, named: &[String]) -> Vec<String> {
        let there: BTreeSet<String> = self.existing_subnets().into_keys().map(|(_, zone)| zone).collect();
        let zones: Vec<String> = match (named.is_empty(), there.is_empty()) {
            (false, _) => named.iter().cloned().collect::<BTreeSet<String>>().into_iter().collect(),
            (true, false) => there.into_iter().collect(),
            (true, true) => self.world.zones().into_iter().take(EksNetwork::ZONES).collect(),
        };
        if zones.is_empty() {
            self.gaps.push("the zones of the region could not be seen".into());
        }
        zones
    }

    fn existing_subnets(&self) -> BTreeMap<(Tier, String), String> {
        // Which tier it is of, its name says: whether its machines get public addresses is changed after it was made, and by others.
        let named = |name: &str, zone: &str| {
            [Tier::Public, Tier::Private].into_iter().find(|tier| subnet_name(*tier, zone) == name)
        };
        let subnet = |id: &PartId, part: &Part| match part {
            Part::Subnet { zone, cidr, tier } => {
                Some(((named(&id.name, zone).unwrap_or(*tier), zone.clone()), cidr.clone()))
            }
            _ => None,
        };
        self.world.parts.iter().filter_map(|(id, found)| subnet(id, &found.part)).collect()
    }

    fn role(&mut self, name: &str, trust: Trust, policies: &[&str], inline: &BTreeMap<String, Value>) {
        let managed = policies.iter().map(|policy| policy_arn(self.marks.partition(), policy)).collect();
        let inline = inline.iter().map(|(name, policy)| (name.clone(), canonical(policy))).collect();
        let needs = match trust {
            Trust::ServiceAccount { .. } => {
                Some(ProviderTarget::Part(PartId::new(sort::OIDC_PROVIDER, self.wanted.cluster.name.clone())))
            }
            Trust::ControlPlane | Trust::AutoMode | Trust::Nodes | Trust::Pods | Trust::Other(_) => None,
        };
        self.add(name, Part::Role(Role { trust, managed, inline }), &[], needs);
    }

    fn roles(&mut self) {
        let none = BTreeMap::new();
        let auto = self.auto_mode();
        if self.spec.cluster_role.is_none() && !self.is_given() {
            let (trust, policies): (Trust, &[&str]) = match auto {
                false => (Trust::ControlPlane, &["AmazonEKSClusterPolicy"]),
                true => (Trust::AutoMode, &AUTO_MODE_POLICIES),
            };
            self.role(CLUSTER_ROLE, trust, policies, &none);
        }
        // Node groups that are there have their role.
        let needed = !self.is_given() || self.spec.pools.values().any(|pool| pool.group.is_none());
        if self.spec.node_role.is_none() && needed {
            // What a node does itself: join, give pods addresses, pull images (EKS user guide, "Amazon EKS node IAM role").
            let policies: &[&str] = match auto {
                false => &["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"],
                // Addresses are Auto Mode's own affair (EKS user guide, "Amazon EKS Auto Mode node IAM role").
                true => &["AmazonEKSWorkerNodeMinimalPolicy", "AmazonEC2ContainerRegistryPullOnly"],
            };
            self.role(NODE_ROLE, Trust::Nodes, policies, &none);
        }
        if self.spec.oidc {
            let cluster = self.cluster_target();
            self.add(&self.wanted.cluster.name.clone(), Part::OidcProvider {}, &[], [cluster]);
        }
    }

    fn auto_mode(&self) -> bool {
        self.spec.autoscaler == EksAutoscaler::AutoMode
    }

    fn access(&mut self) {
        if self.auto_mode() {
            let role = role_ref(self.spec.node_role.as_ref(), NODE_ROLE);
            let needs = [self.cluster_target()].into_iter().chain(self.there(sort::ROLE, NODE_ROLE));
            let needs: Vec<ProviderTarget> = needs.collect();
            self.add(NODES, Part::NodeAccess { role }, &[], needs);
        }
        for entry in &self.spec.access {
            let policies = entry.policy.iter().map(|policy| (policy.clone(), entry.namespaces.clone())).collect();
            let part = Part::AccessEntry { principal: entry.principal.clone(), groups: entry.groups.clone(), policies };
            let cluster = self.cluster_target();
            self.add(&entry.principal, part, &[], [cluster]);
        }
    }

    fn addons(&mut self) {
        // An add-on with pods of its own is well when they run, which takes a node that lets everybody in.
        let hosts: Vec<ProviderTarget> = self
            .wanted
            .pools
            .values()
            .filter(|pool| {
                pool.size.min > 0 && pool.taints.iter().all(|taint| taint.effect == TaintEffect::PreferNoSchedule)
            })
            .map(|pool| ProviderTarget::NodePool(pool.name.clone()))
            .collect();
        for (name, addon) in &self.spec.addons {
            let version = addon
                .version
                .clone()
                .or_else(|| addon_that_stays(self.wanted, self.world, name))
                .or_else(|| self.world.addon_version(name));
            let Some(version) = version else {
                self.gaps.push(format!("the versions of add-on {name} could not be seen"));
                continue;
            };
            let part = Part::Addon { version, configuration: addon.configuration.clone() };
            let hosts = if BEFORE_NODES.contains(&name.as_str()) { Vec::new() } else { hosts.clone() };
            let needs = hosts.into_iter().chain([self.cluster_target()]);
            self.add(name, part, &[], needs);
        }
    }

    fn identities(&mut self) {
        for identity in &self.spec.identities {
            let EksIdentity { namespace, service_account, via, policies, inline } = identity;
            let policies: Vec<&str> = policies.iter().map(String::as_str).collect();
            match via {
                EksIdentityWay::PodIdentity => self.pod_identity(namespace, service_account, &policies, inline),
                EksIdentityWay::Irsa => {
                    let trust = Trust::ServiceAccount { namespace: namespace.clone(), name: service_account.clone() };
                    self.role(&identity_role(namespace, service_account), trust, &policies, inline);
                }
            }
        }
        for (addon, account, policy) in ADDON_IDENTITIES {
            let told = self.spec.identities.iter().any(|identity| identity.service_account == account);
            // One that is there on a given cluster has its rights already, in whichever way.
            let there = self.is_given()
                && self
                    .world
                    .parts
                    .get(&PartId::new(sort::ADDON, addon))
                    .is_some_and(|there| !self.marks.are_on(&there.tags));
            if self.spec.addons.contains_key(addon) && !told && !there {
                self.pod_identity("kube-system", account, &[policy], &BTreeMap::new());
            }
        }
    }

    fn pod_identity(&mut self, namespace: &str, account: &str, policies: &[&str], inline: &BTreeMap<String, Value>) {
        let role = identity_role(namespace, account);
        self.role(&role, Trust::Pods, policies, inline);
        let needs = [self.cluster_target(), ProviderTarget::Part(PartId::new(sort::ROLE, role.clone()))];
        let part = Part::PodIdentity { namespace: namespace.into(), service_account: account.into(), role };
        self.add(&format!("{namespace}/{account}"), part, &[], needs);
    }

    fn cluster(&mut self, network: &Network) -> ClusterShape {
        let spec = self.spec;
        ClusterShape {
            version: self.version(),
            role: match (&spec.cluster_role, self.world.cluster.present()) {
                // A cluster has one role for its life: whose it is has said which.
                (None, Some(there)) if self.is_given() => there.shape.role.clone(),
                (role, _) => role_ref(role.as_ref(), CLUSTER_ROLE),
            },
            subnets: network.all.clone(),
            endpoint: spec.endpoint.clone(),
            authentication: match spec.authentication {
                EksAuthentication::Api => "API",
                EksAuthentication::ApiAndConfigMap => "API_AND_CONFIG_MAP",
                EksAuthentication::ConfigMap => "CONFIG_MAP",
            }
            .to_owned(),
            logging: spec.logging.clone(),
            encryption_key: spec.encryption_key.clone(),
            support: spec.support,
            deletion_protection: spec.deletion_protection,
            auto_mode: match self.world.cluster.present() {
                // Whose it is has said that as well.
                Some(there) if self.is_given() => there.shape.auto_mode,
                _ => self.auto_mode(),
            },
        }
    }

    /// The blueprint's version; without one, the version that the cluster has, so that nothing upgrades by itself.
    fn version(&mut self) -> String {
        let there = self.world.cluster.present().map(|cluster| cluster.shape.version.clone());
        match self.wanted.cluster.version.clone().or(there) {
            Some(version) => version,
            None => {
                self.gaps.push("the blueprint names no Kubernetes version".into());
                String::new()
            }
        }
    }

    /// What the machines of pools are made from, where their groups cannot say it; with what fabric adapters need beside it.
    fn templates(&mut self) {
        let fabric = ProviderTarget::Part(PartId::new(sort::SECURITY_GROUP, FABRIC));
        for pool in self.wanted.pools.values() {
            let eks = &self.spec.pools[&pool.name];
            let first = eks.machines.first().and_then(|name| catalog::machine(name));
            let Some(template) = Template::of(&pool.name, eks, first) else { continue };
            let mut needs = Vec::new();
            if template.security_groups.contains(&SecurityGroupRef::Part(FABRIC.to_owned())) {
                // In the cluster's network, and beside the cluster's own.
                self.add(FABRIC, Part::SecurityGroup { itself: true }, &[], [self.cluster_target()]);
                needs = vec![self.cluster_target(), fabric.clone()];
            }
            if let Some(near) = &template.placement_group {
                self.add(near, Part::PlacementGroup { strategy: NEAR.to_owned() }, &[], [fabric.clone()]);
                needs.push(ProviderTarget::Part(PartId::new(sort::PLACEMENT_GROUP, near)));
            }
            self.add(&pool.name, Part::LaunchTemplate(template), &[(POOL, &pool.name)], needs);
        }
    }

    /// What the template of a pool says, where it has one.
    fn template(&self, pool: &str) -> Option<Template> {
        match &self.parts.get(&PartId::new(sort::LAUNCH_TEMPLATE, pool))?.part {
            Part::LaunchTemplate(template) => Some(template.clone()),
            _ => None,
        }
    }

    fn group(&mut self, pool: &PoolSpec, network: &Network) -> WantedGroup {
        let eks = &self.spec.pools[&pool.name];
        let in_zone = |zone: &String| eks.zones.is_empty() || zone.is_empty() || eks.zones.contains(zone);
        let mut subnets: BTreeSet<SubnetRef> =
            network.nodes.iter().filter(|(zone, _)| in_zone(zone)).flat_map(|(_, refs)| refs.clone()).collect();
        if !eks.zones.is_empty()
            && let Some(given) = self.world.facts.subnets.known()
        {
            // Of somebody else's subnets, those whose zone is known to be another are left out.
            subnets.retain(|subnet| match subnet {
                SubnetRef::Id(id) => given.get(id).is_none_or(|fact| eks.zones.contains(&fact.zone)),
                SubnetRef::Part(_) => true,
            });
        }
        if subnets.is_empty() {
            self.gaps.push(format!("node pool {} has no subnet in the zones that it may be in", pool.name));
        }
        let template = self.template(&pool.name);
        let (min, waits) = self.least(pool, eks);
        let elsewhere = elsewhere(eks, pool.capacity, network.nodes.keys(), self.world);
        let shape = GroupShape {
            version: match &eks.version {
                Some(version) => version.clone(),
                None => self.version(),
            },
            machines: eks.machines.iter().cloned().collect(),
            ami: eks.ami.clone(),
            capacity: pool.capacity,
            disk_gib: template.is_none().then_some(eks.disk.gib),
            capacity_block: eks.capacity_block.clone(),
            launch_template: template.as_ref().map(|_| TemplateRef::Part(pool.name.clone())),
            template,
            subnets,
            role: role_ref(self.spec.node_role.as_ref(), NODE_ROLE),
            min,
            max: pool.size.max.max(1),
            labels: pool.labels.clone(),
            taints: pool.taints.iter().cloned().collect(),
            max_unavailable: eks.max_unavailable,
            repair: eks.repair,
        };
        let mut needs: BTreeSet<ProviderTarget> = self.of_sort(&[sort::ROUTE_TABLE]);
        needs.insert(self.cluster_target());
        needs.extend(self.there(sort::ROLE, NODE_ROLE));
        needs.extend(self.there(sort::LAUNCH_TEMPLATE, &pool.name));
        needs.extend(BEFORE_NODES.iter().filter_map(|name| self.there(sort::ADDON, name)));
        let name = format!("pool-{}", pool.name);
        if let Some(group) = &eks.group {
            let there = self.world.groups.get(group).and_then(wbk_provider_api::Seen::present);
            let shape = there.map_or(shape.clone(), |there| shape.of_given(&there.shape));
            let (tags, scaling_tags) = (BTreeMap::new(), BTreeMap::new());
            return WantedGroup { shape, tags, scaling_tags, needs, waits: None, elsewhere };
        }
        WantedGroup {
            shape,
            tags: self.marks.tags(&name, &[(POOL, &pool.name)]),
            scaling_tags: scaling_tags(self.spec, pool, &self.wanted.cluster.name),
            needs,
            waits,
            elsewhere,
        }
    }

    /// The fewest nodes of a pool, and why they are fewer than the blueprint says: EC2 starts none of a capacity block before it begins
    /// and after it ends, and an Auto Scaling group that should have some fails until then (EKS user guide, "Create a managed node group with
    /// Capacity Blocks for ML").
    fn least(&self, pool: &PoolSpec, eks: &EksPool) -> (u32, Option<String>) {
        let Some(id) = &eks.capacity_block else { return (pool.size.min, None) };
        let block = self.world.facts.blocks.known().and_then(|blocks| blocks.get(id));
        match block {
            Some(block) if block.state == "active" => (pool.size.min, None),
            Some(block) => (0, Some(format!("it has no nodes while {}", block.words(id)))),
            // Not seen: what is there stays.
            None => {
                let there = self.world.groups_of(&pool.name).map(|(_, group)| group.shape.min).max();
                (there.unwrap_or_default().min(pool.size.min), Some(format!("capacity block {id} could not be seen")))
            }
        }
    }
}

/// Where else nodes of a pool may be had, in the blueprint's words: another zone, another machine, another capacity.
fn elsewhere<'a>(eks: &EksPool, capacity: Capacity, zones: impl Iterator<Item = &'a String>, world: &World) -> String {
    let list = |items: &[&str]| items.join(", ");
    let mut ways = Vec::new();
    if eks.capacity_block.is_none() {
        let first = eks.machines.first();
        let has = |zone: &str| {
            let offered = world.facts.offered.known().and_then(|offered| offered.get(first?));
            offered.is_none_or(|zones| zones.contains(zone))
        };
        let others: Vec<&str> = zones
            .map(String::as_str)
            .filter(|zone| !zone.is_empty() && !eks.zones.contains(*zone) && has(zone))
            .collect();
        if !eks.zones.is_empty() && !others.is_empty() {
            ways.push(format!("another zone (`eks: {{zones: [{}]}}`; it has the machine)", list(&others)));
        }
    }
    let machine = eks.machines.first().and_then(|name| catalog::machine(name));
    if let Some((machine, gpu)) = machine.and_then(|machine| Some((machine, machine.gpu.as_ref()?))) {
        let alike: Vec<&str> = catalog::with_accelerator(&gpu.model, gpu.count)
            .into_iter()
            .filter(|other| other.arch == machine.arch && !eks.machines.contains(&other.name))
            .map(|other| other.name.as_str())
            .take(4)
            .collect();
        if !alike.is_empty() {
            let key = if capacity == Capacity::Spot { "eks.also" } else { "machine" };
            ways.push(format!("another machine with the same GPUs (`{key}`: {})", list(&alike)));
        }
    }
    ways.push(
        match (capacity, &eks.capacity_block) {
            (Capacity::Spot, _) => "on demand (without `capacity: spot`)",
            (Capacity::OnDemand, None) => "spot (`capacity: spot`), or a capacity block (`eks.capacityBlock`)",
            (Capacity::OnDemand, Some(_)) => "on demand (without `eks.capacityBlock`)",
        }
        .to_owned(),
    );
    format!("choose {}; then apply: the failed group is removed and made anew", ways.join(", or "))
}

fn role_ref(given: Option<&String>, part: &str) -> RoleRef {
    given.map_or_else(|| RoleRef::Part(part.to_owned()), |arn| RoleRef::Arn(arn.clone()))
}

/// The name of a subnet's part.
pub fn subnet_name(tier: Tier, zone: &str) -> String {
    format!("{}-{zone}", tier.as_str())
}

/// The name of the role part of a service account. A namespace has no dot in its name, so that no two accounts share one.
pub fn identity_role(namespace: &str, account: &str) -> String {
    format!("{namespace}.{account}")
}

/// An add-on whose version nobody pinned keeps it while the cluster keeps its own: a default that AWS moves is no change of the
/// blueprint's.
pub(crate) fn addon_that_stays(wanted: &Wanted, world: &World, name: &str) -> Option<String> {
    let cluster = world.cluster.present()?;
    let version = wanted.cluster.version.as_ref().unwrap_or(&cluster.shape.version);
    let found = world.parts.get(&PartId::new(sort::ADDON, name))?;
    match &found.part {
        Part::Addon { version: has, .. } if *version == cluster.shape.version => Some(has.clone()),
        _ => None,
    }
}

//! Everything that is there, at once: lists and descriptions of all sorts side by side, two round trips deep.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eks::types::ClusterStatus;
use wbk_provider_api::{
    EksAutoscaler, Observed, Operation, PartId, PartSeen, ProviderKind, ProviderTarget, Seen, Wanted,
};

use crate::aws::Aws;
use crate::changes::{fingerprint, pool_seen, pools};
use crate::content::Content;
use crate::error::AwsError;
use crate::facts::{Fact, Facts};
use crate::iam::{self, Others, Place};
use crate::marks::Marks;
use crate::names::Names;
use crate::network::{self, Anchors};
use crate::part::{Found, Part, sort};
use crate::template::{self, SecurityGroupRef};
use crate::wanted::{Platform, platform};
use crate::world::{ClusterFound, GroupFound, World};
use crate::{access, addon_versions, cluster, group, inside, lookup, token};

/// What is looked at.
#[derive(Debug, Clone, Copy)]
pub(crate) enum About<'a> {
    /// Everything, and what region and account say: for a plan.
    Plan,
    /// Everything that is there.
    Things,
    /// What one step is bound to, and what that is told by; told as the plan told it, since it is the same code. Nothing else is known then.
    Step(&'a Operation),
}

impl<'a> About<'a> {
    fn step(self) -> Option<&'a Operation> {
        match self {
            Self::Plan | Self::Things => None,
            Self::Step(operation) => Some(operation),
        }
    }

    /// The part that a step is about.
    fn part(self) -> Option<&'a PartId> {
        match self.step().map(|operation| &operation.target) {
            Some(ProviderTarget::Part(id)) => Some(id),
            _ => None,
        }
    }

    /// Sorts of the network that are looked at: `None` is all.
    fn network(self) -> Option<BTreeSet<&'static str>> {
        Some(match &self.step()?.target {
            // They name their subnets.
            ProviderTarget::Cluster(_) | ProviderTarget::NodePool(_) => network::told_by(sort::SUBNET),
            ProviderTarget::Part(id) if network::SORTS.contains(&id.sort.as_str()) => network::told_by(&id.sort),
            ProviderTarget::Part(_) => BTreeSet::new(),
        })
    }

    /// Whether a node group is looked at: all, or those of the pool. What the plan saw of a pool is named by the step; others of the pool
    /// are known by how groups are named.
    fn group(self, name: &str) -> bool {
        let Some(operation) = self.step() else { return true };
        let ProviderTarget::NodePool(pool) = &operation.target else { return false };
        let of_pool = name.strip_prefix(pool.as_str()).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        of_pool
            || match serde_json::from_value(operation.content.clone()) {
                Ok(Content::Group(group)) => {
                    group.name == name || group.replaces.contains(name) || group.clears.contains(name)
                }
                Ok(Content::Groups(names)) => names.contains(name),
                Ok(Content::Part { .. } | Content::Cluster { .. } | Content::Nothing) | Err(_) => false,
            }
    }

    fn groups(self) -> bool {
        self.step().is_none_or(|operation| matches!(operation.target, ProviderTarget::NodePool(_)))
    }

    fn inside(self) -> bool {
        self.step().is_none() || self.part().is_some_and(|id| INSIDE.contains(&id.sort.as_str()))
    }

    /// Roles that are looked at beside those of ours that nobody names.
    fn roles(self, expected: &BTreeSet<String>) -> (BTreeSet<String>, Others) {
        match (self.step(), self.part().filter(|id| id.sort == sort::ROLE)) {
            (None, _) => (expected.clone(), Others::Too),
            (Some(_), Some(id)) => (BTreeSet::from([id.name.clone()]), Others::Left),
            (Some(_), None) => (BTreeSet::new(), Others::Left),
        }
    }

    /// Launch templates, and what they name.
    fn templates(self) -> bool {
        self.groups() || self.part().is_some_and(|id| TEMPLATES.contains(&id.sort.as_str()))
    }

    fn provider(self) -> bool {
        self.step().is_none() || self.part().is_some_and(|id| id.sort == sort::OIDC_PROVIDER)
    }
}

const TEMPLATES: [&str; 3] = [sort::LAUNCH_TEMPLATE, sort::SECURITY_GROUP, sort::PLACEMENT_GROUP];
const INSIDE: [&str; 4] = [sort::ACCESS_ENTRY, sort::NODE_ACCESS, sort::ADDON, sort::POD_IDENTITY];

/// Looks at it.
pub(crate) async fn world(aws: &Aws, wanted: &Wanted, about: About<'_>) -> World {
    let marks = Marks::of(wanted);
    let expected = expected(wanted);
    let parts: BTreeMap<PartId, Part> =
        expected.parts.iter().map(|(id, wanted)| (id.clone(), wanted.part.clone())).collect();
    let roles: BTreeSet<String> = parts.keys().filter(|id| id.sort == sort::ROLE).map(|id| id.name.clone()).collect();
    let no_subnets = Names::of(&BTreeMap::new(), &marks, &roles);
    let scaled = wanted.cluster.eks.as_ref().is_some_and(|eks| eks.autoscaler == EksAutoscaler::ClusterAutoscaler);
    let scaling = async {
        match scaled && about.step().is_none() {
            true => group::scaling_groups(aws, &marks).await,
            false => Ok(BTreeMap::new()),
        }
    };
    let anchors = Anchors { wanted: parts.clone(), only: about.network(), ..Anchors::default() };
    let (looked, others) = about.roles(&roles);
    let wants_placement = parts.keys().any(|id| id.sort == sort::PLACEMENT_GROUP);
    let issued = async {
        let providers = async { if about.provider() { iam::providers(aws).await } else { Ok(Vec::new()) } };
        let (described, caller, providers) = futures::join!(cluster::describe(aws, &marks), aws.caller(), providers);
        let issuer = described.as_ref().ok().and_then(Option::as_ref).and_then(issuer);
        let account = caller.as_ref().map(|caller| caller.account.clone()).ok();
        let place = Place {
            partition: marks.partition(),
            account: account.as_deref().unwrap_or_default(),
            issuer: issuer.as_deref(),
        };
        // Jobs are asked of the cluster as soon as it is known where that is.
        let (provider, jobs) = futures::join!(iam::provider(aws, &marks, providers, &place), async {
            let found = described.as_ref().ok().and_then(Option::as_ref).filter(|_| about.step().is_none());
            match found.filter(|found| found.status == Some(ClusterStatus::Active)) {
                Some(found) => Some(jobs(aws, &marks, &cluster::found(found, &marks, &no_subnets)).await),
                None => None,
            }
        });
        (described, account, issuer, provider, jobs)
    };
    let groups = async {
        if about.groups() {
            group::describe_all(aws, &marks, |name| about.group(name)).await
        } else {
            Ok(BTreeMap::new())
        }
    };
    let inside = async {
        match about.inside() {
            true => inside::observe(aws, &marks, &no_subnets, (&parts, about.part())).await,
            false => inside::InsideSeen::default(),
        }
    };
    let templates = async {
        match about.templates() {
            true => template::observe(aws, &marks, wants_placement).await,
            false => template::Answers::default(),
        }
    };
    let facts = async {
        match about {
            About::Plan => lookup::facts(aws, wanted).await,
            About::Things | About::Step(_) => Facts::unknown("nothing is planned from this look"),
        }
    };
    let (issued, accounts, groups, scaling, ground, templates, inside, facts) = futures::join!(
        issued,
        iam::roles(aws, &marks, &looked, others),
        groups,
        scaling,
        network::observe(aws, &marks, &anchors),
        templates,
        inside,
        facts
    );
    let (described, account, issuer, provider, jobs) = issued;
    let place = Place {
        partition: marks.partition(),
        account: account.as_deref().unwrap_or_default(),
        issuer: issuer.as_deref(),
    };
    let mut accounts = accounts.told(&marks, &place);
    accounts.take(provider);
    let mut world = World::unknown("");
    world.facts = facts;
    let vpc = match &described {
        Ok(Some(found)) => found.resources_vpc_config.as_ref().and_then(|vpc| vpc.vpc_id.clone()),
        Ok(None) | Err(_) => None,
    };
    // What somebody took the marks from is still in the cluster's VPC.
    let lost = vpc.is_some() && parts.keys().any(|id| anchors.asks(&id.sort) && ground.lacks(id));
    let ground = match lost {
        true => network::observe(aws, &marks, &Anchors { vpc, ..anchors }).await,
        false => ground,
    };
    world.parts.extend(ground.found);
    world.parts.extend(inside.found);
    world.parts.extend(accounts.found);
    world.parts.extend(templates.found.clone());
    let unknown = ground.unknown.into_iter().chain(inside.unknown).chain(accounts.unknown);
    let unknown = unknown.chain(templates.unknown.clone());
    world.unseen = unknown.map(|(sort, why)| (sort.to_owned(), why)).collect();
    let names = names(&world.parts, &marks, &roles, (&described, &templates));
    world.parts.extend(templates.parts(&names));
    world.cluster = match described {
        Ok(Some(found)) => Seen::Present(cluster::found(&found, &marks, &names)),
        Ok(None) => Seen::Absent,
        Err(error) => Seen::Unknown(error.why()),
    };
    match (groups, scaling) {
        (Ok(groups), Ok(scaling)) => {
            let unseen = world.unseen.get(sort::LAUNCH_TEMPLATE).cloned();
            let found = |seen: Seen<aws_sdk_eks::types::Nodegroup>| match (seen, &unseen) {
                // What its machines are made from is a part of it.
                (Seen::Present(found), Some(why)) if found.launch_template.is_some() => Seen::Unknown(why.clone()),
                (Seen::Present(found), _) => Seen::Present(group::found(&found, &marks, &names, &scaling)),
                (Seen::Absent, _) => Seen::Absent,
                (Seen::Unknown(why), _) => Seen::Unknown(why),
            };
            world.groups = groups.into_iter().map(|(name, seen)| (name, found(seen))).collect();
            take_given(wanted, &mut world.groups);
        }
        (Err(error), _) | (_, Err(error)) => {
            // Without its groups a pool is neither there nor not.
            let auto = wanted.cluster.eks.as_ref().is_some_and(|eks| eks.autoscaler == EksAutoscaler::AutoMode);
            let pools = wanted.pools.keys().filter(|_| !auto);
            world.groups = pools.map(|pool| (pool.clone(), Seen::Unknown(error.why()))).collect();
        }
    }
    if let Some(jobs) = jobs {
        add_jobs(&mut world.groups, jobs);
    }
    if let About::Plan = about {
        world.facts.addon_versions = lookup::fact(addon_versions::versions(aws, wanted, &world).await);
    }
    world
}

/// Groups that are somebody else's and that a pool names are that pool's.
fn take_given(wanted: &Wanted, groups: &mut BTreeMap<String, Seen<GroupFound>>) {
    let pools = wanted.cluster.eks.iter().flat_map(|eks| &eks.pools);
    for (pool, group) in pools.filter_map(|(pool, eks)| Some((pool, eks.group.as_ref()?))) {
        if let Some(Seen::Present(found)) = groups.get_mut(group)
            && found.pool.is_none()
        {
            found.pool = Some(pool.clone());
            found.given = true;
        }
    }
}

/// What ids mean: subnets, roles, security groups, placement groups, and then the launch templates that name them.
fn names(
    parts: &BTreeMap<PartId, Found>,
    marks: &Marks,
    roles: &BTreeSet<String>,
    (cluster, templates): (&Result<Option<aws_sdk_eks::types::Cluster>, AwsError>, &template::Answers),
) -> Names {
    let mut names = Names::of(parts, marks, roles);
    let cluster = cluster.as_ref().ok().and_then(Option::as_ref);
    let group = cluster.and_then(|found| found.resources_vpc_config.as_ref()?.cluster_security_group_id.clone());
    if let Some(id) = group {
        names.know_security_group(id, SecurityGroupRef::Cluster);
    }
    let versions = templates.versions(&names);
    names.know_templates(versions);
    names
}

/// What is wanted as far as it is known before anything was looked at: which parts to look for.
fn expected(wanted: &Wanted) -> Platform {
    let mut nothing = World::unknown("");
    let addons = wanted.cluster.eks.iter().flat_map(|eks| eks.addons.keys());
    nothing.facts.addon_versions = Fact::Known(addons.map(|name| (name.clone(), String::new())).collect());
    platform(wanted, &nothing)
}

fn issuer(cluster: &aws_sdk_eks::types::Cluster) -> Option<String> {
    cluster.identity.as_ref()?.oidc.as_ref()?.issuer.clone()
}

/// Pods of Jobs by group and node; why they could not be seen otherwise.
async fn jobs(
    aws: &Aws,
    marks: &Marks,
    cluster: &ClusterFound,
) -> Result<BTreeMap<String, BTreeMap<String, Vec<String>>>, String> {
    let client = client(aws, marks, cluster).await.map_err(|error| error.why().0)?;
    group::jobs_by_node(&client).await.map_err(|error| error.to_string())
}

/// A client of the cluster's API server, for some minutes.
///
/// # Errors
/// No credentials, or the cluster has no API server yet.
pub(crate) async fn client(aws: &Aws, marks: &Marks, cluster: &ClusterFound) -> Result<kube::Client, AwsError> {
    let attempted = format!("reach the API server of EKS cluster {}", marks.cluster);
    let garbled = |words: String| AwsError::new(attempted.clone(), crate::error::AwsErrorKind::Unreachable, words);
    let bearer = token::token(aws, &marks.cluster).await?.bearer;
    let config = access::with_token(cluster, bearer).ok_or_else(|| garbled("it has none yet".into()))?;
    let options = kube::config::KubeConfigOptions::default();
    let config = kube::Config::from_custom_kubeconfig(config, &options).await;
    let mut config = config.map_err(|error| garbled(error.to_string()))?;
    // Whether Jobs run is asked beside a plan, which does not wait for long.
    config.connect_timeout = Some(std::time::Duration::from_secs(5));
    config.read_timeout = Some(std::time::Duration::from_secs(20));
    kube::Client::try_from(config).map_err(|error| garbled(error.to_string()))
}

/// What could not be seen may be there: a group with nodes then counts as one that runs Jobs.
fn add_jobs(
    groups: &mut BTreeMap<String, Seen<GroupFound>>,
    jobs: Result<BTreeMap<String, BTreeMap<String, Vec<String>>>, String>,
) {
    for (name, seen) in groups {
        let Seen::Present(group) = seen else { continue };
        group.jobs = match &jobs {
            Ok(jobs) => jobs.get(name).cloned().unwrap_or_default(),
            Err(why) if group.desired > 0 => {
                BTreeMap::from([("its nodes".to_owned(), vec![format!("that may run there (not seen: {why})")])])
            }
            Err(_) => BTreeMap::new(),
        };
    }
}

/// What everybody else needs to know of it.
pub fn observed(wanted: &Wanted, world: &World) -> Observed {
    let cluster = match &world.cluster {
        Seen::Absent => Seen::Absent,
        Seen::Unknown(why) => Seen::Unknown(why.clone()),
        Seen::Present(found) => Seen::Present(wbk_provider_api::ClusterSeen {
            version: Some(found.shape.version.clone()),
            running: found.status == "ACTIVE" || found.status == "UPDATING",
            fingerprint: fingerprint(found),
            deviations: Vec::new(),
        }),
    };
    let mut seen = BTreeMap::new();
    // Pools of Auto Mode are objects in the cluster, and seen as such.
    let auto = wanted.cluster.eks.as_ref().is_some_and(|eks| eks.autoscaler == EksAutoscaler::AutoMode);
    for name in wanted.pools.keys().filter(|_| !auto).cloned().chain(pools(world)) {
        let groups: Vec<&GroupFound> = world.groups_of(&name).map(|(_, group)| group).collect();
        let unknown = match (world.groups.get(&name), &world.cluster) {
            (Some(Seen::Unknown(why)), _) | (None, Seen::Unknown(why)) => Some(why.clone()),
            _ => None,
        };
        let pool = match (unknown, groups.first()) {
            (Some(why), _) => Seen::Unknown(why),
            (None, None) => Seen::Absent,
            (None, Some(first)) => {
                let spec = wanted.pools.get(&name).cloned().unwrap_or_else(|| bare(&name, first));
                Seen::Present(pool_seen(&spec, &groups))
            }
        };
        seen.insert(name, pool);
    }
    let present = world.parts.iter().map(|(id, found)| {
        let part = PartSeen { id: found.id.clone(), issues: found.issues.clone(), fingerprint: fingerprint(found) };
        (id.clone(), Seen::Present(part))
    });
    let unseen = world.unseen.iter().map(|(sort, why)| (PartId::new(sort, "(all)"), Seen::Unknown(why.clone())));
    let foreign = world.groups.iter().filter(|(_, group)| group.present().is_some_and(|group| group.pool.is_none()));
    Observed {
        foreign: foreign.map(|(name, _)| PartId::new("node group", name)).collect(),
        cluster,
        pools: seen,
        parts: present.chain(unseen).collect(),
        facts: serde_json::to_value(world).expect("what was seen is plain data"),
    }
}

/// A pool that the blueprint does not have, as far as its group tells.
fn bare(name: &str, group: &GroupFound) -> wbk_provider_api::PoolSpec {
    wbk_provider_api::PoolSpec {
        name: name.to_owned(),
        machine: group.shape.machines.first().cloned(),
        shape: wbk_provider_api::Shape { cpu_millis: 0, memory_bytes: 0, pods: 0, gpu: None },
        accelerator: None,
        size: wbk_provider_api::PoolSize { min: group.shape.min, max: group.shape.max },
        capacity: group.shape.capacity,
        labels: group.shape.labels.clone(),
        taints: group.shape.taints.iter().cloned().collect(),
    }
}

/// Which provider this is.
pub(crate) const KIND: ProviderKind = ProviderKind::Eks;

//! Everything that is there, at once: lists and descriptions of all sorts side by side, two round trips deep.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{EksAutoscaler, Observed, PartId, PartSeen, ProviderKind, Seen, Wanted};

use crate::access;
use crate::aws::Aws;
use crate::changes::{fingerprint, pool_seen, pools};
use crate::error::AwsError;
use crate::facts::Fact;
use crate::iam::{self, Looking, Place};
use crate::marks::Marks;
use crate::names::Names;
use crate::network::{self, Anchors};
use crate::part::{Part, sort};
use crate::wanted::{Platform, platform};
use crate::world::{ClusterFound, GroupFound, World};
use crate::{cluster, group, inside, lookup, token};

/// Looks at everything.
pub async fn world(aws: &Aws, wanted: &Wanted) -> World {
    let marks = Marks::of(wanted);
    let expected = expected(wanted);
    let parts: BTreeMap<PartId, Part> =
        expected.parts.iter().map(|(id, wanted)| (id.clone(), wanted.part.clone())).collect();
    let roles: BTreeSet<String> = parts.keys().filter(|id| id.sort == sort::ROLE).map(|id| id.name.clone()).collect();
    let no_subnets = Names::of(&BTreeMap::new(), &marks, &roles);
    let scaled = wanted.cluster.eks.as_ref().is_some_and(|eks| eks.autoscaler == EksAutoscaler::ClusterAutoscaler);
    let scaling = async {
        match scaled {
            true => group::scaling_groups(aws, &marks).await,
            false => Ok(BTreeMap::new()),
        }
    };
    let anchors = Anchors { wanted: parts.clone(), ..Anchors::default() };
    let issued = async {
        let (described, caller) = futures::join!(cluster::describe(aws, &marks), aws.caller());
        let issuer = described.as_ref().ok().and_then(Option::as_ref).and_then(issuer);
        let account = caller.as_ref().map(|caller| caller.account.clone()).ok();
        let place = Place {
            partition: marks.partition(),
            account: account.as_deref().unwrap_or_default(),
            issuer: issuer.as_deref(),
        };
        let accounts = iam::observe(aws, &marks, &Looking { roles: roles.clone(), place }).await;
        (described, accounts)
    };
    let ((described, accounts), groups, scaling, ground, inside, facts) = futures::join!(
        issued,
        group::describe_all(aws, &marks),
        scaling,
        network::observe(aws, &marks, &anchors),
        inside::observe(aws, &marks, &no_subnets, &parts),
        lookup::facts(aws, wanted)
    );
    let mut world = World::unknown("");
    world.facts = facts;
    let vpc = match &described {
        Ok(Some(found)) => found.resources_vpc_config.as_ref().and_then(|vpc| vpc.vpc_id.clone()),
        Ok(None) | Err(_) => None,
    };
    // A network whose marks somebody took away is still the cluster's.
    let lost = vpc.is_some() && ground.id(sort::VPC, crate::wanted::NETWORK).is_none() && owns_network(&parts);
    let ground = match lost {
        true => network::observe(aws, &marks, &Anchors { vpc, ..anchors }).await,
        false => ground,
    };
    world.parts.extend(ground.found);
    world.parts.extend(inside.found);
    world.parts.extend(accounts.found);
    let unknown = ground.unknown.into_iter().chain(inside.unknown).chain(accounts.unknown);
    world.unseen = unknown.map(|(sort, why)| (sort.to_owned(), why)).collect();
    let names = Names::of(&world.parts, &marks, &roles);
    world.cluster = match described {
        Ok(Some(found)) => Seen::Present(cluster::found(&found, &marks, &names)),
        Ok(None) => Seen::Absent,
        Err(error) => Seen::Unknown(error.why()),
    };
    match (groups, scaling) {
        (Ok(groups), Ok(scaling)) => {
            let found = |seen| match seen {
                Seen::Present(found) => Seen::Present(group::found(&found, &marks, &names, &scaling)),
                Seen::Absent => Seen::Absent,
                Seen::Unknown(why) => Seen::Unknown(why),
            };
            world.groups = groups.into_iter().map(|(name, seen)| (name, found(seen))).collect();
            take_given(wanted, &mut world.groups);
        }
        (Err(error), _) | (_, Err(error)) => {
            // Without its groups a pool is neither there nor not.
            world.groups = wanted.pools.keys().map(|pool| (pool.clone(), Seen::Unknown(error.why()))).collect();
        }
    }
    if let Seen::Present(cluster) = &world.cluster
        && cluster.status == "ACTIVE"
        && !world.groups.is_empty()
    {
        let jobs = jobs(aws, &marks, cluster).await;
        add_jobs(&mut world.groups, jobs);
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

fn owns_network(parts: &BTreeMap<PartId, Part>) -> bool {
    parts.keys().any(|id| id.sort == sort::VPC)
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
    for name in wanted.pools.keys().cloned().chain(pools(world)) {
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
    Observed {
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

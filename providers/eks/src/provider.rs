//! EKS behind the trait that every provider implements.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::OnceCell;
use tokio::time::Instant;
use wbk_provider_api::{
    Access, Capacity, Costs, Finding, LeftBehind, Leftover, Observed, Operation, OperationAction, PartId, ProgressSink,
    Provider, ProviderError, ProviderKind, ProviderTarget, Seen, Wanted,
};

use crate::access::kubeconfig;
use crate::aws::Aws;
use crate::changes::{changes, fingerprint, pool_fingerprint, removal};
use crate::content::Content;
use crate::error::{AwsError, AwsErrorKind};
use crate::facts::GroupNow;
use crate::marks::Marks;
use crate::observe::{self, About, KIND, observed};
use crate::part::{Found, Part, sort};
use crate::preflight::{self, Situation};
use crate::settings::Settings;
use crate::template::{self, Template};
use crate::wanted::platform;
use crate::work::Work;
use crate::world::{ClusterFound, World};
use crate::{cluster, group, held, iam, inside, left, network};

/// Amazon EKS.
#[derive(Debug)]
pub struct EksProvider {
    settings: Settings,
    aws: OnceCell<Aws>,
    /// The cluster as the last look saw it, where it was ACTIVE: whoever reaches it then need not ask again.
    living: Mutex<Option<ClusterFound>>,
}

impl EksProvider {
    /// Makes one. AWS is not asked yet.
    pub fn new(settings: Settings) -> Self {
        Self { settings, aws: OnceCell::new(), living: Mutex::default() }
    }

    async fn aws(&self, wanted: &Wanted) -> Result<&Aws, AwsError> {
        let region = wanted.cluster.region.clone().unwrap_or_default();
        self.aws.get_or_try_init(|| Aws::connect_by(&region, &self.settings.way)).await
    }

    /// Requests that were sent to AWS so far.
    pub fn requests(&self) -> u64 {
        self.aws.get().map_or(0, Aws::requests)
    }

    async fn look(&self, wanted: &Wanted, about: About<'_>) -> World {
        let world = match self.aws(wanted).await {
            Ok(aws) => observe::world(aws, wanted, about).await,
            Err(error) => World::unknown(&error.why().0),
        };
        self.remember(world.cluster.present().filter(|found| found.status == "ACTIVE").cloned());
        world
    }

    fn remember(&self, living: Option<ClusterFound>) {
        *self.living.lock().unwrap_or_else(PoisonError::into_inner) = living;
    }

    fn remembered(&self) -> Option<ClusterFound> {
        self.living.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Adds what controllers in the cluster made, where the cluster is this blueprint's.
    async fn add_held(&self, wanted: &Wanted, world: &mut World) {
        let Seen::Present(found) = &world.cluster else { return };
        if !found.ours || !matches!(found.status.as_str(), "ACTIVE" | "UPDATING") {
            return;
        }
        let marks = Marks::of(wanted);
        let held = match self.aws(wanted).await {
            Ok(aws) => match observe::client(aws, &marks, found).await {
                Ok(client) => held::observe(&client).await.map_err(|error| error.to_string()),
                Err(error) => Err(error.why().0),
            },
            Err(error) => Err(error.why().0),
        };
        match held {
            Ok(held) => world.parts.extend(held),
            Err(why) => {
                for sort in HELD {
                    world.unseen.insert(sort.to_owned(), wbk_provider_api::Why(why.clone()));
                }
            }
        }
    }

    async fn run(&self, world: &World, operation: &Operation, work: &Work<'_>) -> Result<(), AwsError> {
        let content: Content = serde_json::from_value(operation.content.clone()).map_err(|error| {
            AwsError::new(format!("read the step about {}", operation.target), AwsErrorKind::Garbled, error.to_string())
        })?;
        match (&operation.target, content) {
            (ProviderTarget::Cluster(_), content) => self.cluster(world, operation, content, work).await,
            (ProviderTarget::NodePool(_), content) => self.pool(operation, content, work).await,
            (ProviderTarget::Part(_), Content::Part { part, tags }) => {
                self.part(world, operation, (&part, &tags), work).await
            }
            (ProviderTarget::Part(id), _) => {
                Err(AwsError::refused(format!("change {id}"), "the step holds something else"))
            }
        }
    }

    async fn cluster(
        &self,
        world: &World,
        operation: &Operation,
        content: Content,
        work: &Work<'_>,
    ) -> Result<(), AwsError> {
        match (operation.action, content) {
            (OperationAction::Create, Content::Cluster { shape, tags }) => cluster::create(work, &shape, &tags).await,
            (OperationAction::Start, _) => cluster::wait_until_active(work).await,
            (OperationAction::Update, Content::Cluster { shape, tags }) => {
                cluster::update(work, &shape, &tags, living(world, work)?).await
            }
            (OperationAction::Delete, _) => cluster::delete(work).await,
            (action, _) => Err(AwsError::refused(
                format!("{} the cluster", action.verb()),
                "a cluster of EKS is never changed in this way",
            )),
        }
    }

    async fn pool(&self, operation: &Operation, content: Content, work: &Work<'_>) -> Result<(), AwsError> {
        match (operation.action, content) {
            (OperationAction::Create | OperationAction::Start, Content::Group(wanted)) => {
                group::create(work, &wanted).await
            }
            (OperationAction::Update, Content::Group(wanted)) => group::update(work, &wanted).await,
            (OperationAction::Replace, Content::Group(wanted)) => {
                let found = cluster::describe(work.aws, work.marks).await?;
                let names = crate::names::Names::default();
                let found = found.map(|found| cluster::found(&found, work.marks, &names));
                let client = match &found {
                    Some(found) => observe::client(work.aws, work.marks, found).await.ok(),
                    None => None,
                };
                group::replace(work, &wanted, client.as_ref()).await
            }
            (OperationAction::Delete, Content::Groups(names)) => group::delete(work, &names).await,
            (action, _) => Err(AwsError::refused(
                format!("{} {}", action.verb(), operation.target),
                "a node group is never changed in this way",
            )),
        }
    }

    async fn part(
        &self,
        world: &World,
        operation: &Operation,
        wanted: (&Part, &Tags),
        work: &Work<'_>,
    ) -> Result<(), AwsError> {
        let ProviderTarget::Part(id) = &operation.target else {
            return Err(AwsError::refused("change a part", "the step is about something else"));
        };
        let found = world.part(id);
        match (operation.action, found.present()) {
            (OperationAction::Create, _) => self.make(world, id, wanted, work).await,
            (OperationAction::Update, Some(found)) => self.change(world, id, found, wanted, work).await,
            (OperationAction::Delete, Some(found)) => self.remove(world, id, found, work).await,
            (OperationAction::Replace, Some(found)) => {
                self.remove(world, id, found, work).await?;
                self.make(world, id, wanted, work).await.map_err(AwsError::after_change)
            }
            // It went since it was looked at.
            (OperationAction::Delete, None) => Ok(()),
            (action, _) => Err(AwsError::refused(format!("{} {id}", action.verb()), "it is not there")),
        }
    }

    async fn make(
        &self,
        world: &World,
        id: &PartId,
        (part, tags): (&Part, &Tags),
        work: &Work<'_>,
    ) -> Result<(), AwsError> {
        match Keeper::of(part) {
            Keeper::Ec2 => network::create(work, id, part, tags).await.map(drop),
            Keeper::Template(wanted) => template::create(work, &id.name, wanted, tags).await,
            Keeper::Iam => {
                iam::create(work, id, (part, tags), &self.place(world, work).await?.borrow()).await.map(drop)
            }
            Keeper::Eks => inside::create(work, part, tags, &id.name).await,
            Keeper::Cluster => Err(not_ours_to_make(id)),
        }
    }

    async fn change(
        &self,
        world: &World,
        id: &PartId,
        found: &Found,
        (part, tags): (&Part, &Tags),
        work: &Work<'_>,
    ) -> Result<(), AwsError> {
        match Keeper::of(part) {
            Keeper::Ec2 => network::update(work, id, found, (part, tags)).await,
            Keeper::Template(wanted) => template::update(work, &id.name, found, (wanted, tags)).await,
            Keeper::Iam => iam::update(work, id, found, (part, tags), &self.place(world, work).await?.borrow()).await,
            Keeper::Eks => inside::update(work, part, tags, &id.name).await,
            Keeper::Cluster => Err(not_ours_to_make(id)),
        }
    }

    async fn remove(&self, world: &World, id: &PartId, found: &Found, work: &Work<'_>) -> Result<(), AwsError> {
        match Keeper::of(&found.part) {
            Keeper::Ec2 => network::delete(work, id, &found.id).await,
            Keeper::Template(_) => template::delete(work, &found.id).await,
            Keeper::Iam => iam::delete(work, id, &found.id).await,
            Keeper::Eks => inside::delete(work, &found.part, &id.name).await,
            Keeper::Cluster => {
                let client = observe::client(work.aws, work.marks, living(world, work)?).await?;
                held::remove(work, &client, id, &found.part).await
            }
        }
    }

    /// Account, partition and issuer: the issuer is known when there is a cluster.
    async fn place(&self, world: &World, work: &Work<'_>) -> Result<OwnedPlace, AwsError> {
        let account = work.aws.caller().await?.account.clone();
        let issuer = match world.cluster.present().and_then(|found| found.issuer.clone()) {
            Some(issuer) => Some(issuer),
            None => cluster::describe(work.aws, work.marks).await?.and_then(|found| found.identity?.oidc?.issuer),
        };
        Ok(OwnedPlace { partition: work.marks.partition(), account, issuer })
    }

    /// A world that is not as the operation expects is refused.
    fn expect(&self, world: &World, operation: &Operation) -> Result<(), AwsError> {
        let found = match &operation.target {
            ProviderTarget::Cluster(_) => match &world.cluster {
                Seen::Present(found) => fingerprint(found),
                Seen::Absent => String::new(),
                Seen::Unknown(why) => return Err(self.unseen(operation, &why.0)),
            },
            ProviderTarget::NodePool(pool) => {
                let groups: Vec<_> = world.groups_of(pool).map(|(_, group)| group).collect();
                if groups.is_empty() { String::new() } else { pool_fingerprint(&groups) }
            }
            ProviderTarget::Part(id) => match world.part(id) {
                Seen::Present(found) if operation.action == OperationAction::Delete => fingerprint(&found.id),
                Seen::Present(found) => fingerprint(found),
                Seen::Absent => String::new(),
                Seen::Unknown(why) => return Err(self.unseen(operation, &why.0)),
            },
        };
        // It went since: that is what was wanted.
        if operation.action == OperationAction::Delete && found.is_empty() {
            return Ok(());
        }
        if found == operation.expect {
            return Ok(());
        }
        let attempted = format!("{} {}", operation.action.verb(), operation.target);
        Err(AwsError::refused(attempted, "it changed since the plan was made").with_hint("plan again"))
    }

    fn unseen(&self, operation: &Operation, why: &str) -> AwsError {
        let attempted = format!("{} {}", operation.action.verb(), operation.target);
        AwsError::refused(attempted, format!("it could not be looked at: {why}"))
    }
}

type Tags = std::collections::BTreeMap<String, String>;

/// Which service keeps a part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Keeper<'a> {
    Ec2,
    Template(&'a Template),
    Iam,
    Eks,
    /// Controllers in the cluster.
    Cluster,
}

/// Sorts that controllers in the cluster keep.
const HELD: [&str; 2] = [sort::LOAD_BALANCER, sort::VOLUME];

fn not_ours_to_make(id: &PartId) -> AwsError {
    AwsError::refused(format!("make {id}"), "controllers in the cluster make it")
}

impl<'a> Keeper<'a> {
    fn of(part: &'a Part) -> Self {
        match part {
            Part::LaunchTemplate(template) => Self::Template(template),
            Part::Role(_) | Part::OidcProvider {} => Self::Iam,
            Part::AccessEntry { .. } | Part::NodeAccess { .. } | Part::Addon { .. } | Part::PodIdentity { .. } => {
                Self::Eks
            }
            Part::LoadBalancer { .. } | Part::Volume { .. } => Self::Cluster,
            Part::Vpc { .. }
            | Part::InternetGateway { .. }
            | Part::Subnet { .. }
            | Part::ElasticIp {}
            | Part::NatGateway { .. }
            | Part::RouteTable { .. }
            | Part::SecurityGroup { .. }
            | Part::PlacementGroup { .. } => Self::Ec2,
        }
    }
}

/// Where roles are.
struct OwnedPlace {
    partition: &'static str,
    account: String,
    issuer: Option<String>,
}

impl OwnedPlace {
    fn borrow(&self) -> iam::Place<'_> {
        iam::Place { partition: self.partition, account: &self.account, issuer: self.issuer.as_deref() }
    }
}

fn living<'a>(world: &'a World, work: &Work<'_>) -> Result<&'a ClusterFound, AwsError> {
    let words = match &world.cluster {
        Seen::Present(found) => return Ok(found),
        Seen::Absent => "it is gone",
        Seen::Unknown(why) => &why.0,
    };
    Err(AwsError::new(format!("look at EKS cluster {}", work.marks.cluster), AwsErrorKind::NotFound, words))
}

fn world_of(seen: &Observed) -> World {
    serde_json::from_value(seen.facts.clone()).unwrap_or_else(|_| World::unknown("nothing of AWS was looked at"))
}

/// Zones of the network that the platform has or gets.
fn zones(wanted: &Wanted, world: &World) -> Vec<String> {
    let zone = |part: &Part| match part {
        Part::Subnet { zone, .. } => Some(zone.clone()),
        _ => None,
    };
    let own: BTreeSet<String> =
        platform(wanted, world).parts.values().filter_map(|wanted| zone(&wanted.part)).collect();
    let given = world.facts.subnets.known().into_iter().flat_map(|subnets| subnets.values());
    own.into_iter().chain(given.map(|subnet| subnet.zone.clone())).collect::<BTreeSet<String>>().into_iter().collect()
}

fn groups_now(world: &World) -> Vec<GroupNow> {
    let groups = world.groups.values().filter_map(Seen::present);
    groups
        .filter_map(|group| {
            Some(GroupNow {
                pool: group.pool.clone()?,
                machines: group.shape.machines.iter().cloned().collect(),
                capacity: group.shape.capacity,
                block: group.shape.capacity_block.is_some(),
                desired: group.desired,
            })
        })
        .collect()
}

#[async_trait]
impl Provider for EksProvider {
    fn kind(&self) -> ProviderKind {
        KIND
    }

    async fn observe(&self, wanted: &Wanted) -> Observed {
        observed(wanted, &self.look(wanted, About::Plan).await)
    }

    async fn observe_to_remove(&self, wanted: &Wanted) -> Observed {
        let mut world = self.look(wanted, About::Plan).await;
        self.add_held(wanted, &mut world).await;
        observed(wanted, &world)
    }

    fn plan(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        changes(wanted, &world_of(seen)).operations
    }

    fn preflight(&self, wanted: &Wanted, seen: &Observed, operations: &[Operation]) -> Vec<Finding> {
        let world = world_of(seen);
        let zones = zones(wanted, &world);
        let groups = groups_now(&world);
        let situation = Situation { wanted, facts: &world.facts, groups: &groups, zones: &zones, operations };
        let mut findings = changes(wanted, &world).findings;
        findings.extend(preflight::findings(&situation));
        findings
    }

    fn plan_destroy(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        removal(wanted, &world_of(seen))
    }

    async fn perform(
        &self,
        wanted: &Wanted,
        operation: &Operation,
        token: &str,
        progress: ProgressSink<'_>,
    ) -> Result<(), ProviderError> {
        let attempted = format!("{} {}", operation.action.verb(), operation.target);
        let failed = |error: AwsError| error.into_provider(attempted.clone());
        let aws = self.aws(wanted).await.map_err(failed)?;
        // A creation finds for itself what a former try left.
        let world = match operation.action {
            OperationAction::Create => World::unknown("nothing was looked at before a creation"),
            _ => {
                let mut world = self.look(wanted, About::Step(operation)).await;
                if matches!(&operation.target, ProviderTarget::Part(id) if HELD.contains(&id.sort.as_str())) {
                    self.add_held(wanted, &mut world).await;
                }
                world
            }
        };
        if operation.action != OperationAction::Create {
            self.expect(&world, operation).map_err(failed)?;
        }
        if let ProviderTarget::Cluster(_) = operation.target {
            self.remember(None);
        }
        let marks = Marks::of(wanted);
        let until = Instant::now() + Duration::from_secs(operation.deadline_seconds);
        let work = Work { aws, marks: &marks, token, until, say: progress };
        self.run(&world, operation, &work).await.map_err(failed)
    }

    async fn access(&self, wanted: &Wanted) -> Result<Access, ProviderError> {
        let name = &wanted.cluster.name;
        let attempted = format!("reach EKS cluster {name}");
        let failed = |error: AwsError| error.into_provider(attempted.clone());
        let aws = self.aws(wanted).await.map_err(failed)?;
        let marks = Marks::of(wanted);
        let found = match self.remembered() {
            Some(found) => Some(found),
            None => {
                let found = cluster::describe(aws, &marks).await.map_err(failed)?;
                found.map(|found| cluster::found(&found, &marks, &crate::names::Names::default()))
            }
        };
        let refused = |why: &str, hint: &str| ProviderError {
            attempted: format!("{attempted}: {why}"),
            left: LeftBehind::Nothing,
            hint: Some(hint.to_owned()),
            source: None,
        };
        let Some(found) = found else { return Err(refused("it is not there", "apply makes it")) };
        let config = kubeconfig(&found, name, &aws.region, &self.settings.token_program)
            .ok_or_else(|| refused(&format!("its state is {}", found.status), "wait until it is ACTIVE"))?;
        Ok(Access { kubeconfig: config, context: found.arn, simulated_nodes: false })
    }

    async fn leftovers(&self, wanted: &Wanted) -> Vec<Leftover> {
        let world = self.look(wanted, About::Things).await;
        let marks = Marks::of(wanted);
        let region = wanted.cluster.region.clone().unwrap_or_default();
        let mut left: Vec<Leftover> = Vec::new();
        if let Seen::Present(found) = &world.cluster
            && found.ours
        {
            let hint = format!("destroy again, or: aws eks delete-cluster --region {region} --name {}", marks.cluster);
            let costs = Some(Costs { of: "(cluster)".into(), capacity: Capacity::OnDemand, count: 1 });
            left.push(Leftover { what: format!("EKS cluster {} ({})", marks.cluster, found.arn), hint, costs });
        }
        if let Seen::Unknown(why) = &world.cluster {
            left.push(Leftover {
                what: format!("EKS cluster {}, perhaps: it could not be looked for ({})", marks.cluster, why.0),
                hint: "look in AWS' console".into(),
                costs: None,
            });
        }
        for (id, found) in world.parts.iter().filter(|(_, found)| marks.are_on(&found.tags)) {
            let of = match id.sort.as_str() {
                sort::NAT_GATEWAY => Some("(nat-gateway)"),
                sort::ELASTIC_IP => Some("(elastic-ip)"),
                _ => None,
            };
            let costs = of.map(|of| Costs { of: of.into(), capacity: Capacity::OnDemand, count: 1 });
            left.push(Leftover { what: format!("{id} ({})", found.id), hint: "destroy again".into(), costs });
        }
        for (sort, why) in &world.unseen {
            left.push(Leftover {
                what: format!("things of the sort {sort}, perhaps: they could not be looked for ({})", why.0),
                hint: "give the rights that are missing, and destroy again".into(),
                costs: None,
            });
        }
        // What controllers made on a cluster that stays is its owner's.
        if !matches!(&world.cluster, Seen::Present(found) if !found.ours)
            && let Ok(aws) = self.aws(wanted).await
        {
            left.extend(left::look(aws, &marks.cluster).await);
        }
        left
    }
}

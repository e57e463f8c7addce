//! The IAM policy that a blueprint needs.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};
use wbk_provider_api::{Capacity, EksAutoscaler, EksNetwork, EksSpec, Wanted};

use super::table::{CALLS, On, When};
use crate::marks::{BLUEPRINT, CLUSTER, Marks};
use crate::part::{Part, Role, sort};
use crate::wanted::platform;
use crate::world::World;

/// What somebody wants to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// Plan, drift, status: only look.
    Plan,
    /// Apply and destroy as well.
    Apply,
}

/// Services that a role is passed to: EKS takes those of clusters and node groups, and hands the latter on to EC2.
const PASSED_TO: [&str; 3] = ["eks.amazonaws.com", "ec2.amazonaws.com", "pods.eks.amazonaws.com"];
/// Services whose own roles AWS makes at the first use (EKS user guide, "Using service-linked roles").
const LINKED: [&str; 3] = ["eks.amazonaws.com", "eks-nodegroup.amazonaws.com", "autoscaling.amazonaws.com"];
/// The tag that EKS puts on the Auto Scaling groups of node groups.
const OF_CLUSTER: &str = "eks:cluster-name";

/// The policy, as IAM reads it: the fewest actions, on this account, region and cluster, by its tags where IAM knows them.
///
/// # Panics
/// `wanted` is not of EKS.
pub fn policy(wanted: &Wanted, account: &str, purpose: Purpose) -> Value {
    let needs = Needs::of(wanted, account);
    let mut grouped: BTreeMap<On, BTreeSet<&str>> = BTreeMap::new();
    let (mut made, mut kept) = (BTreeSet::new(), BTreeSet::new());
    for call in CALLS.iter().filter(|call| needs.has(call.when, purpose)) {
        let places: &[On] = match call.on {
            // What is made is told by the tags that it is asked for with, what it is made in by those that it has.
            On::New(_) => {
                made.insert(call.action);
                &[]
            }
            On::NewIn(..) => {
                made.insert(call.action);
                kept.insert(call.action);
                &[]
            }
            On::Tagged(_) => {
                kept.insert(call.action);
                &[]
            }
            On::Tags => {
                kept.insert(call.action);
                &[On::Tags]
            }
            // A policy may have 6144 letters: the same resources are not told twice.
            On::ClusterAndInside => &[On::Cluster, On::Inside],
            ref on => std::slice::from_ref(on),
        };
        for on in places {
            grouped.entry(*on).or_default().insert(call.action);
        }
    }
    let mut statements: Vec<Value> =
        grouped.into_iter().flat_map(|(on, actions)| needs.statements(on, &actions)).collect();
    // Each of these actions is of a few sorts of things alone, so that naming the sorts would say nothing more.
    for (name, actions, key) in [("Make", made, "aws:RequestTag"), ("Keep", kept, "aws:ResourceTag")] {
        if !actions.is_empty() {
            statements.push(needs.statement(name, &actions, json!(needs.arn("ec2", "*/*")), needs.tags(key)));
        }
    }
    if purpose == Purpose::Apply {
        statements.extend(needs.what_aws_does());
    }
    json!({"Version": "2012-10-17", "Statement": statements})
}

/// What a blueprint needs at all.
struct Needs<'a> {
    spec: &'a EksSpec,
    marks: Marks,
    account: &'a str,
    roles: Vec<Role>,
    spot: bool,
}

impl<'a> Needs<'a> {
    fn of(wanted: &'a Wanted, account: &'a str) -> Self {
        let spec = wanted.cluster.eks.as_deref().expect("a blueprint of EKS has what only EKS has");
        let parts = platform(wanted, &World::unknown("")).parts;
        let role = |part: &Part| match part {
            Part::Role(role) => Some(role.clone()),
            _ => None,
        };
        let roles = parts.iter().filter(|(id, _)| id.sort == sort::ROLE).filter_map(|(_, wanted)| role(&wanted.part));
        let spot = wanted.pools.values().any(|pool| pool.capacity == Capacity::Spot);
        Self { spec, marks: Marks::of(wanted), account, roles: roles.collect(), spot }
    }

    fn has(&self, when: When, purpose: Purpose) -> bool {
        let applies = purpose == Purpose::Apply;
        let scaled = self.spec.autoscaler == EksAutoscaler::ClusterAutoscaler;
        match when {
            When::Looking => true,
            When::LookingScaled => scaled,
            When::Changing => applies,
            When::OwnCluster => applies && self.spec.given.is_none(),
            When::OwnNetwork => applies && matches!(self.spec.network, EksNetwork::Own { .. }),
            When::OwnRoles => applies && !self.roles.is_empty(),
            When::Inline => applies && self.roles.iter().any(|role| !role.inline.is_empty()),
            When::Issuer => applies && self.spec.oidc,
            When::Scaled => applies && scaled,
            When::Key => applies && self.spec.encryption_key.is_some(),
            When::LookingBlocks => self.spec.pools.values().any(|pool| pool.capacity_block.is_some()),
            When::Templates => applies && self.has_templates(),
            When::Fabric => applies && self.spec.pools.values().any(|pool| pool.efa),
            When::MadeInEc2 => self.has(When::OwnNetwork, purpose) || self.has(When::Templates, purpose),
            When::Importing => false,
        }
    }

    fn has_templates(&self) -> bool {
        self.spec.pools.values().any(wbk_provider_api::EksPool::needs_template)
    }

    fn arn(&self, service: &str, resource: &str) -> String {
        let region = if service == "iam" { "" } else { &self.marks.region };
        format!("arn:{}:{service}:{region}:{}:{resource}", self.marks.partition(), self.account)
    }

    fn cluster(&self) -> String {
        self.arn("eks", &format!("cluster/{}", self.marks.cluster))
    }

    fn inside(&self) -> Vec<String> {
        let cluster = &self.marks.cluster;
        ["nodegroup", "addon", "access-entry", "podidentityassociation"]
            .map(|kind| self.arn("eks", &format!("{kind}/{cluster}/*")))
            .to_vec()
    }

    fn own_roles(&self) -> String {
        self.arn("iam", &format!("role{}*", self.marks.iam_path()))
    }

    fn given_roles(&self) -> impl Iterator<Item = String> {
        [&self.spec.cluster_role, &self.spec.node_role].into_iter().flatten().cloned()
    }

    /// The condition that something carries this blueprint's marks.
    fn tags(&self, key: &str) -> Value {
        let Marks { blueprint, cluster, .. } = &self.marks;
        json!({"StringEquals": {format!("{key}/{BLUEPRINT}"): blueprint, format!("{key}/{CLUSTER}"): cluster}})
    }

    fn statement(&self, name: &str, actions: &BTreeSet<&str>, resource: Value, condition: Value) -> Value {
        let mut statement = json!({"Sid": name, "Effect": "Allow", "Action": actions, "Resource": resource});
        if !condition.is_null() {
            statement["Condition"] = condition;
        }
        statement
    }

    fn statements(&self, on: On, actions: &BTreeSet<&str>) -> Vec<Value> {
        let one =
            |name: &str, resource: Value, condition: Value| vec![self.statement(name, actions, resource, condition)];
        match on {
            On::Everything => {
                // Describes of EC2 and EKS are of a region; IAM, STS and their like are everywhere the same.
                let (regional, global): (BTreeSet<&str>, BTreeSet<&str>) =
                    actions.iter().partition(|action| !action.starts_with("iam:") && !action.starts_with("sts:"));
                let condition = json!({"StringEquals": {"aws:RequestedRegion": self.marks.region}});
                let mut both = vec![self.statement("See", &regional, json!("*"), condition)];
                if !global.is_empty() {
                    both.push(self.statement("SeeAccount", &global, json!("*"), Value::Null));
                }
                both
            }
            On::Cluster => one("Cluster", json!(self.cluster()), Value::Null),
            On::NewCluster => one("NewCluster", json!("*"), self.tags("aws:RequestTag")),
            On::Inside => one("InCluster", json!(self.inside()), Value::Null),
            On::Roles => one("Roles", json!(self.own_roles()), Value::Null),
            On::RolesWithPolicies => {
                let policies: BTreeSet<&String> = self.roles.iter().flat_map(|role| &role.managed).collect();
                if policies.is_empty() {
                    return Vec::new();
                }
                one("GivePolicies", json!(self.own_roles()), json!({"ArnEquals": {"iam:PolicyARN": policies}}))
            }
            On::RolesToSee => {
                let linked = self.arn("iam", "role/aws-service-role/*");
                let all: Vec<String> = [self.own_roles(), linked].into_iter().chain(self.given_roles()).collect();
                one("SeeRoles", json!(all), Value::Null)
            }
            On::Issuers => {
                let suffix = if self.marks.partition() == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
                let issuers = self.arn("iam", &format!("oidc-provider/oidc.eks.{}.{suffix}/*", self.marks.region));
                let name = if actions.len() > 1 { "Issuers" } else { "SeeIssuers" };
                one(name, json!(issuers), Value::Null)
            }
            On::Tags => {
                let makers: Vec<&str> = CALLS
                    .iter()
                    .filter(|call| matches!(call.on, On::New(_) | On::NewIn(..)))
                    .filter_map(|call| Some(call.action.split_once(':')?.1))
                    .collect();
                one("TagNew", json!(self.arn("ec2", "*/*")), json!({"StringEquals": {"ec2:CreateAction": makers}}))
            }
            On::ScalingGroups => {
                let groups = self.arn("autoscaling", "autoScalingGroup:*:autoScalingGroupName/*");
                let condition = json!({"StringEquals": {format!("aws:ResourceTag/{OF_CLUSTER}"): self.marks.cluster}});
                one("ScalingGroups", json!(groups), condition)
            }
            // Put together by the caller.
            On::New(_) | On::NewIn(..) | On::Tagged(_) | On::ClusterAndInside => Vec::new(),
        }
    }

    /// What is asked of the caller because of what AWS does itself: passing roles, making its own, using a key.
    fn what_aws_does(&self) -> Vec<Value> {
        let roles: Vec<String> = std::iter::once(self.own_roles()).chain(self.given_roles()).collect();
        let passed = json!({"StringEquals": {"iam:PassedToService": PASSED_TO}});
        let linked: Vec<&str> = LINKED.into_iter().chain(self.spot.then_some("spot.amazonaws.com")).collect();
        let mut statements = vec![
            self.statement("PassRoles", &BTreeSet::from(["iam:PassRole"]), json!(roles), passed),
            self.statement(
                "LinkServices",
                &BTreeSet::from(["iam:CreateServiceLinkedRole"]),
                json!(self.arn("iam", "role/aws-service-role/*")),
                json!({"StringEquals": {"iam:AWSServiceName": linked}}),
            ),
        ];
        if self.has_templates() {
            // EKS asks whether whoever names a launch template may start machines from it (EKS user guide, "Customize managed nodes with
            // launch templates").
            let templates = self.arn("ec2", "launch-template/*");
            let condition = json!({"ArnLike": {"ec2:LaunchTemplate": templates}});
            statements.push(self.statement(
                "StartMachines",
                &BTreeSet::from(["ec2:RunInstances"]),
                json!("*"),
                condition,
            ));
        }
        if let Some(key) = &self.spec.encryption_key {
            let actions = BTreeSet::from(["kms:DescribeKey", "kms:CreateGrant"]);
            statements.push(self.statement("Key", &actions, json!(key), Value::Null));
        }
        statements
    }
}

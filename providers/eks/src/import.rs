//! A cluster that is there, whoever made it, with all that belongs to it: what a blueprint of it is written from. Only looks.

use std::collections::{BTreeMap, BTreeSet};

use aws_sdk_eks::types::{Cluster, Nodegroup};
use serde_json::Value;
use wbk_provider_api::{PartId, Seen, Why};

use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
use crate::iam::{self, Looking, Place};
use crate::inside::{access, addons, identities};
use crate::marks::{BLUEPRINT, CLUSTER, Marks};
use crate::names::Names;
use crate::network::{self, Anchors};
use crate::part::{Found, sort};
use crate::wanted::{CLUSTER_ROLE, NODE_ROLE};
use crate::world::{ClusterFound, GroupFound};
use crate::{cluster, group};

/// What was seen.
#[derive(Debug, Clone, PartialEq)]
pub struct Sighting {
    /// The cluster's name.
    pub name: String,
    /// Its region.
    pub region: String,
    /// Its account.
    pub account: String,
    /// The blueprint that made it, by its tags; absent where another tool did.
    pub blueprint: Option<String>,
    /// The cluster.
    pub cluster: ClusterFound,
    /// Node groups by name.
    pub groups: BTreeMap<String, GroupSeen>,
    /// Add-ons by name.
    pub addons: BTreeMap<String, AddonSeen>,
    /// Who gets in, by principal.
    pub access: BTreeMap<String, EntrySeen>,
    /// Service accounts that are somebody in AWS, by `namespace/name`.
    pub identities: BTreeMap<String, IdentitySeen>,
    /// Network and roles that are of the blueprint by their tags.
    pub parts: BTreeMap<PartId, Found>,
    /// What of the cluster a blueprint has no word for: what, and what it is.
    pub more: Vec<(String, String)>,
    /// What could not be looked at.
    pub unseen: Vec<(String, Why)>,
}

/// A node group.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSeen {
    /// It, in the words of pools.
    pub found: GroupFound,
    /// The machine that its launch template names, where it itself names none.
    pub machine: Option<String>,
    /// What of it a blueprint has no word for.
    pub more: Vec<String>,
}

/// An add-on.
#[derive(Debug, Clone, PartialEq)]
pub struct AddonSeen {
    /// `v1.20.0-eksbuild.1`.
    pub version: String,
    /// Its configuration.
    pub configuration: Option<Configuration>,
    /// What of it a blueprint has no word for.
    pub more: Vec<String>,
}

/// How an add-on is configured.
#[derive(Debug, Clone, PartialEq)]
pub enum Configuration {
    /// By the add-on's own schema.
    Values(serde_json::Map<String, Value>),
    /// In a text that is no JSON.
    Text,
}

/// Somebody who gets in.
#[derive(Debug, Clone, PartialEq)]
pub struct EntrySeen {
    /// In the API's word: `STANDARD`, `EC2_LINUX`.
    pub kind: String,
    /// Whether it is of the blueprint by its tags.
    pub ours: bool,
    /// Kubernetes groups.
    pub groups: BTreeSet<String>,
    /// Access policies, each with its namespaces.
    pub policies: BTreeMap<String, BTreeSet<String>>,
}

/// A service account that is somebody in AWS.
#[derive(Debug, Clone, PartialEq)]
pub struct IdentitySeen {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub service_account: String,
    /// ARN of the role.
    pub role: String,
    /// Whether it is of the blueprint by its tags.
    pub ours: bool,
    /// Whether an add-on brought it.
    pub of_addon: bool,
}

/// Looks at a cluster.
///
/// # Errors
/// There is none of this name, or it could not be seen. What of it cannot be seen is in [`Sighting::unseen`].
pub async fn look(aws: &Aws, name: &str) -> Result<Sighting, AwsError> {
    let marks =
        Marks { blueprint: String::new(), cluster: name.to_owned(), region: aws.region.clone(), tags: BTreeMap::new() };
    let (described, caller) = futures::join!(cluster::describe(aws, &marks), aws.caller());
    let account = caller?.account.clone();
    let Some(described) = described? else { return Err(nothing(aws, name).await) };
    let tags = described.tags.clone().unwrap_or_default();
    let blueprint = tags.get(BLUEPRINT).filter(|_| tags.get(CLUSTER).is_some_and(|of| of == name)).cloned();
    let marks = Marks { blueprint: blueprint.clone().unwrap_or_default(), ..marks };
    let bare = cluster::found(&described, &marks, &Names::default());
    let place = Place { partition: marks.partition(), account: &account, issuer: bare.issuer.as_deref() };
    let looking = Looking { roles: BTreeSet::new(), place };
    let anchors = Anchors { vpc: bare.vpc.clone(), ..Anchors::default() };
    let of_ours = async {
        match &blueprint {
            Some(_) => Some(futures::join!(
                network::observe(aws, &marks, &anchors),
                iam::observe(aws, &marks, &looking),
                group::scaling_groups(aws, &marks)
            )),
            None => None,
        }
    };
    let (of_ours, groups, addons, access, identities, fargate) = futures::join!(
        of_ours,
        group::describe_all(aws, &marks, |_| true),
        addons::all(aws, &marks),
        access::all(aws, &marks),
        identities::all(aws, &marks, None),
        fargate(aws, name)
    );
    let mut unseen: Vec<(String, Why)> = Vec::new();
    let mut parts = BTreeMap::new();
    let mut scaling = BTreeMap::new();
    if let Some((ground, accounts, groups)) = of_ours {
        unseen.extend(ground.unknown.into_iter().map(|(sort, why)| (format!("things of the sort {sort}"), why)));
        let roles = accounts.unknown.into_iter().chain(accounts.unlisted);
        unseen.extend(roles.map(|(sort, why)| (format!("things of the sort {sort}"), why)));
        parts.extend(ground.found);
        parts.extend(accounts.found);
        parts.retain(|_, found| marks.are_on(&found.tags));
        scaling = take(groups, "Auto Scaling groups", &mut unseen);
    }
    let roles = parts.keys().filter(|id| id.sort == sort::ROLE).map(|id| id.name.clone());
    let roles: BTreeSet<String> = roles.chain([CLUSTER_ROLE.to_owned(), NODE_ROLE.to_owned()]).collect();
    // Roles of the same name are somebody else's where no blueprint made the cluster.
    let names = if blueprint.is_some() { Names::of(&parts, &marks, &roles) } else { Names::default() };
    let mut more = more(&described);
    more.extend(
        take(fargate, "Fargate profiles", &mut unseen).into_iter().map(|profile| {
            (format!("Fargate profile {profile}"), "its pods run on no node, and without GPUs".to_owned())
        }),
    );
    let mut seen = BTreeMap::new();
    for (name, group) in take(groups, "node groups", &mut unseen) {
        match group {
            Seen::Present(group) => {
                let found = group::found(&group, &marks, &names, &scaling);
                let machine = if found.shape.machines.is_empty() { template_machine(aws, &group).await } else { None };
                seen.insert(name, GroupSeen { found, machine, more: more_of_group(&group) });
            }
            Seen::Unknown(why) => unseen.push((format!("node group {name}"), why)),
            Seen::Absent => {}
        }
    }
    let addons = take(addons, "add-ons", &mut unseen).into_iter().map(addon).collect();
    let entries = take(access, "access entries", &mut unseen).into_iter();
    let access = entries
        .map(|(entry, policies)| {
            let tags: BTreeMap<String, String> = entry.tags.clone().unwrap_or_default().into_iter().collect();
            let seen = EntrySeen {
                kind: entry.r#type.clone().unwrap_or_default(),
                ours: blueprint.is_some() && marks.are_on(&tags),
                groups: entry.kubernetes_groups().iter().cloned().collect(),
                policies,
            };
            (entry.principal_arn.unwrap_or_default(), seen)
        })
        .collect();
    let identities = take(identities, "pod identities", &mut unseen).into_iter();
    let identities = identities
        .map(|one| {
            let tags: BTreeMap<String, String> = one.tags.clone().unwrap_or_default().into_iter().collect();
            let seen = IdentitySeen {
                namespace: one.namespace.unwrap_or_default(),
                service_account: one.service_account.unwrap_or_default(),
                role: one.role_arn.unwrap_or_default(),
                ours: blueprint.is_some() && marks.are_on(&tags),
                of_addon: one.owner_arn.is_some(),
            };
            (format!("{}/{}", seen.namespace, seen.service_account), seen)
        })
        .collect();
    Ok(Sighting {
        name: name.to_owned(),
        region: aws.region.clone(),
        account,
        blueprint,
        cluster: cluster::found(&described, &marks, &names),
        groups: seen,
        addons,
        access,
        identities,
        parts,
        more,
        unseen,
    })
}

fn take<T: Default>(answer: Result<T, AwsError>, what: &str, unseen: &mut Vec<(String, Why)>) -> T {
    answer.unwrap_or_else(|error| {
        unseen.push((what.to_owned(), error.why()));
        T::default()
    })
}

/// There is no such cluster; names those that there are.
async fn nothing(aws: &Aws, name: &str) -> AwsError {
    let mut names = Vec::new();
    let mut pages = aws.eks.list_clusters().into_paginator().items().send();
    // What cannot be listed is not named: this only helps.
    while let Some(Ok(other)) = pages.next().await {
        names.push(other);
    }
    let attempted = format!("look at EKS cluster {name}");
    let missing = AwsError::new(attempted, AwsErrorKind::NotFound, format!("{} has no such cluster", aws.region));
    match names.is_empty() {
        true => missing
            .with_hint("name another region with --region, or use the credentials of another account (AWS_PROFILE)"),
        false => missing.with_hint(format!("it has {}", names.join(", "))),
    }
}

async fn fargate(aws: &Aws, name: &str) -> Result<Vec<String>, AwsError> {
    let mut profiles = Vec::new();
    let mut pages = aws.eks.list_fargate_profiles().cluster_name(name).into_paginator().items().send();
    while let Some(profile) = pages.next().await {
        profiles.push(profile.map_err(AwsError::sdk(format!("list the Fargate profiles of EKS cluster {name}")))?);
    }
    Ok(profiles)
}

/// What a blueprint has no word for, and what therefore stays as it is.
fn more(cluster: &Cluster) -> Vec<(String, String)> {
    let mut more = Vec::new();
    let mut say = |what: &str, is: String| more.push((what.to_owned(), is));
    if cluster.compute_config.as_ref().is_some_and(|config| config.enabled == Some(true)) {
        say("EKS Auto Mode", "on: AWS makes nodes of its own beside the node groups".into());
    }
    if let Some(network) = &cluster.kubernetes_network_config {
        if network.ip_family.as_ref().is_some_and(|family| family.as_str() == "ipv6") {
            say("addresses of pods", "IPv6".into());
        }
        if let Some(range) = &network.service_ipv4_cidr {
            say("addresses of services", range.clone());
        }
    }
    if cluster.remote_network_config.is_some() {
        say("hybrid nodes", "a remote network is configured".into());
    }
    if cluster.outpost_config.is_some() {
        say("Outposts", "the control plane is on an outpost".into());
    }
    if cluster.zonal_shift_config.as_ref().is_some_and(|config| config.enabled == Some(true)) {
        say("zonal shift", "on".into());
    }
    if cluster.connector_config.is_some() {
        say("connected cluster", "EKS shows it and does not run it".into());
    }
    let groups = cluster.resources_vpc_config.as_ref().map(|vpc| vpc.security_group_ids()).unwrap_or_default();
    if !groups.is_empty() {
        say("more security groups of the control plane", groups.join(", "));
    }
    more
}

fn more_of_group(group: &Nodegroup) -> Vec<String> {
    let mut more = Vec::new();
    if let Some(template) = &group.launch_template {
        let name = template.name.as_deref().or(template.id.as_deref()).unwrap_or_default();
        let version = template.version.as_deref().unwrap_or_default();
        more.push(format!("launch template {name}, version {version}"));
    }
    if group.remote_access.as_ref().is_some_and(|access| access.ec2_ssh_key.is_some()) {
        more.push("a key for SSH".into());
    }
    if let Some(percentage) = group.update_config.as_ref().and_then(|config| config.max_unavailable_percentage) {
        more.push(format!("at most {percentage} % of the nodes away during an update"));
    }
    if group.warm_pool_config.is_some() {
        more.push("a warm pool".into());
    }
    more
}

fn addon(addon: aws_sdk_eks::types::Addon) -> (String, AddonSeen) {
    let text = addon.configuration_values.as_deref().map(str::trim).filter(|text| !text.is_empty());
    let configuration = text.and_then(|text| match serde_json::from_str(text) {
        Ok(Value::Object(values)) if values.is_empty() => None,
        Ok(Value::Object(values)) => Some(Configuration::Values(values)),
        Ok(_) | Err(_) => Some(Configuration::Text),
    });
    let mut more = Vec::new();
    if let Some(role) = &addon.service_account_role_arn {
        more.push(format!("its service account is {role}"));
    }
    let identities = addon.pod_identity_associations.as_deref().unwrap_or_default();
    if !identities.is_empty() {
        more.push(format!("{} pod identities of its own", identities.len()));
    }
    let seen = AddonSeen { version: addon.addon_version.unwrap_or_default(), configuration, more };
    (addon.addon_name.unwrap_or_default(), seen)
}

/// The machine that a launch template names; `None` where it names none or cannot be seen.
async fn template_machine(aws: &Aws, group: &Nodegroup) -> Option<String> {
    let template = group.launch_template.as_ref()?;
    let request = aws.ec2.describe_launch_template_versions().launch_template_id(template.id.as_ref()?);
    // What cannot be seen is told as a group without a known machine.
    let answer = request.versions(template.version.as_ref()?).send().await.ok()?;
    let version = answer.launch_template_versions.unwrap_or_default().into_iter().next()?;
    Some(version.launch_template_data?.instance_type?.as_str().to_owned())
}

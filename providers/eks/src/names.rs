//! Between AWS' ids and the names of our parts.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::PartId;

use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::network::{self, Anchors, NetworkSeen};
use crate::part::{Found, sort};
use crate::shape::{RoleRef, SubnetRef, TemplateRef};
use crate::template::{SecurityGroupRef, Template};
use crate::work::{Work, settled};

/// Names of what was found, by ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    subnets: BTreeMap<String, String>,
    roles: BTreeMap<String, String>,
    security_groups: BTreeMap<String, SecurityGroupRef>,
    placement_groups: BTreeMap<String, String>,
    templates: BTreeMap<String, (String, BTreeMap<String, Template>)>,
}

impl Names {
    /// Those of what was found, and of the roles that may be there. A subnet that somebody took its tags from keeps its name: what is in
    /// it is not elsewhere for that.
    pub fn of(found: &BTreeMap<PartId, Found>, marks: &Marks, roles: &BTreeSet<String>) -> Self {
        let subnets = found
            .iter()
            .filter(|(id, _)| id.sort == sort::SUBNET)
            .map(|(id, found)| (found.id.clone(), id.name.clone()))
            .collect();
        let roles = roles.iter().map(|part| (marks.role_name(part), part.clone())).collect();
        let mut names = Self { subnets, roles, ..Self::default() };
        for (id, found) in found.iter().filter(|(_, found)| marks.are_on(&found.tags)) {
            match id.sort.as_str() {
                sort::SECURITY_GROUP => {
                    names.know_security_group(found.id.clone(), SecurityGroupRef::Part(id.name.clone()));
                }
                sort::PLACEMENT_GROUP => names.know_placement_group(found.id.clone(), id.name.clone()),
                _ => {}
            }
        }
        names
    }

    /// Learns whose security group an id is.
    pub(crate) fn know_security_group(&mut self, id: String, group: SecurityGroupRef) {
        self.security_groups.insert(id, group);
    }

    /// Learns whose placement group an id is.
    pub(crate) fn know_placement_group(&mut self, id: String, part: String) {
        self.placement_groups.insert(id, part);
    }

    /// Learns the launch templates of ours by their ids, with what each version says.
    pub(crate) fn know_templates(&mut self, templates: BTreeMap<String, (String, BTreeMap<String, Template>)>) {
        self.templates = templates;
    }

    /// A security group by its id.
    pub(crate) fn security_group(&self, id: &str) -> SecurityGroupRef {
        self.security_groups.get(id).cloned().unwrap_or_else(|| SecurityGroupRef::Id(id.to_owned()))
    }

    /// A placement group by its id: the part's name, or the id where it is somebody else's.
    pub(crate) fn placement_group(&self, id: &str) -> String {
        self.placement_groups.get(id).cloned().unwrap_or_else(|| id.to_owned())
    }

    /// A launch template by its id, and what a version of it says.
    pub(crate) fn template(&self, id: &str, version: &str) -> (TemplateRef, Option<Template>) {
        match self.templates.get(id) {
            Some((part, versions)) => (TemplateRef::Part(part.clone()), versions.get(version).cloned()),
            None => (TemplateRef::Id(id.to_owned()), None),
        }
    }

    /// A subnet by its id.
    pub fn subnet(&self, id: &str) -> SubnetRef {
        self.subnets.get(id).map_or_else(|| SubnetRef::Id(id.to_owned()), |name| SubnetRef::Part(name.clone()))
    }

    /// A role by its ARN: its name is what comes after the last slash.
    pub fn role(&self, arn: &str) -> RoleRef {
        let name = arn.rsplit('/').next().unwrap_or(arn);
        self.roles.get(name).map_or_else(|| RoleRef::Arn(arn.to_owned()), |part| RoleRef::Part(part.clone()))
    }
}

/// Ids of subnets.
///
/// # Errors
/// They could not be looked up, or one is not there.
pub async fn subnet_ids(work: &Work<'_>, subnets: &BTreeSet<SubnetRef>) -> Result<Vec<String>, AwsError> {
    let ours = subnets.iter().any(|subnet| matches!(subnet, SubnetRef::Part(_)));
    let seen = match ours {
        true => {
            let only = Some(BTreeSet::from([sort::SUBNET]));
            network::observe(work.aws, work.marks, &Anchors { only, ..Anchors::default() }).await
        }
        false => NetworkSeen::default(),
    };
    subnets
        .iter()
        .map(|subnet| match subnet {
            SubnetRef::Id(id) => Ok(id.clone()),
            SubnetRef::Part(name) => seen.id(sort::SUBNET, name).map(str::to_owned).ok_or_else(|| {
                let words = seen.unknown.get(sort::SUBNET).map_or("no subnet has its marks", |why| why.0.as_str());
                AwsError::new(format!("find subnet {name}"), AwsErrorKind::NotFound, words)
            }),
        })
        .collect()
}

/// ARN of a role.
///
/// # Errors
/// It could not be looked up, or is not there.
pub async fn role_arn(work: &Work<'_>, role: &RoleRef) -> Result<String, AwsError> {
    let part = match role {
        RoleRef::Arn(arn) => return Ok(arn.clone()),
        RoleRef::Part(part) => part,
    };
    let name = work.marks.role_name(part);
    let attempted = format!("look up IAM role {name}");
    let answer = settled(|| {
        let request = work.aws.iam.get_role().role_name(&name);
        let attempted = attempted.clone();
        async move { request.send().await.map_err(AwsError::sdk(attempted)) }
    })
    .await?;
    match answer.role {
        Some(role) => Ok(role.arn),
        None => Err(AwsError::new(attempted, AwsErrorKind::Garbled, "the answer has no role")),
    }
}

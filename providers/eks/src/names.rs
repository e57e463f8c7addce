//! Between AWS' ids and the names of our parts.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::PartId;

use crate::error::{AwsError, AwsErrorKind};
use crate::marks::Marks;
use crate::network::{self, Anchors, NetworkSeen};
use crate::part::{Found, sort};
use crate::shape::{RoleRef, SubnetRef};
use crate::work::{Work, settled};

/// Names of what was found, by ids.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Names {
    subnets: BTreeMap<String, String>,
    roles: BTreeMap<String, String>,
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
        Self { subnets, roles }
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

//! What is there in IAM: the roles that are wanted, those of ours that no longer are, and the OIDC provider.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{PartId, Why};

use super::trust::Place;
use super::{oidc, role};
use crate::aws::Aws;
use crate::error::AwsErrorKind;
use crate::marks::{Marks, PART};
use crate::part::{Found, sort};

/// What is looked for.
#[derive(Debug, Clone)]
pub struct Looking<'a> {
    /// Names of the parts that are roles.
    pub roles: BTreeSet<String>,
    /// Account, partition and issuer.
    pub place: Place<'a>,
}

/// What was seen of IAM.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct IamSeen {
    /// What is there. A role without this blueprint's marks is somebody else's, of a name that is wanted.
    pub found: BTreeMap<PartId, Found>,
    /// Sorts of which something that is wanted could not be seen, and why.
    pub unknown: BTreeMap<&'static str, Why>,
    /// Sorts of which something may be there that is no longer wanted, and why it is not known. What is wanted was looked for by name.
    pub unlisted: BTreeMap<&'static str, Why>,
}

/// Looks at IAM. The OIDC provider is the part of the cluster's name. Two lists, then three requests for each role that is there, one for
/// each that is not, one for each inline policy and one for the provider.
pub async fn observe(aws: &Aws, marks: &Marks, looking: &Looking<'_>) -> IamSeen {
    let (roles, provider) = futures::join!(roles(aws, marks, looking), oidc::observe(aws, marks, &looking.place));
    let mut seen = roles;
    match provider {
        Ok(Some(found)) => {
            seen.found.insert(PartId::new(sort::OIDC_PROVIDER, &marks.cluster), found);
        }
        Ok(None) => {}
        Err(error) => {
            seen.unknown.insert(sort::OIDC_PROVIDER, error.why());
        }
    }
    seen
}

async fn roles(aws: &Aws, marks: &Marks, looking: &Looking<'_>) -> IamSeen {
    let mut seen = IamSeen::default();
    let listed = match role::listed(aws, marks).await {
        Ok(listed) => listed,
        Err(error) => {
            seen.unlisted.insert(sort::ROLE, error.why());
            BTreeMap::new()
        }
    };
    let wanted: BTreeMap<String, &String> = looking.roles.iter().map(|part| (marks.role_name(part), part)).collect();
    let names: BTreeSet<&String> = listed.keys().chain(wanted.keys()).collect();
    let looks = names.into_iter().map(|name| {
        let listed = listed.get(name).cloned();
        async move { (name, role::look(aws, name, listed, &looking.place).await) }
    });
    for (name, found) in futures::future::join_all(looks).await {
        let part = wanted.get(name).map(|part| (*part).clone());
        match found {
            Ok(found) => {
                // One under our path that is not wanted is ours by its marks alone.
                let part = part.or_else(|| found.tags.get(PART).filter(|_| marks.are_on(&found.tags)).cloned());
                if let Some(part) = part {
                    seen.found.insert(PartId::new(sort::ROLE, part), found);
                }
            }
            Err(error) if error.kind == AwsErrorKind::NotFound => {}
            Err(error) => {
                let place = if part.is_some() { &mut seen.unknown } else { &mut seen.unlisted };
                place.insert(sort::ROLE, error.why());
            }
        }
    }
    seen
}

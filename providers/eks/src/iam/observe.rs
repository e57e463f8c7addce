//! What is there in IAM: the roles that are wanted, those of ours that no longer are, and the OIDC provider.

use std::collections::{BTreeMap, BTreeSet};

use wbk_provider_api::{PartId, Why};

use super::oidc;
use super::role::{self, Looked};
use super::trust::Place;
use crate::aws::Aws;
use crate::error::{AwsError, AwsErrorKind};
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

/// Looks at IAM. The OIDC provider is the part of the cluster's name. Two lists, three requests for each role that is wanted or ours, one
/// for each inline policy and one for the provider; no request waits for more than one other.
pub async fn observe(aws: &Aws, marks: &Marks, looking: &Looking<'_>) -> IamSeen {
    let (roles, providers) = futures::join!(roles(aws, marks, &looking.roles, Others::Too), providers(aws));
    let mut seen = roles.told(marks, &looking.place);
    seen.take(provider(aws, marks, providers, &looking.place).await);
    seen
}

/// Whether roles of ours are looked for that nobody names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Others {
    /// Those under our path.
    Too,
    /// Only those that are named.
    Left,
}

/// What IAM answered about roles. Whom they trust is told when the cluster's issuer is known.
#[derive(Default)]
pub struct Roles {
    /// By IAM's name of each: the part that it is wanted as, and the answer.
    looked: BTreeMap<String, (Option<String>, Result<Looked, AwsError>)>,
    unlisted: Option<Why>,
}

/// Looks at the roles of these parts, and at those of ours that nobody names.
pub async fn roles(aws: &Aws, marks: &Marks, parts: &BTreeSet<String>, others: Others) -> Roles {
    let wanted: BTreeMap<String, String> = parts.iter().map(|part| (marks.role_name(part), part.clone())).collect();
    let named = futures::future::join_all(wanted.keys().map(|name| role::look(aws, name)));
    let unnamed = async {
        let listed = match others {
            Others::Too => role::listed(aws, marks).await?,
            Others::Left => BTreeSet::new(),
        };
        let names: Vec<String> = listed.into_iter().filter(|name| !wanted.contains_key(name)).collect();
        let looked = futures::future::join_all(names.iter().map(|name| role::look(aws, name))).await;
        Ok(names.into_iter().zip(looked).collect::<Vec<_>>())
    };
    let (named, unnamed): (Vec<_>, Result<_, AwsError>) = futures::join!(named, unnamed);
    let mut roles = Roles::default();
    for ((name, part), looked) in wanted.iter().zip(named) {
        roles.looked.insert(name.clone(), (Some(part.clone()), looked));
    }
    match unnamed {
        Ok(unnamed) => {
            roles.looked.extend(unnamed.into_iter().map(|(name, looked)| (name, (None, looked))));
        }
        Err(error) => roles.unlisted = Some(error.why()),
    }
    roles
}

impl Roles {
    /// They in our words.
    pub fn told(self, marks: &Marks, place: &Place<'_>) -> IamSeen {
        let mut seen = IamSeen::default();
        seen.unlisted.extend(self.unlisted.map(|why| (sort::ROLE, why)));
        for (part, looked) in self.looked.into_values() {
            match looked {
                Ok(looked) => {
                    // One under our path that is not wanted is ours by its marks alone.
                    let marked = || looked.tags().get(PART).filter(|_| marks.are_on(looked.tags())).cloned();
                    if let Some(part) = part.or_else(marked) {
                        seen.found.insert(PartId::new(sort::ROLE, part), looked.found(place));
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
}

/// ARNs of all OIDC providers of the account.
///
/// # Errors
/// IAM's words.
pub async fn providers(aws: &Aws) -> Result<Vec<String>, AwsError> {
    oidc::listed(aws).await
}

/// The cluster's OIDC provider among them.
pub async fn provider(aws: &Aws, marks: &Marks, listed: Result<Vec<String>, AwsError>, place: &Place<'_>) -> IamSeen {
    let mut seen = IamSeen::default();
    match oidc::observe(aws, marks, listed, place).await {
        Ok(found) => {
            seen.found.extend(found.map(|found| (PartId::new(sort::OIDC_PROVIDER, &marks.cluster), found)));
        }
        Err(error) => {
            seen.unknown.insert(sort::OIDC_PROVIDER, error.why());
        }
    }
    seen
}

impl IamSeen {
    /// Both.
    pub fn take(&mut self, other: Self) {
        let Self { found, unknown, unlisted } = other;
        self.found.extend(found);
        self.unknown.extend(unknown);
        self.unlisted.extend(unlisted);
    }
}

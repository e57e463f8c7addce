//! Which kinds the API server has: two requests in the aggregated form of Kubernetes 1.27 and later.

use std::collections::BTreeMap;

use serde::Deserialize;

use crate::id::{GroupKind, Gvk};

/// One kind as the API server serves it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resource {
    /// Group, the version asked for or else the preferred one, and kind.
    pub gvk: Gvk,
    /// Name in paths, `deployments`.
    pub plural: String,
    /// Whether its objects live in namespaces.
    pub namespaced: bool,
}

/// Every kind that can be listed.
#[derive(Debug, Clone, Default)]
pub struct Discovery {
    kinds: BTreeMap<GroupKind, Vec<Resource>>,
    /// Group versions whose server did not answer (a broken APIService): their kinds are unknown, not absent.
    pub stale: Vec<String>,
}

impl Discovery {
    /// The kind in the version asked for, or `None` where it is not served in it.
    pub fn find(&self, gvk: &Gvk) -> Option<&Resource> {
        self.kinds.get(&gvk.group_kind())?.iter().find(|resource| resource.gvk.version == gvk.version)
    }

    /// The kind in its preferred version.
    pub fn preferred(&self, kind: &GroupKind) -> Option<&Resource> {
        self.kinds.get(kind)?.first()
    }

    /// Whether a group could not be discovered although it is registered.
    pub fn is_stale(&self, gvk: &Gvk) -> bool {
        self.stale.iter().any(|stale| *stale == gvk.api_version())
    }

    /// Every kind in its preferred version.
    pub fn all(&self) -> impl Iterator<Item = &Resource> {
        self.kinds.values().filter_map(|versions| versions.first())
    }

    /// `group/version` and `group/version/Kind` for charts' `.Capabilities.APIVersions`.
    pub fn api_versions(&self) -> Vec<String> {
        let mut all: Vec<String> = self
            .kinds
            .values()
            .flatten()
            .flat_map(|resource| {
                [resource.gvk.api_version(), format!("{}/{}", resource.gvk.api_version(), resource.gvk.kind)]
            })
            .collect();
        all.sort();
        all.dedup();
        all
    }

    /// Adds an answer of `/api` or `/apis`.
    pub(super) fn add(&mut self, body: &[u8]) -> Result<(), String> {
        let list: GroupList = serde_json::from_slice(body).map_err(|error| error.to_string())?;
        for group in list.items {
            let name = group.metadata.name.unwrap_or_default();
            for version in group.versions {
                if version.freshness.as_deref() == Some("Stale") {
                    self.stale.push(if name.is_empty() {
                        version.version.clone()
                    } else {
                        format!("{name}/{}", version.version)
                    });
                }
                for resource in version.resources {
                    let Some(kind) = resource.response_kind else { continue };
                    let own = |part: String, fallback: &str| if part.is_empty() { fallback.to_owned() } else { part };
                    let gvk = Gvk {
                        group: own(kind.group.unwrap_or_default(), &name),
                        version: own(kind.version.unwrap_or_default(), &version.version),
                        kind: kind.kind,
                    };
                    if !["list", "patch"].iter().all(|verb| resource.verbs.iter().any(|have| have == verb)) {
                        continue;
                    }
                    self.kinds.entry(gvk.group_kind()).or_default().push(Resource {
                        gvk,
                        plural: resource.resource,
                        namespaced: resource.scope == "Namespaced",
                    });
                }
            }
        }
        Ok(())
    }
}

#[derive(Deserialize)]
struct GroupList {
    items: Vec<Group>,
}

#[derive(Deserialize)]
struct Group {
    #[serde(default)]
    metadata: GroupMeta,
    #[serde(default)]
    versions: Vec<Version>,
}

#[derive(Deserialize, Default)]
struct GroupMeta {
    name: Option<String>,
}

#[derive(Deserialize)]
struct Version {
    version: String,
    #[serde(default)]
    resources: Vec<Served>,
    freshness: Option<String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Served {
    resource: String,
    response_kind: Option<Kind>,
    #[serde(default)]
    scope: String,
    #[serde(default)]
    verbs: Vec<String>,
}

#[derive(Deserialize)]
struct Kind {
    group: Option<String>,
    version: Option<String>,
    kind: String,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_groups_scopes_and_stale_versions() {
        let mut discovery = Discovery::default();
        let body = br#"{"items":[{"metadata":{"name":"apps"},"versions":[
            {"version":"v1","freshness":"Current","resources":[{"resource":"deployments","responseKind":{"group":"","version":"","kind":"Deployment"},"scope":"Namespaced","verbs":["list","patch"]}]},
            {"version":"v9","freshness":"Stale","resources":[]}]}]}"#;
        discovery.add(body).expect("parses");
        let found = discovery.find(&Gvk::new("apps/v1", "Deployment")).expect("found");
        assert_eq!((found.plural.as_str(), found.namespaced), ("deployments", true));
        assert!(discovery.is_stale(&Gvk::new("apps/v9", "Deployment")));
        assert!(discovery.find(&Gvk::new("apps/v2", "Deployment")).is_none());
    }
}

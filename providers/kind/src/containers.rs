//! Nodes as the container engine sees them: what an inspection says, read strictly. Pure.

use serde::Deserialize;

use crate::KindError;

/// The label by which kind finds the containers of a cluster.
pub(crate) const CLUSTER_LABEL: &str = "io.x-k8s.kind.cluster";
const ROLE_LABEL: &str = "io.x-k8s.kind.role";

/// What is mounted into each node of ours, read-only and empty: its path in the container says whose the node is. Labels of
/// containers cannot be chosen through kind, and what is in the cluster cannot be read when it does not run.
const MARK: &str = "/wbk-infra/blueprint/";
/// The control plane that belongs to no pool.
const NO_POOL: &str = "-";

/// The path that marks a node.
pub(crate) fn mark(blueprint: &str, pool: Option<&str>) -> String {
    format!("{MARK}{blueprint}/pool/{}", pool.unwrap_or(NO_POOL))
}

/// A node's container.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Container {
    /// Its name, and the node's.
    pub name: String,
    /// The engine's id.
    pub id: String,
    /// The image that it was made from, as it was named.
    pub image: String,
    /// `true` while it runs.
    pub running: bool,
    pub role: Role,
    /// The blueprint that it is marked with.
    pub blueprint: Option<String>,
    /// The pool that it is marked with.
    pub pool: Option<String>,
}

/// What a container is in its cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    ControlPlane,
    Worker,
    /// A load balancer, or what a newer kind has.
    Other,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
    name: String,
    state: State,
    config: Config,
    #[serde(default)]
    mounts: Vec<Mount>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct State {
    running: bool,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Config {
    #[serde(default)]
    image: String,
    #[serde(default)]
    labels: Option<std::collections::BTreeMap<String, String>>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Mount {
    #[serde(default)]
    destination: String,
}

/// Reads what `docker inspect` (podman's and nerdctl's too) prints.
pub(crate) fn read(json: &str) -> Result<Vec<Container>, KindError> {
    let inspected: Vec<Inspected> = serde_json::from_str(json)
        .map_err(|error| KindError::Answer { command: "inspect".into(), what: error.to_string() })?;
    let mut containers: Vec<Container> = inspected
        .into_iter()
        .map(|found| {
            let labels = found.config.labels.unwrap_or_default();
            let mark = found.mounts.iter().find_map(|mount| {
                let (blueprint, pool) = mount.destination.strip_prefix(MARK)?.split_once("/pool/")?;
                Some((blueprint.to_owned(), (pool != NO_POOL).then(|| pool.to_owned())))
            });
            let (blueprint, pool) = mark.map_or((None, None), |(blueprint, pool)| (Some(blueprint), pool));
            Container {
                name: found.name.trim_start_matches('/').to_owned(),
                id: found.id,
                image: found.config.image,
                running: found.state.running,
                role: match labels.get(ROLE_LABEL).map(String::as_str) {
                    Some("control-plane") => Role::ControlPlane,
                    Some("worker") => Role::Worker,
                    Some(_) | None => Role::Other,
                },
                blueprint,
                pool,
            }
        })
        .collect();
    containers.sort_by(|left, right| left.name.cmp(&right.name));
    Ok(containers)
}

/// Whose the containers are; `Err` says whose, where they are not the blueprint's.
pub(crate) fn owned(containers: &[Container], blueprint: &str) -> Result<(), String> {
    for container in containers {
        match &container.blueprint {
            Some(owner) if owner == blueprint => {}
            Some(owner) => return Err(format!("it belongs to the blueprint {owner}")),
            None => return Err(format!("{} was not made by wbk-infra", container.name)),
        }
    }
    Ok(())
}

/// The control plane.
pub(crate) fn control_plane(containers: &[Container]) -> Option<&Container> {
    containers.iter().find(|container| container.role == Role::ControlPlane)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As dockerd 20.10 answered for nodes that kind v0.33.0 made, without what is not read.
    const INSPECTED: &str = r#"[
        {"Id": "bb", "Name": "/k-worker", "State": {"Status": "running", "Running": true}, "Config": {"Image": "kindest/node:x",
         "Labels": {"io.x-k8s.kind.cluster": "k", "io.x-k8s.kind.role": "worker"}},
         "Mounts": [{"Type": "volume", "Destination": "/var"}, {"Type": "bind", "Destination": "/wbk-infra/blueprint/b/pool/a100"}]},
        {"Id": "aa", "Name": "/k-control-plane", "State": {"Running": false}, "Config": {"Image": "kindest/node:x",
         "Labels": {"io.x-k8s.kind.cluster": "k", "io.x-k8s.kind.role": "control-plane"}},
         "Mounts": [{"Destination": "/wbk-infra/blueprint/b/pool/-"}]}]"#;

    #[test]
    fn marks_say_whose_a_node_is_and_of_which_pool() {
        let containers = read(INSPECTED).unwrap();
        assert_eq!(containers[0].name, "k-control-plane");
        assert_eq!((containers[0].running, containers[0].pool.as_deref()), (false, None));
        assert_eq!((containers[1].running, containers[1].pool.as_deref()), (true, Some("a100")));
        assert_eq!(control_plane(&containers).unwrap().id, "aa");
        owned(&containers, "b").unwrap();
        assert_eq!(owned(&containers, "c").unwrap_err(), "it belongs to the blueprint b");
        assert_eq!(mark("b", Some("a100")), "/wbk-infra/blueprint/b/pool/a100");
    }

    #[test]
    fn a_cluster_without_marks_is_somebody_elses() {
        let foreign = INSPECTED.replace("/wbk-infra/", "/other/");
        assert!(owned(&read(&foreign).unwrap(), "b").unwrap_err().contains("was not made by wbk-infra"));
        assert!(read("Error: no such object").is_err());
    }
}

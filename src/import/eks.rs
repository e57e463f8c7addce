//! An EKS cluster as a blueprint.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};
use wbk_provider_api::{Capacity, EksSupport, PartId};
use wbk_provider_eks::catalog::{self, Machine};
use wbk_provider_eks::import::{AddonSeen, Configuration, EntrySeen, GroupSeen, Sighting};
use wbk_provider_eks::part::{Part, Role, Trust, sort};
use wbk_provider_eks::shape::{RoleRef, SubnetRef};
use wbk_provider_eks::template::Template;
use wbk_provider_eks::wanted::{ADDON_IDENTITIES, identity_role};

use super::{Remark, Written};
use crate::blueprint::{Blueprint, to_yaml};
use crate::desired::{AUTOSCALER, Protect, derived_labels, derived_taints};

/// Add-ons that every cluster of the tool's own has, and the one that node repair brings.
const OWN_ADDONS: [&str; 5] =
    ["vpc-cni", "coredns", "kube-proxy", "eks-pod-identity-agent", "eks-node-monitoring-agent"];
/// The label that says which accelerator nodes of the tool's own have, in the blueprint's spelling.
const ACCELERATOR_LABEL: &str = "wbk-infra/accelerator";

/// Writes it. `protect` is what in the cluster it shall leave alone.
pub fn blueprint(seen: &Sighting, protect: &[Protect]) -> Written {
    let mut writer = Writer { seen, remarks: Vec::new() };
    let mut whole = writer.whole(protect);
    take_what_follows(&mut whole);
    for (what, is) in &seen.more {
        writer.remark(what, is);
    }
    for (what, why) in &seen.unseen {
        writer.remark(what, format!("could not be looked at, and is not written: {}", why.0));
    }
    let text = writer.text(&whole);
    Written { text, remarks: writer.remarks }
}

struct Writer<'a> {
    seen: &'a Sighting,
    remarks: Vec<Remark>,
}

impl Writer<'_> {
    fn remark(&mut self, what: impl Into<String>, is: impl Into<String>) {
        self.remarks.push(Remark { what: what.into(), is: is.into() });
    }

    fn is_ours(&self) -> bool {
        self.seen.blueprint.is_some()
    }

    fn whole(&mut self, protect: &[Protect]) -> Value {
        let seen = self.seen;
        let name = seen.blueprint.clone().unwrap_or_else(|| label(&seen.name));
        let mut cluster = json!({
            "provider": "eks",
            "region": seen.region,
            "version": seen.cluster.shape.version,
            "eks": self.section(),
        });
        if self.is_ours() && name != seen.name {
            cluster["name"] = json!(seen.name);
        }
        let mut whole = json!({
            "apiVersion": "wbk-infra/v1",
            "kind": "Platform",
            "metadata": {"name": name},
            "cluster": cluster,
            "nodePools": self.pools(),
        });
        let namespaces = self.namespaces();
        if !namespaces.is_empty() {
            whole["namespaces"] = json!(namespaces);
        }
        if !protect.is_empty() {
            whole["policy"] = json!({"protect": protect});
        }
        whole
    }

    fn section(&mut self) -> Value {
        let seen = self.seen;
        let shape = &seen.cluster.shape;
        let mut section = Map::new();
        let mut set = |key: &str, value: Value| section.insert(key.to_owned(), value);
        match self.is_ours() {
            true => set("account", json!(seen.account)),
            false => set("given", json!(seen.cluster.arn)),
        };
        set("network", network(seen));
        let everywhere = BTreeSet::from(["0.0.0.0/0".to_owned()]);
        let endpoint = &shape.endpoint;
        if !(endpoint.public && endpoint.private && endpoint.public_cidrs == everywhere) {
            let mut written = json!({"public": endpoint.public, "private": endpoint.private});
            if endpoint.public && endpoint.public_cidrs != everywhere {
                written["publicCidrs"] = json!(endpoint.public_cidrs);
            }
            set("endpoint", written);
        }
        match shape.authentication.as_str() {
            "API_AND_CONFIG_MAP" => {
                set("authentication", json!("api-and-config-map"));
            }
            // EKS says nothing of clusters that are older than the choice.
            "CONFIG_MAP" => {
                set("authentication", json!("config-map"));
            }
            _ => {}
        }
        if !shape.logging.is_empty() {
            set("logging", json!(shape.logging));
        }
        if let Some(key) = &shape.encryption_key {
            set("encryptionKey", json!(key));
        }
        if shape.support == EksSupport::Extended {
            set("support", json!("extended"));
        }
        if shape.deletion_protection {
            set("deletionProtection", json!(true));
        }
        if let (true, RoleRef::Arn(arn)) = (self.is_ours(), &shape.role) {
            set("clusterRole", json!(arn));
        }
        let node_role = seen.groups.values().find_map(|group| match &group.found.shape.role {
            RoleRef::Arn(arn) => Some(arn.clone()),
            RoleRef::Part(_) => None,
        });
        if let Some(role) = node_role {
            set("nodeRole", json!(role));
        }
        if self.is_ours() {
            let own = |key: &&String| !key.starts_with("wbk-infra/") && !key.starts_with("aws:") && *key != "Name";
            let tags: BTreeMap<&String, &String> = seen.cluster.tags.iter().filter(|(key, _)| own(key)).collect();
            if !tags.is_empty() {
                set("tags", json!(tags));
            }
            let scaled = |group: &GroupSeen| {
                group
                    .found
                    .scaling_groups
                    .values()
                    .any(|tags| tags.keys().any(|key| key.starts_with("k8s.io/cluster-autoscaler/")))
            };
            let told = seen.groups.values().any(|group| !group.found.scaling_groups.is_empty());
            if told && !seen.groups.values().any(scaled) {
                set("autoscaler", json!("none"));
            }
        } else {
            // Whoever adds nodes there now goes on with it.
            set("autoscaler", json!("none"));
        }
        let addons: Vec<Value> = seen.addons.iter().filter_map(|(name, addon)| self.addon(name, addon)).collect();
        if !addons.is_empty() {
            section.insert("addons".into(), json!(addons));
        }
        let access: Vec<Value> = seen.access.iter().filter_map(|(who, entry)| self.entry(who, entry)).collect();
        if !access.is_empty() {
            section.insert("access".into(), json!(access));
        }
        Value::Object(section)
    }

    fn addon(&mut self, name: &str, addon: &AddonSeen) -> Option<Value> {
        for more in &addon.more {
            self.remark(format!("add-on {name}"), more.clone());
        }
        match &addon.configuration {
            Some(Configuration::Values(values)) => Some(json!({"name": name, "configuration": values})),
            Some(Configuration::Text) => {
                self.remark(format!("add-on {name}"), "its configuration is no JSON; it stays as it is");
                Some(json!(name))
            }
            None if self.is_ours() && OWN_ADDONS.contains(&name) => None,
            None => Some(json!(name)),
        }
    }

    fn entry(&mut self, principal: &str, entry: &EntrySeen) -> Option<Value> {
        let what = format!("access entry {principal}");
        // EKS makes the others itself, for nodes.
        if entry.kind != "STANDARD" {
            return None;
        }
        if self.is_ours() && !entry.ours {
            self.remark(what, "it is somebody else's, and stays");
            return None;
        }
        let mut written = json!({"principal": principal});
        match entry.policies.iter().collect::<Vec<_>>()[..] {
            [] => {}
            [(policy, _)] if !catalog::ACCESS_POLICIES.contains(&policy.as_str()) => {
                self.remark(what, format!("its access policy {policy} is not known here; it stays as it is"));
                return None;
            }
            [(policy, namespaces)] => {
                written["policy"] = json!(policy);
                if !namespaces.is_empty() {
                    written["namespaces"] = json!(namespaces);
                }
            }
            ref several => {
                let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
                self.remark(what, format!("it has several access policies ({}); it stays as it is", names.join(", ")));
                return None;
            }
        }
        if !entry.groups.is_empty() {
            written["groups"] = json!(entry.groups);
        }
        Some(written)
    }

    fn pools(&mut self) -> Vec<Value> {
        let mut pools = Vec::new();
        let mut names = BTreeSet::new();
        for (group, seen) in &self.seen.groups {
            let what = format!("node group {group}");
            if matches!(seen.found.status.as_str(), "DELETING" | "CREATE_FAILED" | "DELETE_FAILED") {
                self.remark(what, format!("its state is {}; it is not written", seen.found.status));
                continue;
            }
            let name = seen.found.pool.clone().unwrap_or_else(|| free(label(group), &names));
            if !names.insert(name.clone()) {
                self.remark(what, format!("pool {name} has another node group too: a replacement is under way"));
                continue;
            }
            if let Some(pool) = self.pool(&name, group, seen) {
                pools.push(pool);
            }
        }
        pools
    }

    fn pool(&mut self, name: &str, group: &str, seen: &GroupSeen) -> Option<Value> {
        let shape = &seen.found.shape;
        let what = format!("node group {group}");
        let ours = seen.found.pool.is_some();
        let machines = machines(shape.machines.iter().chain(&seen.machine));
        let Some((first, rest)) = machines.split_first() else {
            self.remark(what, "its launch template names no one machine; it is not written, and stays as it is");
            return None;
        };
        if catalog::machine(first).is_none() {
            self.remark(
                &what,
                format!("its machine {first} is newer than this program: say what a node leaves to pods as `shape`"),
            );
        }
        for more in &seen.more {
            self.remark(&what, more.clone());
        }
        let size = json!({"min": shape.min, "max": shape.max});
        let mut pool = json!({"name": name, "machine": first, "size": size});
        if shape.capacity == Capacity::Spot {
            pool["capacity"] = json!("spot");
        }
        if let Some(accelerator) = accelerator(seen, first) {
            pool["accelerator"] = accelerator;
        }
        if !shape.labels.is_empty() {
            pool["labels"] = json!(shape.labels);
        }
        if !shape.taints.is_empty() {
            pool["taints"] = json!(shape.taints);
        }
        let mut section = Map::new();
        if !ours {
            section.insert("group".into(), json!(group));
        }
        if !rest.is_empty() {
            section.insert("also".into(), json!(rest));
        }
        let usual = catalog::machine(first).map_or("AL2023_x86_64_STANDARD", catalog::ami);
        if shape.ami != usual && shape.ami != "CUSTOM" && !shape.ami.is_empty() {
            section.insert("ami".into(), json!(shape.ami));
        }
        if shape.ami == "CUSTOM" {
            self.remark(&what, "an image of somebody's own; it stays as it is");
        }
        if !shape.version.is_empty() && shape.version != self.seen.cluster.shape.version && shape.ami != "CUSTOM" {
            section.insert("version".into(), json!(shape.version));
        }
        if shape.max_unavailable > 1 {
            section.insert("maxUnavailable".into(), json!(shape.max_unavailable));
        }
        if shape.repair {
            section.insert("repair".into(), json!(true));
        }
        if ours {
            if let Some(gib) = shape.disk_gib {
                section.insert("disk".into(), json!(format!("{gib}Gi")));
            }
            if let Some(template) = &shape.template {
                template_words(&mut section, template);
            }
            let zones = self.zones_of(&shape.subnets);
            if !zones.is_empty() {
                section.insert("zones".into(), json!(zones));
            }
        }
        if !section.is_empty() {
            pool["eks"] = Value::Object(section);
        }
        Some(pool)
    }

    /// The zones that nodes are in, where they are not in all of the network's.
    fn zones_of(&self, subnets: &BTreeSet<SubnetRef>) -> BTreeSet<String> {
        let zone = |subnet: &SubnetRef| match subnet {
            SubnetRef::Part(name) => match &self.seen.parts.get(&PartId::new(sort::SUBNET, name.clone()))?.part {
                Part::Subnet { zone, .. } => Some(zone.clone()),
                _ => None,
            },
            SubnetRef::Id(_) => None,
        };
        let in_use: BTreeSet<String> = subnets.iter().filter_map(zone).collect();
        if in_use == zones(self.seen) { BTreeSet::new() } else { in_use }
    }

    /// Service accounts that are somebody in AWS by the blueprint. Somebody else's are remarked.
    fn namespaces(&mut self) -> Vec<Value> {
        let seen = self.seen;
        let mut identities: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        let of_addons = |namespace: &str, account: &str| {
            // Cluster Autoscaler's follows from who scales the pools.
            let of_addon = |(addon, own, _): &(&str, &str, &str)| *own == account && seen.addons.contains_key(*addon);
            namespace == "kube-system" && (account == AUTOSCALER || ADDON_IDENTITIES.iter().any(of_addon))
        };
        let role = |namespace: &str, account: &str| match &seen
            .parts
            .get(&PartId::new(sort::ROLE, identity_role(namespace, account)))?
            .part
        {
            Part::Role(role) => Some(role.clone()),
            _ => None,
        };
        for (name, identity) in &seen.identities {
            let (namespace, account) = (&identity.namespace, &identity.service_account);
            if identity.of_addon || (identity.ours && of_addons(namespace, account)) {
                continue;
            }
            match role(namespace, account).filter(|_| identity.ours) {
                Some(role) => identities.entry(namespace.clone()).or_default().push(granted(account, &role, None)),
                None => self.remark(
                    format!("service account {name}"),
                    format!("it is {} by EKS Pod Identity; both are somebody else's, and stay", identity.role),
                ),
            }
        }
        for found in seen.parts.values() {
            if let Part::Role(role) = &found.part
                && let Trust::ServiceAccount { namespace, name } = &role.trust
            {
                identities.entry(namespace.clone()).or_default().push(granted(name, role, Some("irsa")));
            }
        }
        let namespace = |(name, identities): (String, Vec<Value>)| json!({"name": name, "identities": identities});
        identities.into_iter().map(namespace).collect()
    }

    fn text(&self, whole: &Value) -> String {
        let seen = self.seen;
        let mut text =
            format!("# EKS cluster {} in {}, as it was seen by `wbk-infra import eks`.\n", seen.name, seen.region);
        if !self.is_ours() {
            text += "# It stays whose it is (`given`, `group`): what is written here is kept so; nothing of it is tagged, replaced or deleted.\n";
        }
        for key in ["apiVersion", "kind", "metadata", "cluster", "nodePools", "namespaces", "policy"] {
            let Some(value) = whole.get(key) else { continue };
            if value.is_object() || value.is_array() {
                text += "\n";
            }
            if key == "nodePools" && seen.groups.values().any(|group| group.found.pool.is_none()) {
                text += LABEL_HINT;
            }
            if key == "policy" {
                text += "# In the cluster, of this blueprint, and not written here: left alone.\n";
            }
            text += &to_yaml(&json!({key: value}));
        }
        if !self.remarks.is_empty() {
            text += "\n# What this file does not say, and what stays as it is:\n";
            for remark in &self.remarks {
                text += &format!("# - {}\n", remark.to_string().replace('\n', " "));
            }
        }
        text
    }
}

const LABEL_HINT: &str = "\
# Labels and taints of somebody else's node groups are those written here, and no other. Queues of W&B Launch and the checks choose nodes by
# a label; to let them, give a pool `labels: {wbk-infra/pool: ITS NAME}`, which changes the node group in place.
";

fn granted(account: &str, role: &Role, via: Option<&str>) -> Value {
    let name = |arn: &String| match arn.split_once(":iam::aws:policy/") {
        Some((_, name)) => name.to_owned(),
        None => arn.clone(),
    };
    let mut grants = json!({"policies": role.managed.iter().map(name).collect::<Vec<_>>()});
    if !role.inline.is_empty() {
        grants["inline"] = json!(role.inline);
    }
    if let Some(via) = via {
        grants["via"] = json!(via);
    }
    json!({"serviceAccount": account, "grants": {"eks": grants}})
}

fn zones(seen: &Sighting) -> BTreeSet<String> {
    let zone = |part: &Part| match part {
        Part::Subnet { zone, .. } => Some(zone.clone()),
        _ => None,
    };
    seen.parts.values().filter_map(|found| zone(&found.part)).collect()
}

fn network(seen: &Sighting) -> Value {
    let cidr = seen.parts.values().find_map(|found| match &found.part {
        Part::Vpc { cidr, .. } => Some(cidr.clone()),
        _ => None,
    });
    let Some(cidr) = cidr else { return json!({"subnets": seen.cluster.subnet_ids}) };
    let gateways = seen.parts.keys().filter(|id| id.sort == sort::NAT_GATEWAY).count();
    let nat = match gateways {
        0 => "none",
        1 => "one",
        _ => "per-zone",
    };
    json!({"cidr": cidr, "zones": zones(seen), "nat": nat})
}

/// GPUs of one node: as the blueprint spelled them where it made the nodes, by the machine otherwise.
fn accelerator(seen: &GroupSeen, machine: &str) -> Option<Value> {
    let gpu = catalog::machine(machine)?.gpu.as_ref().filter(|gpu| gpu.count > 0)?;
    let model = match seen.found.pool {
        Some(_) => seen.found.shape.labels.get(ACCELERATOR_LABEL)?,
        None => &gpu.model,
    };
    Some(json!({"model": model, "count": gpu.count}))
}

/// Machines, the smallest first: what a node leaves to pods is the first one's.
fn machines<'a>(names: impl Iterator<Item = &'a String>) -> Vec<String> {
    let mut names: Vec<String> = names.cloned().collect();
    let size = |machine: &Machine| (machine.vcpus, machine.memory_mib);
    names.sort_by_key(|name| (catalog::machine(name).map_or((u32::MAX, u64::MAX), size), name.clone()));
    names.dedup();
    names
}

/// A name in the letters that names here have.
fn label(name: &str) -> String {
    let plain: String =
        name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).take(63).collect();
    let plain = plain.trim_matches('-');
    if plain.is_empty() { "imported".to_owned() } else { plain.to_owned() }
}

/// The name, with a number where another has it.
fn free(name: String, taken: &BTreeSet<String>) -> String {
    let numbered = (2..).map(|number| format!("{}-{number}", &name[..name.len().min(60)]));
    std::iter::once(name.clone()).chain(numbered).find(|name| !taken.contains(name)).unwrap_or(name)
}

/// Takes the labels and taints out that follow from the pools by themselves.
fn take_what_follows(whole: &mut Value) {
    // It is written a few lines above, in the language's own words: what is none is told when it is read.
    let Ok(blueprint) = serde_json::from_value::<Blueprint>(whole.clone()) else { return };
    let Some(pools) = whole["nodePools"].as_array_mut() else { return };
    for (written, pool) in pools.iter_mut().zip(&blueprint.node_pools) {
        let labels: BTreeSet<(&str, String)> =
            derived_labels(&blueprint, pool).into_iter().map(|(key, value, _)| (key, value)).collect();
        let taints: Vec<Value> = derived_taints(pool).into_iter().map(|derived| json!(derived.taint)).collect();
        if let Some(own) = written["labels"].as_object_mut() {
            own.retain(|key, value| !labels.contains(&(key.as_str(), value.as_str().unwrap_or_default().to_owned())));
        }
        if let Some(own) = written["taints"].as_array_mut() {
            own.retain(|taint| !taints.contains(taint));
        }
        if let Some(pool) = written.as_object_mut() {
            pool.retain(|_, value| !is_nothing(value));
        }
    }
}

fn is_nothing(value: &Value) -> bool {
    value.is_null() || value.as_object().is_some_and(Map::is_empty) || value.as_array().is_some_and(Vec::is_empty)
}

/// What a launch template of ours says, in the blueprint's words.
fn template_words(section: &mut Map<String, Value>, template: &Template) {
    let disk = &template.disk;
    let mut words = json!({"size": format!("{}Gi", disk.gib)});
    if disk.kind != "gp3" {
        words["type"] = json!(disk.kind);
    }
    for (key, value) in [("throughput", disk.throughput), ("iops", disk.iops)] {
        if let Some(value) = value {
            words[key] = json!(value);
        }
    }
    if let Some(key) = &disk.key {
        words["key"] = json!(key);
    }
    section.insert("disk".into(), words);
    if template.interfaces.values().any(|kind| kind == "efa") {
        section.insert("efa".into(), json!(true));
    }
    if let Some(block) = &template.capacity_block {
        section.insert("capacityBlock".into(), json!(block));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_groups_become_names_of_pools() {
        let taken = BTreeSet::from(["ng-1".to_owned(), "ng-1-2".to_owned()]);
        assert_eq!(label("NG_1"), "ng-1");
        assert_eq!(label("__"), "imported");
        assert_eq!(free(label("NG_1"), &taken), "ng-1-3");
    }

    #[test]
    fn the_smallest_machine_is_what_a_node_leaves() {
        let names = ["g6.4xlarge", "g6.xlarge", "x99.new"].map(str::to_owned);
        assert_eq!(machines(names.iter()), ["g6.xlarge", "g6.4xlarge", "x99.new"]);
    }
}

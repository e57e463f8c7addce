//! The fixed point: which DaemonSet lands where, and what labels and resources arrive because it does.

use std::rc::Rc;

use super::super::scheduler::{Found, LabelValue, MayHave, Node, Placed, Pod, Refusal, Surroundings, Verdict, verdict};
use super::group::Group;
use super::live::OF_THE_CLUSTER;
use super::role::Role;
use super::workload::{Context, Kind, Manifest, Workload};

/// Kinds of nodes with everything that arrives on them.
pub struct World<'a> {
    /// Kinds of nodes.
    pub groups: Vec<Group>,
    /// The node that stands for each.
    pub nodes: Vec<Node>,
    /// Workloads.
    pub workloads: Vec<Workload>,
    /// One pod of each, without what it wants of other pods: that is another question.
    pub pods: Vec<Rc<Pod>>,
    /// What all manifests say.
    pub context: Context,
    /// All manifests.
    pub manifests: &'a [Manifest<'a>],
    /// What NFD workers are told to look for.
    pub discovery: Discovery,
    /// Whether what this platform brings to live nodes is still to come.
    pub expects_more: bool,
    /// Nodes at birth, one of each kind: what an autoscaler thinks of.
    newborn: Vec<Node>,
    claims: Rc<std::collections::BTreeMap<(String, String), super::super::scheduler::Claim>>,
}

/// What an NFD worker looks for on the PCI bus.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Discovery {
    /// `deviceLabelFields`.
    pub fields: Vec<String>,
    /// `deviceClassWhitelist`.
    pub classes: Vec<String>,
    /// Whether somebody writes what the workers find.
    pub master: bool,
}

/// What NFD's labels begin with.
pub const NFD: &str = "feature.node.kubernetes.io/";

impl Discovery {
    /// Reads it from the worker's configuration. Defaults of NFD 0.19: class and vendor, classes 03, 0b40 and 12.
    fn of(manifests: &[Manifest<'_>], workloads: &[Workload]) -> Self {
        let configs = manifests.iter().filter(|manifest| manifest.value["kind"] == "ConfigMap");
        let config = configs.filter_map(|manifest| manifest.value["data"]["nfd-worker.conf"].as_str()).next();
        let list = |key: &str, default: &[&str]| {
            let found = config.map(|config| listed(config, key)).unwrap_or_default();
            if found.is_empty() { default.iter().map(|word| (*word).to_owned()).collect() } else { found }
        };
        Self {
            fields: list("deviceLabelFields", &["class", "vendor"]),
            classes: list("deviceClassWhitelist", &["03", "0b40", "12"]),
            master: workloads.iter().any(|workload| workload.roles.contains(&Role::NfdMaster)),
        }
    }

    /// The label that a GPU gets.
    pub fn label(&self, class: &str, vendor: &str) -> String {
        let parts: Vec<&str> = self
            .fields
            .iter()
            .filter_map(|field| match field.as_str() {
                "class" => Some(class),
                "vendor" => Some(vendor),
                _ => None,
            })
            .collect();
        format!("{NFD}pci-{}.present", parts.join("_"))
    }

    /// Whether devices of a class are looked at.
    pub fn looks_at(&self, class: &str) -> bool {
        self.classes.iter().any(|prefix| class.starts_with(prefix.as_str()))
    }
}

/// The items of a list in a YAML text, written below each other or in brackets. The text is a chart's own, so that these two
/// forms are all there is; a form that is not understood counts as not written.
fn listed(text: &str, key: &str) -> Vec<String> {
    let clean = |word: &str| word.trim().trim_matches(['"', '\'']).to_owned();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#') && !line.is_empty());
    let Some(line) = lines.find(|line| line.starts_with(key)) else { return Vec::new() };
    let rest = line[key.len()..].trim_start_matches(':').trim();
    if let Some(inner) = rest.strip_prefix('[').and_then(|rest| rest.split(']').next()) {
        return inner.split(',').map(clean).filter(|word| !word.is_empty()).collect();
    }
    lines.map_while(|line| line.strip_prefix("- ").or_else(|| line.strip_prefix('-'))).map(clean).collect()
}

/// The PCI class of a vendor's GPUs where it is one: NVIDIA's data centre GPUs are 3D controllers.
const NVIDIA_CLASS: &str = "0302";
const NVIDIA_PCI: &str = "10de";

impl<'a> World<'a> {
    /// Puts everything together and lets it arrive.
    pub fn new(
        groups: Vec<(Group, Node)>,
        workloads: Vec<Workload>,
        context: Context,
        manifests: &'a [Manifest<'a>],
    ) -> Self {
        let (groups, nodes): (Vec<Group>, Vec<Node>) = groups.into_iter().unzip();
        let newborn = groups.iter().map(|group| group.template.clone()).collect();
        let alone = |workload: &Workload| {
            if workload.pod.affinity.is_empty()
                && workload.pod.anti_affinity.is_empty()
                && workload.pod.spread.is_empty()
            {
                return workload.pod.clone();
            }
            let mut pod = (*workload.pod).clone();
            pod.affinity.clear();
            pod.anti_affinity.clear();
            pod.spread.clear();
            Rc::new(pod)
        };
        let pods = workloads.iter().map(alone).collect();
        let discovery = Discovery::of(manifests, &workloads);
        let claims = Rc::new(context.claims.clone());
        let mut world = Self {
            groups,
            nodes,
            workloads,
            pods,
            context,
            manifests,
            discovery,
            expects_more: false,
            newborn,
            claims,
        };
        world.settle();
        world
    }

    /// What a verdict depends on.
    pub fn around(&self) -> Surroundings<'_> {
        let mut around = Surroundings::new(&self.nodes);
        around.claims = self.claims.clone();
        around
    }

    /// The same for nodes that are just born.
    pub fn at_birth(&self) -> Surroundings<'_> {
        let mut around = Surroundings::new(&self.newborn);
        around.claims = self.claims.clone();
        around
    }

    fn settle(&mut self) {
        let mut daemons: Vec<usize> =
            (0..self.workloads.len()).filter(|at| self.workloads[*at].kind == Kind::DaemonSet).collect();
        // Those of higher priority take their room first.
        daemons.sort_by_key(|at| (std::cmp::Reverse(self.pods[*at].priority), *at));
        loop {
            let mut changed = false;
            for group in 0..self.groups.len() {
                for at in self.groups[group].landed.clone() {
                    changed |= self.arrive(group, at);
                }
            }
            let mut landing = Vec::new();
            {
                let around = self.around();
                for (group, known) in self.groups.iter().enumerate() {
                    let next = daemons.iter().find(|at| {
                        !known.landed.contains(at) && matches!(verdict(&self.pods[**at], group, &around), Verdict::Fits)
                    });
                    landing.extend(next.map(|at| (group, *at)));
                }
            }
            for (group, at) in landing {
                changed = true;
                self.groups[group].landed.push(at);
                self.nodes[group].pods.push(Placed { pod: self.pods[at].clone(), terminating: false });
            }
            if !changed {
                return;
            }
        }
    }

    /// What a DaemonSet's pod brings to its node; whether that is new.
    fn arrive(&mut self, group: usize, at: usize) -> bool {
        let is_the_platform = self.groups[group].platform.is_some() && self.workloads[at].from == OF_THE_CLUSTER;
        let mut changed = false;
        if is_the_platform {
            // It is counted already.
            return false;
        }
        if self.groups[group].live.is_some() {
            // Labels and amounts are what they are; who advertises is not written on a node.
            let who = self.workloads[at].what.clone();
            for role in self.workloads[at].roles.clone() {
                changed |= self.note_advertiser(group, &role, &who);
            }
            return changed;
        }
        for role in self.workloads[at].roles.clone() {
            let who = self.workloads[at].what.clone();
            match &role {
                Role::DevicePlugin(_) | Role::StandInPlugin | Role::Advertises(_) => {
                    changed |= self.advertise(group, &role, &who);
                }
                Role::StandInNfd => {
                    let pci = self.groups[group].gpus.as_ref().map(|gpus| gpus.pci.clone());
                    changed |= self.label(group, &format!("{NFD}kernel-version.major"), "6", &who);
                    changed |= self.label(group, &format!("{NFD}system-os_release.ID"), "simulated", &who);
                    for pci in pci.into_iter() {
                        changed |= self.label(group, &format!("{NFD}pci-{pci}.present"), "true", &who);
                        changed |= self.label(group, &format!("{NFD}pci-{NVIDIA_CLASS}_{pci}.present"), "true", &who);
                    }
                }
                Role::NfdWorker if self.discovery.master => changed |= self.discover(group, &who),
                Role::Gfd if self.has_discovery(group) => changed |= self.gfd(group, &who),
                Role::AmdLabeller if self.is_of(group, "amd.com/") => {
                    for prefix in ["amd.com/gpu.", "beta.amd.com/gpu."] {
                        self.may_have(group, prefix, "AMD's labeller writes what it finds", &[]);
                    }
                }
                Role::Labels(key, value) => changed |= self.label(group, key, value, &who),
                Role::NfdWorker | Role::Gfd | Role::AmdLabeller | Role::NfdMaster | Role::Dcgm => {}
            }
        }
        changed
    }

    fn is_of(&self, group: usize, vendor: &str) -> bool {
        self.groups[group].gpus.as_ref().is_some_and(|gpus| gpus.vendor == vendor)
    }

    /// Whether what workers find on a node is written on it.
    pub fn has_discovery(&self, group: usize) -> bool {
        self.groups[group].landed.iter().any(|at| {
            let roles = &self.workloads[*at].roles;
            roles.contains(&Role::StandInNfd) || (self.discovery.master && roles.contains(&Role::NfdWorker))
        })
    }

    /// Whether a role makes some GPUs of a group allocatable.
    pub fn would_advertise(&self, group: usize, role: &Role) -> bool {
        let gpus = self.groups[group].gpus.as_ref();
        match role {
            Role::StandInPlugin => gpus.is_some(),
            Role::DevicePlugin(vendor) => gpus.is_some_and(|gpus| *vendor == gpus.vendor),
            Role::Advertises(resource) => {
                gpus.is_some_and(|gpus| gpus.resources.contains_key(resource))
                    || self.groups[group].others.contains_key(resource)
            }
            _ => false,
        }
    }

    fn advertise(&mut self, group: usize, role: &Role, who: &str) -> bool {
        let changed = self.note_advertiser(group, role, who);
        if changed {
            let known = &self.groups[group];
            for (resource, amount) in known.gpus.iter().flat_map(|gpus| &gpus.resources).chain(&known.others) {
                if self.groups[group].resource_from.contains_key(resource) {
                    self.nodes[group].allocatable.set(resource, *amount);
                }
            }
        }
        changed
    }

    /// Remembers who advertises what on a group; whether that is new.
    fn note_advertiser(&mut self, group: usize, role: &Role, who: &str) -> bool {
        if !self.would_advertise(group, role) {
            return false;
        }
        let gpus = self.groups[group].gpus.clone();
        let others = self.groups[group].others.clone();
        let mut changed = false;
        for resource in gpus.iter().flat_map(|gpus| gpus.resources.keys()).chain(others.keys()) {
            // A plugin of GPUs advertises all of them, and nothing else.
            let is_it = match role {
                Role::Advertises(one) => one == resource,
                _ => !others.contains_key(resource),
            };
            if !is_it {
                continue;
            }
            let from = self.groups[group].resource_from.entry(resource.clone()).or_default();
            if !from.iter().any(|one| one == who) {
                from.push(who.to_owned());
                changed = true;
            }
        }
        changed
    }

    fn label(&mut self, group: usize, key: &str, value: &str, who: &str) -> bool {
        self.set(group, key, LabelValue::Is(value.to_owned()), who)
    }

    fn set(&mut self, group: usize, key: &str, value: LabelValue, who: &str) -> bool {
        if matches!(self.nodes[group].labels.get(key), Found::Is(_) | Found::Open(_)) {
            return false;
        }
        self.nodes[group].labels.set(key, value);
        self.groups[group].label_from.insert(key.to_owned(), who.to_owned());
        true
    }

    fn may_have(&mut self, group: usize, prefix: &str, why: &str, never: &[&str]) {
        let never = never.iter().map(|word| (*word).to_owned()).collect();
        self.nodes[group].labels.may_have(MayHave { prefix: prefix.to_owned(), why: why.to_owned(), never });
    }

    fn discover(&mut self, group: usize, who: &str) -> bool {
        self.may_have(group, NFD, "an NFD worker runs there and writes what it finds", &[]);
        // Only Grace machines have NVIDIA's CPUs, and none of the models that have a name here are such.
        let grace = self.groups[group]
            .gpus
            .as_ref()
            .and_then(|gpus| gpus.model.as_deref())
            .is_some_and(|model| model.contains("gb200") || model.contains("gh200"));
        if !grace {
            self.may_have(group, &format!("{NFD}cpu-model.vendor_id"), "an NFD worker runs there", &["NVIDIA"]);
        }
        // Of GPUs it is known which labels come: nothing else of these vendors is on the bus of a node without them.
        for pci in [NVIDIA_PCI, "1002"] {
            for class in ["", "0300_", "0302_", "1200_", "0380_"] {
                let unsure = self.is_vendor_without_class(group, pci) && !class.is_empty();
                if !unsure {
                    self.may_have(
                        group,
                        &format!("{NFD}pci-{class}{pci}.present"),
                        "an NFD worker runs there",
                        &["true"],
                    );
                }
            }
        }
        let Some(gpus) = self.groups[group].gpus.clone() else { return false };
        if gpus.pci == NVIDIA_PCI {
            if !self.discovery.looks_at(NVIDIA_CLASS) {
                return false;
            }
            let key = self.discovery.label(NVIDIA_CLASS, NVIDIA_PCI);
            return self.label(group, &key, "true", who);
        }
        if self.discovery.fields == ["vendor"] {
            let key = self.discovery.label("", &gpus.pci);
            return self.label(group, &key, "true", who);
        }
        false
    }

    fn is_vendor_without_class(&self, group: usize, pci: &str) -> bool {
        pci != NVIDIA_PCI && self.groups[group].gpus.as_ref().is_some_and(|gpus| gpus.pci == pci)
    }

    fn gfd(&mut self, group: usize, who: &str) -> bool {
        const KEYS: [&str; 17] = [
            "gpu.product",
            "gpu.memory",
            "gpu.replicas",
            "gpu.family",
            "gpu.machine",
            "gpu.mode",
            "gpu.compute.major",
            "gpu.compute.minor",
            "gpu.sharing-strategy",
            "cuda.driver-version.major",
            "cuda.driver-version.minor",
            "cuda.driver-version.full",
            "cuda.runtime-version.major",
            "cuda.runtime-version.full",
            "mig.capable",
            "mig.strategy",
            "gfd.timestamp",
        ];
        if !self.is_of(group, "nvidia.com/") {
            return false;
        }
        let mut changed = false;
        for key in KEYS {
            changed |= self.set(group, &format!("nvidia.com/{key}"), LabelValue::Open(Vec::new()), who);
        }
        changed | self.set(group, "nvidia.com/gpu.count", LabelValue::Open(Vec::new()), who)
    }

    /// Whether a workload could write a label on a group, did it land there.
    pub fn would_write(&self, group: usize, at: usize, key: &str) -> bool {
        let gpus = self.groups[group].gpus.as_ref();
        self.workloads[at].roles.iter().any(|role| match role {
            Role::StandInNfd | Role::NfdWorker => {
                key.starts_with(NFD)
                    && (!key.starts_with(&format!("{NFD}pci-"))
                        || gpus.is_some_and(|gpus| key.contains(gpus.pci.as_str())))
            }
            Role::Gfd => {
                key.starts_with("nvidia.com/") && key != "nvidia.com/gpu.present" && self.is_of(group, "nvidia.com/")
            }
            Role::AmdLabeller => key.starts_with("amd.com/gpu.") && self.is_of(group, "amd.com/"),
            Role::Labels(own, _) => own == key,
            Role::DevicePlugin(_) | Role::StandInPlugin | Role::Advertises(_) | Role::NfdMaster | Role::Dcgm => false,
        })
    }

    /// The verdict about a workload's pod on a group.
    pub fn judge<'w>(&'w self, at: usize, group: usize, around: &'w Surroundings<'w>) -> Verdict<'w> {
        let verdict = verdict(&self.pods[at], group, around);
        if verdict.fits()
            && self.groups[group].disk_unknown
            && self.pods[at].requests.get(super::super::scheduler::EPHEMERAL) > 0
        {
            return Verdict::Unknown(vec!["how much disk a node offers is known only on the live node".into()]);
        }
        match self.may_still_come(group, &verdict) {
            Some(why) => Verdict::Unknown(vec![why]),
            None => verdict,
        }
    }

    /// Whether all that a live node lacks is what this platform is about to bring.
    fn may_still_come(&self, group: usize, verdict: &Verdict<'_>) -> Option<String> {
        let Verdict::Refused(refusals) = verdict else { return None };
        if self.groups[group].live.is_none() || !self.expects_more {
            return None;
        }
        let bringer = |refusal: &Refusal<'_>| -> Option<&str> {
            let brings = |workload: &&Workload| {
                workload.roles.iter().any(|role| match refusal {
                    Refusal::Resource(shortage) => {
                        shortage.allocatable == 0
                            && role.advertises()
                            && role.vendor().is_none_or(|vendor| shortage.resource.starts_with(vendor))
                    }
                    Refusal::Selector(..) | Refusal::Affinity => {
                        matches!(
                            role,
                            Role::NfdWorker | Role::StandInNfd | Role::Gfd | Role::AmdLabeller | Role::Labels(..)
                        )
                    }
                    _ => false,
                })
            };
            self.workloads.iter().find(brings).map(|workload| workload.what.as_str())
        };
        let bringers: Option<Vec<&str>> = refusals.iter().map(bringer).collect();
        let first = *bringers?.first()?;
        Some(format!("what the node lacks may come from {first}, which is in this platform too"))
    }
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn lists_are_read_below_each_other_and_in_brackets() {
        let text = "sources:\n  pci:\n    # deviceLabelFields:\n    deviceClassWhitelist:\n    - \"02\"\n    - '03'\n    deviceLabelFields: [vendor]\n";
        assert_eq!(listed(text, "deviceClassWhitelist"), ["02", "03"]);
        assert_eq!(listed(text, "deviceLabelFields"), ["vendor"]);
        assert!(listed("core: {}", "deviceLabelFields").is_empty());
    }
}

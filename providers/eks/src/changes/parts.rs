//! Parts: made, changed in place, made anew, removed.

use wbk_provider_api::{
    Disruption, FieldDiff, Gate, Operation, OperationAction, PartId, ProviderTarget, Seen, differences,
};

use super::{ADDON_SECONDS, Draft, GATEWAY_SECONDS, PART_SECONDS, destroy, fingerprint, tag_differences};
use crate::content::Content;
use crate::marks::BLUEPRINT;
use crate::part::{Found, Part, sort};
use crate::wanted::WantedPart;

impl Draft<'_> {
    pub(super) fn parts(&mut self) {
        for (id, mut wanted) in self.platform.parts.clone() {
            // What is in a given cluster and was there before is kept as the blueprint says, and not marked.
            if self.is_given()
                && let Seen::Present(found) = self.world.part(&id)
                && is_ours_without_marks(&found.part)
                && !self.marks.are_on(&found.tags)
            {
                wanted.tags.clear();
            }
            match self.world.part(&id) {
                // The plan names the sort once.
                Seen::Unknown(_) => {}
                Seen::Absent => self.create(&id, &wanted),
                Seen::Present(found) => self.compare(&id, &wanted, &found.clone()),
            }
        }
        if self.platform.gaps.is_empty() {
            self.surplus();
        }
    }

    fn create(&mut self, id: &PartId, wanted: &WantedPart) {
        let operation = self.operation(OperationAction::Create, id, "it is not there", wanted);
        self.push(operation);
    }

    fn compare(&mut self, id: &PartId, wanted: &WantedPart, found: &Found) {
        let mut diff: Vec<FieldDiff> = differences(&found.part, &wanted.part).into_iter().map(short).collect();
        let fixed: Vec<String> =
            diff.iter().map(|diff| diff.path.clone()).filter(|path| is_fixed(&wanted.part, path)).collect();
        diff.extend(tag_differences(&found.tags, &wanted.tags, "tags"));
        let target = ProviderTarget::Part(id.clone());
        if !self.marks.are_on(&found.tags) && !is_ours_without_marks(&found.part) && !self.lost_its_marks(found) {
            let operation = Operation {
                diff,
                expect: fingerprint(found),
                ..self.operation(OperationAction::Update, id, "it is not this blueprint's", wanted)
            };
            self.push(operation);
            let (says, hint) = (
                format!("{} is there and is not this blueprint's", found.id),
                "let it go, or choose another name for the cluster",
            );
            return self.block(target, says, hint);
        }
        if !found.issues.is_empty() && !is_broken(found) {
            self.advise(target.clone(), found.issues.join("; "), "look at it in AWS' console");
        }
        let broken = is_broken(found);
        if diff.is_empty() && !broken {
            return;
        }
        let replaces = !fixed.is_empty() || broken;
        let (action, reason) = match (replaces, broken) {
            (_, true) => (OperationAction::Replace, format!("it failed: {}", found.issues.join("; "))),
            (true, _) => (OperationAction::Replace, format!("{} cannot change while it lives", fixed.join(", "))),
            (false, _) => (OperationAction::Update, "the blueprint wants it otherwise".to_owned()),
        };
        let disruption = match (&found.part, action) {
            (Part::NatGateway { .. }, OperationAction::Replace) if !broken => {
                Disruption::Stops("what nodes send to the internet, for some minutes".into())
            }
            _ => Disruption::None,
        };
        let operation =
            Operation { diff, disruption, expect: fingerprint(found), ..self.operation(action, id, &reason, wanted) };
        self.push(operation);
        if replaces && matches!(found.part, Part::Vpc { .. } | Part::Subnet { .. }) {
            let says = format!("{} of it cannot change while it lives, and everything is in it", fixed.join(", "));
            self.block(target, says, "write what is there, or destroy the platform and apply it anew");
        }
    }

    /// Whether it is of the network of a cluster of ours, and nobody claims it: somebody took its tags away.
    fn lost_its_marks(&self, found: &Found) -> bool {
        let ours = self.world.cluster.present().is_some_and(|cluster| cluster.ours);
        let of_network = matches!(
            found.part,
            Part::Vpc { .. }
                | Part::InternetGateway { .. }
                | Part::Subnet { .. }
                | Part::NatGateway { .. }
                | Part::RouteTable { .. }
        );
        let claimed = found.tags.get(BLUEPRINT).is_some_and(|blueprint| *blueprint != self.marks.blueprint);
        ours && of_network && !claimed
    }

    /// What is ours and no longer wanted.
    fn surplus(&mut self) {
        for (id, found) in &self.world.parts {
            if self.platform.parts.contains_key(id) || !self.marks.are_on(&found.tags) {
                continue;
            }
            let target = ProviderTarget::Part(id.clone());
            let content = Content::Part { part: found.part.clone(), tags: found.tags.clone() };
            let operation = Operation::new(
                OperationAction::Delete,
                target,
                "the blueprint no longer has it",
                deadline(&found.part),
            );
            self.changes.operations.push(Operation {
                needs: self.users(id),
                expect: fingerprint(&found.id),
                content: serde_json::to_value(content).expect("a content is plain data"),
                ..operation
            });
        }
    }

    /// What may still use a part that goes: the node groups, for what their machines are made from, and parts that are looked for by it.
    fn users(&self, id: &PartId) -> Vec<ProviderTarget> {
        let fabric = [sort::SECURITY_GROUP, sort::PLACEMENT_GROUP, sort::LAUNCH_TEMPLATE];
        if !fabric.contains(&id.sort.as_str()) {
            return Vec::new();
        }
        let pools = self.platform.groups.keys().cloned().chain(super::pools(self.world)).map(ProviderTarget::NodePool);
        let first = destroy::before(&id.sort);
        let parts = self.world.parts.keys().filter(|other| first.contains(&other.sort.as_str()));
        pools.chain(parts.cloned().map(ProviderTarget::Part)).collect()
    }

    fn operation(&self, action: OperationAction, id: &PartId, reason: &str, wanted: &WantedPart) -> Operation {
        let content = Content::Part { part: wanted.part.clone(), tags: wanted.tags.clone() };
        Operation {
            needs: wanted.needs.iter().cloned().collect(),
            gate: if action == OperationAction::Create { gate(&wanted.part) } else { Gate::Nothing },
            content: serde_json::to_value(content).expect("a content is plain data"),
            ..Operation::new(action, ProviderTarget::Part(id.clone()), reason, deadline(&wanted.part))
        }
    }
}

/// A difference's path without the name of the sort.
fn short(diff: FieldDiff) -> FieldDiff {
    let path = diff.path.split_once('.').map_or(diff.path.clone(), |(_, rest)| rest.to_owned());
    FieldDiff { path, ..diff }
}

/// Whether it failed, so that only another one helps. Two of one name are an issue too, and nothing to be made anew for.
fn is_broken(found: &Found) -> bool {
    let failed = |issue: &String| issue.starts_with("it failed") || issue.starts_with("its state is CREATE_FAILED");
    matches!(found.part, Part::NatGateway { .. } | Part::Addon { .. }) && found.issues.iter().any(failed)
}

fn is_fixed(part: &Part, path: &str) -> bool {
    match part {
        Part::Vpc { .. } => path != "dnsNames",
        Part::NatGateway { .. } => true,
        Part::Subnet { .. } => path != "tier",
        Part::PlacementGroup { .. } => true,
        Part::SecurityGroup { .. }
        | Part::LaunchTemplate(_)
        | Part::InternetGateway { .. }
        | Part::ElasticIp {}
        | Part::RouteTable { .. }
        | Part::Role(_)
        | Part::OidcProvider {}
        | Part::AccessEntry { .. }
        | Part::NodeAccess { .. }
        | Part::Addon { .. }
        | Part::PodIdentity { .. }
        | Part::LoadBalancer { .. }
        | Part::Volume { .. } => false,
    }
}

/// What is found by the cluster that it is of, and may have been made by EKS itself or by hand: an add-on, an access entry.
fn is_ours_without_marks(part: &Part) -> bool {
    matches!(part, Part::Addon { .. } | Part::AccessEntry { .. } | Part::PodIdentity { .. } | Part::OidcProvider {})
}

/// Pods of an account that has no role yet would run without their rights, and would not get them later.
fn gate(part: &Part) -> Gate {
    match part {
        Part::PodIdentity { .. } => Gate::Pods,
        _ => Gate::Nothing,
    }
}

/// Seconds after which a wait is given up.
pub(super) fn deadline(part: &Part) -> u64 {
    match part.sort() {
        sort::NAT_GATEWAY => GATEWAY_SECONDS,
        sort::ADDON => ADDON_SECONDS,
        // Interfaces of what was in a network linger for minutes after it has gone.
        sort::VPC | sort::SUBNET => GATEWAY_SECONDS,
        // A load balancer takes two to three minutes to go, a disk as long as its pods.
        sort::LOAD_BALANCER | sort::VOLUME => GATEWAY_SECONDS,
        _ => PART_SECONDS,
    }
}

//! The cluster: made, waited for, changed in place, brought to another version.

use wbk_provider_api::{Disruption, FieldDiff, Operation, OperationAction, ProviderTarget, Seen, differences};

use super::{CLUSTER_SECONDS, Draft, fingerprint, tag_differences};
use crate::content::Content;
use crate::version::Minor;
use crate::world::ClusterFound;

/// Fields that only a new cluster has otherwise.
const FIXED: [&str; 3] = ["role", "encryptionKey", "autoMode"];

impl Draft<'_> {
    pub(super) fn cluster(&mut self) {
        let target = self.cluster_target();
        match &self.world.cluster {
            Seen::Unknown(_) => {}
            Seen::Absent if self.is_given() => {
                let reason = "the blueprint names it as given, and it is not there";
                let operation = self.cluster_operation(OperationAction::Create, reason);
                self.push(operation);
                self.block(target, reason, "name the one that is there, or remove `given` to have one made");
            }
            Seen::Absent => {
                let reason = "there is no cluster of this name in the account and region";
                let needs = self.platform.cluster_needs.iter().cloned().collect();
                let operation = self.cluster_operation(OperationAction::Create, reason);
                self.push(Operation { needs, ..operation });
            }
            Seen::Present(found) if self.is_given() && self.spec_given() != Some(found.arn.as_str()) => {
                let operation = self.cluster_operation(OperationAction::Update, "it is another one than the given");
                self.push(Operation { expect: fingerprint(found), ..operation });
                let says = format!(
                    "{} is there, and the blueprint names {}",
                    found.arn,
                    self.spec_given().unwrap_or_default()
                );
                self.block(target, says, "use the credentials of the account that it is in, or name this one");
            }
            Seen::Present(found) if !found.ours && !self.is_given() => {
                let operation = self.cluster_operation(OperationAction::Update, "it is not this blueprint's");
                self.push(Operation { expect: fingerprint(found), ..operation });
                let says = format!("{} is there and is not this blueprint's", found.arn);
                let hint = format!(
                    "choose another name, have it written as a blueprint (wbk-infra import eks), or make it this blueprint's: aws eks tag-resource --resource-arn {} --tags {}={},{}={}",
                    found.arn,
                    crate::marks::BLUEPRINT,
                    self.marks.blueprint,
                    crate::marks::CLUSTER,
                    self.marks.cluster
                );
                self.block(target, says, hint);
            }
            Seen::Present(found) => self.living(&found.clone(), target),
        }
    }

    fn living(&mut self, found: &ClusterFound, target: ProviderTarget) {
        for issue in &found.issues {
            self.advise(target.clone(), issue, "look at the cluster's health in AWS' console");
        }
        match found.status.as_str() {
            "CREATING" | "PENDING" => {
                let operation = self.cluster_operation(OperationAction::Start, "it is being made; it is waited for");
                self.push(Operation { expect: fingerprint(found), ..operation });
                return;
            }
            "DELETING" | "FAILED" => {
                let operation = self.cluster_operation(OperationAction::Start, "it is not as it should be");
                self.push(Operation { expect: fingerprint(found), ..operation });
                let says = format!("the cluster's state is {}", found.status);
                let hint = match found.status.as_str() {
                    "FAILED" => "destroy it, and apply again; AWS does not mend a cluster whose creation failed",
                    _ => "wait until it is gone, and apply again",
                };
                return self.block(target, says, hint);
            }
            _ => {}
        }
        let wanted = &self.platform.cluster;
        let mut diff: Vec<FieldDiff> = differences(&found.shape, wanted);
        let fixed: Vec<String> =
            diff.iter().map(|diff| diff.path.clone()).filter(|path| is_fixed(path, found)).collect();
        diff.extend(tag_differences(&found.tags, &self.platform.cluster_tags, "tags"));
        if diff.is_empty() {
            return;
        }
        let reason = self.reason(found);
        let operation = Operation {
            diff,
            expect: fingerprint(found),
            disruption: Disruption::None,
            ..self.cluster_operation(OperationAction::Update, &reason)
        };
        self.push(operation);
        if !fixed.is_empty() {
            let says = format!("{} of a cluster cannot change while it lives", fixed.join(", "));
            self.block(target.clone(), says, "write what is there, or destroy the platform and apply it anew");
        }
        self.version_path(found, target);
    }

    fn reason(&self, found: &ClusterFound) -> String {
        let (from, to) = (Minor::parse(&found.shape.version), Minor::parse(&self.platform.cluster.version));
        match (from, to) {
            (Some(from), Some(to)) if to > from => {
                let hops: Vec<String> = from.up_to(to).iter().map(ToString::to_string).collect();
                format!(
                    "the blueprint wants Kubernetes {to}; EKS goes one minor version at a time ({}), then add-ons and node groups follow",
                    hops.join(", ")
                )
            }
            _ => "the blueprint wants it otherwise".into(),
        }
    }

    /// A version is never lowered, and nodes are never left behind further than the kubelet's version may be.
    fn version_path(&mut self, found: &ClusterFound, target: ProviderTarget) {
        let (Some(from), Some(to)) = (Minor::parse(&found.shape.version), Minor::parse(&self.platform.cluster.version))
        else {
            return;
        };
        if to < from {
            let says = format!("the cluster runs Kubernetes {from}, and EKS never goes back to {to}");
            return self.block(target, says, format!("write `version: \"{from}\"`"));
        }
        let oldest = self
            .world
            .groups
            .values()
            .filter_map(Seen::present)
            .filter_map(|group| Minor::parse(&group.shape.version))
            .min();
        if let Some(oldest) = oldest.filter(|oldest| to.above(*oldest) > KUBELET_SKEW) {
            let says = format!(
                "nodes run Kubernetes {oldest}, and a control plane of {to} works with kubelets down to {} only",
                to.below(KUBELET_SKEW)
            );
            let hint = format!("go to {} first, then to {to}", Minor { minor: oldest.minor + KUBELET_SKEW, ..oldest });
            self.block(target, says, hint);
        }
    }

    fn cluster_operation(&self, action: OperationAction, reason: &str) -> Operation {
        let content =
            Content::Cluster { shape: self.platform.cluster.clone(), tags: self.platform.cluster_tags.clone() };
        Operation {
            content: serde_json::to_value(content).expect("a content is plain data"),
            ..Operation::new(action, self.cluster_target(), reason, CLUSTER_SECONDS)
        }
    }
}

/// Minor versions that a kubelet may be older than its API server (kubernetes.io, "Version Skew Policy", since 1.28).
const KUBELET_SKEW: u32 = 3;

/// A key can be given to a cluster that has none.
fn is_fixed(path: &str, found: &ClusterFound) -> bool {
    let field = path.split(['.', '[']).next().unwrap_or(path);
    FIXED.contains(&field) && !(field == "encryptionKey" && found.shape.encryption_key.is_none())
}

//! What EKS says is wrong with a node group, in words a person can act on. Codes: `NodegroupIssueCode` of botocore, their meanings its
//! `Issue`. Pure.

/// What a code means, one clause, and what helps, one action.
struct Meaning {
    code: &'static str,
    means: &'static str,
    helps: &'static str,
}

const fn meaning(code: &'static str, means: &'static str, helps: &'static str) -> Meaning {
    Meaning { code, means, helps }
}

const QUOTA: &str = "ask for a higher quota (the plan names it), or for fewer nodes";
const APPLY: &str = "apply again: the group is made anew";

const MEANINGS: [Meaning; 26] = [
    meaning(
        "AsgInstanceLaunchFailures",
        "EC2 started no instance: no capacity for this machine in these zones now, or a limit of the account",
        "allow another zone (`eks.zones`), another machine, or another capacity; then apply again",
    ),
    meaning("InstanceLimitExceeded", "the account may not have so many vCPUs of this family", QUOTA),
    meaning("LimitExceeded", "a limit of the account is reached", QUOTA),
    meaning(
        "InsufficientFreeAddresses",
        "the subnets have no free addresses",
        "name larger subnets, or let vpc-cni give out prefixes (`ENABLE_PREFIX_DELEGATION`)",
    ),
    meaning(
        "NodeCreationFailure",
        "instances started and did not join: no way to the API server or to the registries, or the node role lacks a right",
        "see that the subnets lead out (NAT), that the endpoint is private or public to them, and what the node role may",
    ),
    meaning(
        "AccessDenied",
        "nodes, or EKS itself, are not let into the cluster",
        "see that the node role has its access entry (EKS makes one of type EC2_LINUX), and apply again",
    ),
    meaning(
        "ClusterUnreachable",
        "nodes do not reach the API server",
        "write `endpoint: {private: true}`, and see what the cluster's security group lets in",
    ),
    meaning("IamNodeRoleNotFound", "the node role is gone", "apply: it is made anew, or name another `nodeRole`"),
    meaning("IamInstanceProfileNotFound", "the instance profile that EKS made is gone", APPLY),
    meaning("IamLimitExceeded", "the account may not have another role or instance profile", QUOTA),
    meaning("IamThrottling", "IAM was asked too often", APPLY),
    meaning(
        "Ec2SubnetNotFound",
        "a subnet of the group is gone",
        "apply: it is made anew; of somebody else's, name another",
    ),
    meaning(
        "Ec2SubnetInvalidConfiguration",
        "nodes get no public address in a public subnet",
        "let the subnet give them one, or use private subnets",
    ),
    meaning(
        "Ec2SubnetMissingIpv6Assignment",
        "nodes get no IPv6 address in the subnet",
        "let the subnet give them one",
    ),
    meaning("Ec2SubnetListTooLong", "the group has more subnets than EC2 takes", "write `eks.zones` with fewer"),
    meaning(
        "Ec2SecurityGroupNotFound",
        "the cluster's security group is gone",
        "destroy the platform and apply it anew: EKS makes it with the cluster alone",
    ),
    meaning(
        "Ec2LaunchTemplateNotFound",
        "its launch template is gone",
        "apply: another is made, and the group beside the old one",
    ),
    meaning(
        "Ec2LaunchTemplateVersionMismatch",
        "somebody gave the Auto Scaling group another version of its launch template",
        "give it back the version that EKS chose, or remove the pool and write it again",
    ),
    meaning(
        "Ec2LaunchTemplateInvalidConfiguration",
        "EC2 does not take what the launch template says",
        "see the message, and change `eks.disk`, `eks.efa` or `eks.capacityBlock`",
    ),
    meaning("Ec2LaunchTemplateMaxLimitExceeded", "the account may not have another launch template", QUOTA),
    meaning("Ec2InstanceTypeDoesNotExist", "EC2 has no such machine in the region", "name another machine"),
    meaning("AmiIdNotFound", "its image is gone", "bring the pool to the cluster's version: apply"),
    meaning(
        "AutoScalingGroupNotFound",
        "the Auto Scaling group behind it is gone",
        "remove the pool and write it again",
    ),
    meaning(
        "AutoScalingGroupInvalidConfiguration",
        "somebody changed the Auto Scaling group behind it",
        "take the change back, or remove the pool and write it again",
    ),
    meaning(
        "PodEvictionFailure",
        "pods did not leave a node in time: a disruption budget holds them",
        "see the budget",
    ),
    meaning("KubernetesLabelInvalid", "a label is none that Kubernetes takes", "change the pool's labels"),
];

/// What a code means, where it is more than its name.
pub(super) fn means(code: &str) -> Option<&'static str> {
    MEANINGS.iter().find(|meaning| meaning.code == code).map(|meaning| meaning.means)
}

/// What helps against the first of some codes that anything is known of.
pub(crate) fn helps<'a>(codes: impl IntoIterator<Item = &'a String>) -> Option<&'static str> {
    codes.into_iter().find_map(|code| MEANINGS.iter().find(|meaning| meaning.code == code)).map(|meaning| meaning.helps)
}

/// Whether another zone, machine or capacity is what helps.
pub(crate) fn is_about_capacity<'a>(codes: impl IntoIterator<Item = &'a String>) -> bool {
    codes.into_iter().any(|code| matches!(code.as_str(), "AsgInstanceLaunchFailures" | "Ec2InstanceTypeDoesNotExist"))
}

#[cfg(test)]
mod tests {
    use aws_sdk_eks::types::NodegroupIssueCode;

    use super::*;

    #[test]
    fn every_code_that_is_explained_is_one_of_the_api() {
        let known = NodegroupIssueCode::values();
        for meaning in &MEANINGS {
            assert!(known.contains(&meaning.code), "{}", meaning.code);
        }
    }

    #[test]
    fn a_code_of_capacity_asks_for_another_place() {
        let codes = ["AsgInstanceLaunchFailures".to_owned()];
        assert!(is_about_capacity(&codes) && helps(&codes).is_some_and(|helps| helps.contains("zone")));
        assert!(!is_about_capacity(&["NodeCreationFailure".to_owned()]));
        assert_eq!(helps(&["Unknown".to_owned()]), None);
    }
}

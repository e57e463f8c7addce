//! Every operation that is called. Whoever calls one more adds its line here; a test tells which is missing, and which is too many.

/// An operation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Call {
    /// IAM's word for it: `eks:CreateCluster`.
    pub action: &'static str,
    /// When it is called.
    pub when: When,
    /// What it is about.
    pub on: On,
}

/// When an operation is called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum When {
    /// By every look: plan, drift, status.
    Looking,
    /// By an apply or a destroy of any blueprint.
    Changing,
    /// For a cluster of one's own.
    OwnCluster,
    /// For a network of one's own.
    OwnNetwork,
    /// For roles of one's own.
    OwnRoles,
    /// For roles of one's own with policies of their own.
    Inline,
    /// For service accounts through the cluster's OIDC issuer.
    Issuer,
    /// For Cluster Autoscaler, by every look.
    LookingScaled,
    /// For Cluster Autoscaler.
    Scaled,
    /// For a key of KMS.
    Key,
    /// For capacity blocks, by every look.
    LookingBlocks,
    /// For pools that need a launch template.
    Templates,
    /// For pools with fabric adapters.
    Fabric,
    /// For whatever is made in EC2.
    MadeInEc2,
    /// By `import`.
    Importing,
}

/// What an operation is about, as IAM names resources.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum On {
    /// IAM takes no resource for it.
    Everything,
    /// The cluster.
    Cluster,
    /// The cluster before it is there: IAM takes no resource for its creation, and its tags as a condition.
    NewCluster,
    /// Node groups, add-ons, access entries and pod identities of the cluster.
    Inside,
    /// Those and the cluster.
    ClusterAndInside,
    /// Roles under the cluster's path.
    Roles,
    /// Roles under the cluster's path, given policies that the blueprint names.
    RolesWithPolicies,
    /// Roles: those, the given ones, and those that AWS makes for EKS.
    RolesToSee,
    /// OIDC providers of EKS clusters in the region.
    Issuers,
    /// Something of a network that is made with the cluster's tags.
    New(&'static str),
    /// Something of a network that is made with the cluster's tags, in something that has them.
    NewIn(&'static str, &'static [&'static str]),
    /// Something of a network that has the cluster's tags.
    Tagged(&'static [&'static str]),
    /// Tags, given when something is made or to what has the cluster's already.
    Tags,
    /// Auto Scaling groups behind the cluster's node groups.
    ScalingGroups,
}

const fn call(action: &'static str, when: When, on: On) -> Call {
    Call { action, when, on }
}

/// All of them.
pub const CALLS: &[Call] = {
    use On::*;
    use When::*;
    &[
        call("eks:DescribeAddonVersions", Looking, Everything),
        call("eks:DescribeClusterVersions", Looking, Everything),
        call("eks:DescribeCluster", Looking, Cluster),
        call("eks:ListAccessEntries", Looking, Cluster),
        call("eks:ListAddons", Looking, Cluster),
        call("eks:ListNodegroups", Looking, Cluster),
        call("eks:ListPodIdentityAssociations", Looking, Cluster),
        call("eks:DescribeAccessEntry", Looking, Inside),
        call("eks:DescribeAddon", Looking, Inside),
        call("eks:DescribeNodegroup", Looking, Inside),
        call("eks:DescribePodIdentityAssociation", Looking, Inside),
        call("eks:ListAssociatedAccessPolicies", Looking, Inside),
        call("eks:ListClusters", Importing, Everything),
        call("eks:ListFargateProfiles", Importing, Cluster),
        call("eks:CreateCluster", OwnCluster, NewCluster),
        call("eks:DeleteCluster", OwnCluster, Cluster),
        call("eks:UpdateClusterConfig", Changing, Cluster),
        call("eks:UpdateClusterVersion", Changing, Cluster),
        call("eks:AssociateEncryptionConfig", Key, Cluster),
        call("eks:DescribeUpdate", Changing, ClusterAndInside),
        call("eks:TagResource", Changing, ClusterAndInside),
        call("eks:CreateAccessEntry", Changing, Cluster),
        call("eks:UpdateAccessEntry", Changing, Inside),
        call("eks:DeleteAccessEntry", Changing, Inside),
        call("eks:AssociateAccessPolicy", Changing, Inside),
        call("eks:DisassociateAccessPolicy", Changing, Inside),
        call("eks:CreateAddon", Changing, Cluster),
        call("eks:UpdateAddon", Changing, Inside),
        call("eks:DeleteAddon", Changing, Inside),
        call("eks:CreateNodegroup", Changing, Cluster),
        call("eks:UpdateNodegroupConfig", Changing, Inside),
        call("eks:UpdateNodegroupVersion", Changing, Inside),
        call("eks:DeleteNodegroup", Changing, Inside),
        call("eks:CreatePodIdentityAssociation", Changing, Cluster),
        call("eks:UpdatePodIdentityAssociation", Changing, Inside),
        call("eks:DeletePodIdentityAssociation", Changing, Inside),
        call("ec2:DescribeAddresses", Looking, Everything),
        call("ec2:DescribeAvailabilityZones", Looking, Everything),
        call("ec2:DescribeInstanceTypeOfferings", Looking, Everything),
        call("ec2:DescribeInternetGateways", Looking, Everything),
        call("ec2:DescribeNatGateways", Looking, Everything),
        call("ec2:DescribeRouteTables", Looking, Everything),
        call("ec2:DescribeSubnets", Looking, Everything),
        call("ec2:DescribeVpcAttribute", Looking, Everything),
        call("ec2:DescribeVpcs", Looking, Everything),
        call("ec2:DescribeLaunchTemplates", Looking, Everything),
        call("ec2:DescribeLaunchTemplateVersions", Looking, Everything),
        call("ec2:DescribePlacementGroups", Looking, Everything),
        call("ec2:DescribeCapacityReservations", LookingBlocks, Everything),
        // Asked at the end of a destroy, and where something cannot be deleted yet: what is left, what is in the way.
        call("ec2:DescribeInstances", Changing, Everything),
        call("ec2:DescribeNetworkInterfaces", Changing, Everything),
        call("ec2:DescribeSecurityGroups", Looking, Everything),
        call("ec2:DescribeVolumes", Changing, Everything),
        call("ec2:CreateVpc", OwnNetwork, New("vpc")),
        call("ec2:CreateInternetGateway", OwnNetwork, New("internet-gateway")),
        call("ec2:AllocateAddress", OwnNetwork, New("elastic-ip")),
        call("ec2:CreateSubnet", OwnNetwork, NewIn("subnet", &["vpc"])),
        call("ec2:CreateRouteTable", OwnNetwork, NewIn("route-table", &["vpc"])),
        call("ec2:CreateNatGateway", OwnNetwork, NewIn("natgateway", &["subnet", "elastic-ip", "vpc"])),
        call("ec2:CreateTags", MadeInEc2, Tags),
        call("ec2:CreateLaunchTemplate", Templates, New("launch-template")),
        call("ec2:CreateLaunchTemplateVersion", Templates, Tagged(&["launch-template"])),
        call("ec2:ModifyLaunchTemplate", Templates, Tagged(&["launch-template"])),
        call("ec2:DeleteLaunchTemplate", Templates, Tagged(&["launch-template"])),
        call("ec2:CreateSecurityGroup", Fabric, New("security-group")),
        call("ec2:AuthorizeSecurityGroupIngress", Fabric, Tagged(&["security-group"])),
        call("ec2:AuthorizeSecurityGroupEgress", Fabric, Tagged(&["security-group"])),
        call("ec2:DeleteSecurityGroup", Fabric, Tagged(&["security-group"])),
        call("ec2:CreatePlacementGroup", Fabric, New("placement-group")),
        call("ec2:DeletePlacementGroup", Fabric, Tagged(&["placement-group"])),
        call("ec2:ModifyVpcAttribute", OwnNetwork, Tagged(&["vpc"])),
        call("ec2:DeleteVpc", OwnNetwork, Tagged(&["vpc"])),
        call("ec2:ModifySubnetAttribute", OwnNetwork, Tagged(&["subnet"])),
        call("ec2:DeleteSubnet", OwnNetwork, Tagged(&["subnet"])),
        call("ec2:AttachInternetGateway", OwnNetwork, Tagged(&["internet-gateway", "vpc"])),
        call("ec2:DetachInternetGateway", OwnNetwork, Tagged(&["internet-gateway", "vpc"])),
        call("ec2:DeleteInternetGateway", OwnNetwork, Tagged(&["internet-gateway"])),
        call("ec2:CreateRoute", OwnNetwork, Tagged(&["route-table"])),
        call("ec2:ReplaceRoute", OwnNetwork, Tagged(&["route-table"])),
        call("ec2:DeleteRoute", OwnNetwork, Tagged(&["route-table"])),
        call("ec2:DeleteRouteTable", OwnNetwork, Tagged(&["route-table"])),
        call("ec2:AssociateRouteTable", OwnNetwork, Tagged(&["route-table", "subnet"])),
        call("ec2:ReplaceRouteTableAssociation", OwnNetwork, Tagged(&["route-table", "subnet"])),
        call("ec2:DisassociateRouteTable", OwnNetwork, Tagged(&["route-table", "subnet"])),
        call("ec2:DeleteNatGateway", OwnNetwork, Tagged(&["natgateway"])),
        call("ec2:ReleaseAddress", OwnNetwork, Tagged(&["elastic-ip"])),
        call("iam:ListRoles", Looking, Everything),
        call("iam:ListOpenIDConnectProviders", Looking, Everything),
        call("iam:GetOpenIDConnectProvider", Looking, Issuers),
        call("iam:GetRole", Looking, RolesToSee),
        call("iam:GetRolePolicy", Looking, Roles),
        call("iam:ListAttachedRolePolicies", Looking, Roles),
        call("iam:ListRolePolicies", Looking, Roles),
        call("iam:CreateRole", OwnRoles, Roles),
        call("iam:DeleteRole", OwnRoles, Roles),
        call("iam:TagRole", OwnRoles, Roles),
        call("iam:UpdateAssumeRolePolicy", OwnRoles, Roles),
        call("iam:AttachRolePolicy", OwnRoles, RolesWithPolicies),
        call("iam:DetachRolePolicy", OwnRoles, Roles),
        call("iam:PutRolePolicy", Inline, Roles),
        call("iam:DeleteRolePolicy", OwnRoles, Roles),
        call("iam:CreateOpenIDConnectProvider", Issuer, Issuers),
        call("iam:AddClientIDToOpenIDConnectProvider", Issuer, Issuers),
        call("iam:DeleteOpenIDConnectProvider", Issuer, Issuers),
        call("iam:TagOpenIDConnectProvider", Issuer, Issuers),
        // What the credentials lack is asked by `doctor`.
        call("iam:SimulatePrincipalPolicy", Importing, Everything),
        call("sts:GetCallerIdentity", Looking, Everything),
        call("servicequotas:GetServiceQuota", Looking, Everything),
        call("autoscaling:DescribeAutoScalingGroups", LookingScaled, Everything),
        call("autoscaling:CreateOrUpdateTags", Scaled, ScalingGroups),
    ]
};

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;
    use std::path::Path;

    use super::CALLS;

    /// `DescribeVpcs` as the SDK's method: `describe_vpcs`.
    fn method(operation: &str) -> String {
        let mut name = String::new();
        let letters: Vec<char> =
            operation.replace("OpenID", "OpenId").replace("ClientID", "ClientId").chars().collect();
        for (index, letter) in letters.iter().enumerate() {
            if letter.is_ascii_uppercase() && index > 0 {
                name.push('_');
            }
            name.push(letter.to_ascii_lowercase());
        }
        name
    }

    fn sources(folder: &Path, text: &mut String) {
        for entry in std::fs::read_dir(folder).unwrap().map(Result::unwrap) {
            let path = entry.path();
            if path.is_dir() {
                sources(&path, text);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("rights/table.rs")
            {
                // Calls span lines, and are read without blanks.
                *text += &std::fs::read_to_string(&path).unwrap().replace([' ', '\n'], "");
            }
        }
    }

    /// Operations that are called on a client, under whatever name it goes (`aws.ec2.create_vpc()`, `iam.tag_role()`), and the describes that
    /// a macro makes.
    fn called(text: &str) -> BTreeSet<String> {
        let word = |text: &str| -> String {
            text.chars().take_while(|letter| letter.is_ascii_lowercase() || *letter == '_').collect()
        };
        let clients = ["eks.", "ec2.", "iam.", "sts.", "quotas.", "autoscaling."];
        let direct = clients.iter().flat_map(|client| text.split(client).skip(1)).filter_map(|rest| {
            let name = word(rest);
            // An operation begins as a request without anything in it; so do ways to look at an option.
            (rest[name.len()..].starts_with("()") && !name.starts_with("as_") && !name.starts_with("into_"))
                .then_some(name)
        });
        let made = text.split("paged!(").skip(1).filter_map(|rest| Some(word(rest.split(',').nth(1)?)));
        direct.chain(made).filter(|name| name.contains('_')).collect()
    }

    #[test]
    fn every_operation_that_is_called_has_its_line_and_no_other_has_one() {
        let mut text = String::new();
        sources(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut text);
        let called = called(&text);
        let told: BTreeSet<String> =
            CALLS.iter().map(|call| method(call.action.split_once(':').expect("service:Operation").1)).collect();
        let missing: Vec<&String> = called.difference(&told).collect();
        assert!(missing.is_empty(), "called, and without a line in rights/table.rs: {missing:?}");
        let idle: Vec<&String> = told.difference(&called).collect();
        assert!(idle.is_empty(), "in rights/table.rs, and called nowhere: {idle:?}");
        assert_eq!(told.len(), CALLS.len(), "one line each");
    }
}

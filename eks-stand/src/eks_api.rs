//! The EKS API's addresses, so that a request has its operation's name. From botocore's model `eks/2017-11-01` (1.43.11).

/// Method, path (`*` is one segment) and operation.
const ROUTES: &[(&str, &str, &str)] = &[
    ("POST", "/clusters/*/access-entries/*/access-policies", "AssociateAccessPolicy"),
    ("POST", "/clusters/*/encryption-config/associate", "AssociateEncryptionConfig"),
    ("POST", "/clusters/*/identity-provider-configs/associate", "AssociateIdentityProviderConfig"),
    ("POST", "/clusters/*/access-entries", "CreateAccessEntry"),
    ("POST", "/clusters/*/addons", "CreateAddon"),
    ("POST", "/clusters/*/capabilities", "CreateCapability"),
    ("POST", "/clusters", "CreateCluster"),
    ("POST", "/eks-anywhere-subscriptions", "CreateEksAnywhereSubscription"),
    ("POST", "/clusters/*/fargate-profiles", "CreateFargateProfile"),
    ("POST", "/clusters/*/node-groups", "CreateNodegroup"),
    ("POST", "/clusters/*/pod-identity-associations", "CreatePodIdentityAssociation"),
    ("DELETE", "/clusters/*/access-entries/*", "DeleteAccessEntry"),
    ("DELETE", "/clusters/*/addons/*", "DeleteAddon"),
    ("DELETE", "/clusters/*/capabilities/*", "DeleteCapability"),
    ("DELETE", "/clusters/*", "DeleteCluster"),
    ("DELETE", "/eks-anywhere-subscriptions/*", "DeleteEksAnywhereSubscription"),
    ("DELETE", "/clusters/*/fargate-profiles/*", "DeleteFargateProfile"),
    ("DELETE", "/clusters/*/node-groups/*", "DeleteNodegroup"),
    ("DELETE", "/clusters/*/pod-identity-associations/*", "DeletePodIdentityAssociation"),
    ("DELETE", "/cluster-registrations/*", "DeregisterCluster"),
    ("GET", "/clusters/*/access-entries/*", "DescribeAccessEntry"),
    ("GET", "/clusters/*/addons/*", "DescribeAddon"),
    ("GET", "/addons/configuration-schemas", "DescribeAddonConfiguration"),
    ("GET", "/addons/supported-versions", "DescribeAddonVersions"),
    ("GET", "/clusters/*/capabilities/*", "DescribeCapability"),
    ("GET", "/clusters/*", "DescribeCluster"),
    ("GET", "/cluster-versions", "DescribeClusterVersions"),
    ("GET", "/eks-anywhere-subscriptions/*", "DescribeEksAnywhereSubscription"),
    ("GET", "/clusters/*/fargate-profiles/*", "DescribeFargateProfile"),
    ("POST", "/clusters/*/identity-provider-configs/describe", "DescribeIdentityProviderConfig"),
    ("GET", "/clusters/*/insights/*", "DescribeInsight"),
    ("GET", "/clusters/*/insights-refresh", "DescribeInsightsRefresh"),
    ("GET", "/clusters/*/node-groups/*", "DescribeNodegroup"),
    ("GET", "/clusters/*/pod-identity-associations/*", "DescribePodIdentityAssociation"),
    ("GET", "/clusters/*/updates/*", "DescribeUpdate"),
    ("DELETE", "/clusters/*/access-entries/*/access-policies/*", "DisassociateAccessPolicy"),
    ("POST", "/clusters/*/identity-provider-configs/disassociate", "DisassociateIdentityProviderConfig"),
    ("GET", "/clusters/*/access-entries", "ListAccessEntries"),
    ("GET", "/access-policies", "ListAccessPolicies"),
    ("GET", "/clusters/*/addons", "ListAddons"),
    ("GET", "/clusters/*/access-entries/*/access-policies", "ListAssociatedAccessPolicies"),
    ("GET", "/clusters/*/capabilities", "ListCapabilities"),
    ("GET", "/clusters", "ListClusters"),
    ("GET", "/eks-anywhere-subscriptions", "ListEksAnywhereSubscriptions"),
    ("GET", "/clusters/*/fargate-profiles", "ListFargateProfiles"),
    ("GET", "/clusters/*/identity-provider-configs", "ListIdentityProviderConfigs"),
    ("POST", "/clusters/*/insights", "ListInsights"),
    ("GET", "/clusters/*/node-groups", "ListNodegroups"),
    ("GET", "/clusters/*/pod-identity-associations", "ListPodIdentityAssociations"),
    ("GET", "/tags/*", "ListTagsForResource"),
    ("GET", "/clusters/*/updates", "ListUpdates"),
    ("POST", "/cluster-registrations", "RegisterCluster"),
    ("POST", "/clusters/*/insights-refresh", "StartInsightsRefresh"),
    ("POST", "/tags/*", "TagResource"),
    ("DELETE", "/tags/*", "UntagResource"),
    ("POST", "/clusters/*/access-entries/*", "UpdateAccessEntry"),
    ("POST", "/clusters/*/addons/*/update", "UpdateAddon"),
    ("POST", "/clusters/*/capabilities/*", "UpdateCapability"),
    ("POST", "/clusters/*/update-config", "UpdateClusterConfig"),
    ("POST", "/clusters/*/updates", "UpdateClusterVersion"),
    ("POST", "/eks-anywhere-subscriptions/*", "UpdateEksAnywhereSubscription"),
    ("POST", "/clusters/*/node-groups/*/update-config", "UpdateNodegroupConfig"),
    ("POST", "/clusters/*/node-groups/*/update-version", "UpdateNodegroupVersion"),
    ("POST", "/clusters/*/pod-identity-associations/*", "UpdatePodIdentityAssociation"),
];

/// A request to EKS.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct EksCall {
    /// AWS's name of the operation.
    pub(crate) operation: &'static str,
    /// The cluster in its path, where there is one.
    pub(crate) cluster: Option<String>,
    /// The thing of the cluster in its path: a node group, an add-on, an update.
    pub(crate) child: Option<String>,
}

impl EksCall {
    /// The call of this method and path; `None` for one that EKS does not have.
    pub(crate) fn of(method: &str, path: &str) -> Option<Self> {
        let segments: Vec<String> = path.trim_matches('/').split('/').map(decoded).collect();
        let fits = |route: &&(&str, &str, &str)| {
            let pattern: Vec<&str> = route.1.trim_matches('/').split('/').collect();
            route.0 == method
                && pattern.len() == segments.len()
                && pattern.iter().zip(&segments).all(|(wanted, has)| *wanted == "*" || wanted == has)
        };
        // A word of a pattern is more than its star: `insights-refresh` is no insight.
        let (_, pattern, operation) = ROUTES.iter().filter(fits).min_by_key(|route| route.1.matches('*').count())?;
        let mut names = pattern
            .trim_matches('/')
            .split('/')
            .zip(&segments)
            .filter(|(word, _)| *word == "*")
            .map(|(_, name)| name.clone());
        let of_cluster = pattern.starts_with("/clusters/*");
        let cluster = if of_cluster { names.next() } else { None };
        Some(Self { operation, cluster, child: names.next() })
    }
}

/// Without percent signs: ARNs are in paths.
fn decoded(segment: &str) -> String {
    // A plus is a plus in a path.
    let query = segment.replace('+', "%2B");
    form_urlencoded::parse(query.as_bytes()).next().map(|(name, _)| name.into_owned()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn call(method: &str, path: &str) -> (&'static str, Option<String>, Option<String>) {
        let call = EksCall::of(method, path).unwrap();
        (call.operation, call.cluster, call.child)
    }

    #[test]
    fn a_path_is_an_operation_with_its_names() {
        assert_eq!(call("POST", "/clusters"), ("CreateCluster", None, None));
        assert_eq!(call("GET", "/clusters/a"), ("DescribeCluster", Some("a".into()), None));
        let group = (Some("a".into()), Some("g".into()));
        assert_eq!(call("DELETE", "/clusters/a/node-groups/g"), ("DeleteNodegroup", group.0.clone(), group.1.clone()));
        assert_eq!(
            call("POST", "/clusters/a/node-groups/g/update-config"),
            ("UpdateNodegroupConfig", group.0, group.1)
        );
        let arn = "arn:aws:iam::1:role/r".to_owned();
        assert_eq!(
            call("GET", "/clusters/a/access-entries/arn%3Aaws%3Aiam%3A%3A1%3Arole%2Fr"),
            ("DescribeAccessEntry", Some("a".into()), Some(arn))
        );
        assert_eq!(EksCall::of("PUT", "/clusters"), None);
    }
}

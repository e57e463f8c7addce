//! Words of EKS that a blueprint may use and that no API has to be asked for.

/// Access policies for people (AWS, EKS user guide, "Review access policy permissions"). EKS has more, for its own services.
pub const ACCESS_POLICIES: [&str; 6] = [
    "AmazonEKSClusterAdminPolicy",
    "AmazonEKSAdminPolicy",
    "AmazonEKSAdminViewPolicy",
    "AmazonEKSEditPolicy",
    "AmazonEKSViewPolicy",
    "AmazonEKSSecretReaderPolicy",
];

/// Zones, by id, in which EKS has no control plane (eksctl-io/eksctl, pkg/az/az.go): a subnet there is refused for the cluster.
pub const ZONES_WITHOUT_EKS: [&str; 3] = ["use1-az3", "usw1-az2", "cac1-az3"];

/// Add-ons of AWS' own (EKS user guide, "AWS add-ons" and "Community add-ons"). Partners sell more; DescribeAddonVersions has them all.
pub const ADDONS: [&str; 25] = [
    "adot",
    "amazon-cloudwatch-observability",
    "amazon-sagemaker-hyperpod-observability",
    "amazon-sagemaker-hyperpod-taskgovernance",
    "aws-ebs-csi-driver",
    "aws-efs-csi-driver",
    "aws-fsx-csi-driver",
    "aws-guardduty-agent",
    "aws-mountpoint-s3-csi-driver",
    "aws-network-flow-monitoring-agent",
    "aws-privateca-connector-for-kubernetes",
    "aws-secrets-store-csi-driver-provider",
    "cert-manager",
    "coredns",
    "eks-node-monitoring-agent",
    "eks-pod-identity-agent",
    "external-dns",
    "fluent-bit",
    "kube-proxy",
    "kube-state-metrics",
    "metrics-server",
    "prometheus-node-exporter",
    "snapshot-controller",
    "sriov-network-metrics-exporter",
    "vpc-cni",
];

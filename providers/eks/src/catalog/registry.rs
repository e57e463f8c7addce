//! Where the images are that EKS keeps for what runs in clusters.

/// Accounts that hold EKS' images, of regions that do not take those of [`EVERYWHERE`] (eksctl-io/eksctl,
/// pkg/apis/eksctl.io/v1alpha5/types.go, `EKSResourceAccountID`; July 2026).
const ACCOUNTS: [(&str, &str); 21] = [
    ("af-south-1", "877085696533"),
    ("ap-east-1", "800184023465"),
    ("ap-east-2", "533267051163"),
    ("ap-south-2", "900889452093"),
    ("ap-southeast-3", "296578399912"),
    ("ap-southeast-4", "491585149902"),
    ("ap-southeast-5", "151610086707"),
    ("ap-southeast-6", "333609536671"),
    ("ap-southeast-7", "121268973566"),
    ("ca-west-1", "761377655185"),
    ("cn-north-1", "918309763551"),
    ("cn-northwest-1", "961992271922"),
    ("eu-central-2", "900612956339"),
    ("eu-south-1", "590381155156"),
    ("eu-south-2", "455263428931"),
    ("il-central-1", "066635153087"),
    ("me-central-1", "759879836304"),
    ("me-south-1", "558608220178"),
    ("mx-central-1", "730335286997"),
    ("us-gov-east-1", "151742754352"),
    ("us-gov-west-1", "013241004608"),
];

/// The account of all other regions.
const EVERYWHERE: &str = "602401143452";

/// The registry of EKS' images in a region, `602401143452.dkr.ecr.us-west-2.amazonaws.com`.
pub fn registry(region: &str) -> String {
    let own = ACCOUNTS.iter().find(|(name, _)| *name == region);
    let account = own.map_or(EVERYWHERE, |(_, account)| account);
    let end = if region.starts_with("cn-") { "amazonaws.com.cn" } else { "amazonaws.com" };
    format!("{account}.dkr.ecr.{region}.{end}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_region_has_its_own_registry() {
        assert_eq!(registry("us-west-2"), "602401143452.dkr.ecr.us-west-2.amazonaws.com");
        assert_eq!(registry("cn-north-1"), "918309763551.dkr.ecr.cn-north-1.amazonaws.com.cn");
        assert_eq!(registry("us-gov-west-1"), "013241004608.dkr.ecr.us-gov-west-1.amazonaws.com");
    }
}

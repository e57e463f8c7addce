//! What is known of storage drivers: who may mount what they make, and whether a volume of theirs stays in one zone. A driver that is
//! not in the list is unknown, and nothing is said of it.
//!
//! Sources: the drivers' own documentation (README and docs of kubernetes-sigs/aws-ebs-csi-driver, aws-efs-csi-driver,
//! aws-fsx-csi-driver, gcp-compute-persistent-disk-csi-driver, gcp-filestore-csi-driver, azuredisk-csi-driver, azurefile-csi-driver,
//! kubernetes-csi/csi-driver-nfs, rancher/local-path-provisioner), and the clouds' pages on the classes that a new cluster has.

use wbk_provider_api::ProviderKind;

use crate::blueprint::schema::{AccessMode, Blueprint, Volume};

/// A storage driver.
#[derive(Debug)]
pub(crate) struct Driver {
    /// Its name: a class's `provisioner`.
    pub name: &'static str,
    /// Who may mount a file system that it makes.
    pub access: &'static [AccessMode],
    /// Whether a volume is reached from one zone (or one node) alone.
    pub bound: Option<&'static str>,
}

const ONE_NODE: &[AccessMode] = &[AccessMode::ReadWriteOnce, AccessMode::ReadWriteOncePod];
/// Google's disks may be read by many nodes, where nobody writes.
const MANY_READERS: &[AccessMode] =
    &[AccessMode::ReadWriteOnce, AccessMode::ReadWriteOncePod, AccessMode::ReadOnlyMany];
const SHARED: &[AccessMode] =
    &[AccessMode::ReadWriteOnce, AccessMode::ReadWriteOncePod, AccessMode::ReadWriteMany, AccessMode::ReadOnlyMany];
const ZONE: Option<&str> = Some("zone");
const NODE: Option<&str> = Some("node");

const DRIVERS: &[Driver] = &[
    Driver { name: "ebs.csi.aws.com", access: ONE_NODE, bound: ZONE },
    Driver { name: "kubernetes.io/aws-ebs", access: ONE_NODE, bound: ZONE },
    Driver { name: "ebs.csi.eks.amazonaws.com", access: ONE_NODE, bound: ZONE },
    Driver { name: "efs.csi.aws.com", access: SHARED, bound: None },
    Driver { name: "fsx.csi.aws.com", access: SHARED, bound: None },
    Driver { name: "pd.csi.storage.gke.io", access: MANY_READERS, bound: ZONE },
    Driver { name: "kubernetes.io/gce-pd", access: MANY_READERS, bound: ZONE },
    Driver { name: "filestore.csi.storage.gke.io", access: SHARED, bound: None },
    Driver { name: "disk.csi.azure.com", access: ONE_NODE, bound: ZONE },
    Driver { name: "kubernetes.io/azure-disk", access: ONE_NODE, bound: ZONE },
    Driver { name: "file.csi.azure.com", access: SHARED, bound: None },
    Driver { name: "kubernetes.io/azure-file", access: SHARED, bound: None },
    Driver { name: "nfs.csi.k8s.io", access: SHARED, bound: None },
    Driver { name: "rancher.io/local-path", access: ONE_NODE, bound: NODE },
];

/// Classes that a new cluster has: provider, name, driver, and whether it is the default.
const CLASSES: &[(ProviderKind, &str, &str, bool)] = &[
    (ProviderKind::Gke, "standard-rwo", "pd.csi.storage.gke.io", true),
    (ProviderKind::Gke, "premium-rwo", "pd.csi.storage.gke.io", false),
    (ProviderKind::Gke, "standard-rwx", "filestore.csi.storage.gke.io", false),
    (ProviderKind::Gke, "premium-rwx", "filestore.csi.storage.gke.io", false),
    (ProviderKind::Aks, "default", "disk.csi.azure.com", true),
    (ProviderKind::Aks, "managed-csi", "disk.csi.azure.com", false),
    (ProviderKind::Aks, "managed-csi-premium", "disk.csi.azure.com", false),
    (ProviderKind::Aks, "azurefile-csi", "file.csi.azure.com", false),
    (ProviderKind::Aks, "azurefile-csi-premium", "file.csi.azure.com", false),
    (ProviderKind::Eks, "gp2", "kubernetes.io/aws-ebs", false),
    (ProviderKind::Kind, "standard", "rancher.io/local-path", true),
];

/// The class of a volume and its driver, as far as they are known; `None` where nothing can be said.
pub(crate) fn class_of<'a>(blueprint: &'a Blueprint, volume: &'a Volume) -> Option<(&'a str, &'static Driver)> {
    let own = &blueprint.storage_classes;
    let of_provider = || CLASSES.iter().filter(|(provider, ..)| *provider == blueprint.cluster.provider);
    let (name, driver): (&str, &str) = match &volume.class {
        Some(name) => match own.iter().find(|class| class.name == *name) {
            Some(class) => (name, &class.provisioner),
            None => {
                of_provider().find(|(_, known, ..)| known == name).map(|(_, _, driver, _)| (name.as_str(), *driver))?
            }
        },
        None => match own.iter().find(|class| class.default) {
            Some(class) => (&class.name, &class.provisioner),
            None => of_provider().find(|(.., default)| *default).map(|(_, name, driver, _)| (*name, *driver))?,
        },
    };
    Some((name, DRIVERS.iter().find(|known| known.name == driver)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_class_has_a_known_driver() {
        for (provider, class, driver, _) in CLASSES {
            assert!(DRIVERS.iter().any(|known| known.name == *driver), "{provider} {class}");
        }
        let defaults =
            |wanted: ProviderKind| CLASSES.iter().filter(|(one, _, _, default)| *one == wanted && *default).count();
        assert_eq!((defaults(ProviderKind::Gke), defaults(ProviderKind::Aks), defaults(ProviderKind::Eks)), (1, 1, 0));
    }
}

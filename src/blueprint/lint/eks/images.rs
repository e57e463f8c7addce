//! Images of nodes.

use wbk_provider_eks::catalog::{IMAGES, ImageSystem, WITHOUT_AMAZON_LINUX_2, ami, image_of};

use super::super::Report;
use super::given::is_given;
use crate::blueprint::check::nearest;
use crate::blueprint::path::steps;
use crate::blueprint::schema::NodePool;

pub(super) fn rules(report: &mut Report<'_>, index: usize, pool: &NodePool) {
    let Some(word) = pool.eks.as_ref().and_then(|section| section.ami.as_deref()) else { return };
    if is_given(pool) {
        // It runs already.
        return;
    }
    let path = steps!["nodePools", index, "eks", "ami"];
    let machine = crate::desired::eks_machine(pool);
    let own = machine.map_or("AL2023_x86_64_STANDARD", ami);
    let Some(image) = image_of(word) else {
        let (message, hint) = match word {
            "CUSTOM" => ("an image of one's own is not supported".to_owned(), "name one of EKS' images".to_owned()),
            _ if word.starts_with("WINDOWS_") => {
                ("everything here runs on Linux".to_owned(), format!("remove it: {own} is taken"))
            }
            _ => {
                let words: Vec<&str> = IMAGES.iter().map(|image| image.word).collect();
                let meant = nearest(word, &words).unwrap_or(own);
                (format!("{word:?} is no image of EKS"), format!("did you mean `{meant}`?"))
            }
        };
        return report.error(path, &message, &hint);
    };
    if image.system == ImageSystem::AmazonLinux2 && has_no_amazon_linux_2(report) {
        let message = "Amazon Linux 2 ended on 2025-11-26, and is not made for Kubernetes 1.33 and later";
        report.error(path, message, &format!("remove it: {own} is taken"));
    }
    if let Some(why) = machine.and_then(|machine| image.misfit(machine)) {
        report.error(path, &format!("{word} does not fit: {why}"), &format!("remove it: {own} is taken"));
    }
}

fn has_no_amazon_linux_2(report: &Report<'_>) -> bool {
    let version = report.loaded.blueprint.cluster.version.as_deref();
    let minor = version.and_then(|version| version.split('.').nth(1)?.parse::<u32>().ok());
    minor.is_none_or(|minor| minor >= WITHOUT_AMAZON_LINUX_2)
}

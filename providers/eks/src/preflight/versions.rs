//! Kubernetes versions, and what EKS has for them.

use wbk_provider_api::{Finding, PartId, ProviderTarget, Weight};

use super::Situation;
use crate::facts::VersionStatus;
use crate::part::sort;

pub(super) fn findings(situation: &Situation<'_>) -> Vec<Finding> {
    let Some(version) = &situation.wanted.cluster.version else { return Vec::new() };
    let mut found: Vec<Finding> = of_cluster(situation, version).into_iter().collect();
    found.extend(addons(situation, version));
    found.extend(images(situation, version));
    found
}

fn of_cluster(situation: &Situation<'_>, version: &str) -> Option<Finding> {
    let versions = situation.facts.versions.known()?;
    let target = situation.cluster();
    let offered: Vec<&str> = versions
        .iter()
        .filter(|(_, fact)| fact.status == VersionStatus::Standard)
        .map(|(version, _)| version.as_str())
        .collect();
    let hint = format!("write one of {}", offered.join(", "));
    let Some(fact) = versions.get(version) else {
        return Some(situation.against(target, format!("EKS does not have Kubernetes {version}"), hint));
    };
    let until = |day: &Option<String>| day.as_ref().map(|day| format!(" until {day}")).unwrap_or_default();
    match fact.status {
        VersionStatus::Standard => None,
        VersionStatus::Extended => Some(Finding {
            target,
            weight: Weight::Advice,
            says: format!(
                "Kubernetes {version} is in extended support{}: the cluster costs 0.60 dollars an hour, six times as much",
                until(&fact.extended_until)
            ),
            hint,
        }),
        VersionStatus::Ended => {
            Some(situation.against(target, format!("EKS no longer supports Kubernetes {version}"), hint))
        }
    }
}

fn addons<'a>(situation: &'a Situation<'_>, version: &'a str) -> impl Iterator<Item = Finding> + 'a {
    let known = situation.facts.addon_versions.known();
    let wanted = situation.eks().map(|eks| &eks.addons);
    known.zip(wanted).into_iter().flat_map(move |(known, wanted)| {
        let missing = wanted.iter().filter(move |(name, addon)| addon.version.is_none() && !known.contains_key(*name));
        missing.map(move |(name, _)| {
            let target = ProviderTarget::Part(PartId::new(sort::ADDON, name));
            let says = format!("EKS has no add-on {name} for Kubernetes {version}");
            let hint =
                format!("`aws eks describe-addon-versions --kubernetes-version {version}` lists those that it has");
            situation.against(target, says, hint)
        })
    })
}

fn images<'a>(situation: &'a Situation<'_>, version: &'a str) -> impl Iterator<Item = Finding> + 'a {
    let known = situation.facts.images.known();
    let pools = situation.eks().map(|eks| &eks.pools);
    known.zip(pools).into_iter().flat_map(move |(known, pools)| {
        let missing = pools.iter().filter(move |(_, pool)| !known.contains_key(&pool.ami));
        missing.map(move |(name, pool)| {
            let target = ProviderTarget::NodePool(name.clone());
            let says = format!("there is no image {} for Kubernetes {version}", pool.ami);
            situation.against(target, says, "write another `eks.ami`, or remove it".into())
        })
    })
}

//! EKS keeps the contract of every provider, against the stand, and over what is left of a real platform when something of it is gone or
//! could not be seen.

mod support;

use std::collections::BTreeMap;

use serde_json::json;
use wbk_provider_api::contract;
use wbk_provider_api::{Observed, PartId, Provider as _, ProviderKind, ProviderTarget, Seen, Wanted, Why};
use wbk_provider_eks::world::World;
use wbk_provider_eks::{EksProvider, Settings, observed};

fn wanted() -> Wanted {
    let mut wanted = contract::wanted();
    let pool = json!({"machines": ["m7i.large"], "ami": "AL2023_x86_64_STANDARD", "disk": {"gib": 100}, "efa": false,
                      "maxUnavailable": 1, "repair": false});
    let pools: BTreeMap<_, _> = wanted.pools.keys().map(|name| (name.clone(), pool.clone())).collect();
    let eks = serde_json::from_value(json!({
        "network": {"own": {"cidr": "10.11.0.0/16", "zones": ["us-west-2a", "us-west-2b"], "nat": "one"}},
        "endpoint": {"public": true, "private": true, "publicCidrs": ["0.0.0.0/0"]},
        "authentication": "api", "support": "standard", "deletionProtection": false, "oidc": true,
        "addons": {"vpc-cni": {}, "eks-pod-identity-agent": {}}, "autoscaler": "none", "pools": pools,
        "identities": [{"namespace": "jobs", "serviceAccount": "default", "via": "pod-identity",
                        "policies": ["AmazonS3ReadOnlyAccess"], "inline": {}}],
    }));
    wanted.cluster.provider = ProviderKind::Eks;
    wanted.cluster.region = Some("us-west-2".into());
    wanted.cluster.version = Some("1.34".into());
    wanted.cluster.eks = Some(Box::new(eks.expect("a specification")));
    wanted
}

/// Every world with one thing gone or not to be seen.
fn others(wanted: &Wanted, seen: &Observed) -> Vec<Observed> {
    let world: World = serde_json::from_value(seen.facts.clone()).expect("a world");
    let unknown = || Why("it does not answer".into());
    let mut worlds = Vec::new();
    let mut with = |change: &dyn Fn(&mut World)| {
        let mut other = world.clone();
        change(&mut other);
        worlds.push(observed(wanted, &other));
    };
    with(&|world| world.cluster = Seen::Unknown(unknown()));
    for name in world.groups.keys() {
        with(&|world| drop(world.groups.remove(name)));
        with(&|world| drop(world.groups.insert(name.clone(), Seen::Unknown(unknown()))));
    }
    for id in world.parts.keys() {
        with(&|world| drop(world.parts.remove(id)));
        with(&|world| {
            world.parts.retain(|other, _| other.sort != id.sort);
            world.unseen.insert(id.sort.clone(), unknown());
        });
    }
    worlds
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn it_keeps_the_contract() {
    // It refuses everything but the stand.
    drop(support::aws().await);
    let (provider, wanted) = (EksProvider::new(Settings::default()), wanted());
    let others = |seen: &Observed| {
        let worlds = others(&wanted, seen);
        assert!(worlds.len() > 20, "a platform has many parts: {}", worlds.len());
        for world in &worlds {
            for (PartId { sort, .. }, _) in world.parts.iter().filter(|(_, seen)| matches!(seen, Seen::Unknown(_))) {
                let operations = provider.plan(&wanted, world);
                let about = |target: &ProviderTarget| matches!(target, ProviderTarget::Part(id) if id.sort == *sort);
                assert!(!operations.iter().any(|operation| about(&operation.target)), "{sort} could not be seen");
            }
        }
        worlds
    };
    contract::life_among(&provider, &wanted, &others).await;
}

//! Several minor versions in one apply.

use crate::World;

/// The control plane goes one minor version at a time; add-ons and nodes follow it when it is there, since a kubelet may be three behind.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn a_cluster_goes_up_three_versions_in_one_apply() {
    let world = World::start();
    let blueprint = world.blueprint(|text| text.replace("1.34", "1.31"));
    let file = blueprint.to_str().expect("UTF-8");
    world.apply(file);
    let versions = || {
        let cluster = world.aws(&["eks", "describe-cluster", "--name", "small"])["cluster"]["version"].clone();
        let group = |name: &str| {
            let args = ["eks", "describe-nodegroup", "--cluster-name", "small", "--nodegroup-name", name];
            world.aws(&args)["nodegroup"]["version"].clone()
        };
        [cluster, group("system"), group("l4")].map(|version| version.as_str().unwrap_or_default().to_owned())
    };
    assert_eq!(versions(), ["1.31", "1.31", "1.31"]);

    world.blueprint(str::to_owned);
    let planned = world.run(0, &["plan", file, "--verbose"]);
    for step in ["~ update  cluster small", "~ update  node pool l4", "~ update  node pool system"] {
        assert!(planned.contains(step), "{step}:\n{planned}");
    }
    world.stand.forget_requests();
    world.apply(file);
    assert_eq!(versions(), ["1.34", "1.34", "1.34"]);
    let changes = world.changes("eks");
    let at = |operation: &str| {
        changes.iter().enumerate().filter(|(_, one)| *one == operation).map(|(at, _)| at).collect::<Vec<_>>()
    };
    let (control_plane, groups) = (at("UpdateClusterVersion"), at("UpdateNodegroupVersion"));
    assert_eq!((control_plane.len(), groups.len()), (3, 2), "{changes:?}");
    assert!(control_plane.last() < groups.first(), "{changes:?}");
    if let Some(addon) = at("UpdateAddon").first() {
        assert!(control_plane.last() < Some(addon), "{changes:?}");
    }
    world.run(0, &["plan", file, "--exit-code"]);
    world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
}

//! An apply that AWS stops in the middle, and the next that goes on.

use std::time::Duration;

use serde_json::json;

use crate::{NOT_THE_STANDS, World};

/// What is not allowed, or no longer, is said with what to do; what was made stays and is gone on from.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn credentials_that_end_and_rights_that_are_missing_stop_an_apply_that_the_next_one_finishes() {
    let world = World::with_faults();
    let blueprint = world.blueprint(str::to_owned);
    let file = blueprint.to_str().expect("UTF-8");
    let apply = ["apply", file, "--yes", "--skip", NOT_THE_STANDS];

    let denied = "User: arn:aws:sts::123456789012:assumed-role/ml/me is not authorized to perform: eks:CreateAddon on resource: small";
    world.faults(json!([
        {"service": "eks", "operation": "CreateAddon", "error": {"code": "AccessDeniedException", "status": 403, "message": denied}},
    ]));
    let said = world.told(4, &apply);
    assert!(said.contains("eks:CreateAddon"), "the right is named:\n{said}");
    let made = world.inventory();
    assert_eq!((made["clusters"], made["NatGateways"]), (1, 1), "what needs no add-on is there: {made:?}");

    world.faults(json!([
        {"service": "eks", "operation": "CreateNodegroup", "error": {"code": "ExpiredTokenException", "status": 403,
            "message": "The security token included in the request is expired"}},
    ]));
    let said = world.told(4, &apply);
    assert!(said.contains("expired"), "{said}");
    assert!(world.inventory()["addons"] > 0, "{said}");

    // All of it at once, also while looking: nothing is taken for absent.
    world.faults(json!([{"error": {"code": "ExpiredTokenException", "status": 403, "message": "expired"}}]));
    let said = world.told(1, &["plan", file, "--exit-code"]);
    assert!(said.contains("expired") && !said.contains("+ create"), "{said}");

    world.faults(json!([]));
    world.apply(file);
    world.run(0, &["plan", file, "--exit-code"]);
    let all = world.inventory();
    assert_eq!((all["clusters"], all["Vpcs"], all["NatGateways"], all["nodegroups"]), (1, 1, 1, 2), "{all:?}");
}

/// EC2 shows what was made some seconds later, and an answer to a creation without a client token is lost: there is one of each.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn what_ec2_does_not_show_yet_is_not_made_twice() {
    let world = World::with_faults();
    let blueprint = world.blueprint(str::to_owned);
    let file = blueprint.to_str().expect("UTF-8");
    let lost =
        |operation: &str| json!({"service": "ec2", "operation": operation, "times": 1, "response": {"abort_bytes": 1}});
    let lose = || {
        world.faults(json!([
            lost("CreateVpc"),
            lost("CreateInternetGateway"),
            lost("AllocateAddress"),
            lost("CreateSubnet"),
        ]));
    };
    lose();
    world.stand.lag(Duration::from_secs(3));
    world.stand.forget_requests();
    world.apply(file);
    let doubled = |operation: &str| world.changes("ec2").iter().filter(|one| *one == operation).count();
    assert_eq!(
        (doubled("CreateVpc"), doubled("DeleteVpc")),
        (2, 1),
        "the younger one went: {:?}",
        world.changes("ec2")
    );
    let made = world.inventory();
    assert_eq!((made["Vpcs"], made["InternetGateways"], made["Addresses"], made["Subnets"]), (1, 1, 1, 4), "{made:?}");
    world.stand.lag(Duration::ZERO);
    world.run(0, &["plan", file, "--exit-code"]);
    world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
}

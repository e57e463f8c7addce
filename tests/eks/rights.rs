//! The IAM policy that a blueprint needs, held to what is really asked of AWS in a platform's whole life.

use std::collections::BTreeSet;

use serde_json::Value;
use wbk_eks_stand::Settings;

use super::World;

/// Longest managed policy (IAM, "IAM and AWS STS quotas"), white space aside.
const LONGEST: usize = 6144;

impl World {
    fn policy(&self, file: &str, to: &str) -> Value {
        let text = self.run(0, &["eks", "policy", file, "--to", to]);
        let length = text.chars().filter(|letter| !letter.is_whitespace()).count();
        assert!(length <= LONGEST, "{length} letters:\n{text}");
        serde_json::from_str(&text).expect("JSON")
    }

    /// What was asked of AWS since the last time, as IAM's actions.
    fn asked(&self) -> BTreeSet<String> {
        let asked = self.stand.requests();
        self.stand.forget_requests();
        asked.into_iter().map(|request| format!("{}:{}", request.service, request.operation)).collect()
    }
}

fn actions(policy: &Value) -> BTreeSet<String> {
    let statements = policy["Statement"].as_array().expect("statements");
    let actions = statements.iter().flat_map(|statement| statement["Action"].as_array().expect("actions"));
    actions.map(|action| action.as_str().expect("an action").to_owned()).collect()
}

/// Made, changed, replaced, brought to another version, taken away: nothing is asked that the policy does not allow, and a look asks for
/// nothing that the smaller policy does not allow.
#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn nothing_is_asked_of_aws_that_the_policy_does_not_allow() {
    let world = World::with(Settings::of_environment());
    let write = |from: &str, to: &str, more: &str| {
        world.blueprint(|text| {
            let text = text.replace("1.34", "1.33").replace(from, to);
            format!("{text}      - {{serviceAccount: keeper, grants: {{eks: {{via: irsa, inline: {{own: {{Version: \"2012-10-17\", Statement: [{{Effect: Allow, Action: \"s3:ListBucket\", Resource: \"*\"}}]}}}}}}}}}}\n{more}")
                .replace("eks: {network", "eks: {account: \"123456789012\", access: [{principal: \"arn:aws:iam::123456789012:role/ml\", policy: AmazonEKSViewPolicy}], network")
        })
    };
    let blueprint = write("", "", "");
    let file = blueprint.to_str().expect("UTF-8");
    let (look, all) = (actions(&world.policy(file, "plan")), actions(&world.policy(file, "apply")));
    assert!(look.is_subset(&all), "{:?}", look.difference(&all));
    assert!(!look.iter().any(|action| action.contains(":Create") || action.contains(":Delete")), "{look:?}");
    let allowed = |which: &BTreeSet<String>, asked: &BTreeSet<String>, when: &str| {
        let more: Vec<&String> = asked.difference(which).collect();
        assert!(more.is_empty(), "{when}: {more:?} are asked, and not in the policy");
    };
    let mut life = BTreeSet::new();
    world.asked();
    world.run(0, &["plan", file]);
    allowed(&look, &world.asked(), "plan");
    let apply = ["apply", file, "--yes", "--no-verify"];
    world.run(0, &apply);
    life.extend(world.asked());
    world.run(0, &["plan", file, "--exit-code"]);
    allowed(&look, &world.asked(), "plan of what is there");
    for (from, to) in [
        ("team: research", "team: vision"),
        ("machine: m7i.xlarge", "machine: m7i.2xlarge"),
        ("AmazonS3ReadOnlyAccess", "AmazonS3FullAccess"),
        ("1.33", "1.34"),
    ] {
        write(from, to, "");
        world.run(0, &apply);
        life.extend(world.asked());
    }
    world.run(0, &["destroy", file, "--delete", "all", "--yes"]);
    life.extend(world.asked());
    allowed(&all, &life, "the whole life");
    // Whose credentials they are, and what IAM tells of them: the emulator's may not know.
    let doctor = world.infra(&["doctor", file]);
    let doctor = String::from_utf8_lossy(&doctor.stdout).into_owned();
    assert!(doctor.contains("rights") && doctor.contains("in us-west-2"), "{doctor}");
    eprintln!("{doctor}");
    // It was a life: most of what the policy allows was needed.
    let idle: BTreeSet<&String> = all.difference(&life).collect();
    assert!(idle.len() * 4 < all.len(), "never asked in this life: {idle:?}");
}

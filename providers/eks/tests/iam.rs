//! Roles and the OIDC provider against a real IAM emulator.

mod support;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;
use support::{Tags, aws, marks, work};
use wbk_provider_api::PartId;
use wbk_provider_eks::aws::Aws;
use wbk_provider_eks::error::AwsErrorKind;
use wbk_provider_eks::iam::{IamSeen, Looking, Place, canonical, create, delete, observe, policy_arn, update};
use wbk_provider_eks::marks::Marks;
use wbk_provider_eks::part::{Part, Role, Trust, sort};

const ISSUER: &str = "https://oidc.eks.us-west-2.amazonaws.com/id";

fn wanted(cluster: &str) -> Vec<(PartId, Part)> {
    let managed = |names: &[&str]| names.iter().map(|name| policy_arn("aws", name)).collect::<BTreeSet<_>>();
    let inline = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::data sets/*"}});
    let account = Trust::ServiceAccount { namespace: "jobs".into(), name: "default".into() };
    let role = |trust, names: &[&str]| Role { trust, managed: managed(names), inline: BTreeMap::new() };
    let nodes = ["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"];
    let jobs = Role { inline: BTreeMap::from([("data".to_owned(), canonical(&inline))]), ..role(account, &[]) };
    let parts = [
        ("cluster", Part::Role(role(Trust::ControlPlane, &["AmazonEKSClusterPolicy"]))),
        ("node", Part::Role(role(Trust::Nodes, &nodes))),
        ("pods", Part::Role(role(Trust::Pods, &["AmazonS3ReadOnlyAccess"]))),
        (cluster, Part::OidcProvider {}),
        ("jobs-default", Part::Role(jobs)),
    ];
    parts.into_iter().map(|(name, part)| (part.id(name), part)).collect()
}

fn tags(marks: &Marks, id: &PartId) -> Tags {
    let mut tags = marks.tags(&id.name, &[]);
    tags.remove("Name");
    tags
}

/// Where the tests' cluster is; its issuer is its own.
async fn place<'a>(aws: &'a Aws, issuer: &'a str) -> Place<'a> {
    Place { partition: "aws", account: &aws.caller().await.expect("a caller").account, issuer: Some(issuer) }
}

async fn look(aws: &Aws, marks: &Marks, place: Place<'_>) -> IamSeen {
    let roles = wanted(&marks.cluster).into_iter().filter(|(id, _)| id.sort == sort::ROLE).map(|(id, _)| id.name);
    let seen = observe(aws, marks, &Looking { roles: roles.collect(), place }).await;
    assert!(seen.unknown.is_empty() && seen.unlisted.is_empty(), "{seen:?}");
    seen
}

async fn is_as_wanted(aws: &Aws, marks: &Marks, place: Place<'_>) {
    let seen = look(aws, marks, place).await;
    let parts: BTreeMap<PartId, Part> = seen.found.iter().map(|(id, found)| (id.clone(), found.part.clone())).collect();
    assert_eq!(parts, wanted(&marks.cluster).into_iter().collect());
    for (id, found) in &seen.found {
        assert_eq!(found.tags, tags(marks, id), "{id}");
        assert!(found.issues.is_empty(), "{id}: {:?}", found.issues);
    }
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn roles_are_made_once_mended_and_taken_down() {
    let (aws, marks, issuer) = (aws().await, marks("roles"), format!("{ISSUER}/ROLES"));
    let place = place(&aws, &issuer).await;
    let work = work(&aws, &marks);
    assert_eq!(look(&aws, &marks, place).await, IamSeen::default());
    let mut first = Vec::new();
    for _ in 0..2 {
        let mut arns = Vec::new();
        for (id, part) in wanted("roles") {
            let made = create(&work, &id, (&part, &tags(&marks, &id)), &place).await;
            arns.push(made.unwrap_or_else(|error| panic!("{id}: {error}: {}", error.source)));
        }
        is_as_wanted(&aws, &marks, place).await;
        assert!(first.is_empty() || first == arns, "twice is once");
        first = arns;
    }
    assert!(first[0].contains(":role/wbk-infra/us-west-2/roles/roles-us-west-2-cluster"), "{}", first[0]);

    // Two lists; for each of four roles its tags, its policies, its inline policies; one inline policy; the provider.
    let before = aws.requests();
    look(&aws, &marks, place).await;
    assert_eq!(aws.requests() - before, 2 + 4 * 3 + 1 + 1);

    let (iam, node) = (&aws.iam, marks.role_name("node"));
    let policy = policy_arn("aws", "AmazonEKS_CNI_Policy");
    iam.detach_role_policy().role_name(&node).policy_arn(policy).send().await.unwrap();
    let admin = policy_arn("aws", "AdministratorAccess");
    iam.attach_role_policy().role_name(&node).policy_arn(admin).send().await.unwrap();
    let anybody = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"},
        "Action": "sts:AssumeRole"}]});
    iam.update_assume_role_policy().role_name(&node).policy_document(anybody.to_string()).send().await.unwrap();
    let more = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]});
    let put = iam.put_role_policy().role_name(&node).policy_name("more").policy_document(more.to_string());
    put.send().await.unwrap();
    iam.untag_role().role_name(&node).tag_keys("team").send().await.unwrap();

    let id = PartId::new(sort::ROLE, "node");
    let found = look(&aws, &marks, place).await.found.remove(&id).unwrap();
    let Part::Role(role) = &found.part else { unreachable!() };
    assert!(matches!(role.trust, Trust::Other(_)) && role.inline.len() == 1 && role.managed.len() == 3, "{role:?}");
    let part = wanted("roles").into_iter().find(|(other, _)| *other == id).unwrap().1;
    update(&work, &id, &found, (&part, &tags(&marks, &id)), &place).await.unwrap();
    is_as_wanted(&aws, &marks, place).await;

    for (id, found) in look(&aws, &marks, place).await.found.iter().rev() {
        for _ in 0..2 {
            delete(&work, id, &found.id).await.unwrap_or_else(|error| panic!("{id}: {error}: {}", error.source));
        }
    }
    assert_eq!(look(&aws, &marks, place).await, IamSeen::default());
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn a_role_that_is_no_longer_wanted_is_found_by_its_path_and_another_regions_is_not() {
    let (aws, marks, issuer) = (aws().await, marks("strays"), format!("{ISSUER}/STRAYS"));
    let place = place(&aws, &issuer).await;
    let work = work(&aws, &marks);
    let elsewhere = Marks { region: "eu-west-1".into(), ..marks.clone() };
    let id = PartId::new(sort::ROLE, "former");
    let part = Part::Role(Role { trust: Trust::Pods, managed: BTreeSet::new(), inline: BTreeMap::new() });
    let arn = create(&work, &id, (&part, &tags(&marks, &id)), &place).await.unwrap();
    let there = support::work(&aws, &elsewhere);
    let other = create(&there, &id, (&part, &tags(&elsewhere, &id)), &place).await.unwrap();
    assert_ne!(arn, other);
    let seen = look(&aws, &marks, place).await;
    assert_eq!(seen.found.iter().map(|(id, found)| (id, &found.id)).collect::<Vec<_>>(), [(&id, &arn)]);
    delete(&work, &id, &arn).await.unwrap();
    delete(&there, &id, &other).await.unwrap();
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn somebody_elses_role_of_a_wanted_name_is_seen_and_never_touched() {
    let (aws, marks, issuer) = (aws().await, marks("foreign"), format!("{ISSUER}/FOREIGN"));
    let place = place(&aws, &issuer).await;
    let work = work(&aws, &marks);
    let name = marks.role_name("node");
    let trust = json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"},
        "Action": "sts:AssumeRole"}]});
    let made =
        aws.iam.create_role().role_name(&name).assume_role_policy_document(trust.to_string()).send().await.unwrap();
    let arn = made.role.unwrap().arn;

    let id = PartId::new(sort::ROLE, "node");
    let found = look(&aws, &marks, place).await.found.remove(&id).expect("it is seen");
    assert!(!marks.are_on(&found.tags) && found.id == arn);
    let part = wanted("foreign").into_iter().find(|(other, _)| *other == id).unwrap().1;
    let refused = create(&work, &id, (&part, &tags(&marks, &id)), &place).await.expect_err("the name is taken");
    assert_eq!(refused.kind, AwsErrorKind::Refused);
    assert!(refused.hint().is_some_and(|hint| hint.contains("cluster.name")));
    let refused = delete(&work, &id, &arn).await.expect_err("it is not ours");
    assert_eq!(refused.kind, AwsErrorKind::Refused);
    assert_eq!(look(&aws, &marks, place).await.found.remove(&id).unwrap(), found, "nothing of it changed");
    aws.iam.delete_role().role_name(&name).send().await.unwrap();
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn the_oidc_provider_of_a_cluster_that_is_gone_is_found_by_its_marks() {
    let (aws, marks, issuer) = (aws().await, marks("gone"), format!("{ISSUER}/GONE"));
    let place = place(&aws, &issuer).await;
    let work = work(&aws, &marks);
    let id = PartId::new(sort::OIDC_PROVIDER, "gone");
    let arn = create(&work, &id, (&Part::OidcProvider {}, &tags(&marks, &id)), &place).await.unwrap();
    let found = look(&aws, &marks, Place { issuer: None, ..place }).await.found.remove(&id).expect("it is found");
    assert_eq!(found.id, arn);
    delete(&work, &id, &arn).await.unwrap();
    assert_eq!(look(&aws, &marks, Place { issuer: None, ..place }).await.found.len(), 0);
}

#[tokio::test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
async fn a_policy_that_there_is_none_of_is_told_with_how_to_name_it() {
    let (aws, marks, issuer) = (aws().await, marks("nameless"), format!("{ISSUER}/NAMELESS"));
    let place = place(&aws, &issuer).await;
    let work = work(&aws, &marks);
    let id = PartId::new(sort::ROLE, "node");
    let managed = BTreeSet::from([policy_arn("aws", "NoSuchPolicyAtAll")]);
    let part = Part::Role(Role { trust: Trust::Nodes, managed, inline: BTreeMap::new() });
    let error = create(&work, &id, (&part, &tags(&marks, &id)), &place).await.expect_err("there is no such policy");
    assert_eq!((&error.kind, error.left), (&AwsErrorKind::Refused, wbk_provider_api::LeftBehind::Partial));
    assert!(error.hint().is_some_and(|hint| hint.contains("service-role/NAME")));
    let arn = look(&aws, &marks, place).await.found.remove(&id).expect("the role is there").id;
    delete(&work, &id, &arn).await.unwrap();
}

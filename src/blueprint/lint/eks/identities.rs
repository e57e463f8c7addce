//! Service accounts that are somebody in AWS.

use serde_json::Value;
use wbk_provider_api::EksIdentityWay;

use super::super::Report;
use super::arn;
use crate::blueprint::path::{Step, steps};
use crate::blueprint::schema::{EksGrants, Free};
use crate::desired::{ECR_POLICY, ecr_of};

/// Characters of all policies of a role's own together, without spaces (IAM quotas).
const INLINE: usize = 10_240;

pub(super) fn rules(report: &mut Report<'_>) {
    registries(report);
    let blueprint = &report.loaded.blueprint;
    let pinned = blueprint.cluster.eks.as_ref().is_some_and(|section| section.account.is_some());
    for (index, namespace) in blueprint.namespaces.iter().enumerate() {
        for (number, identity) in namespace.identities.iter().enumerate() {
            let Some(grants) = &identity.grants.eks else { continue };
            let path = steps!["namespaces", index, "identities", number, "grants", "eks"];
            granted(report, path, grants);
            if grants.via == EksIdentityWay::Irsa && !pinned {
                report.error(
                    path,
                    "with `via: irsa` the account's number is in an annotation, which is planned before anything is asked of AWS",
                    "write `cluster: {eks: {account: \"111122223333\"}}`, or remove `via`",
                );
            }
            if identity.annotations.contains_key("eks.amazonaws.com/role-arn") {
                let path = steps!["namespaces", index, "identities", number, "annotations"];
                let hint = "remove it, or remove the grants";
                report.error(path, "the account would have two roles: that of its grants and this one", hint);
            }
        }
    }
}

fn below<'a>(path: &[Step<'a>], more: &[Step<'a>]) -> Vec<Step<'a>> {
    path.iter().chain(more).copied().collect()
}

fn granted(report: &mut Report<'_>, path: &[Step<'_>], grants: &EksGrants) {
    if grants.policies.is_empty() && grants.inline.is_empty() && grants.ecr.is_empty() {
        report.error(path, "nothing is granted", "write `policies: [AmazonS3ReadOnlyAccess]`, or `inline`");
    }
    for (index, policy) in grants.policies.iter().enumerate() {
        if !is_policy(policy) {
            report.error(
                &below(path, steps!["policies", index]),
                &format!("{policy:?} is neither the name of a policy nor its ARN"),
                "write `AmazonS3ReadOnlyAccess`, or `arn:aws:iam::111122223333:policy/name`",
            );
        } else if grants.policies[..index].contains(policy) {
            report.error(
                &below(path, steps!["policies", index]),
                &format!("{policy} is there twice"),
                "keep one of them",
            );
        }
    }
    inline(report, path, &grants.inline);
    for (index, grant) in grants.ecr.iter().enumerate() {
        let at = below(path, steps!["ecr", index, "repository"]);
        if !is_repository(&grant.repository) {
            let message = format!("{:?} is no name of a repository", grant.repository);
            report.error(&at, &message, "write the name alone, `team/train`, without registry and tag; or `team/*`");
        } else if grants.ecr[..index].iter().any(|other| other.repository == grant.repository) {
            report.error(&at, &format!("{} is there twice", grant.repository), "keep one of them; `push` reads, too");
        }
    }
    if !grants.ecr.is_empty() && grants.inline.contains_key(ECR_POLICY) {
        let at = below(path, steps!["inline", ECR_POLICY]);
        report.error(&at, "the policy of this name is made from `ecr`", "use another name");
    }
}

/// As botocore has it (ecr, `RepositoryName`), with a `*` at its end.
fn is_repository(text: &str) -> bool {
    let plain = text.strip_suffix("/*").unwrap_or(text);
    let word = |part: &str| {
        !part.is_empty()
            && part.split(['.', '_', '-']).all(|word| {
                !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
            })
    };
    text == "*" || (text.len() <= 256 && plain.split('/').all(word))
}

/// Passwords of ECR in the blueprint, which are good for half a day.
fn registries(report: &mut Report<'_>) {
    let launch = report.loaded.blueprint.launch.as_ref();
    for (index, registry) in launch.into_iter().flat_map(|launch| &launch.registries).enumerate() {
        if ecr_of(&registry.server).is_some() {
            report.warning(
                steps!["launch", "registries", index],
                "a password of ECR is good for 12 hours, and is not renewed here",
                "remove it: nodes pull by their role, and an agent that builds images is given the right to push to its `destination`",
            );
        }
    }
}

fn inline(report: &mut Report<'_>, path: &[Step<'_>], inline: &Free) {
    let mut size = 0;
    for (name, document) in inline {
        let path = below(path, steps!["inline", name]);
        if !is_name(name) {
            report.error(
                &path,
                &format!("{name:?} is no name of a policy"),
                "use at most 128 letters, digits and + = , . @ - _",
            );
        }
        if let Err(why) = is_document(document) {
            let hint = "write `{Version: \"2012-10-17\", Statement: [{Effect: Allow, Action: [\"s3:GetObject\"], Resource: [\"arn:aws:s3:::bucket/*\"]}]}`";
            report.error(&path, &format!("this is no policy of IAM: {why}"), hint);
        }
        size += document.to_string().len();
    }
    if size > INLINE {
        let path = below(path, steps!["inline"]);
        let message = format!("{size} characters of policies, and a role has room for {INLINE}");
        report.error(&path, &message, "make managed policies of them, and name those under `policies`");
    }
}

fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 128
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+=,.@-_".contains(&byte))
}

/// A name of AWS' own, with its path where it has one (`service-role/…`), or an ARN.
fn is_policy(text: &str) -> bool {
    match arn(text) {
        Some([service, _, account, resource]) => {
            let account_ok = account == "aws" || (account.len() == 12 && account.bytes().all(|b| b.is_ascii_digit()));
            service == "iam" && account_ok && resource.strip_prefix("policy/").is_some_and(|name| !name.is_empty())
        }
        None => !text.starts_with("arn:") && text.split('/').all(is_name),
    }
}

fn is_document(document: &Value) -> Result<(), String> {
    if !document.is_object() {
        return Err("a policy is a mapping".into());
    }
    match document["Version"].as_str() {
        Some("2012-10-17" | "2008-10-17") => {}
        Some(other) => return Err(format!("there is no language version {other:?}")),
        None => return Err("`Version` is missing".into()),
    }
    let statements = match &document["Statement"] {
        Value::Array(statements) if !statements.is_empty() => statements.as_slice(),
        statement @ Value::Object(_) => std::slice::from_ref(statement),
        _ => return Err("`Statement` is missing".into()),
    };
    for (index, statement) in statements.iter().enumerate() {
        let has = |key: &str| !statement[key].is_null();
        if !matches!(statement["Effect"].as_str(), Some("Allow" | "Deny")) {
            return Err(format!("statement {} has no `Effect`, which is Allow or Deny", index + 1));
        }
        if has("Action") == has("NotAction") {
            return Err(format!("statement {} has not exactly one of `Action` and `NotAction`", index + 1));
        }
        if has("Resource") == has("NotResource") {
            return Err(format!("statement {} has not exactly one of `Resource` and `NotResource`", index + 1));
        }
        if has("Principal") {
            return Err(format!("statement {} names a `Principal`, which is the role itself", index + 1));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn policies_are_told_from_other_words() {
        for policy in [
            "AmazonS3ReadOnlyAccess",
            "service-role/AmazonEBSCSIDriverPolicy",
            "arn:aws:iam::aws:policy/A",
            "arn:aws:iam::111122223333:policy/team/a",
        ] {
            assert!(is_policy(policy), "{policy}");
        }
        for policy in ["", "s3:GetObject", "arn:aws:iam::1:policy/a", "arn:aws:iam::111122223333:role/a", "a b"] {
            assert!(!is_policy(policy), "{policy}");
        }
    }

    #[test]
    fn repositories_are_told_from_images() {
        for name in ["train", "team/train", "team/a.b-c_d", "team/*", "*"] {
            assert!(is_repository(name), "{name}");
        }
        for name in ["", "Team", "team/", "111122223333.dkr.ecr.us-west-2.amazonaws.com/a", "a:1", "a//b", "t*m", "/a"]
        {
            assert!(!is_repository(name) || name.contains(".dkr."), "{name}");
        }
    }

    #[test]
    fn a_document_says_what_it_lacks() {
        let whole =
            json!({"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]});
        assert_eq!(is_document(&whole), Ok(()));
        assert!(is_document(&json!("s3")).is_err());
        assert!(is_document(&json!({"Statement": []})).unwrap_err().contains("Version"));
        let mut other = whole.clone();
        other["Statement"][0]["Effect"] = json!("allow");
        assert!(is_document(&other).unwrap_err().contains("Effect"));
        other["Statement"] = json!({"Effect": "Deny", "NotAction": "x:y", "Resource": "*", "Principal": "*"});
        assert!(is_document(&other).unwrap_err().contains("Principal"));
    }
}

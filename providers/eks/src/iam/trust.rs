//! Who may be a role: as a word of ours, and as IAM's document. Pure.

use serde_json::{Value, json};

use super::policy::canonical;
use crate::part::Trust;

/// Where a role is, as its trust names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place<'a> {
    /// `aws`.
    pub partition: &'a str,
    /// Twelve digits.
    pub account: &'a str,
    /// The cluster's OIDC issuer, a URL; `None` as long as there is no cluster.
    pub issuer: Option<&'a str>,
}

/// Who tokens of service accounts are for (EKS user guide, "IAM roles for service accounts").
pub(super) const AUDIENCE: &str = "sts.amazonaws.com";

impl Place<'_> {
    /// The issuer as IAM writes it: without its scheme.
    fn issuer_name(&self) -> Option<&str> {
        self.issuer.map(|issuer| issuer.strip_prefix("https://").unwrap_or(issuer).trim_end_matches('/'))
    }

    /// ARN of the cluster's OIDC provider.
    pub(super) fn oidc_arn(&self) -> Option<String> {
        let Self { partition, account, .. } = self;
        Some(format!("arn:{partition}:iam::{account}:oidc-provider/{}", self.issuer_name()?))
    }
}

/// The document of a trust; `None` where it needs the cluster's issuer and there is none yet.
pub fn document(trust: &Trust, place: &Place<'_>) -> Option<Value> {
    let service = |name: &str, actions: &[&str]| {
        Some(statement(json!({"Effect": "Allow", "Principal": {"Service": name}, "Action": actions})))
    };
    match trust {
        Trust::ControlPlane => service("eks.amazonaws.com", &["sts:AssumeRole"]),
        Trust::AutoMode => service("eks.amazonaws.com", &["sts:AssumeRole", "sts:TagSession"]),
        // EC2 is another principal in China; EKS is not.
        Trust::Nodes if place.partition == "aws-cn" => service("ec2.amazonaws.com.cn", &["sts:AssumeRole"]),
        Trust::Nodes => service("ec2.amazonaws.com", &["sts:AssumeRole"]),
        Trust::Pods => service("pods.eks.amazonaws.com", &["sts:AssumeRole", "sts:TagSession"]),
        Trust::ServiceAccount { namespace, name } => {
            let (issuer, arn) = (place.issuer_name()?, place.oidc_arn()?);
            let subject = format!("system:serviceaccount:{namespace}:{name}");
            let condition = json!({format!("{issuer}:aud"): AUDIENCE, format!("{issuer}:sub"): subject});
            Some(statement(json!({
                "Effect": "Allow",
                "Principal": {"Federated": arn},
                "Action": "sts:AssumeRoleWithWebIdentity",
                "Condition": {"StringEquals": condition},
            })))
        }
        Trust::Other(document) => Some(document.clone()),
    }
}

fn statement(statement: Value) -> Value {
    json!({"Version": "2012-10-17", "Statement": [statement]})
}

/// The trust that a document is. One that is not exactly one of ours is [`Trust::Other`], and so differs from what is wanted.
pub fn trust_of(found: &Value, place: &Place<'_>) -> Trust {
    let found = canonical(found);
    let account = service_account(&found, place);
    let known = [Some(Trust::ControlPlane), Some(Trust::AutoMode), Some(Trust::Nodes), Some(Trust::Pods), account];
    let same = |trust: &Trust| document(trust, place).is_some_and(|document| canonical(&document) == found);
    known.into_iter().flatten().find(same).unwrap_or(Trust::Other(found))
}

/// The service account that the first statement names, in the canonical form.
fn service_account(found: &Value, place: &Place<'_>) -> Option<Trust> {
    let subject = format!("{}:sub", place.issuer_name()?);
    let subject = found["Statement"][0]["Condition"]["StringEquals"][subject][0].as_str()?;
    let (namespace, name) = subject.strip_prefix("system:serviceaccount:")?.split_once(':')?;
    Some(Trust::ServiceAccount { namespace: namespace.to_owned(), name: name.to_owned() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place<'static> = Place {
        partition: "aws",
        account: "123456789012",
        issuer: Some("https://oidc.eks.us-west-2.amazonaws.com/id/ABC"),
    };

    fn all() -> [Trust; 5] {
        let account = Trust::ServiceAccount { namespace: "jobs".into(), name: "default".into() };
        [Trust::ControlPlane, Trust::AutoMode, Trust::Nodes, Trust::Pods, account]
    }

    #[test]
    fn every_trust_is_recognised_from_its_own_document() {
        for partition in ["aws", "aws-cn", "aws-us-gov"] {
            let place = Place { partition, ..PLACE };
            for trust in all() {
                assert_eq!(trust_of(&document(&trust, &place).unwrap(), &place), trust, "{partition}");
            }
        }
    }

    #[test]
    fn a_document_as_others_write_it_is_the_same_trust() {
        let found = json!({"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Principal": {"Service": ["pods.eks.amazonaws.com"]},
            "Action": ["sts:TagSession", "sts:AssumeRole"]}});
        assert_eq!(trust_of(&found, &PLACE), Trust::Pods);
    }

    #[test]
    fn somebody_who_may_too_makes_it_another_trust() {
        let mut found = document(&Trust::Nodes, &PLACE).unwrap();
        found["Statement"][0]["Principal"]["AWS"] = json!("arn:aws:iam::999999999999:root");
        assert!(matches!(trust_of(&found, &PLACE), Trust::Other(_)));
        let mut second = document(&Trust::Nodes, &PLACE).unwrap();
        let more = json!({"Effect": "Allow", "Principal": "*", "Action": "sts:AssumeRole"});
        second["Statement"].as_array_mut().unwrap().push(more);
        assert!(matches!(trust_of(&second, &PLACE), Trust::Other(_)));
    }

    #[test]
    fn the_service_account_of_another_cluster_is_none_of_this() {
        let [.., account] = all();
        let other = Place { issuer: Some("https://oidc.eks.us-west-2.amazonaws.com/id/XYZ"), ..PLACE };
        let found = document(&account, &PLACE).unwrap();
        assert!(matches!(trust_of(&found, &other), Trust::Other(_)));
        assert!(matches!(trust_of(&found, &Place { issuer: None, ..PLACE }), Trust::Other(_)));
        assert_eq!(document(&account, &Place { issuer: None, ..PLACE }), None);
    }

    #[test]
    fn a_service_account_is_held_to_its_issuer_and_audience() {
        let [.., account] = all();
        let found = document(&account, &PLACE).unwrap();
        let held = &found["Statement"][0]["Condition"]["StringEquals"];
        assert_eq!(held["oidc.eks.us-west-2.amazonaws.com/id/ABC:sub"], "system:serviceaccount:jobs:default");
        assert_eq!(held["oidc.eks.us-west-2.amazonaws.com/id/ABC:aud"], "sts.amazonaws.com");
        assert_eq!(
            found["Statement"][0]["Principal"]["Federated"],
            "arn:aws:iam::123456789012:oidc-provider/oidc.eks.us-west-2.amazonaws.com/id/ABC"
        );
    }
}

//! What the credentials lack, as far as IAM tells: its own simulation of their policies.

use std::collections::BTreeSet;

use aws_sdk_iam::types::{ContextEntry, ContextKeyTypeEnum, PolicyEvaluationDecisionType};
use futures::future::try_join_all;
use serde_json::Value;

use crate::aws::Aws;
use crate::error::AwsError;

/// Something that the credentials may not do.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Lack {
    /// The action.
    pub action: String,
    /// On what.
    pub resource: String,
}

/// What everybody may, whatever their policies say (STS API reference).
const FREE: &str = "sts:GetCallerIdentity";

/// What of a policy the credentials lack. Each statement is asked with a resource and the conditions of its own.
///
/// # Errors
/// IAM does not tell: the credentials may not ask, or are nobody's that has policies.
pub async fn lacking(aws: &Aws, policy: &Value) -> Result<BTreeSet<Lack>, AwsError> {
    let who = principal(&aws.caller().await?.arn);
    if who.ends_with(":root") {
        let why = "the root user of an account has no policies that IAM could simulate";
        return Err(AwsError::refused("ask IAM what these credentials may", why));
    }
    let statements = policy["Statement"].as_array().cloned().unwrap_or_default();
    let asked = statements.into_iter().map(|statement| {
        let who = who.clone();
        async move {
            let resource = texts(&statement["Resource"]).into_iter().next().unwrap_or_default();
            // A simulation wants one thing, and no pattern.
            let resource = if resource == "*" { resource } else { resource.replace('*', "simulated") };
            let asked = texts(&statement["Action"]).into_iter().filter(|action| action != FREE).collect();
            let request = aws
                .iam
                .simulate_principal_policy()
                .policy_source_arn(who)
                .set_action_names(Some(asked))
                .resource_arns(&resource)
                .set_context_entries(Some(context(&statement["Condition"])));
            let mut pages = request.into_paginator().items().send();
            let mut lacks = Vec::new();
            while let Some(result) = pages.next().await {
                let result = result.map_err(AwsError::sdk("ask IAM what these credentials may"))?;
                if result.eval_decision != PolicyEvaluationDecisionType::Allowed {
                    lacks.push(Lack { action: result.eval_action_name, resource: resource.clone() });
                }
            }
            Ok::<_, AwsError>(lacks)
        }
    });
    Ok(try_join_all(asked).await?.into_iter().flatten().collect())
}

/// Who has policies: the role of a session, and everybody else as they are.
fn principal(arn: &str) -> String {
    let parts: Vec<&str> = arn.splitn(6, ':').collect();
    match parts[..] {
        ["arn", partition, "sts", _, account, resource] => match resource.split('/').collect::<Vec<_>>()[..] {
            ["assumed-role", role, ..] => format!("arn:{partition}:iam::{account}:role/{role}"),
            _ => arn.to_owned(),
        },
        _ => arn.to_owned(),
    }
}

fn texts(value: &Value) -> Vec<String> {
    match value {
        Value::String(text) => vec![text.clone()],
        Value::Array(items) => items.iter().filter_map(Value::as_str).map(str::to_owned).collect(),
        _ => Vec::new(),
    }
}

fn context(condition: &Value) -> Vec<ContextEntry> {
    let keys = condition.as_object().into_iter().flat_map(|operators| operators.values()).filter_map(Value::as_object);
    keys.flatten()
        .map(|(key, values)| {
            let value = texts(values).into_iter().next().unwrap_or_default();
            ContextEntry::builder()
                .context_key_name(key)
                .context_key_type(ContextKeyTypeEnum::String)
                .context_key_values(value)
                .build()
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::principal;

    #[test]
    fn a_session_has_the_policies_of_its_role() {
        assert_eq!(
            principal("arn:aws:sts::111122223333:assumed-role/admin/somebody"),
            "arn:aws:iam::111122223333:role/admin"
        );
        assert_eq!(principal("arn:aws:iam::111122223333:user/somebody"), "arn:aws:iam::111122223333:user/somebody");
    }
}

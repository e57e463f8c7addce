//! Quirk: what EKS refuses and fakecloud accepts. Each message is EKS's own; where it was seen is named beside it.

use serde_json::Value;

use super::answer::Refusal;
use crate::emulators::Emulators;
use crate::xml;

const EFFECTS: [&str; 3] = ["NO_SCHEDULE", "NO_EXECUTE", "PREFER_NO_SCHEDULE"];

/// Taints are spelled as the API spells them (awsdocs/amazon-eks-user-guide #617).
pub(super) fn taints(taints: &Value) -> Result<(), Refusal> {
    for taint in taints.as_array().into_iter().flatten() {
        let effect = taint["effect"].as_str().unwrap_or_default();
        if !EFFECTS.contains(&effect) {
            let message = format!("Invalid taint effect: {effect}, must be one of these [{}]", EFFECTS.join(", "));
            return Err(Refusal::new("InvalidParameterException", message));
        }
    }
    Ok(())
}

/// min <= desired <= max (rancher/rancher #30994, sassoftware/viya4-iac-aws #298, ministryofjustice/cloud-platform-infrastructure #4595);
/// on an update a desired size that is below the new least has words of its own (terraform-aws-modules/terraform-aws-eks #3306).
pub(super) fn scaling(wanted: &Value, has: Option<&Value>) -> Result<(), Refusal> {
    let size = |name: &str| wanted[name].as_i64().or_else(|| has.and_then(|has| has[name].as_i64()));
    let (min, max, desired) = (size("minSize"), size("maxSize"), size("desiredSize"));
    let above = |left: Option<i64>, right: Option<i64>| left.zip(right).is_some_and(|(left, right)| left > right);
    let message = if max.is_some_and(|max| max < 1) {
        // The model's own bound (upstream: scalingConfig.maxSize is 1 or more).
        "maxSize is not valid".to_owned()
    } else if above(min, max) {
        "minSize can't be greater than maxSize".to_owned()
    } else if above(desired, max) {
        "desiredSize can't be greater than maxSize".to_owned()
    } else if above(min, desired) {
        match has {
            None => "minSize can't be greater than desiredSize".to_owned(),
            Some(_) => format!(
                "Minimum capacity {} can't be greater than desired size {}",
                min.unwrap_or_default(),
                desired.unwrap_or_default()
            ),
        }
    } else {
        return Ok(());
    };
    Err(Refusal::new("InvalidParameterException", message))
}

/// Where subnets are, as EC2 knows them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) vpc: String,
    pub(super) zones: Vec<String>,
}

/// Subnets exist: fakecloud asks no EC2, and the stand's EC2 is another emulator. EKS passes EC2's words on.
pub(super) async fn subnets(emulators: &Emulators, subnets: &Value) -> Result<Place, Refusal> {
    let refused = |message: String| Refusal::new("InvalidParameterException", message);
    let ids: Vec<&str> = subnets.as_array().into_iter().flatten().filter_map(Value::as_str).collect();
    if ids.is_empty() {
        return Err(refused("Subnets are required".into()));
    }
    let names: Vec<String> = (1..=ids.len()).map(|index| format!("SubnetId.{index}")).collect();
    let parameters: Vec<(&str, &str)> = names.iter().map(String::as_str).zip(ids).collect();
    let found = emulators.ec2("DescribeSubnets", &parameters).await.map_err(|error| match error {
        crate::StandError::Ask { why, .. } => refused(why),
        other => refused(other.to_string()),
    })?;
    let vpc = xml::text(&found, "vpcId").unwrap_or_default().to_owned();
    let mut zones: Vec<String> = xml::all(&found, "availabilityZone").map(str::to_owned).collect();
    zones.sort();
    zones.dedup();
    Ok(Place { vpc, zones })
}

/// Auto Mode is three switches that are on together, in a cluster without EKS' own first add-ons (EKS user guide, "Create an EKS Auto
/// Mode Cluster"). The words are the stand's own.
pub(super) fn auto_mode(body: &Value) -> Result<(), Refusal> {
    let switches = [
        &body["computeConfig"]["enabled"],
        &body["kubernetesNetworkConfig"]["elasticLoadBalancing"]["enabled"],
        &body["storageConfig"]["blockStorage"]["enabled"],
    ];
    let on = switches.iter().filter(|switch| **switch == &Value::Bool(true)).count();
    if on != 0 && on != switches.len() {
        let message = "computeConfig, kubernetesNetworkConfig.elasticLoadBalancing and storageConfig.blockStorage must be enabled \
                       or disabled together";
        return Err(Refusal::new("InvalidParameterException", message));
    }
    if on != 0 && body["bootstrapSelfManagedAddons"] != false {
        let message = "When EKS Auto Mode is enabled, bootstrapSelfManagedAddons must be set to false";
        return Err(Refusal::new("InvalidParameterException", message));
    }
    Ok(())
}

/// A control plane spans two zones (awsdocs/amazon-eks-user-guide #795).
pub(super) fn two_zones(place: &Place) -> Result<(), Refusal> {
    if place.zones.len() >= 2 {
        return Ok(());
    }
    Err(Refusal::new("InvalidParameterException", "Subnets specified must be in at least two different AZs"))
}

/// The cluster's role exists and trusts EKS (terraform-aws-modules/terraform-aws-eks #2406); IAM is another emulator's part than EKS.
pub(super) async fn cluster_role(emulators: &Emulators, arn: &Value) -> Result<(), Refusal> {
    let arn = arn.as_str().unwrap_or_default();
    if trust(emulators, arn).await.is_some_and(|trust| trust.contains("eks.amazonaws.com")) {
        return Ok(());
    }
    let message = format!(
        "Role with arn: {arn}, could not be assumed because it does not exist or the trusted entity is not correct"
    );
    Err(Refusal::new("InvalidParameterException", message))
}

/// The nodes' role trusts EC2 (eksctl-io/eksctl #3290); that one which does not exist gets the same words is assumed.
pub(super) async fn node_role(emulators: &Emulators, arn: &Value) -> Result<(), Refusal> {
    let arn = arn.as_str().unwrap_or_default();
    if trust(emulators, arn).await.is_some_and(|trust| trust.contains("ec2.amazonaws.com")) {
        return Ok(());
    }
    let message = format!(
        "Following required service principals [ec2.amazonaws.com] were not found in the trust relationships of nodeRole {arn}"
    );
    Err(Refusal::new("InvalidParameterException", message))
}

/// A role's trust policy, percent-encoded as IAM tells it; principals have no letter that is.
async fn trust(emulators: &Emulators, arn: &str) -> Option<String> {
    let name = arn.rsplit('/').next()?;
    // That there is none is what was asked.
    let found = emulators.iam("GetRole", &[("RoleName", name)]).await.ok()?;
    xml::text(&found, "AssumeRolePolicyDocument").map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sizes_are_in_order() {
        let said =
            |wanted: Value, has: Option<Value>| scaling(&wanted, has.as_ref()).err().map(|refusal| refusal.message);
        assert_eq!(said(json!({"minSize": 0, "maxSize": 4, "desiredSize": 0}), None), None);
        assert_eq!(
            said(json!({"minSize": 5, "maxSize": 1, "desiredSize": 9}), None).unwrap(),
            "minSize can't be greater than maxSize"
        );
        assert_eq!(
            said(json!({"minSize": 1, "maxSize": 2, "desiredSize": 9}), None).unwrap(),
            "desiredSize can't be greater than maxSize"
        );
        let has = json!({"minSize": 0, "maxSize": 4, "desiredSize": 2});
        assert_eq!(said(json!({"maxSize": 8}), Some(has.clone())), None);
        assert_eq!(
            said(json!({"minSize": 3}), Some(has)).unwrap(),
            "Minimum capacity 3 can't be greater than desired size 2"
        );
    }

    #[test]
    fn effects_are_spelled_as_the_api_spells_them() {
        assert_eq!(taints(&json!([{"key": "a", "effect": "NO_SCHEDULE"}])), Ok(()));
        let refusal = taints(&json!([{"key": "a", "effect": "NoSchedule"}])).unwrap_err();
        assert!(refusal.message.contains("Invalid taint effect: NoSchedule"), "{refusal:?}");
    }
}

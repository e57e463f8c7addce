//! The same things in terraform's hands: a configuration that imports each, so that its plan looks at just what ours looks at.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use wbk_eks_stand::Stand;

use crate::finish;

const OURS: &str = "Name=tag:wbk-infra/blueprint,Values=race";
const SOMEBODY: &str = "arn:aws:iam::123456789012:role/x";

/// What there is beside the cluster, as the aws CLI lists it.
const LISTS: [(&[&str], &str); 10] = [
    (&["ec2", "describe-vpcs", "--filters", OURS], "Vpcs"),
    (&["ec2", "describe-internet-gateways", "--filters", OURS], "InternetGateways"),
    (&["ec2", "describe-subnets", "--filters", OURS], "Subnets"),
    (&["ec2", "describe-addresses", "--filters", OURS], "Addresses"),
    (&["ec2", "describe-nat-gateways", "--filter", OURS], "NatGateways"),
    (&["ec2", "describe-route-tables", "--filters", OURS], "RouteTables"),
    (&["iam", "list-roles", "--path-prefix", "/wbk-infra/"], "Roles"),
    (&["eks", "list-addons", "--cluster-name", "race"], "addons"),
    (&["eks", "list-nodegroups", "--cluster-name", "race"], "nodegroups"),
    (&["eks", "list-pod-identity-associations", "--cluster-name", "race"], "associations"),
];

/// The aws CLI.
fn aws(stand: &Stand, arguments: &[&str]) -> Result<Value> {
    let mut command = Command::new(stand.aws_cli());
    command.args(arguments).envs(stand.env()).env("AWS_DEFAULT_OUTPUT", "json");
    Ok(serde_json::from_str(&finish(&mut command)?)?)
}

/// Terraform's plan, ready to run in a folder with its state; `None` where there is no terraform.
pub fn prepare(stand: &Stand, home: &Path, (configuration, mirror): (&str, Option<&Path>)) -> Result<Option<Command>> {
    if Command::new("terraform").arg("version").output().is_err() {
        return Ok(None);
    }
    let folder = home.join("terraform");
    std::fs::create_dir_all(&folder)?;
    let rc = home.join("terraform.rc");
    let source = match mirror {
        Some(mirror) => format!("filesystem_mirror {{\n path = {:?}\n }}", mirror.display().to_string()),
        None => "direct {}".to_owned(),
    };
    std::fs::write(&rc, format!("disable_checkpoint = true\nprovider_installation {{\n {source}\n}}\n"))?;
    std::fs::write(folder.join("main.tf"), configuration)?;
    let terraform = |arguments: &[&str]| {
        let mut command = Command::new("terraform");
        command.arg(format!("-chdir={}", folder.display())).args(arguments);
        command.envs(stand.env()).env("TF_CLI_CONFIG_FILE", &rc).env("TF_IN_AUTOMATION", "1");
        command
    };
    eprintln!("handing the same things to terraform");
    finish(&mut terraform(&["init", "-input=false"]))?;
    let said = finish(&mut terraform(&["apply", "-input=false", "-auto-approve", "-no-color"]))?;
    ensure!(said.contains("0 added, 0 changed, 0 destroyed"), "terraform changed what it was to read: {said}");
    Ok(Some(terraform(&["plan", "-input=false", "-no-color", "-detailed-exitcode"])))
}

/// A configuration as it grows.
struct Writer(String);

impl Writer {
    /// One resource: only what its schema demands is written, and what is there counts.
    fn resource(&mut self, kind: &str, id: &str, body: &str) {
        let name: String = id.chars().map(|one| if one.is_ascii_alphanumeric() { one } else { '_' }).collect();
        self.0 +=
            &format!("resource \"{kind}\" \"r_{name}\" {{\n{body}\nlifecycle {{\n ignore_changes = all\n}}\n}}\n");
        self.0 += &format!("import {{\n to = {kind}.r_{name}\n id = \"{id}\"\n}}\n");
    }
}

/// The configuration of the platform `race`, with an import for each resource.
pub fn configuration(stand: &Stand) -> Result<String> {
    let mut writer = Writer(
        r#"terraform {
  required_providers {
    aws = {
      source  = "hashicorp/aws"
      version = "5.100.0"
    }
  }
}
provider "aws" {
  skip_metadata_api_check = true
}
"#
        .to_owned(),
    );
    for (arguments, list) in LISTS {
        for one in aws(stand, arguments)?[list].as_array().context("a list")? {
            write(&mut writer, stand, list, one)?;
        }
    }
    let cluster = aws(stand, &["eks", "describe-cluster", "--name", "race"])?["cluster"].clone();
    let (role, subnets) = (&cluster["roleArn"], &cluster["resourcesVpcConfig"]["subnetIds"]);
    let body = format!("name = \"race\"\nrole_arn = {role}\nvpc_config {{\n subnet_ids = {subnets}\n}}");
    writer.resource("aws_eks_cluster", "race", &body);
    Ok(writer.0)
}

fn write(writer: &mut Writer, stand: &Stand, list: &str, one: &Value) -> Result<()> {
    let text = |key: &str| one[key].as_str().unwrap_or_default().to_owned();
    let plain = one.as_str().unwrap_or_default();
    match list {
        "Vpcs" => writer.resource("aws_vpc", &text("VpcId"), &format!("cidr_block = {}", one["CidrBlock"])),
        "InternetGateways" => writer.resource("aws_internet_gateway", &text("InternetGatewayId"), ""),
        "Subnets" => {
            let body = format!("vpc_id = {}\ncidr_block = {}", one["VpcId"], one["CidrBlock"]);
            writer.resource("aws_subnet", &text("SubnetId"), &body);
        }
        "Addresses" => writer.resource("aws_eip", &text("AllocationId"), "domain = \"vpc\""),
        "NatGateways" => {
            writer.resource("aws_nat_gateway", &text("NatGatewayId"), &format!("subnet_id = {}", one["SubnetId"]));
        }
        "RouteTables" => {
            let id = text("RouteTableId");
            writer.resource("aws_route_table", &id, &format!("vpc_id = {}", one["VpcId"]));
            let associations = one["Associations"].as_array().into_iter().flatten();
            for subnet in associations.filter_map(|association| association["SubnetId"].as_str()) {
                let body = format!("subnet_id = \"{subnet}\"\nroute_table_id = \"{id}\"");
                writer.resource("aws_route_table_association", &format!("{subnet}/{id}"), &body);
            }
        }
        "Roles" => {
            let name = text("RoleName");
            writer.resource("aws_iam_role", &name, "assume_role_policy = \"{}\"");
            let policies = aws(stand, &["iam", "list-attached-role-policies", "--role-name", &name])?;
            for arn in policies["AttachedPolicies"].as_array().into_iter().flatten().map(|policy| &policy["PolicyArn"])
            {
                let body = format!("role = \"{name}\"\npolicy_arn = {arn}");
                let id = format!("{name}/{}", arn.as_str().unwrap_or_default());
                writer.resource("aws_iam_role_policy_attachment", &id, &body);
            }
        }
        "addons" => {
            let body = format!("cluster_name = \"race\"\naddon_name = \"{plain}\"");
            writer.resource("aws_eks_addon", &format!("race:{plain}"), &body);
        }
        "nodegroups" => {
            let sizes = "scaling_config {\n min_size = 1\n max_size = 1\n desired_size = 1\n}";
            let body = format!(
                "cluster_name = \"race\"\nnode_role_arn = \"{SOMEBODY}\"\nsubnet_ids = [\"subnet-0\"]\n{sizes}"
            );
            writer.resource("aws_eks_node_group", &format!("race:{plain}"), &body);
        }
        _ => {
            let account = "namespace = \"jobs\"\nservice_account = \"trainer\"";
            let body = format!("cluster_name = \"race\"\n{account}\nrole_arn = \"{SOMEBODY}\"");
            writer.resource("aws_eks_pod_identity_association", &format!("race,{}", text("associationId")), &body);
        }
    }
    Ok(())
}

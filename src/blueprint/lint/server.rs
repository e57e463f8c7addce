//! W&B itself: what a server cannot be without, and what the other generation of its operator has no field for.

use super::Report;
use crate::blueprint::path::steps;
use crate::blueprint::schema::{OperatorGeneration, Server, ServerSize};
use crate::desired::{SERVER_PARTS, merged_server_values};

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    let Some(server) = &blueprint.server else { return };
    match server.operator {
        OperatorGeneration::V1 => v1(report, server),
        OperatorGeneration::V2 => v2(report, server),
    }
    let host = server.host.strip_prefix("https://").or_else(|| server.host.strip_prefix("http://"));
    if host.is_none_or(|host| host.is_empty() || host.contains('/')) {
        report.error(
            steps!["server", "host"],
            "a server's host is an address without a path",
            "write it like https://wandb.example.com",
        );
    }
    for (part, range) in &server.autoscale {
        let path = steps!["server", "autoscale", part.as_str()];
        if !SERVER_PARTS.contains(&part.as_str()) {
            let hint = format!("there is {}", SERVER_PARTS.join(", "));
            report.error(path, &format!("the chart has no part {part} that can be scaled"), &hint);
        }
        if range.min > range.max {
            report.error(path, "min is more than max", "let min be the smaller one");
        }
    }
    if let Some(launch) =
        blueprint.launch.as_ref().filter(|launch| launch.base_url.trim_end_matches('/') != server.host)
    {
        report.warning(
            steps!["launch", "baseUrl"],
            &format!(
                "agents and queues are those of {}, and the server of this blueprint is {}",
                launch.base_url, server.host
            ),
            "set `baseUrl` to the server's host, or leave it if that is meant",
        );
    }
}

/// Without a bucket and a database it starts, and loses what it is given.
fn v1(report: &mut Report<'_>, server: &Server) {
    let own = merged_server_values(server);
    let named =
        |pointer: &str| own.pointer(pointer).and_then(|value| value.as_str()).is_some_and(|name| !name.is_empty());
    if !named("/global/bucket/name") && !named("/global/defaultBucket/name") {
        report.error(
            steps!["server"],
            "the server has no bucket for artifacts and files",
            "add `bucket: {provider: s3, name: …}`",
        );
    }
    let has_database = own.pointer("/mysql/install") == Some(&true.into())
        || own.pointer("/global/mysql/host").is_some_and(|host| host.as_str() != Some(""));
    if !has_database {
        report.error(
            steps!["server"],
            "the server has no database",
            "add `database: {type: external, host: …, password: {env: …}}`, or `{type: inCluster, size: 20Gi}` to try it out",
        );
    }
    if matches!(server.size, ServerSize::Dev | ServerSize::Micro) {
        report.error(steps!["server", "size"], "operator v1 has no such size", "take small, or larger");
    }
}

fn v2(report: &mut Report<'_>, server: &Server) {
    if server.license.is_some() {
        report.error(
            steps!["server", "license"],
            "operator v2 (2.0.0-beta.3) takes a licence only as plain text in its custom resource, where everybody who may read it has it",
            "leave it out and give the licence to the server's console, or use `operator: v1`",
        );
    }
    let there = [
        ("bucket", server.bucket.is_some()),
        ("database", server.database.is_some()),
        ("annotations", !server.annotations.is_empty()),
        ("autoscale", !server.autoscale.is_empty()),
    ];
    for (key, _) in there.into_iter().filter(|(_, there)| *there) {
        report.error(
            steps!["server", key],
            "this word is of operator v1; v2 makes its own database and object store, or is told of others in its own words",
            "write it under `server.config`, as the resource's `spec` has it",
        );
    }
    let blueprint = &report.loaded.blueprint;
    if !blueprint.charts.iter().any(|chart| chart.name.contains("cert-manager")) {
        report.warning(
            steps!["server", "operator"],
            "operator v2 needs cert-manager, and this blueprint does not bring it",
            "add it under `charts:`, or see that the cluster has it",
        );
    }
    if server.storage_class.is_none() && !blueprint.storage_classes.iter().any(|class| class.default) {
        report.warning(
            steps!["server", "operator"],
            "operator v2 needs a default storage class, and this blueprint has none",
            "add one under `storageClasses:` with `default: true`, or see that the cluster has one",
        );
    }
}

//! W&B itself: the release of its operator, its custom resource, and the Secrets with licence, password and keys.
//!
//! Facts: wandb/helm-charts, charts/operator 1.4.8 and charts/operator-wandb 0.43.8 (values.yaml, templates/_license.tpl, _mysql.tpl,
//! _bucket.tpl); wandb/operator v1.22.0 (apps.wandb.com/v1) and 2.0.0-beta.3 (api/v2).

use serde_json::{Map, Value, json};

use super::collect::{Built, Collector};
use super::lock::Lock;
use super::merge_patch::merge_patch;
use super::namespaces::beside;
use super::state::{DesiredRelease, Origin, SecretSlot};
use crate::blueprint::schema::{BucketProvider, Database, OperatorGeneration, Server, ServerIngress, ServerSize};
use crate::blueprint::steps;
use crate::id::ReleaseId;

/// The custom resource's name; operator v1 calls what it makes by it.
const NAME: &str = "wandb";
/// The image of operator v1: the chart says `latest`. Every release is tagged so (wandb/operator, .github/workflows/release.yaml).
const CONTROLLER: (&str, &str) = ("wandb/controller", "1.22.0");
/// What operator v1 installs, and from where, where nothing is said.
const CHART: &str = "operator-wandb";
const CHART_VERSION: &str = "0.43.8";
const REPOSITORY: &str = "https://charts.wandb.ai";
/// Secrets and their keys.
const LICENSE: (&str, &str) = ("wandb-license", "license");
const PASSWORD: (&str, &str) = ("wandb-mysql-password", "MYSQL_PASSWORD");
const BUCKET: (&str, &str, &str) = ("wandb-bucket-credentials", "ACCESS_KEY", "SECRET_KEY");

/// Parts of operator-wandb that may have more pods than one: those made of its chart wandb-base that serve.
pub(crate) const SERVER_PARTS: [&str; 10] =
    ["api", "app", "console", "executor", "filemeta", "filestream", "frontend", "glue", "parquet", "weave"];
/// Parts that are given the bucket (operator-wandb, `envFrom` of its `-bucket-configmap`).
const BUCKET_USERS: [&str; 7] = ["api", "app", "executor", "filemeta", "filestream", "glue", "parquet"];

/// Makes the section's objects and its release.
pub(super) fn collect(collector: &mut Collector<'_>) -> Option<DesiredRelease> {
    let blueprint = &collector.loaded.blueprint;
    let server = blueprint.server.as_ref()?;
    let path = steps!["server"];
    if !blueprint.namespaces.iter().any(|namespace| namespace.name == server.namespace) {
        collector.add(steps!["server", "namespace"], Built::new("v1", "Namespace", None, &server.namespace));
    }
    secrets(collector, server);
    let (api, spec) = match server.operator {
        OperatorGeneration::V1 => ("apps.wandb.com/v1", v1(server)),
        OperatorGeneration::V2 => ("apps.wandb.com/v2", v2(server)),
    };
    let object = Built::new(api, "WeightsAndBiases", Some(&server.namespace), NAME).with("spec", spec);
    collector.add(path, object);
    let origin = Origin { path: collector.loaded.show(path), at: Some(collector.loaded.at(path).to_string()) };
    Some(operator(server, origin))
}

fn operator(server: &Server, origin: Origin) -> DesiredRelease {
    let (chart, values) = match server.operator {
        OperatorGeneration::V1 => {
            let image = json!({"repository": CONTROLLER.0, "tag": CONTROLLER.1, "pullPolicy": "IfNotPresent"});
            ("operator", json!({"image": image, "airgapped": server.airgapped}))
        }
        // Left to itself the chart makes a W&B of its own beside ours: `http://localhost`, in the namespace `wandb`.
        OperatorGeneration::V2 => ("operator-v2", json!({"wandb": {"install": false}})),
    };
    let chart = Lock::embedded().find(chart).expect("a test sees that every chart asked for is in the list");
    DesiredRelease {
        // As W&B's own instructions call it, so that a second one is found and not doubled.
        id: ReleaseId { namespace: server.namespace.clone(), name: "operator".into() },
        chart: chart.source(),
        values,
        origin,
    }
}

fn secrets(collector: &mut Collector<'_>, server: &Server) {
    let mut make = |path: &[_], name: &str, keys: Vec<(&str, &crate::desired::SecretReference)>| {
        let file = collector.loaded.at(path).file.clone();
        let slots = keys.into_iter().map(|(key, from)| SecretSlot::new(key, beside(from, &file))).collect();
        collector.add(path, Built::new("v1", "Secret", Some(&server.namespace), name).with_secrets(slots));
    };
    if let Some(license) = &server.license {
        make(steps!["server", "license"], LICENSE.0, vec![(LICENSE.1, license)]);
    }
    if let Some(Database::External { password, .. }) = &server.database {
        make(steps!["server", "database", "password"], PASSWORD.0, vec![(PASSWORD.1, password)]);
    }
    if let Some(credentials) = server.bucket.as_ref().and_then(|bucket| bucket.credentials.as_ref()) {
        let keys = vec![(BUCKET.1, &credentials.access_key), (BUCKET.2, &credentials.secret_key)];
        make(steps!["server", "bucket", "credentials"], BUCKET.0, keys);
    }
}

/// The resource of operator v1: a chart, pinned, and its values.
fn v1(server: &Server) -> Value {
    let version = server.version.as_deref().unwrap_or(CHART_VERSION);
    let repository = server.repository.as_deref().unwrap_or(REPOSITORY).trim_end_matches('/');
    let chart = match repository.starts_with("oci://") {
        true => json!({"url": format!("{repository}/{CHART}"), "version": version}),
        false => json!({"url": repository, "name": CHART, "version": version}),
    };
    json!({"chart": chart, "values": merged_server_values(server)})
}

/// Values of operator-wandb, the user's own words over ours.
pub(crate) fn merged_server_values(server: &Server) -> Value {
    let mut values = json!({"global": {"host": server.host, "size": size(server.size)}});
    if server.license.is_some() {
        values["global"]["licenseSecret"] = json!({"name": LICENSE.0, "key": LICENSE.1});
    }
    if let Some(class) = &server.storage_class {
        values["global"]["storageClass"] = class.clone().into();
    }
    bucket(server, &mut values);
    match &server.database {
        Some(Database::External { host, port, name, user, password: _ }) => {
            values["global"]["mysql"] = json!({
                "host": host, "port": port, "database": name, "user": user,
                "passwordSecret": {"name": PASSWORD.0, "passwordKey": PASSWORD.1},
            });
            values["mysql"] = json!({"install": false});
        }
        Some(Database::InCluster { size }) => {
            let mut persistence = json!({"size": size.to_string()});
            if let Some(class) = &server.storage_class {
                persistence["storageClass"] = class.clone().into();
            }
            values["mysql"] = json!({"install": true, "persistence": persistence});
        }
        None => {}
    }
    values["ingress"] = match &server.ingress {
        Some(ServerIngress { class, tls_secret, annotations }) => {
            let host = server.host.split_once("://").map_or(server.host.as_str(), |(_, host)| host);
            let tls: Vec<Value> = tls_secret
                .iter()
                .map(|secret| json!({"hosts": [host.split(':').next().unwrap_or(host)], "secretName": secret}))
                .collect();
            json!({"install": true, "create": true, "class": class, "annotations": annotations, "tls": tls})
        }
        None => json!({"install": false, "create": false}),
    };
    let mut part = |name: &str, key: &str, value: Value| {
        if values[name].is_null() {
            values[name] = json!({});
        }
        values[name][key] = value;
    };
    if !server.annotations.is_empty() {
        for name in BUCKET_USERS {
            part(name, "serviceAccount", json!({"annotations": server.annotations}));
        }
    }
    for (name, range) in &server.autoscale {
        let horizontal = json!({
            "enabled": true, "minReplicas": range.min, "maxReplicas": range.max,
            "targetCPUUtilizationPercentage": range.cpu,
        });
        part(name, "autoscaling", json!({"horizontal": horizontal}));
    }
    merged(values, server)
}

fn bucket(server: &Server, values: &mut Value) {
    let Some(bucket) = &server.bucket else { return };
    let provider = match bucket.provider {
        BucketProvider::S3 => "s3",
        BucketProvider::Gcs => "gcs",
        BucketProvider::Az => "az",
    };
    // `bucket` and not `defaultBucket`: what the blueprint says cannot be changed in the console.
    let mut section = json!({"provider": provider, "name": bucket.name, "path": bucket.path.as_deref().unwrap_or("")});
    section["region"] = bucket.region.as_deref().unwrap_or("").into();
    section["kmsKey"] = bucket.kms_key.as_deref().unwrap_or("").into();
    if bucket.credentials.is_some() {
        section["secret"] = json!({"secretName": BUCKET.0, "accessKeyName": BUCKET.1, "secretKeyName": BUCKET.2});
    }
    values["global"]["bucket"] = section;
}

/// The resource of operator v2.
fn v2(server: &Server) -> Value {
    let mut spec = json!({
        "size": size(server.size),
        // What holds data outlives the resource.
        "retentionPolicy": {"onDelete": "detach"},
        "wandb": {"hostname": server.host},
    });
    if let Some(version) = &server.version {
        spec["wandb"]["version"] = version.clone().into();
    }
    if let Some(ServerIngress { class, tls_secret, annotations }) = &server.ingress {
        spec["networking"] = json!({"mode": "ingress", "ingress": {"ingressClassName": class}});
        if let Some(secret) = tls_secret {
            spec["networking"]["tls"] = json!({"secretName": secret});
        }
        if !annotations.is_empty() {
            spec["networking"]["annotations"] = json!(annotations);
        }
    }
    merged(spec, server)
}

fn merged(mut values: Value, server: &Server) -> Value {
    let own: Map<String, Value> = server.config.clone().into_iter().collect();
    merge_patch(&mut values, &Value::Object(own));
    values
}

fn size(size: ServerSize) -> &'static str {
    match size {
        ServerSize::Dev => "dev",
        ServerSize::Micro => "micro",
        ServerSize::Small => "small",
        ServerSize::Medium => "medium",
        ServerSize::Large => "large",
        ServerSize::Xlarge => "xlarge",
        ServerSize::Xxlarge => "xxlarge",
    }
}

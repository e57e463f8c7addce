//! Values of W&B's own chart `launch-agent`, from the same section, and what it breaks.
//!
//! Source: wandb/helm-charts, `charts/launch-agent` 0.13.12: `values.yaml` and all four templates.

use serde_json::{Map, Value, json};

use super::parts::{self, Parts, Variable};
use super::state::Notice;
use crate::blueprint::is_exact_version;
use crate::blueprint::schema::{Agent, AgentChart, Builder, Launch};
use crate::desired::{ChartSource, is_chart_path};

/// Since this version the key may be in a Secret that somebody else made (`useExternalWandbSecret`).
pub(crate) const OLDEST: &str = "0.11.0";
/// The version that was read.
pub(crate) const READ: &str = "0.13.12";
/// Where the chart mounts the certificates.
const CA_FILE: &str = "/usr/local/share/ca-certificates/custom-ca.crt";

/// Where the chart is.
pub(super) fn source(chart: &AgentChart, beside: impl Fn(&str) -> String) -> ChartSource {
    // Lint has checked that what is not a path has a version.
    let version = chart.version.clone().unwrap_or_default();
    let digest = chart.digest.clone();
    if is_chart_path(&chart.from) {
        ChartSource::Path { path: beside(&chart.from) }
    } else if chart.from.starts_with("oci://") {
        ChartSource::Oci { reference: chart.from.clone(), version, digest }
    } else {
        ChartSource::Repository { url: chart.from.clone(), name: "launch-agent".into(), version, digest }
    }
}

/// Whether a version is one that takes no key as a value.
pub(crate) fn takes_a_secret(version: &str) -> bool {
    let numbers =
        |text: &str| -> Vec<u32> { text.split(['.', '-', '+']).map_while(|part| part.parse().ok()).collect() };
    is_exact_version(version) && numbers(version) >= numbers(OLDEST)
}

/// The service account of a release.
pub(super) fn service_account(release: &str) -> String {
    format!("wandb-launch-serviceaccount-{release}")
}

/// The chart's values.
pub(super) fn values(
    (launch, agent): (&Launch, &Agent),
    release: &str,
    job_namespaces: &[String],
    (image, config): (&str, &Value),
) -> Value {
    let text = crate::blueprint::to_yaml(config);
    let mut values = json!({
        "agent": {
            "image": image,
            "imagePullPolicy": "IfNotPresent",
            "useExternalWandbSecret": true,
            // One would block every drain: there is one pod.
            "minAvailable": 0,
            // The label by which this program's own chart and its screen know an agent's pod.
            "labels": {"app.kubernetes.io/instance": release},
        },
        "additionalTargetNamespaces": job_namespaces,
        "baseUrl": launch.base_url.trim_end_matches('/'),
        "launchConfig": text,
        "namespace": launch.namespace,
    });
    if let Some(resources) = super::agent::resources(agent) {
        values["agent"]["resources"] = resources;
    }
    if !agent.annotations.is_empty() {
        values["serviceAccount"] = json!({"annotations": agent.annotations});
    }
    let mut env: Map<String, Value> = Map::new();
    // Secret ones are refused by lint: the chart takes them as values.
    for (name, variable) in Parts::common(launch).env {
        if let Variable::Plain(value) = variable {
            let is_path = parts::ca_bundle(launch).is_some() && value.starts_with("/etc/wbk-infra/ca/");
            let value = if is_path { CA_FILE.to_owned() } else { value };
            // The chart sets this one itself.
            if !(is_path && name == "REQUESTS_CA_BUNDLE") {
                env.insert(name, value.into());
            }
        }
    }
    env.extend(agent.env.iter().map(|(name, value)| (name.clone(), value.clone().into())));
    if !env.is_empty() {
        // The chart writes a value as it stands: only quoted again does `false` or `1` stay a string.
        let quoted = |value: &Value| Value::String(value.to_string());
        values["additionalEnvVars"] =
            env.iter().map(|(name, value)| json!({"name": name, "value": quoted(value)})).collect();
    }
    if let Some((name, key)) = parts::ca_bundle(launch) {
        values["customCABundle"] = json!({"configMap": {"name": name, "key": key}});
    }
    if let Builder::Kaniko { destination, context_volume, .. } = &agent.builder {
        if let Some(claim) = context_volume {
            values["kanikoPvcName"] = claim.clone().into();
        }
        if super::registries::pushes_to(launch, destination) {
            values["kanikoDockerConfigSecret"] = super::registries::SECRET.into();
        }
    }
    values
}

/// What the chart breaks or lacks, of this agent.
pub(super) fn notices(launch: &Launch, agent: &Agent, about: &str, job_namespaces: &[String]) -> Vec<Notice> {
    let mut found = Vec::new();
    let mut say = |says: String, hint: &str| {
        found.push(Notice { about: about.to_owned(), says, hint: hint.to_owned() });
    };
    let own = "remove `chart:`: this program's own chart does it otherwise";
    let spaces: Vec<&str> = [launch.namespace.as_str()]
        .into_iter()
        .chain(job_namespaces.iter().map(String::as_str).filter(|space| *space != launch.namespace))
        .collect();
    say(
        format!(
            "W&B's chart lets the agent read and change every Secret, pod and Job in {}, far more than an agent uses \
             (docs/launch-rbac.md)",
            spaces.join(", ")
        ),
        own,
    );
    say("W&B's chart has no network policy: the agent's pod takes connections".into(), own);
    if !launch.registries.is_empty() {
        say(
            "W&B's chart knows no image pull secrets: `registries` reach the jobs and not the agent's own image".into(),
            "use an image that its nodes can pull, or remove `chart:`",
        );
    }
    if matches!(&agent.builder, Builder::Kaniko { context_volume: Some(_), .. }) {
        say(
            "W&B's chart changes the owner of the build volume in a container that runs as root: a `restricted` namespace refuses the pod"
                .into(),
            own,
        );
    }
    if matches!(&agent.builder, Builder::Kaniko { context_store: Some(store), .. } if store.starts_with("https://"))
        && launch.namespace != "wandb"
    {
        say(
            "builds with Azure's storage look for the Secret azure-storage-access-key in a namespace called wandb"
                .into(),
            "leave `launch.namespace` at wandb",
        );
    }
    if agent.chart.as_ref().and_then(|chart| chart.version.as_deref()).is_some_and(|version| version != READ) {
        say(
            format!("these values and warnings were made for version {READ} of W&B's chart, not for this one"),
            &format!("write `version: {READ}`, or look through what it renders: wbk-infra render"),
        );
    }
    found
}

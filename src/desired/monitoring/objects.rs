//! What the `monitoring` section becomes.

use serde_json::{Value, json};

use super::{dashboards, rules};
use crate::blueprint::schema::Blueprint;
use crate::blueprint::steps;
use crate::desired::collect::{Built, Collector};
use crate::id::GroupKind;

/// The namespace of everything about monitoring.
const NAMESPACE: &str = "wbk-monitoring";
/// The Prometheus operator's kinds.
const OPERATOR: &str = "monitoring.coreos.com";
/// Grafana's sidecar takes ConfigMaps with this label.
const DASHBOARD_LABEL: &str = "grafana_dashboard";

/// Kinds that the section uses where the cluster has them, and does without where it has not.
pub(crate) fn optional_kinds(blueprint: &Blueprint) -> Vec<GroupKind> {
    let Some(monitoring) = &blueprint.monitoring else { return Vec::new() };
    let kind = |name: &str| GroupKind { group: OPERATOR.into(), kind: name.into() };
    let pairs = [(monitoring.prometheus, "PodMonitor"), (monitoring.alerts, "PrometheusRule")];
    pairs.into_iter().filter(|(asked, _)| *asked).map(|(_, name)| kind(name)).collect()
}

pub(in crate::desired) fn collect(collector: &mut Collector<'_>) {
    let blueprint = &collector.loaded.blueprint;
    let Some(monitoring) = &blueprint.monitoring else { return };
    if !(monitoring.prometheus || monitoring.alerts || monitoring.dashboards) {
        return;
    }
    let level = "pod-security.kubernetes.io/enforce".to_owned();
    let namespace =
        Built::new("v1", "Namespace", None, NAMESPACE).with_metadata("labels", [(&level, &"restricted".to_owned())]);
    collector.add(steps!["monitoring"], namespace);
    if monitoring.prometheus {
        for (name, selector) in [("wbk-dcgm-exporter", STANDALONE), ("wbk-dcgm-operator", OF_OPERATOR)] {
            let object = Built::new("monitoring.coreos.com/v1", "PodMonitor", Some(NAMESPACE), name)
                .with("spec", pod_monitor(selector));
            collector.add(steps!["monitoring", "prometheus"], object);
        }
    }
    if monitoring.alerts {
        let path = steps!["monitoring", "alerts"];
        let text = Built::new("v1", "ConfigMap", Some(NAMESPACE), "wbk-prometheus-rules")
            .with("data", json!({"wbk-rules.yaml": rules::TEXT}));
        collector.add(path, text);
        let rule = Built::new("monitoring.coreos.com/v1", "PrometheusRule", Some(NAMESPACE), "wbk")
            .with("spec", rules::parsed());
        collector.add(path, rule);
    }
    if monitoring.dashboards {
        let label = (DASHBOARD_LABEL.to_owned(), "1".to_owned());
        for dashboard in dashboards::all() {
            let data = json!({(format!("{}.json", dashboard.name)): dashboard.text()});
            let object = Built::new("v1", "ConfigMap", Some(NAMESPACE), dashboard.name)
                .with_metadata("labels", [(&label.0, &label.1)])
                .with("data", data);
            collector.add(steps!["monitoring", "dashboards"], object);
        }
    }
}

/// Pods of the exporter's own chart, by its selector labels.
const STANDALONE: (&str, &str) = ("app.kubernetes.io/name", "dcgm-exporter");
/// Pods of the GPU Operator's exporter (assets/state-dcgm-exporter/0900_daemonset.yaml).
const OF_OPERATOR: (&str, &str) = ("app", "nvidia-dcgm-exporter");

/// The exporter's own labels name the pod that holds a GPU; those of the exporter's pod, which Prometheus would add, are dropped, so
/// that they do not fill in where no pod holds one.
fn pod_monitor(selector: (&str, &str)) -> Value {
    json!({
        "namespaceSelector": {"any": true},
        "podMetricsEndpoints": [{
            "honorLabels": true,
            "interval": "15s",
            "port": "metrics",
            "relabelings": [
                {"action": "replace", "sourceLabels": ["__meta_kubernetes_pod_node_name"], "targetLabel": "node"},
                {"action": "labeldrop", "regex": "pod|namespace|container"},
            ],
        }],
        "selector": {"matchLabels": {(selector.0): selector.1}},
    })
}

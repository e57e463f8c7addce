//! GPU metrics are there: each GPU node has a DCGM exporter whose page names its GPUs.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::FutureExt;
use serde_json::{Value, json};

use super::few;
use super::settle::settled;
use crate::cluster::{going, is_true, name, pod_trouble, text};
use crate::desired::{ChartSource, Desired, Origin};
use crate::verify::api::Trouble;
use crate::verify::check::{Check, CheckId, Evidence, Outcome};
use crate::verify::context::{CheckContext, Nodes};
use crate::verify::placement::Placement;

/// The port of the exporter's page, unless its container names one `metrics`.
const PORT: u64 = 9400;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    let Some(origin) = exporter(desired) else { return };
    for pool in desired.wanted.pools.values() {
        let placement = Placement::of(pool, desired);
        if placement.gpu.as_ref().is_some_and(|gpu| gpu.resource.starts_with("nvidia.com/")) {
            let devices = pool.shape.gpu.as_ref().map_or(0, |gpu| gpu.count);
            checks.push(Arc::new(Scraped { placement, devices, origin: origin.clone() }));
        }
    }
}

/// Where the blueprint asks for the exporter: its own chart, or the operator that brings it.
fn exporter(desired: &Desired) -> Option<Origin> {
    // Wherever a chart comes from, its name is in there.
    let chart = |source: &ChartSource| json!(source).to_string();
    let release = desired.releases.iter().find(|release| {
        let chart = chart(&release.chart);
        release.id.name.contains("dcgm-exporter") || chart.contains("dcgm-exporter") || chart.contains("gpu-operator")
    });
    let object = || {
        desired
            .objects
            .iter()
            .find(|object| object.id.gvk.kind == "DaemonSet" && is_exporter(&object.manifest["spec"]["template"]))
    };
    release.map(|release| release.origin.clone()).or_else(|| object().map(|object| object.origin.clone()))
}

/// By the labels of NVIDIA's chart and operator.
fn is_exporter(pod: &Value) -> bool {
    let label =
        |key: &str| pod.pointer("/metadata/labels").and_then(|labels| labels.get(key)?.as_str()).unwrap_or_default();
    label("app.kubernetes.io/name") == "dcgm-exporter" || label("app") == "nvidia-dcgm-exporter"
}

struct Scraped {
    placement: Placement,
    devices: u32,
    origin: Origin,
}

#[async_trait]
impl Check for Scraped {
    fn id(&self) -> CheckId {
        CheckId::about("metrics.dcgm", &self.placement.pool)
    }

    fn title(&self) -> String {
        format!("GPU metrics of pool {} can be scraped", self.placement.pool)
    }

    fn origin(&self) -> Option<Origin> {
        Some(self.origin.clone())
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        if cx.nodes == Nodes::Simulated {
            return Outcome::inconclusive("on simulated nodes no exporter runs, so that no metrics can be scraped");
        }
        settled(cx, || async { self.look(cx).await.unwrap_or_else(Outcome::from) }.boxed()).await
    }
}

impl Scraped {
    async fn look(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let (nodes, pods) = (cx.all_nodes().await?, cx.live_pods().await?);
        let nodes = self.placement.nodes(&nodes);
        if nodes.is_empty() {
            return Ok(Outcome::skipped(format!("pool {} has no nodes now", self.placement.pool)));
        }
        let (mut faults, mut good) = (Vec::new(), Vec::new());
        for node in nodes {
            let here = pods
                .iter()
                .find(|pod| text(pod, "/spec/nodeName") == name(node) && is_exporter(pod) && going(pod).is_none());
            match here {
                None => faults.push(format!("{}: no exporter pod", name(node))),
                Some(pod) if !is_true(pod, "Ready") => {
                    let why = pod_trouble(pod).unwrap_or_else(|| "not ready".into());
                    faults.push(format!("{}: pod {}: {why}", name(node), name(pod)));
                }
                Some(pod) => {
                    let path = format!(
                        "/api/v1/namespaces/{}/pods/{}:{}/proxy/metrics",
                        text(pod, "/metadata/namespace"),
                        name(pod),
                        port(pod)
                    );
                    match cx.api().text(&path).await {
                        Ok(page) => match gpus(&page) {
                            count if count == self.devices as usize => {
                                good.push(format!("{}: {count} GPUs", name(node)))
                            }
                            count => {
                                faults.push(format!("{}: metrics of {count} GPUs, not {}", name(node), self.devices))
                            }
                        },
                        Err(trouble @ Trouble::Forbidden { .. }) => return Err(trouble),
                        Err(trouble) => faults.push(format!("{}: {trouble}", name(node))),
                    }
                }
            }
        }
        let wanted = format!("utilisation of {} GPUs from each node", self.devices);
        let source = format!("GET /api/v1/namespaces/…/pods/…:{PORT}/proxy/metrics");
        let data = json!({"nodes": good, "faults": faults});
        if faults.is_empty() {
            return Ok(Outcome::pass(Evidence::new(few(&good), wanted, source).with(data)));
        }
        let hint = "see that the exporter tolerates the pool's taints, and what its log says of DCGM";
        Ok(Outcome::fail(Evidence::new(few(&faults), wanted, source).with(data), hint))
    }
}

fn port(pod: &Value) -> u64 {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    containers
        .into_iter()
        .flatten()
        .filter_map(|container| container.get("ports")?.as_array())
        .flatten()
        .find(|port| text(port, "/name") == "metrics")
        .and_then(|port| port.get("containerPort")?.as_u64())
        .unwrap_or(PORT)
}

/// How many GPUs a page of metrics speaks of: distinct UUIDs of the utilisation, or of the temperature where a card has none
/// (MIG).
fn gpus(page: &str) -> usize {
    ["DCGM_FI_DEV_GPU_UTIL{", "DCGM_FI_DEV_GPU_TEMP{"]
        .iter()
        .map(|metric| {
            let uuids: std::collections::BTreeSet<&str> = page
                .lines()
                .filter(|line| line.starts_with(metric))
                .filter_map(|line| line.split("UUID=\"").nth(1)?.split('"').next())
                .collect();
            uuids.len()
        })
        .max()
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gpus_are_counted_by_their_uuids() {
        let page = "# HELP DCGM_FI_DEV_GPU_UTIL GPU utilization (in %).\n\
            DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"GPU-1\",pod=\"a\"} 0\n\
            DCGM_FI_DEV_GPU_UTIL{gpu=\"0\",UUID=\"GPU-1\",pod=\"b\"} 0\n\
            DCGM_FI_DEV_GPU_UTIL{gpu=\"1\",UUID=\"GPU-2\"} 3\n\
            DCGM_FI_DEV_GPU_TEMP{gpu=\"0\",UUID=\"GPU-1\"} 33\n";
        assert_eq!(gpus(page), 2);
        assert_eq!(gpus(""), 0);
    }

    #[test]
    fn exporters_are_known_by_the_charts_and_the_operators_labels() {
        let pod = |key: &str, value: &str| json!({"metadata": {"labels": {key: value}}});
        assert!(is_exporter(&pod("app.kubernetes.io/name", "dcgm-exporter")));
        assert!(is_exporter(&pod("app", "nvidia-dcgm-exporter")));
        assert!(!is_exporter(&pod("app", "nvidia-device-plugin-daemonset")));
        let named = json!({"spec": {"containers": [{"ports": [{"name": "metrics", "containerPort": 9401}]}]}});
        assert_eq!((port(&named), port(&json!({}))), (9401, 9400));
    }
}

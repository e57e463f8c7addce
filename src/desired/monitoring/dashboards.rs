//! Grafana dashboards, made here so that their queries and the rules cannot part ways.

use serde_json::{Value, json};

/// One dashboard.
pub(super) struct Dashboard {
    /// Its ConfigMap and uid.
    pub name: &'static str,
    title: &'static str,
    panels: Vec<Panel>,
}

/// How a panel shows its series.
#[derive(Clone, Copy)]
enum Look {
    /// Lines over time.
    Lines,
    /// Lines over time, filled and on top of each other.
    Stack,
    /// The last value, large.
    Number,
    /// The last values, one a row.
    Table,
}

struct Panel {
    title: &'static str,
    says: &'static str,
    look: Look,
    unit: &'static str,
    width: u32,
    queries: Vec<(&'static str, &'static str)>,
}

/// Units of Grafana's columns.
const COLUMNS: u32 = 24;
/// GPU resources as kube-state-metrics spells them.
macro_rules! gpus {
    () => {
        r#"resource=~"nvidia_com_gpu.*|nvidia_com_mig_.*|amd_com_gpu|gpu_intel_com_.*""#
    };
}

fn panel(title: &'static str, says: &'static str, look: Look, unit: &'static str, width: u32) -> Panel {
    Panel { title, says, look, unit, width, queries: Vec::new() }
}

impl Panel {
    fn query(mut self, expr: &'static str, legend: &'static str) -> Self {
        self.queries.push((expr, legend));
        self
    }

    fn to_json(&self, id: usize, x: u32, y: u32) -> Value {
        let height = match self.look {
            Look::Number => 4,
            Look::Lines | Look::Stack | Look::Table => 8,
        };
        let instant = matches!(self.look, Look::Number | Look::Table);
        let targets: Vec<Value> = self
            .queries
            .iter()
            .zip(b'A'..)
            .map(|((expr, legend), letter)| {
                json!({
                    "datasource": source(), "expr": expr, "legendFormat": legend,
                    "refId": char::from(letter).to_string(), "instant": instant, "range": !instant,
                    "format": if matches!(self.look, Look::Table) { "table" } else { "time_series" },
                })
            })
            .collect();
        let mut custom = json!({"lineWidth": 1, "showPoints": "never", "spanNulls": false});
        if matches!(self.look, Look::Stack) {
            custom["stacking"] = json!({"mode": "normal"});
            custom["fillOpacity"] = 40.into();
        }
        let (kind, options) = match self.look {
            Look::Lines | Look::Stack => (
                "timeseries",
                json!({"legend": {"displayMode": "table", "placement": "right", "calcs": ["lastNotNull", "max"]},
                    "tooltip": {"mode": "multi", "sort": "desc"}}),
            ),
            Look::Number => (
                "stat",
                json!({"reduceOptions": {"calcs": ["lastNotNull"]}, "graphMode": "area", "colorMode": "value"}),
            ),
            Look::Table => ("table", json!({"showHeader": true, "cellHeight": "sm"})),
        };
        let mut panel = json!({
            "id": id, "type": kind, "title": self.title, "description": self.says, "datasource": source(),
            "gridPos": {"x": x, "y": y, "w": self.width, "h": height},
            "fieldConfig": {"defaults": {"unit": self.unit, "custom": custom}, "overrides": []},
            "options": options, "targets": targets,
        });
        if matches!(self.look, Look::Table) {
            panel["fieldConfig"]["defaults"]["custom"] = json!({"align": "auto"});
            panel["transformations"] = json!([{"id": "organize", "options": {"excludeByName": {"Time": true}}}]);
        }
        panel
    }
}

fn source() -> Value {
    json!({"type": "prometheus", "uid": "${datasource}"})
}

impl Dashboard {
    /// As Grafana reads it; the same bytes every time.
    pub(super) fn text(&self) -> String {
        let (mut x, mut y, mut row) = (0, 0, 0);
        let mut panels = Vec::new();
        for (index, panel) in self.panels.iter().enumerate() {
            if x + panel.width > COLUMNS {
                (x, y, row) = (0, y + row, 0);
            }
            let made = panel.to_json(index + 1, x, y);
            row = row.max(u32::try_from(made["gridPos"]["h"].as_u64().unwrap_or(8)).unwrap_or(8));
            x += panel.width;
            panels.push(made);
        }
        let choose = |name: &str, label: &str, query: &str| {
            json!({
                "name": name, "label": label, "type": "query", "datasource": source(), "refresh": 2, "multi": true,
                "includeAll": true, "allValue": ".*", "current": {"text": "All", "value": "$__all"},
                "query": {"query": query, "refId": "variable"}, "definition": query,
            })
        };
        let variables = json!([
            {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"},
            choose("namespace", "Namespace", "label_values(kube_pod_info, namespace)"),
        ]);
        let dashboard = json!({
            "uid": self.name, "title": self.title, "tags": ["wbk-infra"], "schemaVersion": 39, "version": 1,
            "editable": false, "graphTooltip": 1, "refresh": "30s", "time": {"from": "now-6h", "to": "now"},
            "timezone": "browser", "templating": {"list": variables}, "annotations": {"list": []}, "panels": panels,
        });
        format!("{dashboard:#}\n")
    }
}

/// All of them.
pub(super) fn all() -> Vec<Dashboard> {
    vec![gpus(), jobs()]
}

fn gpus() -> Dashboard {
    let panels = vec![
        panel("GPUs that can be allocated", "What nodes offer, by resource.", Look::Number, "short", 6)
            .query("wbk:gpus_allocatable:sum", "{{resource}}"),
        panel("GPUs in use", "Requested by pods that run or wait.", Look::Number, "short", 6)
            .query("sum by (resource) (wbk:gpus_requested:sum)", "{{resource}}"),
        panel("Busy", "Mean over all GPUs that a pod holds.", Look::Number, "percentunit", 6)
            .query(r#"avg(wbk:gpu_busy:ratio{pod!=""})"#, "busy"),
        panel(
            "Held and idle",
            "GPUs that a pod holds and kept under 5% busy for half an hour.",
            Look::Number,
            "short",
            6,
        )
        .query(r#"count(wbk:gpu_busy:ratio_avg30m{pod!=""} < 0.05) or vector(0)"#, "idle"),
        panel("Busy by GPU", "The share of time in which the GPU computed.", Look::Lines, "percentunit", 12)
            .query("wbk:gpu_busy:ratio", "{{Hostname}} {{gpu}} {{GPU_I_PROFILE}}"),
        panel("Memory by GPU", "Framebuffer in use.", Look::Lines, "percentunit", 12)
            .query("wbk:gpu_memory_used:ratio", "{{Hostname}} {{gpu}} {{GPU_I_PROFILE}}"),
        panel(
            "Tensor cores active",
            "High here means that training computes rather than waits.",
            Look::Lines,
            "percentunit",
            12,
        )
        .query("DCGM_FI_PROF_PIPE_TENSOR_ACTIVE", "{{Hostname}} {{gpu}}"),
        panel("Power", "Draw by GPU.", Look::Stack, "watt", 12)
            .query("DCGM_FI_DEV_POWER_USAGE", "{{Hostname}} {{gpu}}"),
        panel("Temperature", "By GPU; above 88 degrees for ten minutes is an alert.", Look::Lines, "celsius", 12)
            .query("DCGM_FI_DEV_GPU_TEMP", "{{Hostname}} {{gpu}}"),
        panel("PCIe traffic", "Received and sent, all GPUs of a node.", Look::Lines, "Bps", 12)
            .query("sum by (Hostname) (DCGM_FI_PROF_PCIE_RX_BYTES)", "{{Hostname}} in")
            .query("sum by (Hostname) (DCGM_FI_PROF_PCIE_TX_BYTES)", "{{Hostname}} out"),
        panel(
            "Errors",
            "The last Xid of each GPU that had one, and memory rows that were or could not be remapped.",
            Look::Table,
            "short",
            24,
        )
        .query("max by (Hostname, gpu, modelName) (DCGM_FI_DEV_XID_ERRORS) > 0", "Xid")
        .query("max by (Hostname, gpu, modelName) (DCGM_FI_DEV_UNCORRECTABLE_REMAPPED_ROWS) > 0", "remapped rows")
        .query("max by (Hostname, gpu, modelName) (DCGM_FI_DEV_ROW_REMAP_FAILURE) > 0", "remap failed"),
    ];
    Dashboard { name: "wbk-gpus", title: "wbk-infra: GPUs", panels }
}

fn jobs() -> Dashboard {
    let panels = vec![
        panel("Pods that wait for GPUs", "Pending, with GPUs requested.", Look::Number, "short", 8).query(
            concat!(
                r#"count((kube_pod_status_phase{phase="Pending",namespace=~"$namespace"} > 0) and on (namespace, pod) (kube_pod_container_resource_requests{"#,
                gpus!(),
                r#"} > 0)) or vector(0)"#
            ),
            "waiting",
        ),
        panel("Jobs that run", "Kubernetes Jobs with a running pod.", Look::Number, "short", 8)
            .query(r#"sum(kube_job_status_active{namespace=~"$namespace"}) or vector(0)"#, "running"),
        panel("Jobs that failed in a day", "By their own count of failed pods.", Look::Number, "short", 8)
            .query(r#"count(kube_job_status_failed{namespace=~"$namespace"} > 0) or vector(0)"#, "failed"),
        panel("GPUs requested", "By namespace and resource.", Look::Stack, "short", 12)
            .query(r#"wbk:gpus_requested:sum{namespace=~"$namespace"}"#, "{{namespace}} {{resource}}"),
        panel("Quotas", "Used of hard; above 90% is an alert.", Look::Lines, "percentunit", 12)
            .query(r#"wbk:quota_used:ratio{namespace=~"$namespace"}"#, "{{namespace}} {{resource}}"),
        panel("Busy by pod", "Of the GPUs that a pod holds.", Look::Lines, "percentunit", 12)
            .query(r#"avg by (namespace, pod) (wbk:gpu_busy:ratio{pod!="",namespace=~"$namespace"})"#, "{{namespace}}/{{pod}}"),
        panel("GPU memory by pod", "Framebuffer in use.", Look::Lines, "decmbytes", 12)
            .query(r#"sum by (namespace, pod) (DCGM_FI_DEV_FB_USED{pod!="",namespace=~"$namespace"})"#, "{{namespace}}/{{pod}}"),
        panel("Pods that restart", "Restarts in the last hour.", Look::Lines, "short", 12)
            .query(r#"sum by (namespace, pod) (increase(kube_pod_container_status_restarts_total{namespace=~"$namespace"}[1h])) > 0"#, "{{namespace}}/{{pod}}"),
        panel("Launch agents", "Available pods of each agent; 0 for ten minutes is an alert.", Look::Lines, "short", 12)
            .query(r#"kube_deployment_status_replicas_available{deployment=~"launch-.+"}"#, "{{namespace}}/{{deployment}}"),
    ];
    Dashboard { name: "wbk-jobs", title: "wbk-infra: Jobs and quotas", panels }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn panels_have_a_query_words_and_a_place_of_their_own() {
        for dashboard in all() {
            let json: Value = serde_json::from_str(&dashboard.text()).expect("JSON");
            assert_eq!(json["uid"], dashboard.name);
            let mut places = std::collections::BTreeSet::new();
            for panel in json["panels"].as_array().expect("panels") {
                assert!(!panel["targets"].as_array().expect("targets").is_empty(), "{panel}");
                assert!(panel["description"].as_str().is_some_and(|text| text.ends_with('.')), "{panel}");
                let place = &panel["gridPos"];
                let (x, w) = (place["x"].as_u64().unwrap(), place["w"].as_u64().unwrap());
                assert!(x + w <= u64::from(COLUMNS));
                assert!(places.insert((x, place["y"].as_u64().unwrap())), "{panel}");
            }
        }
    }
}

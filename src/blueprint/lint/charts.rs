//! Charts: where they come from, and whether they are pinned.

use super::Report;
use crate::blueprint::in_values;
use crate::blueprint::path::steps;

pub(super) fn rules(report: &mut Report<'_>) {
    let blueprint = &report.loaded.blueprint;
    for (index, chart) in blueprint.charts.iter().enumerate() {
        let is_path = crate::desired::is_chart_path(&chart.chart) && chart.repository.is_none();
        let is_oci = chart.chart.starts_with("oci://");
        if let Some(repository) = &chart.repository {
            if is_oci || chart.chart.contains('/') {
                report.error(
                    steps!["charts", index, "chart"],
                    "with `repository`, this is the chart's bare name",
                    "write for example `chart: volcano`",
                );
            }
            if !repository.starts_with("https://") && !repository.starts_with("http://") {
                report.error(
                    steps!["charts", index, "repository"],
                    "expected an address that starts with https://",
                    "for an OCI registry write `chart: oci://…`",
                );
            } else if repository.starts_with("http://") && chart.digest.is_none() {
                let path = steps!["charts", index, "repository"];
                report.warning(
                    path,
                    "the repository is read without encryption and nothing pins the chart",
                    "use https://, or add `digest:`",
                );
            }
        } else if !is_path && !is_oci {
            report.error(
                steps!["charts", index, "chart"],
                "a bare chart name needs its repository",
                "add `repository: https://…`, or write a path (./charts/mine) or oci://…",
            );
        }
        if is_path {
            for (key, set) in [("version", chart.version.is_some()), ("digest", chart.digest.is_some())] {
                if set {
                    report.error(steps!["charts", index, key], "a chart in a folder is as it is there", "remove it");
                }
            }
        } else if chart.version.is_none() {
            report.error(
                steps!["charts", index],
                "`version` is missing",
                "pin an exact version, for example `version: 1.2.3`",
            );
        } else if chart.digest.is_none() {
            let message =
                "the version is not pinned by digest: who controls the repository can change what is installed";
            report.warning(steps!["charts", index, "version"], message, "add `digest: sha256:…`");
        }
        let built_in = ["default", "kube-system"].contains(&chart.namespace.as_str());
        if !built_in && !blueprint.namespaces.iter().any(|namespace| namespace.name == chart.namespace) {
            report.warning(
                steps!["charts", index],
                &format!("nothing in the blueprint makes its namespace `{}`", chart.namespace),
                "add it under `namespaces:`",
            );
        }
        if let Some(values) = report.loaded.tree.find(steps!["charts", index, "values"]) {
            report.problems.extend(in_values(values, &chart.not_secret));
        }
    }
}

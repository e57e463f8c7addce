//! Charts to Helm releases, values files read and merged.

use serde_json::Value;

use super::collect::Collector;
use super::state::{ChartSource, DesiredRelease, Origin};
use crate::blueprint::schema::Chart;
use crate::blueprint::{Files, Problem, in_values, join, read_values, steps};
use crate::id::ReleaseId;

/// Whether a chart is a folder or an archive of this machine, by how it is written.
pub(crate) fn is_chart_path(chart: &str) -> bool {
    chart.starts_with("./")
        || chart.starts_with("../")
        || chart.starts_with('/')
        || chart == "."
        || chart.ends_with(".tgz")
}

pub(super) fn collect(collector: &mut Collector<'_>, files: &dyn Files) -> Vec<DesiredRelease> {
    let loaded = collector.loaded;
    let charts = loaded.blueprint.charts.iter().enumerate();
    charts
        .map(|(index, chart)| {
            let at = loaded.at(steps!["charts", index]);
            not_there(collector, files, index, chart);
            DesiredRelease {
                id: ReleaseId { namespace: chart.namespace.clone(), name: chart.name.clone() },
                chart: source(chart, &loaded.at(steps!["charts", index, "chart"]).file),
                values: values(collector, files, index, chart),
                origin: Origin { path: loaded.show(steps!["charts", index]), at: Some(at.to_string()) },
            }
        })
        .collect()
}

/// Warns about a folder without a chart; Helm refuses it later, and without a position.
fn not_there(collector: &mut Collector<'_>, files: &dyn Files, index: usize, chart: &Chart) {
    let at = collector.loaded.at(steps!["charts", index, "chart"]);
    let path = join(&at.file, &chart.chart);
    if chart.repository.is_none()
        && is_chart_path(&chart.chart)
        && !path.ends_with(".tgz")
        && files.read(&format!("{path}/Chart.yaml")).is_err()
    {
        let problem = Problem::warning(at, format!("there is no chart in {path}"))
            .hint("paths are relative to the blueprint file");
        collector.problems.push(problem);
    }
}

fn source(chart: &Chart, file: &str) -> ChartSource {
    // Lint has checked that what is not a path has a version.
    let version = chart.version.clone().unwrap_or_default();
    let digest = chart.digest.clone();
    match &chart.repository {
        Some(url) => ChartSource::Repository { url: url.clone(), name: chart.chart.clone(), version, digest },
        None if chart.chart.starts_with("oci://") => {
            ChartSource::Oci { reference: chart.chart.clone(), version, digest }
        }
        None => ChartSource::Path { path: join(file, &chart.chart) },
    }
}

/// Files in order, then the values of the blueprint, each over what came before. A null stays: Helm takes it as
/// "without the chart's default".
fn values(collector: &mut Collector<'_>, files: &dyn Files, index: usize, chart: &Chart) -> Value {
    let mut merged = Value::Object(serde_json::Map::new());
    for (number, written) in chart.values_files.iter().enumerate() {
        let at = collector.loaded.at(steps!["charts", index, "valuesFiles", number]).clone();
        let path = join(&at.file, written);
        match files.read(&path) {
            Err(error) => {
                let message = format!("the values file {path} could not be read: {error}");
                collector.problems.push(Problem::error(&at, message).hint("paths are relative to the blueprint file"));
            }
            Ok(text) => match read_values(&text, &path) {
                Err(problems) => collector.problems.extend(problems.into_vec()),
                Ok(node) => {
                    collector.problems.extend(in_values(&node, &chart.not_secret));
                    lay_over(&mut merged, node.to_json());
                }
            },
        }
    }
    let own = chart.values.iter().map(|(key, value)| (key.clone(), value.clone())).collect();
    lay_over(&mut merged, Value::Object(own));
    merged
}

fn lay_over(base: &mut Value, over: Value) {
    match (base, over) {
        (Value::Object(base), Value::Object(over)) => {
            for (key, value) in over {
                match base.get_mut(&key) {
                    Some(have) => lay_over(have, value),
                    None => {
                        base.insert(key, value);
                    }
                }
            }
        }
        (base, over) => *base = over,
    }
}

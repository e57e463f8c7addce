//! Which driver branches still know which GPUs, from dated data (`drivers.json`, which names its sources).

use std::sync::OnceLock;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Data {
    as_of: String,
    installed: Installed,
    generations: Vec<Generation>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Installed {
    by: String,
    branch: u32,
    source: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Generation {
    generation: String,
    models: Vec<String>,
    last_branch: u32,
    source: String,
}

fn data() -> &'static Data {
    static DATA: OnceLock<Data> = OnceLock::new();
    DATA.get_or_init(|| {
        serde_json::from_str(include_str!("drivers.json")).expect("a test reads the data in the binary")
    })
}

/// What is wrong with the driver that the GPU Operator would install for a model, with the day and the source of the facts.
pub(crate) fn driver_problem(model: &str) -> Option<String> {
    let data = data();
    // A model's parts end at a hyphen: `nvidia-p4` is not the beginning of `nvidia-p40`.
    let is_of = |name: &str| model.strip_prefix(name).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    let found = data.generations.iter().find(|generation| generation.models.iter().any(|name| is_of(name)))?;
    (found.last_branch < data.installed.branch).then(|| {
        format!(
            "{} installs driver branch R{}, and R{} is the last for {} GPUs (as of {}: {}; {})",
            data.installed.by,
            data.installed.branch,
            found.last_branch,
            found.generation,
            data.as_of,
            data.installed.source,
            found.source
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gpu_that_the_operators_driver_dropped_is_named_with_day_and_source() {
        let problem = driver_problem("nvidia-v100-16gb").expect("Volta");
        for part in ["R595", "R580", "Volta", "2026-", "gpu-operator"] {
            assert!(problem.contains(part), "{problem}");
        }
        assert_eq!(driver_problem("nvidia-a100-40gb"), None);
        assert!(driver_problem("nvidia-p40").expect("Pascal").contains("Pascal"));
    }

    #[test]
    fn the_data_in_the_binary_has_its_day() {
        assert!(data().as_of.parse::<jiff::civil::Date>().is_ok());
    }
}

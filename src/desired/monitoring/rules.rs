//! The rules as text for a plain Prometheus, and parsed for a PrometheusRule.

use serde_json::Value;

/// `rules.yaml`, as it is; promtool checks it and makes each alert fire, in `tests/monitoring.rs`.
pub(crate) const TEXT: &str = include_str!("rules.yaml");

/// The same as a value.
pub(super) fn parsed() -> Value {
    crate::blueprint::read_values(TEXT, "rules.yaml").expect("a test reads the rules in the binary").to_json()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_alert_has_a_severity_and_words() {
        let rules = parsed();
        let groups = rules["groups"].as_array().expect("groups");
        let alerts: Vec<&Value> = groups
            .iter()
            .flat_map(|group| group["rules"].as_array().expect("rules"))
            .filter(|rule| rule["alert"].is_string())
            .collect();
        assert!(alerts.len() >= 8);
        for alert in alerts {
            assert!(
                ["warning", "critical"].contains(&alert["labels"]["severity"].as_str().unwrap_or_default()),
                "{alert}"
            );
            for text in ["summary", "description"] {
                assert!(alert["annotations"][text].as_str().is_some_and(|text| !text.is_empty()), "{alert}");
            }
        }
    }
}

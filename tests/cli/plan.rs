//! A plan where there is no cluster yet, in every format; exit codes; colours; quiet and verbose.

use serde_json::Value;

use super::{Home, blueprint, redacted, session};

#[test]
fn a_first_plan_reads_well_in_every_format() {
    let home = Home::new();
    blueprint(&home);
    insta::assert_snapshot!(session(
        &home,
        &[
            &["plan", "base.yaml"],
            &["plan", "base.yaml", "-f", "prod.yaml", "--exit-code", "-q"],
            &["plan", "base.yaml", "-v"],
            &["plan", "base.yaml", "-o", "markdown"],
            &["plan", "base.yaml", "-o", "sarif"],
            &["destroy", "base.yaml", "--yes"],
            &["drift", "base.yaml"],
            &["status", "base.yaml"],
            &["verify", "base.yaml"],
            &["verify", "base.yaml", "--list"],
            &["verify", "base.yaml", "--list", "--only", "nothing-of-that-name"],
        ],
    ));
    assert!(!home.state().join("clusters").exists(), "looking made something");
}

#[test]
fn a_plan_for_programs_holds_all_of_it() {
    let home = Home::new();
    blueprint(&home);
    let json: Value =
        serde_json::from_str(&home.run(&["plan", "base.yaml", "-o", "json"]).expect(0).stdout).expect("JSON");
    insta::assert_snapshot!(redacted(&home, &serde_json::to_string_pretty(&json).expect("JSON prints")));
}

#[test]
fn colour_comes_only_where_it_is_wanted() {
    let home = Home::new();
    blueprint(&home);
    let coloured = |arguments: &[&str], no_color: Option<&str>| {
        let mut command = home.command(arguments);
        match no_color {
            Some(value) => command.env("NO_COLOR", value),
            None => command.env_remove("NO_COLOR"),
        };
        Home::finish(&mut command).expect(0).stdout.contains('\u{1b}')
    };
    assert!(!coloured(&["plan", "base.yaml"], None), "no terminal, no colour");
    assert!(coloured(&["plan", "base.yaml", "--color", "always"], None));
    assert!(
        coloured(&["plan", "base.yaml", "--color", "always"], Some("1")),
        "what is asked for goes before the environment"
    );
    assert!(!coloured(&["plan", "base.yaml", "--color", "never"], None));
    assert!(!coloured(&["plan", "base.yaml", "-o", "json", "--color", "always"], None), "data has no colour");
}

#[test]
fn what_needs_a_kind_that_nothing_brings_is_left_out_with_the_reason() {
    let home = Home::new();
    let text = "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: watched}\ncluster: {provider: local}\n\
                nodePools: [{name: system}]\nmonitoring: {prometheus: true, alerts: true, dashboards: true}\n";
    home.write("watched.yaml", text);
    let plan = home.run(&["plan", "watched.yaml"]).expect(0).stdout;
    for object in [
        "PodMonitor.monitoring.coreos.com wbk-monitoring/wbk-dcgm-exporter",
        "PrometheusRule.monitoring.coreos.com wbk-monitoring/wbk",
    ] {
        assert!(plan.contains(&format!("unmanaged  {object}")), "{plan}");
        assert!(!plan.contains(&format!("create  {object}")), "{plan}");
    }
    assert!(plan.contains("+ create  ConfigMap wbk-monitoring/wbk-prometheus-rules"), "{plan}");
    assert!(plan.contains("it is made once the cluster has it"), "{plan}");
}

//! The commands that need no cluster.

use super::{Home, blueprint, redacted, session};

#[test]
fn lint_tells_every_problem_with_its_place() {
    let home = Home::new();
    blueprint(&home);
    home.write("bad.yaml", "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: bad}\ncluster: {provider: local, verzion: \"1.36\"}\nnodePools: [{name: a}, {name: a}]\nnamespaces: [{name: team, quota: {memory: lots}}]\n");
    insta::assert_snapshot!(session(
        &home,
        &[
            &["lint", "base.yaml"],
            &["lint", "base.yaml", "-f", "prod.yaml", "-o", "json"],
            &["lint", "bad.yaml"],
            &["lint", "bad.yaml", "-o", "json"],
            &["lint", "nowhere.yaml"],
            &["lint", "base.yaml", "-o", "sarif"],
        ],
    ));
}

#[test]
fn render_shows_the_complete_desired_state_and_overlays_change_it() {
    let home = Home::new();
    blueprint(&home);
    let base = home.run(&["render", "base.yaml"]).expect(0).stdout;
    insta::assert_snapshot!("render", redacted(&home, &base));
    assert_eq!(base, home.run(&["render", "base.yaml"]).expect(0).stdout, "the same bytes each time");
    let merged = home.run(&["render", "-f", "base.yaml", "-f", "prod.yaml"]).expect(0).stdout;
    assert_eq!(merged, home.run(&["render", "base.yaml", "-f", "prod.yaml"]).expect(0).stdout);
    let changed: Vec<String> = {
        let before: std::collections::BTreeSet<&str> = base.lines().collect();
        merged.lines().filter(|line| !before.contains(line)).map(str::to_owned).collect()
    };
    insta::assert_snapshot!("render_what_the_overlay_changes", redacted(&home, &changed.join("\n")));
    let json = home.run(&["render", "base.yaml", "-o", "json"]).expect(0).stdout;
    serde_json::from_str::<serde_json::Value>(&json).expect("JSON");
}

#[test]
fn explain_says_where_a_value_comes_from() {
    let home = Home::new();
    blueprint(&home);
    insta::assert_snapshot!(session(
        &home,
        &[
            &["explain", "base.yaml", "namespaces[wandb-jobs].quota.gpu"],
            &["explain", "base.yaml", "-f", "prod.yaml", "namespaces[wandb-jobs].quota.gpu"],
            &["explain", "base.yaml", "nodePools[a100].taints"],
            &["explain", "base.yaml", "policy.maxDeletes", "-o", "json"],
            &["explain", "base.yaml", "namespaces[wandb-jobs].quota.gpus"],
            &["explain", "base.yaml", "a..b"],
        ],
    ));
}

#[test]
fn an_empty_home_has_no_clusters() {
    let home = Home::new();
    insta::assert_snapshot!(session(
        &home,
        &[
            &["local", "list"],
            &["local", "list", "-o", "json"],
            &["local", "start", "nothing"],
            &["local", "stop", "nothing"],
            &["local", "kubeconfig", "nothing"],
            &["local", "delete", "nothing", "--yes"],
        ],
    ));
    assert!(!home.state().join("clusters").join("nothing").exists());
}

#[test]
fn assets_and_doctor_say_what_is_there_and_what_is_missing() {
    let home = Home::new();
    let assets = home.run(&["assets"]).expect(0).stdout;
    for program in ["etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubectl", "helm"] {
        assert!(assets.contains(program), "{assets}");
    }
    let list: serde_json::Value =
        serde_json::from_str(&home.run(&["assets", "-o", "json"]).expect(0).stdout).expect("JSON");
    assert!(list.as_array().is_some_and(|list| list.len() >= 6), "{list}");

    // A machine on which nothing can be had: each lack with its fix.
    let cache = home.work().join("cache");
    let mut bare = home.command(&["doctor"]);
    bare.env("PATH", "/nowhere")
        .env("XDG_CACHE_HOME", &cache)
        .env("WBK_INFRA_NO_DOWNLOADS", "1")
        .env("HOME", home.work());
    let bare = Home::finish(bare.env_remove("KUBEBUILDER_ASSETS")).expect(1);
    assert!(bare.stdout.contains("lack local") && bare.stdout.contains("fix: install go 1.26"), "{}", bare.stdout);
    blueprint(&home);
    let found = home.run(&["doctor", "base.yaml", "-o", "json"]).expect(0).stdout;
    let found: serde_json::Value = serde_json::from_str(&found).expect("JSON");
    assert!(found.as_array().is_some_and(|list| list.iter().any(|finding| finding["about"] == "secrets")), "{found}");
}

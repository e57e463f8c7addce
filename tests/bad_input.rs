//! Bad input of every sort: a clear message with a position where there is one, the documented exit code, nothing changed.

mod support;

use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use support::fake_api::{FakeApi, Manner};
use support::home::{Home, Run};

const HEAD: &str = "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: bad}\n";

/// Every command that reads a blueprint refuses it with the same words.
#[track_caller]
fn refused(home: &Home, text: &str, said: &[&str]) {
    home.write("bad.yaml", text);
    for arguments in [
        ["lint", "bad.yaml"].as_slice(),
        &["plan", "bad.yaml"],
        &["apply", "bad.yaml", "--yes"],
        &["destroy", "bad.yaml", "--yes"],
    ] {
        let run = home.run(arguments).expect(1);
        for words in said {
            assert!(run.all().contains(words), "{arguments:?} does not say {words:?}:\n{}", run.all());
        }
        assert!(!run.all().contains("panicked"), "{}", run.all());
    }
    assert!(!home.state().exists(), "something was written");
}

#[test]
fn blueprints_that_are_wrong_are_refused_with_their_positions() {
    let home = Home::new();
    let local = format!("{HEAD}cluster: {{provider: local}}\n");
    refused(&home, "a: [\n", &["bad.yaml:"]);
    refused(&home, &format!("{local}metadata: {{name: again}}\n"), &["bad.yaml:5:1", "metadata"]);
    refused(
        &home,
        &format!("{local}namespacez: []\n"),
        &["bad.yaml:5:1", "unknown key `namespacez`", "did you mean `namespaces`"],
    );
    refused(&home, &format!("{local}nodePools: [{{name: a}}, {{name: a}}]\n"), &["bad.yaml:5:", "`a`"]);
    let quota = "nodePools: [{name: a, shape: {cpu: 2, memory: 4Gi}, size: {min: 1}}]\ngpu: {plugin: simulated}\nnamespaces: [{name: team, quota: {gpu: 4}}]\n";
    refused(&home, &format!("{local}{quota}"), &["bad.yaml:7:", "gpu"]);
    refused(&home, &format!("{HEAD}cluster: {{provider: gke}}\n"), &["not supported yet", "gke"]);
    refused(
        &home,
        &format!("{local}namespaces: [{{name: team, secrets: [{{name: s, keys: {{k: plain}}}}]}}]\n"),
        &["bad.yaml:5:"],
    );
    refused(&home, &format!("{local}namespaces: [{{name: team, quota: {{memory: 1Tx}}}}]\n"), &["bad.yaml:5:", "1Tx"]);
    refused(&home, "", &["bad.yaml"]);
    refused(&home, "\u{0}\u{1}", &["bad.yaml"]);

    for arguments in [["plan", "nowhere.yaml"], ["lint", "nowhere.yaml"], ["apply", "nowhere.yaml"]] {
        let run = home.run(&arguments).expect(1);
        assert!(run.stderr.contains("nowhere.yaml") && run.stderr.contains("No such file"), "{}", run.stderr);
    }
    let folder = home.run(&["plan", "."]).expect(1);
    assert!(folder.stderr.contains("directory"), "{}", folder.stderr);
}

#[test]
fn a_missing_secret_value_is_named_before_anything_is_done() {
    let home = Home::new();
    let keys =
        "{a: {env: NOT_SET_ANYWHERE}, b: {file: gone.txt}, c: {command: [sh, -c, exit 3]}, d: {secret: team/x/y}}";
    let text = format!(
        "{HEAD}cluster: {{provider: local}}\nnamespaces: [{{name: team, secrets: [{{name: s, keys: {keys}}}]}}]\n"
    );
    home.write("secret.yaml", &text);
    for arguments in [["plan", "secret.yaml"].as_slice(), &["apply", "secret.yaml", "--yes"]] {
        let run = home.run(arguments).expect(1);
        for words in [
            "4 secret references give no value",
            "NOT_SET_ANYWHERE",
            "gone.txt",
            "exit status: 3",
            "secret.yaml:5:",
            "hint:",
        ] {
            assert!(run.stderr.contains(words), "no {words:?}:\n{}", run.stderr);
        }
    }
    assert!(!home.state().join("clusters").exists());
}

fn existing(home: &Home) -> String {
    let text = format!("{HEAD}cluster: {{provider: existing, context: fake}}\nnamespaces: [{{name: team}}]\n");
    home.write("existing.yaml", &text).display().to_string()
}

fn kubeconfig(home: &Home, cluster: serde_json::Value, user: serde_json::Value) -> String {
    let config = serde_json::json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "fake",
        "clusters": [{"name": "fake", "cluster": cluster}], "users": [{"name": "fake", "user": user}],
        "contexts": [{"name": "fake", "context": {"cluster": "fake", "user": "fake"}}],
    });
    home.write("kubeconfig", &config.to_string()).display().to_string()
}

fn with_kubeconfig(home: &Home, file: &str, arguments: &[&str]) -> Run {
    Home::finish(home.command(arguments).env("KUBECONFIG", file))
}

/// An apply that cannot see its cluster fails and writes nothing; the plan says what it could not see.
#[track_caller]
fn unseen(home: &Home, kubeconfig: &str, options: &[&str], said: &[&str]) {
    let blueprint = existing(home);
    for (verb, more) in [("plan", [].as_slice()), ("apply", &["--yes"]), ("destroy", &["--yes"])] {
        let run = with_kubeconfig(home, kubeconfig, &[[verb, &blueprint].as_slice(), more, options].concat());
        assert_eq!(run.code, 1, "{verb}:\n{}", run.all());
        for words in said {
            assert!(run.all().contains(words), "{verb} does not say {words:?}:\n{}", run.all());
        }
    }
    let unsure = with_kubeconfig(home, kubeconfig, &[["verify", &blueprint].as_slice(), options].concat());
    assert_eq!(unsure.code, 6, "{}", unsure.all());
    for words in said {
        assert!(unsure.all().contains(words), "verify does not say {words:?}:\n{}", unsure.all());
    }
    assert!(!home.state().join("journal").exists(), "an apply began");
}

#[test]
fn kubeconfigs_that_cannot_be_used_are_named() {
    let home = Home::new();
    unseen(&home, "/nowhere/kubeconfig", &[], &["/nowhere/kubeconfig", "No such file"]);
    let garbage = home.write("garbage", "a: [\n").display().to_string();
    unseen(&home, &garbage, &[], &[&garbage]);
    let folder = home.work().display().to_string();
    unseen(&home, &folder, &[], &[&folder]);
    let other = kubeconfig(&home, serde_json::json!({"server": "http://127.0.0.1:1"}), serde_json::json!({}));
    unseen(&home, &other, &["--context", "elsewhere"], &["elsewhere"]);
    unseen(&home, &other, &[], &["refused"]);
    let plugin = kubeconfig(
        &home,
        serde_json::json!({"server": "http://127.0.0.1:1"}),
        serde_json::json!({"exec": {"apiVersion": "client.authentication.k8s.io/v1", "command": "/nowhere/plugin", "interactiveMode": "Never"}}),
    );
    unseen(&home, &plugin, &[], &["/nowhere/plugin"]);
}

#[test]
fn an_api_server_that_misbehaves_costs_a_bounded_time_and_changes_nothing() {
    let home = Home::new();
    for (manner, said, at_most) in [
        (Manner::Hangs, ["no answer within 1 s"].as_slice(), 30),
        (Manner::Fails, &["etcdserver: no leader"], 60),
        (Manner::Truncates, &["kinds"], 30),
        (Manner::Html, &["kinds"], 30),
        (Manner::Throttles(1_000_000), &["too many requests"], 120),
    ] {
        let server = FakeApi::start(manner);
        let file = kubeconfig(&home, serde_json::json!({"server": server.url()}), serde_json::json!({}));
        let begun = Instant::now();
        let run = with_kubeconfig(&home, &file, &["apply", &existing(&home), "--yes", "--request-timeout", "1"]);
        assert_eq!(run.code, 1, "{manner:?}:\n{}", run.all());
        assert!(begun.elapsed() < Duration::from_secs(at_most), "{manner:?} took {:?}", begun.elapsed());
        for words in said {
            assert!(run.all().contains(words), "{manner:?} does not say {words:?}:\n{}", run.all());
        }
        assert_eq!(server.writes(), Vec::<String>::new(), "{manner:?}");
        assert!(!run.all().contains("Status {"), "a Rust structure was printed: {}", run.all());
    }
    // Throttled for a while: waited out as long as the server asks.
    let server = FakeApi::start(Manner::Throttles(2));
    let file = kubeconfig(&home, serde_json::json!({"server": server.url()}), serde_json::json!({}));
    let begun = Instant::now();
    let run = with_kubeconfig(&home, &file, &["plan", &existing(&home)]).expect(1);
    assert!(begun.elapsed() >= Duration::from_secs(1), "Retry-After was not kept");
    assert!(run.stderr.contains("kube-system"), "it got as far as the LISTs of an empty server: {}", run.all());
    assert!(server.count() > 2);
}

/// A folder with a program called helm.
fn fake_helm(home: &Home, script: &str) -> String {
    let path = home.write("bin/helm", &format!("#!/bin/sh\n{script}\n"));
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    format!("{}:/usr/bin:/bin", path.parent().expect("a folder").display())
}

fn with_chart(home: &Home, template: &str) -> String {
    home.write("chart/Chart.yaml", "apiVersion: v2\nname: c\nversion: 0.1.0\n");
    home.write("chart/templates/all.yaml", template);
    let text = format!(
        "{HEAD}cluster: {{provider: local}}\nnamespaces: [{{name: team}}]\ncharts: [{{name: c, namespace: team, chart: ./chart}}]\n"
    );
    home.write("chart.yaml", &text).display().to_string()
}

const CONFIG_MAP: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c}\n";

#[test]
fn a_helm_that_is_missing_old_or_killed_is_told_with_a_hint() {
    let home = Home::new();
    let blueprint = with_chart(&home, CONFIG_MAP);
    let empty = home.work().join("empty-cache");
    let run_with = |path: &str, said: &[&str]| {
        let mut command = home.command(&["apply", &blueprint, "--yes"]);
        // A cache without programs and renders, and nothing to get them with.
        command
            .env("PATH", path)
            .env("XDG_CACHE_HOME", &empty)
            .env("WBK_INFRA_NO_DOWNLOADS", "1")
            .env_remove("KUBEBUILDER_ASSETS");
        let run = Home::finish(&mut command).expect(1);
        for words in said {
            assert!(run.stderr.contains(words), "no {words:?}:\n{}", run.all());
        }
        assert!(run.stderr.contains("hint: "), "{}", run.stderr);
        assert!(!home.state().join("clusters").exists(), "a cluster was made");
    };
    run_with("/nowhere", &["helm"]);
    run_with(&fake_helm(&home, "printf v3.13.3"), &["helm", "3.14"]);
    run_with(
        &fake_helm(&home, "if [ \"$1\" = version ]; then printf v3.19.0; else kill -9 $$; fi"),
        &["helm", "signal 9"],
    );
}

#[test]
fn a_chart_that_does_not_render_names_its_template_and_line() {
    let home = Home::new();
    for (template, said) in [
        ("a: 1\nb: {{ fail \"the value is missing\" }}\n", ["templates/all.yaml:2", "the value is missing"]),
        ("a: 1\nb: {{ .Values.x | nosuchfunction }}\n", ["templates/all.yaml:2", "nosuchfunction"]),
        ("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: c\n", ["templates/all.yaml", "chart"]),
    ] {
        let blueprint = with_chart(&home, template);
        let run = home.run(&["apply", &blueprint, "--yes"]).expect(1);
        for words in said {
            assert!(run.stderr.contains(words), "no {words:?}:\n{}", run.all());
        }
        assert!(!home.state().join("clusters").exists(), "a cluster was made");
    }
}

/// The program under a limit on the size of files: as on a full disk, no file can be written.
fn on_a_full_disk(home: &Home, arguments: &[&str]) -> Run {
    let full = home.command(arguments);
    let mut command = Command::new("sh");
    command.args(["-c", "trap '' XFSZ; ulimit -f 0; exec \"$@\"", "sh"]).arg(full.get_program()).args(full.get_args());
    command.current_dir(home.work()).stdin(std::process::Stdio::null());
    for (name, value) in full.get_envs() {
        match value {
            Some(value) => command.env(name, value),
            None => command.env_remove(name),
        };
    }
    Home::finish(&mut command)
}

#[test]
fn a_real_cluster_refuses_bad_credentials_and_full_disks_and_edited_journals_harm_nothing() {
    let home = Home::new();
    let blueprint = format!("{HEAD}cluster: {{provider: local}}\nnamespaces: [{{name: team, labels: {{a: one}}}}]\n");
    home.write("real.yaml", &blueprint);
    home.run(&["apply", "real.yaml", "--no-verify"]).expect(0);
    let label =
        || home.kubectl("bad", &["get", "namespace", "team", "-o", "jsonpath={.metadata.labels.a}"]).expect(0).stdout;

    // A full disk: refused before anything is begun, and the lease is handed back.
    home.write("real.yaml", &blueprint.replace("one", "two"));
    let full = on_a_full_disk(&home, &["apply", "real.yaml", "--no-verify"]).expect(1);
    assert!(full.stderr.contains("write the journal"), "{}", full.stderr);
    assert!(full.stderr.contains("hint: "), "{}", full.stderr);
    assert_eq!(label(), "one");
    let holder = ["-n", "wbk-infra", "get", "lease", "blueprint-bad", "-o", "jsonpath={.spec.holderIdentity}"];
    assert_eq!(home.kubectl("bad", &holder).expect(0).stdout, "");

    // A journal that was edited is put aside, told, and harms nothing.
    home.write("../state/wbk-infra/journal/bad@bad.jsonl", "nonsense\n{\"entry\":\"done\",\"step\":\"x\"}\n");
    let edited = home.run(&["apply", "real.yaml", "--no-verify"]).expect(0);
    assert!(edited.stderr.contains("was edited or damaged"), "{}", edited.stderr);
    assert!(home.state().join("journal/bad@bad.damaged").exists());
    assert_eq!(label(), "two");

    // The same server by a kubeconfig whose certificate has run out, whose authority is another, whose token is nobody's.
    let good = std::fs::read_to_string(home.kubeconfig("bad")).expect("a kubeconfig");
    let good = kube::config::Kubeconfig::from_yaml(&good).expect("a kubeconfig");
    let cluster = good.clusters[0].cluster.as_ref().expect("a cluster");
    let (server, authority) = (cluster.server.clone().expect("a server"), cluster.certificate_authority_data.clone());
    let authority = authority.expect("its authority");
    let pki = home.state().join("clusters/bad/pki");
    let (certificate, key) = expired_certificate(&pki);
    let encode = |text: &str| base64::engine::general_purpose::STANDARD.encode(text);
    let trusted = serde_json::json!({"server": server, "certificate-authority-data": authority});
    let expired = serde_json::json!({"client-certificate-data": encode(&certificate), "client-key-data": encode(&key)});
    let file = kubeconfig(&home, trusted.clone(), expired);
    rejected(&home, &file, &["Unauthorized", "hint: "]);
    let file = kubeconfig(&home, trusted, serde_json::json!({"token": "nobody"}));
    rejected(&home, &file, &["Unauthorized", "hint: "]);
    let stranger = rcgen::generate_simple_self_signed(vec!["other".into()]).expect("a certificate");
    let untrusted = serde_json::json!({"server": server, "certificate-authority-data": encode(&stranger.cert.pem())});
    let file = kubeconfig(&home, untrusted, serde_json::json!({"token": "nobody"}));
    rejected(&home, &file, &["certificate", "hint: "]);
    assert_eq!(home.kubectl("bad", &["get", "namespace", "foreign"]).code, 1);
}

#[track_caller]
fn rejected(home: &Home, kubeconfig: &str, said: &[&str]) {
    let text = format!(
        "{}cluster: {{provider: existing, context: fake}}\nnamespaces: [{{name: foreign}}]\n",
        HEAD.replace("bad", "foreign")
    );
    home.write("foreign.yaml", &text);
    let run = with_kubeconfig(home, kubeconfig, &["apply", "foreign.yaml", "--yes"]).expect(1);
    for words in said {
        assert!(run.all().contains(words), "no {words:?}:\n{}", run.all());
    }
}

/// A client certificate of the cluster's own authority that ran out long ago.
fn expired_certificate(pki: &std::path::Path) -> (String, String) {
    let read = |name: &str| std::fs::read_to_string(pki.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"));
    let authority = rcgen::KeyPair::from_pem(&read("ca.key")).expect("a key");
    let issuer = rcgen::Issuer::from_ca_cert_pem(&read("ca.crt"), authority).expect("an authority");
    let key = rcgen::KeyPair::generate().expect("a key");
    let mut parameters = rcgen::CertificateParams::new(Vec::new()).expect("parameters");
    parameters.distinguished_name.push(rcgen::DnType::CommonName, "admin");
    parameters.distinguished_name.push(rcgen::DnType::OrganizationName, "system:masters");
    parameters.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ClientAuth];
    parameters.not_before = rcgen::date_time_ymd(2020, 1, 1);
    parameters.not_after = rcgen::date_time_ymd(2021, 1, 1);
    let certificate = parameters.signed_by(&key, &issuer).expect("signed");
    (certificate.pem(), key.serialize_pem())
}

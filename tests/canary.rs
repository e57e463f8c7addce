//! A secret's value is in no output, file, argument list, environment of helm or release: only in its Secret.

mod support;

use std::io::Read;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use base64::Engine as _;
use support::assets;
use support::home::{Home, Run};
use wbk_provider_local::assets::Program;

const BY_ENVIRONMENT: &str = "canary-environment-5f1d9c";
const BY_FILE: &str = "canary-file-a7730e";
const BY_COMMAND: &str = "canary-command-c20b44";
const CANARIES: [&str; 3] = [BY_ENVIRONMENT, BY_FILE, BY_COMMAND];

const BLUEPRINT: &str = r#"apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: canary}
cluster: {provider: local, version: "1.36"}
nodePools: [{name: cpu, shape: {cpu: 4, memory: 8Gi}, size: {min: 1, max: 1}}]
namespaces:
  - name: team
    secrets:
      - name: kept
        keys:
          environment: {env: CANARY}
          file: {file: canary.txt}
          command: {command: [cat, printed.txt]}
charts: [{name: tools, namespace: team, chart: ./chart, values: {value: VALUE}}]
"#;

const CHART: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: tools}\ndata: {value: {{ .Values.value | quote }}}\n";
/// One key in it is no Secret's: the server refuses the object, with its content at hand.
const REFUSED: &str =
    "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: refused, namespace: team}\ndata: {a: b}\nunknown: {}\n";

/// Every spelling in which a value may appear.
fn spellings(canary: &str) -> Vec<String> {
    // base64 of the value behind 0, 1 and 2 other bytes, without the characters that those bytes touch.
    let mut all = vec![canary.to_owned()];
    for shift in 0..3 {
        let text = base64::engine::general_purpose::STANDARD_NO_PAD.encode(format!("{}{canary}", "x".repeat(shift)));
        all.push(text[if shift == 0 { 0 } else { 4 }..text.len() - 4].to_owned());
    }
    let hex: String = canary.bytes().map(|byte| format!("{byte:02x}")).collect();
    all.push(hex);
    all
}

fn find(haystack: &[u8]) -> Option<String> {
    CANARIES
        .iter()
        .flat_map(|canary| spellings(canary))
        .find(|text| haystack.windows(text.len()).any(|window| window == text.as_bytes()))
}

#[track_caller]
fn assert_clean(what: &str, haystack: &[u8]) {
    if let Some(found) = find(haystack) {
        panic!("{what} holds {found}:\n{}", String::from_utf8_lossy(haystack));
    }
}

/// Files below a folder, but for etcd's data and what the user wrote.
fn files(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        let name = entry.file_name();
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            if name != "etcd" {
                files(&path, into);
            }
        } else if name != "canary.txt" && name != "printed.txt" {
            into.push(path);
        }
    }
}

fn assert_folder_is_clean(what: &str, folder: &Path) {
    let mut found = Vec::new();
    files(folder, &mut found);
    for file in found {
        // Sockets and files that go meanwhile cannot be read.
        let Ok(bytes) = std::fs::read(&file) else { continue };
        assert_clean(&format!("{what}: {}", file.display()), &bytes);
        let mut unpacked = Vec::new();
        if flate2::read::GzDecoder::new(&bytes[..]).read_to_end(&mut unpacked).is_ok() {
            assert_clean(&format!("{what}: {}, unpacked", file.display()), &unpacked);
        }
    }
}

/// A helm that notes its arguments and environment, with the content of every file it is given, and then is helm.
fn watched_helm(home: &Home) -> PathBuf {
    let helm = assets::program(Program::Helm);
    let script = format!(
        "#!/bin/sh\n{{ printf '%s\\n' \"$@\"; env; cat /proc/$$/cmdline; for a in \"$@\"; do [ -f \"$a\" ] && case \"$a\" in *.yaml) cat \"$a\";; esac; done; }} >> '{}' 2>/dev/null\nexec '{}' \"$@\"\n",
        home.work().join("helm.log").display(),
        helm.display()
    );
    let path = home.write("bin/helm", &script);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("a mode");
    path.parent().expect("a folder").to_owned()
}

fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    let path = std::env::var_os("PATH").unwrap_or_default();
    let path = std::iter::once(home.work().join("bin")).chain(std::env::split_paths(&path));
    command
        .env("CANARY", BY_ENVIRONMENT)
        .env("PATH", std::env::join_paths(path).expect("a path"))
        // A cache of its own, to be searched; the programs come from the usual one.
        .env("TMPDIR", home.work().join("tmp"));
    command
}

fn run(home: &Home, arguments: &[&str], code: i32) -> Run {
    let run = Home::finish(&mut command(home, arguments)).expect(code);
    assert_clean(&format!("stdout of {arguments:?}"), run.stdout.as_bytes());
    assert_clean(&format!("stderr of {arguments:?}"), run.stderr.as_bytes());
    run
}

#[test]
fn a_canary_secret_is_nowhere_but_in_its_secret() {
    let home = Home::new();
    watched_helm(&home);
    std::fs::create_dir(home.work().join("tmp")).expect("a folder");
    home.write("canary.txt", BY_FILE);
    home.write("printed.txt", BY_COMMAND);
    home.write("chart/Chart.yaml", "apiVersion: v2\nname: tools\nversion: 0.1.0\n");
    home.write("chart/templates/tools.yaml", CHART);
    let blueprint = home.write("canary.yaml", &BLUEPRINT.replace("VALUE", "one"));
    let blueprint = blueprint.to_str().expect("text");
    let inspected = [("state", home.state()), ("work", home.work())];
    let clean = |when: &str| {
        for (what, folder) in &inspected {
            assert_folder_is_clean(&format!("{when}: {what}"), folder);
        }
        assert_folder_is_clean(&format!("{when}: cache of renders"), &assets::cache_home().join("wbk-infra/renders"));
        assert_folder_is_clean(&format!("{when}: helm's files"), &assets::cache_home().join("wbk-infra/helm"));
    };

    for offline in [["lint", blueprint], ["render", blueprint]] {
        run(&home, &offline, 0);
    }
    run(&home, &["explain", blueprint, "namespaces[team].secrets[kept].keys.environment"], 0);
    run(&home, &["plan", blueprint, "-v"], 0);
    run(&home, &["plan", blueprint, "--out", "first.plan", "-o", "json"], 0);
    clean("after the first plan");
    run(&home, &["apply", blueprint, "--yes", "-v"], 0);
    clean("after the first apply");

    // It is where it belongs.
    let data =
        home.kubectl("canary", &["-n", "team", "get", "secret", "kept", "-o", "jsonpath={.data}"]).expect(0).stdout;
    for canary in CANARIES {
        let encoded = base64::engine::general_purpose::STANDARD.encode(canary);
        assert!(data.contains(&encoded), "{canary} is not in its Secret");
    }

    // Another value by hand, so that every report has something to say about the Secret.
    let patch = r#"{"stringData":{"file":"canary-file-a7730e-by-hand"},"data":null}"#;
    home.kubectl("canary", &["-n", "team", "patch", "secret", "kept", "--type=merge", "-p", patch]).expect(0);
    for output in ["human", "json", "yaml", "markdown"] {
        let planned = run(&home, &["plan", blueprint, "-v", "-o", output], 0);
        assert!(planned.stdout.contains("Secret team/kept"), "{output}: {}", planned.stdout);
    }
    for output in ["human", "json", "yaml", "markdown", "sarif"] {
        let drifted = run(&home, &["drift", blueprint, "-v", "-o", output], 3);
        assert!(drifted.stdout.contains("team/kept"), "{output}: {}", drifted.stdout);
    }
    for output in ["human", "json", "yaml"] {
        run(&home, &["status", blueprint, "-v", "-o", output], 0);
    }
    run(&home, &["doctor", blueprint], 0);
    run(&home, &["plan", blueprint, "--out", "second.plan"], 0);
    run(&home, &["apply", "second.plan", "-o", "json", "-v"], 0);
    for output in ["human", "json", "yaml", "markdown", "ctrf", "junit"] {
        run(&home, &["verify", blueprint, "-o", output], 0);
    }
    run(&home, &["verify", blueprint, "-v"], 0);

    // Values that give nothing, an object that the server refuses, a chart that changes with it.
    home.write("refused.yaml", REFUSED);
    home.write("canary.yaml", &format!("{}objects: [refused.yaml]\n", BLUEPRINT.replace("VALUE", "two")));
    let failed = Home::finish(&mut command(&home, &["apply", blueprint, "--yes", "-v", "-o", "json"]));
    assert_ne!(failed.code, 0, "{}", failed.all());
    assert_clean("a failing apply", failed.all().as_bytes());
    home.write(
        "canary.yaml",
        &BLUEPRINT
            .replace("VALUE", "two")
            .replace("[cat, printed.txt]", "[sh, -c, 'cat printed.txt canary.txt >&2; exit 3']"),
    );
    run(&home, &["apply", blueprint, "--yes", "-v"], 1);
    home.write("canary.yaml", &BLUEPRINT.replace("VALUE", "two"));
    run(&home, &["apply", blueprint, "--yes", "-v"], 0);
    clean("at the end");

    // What helm was given, and what its releases hold.
    let log = std::fs::read(home.work().join("helm.log")).expect("helm ran");
    assert!(String::from_utf8_lossy(&log).contains("tools"), "the watched helm was used");
    assert_clean("what helm was given", &log);
    let path = "jsonpath={range .items[*]}{.data.release}{\"\\n\"}{end}";
    let releases =
        home.kubectl("canary", &["-n", "team", "get", "secrets", "-l", "owner=helm", "-o", path]).expect(0).stdout;
    let engine = base64::engine::general_purpose::STANDARD;
    let mut seen = 0;
    for line in releases.lines().filter(|line| !line.is_empty()) {
        let packed = engine.decode(engine.decode(line).expect("base64")).expect("helm's base64");
        let mut record = String::new();
        flate2::read::GzDecoder::new(&packed[..]).read_to_string(&mut record).expect("gzip");
        assert!(record.contains("tools"));
        assert_clean("a release", record.as_bytes());
        seen += 1;
    }
    assert!(seen >= 1, "no release was seen");

    // The processes of the cluster live on: what they were started with.
    let state = home.state().display().to_string();
    let mut processes = 0;
    for entry in std::fs::read_dir("/proc").expect("procfs").flatten() {
        let read = |name: &str| std::fs::read(entry.path().join(name)).unwrap_or_default(); // It may end meanwhile.
        let arguments = read("cmdline");
        if String::from_utf8_lossy(&arguments).contains(&state) {
            processes += 1;
            assert_clean("arguments of a process of the cluster", &arguments);
            assert_clean("environment of a process of the cluster", &read("environ"));
        }
    }
    assert!(processes >= 5, "{processes} processes of the cluster were seen");

    // Every other object of the namespace, as the server holds it.
    for kind in ["configmaps", "events", "serviceaccounts"] {
        let all = home.kubectl("canary", &["get", kind, "-A", "-o", "json", "--show-managed-fields"]).expect(0).stdout;
        assert_clean(kind, all.as_bytes());
    }
    let metadata = "jsonpath={.metadata}";
    let meta = home
        .kubectl("canary", &["-n", "team", "get", "secret", "kept", "--show-managed-fields", "-o", metadata])
        .expect(0);
    assert_clean("the Secret's metadata", meta.stdout.as_bytes());
}

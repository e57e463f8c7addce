//! `ci init`: what it writes is whole, is never written over unasked, and its script finds a drift by the documented exit codes.

mod support;

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use support::home::Home;

const BLUEPRINT: &str = "apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: nightly}
cluster: {provider: local}
nodePools: [{name: system, size: {min: 1, max: 1}}]
namespaces: [{name: team, labels: {owner: us}}]
";
const SCRIPT: &str = "scripts/wbk-infra-drift.sh";
const WORKFLOW: &str = ".github/workflows/wbk-infra-drift.yml";

#[test]
fn both_files_are_written_once_and_again_only_when_asked() {
    let home = Home::new();
    home.write("a folder/site.yaml", BLUEPRINT);
    let init = ["ci", "init", "a folder/site.yaml"];
    home.run(&init).expect(0);
    let script = std::fs::read_to_string(home.work().join(SCRIPT)).unwrap();
    assert!(script.contains("blueprint=(--file 'a folder/site.yaml')"), "{script}");
    let mode = std::fs::metadata(home.work().join(SCRIPT)).unwrap().permissions().mode();
    assert_eq!(mode & 0o111, 0o111, "it can be run");
    let workflow = std::fs::read_to_string(home.work().join(WORKFLOW)).unwrap();
    assert!(workflow.contains("name: drift nightly") && workflow.contains("cron: \"17 3 * * *\""), "{workflow}");
    assert!(!script.contains('@') || !script.contains("@NAME@"), "{script}");
    assert!(!["@NAME@", "@SCRIPT@", "@SCHEDULE@"].iter().any(|hole| workflow.contains(hole)), "{workflow}");

    home.write(SCRIPT, "mine");
    let refused = home.run(&init).expect(1);
    assert!(refused.stderr.contains("is there already") && refused.stderr.contains("--force"), "{}", refused.all());
    assert_eq!(std::fs::read_to_string(home.work().join(SCRIPT)).unwrap(), "mine", "nothing is written over");
    home.run(&["ci", "init", "a folder/site.yaml", "--force", "--schedule", "0 1 * * 1"]).expect(0);
    assert_eq!(std::fs::read_to_string(home.work().join(SCRIPT)).unwrap(), script);
}

#[test]
fn what_cannot_work_at_night_is_refused_today() {
    let home = Home::new();
    home.write("site.yaml", BLUEPRINT);
    home.write("bad.yaml", "apiVersion: wbk-infra/v1\n");
    home.run(&["ci", "init", "bad.yaml"]).expect(1);
    home.run(&["ci", "init", "site.yaml", "--schedule", "every night"]).expect(2);
    std::fs::create_dir(home.work().join("elsewhere")).unwrap();
    let outside = home.run(&["ci", "init", "site.yaml", "--directory", "elsewhere"]).expect(1);
    assert!(outside.stderr.contains("has no blueprint"), "{}", outside.all());
    assert!(!home.work().join(WORKFLOW).exists());
}

#[test]
fn the_script_tells_drift_by_its_exit_code_and_leaves_reports() {
    let home = Home::new();
    home.write("site.yaml", BLUEPRINT);
    home.run(&["ci", "init", "site.yaml"]).expect(0);
    home.run(&["apply", "site.yaml", "--yes"]).expect(0);
    let script = || {
        // The program's environment, for the script.
        let program = home.command(&[]);
        let mut command = Command::new("bash");
        command.arg(home.work().join(SCRIPT)).current_dir("/").env("WBK_INFRA", program.get_program());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => command.env(name, value),
                None => command.env_remove(name),
            };
        }
        Home::finish(&mut command)
    };
    script().expect(0);
    home.kubectl("nightly", &["label", "namespace", "team", "owner=them", "--overwrite"]).expect(0);
    script().expect(3);
    let report = |name: &str| std::fs::read_to_string(home.work().join("drift-reports").join(name)).unwrap();
    assert!(report("drift.sarif").contains("metadata.labels.owner"), "{}", report("drift.sarif"));
    assert!(report("drift.md").contains("them"), "{}", report("drift.md"));
    assert!(report("verify.xml").contains("<testsuite"), "{}", report("verify.xml"));
}

//! A stand's own beginning and end: faults in front, an emptied account, and nothing left behind, however it ends.

mod support;

use std::io::{BufRead as _, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};

use serde_json::json;
use support::{aws, cluster, ok, started, subnets, until};
use wbk_eks_stand::Settings;

#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn faults_come_and_go_and_a_reset_empties_the_account() {
    let mut settings = Settings::of_environment();
    settings.faults = true;
    let stand = started(settings);
    support::make_role(&stand);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let faults = |rules| runtime.block_on(stand.faults(&rules)).unwrap();
    faults(
        json!([{"service": "eks", "operation": "ListClusters", "times": 1, "error": {"code": "ThrottlingException", "status": 429}}]),
    );
    assert!(aws(&stand, &["eks", "list-clusters"]).unwrap_err().contains("ThrottlingException"));
    assert_eq!(ok(&stand, &["eks", "list-clusters"])["clusters"], json!([]));
    faults(json!([]));

    let made = cluster(&stand, "gone");
    // The token's URL names microburst, which is where clients come.
    assert_eq!(support::kubernetes(&made, Some(&support::token(&stand, "gone")), "/version").0, 200);
    let before = subnets(&stand);
    stand.set_quota("L-DB2E81BA", 1.0);
    runtime.block_on(stand.reset()).unwrap();
    assert_eq!(ok(&stand, &["eks", "list-clusters"])["clusters"], json!([]));
    assert_ne!(before, subnets(&stand));
    let address = made["endpoint"].as_str().unwrap().trim_start_matches("https://");
    assert!(std::net::TcpStream::connect(address).is_err(), "its endpoint has ended");
    support::make_role(&stand);
    cluster(&stand, "gone");
}

/// The program, killed in the middle, with a control plane: its emulators end at once, the rest goes with the next stand.
#[test]
#[ignore = "needs fakecloud, which may have to be built: scripts/eks-tests.sh"]
fn a_stand_that_was_killed_leaves_nothing_for_long() {
    let cache = tempfile::tempdir().unwrap();
    let real = Settings::of_environment().cache;
    // A cache of this test's own, so that no other stand cleans up; its programs are the usual ones.
    std::fs::create_dir_all(cache.path().join("wbk-infra/aws")).unwrap();
    let link =
        |name: &str| std::os::unix::fs::symlink(real.join(name), cache.path().join("wbk-infra").join(name)).unwrap();
    link("assets");
    drop(support::stand());
    for entry in std::fs::read_dir(real.join("aws")).unwrap().flatten() {
        if entry.file_name() != "stands" {
            link(&format!("aws/{}", entry.file_name().to_string_lossy()));
        }
    }
    let mut program = Command::new(env!("CARGO_BIN_EXE_wbk-eks-stand"))
        .env("XDG_CACHE_HOME", cache.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = BufReader::new(program.stdout.take().unwrap()).lines().map_while(Result::ok);
    let mut env = Vec::new();
    let cli = loop {
        let line = lines.next().expect("it starts");
        match line.strip_prefix("export ").and_then(|pair| pair.split_once('=')) {
            Some((name, value)) => env.push((name.to_owned(), value.to_owned())),
            None => break line.rsplit(' ').next().unwrap().to_owned(),
        }
    };
    let aws = |arguments: &[&str]| {
        Command::new(&cli).args(arguments).envs(env.clone()).args(["--output", "text"]).output().unwrap()
    };
    let found = aws(&["ec2", "describe-subnets", "--query", "Subnets[0:2].SubnetId"]);
    let subnets = String::from_utf8(found.stdout).unwrap().trim().replace('\t', ",");
    let trust = r#"{"Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": "eks.amazonaws.com"}}]}"#;
    let made = aws(&["iam", "create-role", "--role-name", "eks", "--assume-role-policy-document", trust]);
    assert!(made.status.success(), "{made:?}");
    let made = aws(&[
        "eks",
        "create-cluster",
        "--name",
        "k",
        "--role-arn",
        support::ROLE,
        "--resources-vpc-config",
        &format!("subnetIds={subnets}"),
    ]);
    assert!(made.status.success(), "{made:?}");
    until("its API server to run", || {
        running(cache.path()).iter().any(|line| line.contains("kube-apiserver")).then_some(())
    });
    program.kill().unwrap();
    program.wait().unwrap();
    until("its emulators to end", || {
        (!running(cache.path()).iter().any(|line| line.contains("moto_server") || line.contains("fakecloud")))
            .then_some(())
    });
    assert!(running(cache.path()).iter().any(|line| line.contains("etcd")), "a killed program cannot end these");

    let mut settings = Settings::of_environment();
    settings.cache = cache.path().join("wbk-infra");
    settings.local.cache_dir = settings.cache.clone();
    drop(started(settings));
    assert_eq!(running(cache.path()), Vec::<String>::new());
    let left: Vec<_> = std::fs::read_dir(cache.path().join("wbk-infra/aws/stands"))
        .unwrap()
        .flatten()
        .map(|entry| entry.file_name())
        .collect();
    assert_eq!(left, ["lock"]);
}

/// Command lines of living processes that work below a folder, or have it in their arguments.
fn running(folder: &Path) -> Vec<String> {
    let of = |process: std::fs::DirEntry| {
        let line = std::fs::read(process.path().join("cmdline")).ok()?;
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        let place = std::fs::read_link(process.path().join("cwd")).ok()?;
        (place.starts_with(folder) || line.contains(folder.to_str()?)).then_some(line)
    };
    std::fs::read_dir("/proc").unwrap().flatten().filter_map(of).collect()
}

//! Credentials that there are none of, or that do not work, by the SDK's own chain: a child of this test for each environment.

use std::collections::BTreeMap;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use wbk_provider_eks::aws::Aws;
use wbk_provider_eks::marks::Marks;
use wbk_provider_eks::network::{Anchors, observe};

/// The line of the child that the parent reads.
const SAYS: &str = "the child says ";

/// What the child does: asks whose credentials it has, and looks at a network. Prints what came back.
#[tokio::test]
#[ignore = "the child of the others"]
async fn child() {
    let aws = Aws::connect("us-west-2").await.expect("a region is named");
    let caller = match aws.caller().await {
        Ok(caller) => json!({"account": caller.account}),
        Err(error) => {
            json!({"kind": format!("{:?}", error.kind), "words": error.source.to_string(), "hint": error.hint()})
        }
    };
    let marks = Marks { blueprint: "b".into(), cluster: "c".into(), region: "us-west-2".into(), tags: BTreeMap::new() };
    let seen = observe(&aws, &marks, &Anchors::default()).await;
    let unknown: BTreeMap<_, _> = seen.unknown.into_iter().map(|(sort, why)| (sort, why.0)).collect();
    println!("{SAYS}{}", json!({"caller": caller, "unknown": unknown, "requests": aws.requests()}));
}

/// Runs the child with nothing of this environment but what is given.
fn says(home: &Path, variables: &[(&str, &str)]) -> (Value, Duration) {
    let began = Instant::now();
    let done = Command::new(std::env::current_exe().expect("a test knows itself"))
        .args(["--ignored", "--exact", "child", "--nocapture"])
        .env_clear()
        .env("HOME", home)
        .envs(variables.iter().copied())
        .stdin(Stdio::null())
        .output()
        .expect("the child starts");
    let text = String::from_utf8_lossy(&done.stdout);
    let line = text.lines().find_map(|line| line.split_once(SAYS)).unwrap_or_else(|| panic!("it said: {text}"));
    (serde_json::from_str(line.1).expect("JSON"), began.elapsed())
}

#[test]
fn no_credentials_are_told_in_seconds_also_where_the_metadata_service_never_answers() {
    let home = std::env::temp_dir();
    // It takes connections and says nothing.
    let silent = TcpListener::bind("127.0.0.1:0").expect("a port");
    let endpoint = format!("http://{}", silent.local_addr().expect("an address"));
    let nowhere = home.join("wbk-eks-no-such-file").display().to_string();
    let variables = [
        ("AWS_EC2_METADATA_SERVICE_ENDPOINT", endpoint.as_str()),
        ("AWS_CONFIG_FILE", &nowhere),
        ("AWS_SHARED_CREDENTIALS_FILE", &nowhere),
    ];
    let (said, took) = says(&home, &variables);
    assert_eq!(said["caller"]["kind"], "Credentials(None)", "{said}");
    assert!(said["caller"]["hint"].as_str().is_some_and(|hint| hint.contains("aws configure sso")), "{said}");
    assert_eq!(said["unknown"].as_object().map(serde_json::Map::len), Some(6), "nothing is absent: {said}");
    assert!(took < Duration::from_secs(20), "{took:?}");
}

#[test]
fn a_session_that_is_over_is_told_with_how_to_begin_one() {
    let home = std::env::temp_dir().join(format!("wbk-eks-credentials-{}", std::process::id()));
    std::fs::create_dir_all(&home).expect("a directory");
    let config = home.join("config");
    let text = "[default]\nsso_session = corp\nsso_account_id = 123456789012\nsso_role_name = admin\n\
                [sso-session corp]\nsso_region = us-west-2\nsso_start_url = https://corp.awsapps.com/start\n";
    std::fs::write(&config, text).expect("a file");
    let config = config.display().to_string();
    let variables = [("AWS_CONFIG_FILE", config.as_str()), ("AWS_EC2_METADATA_DISABLED", "true")];
    let (said, _) = says(&home, &variables);
    std::fs::remove_dir_all(&home).expect("it goes");
    assert_eq!(said["caller"]["kind"], "Credentials(SignedOut)", "{said}");
    assert!(said["caller"]["hint"].as_str().is_some_and(|hint| hint.contains("aws sso login")), "{said}");
}

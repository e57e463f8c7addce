//! What the tests share: one stand for a test binary, the aws CLI as an independent client, and waiting on conditions.

#![allow(dead_code, reason = "each test binary uses a part of it")]

use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::{Duration, Instant};

use serde_json::Value;
use wbk_eks_stand::{Settings, Stand};

/// Longest that anything is waited for: a control plane on a machine that runs many tests at once.
pub const PATIENCE: Duration = Duration::from_secs(240);
pub const ROLE: &str = "arn:aws:iam::123456789012:role/eks";

/// The stand that the tests of this binary share while one of them runs; each uses names of its own.
///
/// # Panics
/// It cannot be had: a test that proves nothing must not look like one that passed.
pub fn stand() -> Arc<Stand> {
    static SHARED: Mutex<Weak<Stand>> = Mutex::new(Weak::new());
    // A test that failed while it started one left nothing half made in here.
    let mut shared = SHARED.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(stand) = shared.upgrade() {
        return stand;
    }
    let stand = Arc::new(started(Settings::of_environment()));
    make_role(&stand);
    *shared = Arc::downgrade(&stand);
    stand
}

/// A stand of one test's own.
pub fn started(settings: Settings) -> Stand {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let started = runtime.block_on(Stand::start_with(settings, |line| eprintln!("  {line}")));
    started.unwrap_or_else(|error| panic!("this test needs the stand: {error}"))
}

/// Runs the aws CLI; its JSON, or the words of its refusal.
pub fn aws(stand: &Stand, arguments: &[&str]) -> Result<Value, String> {
    let done = Command::new(stand.aws_cli())
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .envs(stand.env())
        // One attempt: the first answer is looked at.
        .envs([("AWS_DEFAULT_OUTPUT", "json"), ("AWS_MAX_ATTEMPTS", "1"), ("AWS_PAGER", "")])
        .stdin(Stdio::null())
        .output()
        .expect("the aws CLI starts");
    let text = String::from_utf8_lossy(&done.stdout);
    if !done.status.success() {
        return Err(String::from_utf8_lossy(&done.stderr).trim().to_owned());
    }
    Ok(serde_json::from_str(&text).unwrap_or_default()) // Some commands say nothing.
}

/// Runs it, and it must succeed.
pub fn ok(stand: &Stand, arguments: &[&str]) -> Value {
    aws(stand, arguments).unwrap_or_else(|error| panic!("aws {arguments:?}: {error}"))
}

/// The one role of these tests, which clusters and nodes may have.
pub fn make_role(stand: &Stand) {
    let trust = r#"{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "sts:AssumeRole",
        "Principal": {"Service": ["eks.amazonaws.com", "ec2.amazonaws.com"]}}]}"#;
    ok(stand, &["iam", "create-role", "--role-name", "eks", "--assume-role-policy-document", trust]);
}

/// Two subnets of the default VPC, in two zones.
pub fn subnets(stand: &Stand) -> (String, String) {
    let found = ok(stand, &["ec2", "describe-subnets"]);
    let id = |index: usize| found["Subnets"][index]["SubnetId"].as_str().expect("a default VPC").to_owned();
    (id(0), id(1))
}

pub fn create_cluster(stand: &Stand, name: &str) -> Value {
    let (one, two) = subnets(stand);
    let subnets = format!("subnetIds={one},{two}");
    ok(stand, &["eks", "create-cluster", "--name", name, "--role-arn", ROLE, "--resources-vpc-config", &subnets])
}

/// A cluster whose endpoint answers.
pub fn cluster(stand: &Stand, name: &str) -> Value {
    create_cluster(stand, name);
    until(&format!("cluster {name} to be ACTIVE"), || {
        let found = ok(stand, &["eks", "describe-cluster", "--name", name])["cluster"].clone();
        assert_ne!(found["status"], "FAILED", "{found}");
        (found["status"] == "ACTIVE").then_some(found)
    })
}

/// Creates a node group.
pub fn create_group(stand: &Stand, cluster: &str, name: &str, more: &[&str]) -> Result<Value, String> {
    let (one, two) = subnets(stand);
    let mut arguments =
        vec!["eks", "create-nodegroup", "--cluster-name", cluster, "--nodegroup-name", name, "--node-role", ROLE];
    arguments.extend(["--subnets", &one, &two]);
    arguments.extend(more);
    aws(stand, &arguments)
}

pub fn group(stand: &Stand, cluster: &str, name: &str) -> Result<Value, String> {
    aws(stand, &["eks", "describe-nodegroup", "--cluster-name", cluster, "--nodegroup-name", name])
        .map(|found| found["nodegroup"].clone())
}

/// Waits for a node group's status.
pub fn group_is(stand: &Stand, cluster: &str, name: &str, status: &str) -> Value {
    until(&format!("node group {name} to be {status}"), || {
        let found = group(stand, cluster, name).unwrap();
        (found["status"] == status).then_some(found)
    })
}

/// A request to a cluster's endpoint, with the certificate authority that DescribeCluster shows; status and body.
pub fn kubernetes(cluster: &Value, token: Option<&str>, path: &str) -> (u16, Value) {
    use base64::Engine as _;
    let authority = cluster["certificateAuthority"]["data"].as_str().expect("an authority");
    let authority = base64::engine::general_purpose::STANDARD.decode(authority).expect("base64");
    let certificate = ureq::tls::Certificate::from_pem(&authority).expect("PEM");
    let roots = ureq::tls::RootCerts::Specific(Arc::new(vec![certificate]));
    let tls = ureq::tls::TlsConfig::builder().root_certs(roots).build();
    let agent: ureq::Agent =
        ureq::Agent::config_builder().tls_config(tls).proxy(None).http_status_as_error(false).build().into();
    let url = format!("{}{path}", cluster["endpoint"].as_str().expect("an endpoint"));
    let mut request = agent.get(url);
    if let Some(token) = token {
        request = request.header("authorization", format!("Bearer {token}"));
    }
    let mut answer = request.call().expect("the endpoint answers");
    let body = answer.body_mut().read_to_string().expect("a body");
    (answer.status().as_u16(), serde_json::from_str(&body).expect("JSON"))
}

/// A token as the aws CLI makes it.
pub fn token(stand: &Stand, cluster: &str) -> String {
    let found = ok(stand, &["eks", "get-token", "--cluster-name", cluster]);
    found["status"]["token"].as_str().expect("a token").to_owned()
}

/// Looks until there is something.
pub fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(Instant::now() < deadline, "waited {} s for {what}", PATIENCE.as_secs());
        std::thread::sleep(Duration::from_millis(100));
    }
}

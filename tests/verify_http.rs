//! Verification against an API server that refuses, hangs, fails or answers nonsense: doubts, never proofs.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures::future::{BoxFuture, FutureExt};
use http::{Request, Response, StatusCode};
use kube::client::Body;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use wbk_infra::verify::{CheckContext, Nodes, Outcome, Report, Suite, Verdict, VerifyEvent, VerifyOptions};

#[path = "support/verify_platform.rs"]
mod platform;

type Answer = BoxFuture<'static, Response<Body>>;

/// A client whose server is a function.
fn client(server: impl Fn(Request<Body>) -> Answer + Send + Sync + 'static) -> kube::Client {
    let server = Arc::new(server);
    let service = tower::service_fn(move |request: Request<Body>| {
        let server = Arc::clone(&server);
        async move { Ok::<_, Infallible>(server(request).await) }
    });
    kube::Client::new(service, "default")
}

fn answer(status: StatusCode, body: &Value) -> Answer {
    let response =
        Response::builder().status(status).body(Body::from(body.to_string().into_bytes())).expect("a response");
    async move { response }.boxed()
}

fn refusal(code: u16, reason: &str, message: &str) -> Answer {
    let status = StatusCode::from_u16(code).expect("a status");
    let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": code, "reason": reason,
        "message": message});
    answer(status, &body)
}

fn quick() -> VerifyOptions {
    VerifyOptions {
        patience: Duration::ZERO,
        request_bound: Duration::from_millis(200),
        sample_deadline: Duration::from_secs(1),
        ..VerifyOptions::default()
    }
}

async fn verify(client: kube::Client) -> Report {
    let desired = platform::desired("jobs");
    let suite = Suite::derive(&desired);
    let cx = CheckContext::new(client, Arc::new(desired), Nodes::Simulated, quick(), Arc::new(jiff::Timestamp::now));
    let (_stop, stopped) = watch::channel(false);
    suite.run(&cx, None, stopped).await
}

/// Everything that was run is a doubt, and there is something that was run.
fn all_doubts(report: &Report) {
    for entry in &report.entries {
        match &entry.outcome {
            Outcome::Inconclusive { reason } => assert!(!reason.is_empty()),
            // Decided by the blueprint alone.
            Outcome::Skipped { .. } => assert!(entry.id.as_str().ends_with("/spot"), "{}", entry.id),
            other => panic!("{}: {other:?}", entry.id),
        }
    }
    assert_eq!(report.verdict(), Verdict::Inconclusive);
    assert_eq!(report.verdict().exit_code(), 6);
}

#[tokio::test]
async fn a_caller_without_the_right_to_look_gets_doubts() {
    let message = r#"pods is forbidden: User "low" cannot create resource "pods" in API group "" at the cluster scope"#;
    let report = verify(client(|_| refusal(403, "Forbidden", message))).await;
    all_doubts(&report);
}

#[tokio::test]
async fn a_server_that_fails_gives_doubts() {
    let report = verify(client(|request| match request.uri().path() {
        // A server that answers its readiness probe with 500 has said that it is not ready.
        "/readyz" => refusal(403, "Forbidden", "no"),
        _ => refusal(500, "InternalError", "etcdserver: request timed out"),
    }))
    .await;
    all_doubts(&report);
}

#[tokio::test]
async fn a_server_that_says_it_is_not_ready_has_failed() {
    let report = verify(client(|_| refusal(500, "", "[+]ping ok\n[-]etcd failed"))).await;
    assert!(matches!(report.entries[0].outcome, Outcome::Fail { .. }), "{:?}", report.entries[0]);
    assert_eq!(report.verdict().exit_code(), 5);
}

#[tokio::test]
async fn a_server_that_answers_nonsense_gives_doubts() {
    let report = verify(client(|_| {
        let response = Response::new(Body::from(b"{\"items\": [tru".to_vec()));
        async move { response }.boxed()
    }))
    .await;
    all_doubts(&report);
}

#[tokio::test]
async fn a_server_that_hangs_costs_one_wait_and_gives_doubts() {
    let began = std::time::Instant::now();
    let report = verify(client(|_| std::future::pending().boxed())).await;
    all_doubts(&report);
    // One request of first contact (200 ms), not one for each of the checks; and its objects were never made.
    assert!(began.elapsed() < Duration::from_secs(5), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_hangs_after_its_first_answer_gives_doubts_within_the_bounds() {
    let began = std::time::Instant::now();
    let report = verify(client(|request| match request.uri().path() {
        "/version" => answer(StatusCode::OK, &json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0"})),
        _ => std::future::pending().boxed(),
    }))
    .await;
    let doubts = report.entries.iter().filter(|e| matches!(e.outcome, Outcome::Inconclusive { .. })).count();
    let passed = report.summary().passed;
    assert_eq!(passed, 1, "only the version was answered");
    assert!(doubts > 10);
    assert!(began.elapsed() < Duration::from_secs(30), "{:?}", began.elapsed());
}

#[tokio::test]
async fn throttling_is_waited_out() {
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = client(move |request| match (request.uri().path(), count.fetch_add(1, Ordering::SeqCst)) {
        ("/version", _) => answer(StatusCode::OK, &json!({"major": "1", "minor": "36"})),
        (_, 0..=1) => refusal(429, "TooManyRequests", "slow down"),
        _ => async { Response::new(Body::from(b"ok".to_vec())) }.boxed(),
    });
    let suite = Suite::derive(&platform::desired("jobs")).narrow(&["api.ready".into()], &[]).expect("it is there");
    let desired = Arc::new(platform::desired("jobs"));
    let cx = CheckContext::new(server, desired, Nodes::Real, quick(), Arc::new(jiff::Timestamp::now));
    let (_stop, stopped) = watch::channel(false);
    let report = suite.run(&cx, None, stopped).await;
    assert_eq!(report.summary().passed, 1, "{report:?}");
}

/// Several checks make pods in one namespace at once; the API server then answers some with a conflict about the quota.
#[tokio::test]
async fn a_lost_race_for_a_quotas_count_is_run_again() {
    let lost = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&lost);
    let server = client(move |request| match (request.method().as_str(), request.uri().path()) {
        ("GET", "/version") => answer(StatusCode::OK, &json!({"major": "1", "minor": "36"})),
        ("POST", "/api/v1/namespaces/jobs/pods") if count.fetch_add(1, Ordering::SeqCst) < 6 => {
            let body = json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": 409, "reason": "Conflict",
                "details": {"name": "wbk-infra", "kind": "resourcequotas"},
                "message": "Operation cannot be fulfilled on resourcequotas \"wbk-infra\": the object has been modified"});
            answer(StatusCode::CONFLICT, &body)
        }
        ("POST", "/api/v1/namespaces/jobs/pods") => {
            refusal(403, "Forbidden", "pods \"probe\" is forbidden: exceeded quota: wbk-infra, requested: x")
        }
        _ => answer(StatusCode::NOT_FOUND, &json!({"kind": "Status", "code": 404, "reason": "NotFound"})),
    });
    let report = verify(server).await;
    assert!(lost.load(Ordering::SeqCst) > 6, "the checks of this platform make pods");
    assert!(!format!("{report:?}").contains("cannot be fulfilled"), "{report:?}");
}

/// A server on which a sample Job starts and never ends; tells of each creation and deletion.
fn endless_job() -> (kube::Client, mpsc::UnboundedReceiver<()>, mpsc::UnboundedReceiver<String>) {
    let (deleted_tx, deleted) = mpsc::unbounded_channel();
    let (created_tx, created) = mpsc::unbounded_channel();
    let server = client(move |request| {
        let path = request.uri().path().to_owned();
        match (request.method().as_str(), path.as_str()) {
            ("GET", "/version") => answer(StatusCode::OK, &json!({"major": "1", "minor": "36"})),
            ("POST", "/apis/batch/v1/namespaces/jobs/jobs") => {
                created_tx.send(()).expect("the test listens");
                answer(StatusCode::CREATED, &json!({}))
            }
            ("DELETE", _) => {
                deleted_tx.send(path).expect("the test listens");
                answer(StatusCode::OK, &json!({}))
            }
            ("GET", path) if path.contains("/limitranges") || path.ends_with("/jobs") => {
                answer(StatusCode::OK, &json!({"items": []}))
            }
            // The Job is there and never ends.
            _ => answer(StatusCode::OK, &json!({"metadata": {"name": "j"}})),
        }
    });
    (server, created, deleted)
}

#[tokio::test]
async fn a_run_that_is_dropped_still_removes_what_it_made() {
    let (server, mut created, mut deleted) = endless_job();
    let desired = platform::desired("jobs");
    let suite = Suite::derive(&desired).narrow(&["jobs.sample/gpu".into()], &[]).expect("it is there");
    let cx = CheckContext::new(server, Arc::new(desired), Nodes::Real, quick(), Arc::new(jiff::Timestamp::now));
    let (_stop, stopped) = watch::channel(false);
    tokio::select! {
        _ = suite.run(&cx, None, stopped) => panic!("the Job never ends"),
        made = created.recv() => made.expect("the Job is created"),
    }
    drop(cx);
    let path = tokio::time::timeout(Duration::from_secs(5), deleted.recv()).await.expect("in time").expect("a path");
    assert!(path.contains("/jobs/wbk-verify-job-gpu-"), "{path}");
}

#[tokio::test]
async fn an_interrupt_ends_the_run_with_doubts_and_removes_what_was_made() {
    let (server, mut created, mut deleted) = endless_job();
    let desired = platform::desired("jobs");
    let suite = Suite::derive(&desired).narrow(&["jobs.sample/gpu".into()], &[]).expect("it is there");
    let options = VerifyOptions { sample_deadline: Duration::from_secs(3600), ..quick() };
    let cx = CheckContext::new(server, Arc::new(desired), Nodes::Real, options, Arc::new(jiff::Timestamp::now));
    let (stop, stopped) = watch::channel(false);
    let (events, mut heard) = mpsc::unbounded_channel();
    let run = suite.run(&cx, Some(events), stopped);
    let interrupt = async {
        created.recv().await.expect("the Job is created");
        stop.send(true).expect("the run listens");
    };
    let (report, ()) = tokio::join!(run, interrupt);
    assert!(report.interrupted);
    assert!(matches!(&report.entries[0].outcome, Outcome::Inconclusive { reason } if reason.contains("interrupted")));
    let path = deleted.try_recv().expect("the Job was deleted before the run returned");
    assert!(path.starts_with("/apis/batch/v1/namespaces/jobs/jobs/wbk-verify-job-gpu-"), "{path}");
    let mut finished = 0;
    while let Ok(event) = heard.try_recv() {
        if let VerifyEvent::Finished { .. } = event {
            finished += 1;
        }
    }
    assert_eq!(finished, 1, "every check that began is told to have ended");
}

//! Every check against a real API server: it passes on a platform as promised, and says so when one thing is broken.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use wbk_infra::desired::{ChartSource, Desired, DesiredRelease, Origin};
use wbk_infra::id::ReleaseId;
use wbk_infra::verify::{CheckContext, Nodes, Outcome, Report, Suite, VerifyOptions, human};

#[path = "support/live_server.rs"]
mod live;
#[path = "support/verify_platform.rs"]
mod platform;
mod support;

use support::plane::{Plane, plane};

/// A platform of its own in the test server.
struct World {
    plane: Arc<Plane>,
    client: kube::Client,
    desired: Desired,
    space: String,
    kubelets: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.kubelets.abort();
    }
}

impl World {
    async fn new(test: &str) -> Self {
        let plane = tokio::task::spawn_blocking(plane).await.expect("a control plane");
        let client = kube::Client::try_from(plane.config().await).expect("a client");
        let space = format!("vl-{test}-{}", jiff::Timestamp::now().as_millisecond());
        let desired = platform::desired(&space);
        for manifest in platform::manifests(&space) {
            let mut manifest = manifest;
            if manifest["kind"] == "Secret" {
                manifest["stringData"] = json!({"token": "canary-5f1c"});
            }
            create(&client, &manifest).await;
        }
        for pool in desired.wanted.pools.values() {
            live::make_nodes(&client, pool).await;
        }
        let kubelets = tokio::spawn(live::play(client.clone(), space.clone()));
        Self { plane, client, desired, space, kubelets }
    }

    async fn verify(&self, options: VerifyOptions, only: &[&str]) -> Report {
        self.verify_as(self.client.clone(), options, only).await
    }

    async fn verify_as(&self, client: kube::Client, options: VerifyOptions, only: &[&str]) -> Report {
        let only: Vec<String> = only.iter().map(|pattern| (*pattern).to_owned()).collect();
        let suite = Suite::derive(&self.desired).narrow(&only, &[]).expect("the patterns name checks");
        let desired = Arc::new(self.desired.clone());
        let cx = CheckContext::new(client, desired, Nodes::Simulated, options, Arc::new(jiff::Timestamp::now));
        let (_stop, stopped) = watch::channel(false);
        suite.run(&cx, None, stopped).await
    }

    /// Does `harm`, and expects the check to fail with these words.
    async fn breaks(&self, id: &str, words: &str, harm: &[(&str, String, Value)]) {
        for (method, path, body) in harm {
            live::send(&self.client, method, path, body).await;
        }
        let report = self.verify(impatient(), &[id]).await;
        assert_eq!(report.entries.len(), 1, "{id}");
        match &report.entries[0].outcome {
            Outcome::Fail { evidence, .. } => {
                assert!(evidence.measured.contains(words), "{id}: `{}` has no `{words}`", evidence.measured);
            }
            other => panic!("{id}: {other:?}"),
        }
    }
}

/// Creates an object; a kind or namespace that was asked for a moment ago may take the server a moment.
async fn create(client: &kube::Client, manifest: &Value) {
    let path = live::collection(manifest);
    let made = tokio::time::timeout(Duration::from_secs(20), async {
        let mut rhythm = tokio::time::interval(Duration::from_millis(200));
        loop {
            rhythm.tick().await;
            match live::try_send(client, "POST", &path, manifest).await {
                Ok(_) => return,
                Err(kube::Error::Api(status)) if status.code == 404 => {}
                Err(error) => panic!("POST {path}: {error}"),
            }
        }
    });
    made.await.unwrap_or_else(|_| panic!("POST {path}: not served within 20 s"));
}

fn patient() -> VerifyOptions {
    VerifyOptions { sample_deadline: Duration::from_secs(60), ..VerifyOptions::default() }
}

/// For what is broken for good.
fn impatient() -> VerifyOptions {
    VerifyOptions {
        patience: Duration::from_secs(2),
        sample_deadline: Duration::from_secs(5),
        ..VerifyOptions::default()
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_platform_as_promised_is_proved_and_nothing_is_left_of_the_proof() {
    let world = World::new("good").await;
    let report = world.verify(patient(), &[]).await;
    let text = anstream::adapter::strip_str(&human(&report)).to_string();
    assert_eq!(report.verdict().exit_code(), 0, "\n{text}");
    assert!(report.notes.is_empty(), "\n{text}");
    let skipped = |entry: &&wbk_infra::verify::Entry| matches!(entry.outcome, Outcome::Skipped { .. });
    let skipped: Vec<&str> = report.entries.iter().filter(skipped).map(|entry| entry.id.as_str()).collect();
    assert!(skipped.iter().all(|id| id.ends_with("/spot")), "only pool spot has no nodes: {skipped:?}");
    assert!(text.contains("simulated"), "{text}");
    assert!(!format!("{report:?}").contains("canary"), "a secret's value is in the report");
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", world.space);
    let left = live::send(&world.client, "GET", &jobs, &Value::Null).await;
    assert_eq!(left["items"], json!([]), "sample Jobs are removed");
    let leases = format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", world.space);
    let left = live::send(&world.client, "GET", &leases, &Value::Null).await;
    assert_eq!(left["items"], json!([]), "the run's Lease is removed");
    for gone in ["gpus.smi/gpu", "jobs.sample/cpu", "jobs.sample/gpu"] {
        assert!(report.landings.iter().any(|landing| landing.check.as_str() == gone), "{gone} landed nowhere");
    }
    let schema = wbk_infra::verify::json_schema();
    let problems = support::schema::problems(&schema, &wbk_infra::verify::json(&report));
    assert!(problems.is_empty(), "{problems:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn each_broken_promise_fails_its_own_check() {
    let world = World::new("bad").await;
    let good = world.verify(patient(), &[]).await;
    assert_eq!(good.verdict().exit_code(), 0, "\n{}", human(&good));
    let space = &world.space;
    let core = |rest: &str| format!("/api/v1/namespaces/{space}/{rest}");
    let rbac = |rest: &str| format!("/apis/rbac.authorization.k8s.io/v1/namespaces/{space}/{rest}");
    let node = |pool: &str, rest: &str| format!("/api/v1/nodes/{space}-{pool}-0{rest}");

    let none = json!({"status": {"allocatable": {"nvidia.com/gpu": "0"}}});
    world.breaks("gpus.allocatable/gpu", "offers 0", &[("PATCH", node("gpu", "/status"), none)]).await;
    let bare = json!({"spec": {"taints": null}, "metadata": {"labels": {"example.org/team": "other"}}});
    world.breaks("nodes.marks/gpu", "no taint nvidia.com/gpu", &[("PATCH", node("gpu", ""), bare)]).await;
    world.breaks("nodes.ready/gpu", "1 of 1", &[("DELETE", node("gpu", ""), Value::Null)]).await;
    let cordon = json!({"spec": {"unschedulable": true}});
    world.breaks("jobs.sample/cpu", "unschedulable", &[("PATCH", node("cpu", ""), cordon)]).await;

    let deployment = format!("/apis/apps/v1/namespaces/{space}/deployments/sample");
    let two = json!({"spec": {"replicas": 2}});
    world
        .breaks(&format!("workloads.ready/deployment/{space}/sample"), "unschedulable", &[("PATCH", deployment, two)])
        .await;
    let wider = json!({"spec": {"hard": {"requests.nvidia.com/gpu": "999"}}});
    let quota = core("resourcequotas/sample");
    world.breaks("quota.hard", "999", &[("PATCH", quota.clone(), wider)]).await;
    world.breaks("quota.enforced", "would be accepted", &[("DELETE", quota, Value::Null)]).await;
    let range = core("limitranges/sample");
    world.breaks("limits.defaults", "none", &[("DELETE", range, Value::Null)]).await;
    let open = json!({"metadata": {"labels": {"pod-security.kubernetes.io/enforce": "privileged"}}});
    let namespace = format!("/api/v1/namespaces/{space}");
    world.breaks("podsecurity.enforced", "would be accepted", &[("PATCH", namespace, open)]).await;

    world.breaks("rbac.can", "cannot", &[("PATCH", rbac("roles/sample"), json!({"rules": []}))]).await;
    let owner = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding",
        "metadata": {"name": space}, "roleRef":
            {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "cluster-admin"},
        "subjects": [{"kind": "ServiceAccount", "name": "sample", "namespace": space}]});
    let bindings = "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings".to_owned();
    world.breaks(&format!("rbac.cannot/{space}/sample"), "list secrets", &[("POST", bindings, owner)]).await;

    let gone = core("persistentvolumeclaims/sample");
    let held = json!({"metadata": {"finalizers": ["example.org/held"]}});
    let harm = [("PATCH", gone.clone(), held), ("DELETE", gone.clone(), Value::Null)];
    world.breaks("storage.bound", "held by example.org/held", &harm).await;
    live::send(&world.client, "PATCH", &gone, &json!({"metadata": {"finalizers": null}})).await;

    let empty = json!({"data": {"token": ""}});
    world.breaks("secrets.keys", "empty", &[("PATCH", core("secrets/sample"), empty)]).await;
    world.breaks("accounts.exist", "not there", &[("DELETE", core("serviceaccounts/sample"), Value::Null)]).await;
    let class = format!("/apis/scheduling.k8s.io/v1/priorityclasses/{space}-high");
    world.breaks("priorities.exist", "no such", &[("DELETE", class, Value::Null)]).await;
    let crd = format!("/apis/apiextensions.k8s.io/v1/customresourcedefinitions/widgets.{space}.example.org");
    let widget = format!("/apis/{space}.example.org/v1/namespaces/{space}/widgets/sample");
    let held = json!({"metadata": {"finalizers": ["example.org/held"]}});
    let harm = [("PATCH", widget.clone(), held), ("DELETE", crd, Value::Null)];
    world.breaks("crds.established", "being deleted", &harm).await;
    live::send(&world.client, "PATCH", &widget, &json!({"metadata": {"finalizers": null}})).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn releases_are_read_from_helms_records_and_marks() {
    let mut world = World::new("helm").await;
    let space = world.space.clone();
    let id = ReleaseId { namespace: space.clone(), name: "web".into() };
    let origin = Origin { path: "charts".into(), at: None };
    let chart = ChartSource::Path { path: "charts/web".into() };
    world.desired.releases.push(DesiredRelease { id, chart, values: json!({}), origin });
    let ids = ["releases"];
    let outcomes = |report: Report| report.entries.into_iter().map(|entry| entry.outcome).collect::<Vec<_>>();
    let absent = outcomes(world.verify(impatient(), &ids).await);
    assert!(
        matches!(&absent[0], Outcome::Fail { evidence, .. } if evidence.measured.contains("no record")),
        "{absent:?}"
    );

    for (version, status) in [("9", "superseded"), ("10", "deployed")] {
        let record = json!({"apiVersion": "v1", "kind": "Secret", "type": "helm.sh/release.v1",
            "metadata": {"name": format!("sh.helm.release.v1.web.v{version}"), "namespace": space, "labels":
                {"owner": "helm", "name": "web", "status": status, "version": version}}});
        create(&world.client, &record).await;
    }
    let path = format!("/apis/apps/v1/namespaces/{space}/deployments/sample");
    let marks = json!({"metadata": {"labels": {"app.kubernetes.io/managed-by": "Helm"},
        "annotations": {"meta.helm.sh/release-name": "web", "meta.helm.sh/release-namespace": space}}});
    live::send(&world.client, "PATCH", &path, &marks).await;
    let there = outcomes(world.verify(patient(), &ids).await);
    assert!(
        matches!(&there[0], Outcome::Pass { evidence } if evidence.measured == "revision 10: deployed"),
        "{there:?}"
    );
    assert!(matches!(&there[1], Outcome::Pass { evidence } if evidence.measured.starts_with("1 ")), "{there:?}");

    let nowhere = json!({"spec": {"template": {"spec": {"nodeSelector": {"example.org/no": "node"}}}}});
    live::send(&world.client, "PATCH", &path, &nowhere).await;
    let stuck = outcomes(world.verify(impatient(), &ids).await);
    assert!(
        matches!(&stuck[1], Outcome::Fail { evidence, .. } if evidence.measured.contains("not scheduled")),
        "{stuck:?}"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_caller_with_no_rights_gets_doubts_and_no_proofs() {
    let world = World::new("low").await;
    let mut config = world.plane.config().await;
    config.auth_info.impersonate = Some("nobody-in-particular".into());
    let low = kube::Client::try_from(config).expect("a client");
    let report = world.verify_as(low, impatient(), &[]).await;
    let text = anstream::adapter::strip_str(&human(&report)).to_string();
    assert_eq!(report.verdict().exit_code(), 6, "\n{text}");
    for entry in &report.entries {
        // Everybody may ask the server whether it is ready, for its version, and for what it serves.
        let public = entry.id.section() == "api" || entry.id.as_str().starts_with("crds.served/");
        if let Outcome::Pass { .. } = entry.outcome {
            assert!(public, "{} passed\n{text}", entry.id);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_quota_and_leftovers_of_former_runs_are_told_from_a_broken_platform() {
    let world = World::new("busy").await;
    let jobs = format!("/apis/batch/v1/namespaces/{}/jobs", world.space);
    let left = json!({"apiVersion": "batch/v1", "kind": "Job",
        "metadata": {"name": "wbk-verify-old", "labels":
            {"app.kubernetes.io/managed-by": "wbk-infra-verify", "wbk-infra/blueprint": world.space}},
        "spec": {"suspend": true, "template": {"spec": {"restartPolicy": "Never",
            "containers": [{"name": "c", "image": "i"}]}}}});
    live::send(&world.client, "POST", &jobs, &left).await;
    let quota = format!("/api/v1/namespaces/{}/resourcequotas/sample", world.space);
    let none = json!({"spec": {"hard": {"pods": "0"}}});
    live::send(&world.client, "PATCH", &quota, &none).await;
    let report = world.verify(impatient(), &["jobs.sample/cpu"]).await;
    match &report.entries[0].outcome {
        Outcome::Inconclusive { reason } => assert!(reason.contains("quota"), "{reason}"),
        other => panic!("{other:?}"),
    }
    assert!(report.notes.iter().any(|note| note.contains("wbk-verify-old")), "{:?}", report.notes);
}

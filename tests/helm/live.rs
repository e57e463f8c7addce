//! Releases on a real API server.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use k8s_openapi::api::core::v1::{ConfigMap, Namespace, Secret};
use kube::api::{Api, DeleteParams, ListParams, ObjectMeta, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use wbk_infra::desired::{ChartSource, DesiredRelease, Origin};
use wbk_infra::helm::{
    BLUEPRINT_LABEL, ClusterAccess, Conflicts, DIGEST_LABEL, HELM_FIELD_MANAGERS, Helm, HelmError, InstallOptions,
    InstallOutcome, LocalChart, MANAGED_BY_LABEL, MANAGED_BY_VALUE, Major, Ownership, RECORD_SELECTOR,
    RELEASE_NAME_ANNOTATION, RELEASE_NAMESPACE_ANNOTATION, ReleaseChange, ReleaseRecord, ReleaseSeen, ReleaseStatus,
    Removal, Repair, RollbackOptions, Wait, digest_label, input_digest, record_name, release_change,
    releases_from_secrets,
};
use wbk_infra::id::ReleaseId;

use super::{real_helm, release, support, write_chart};

const BLUEPRINT: &str = "research";

struct World {
    helm: Helm,
    client: kube::Client,
    access: ClusterAccess,
    home: tempfile::TempDir,
    _cluster: Arc<support::Cluster>,
}

async fn world() -> World {
    let cluster = support::cluster();
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let client = cluster.client().await;
    let access = ClusterAccess { kubeconfig: cluster.kubeconfig.clone(), context: Some("test".into()) };
    write_chart(
        &home.path().join("chart"),
        &[
            ("Chart.yaml", "apiVersion: v2\nname: t\nversion: 0.1.0\n"),
            ("values.yaml", "a: one\n"),
            (
                "templates/maps.yaml",
                "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: first}\ndata: {a: {{ .Values.a }}, b: two}\n---\n\
             apiVersion: v1\nkind: ConfigMap\nmetadata: {name: second}\ndata: {c: three}\n",
            ),
            (
                // Never ready: there are no nodes. `--wait` waits for it as long as a test needs.
                "templates/deployment.yaml",
                "{{ if .Values.deployment }}\napiVersion: apps/v1\nkind: Deployment\nmetadata: {name: d}\nspec:\n  selector: {matchLabels: {a: b}}\n  \
             template: {metadata: {labels: {a: b}}, spec: {containers: [{name: c, image: 'x:1'}]}}\n{{ end }}\n",
            ),
        ],
    );
    World { helm, client, access, home, _cluster: cluster }
}

impl World {
    async fn namespace(&self, name: &str) {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        let namespace = Namespace { metadata, ..Namespace::default() };
        Api::<Namespace>::all(self.client.clone()).create(&PostParams::default(), &namespace).await.unwrap();
    }

    fn chart(&self) -> LocalChart {
        LocalChart::open(&self.home.path().join("chart")).unwrap()
    }

    fn maps(&self, namespace: &str) -> Api<ConfigMap> {
        Api::namespaced(self.client.clone(), namespace)
    }

    async fn data(&self, namespace: &str, name: &str) -> BTreeMap<String, String> {
        self.maps(namespace).get(name).await.unwrap().data.unwrap_or_default()
    }

    fn desired(&self, release: &ReleaseId, values: &Value) -> DesiredRelease {
        let path = self.home.path().join("chart").to_str().unwrap().to_owned();
        let origin = Origin { path: "charts[t]".into(), at: None };
        DesiredRelease { id: release.clone(), chart: ChartSource::Path { path }, values: values.clone(), origin }
    }

    async fn apply(
        &self,
        release: &ReleaseId,
        values: &Value,
        conflicts: Conflicts,
        wait: Wait,
    ) -> Result<InstallOutcome, HelmError> {
        let chart = self.chart();
        let inputs = input_digest(&self.desired(release, values), &chart.digest);
        let options = InstallOptions {
            blueprint: BLUEPRINT,
            inputs: &inputs,
            wait,
            conflicts,
            ownership: Ownership::Respect,
            deadline: Duration::from_secs(300),
        };
        self.helm.install_or_upgrade(&self.access, release, &chart, values, options).await
    }

    async fn seen(&self, release: &ReleaseId) -> Option<ReleaseSeen> {
        let secrets = Api::<Secret>::all(self.client.clone());
        let list = secrets.list_metadata(&ListParams::default().labels(RECORD_SELECTOR)).await.unwrap();
        let records = list.items.into_iter().map(|item| ReleaseRecord {
            namespace: item.metadata.namespace.unwrap_or_default(),
            name: item.metadata.name.unwrap_or_default(),
            labels: item.metadata.labels.unwrap_or_default(),
        });
        releases_from_secrets(records).remove(release)
    }

    async fn change(&self, release: &ReleaseId, values: &Value) -> ReleaseChange {
        let desired = self.desired(release, values);
        let inputs = input_digest(&desired, &self.chart().digest);
        release_change(&desired, &inputs, BLUEPRINT, self.seen(release).await.as_ref())
    }

    /// Starts an install that waits for ever, and kills its helm as soon as the record says that it is at work.
    async fn die_at_work(&self, release: &ReleaseId, values: &Value, status: ReleaseStatus) {
        let chart = self.chart();
        let inputs = input_digest(&self.desired(release, values), &chart.digest);
        let file = self.home.path().join("values.json");
        std::fs::write(&file, values.to_string()).unwrap();
        let labels = format!("{BLUEPRINT_LABEL}={BLUEPRINT},{DIGEST_LABEL}={}", digest_label(&inputs));
        let mut child = std::process::Command::new(support::helm_program())
            .args([
                "upgrade",
                "--install",
                &release.name,
                "--namespace",
                &release.namespace,
                "--wait",
                "--reset-values",
            ])
            .args(["--labels", &labels, "--values"])
            .args([file.as_path(), &chart.path])
            .env("KUBECONFIG", &self.access.kubeconfig)
            .env("HELM_CACHE_HOME", self.home.path().join("other-cache"))
            .spawn()
            .unwrap();
        let begun = Instant::now();
        while self.seen(release).await.map(|seen| seen.status) != Some(status.clone()) {
            assert!(begun.elapsed() < Duration::from_secs(60), "helm never got to {status}");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        child.kill().unwrap();
        child.wait().unwrap();
    }

    async fn forget(&self, release: &ReleaseId, revision: u32) {
        let secrets = Api::<Secret>::namespaced(self.client.clone(), &release.namespace);
        secrets.delete(&record_name(release, revision), &DeleteParams::default()).await.unwrap();
    }
}

fn merge(value: Value) -> Patch<Value> {
    Patch::Merge(value)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_release_lives_from_install_to_uninstall() {
    let world = world().await;
    world.namespace("ns-a").await;
    let id = release("ns-a", "rel");
    assert!(matches!(world.change(&id, &json!({})).await, ReleaseChange::Install { .. }));
    let values = json!({"a": "1st"});
    let made = world.apply(&id, &values, Conflicts::Stop, Wait::HooksOnly).await.unwrap();
    assert_eq!(made, InstallOutcome { revision: 1, status: ReleaseStatus::Deployed });
    assert_eq!(world.change(&id, &values).await, ReleaseChange::None);

    // What helm writes on objects is what our constants say.
    let map = world.maps("ns-a").get("first").await.unwrap();
    assert_eq!(map.metadata.labels.unwrap()[MANAGED_BY_LABEL], MANAGED_BY_VALUE);
    let annotations = map.metadata.annotations.unwrap();
    assert_eq!((&*annotations[RELEASE_NAME_ANNOTATION], &*annotations[RELEASE_NAMESPACE_ANNOTATION]), ("rel", "ns-a"));
    let manager = map.metadata.managed_fields.unwrap().remove(0);
    assert!(HELM_FIELD_MANAGERS.contains(&&*manager.manager.unwrap()));
    let operation = if world.helm.major() == Major::V4 { "Apply" } else { "Update" };
    assert_eq!(manager.operation.as_deref(), Some(operation));

    // Values that become empty become the chart's own again.
    let empty = json!({});
    assert!(matches!(world.change(&id, &empty).await, ReleaseChange::Upgrade { from: 1, .. }));
    assert_eq!(world.apply(&id, &empty, Conflicts::Stop, Wait::HooksOnly).await.unwrap().revision, 2);
    assert_eq!(world.data("ns-a", "first").await["a"], "one");

    assert_eq!(world.helm.status(&world.access, &id).await.unwrap().unwrap().revision, 2);
    let history = world.helm.history(&world.access, &id).await.unwrap();
    let statuses: Vec<_> = history.iter().map(|entry| (entry.revision, entry.status())).collect();
    assert_eq!(statuses, [(1, ReleaseStatus::Superseded), (2, ReleaseStatus::Deployed)]);
    let back = RollbackOptions { to: 1, conflicts: Conflicts::Take, deadline: Duration::from_secs(120) };
    world.helm.rollback(&world.access, &id, back).await.unwrap();
    assert_eq!(world.data("ns-a", "first").await["a"], "1st");
    // A rollback carries the labels of the revision it goes back to, so that the digest is right.
    assert_eq!(world.change(&id, &values).await, ReleaseChange::None);

    let deadline = Duration::from_secs(120);
    assert_eq!(world.helm.uninstall(&world.access, &id, deadline).await.unwrap(), Removal::Removed);
    assert_eq!(world.helm.uninstall(&world.access, &id, deadline).await.unwrap(), Removal::WasNotThere);
    assert_eq!(world.helm.status(&world.access, &id).await.unwrap(), None);
    assert_eq!(world.helm.history(&world.access, &id).await.unwrap(), []);
    assert!(world.seen(&id).await.is_none());
    assert!(world.maps("ns-a").get_opt("first").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_same_upgrade_mends_what_others_changed() {
    let world = world().await;
    world.namespace("ns-b").await;
    let id = release("ns-b", "rel");
    world.apply(&id, &json!({}), Conflicts::Stop, Wait::HooksOnly).await.unwrap();
    let by_hand = PatchParams { field_manager: Some("kubectl-edit".into()), ..PatchParams::default() };
    let edit = json!({"data": {"a": "edited", "b": null, "more": "added"}});
    world.maps("ns-b").patch("first", &by_hand, &merge(edit)).await.unwrap();
    world.maps("ns-b").delete("second", &DeleteParams::default()).await.unwrap();
    // Its record says nothing of that.
    assert_eq!(world.change(&id, &json!({})).await, ReleaseChange::None);

    if world.helm.major() == Major::V4 {
        let error = world.apply(&id, &json!({}), Conflicts::Stop, Wait::HooksOnly).await.unwrap_err();
        assert!(error.to_string().contains("kubectl-edit"), "{error}");
        assert!(error.hint().is_some());
        assert!(matches!(world.change(&id, &json!({})).await, ReleaseChange::Upgrade { from: 2, .. }));
    }
    world.apply(&id, &json!({}), Conflicts::Take, Wait::HooksOnly).await.unwrap();
    let data = world.data("ns-b", "first").await;
    assert_eq!((&*data["a"], &*data["b"]), ("one", "two"));
    assert_eq!(world.data("ns-b", "second").await["c"], "three");
    // What others added is theirs, in every mode.
    assert_eq!(data["more"], "added");

    // An upgrade with nothing to mend writes no object.
    let version = |map: ConfigMap| map.metadata.resource_version;
    let before = version(world.maps("ns-b").get("first").await.unwrap());
    world.apply(&id, &json!({}), Conflicts::Take, Wait::HooksOnly).await.unwrap();
    assert_eq!(version(world.maps("ns-b").get("first").await.unwrap()), before);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_helm_that_died_at_work_is_seen_and_its_release_repaired() {
    let world = world().await;
    world.namespace("ns-c").await;
    let id = release("ns-c", "rel");
    let slow = json!({"a": "slow", "deployment": true});
    world.die_at_work(&id, &slow, ReleaseStatus::PendingInstall).await;
    // Helm itself goes no further.
    let error = world.apply(&id, &slow, Conflicts::Take, Wait::HooksOnly).await.unwrap_err();
    assert!(error.hint().unwrap().contains("its repair is planned"), "{error}");

    // The same inputs: its record is forgotten, and what it made is taken over.
    let ReleaseChange::Repair { how: Repair::ForgetThenApply { pending }, .. } = world.change(&id, &slow).await else {
        panic!("{:?}", world.change(&id, &slow).await)
    };
    world.forget(&id, pending).await;
    world.apply(&id, &slow, Conflicts::Take, Wait::HooksOnly).await.unwrap();
    assert_eq!(world.change(&id, &slow).await, ReleaseChange::None);

    // An upgrade to other inputs than those wanted now: back to the last good one first.
    world.die_at_work(&id, &json!({"a": "abandoned", "deployment": true}), ReleaseStatus::PendingUpgrade).await;
    let ReleaseChange::Repair { how: Repair::RollbackThenUpgrade { to }, .. } = world.change(&id, &json!({})).await
    else {
        panic!("{:?}", world.change(&id, &json!({})).await)
    };
    let back = RollbackOptions { to, conflicts: Conflicts::Take, deadline: Duration::from_secs(120) };
    world.helm.rollback(&world.access, &id, back).await.unwrap();
    assert_eq!(world.data("ns-c", "first").await["a"], "slow");
    world.apply(&id, &json!({}), Conflicts::Take, Wait::HooksOnly).await.unwrap();
    assert_eq!(world.change(&id, &json!({})).await, ReleaseChange::None);

    // A first install of other inputs than those wanted now: it is taken away.
    let other = release("ns-c", "other");
    world.helm.uninstall(&world.access, &id, Duration::from_secs(120)).await.unwrap();
    world.die_at_work(&other, &slow, ReleaseStatus::PendingInstall).await;
    let change = world.change(&other, &json!({})).await;
    assert!(matches!(change, ReleaseChange::Repair { how: Repair::UninstallThenInstall, .. }), "{change:?}");
    let deadline = Duration::from_secs(120);
    assert_eq!(world.helm.uninstall(&world.access, &other, deadline).await.unwrap(), Removal::Removed);
    world.apply(&other, &json!({}), Conflicts::Take, Wait::HooksOnly).await.unwrap();
    assert_eq!(world.change(&other, &json!({})).await, ReleaseChange::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_interrupted_upgrade_ends_as_failed_and_is_tried_again() {
    let mut world = world().await;
    world.namespace("ns-d").await;
    let id = release("ns-d", "rel");
    let (handle, cancel) = wbk_infra::helm::Cancel::pair();
    let calm = world.helm.clone();
    world.helm = calm.clone().with_cancel(cancel);
    let slow = json!({"deployment": true});
    let interrupt = async {
        while world.seen(&id).await.is_none() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        handle.cancel();
    };
    let (result, ()) = tokio::join!(world.apply(&id, &slow, Conflicts::Take, Wait::Ready), interrupt);
    assert!(matches!(result, Err(HelmError::Cancelled { by_force: false, .. })), "{result:?}");
    assert_eq!(world.seen(&id).await.unwrap().status, ReleaseStatus::Failed);
    world.helm = calm;
    assert!(matches!(world.change(&id, &slow).await, ReleaseChange::Upgrade { .. }));
    world.apply(&id, &slow, Conflicts::Take, Wait::HooksOnly).await.unwrap();
    assert_eq!(world.change(&id, &slow).await, ReleaseChange::None);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_belongs_to_nobody_is_taken_only_when_asked() {
    let world = world().await;
    world.namespace("ns-e").await;
    let id = release("ns-e", "rel");
    let metadata = ObjectMeta { name: Some("first".into()), ..ObjectMeta::default() };
    let data = Some(BTreeMap::from([("a".to_owned(), "theirs".to_owned())]));
    let map = ConfigMap { metadata, data, ..ConfigMap::default() };
    world.maps("ns-e").create(&PostParams::default(), &map).await.unwrap();
    let error = world.apply(&id, &json!({}), Conflicts::Take, Wait::HooksOnly).await.unwrap_err();
    assert!(error.hint().unwrap().contains("adopt"), "{error}");
    assert_eq!(world.data("ns-e", "first").await["a"], "theirs");

    let chart = world.chart();
    let inputs = input_digest(&world.desired(&id, &json!({})), &chart.digest);
    let options = InstallOptions {
        blueprint: BLUEPRINT,
        inputs: &inputs,
        wait: Wait::HooksOnly,
        conflicts: Conflicts::Take,
        ownership: Ownership::Adopt,
        deadline: Duration::from_secs(300),
    };
    world.helm.install_or_upgrade(&world.access, &id, &chart, &json!({}), options).await.unwrap();
    assert_eq!(world.data("ns-e", "first").await["a"], "one");
}

//! Laws with a story each, on the same control plane.

use std::time::Duration;

use http::Method;
use serde_json::{Value, json};
use wbk_infra::cluster::Cluster;
use wbk_infra::desired::{ConflictChoice, DesiredObject, IgnoreRule};
use wbk_infra::plan::{Action, Plan, PlanOptions, WhyNot, plan};

use super::objects::desired;
use super::world::World;

const JSON: &str = "application/json";
const MERGE: &str = "application/merge-patch+json";

fn namespace(name: &str) -> DesiredObject {
    desired(json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}), "namespaces")
}

fn config_map(space: &str, name: &str, value: &str) -> DesiredObject {
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name, "namespace": space}, "data": {"key": value}});
    desired(manifest, "objects")
}

fn role(space: &str) -> DesiredObject {
    let manifest = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "Role", "metadata": {"name": "reader", "namespace": space},
        "rules": [{"apiGroups": [""], "resources": ["pods"], "verbs": ["get"]}]});
    desired(manifest, "objects")
}

fn actions(plan: &Plan) -> Vec<(Action, &str)> {
    plan.steps.iter().map(|step| (step.action, step.id.0.as_str())).collect()
}

async fn send(world: &World, method: Method, path: &str, kind: &str, body: Value) -> Value {
    world.send(method, path, kind, &body).await.unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Plans and applies; nothing is left to do. What was done.
async fn applied(world: &mut World, options: &PlanOptions) -> Vec<String> {
    let (made, ..) = world.plan(options).await;
    World::complete(&world.apply(&made).await);
    let (again, ..) = world.plan(options).await;
    assert!(again.is_empty(), "{:#?}", again.steps);
    made.steps.iter().map(|step| format!("{} {}", step.action.word(), step.id)).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_caller_may_not_list_is_neither_made_nor_deleted() {
    let space = "law-unknown";
    let mut world = World::new(space, vec![namespace(space), config_map(space, "seen", "a"), role(space)]).await;
    applied(&mut world, &PlanOptions::default()).await;
    let rights = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": "half-blind"},
        "rules": [{"apiGroups": [""], "resources": ["namespaces", "configmaps"], "verbs": ["get", "list", "patch", "create"]}]});
    let bound = json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": "half-blind"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "half-blind"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "half-blind"}]});
    let rbac = "/apis/rbac.authorization.k8s.io/v1";
    send(&world, Method::POST, &format!("{rbac}/clusterroles"), JSON, rights).await;
    send(&world, Method::POST, &format!("{rbac}/clusterrolebindings"), JSON, bound).await;
    let mut config = world.plane.config().await;
    config.auth_info.impersonate = Some("half-blind".into());
    let blind = kube::Client::try_from(config).expect("a client");
    let blind = Cluster::new(blind, 8, Duration::from_secs(30));
    let unseen = |made: &Plan| made.not_planned.iter().filter(|entry| entry.why == WhyNot::Unseen).count();

    let there = format!("{rbac}/namespaces/{space}/roles/reader");
    for gone in [false, true] {
        if gone {
            send(&world, Method::DELETE, &there, JSON, Value::Null).await;
        }
        for memory in [world.memory.clone(), world.forgotten()] {
            let (sight, _) = world.look_through(&blind, memory).await;
            let made = plan(&world.desired, &sight.live, &[], &PlanOptions::default());
            assert!(made.is_empty(), "{:?}", actions(&made));
            assert!(unseen(&made) > 0, "it is told: {:#?}", made.not_planned);
            assert!(made.not_planned.iter().any(|entry| entry.reason.contains("forbidden")), "{:#?}", made.not_planned);
            let moved = world.drift(&sight).await;
            assert!(moved.items.is_empty() && !moved.unseen.is_empty(), "{moved:#?}");
        }
    }
    // What the blueprint no longer names is not deleted by somebody who cannot see it.
    applied(&mut world, &PlanOptions::default()).await;
    world.desired.objects.retain(|object| object.id.gvk.kind != "Role");
    let (sight, _) = world.look_through(&blind, world.memory.clone()).await;
    let made = plan(&world.desired, &sight.live, &[], &PlanOptions::default());
    assert!(made.is_empty() && unseen(&made) > 0, "{:?} {:#?}", actions(&made), made.not_planned);
    let (made, ..) = world.plan(&PlanOptions::default()).await;
    assert_eq!(actions(&made), [(Action::Delete, "Role.rbac.authorization.k8s.io law-unknown/reader")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_field_that_another_holds_is_named_and_each_choice_does_what_it_says() {
    let space = "law-conflict";
    let mut world = World::new(space, vec![namespace(space), config_map(space, "c", "mine")]).await;
    applied(&mut world, &PlanOptions::default()).await;
    let path = format!("/api/v1/namespaces/{space}/configmaps/c");
    send(&world, Method::PATCH, &format!("{path}?fieldManager=rival"), MERGE, json!({"data": {"key": "theirs"}})).await;
    let name = "ConfigMap law-conflict/c";
    let choice = |conflicts| PlanOptions { conflicts: Some(conflicts), ..PlanOptions::default() };

    // What was ours and is as the blueprint said is mended.
    let (made, ..) = world.plan(&choice(ConflictChoice::Mend)).await;
    assert_eq!(actions(&made), [(Action::Update, name)]);
    assert!(made.steps[0].reason.contains("rival holds data.key since 20"), "{}", made.steps[0].reason);
    // The blueprint changes too: now it takes a decision.
    world.desired.objects.retain(|object| object.id.gvk.kind == "Namespace");
    world.desired.objects.insert(0, config_map(space, "c", "newer"));
    for stop in [ConflictChoice::Mend, ConflictChoice::Stop] {
        let (made, ..) = world.plan(&choice(stop)).await;
        assert!(made.is_empty(), "{:?}", actions(&made));
        let told = &made.not_planned[0];
        assert_eq!((told.why, told.what.as_str()), (WhyNot::Blocked, name));
        assert!(told.reason.contains("rival holds data.key"), "{told:?}");
        assert!(told.hint.as_ref().is_some_and(|hint| hint.contains("take") && hint.contains("yield")), "{told:?}");
    }
    let value = |body: &Value| body["data"]["key"].as_str().map(str::to_owned);
    let (made, ..) = world.plan(&choice(ConflictChoice::Yield)).await;
    World::complete(&world.apply(&made).await);
    let body = send(&world, Method::GET, &path, JSON, Value::Null).await;
    assert_eq!(value(&body).as_deref(), Some("theirs"), "yielded");
    applied(&mut world, &choice(ConflictChoice::Take)).await;
    let body = send(&world, Method::GET, &path, JSON, Value::Null).await;
    assert_eq!(value(&body).as_deref(), Some("newer"), "taken");
}

const STRATEGIC: &str = "application/strategic-merge-patch+json";

/// A CronJob that never runs, with a field of every shape that somebody else may take.
fn job(space: &str, said: &str, schedule: &str) -> DesiredObject {
    let container = json!({"name": "main", "image": said, "env": [{"name": "WHO", "value": said}],
        "ports": [{"containerPort": 80, "name": said}], "args": [said]});
    let side = json!({"name": "side", "image": "side"});
    let labels = json!({"example.com/team.name": said, "plain": said});
    let manifest = json!({"apiVersion": "batch/v1", "kind": "CronJob", "metadata": {"name": "j", "namespace": space, "labels": labels},
        "spec": {"suspend": true, "schedule": schedule, "jobTemplate": {"spec": {"template": {"spec":
            {"restartPolicy": "Never", "containers": [side, container]}}}}}});
    desired(manifest, "objects")
}

/// Who says what, in every field that may be taken.
fn said(body: &Value) -> Vec<&str> {
    let containers = body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"].as_array().expect("a list");
    let main = containers.iter().find(|container| container["name"] == "main").expect("the container");
    let labels = &body["metadata"]["labels"];
    [
        &labels["example.com/team.name"],
        &labels["plain"],
        &main["image"],
        &main["env"][0]["value"],
        &main["ports"][0]["name"],
        &main["args"][0],
    ]
    .map(|value| value.as_str().expect("a text"))
    .to_vec()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn list_items_and_dotted_keys_are_left_to_others_as_plain_fields_are() {
    let space = "law-yield";
    let mut world = World::new(space, vec![namespace(space), job(space, "mine", "0 0 1 1 *")]).await;
    applied(&mut world, &PlanOptions::default()).await;
    let path = format!("/apis/batch/v1/namespaces/{space}/cronjobs/j");
    let rival = |who: &str| {
        json!({"metadata": {"labels": {"example.com/team.name": who, "plain": who}}, "spec": {"jobTemplate": {"spec": {"template":
            {"spec": {"containers": [{"name": "main", "image": who, "env": [{"name": "WHO", "value": who}],
                "ports": [{"containerPort": 80, "name": who}], "args": [who]}]}}}}}})
    };
    let theirs = format!("{path}?fieldManager=rival");
    send(&world, Method::PATCH, &theirs, STRATEGIC, rival("theirs")).await;
    let choice = |conflicts| PlanOptions { conflicts: Some(conflicts), ..PlanOptions::default() };

    // Nothing but what they hold differs: there is nothing to do.
    let (made, ..) = world.plan(&choice(ConflictChoice::Yield)).await;
    assert!(made.is_empty() && made.not_planned.is_empty(), "{:#?} {:#?}", made.steps, made.not_planned);
    // Without that choice it is told field by field, in words that read back.
    let (made, ..) = world.plan(&choice(ConflictChoice::Stop)).await;
    let containers = "spec.jobTemplate.spec.template.spec.containers[name=main]";
    for field in [
        "metadata.labels[example.com/team.name]".to_owned(),
        format!("{containers}.image"),
        format!("{containers}.env[name=WHO].value"),
        format!("{containers}.ports[containerPort=80,protocol=TCP].name"),
        format!("{containers}.args"),
    ] {
        let told = &made.not_planned[0].reason;
        assert!(told.contains(&format!("rival holds {field} since")), "{field}: {told}");
    }

    // The blueprint moves on: what is theirs stays theirs, the rest arrives, and then nothing is left to do.
    world.desired.objects.retain(|object| object.id.gvk.kind == "Namespace");
    world.desired.objects.push(job(space, "newer", "0 0 2 1 *"));
    let made = applied(&mut world, &choice(ConflictChoice::Yield)).await;
    assert_eq!(made, ["update CronJob.batch law-yield/j"]);
    let body = send(&world, Method::GET, &path, JSON, Value::Null).await;
    assert_eq!((said(&body), &body["spec"]["schedule"]), (vec!["theirs"; 6], &json!("0 0 2 1 *")));
    assert_eq!(
        body["spec"]["jobTemplate"]["spec"]["template"]["spec"]["containers"][0]["name"], "side",
        "no item is lost"
    );
    // They change it again: it is none of our business.
    send(&world, Method::PATCH, &theirs, STRATEGIC, rival("later")).await;
    let (made, ..) = world.plan(&choice(ConflictChoice::Yield)).await;
    assert!(made.is_empty() && made.not_planned.is_empty(), "{:#?} {:#?}", made.steps, made.not_planned);

    // Another decision is not hidden by what was remembered of this one.
    let made = applied(&mut world, &choice(ConflictChoice::Take)).await;
    assert_eq!(made, ["update CronJob.batch law-yield/j"]);
    let body = send(&world, Method::GET, &path, JSON, Value::Null).await;
    assert_eq!(said(&body), ["newer"; 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ignored_field_is_left_as_it_is_whoever_holds_it_until_the_rule_ends() {
    let space = "law-ignore";
    let mut world = World::new(space, vec![namespace(space), job(space, "mine", "0 0 1 1 *")]).await;
    let containers = "spec.jobTemplate.spec.template.spec.containers[name=main]";
    let paths = [
        "metadata.labels[example.com/team.name]".to_owned(),
        "/metadata/labels/plain".to_owned(),
        format!("{containers}.image"),
        format!("{containers}.env[name=WHO]"),
        format!("{containers}.ports[containerPort=80].name"),
        format!("{containers}.args[0]"),
    ];
    let rules: Vec<IgnoreRule> = paths
        .iter()
        .map(|path| IgnoreRule {
            kind: "CronJob".into(),
            namespace: None,
            name: Some("j".into()),
            path: path.parse().expect("a path"),
            reason: "a test".into(),
            until: None,
        })
        .collect();
    world.desired.policy.ignore = rules;
    // What is made has the blueprint's values.
    applied(&mut world, &PlanOptions::default()).await;
    let path = format!("/apis/batch/v1/namespaces/{space}/cronjobs/j");
    let body = send(&world, Method::GET, &path, JSON, Value::Null).await;
    assert_eq!(said(&body), ["mine"; 6]);
    for (who, manager) in [("theirs", "rival"), ("ours", "wbk-infra")] {
        let patch = json!({"metadata": {"labels": {"example.com/team.name": who, "plain": who}}, "spec": {"jobTemplate": {"spec": {"template":
            {"spec": {"containers": [{"name": "main", "image": who, "env": [{"name": "WHO", "value": who}],
                "ports": [{"containerPort": 80, "name": who}], "args": [who]}]}}}}}});
        send(&world, Method::PATCH, &format!("{path}?fieldManager={manager}"), STRATEGIC, patch).await;
        let (made, sight, _) = world.plan(&PlanOptions::default()).await;
        assert!(made.is_empty() && made.not_planned.is_empty(), "{:#?} {:#?}", made.steps, made.not_planned);
        let moved = world.drift(&sight).await;
        assert!(moved.items.is_empty(), "{:#?}", moved.items);
    }
    // A change beside them takes nothing back.
    world.desired.objects.retain(|object| object.id.gvk.kind == "Namespace");
    world.desired.objects.push(job(space, "newer", "0 0 2 1 *"));
    applied(&mut world, &PlanOptions::default()).await;
    let body = send(&world, Method::GET, &path, JSON, Value::Null).await;
    assert_eq!((said(&body), &body["spec"]["schedule"]), (vec!["ours"; 6], &json!("0 0 2 1 *")));
    // The rules end, and what was remembered under them does not hide what they hid.
    world.desired.policy.ignore.clear();
    let made =
        applied(&mut world, &PlanOptions { conflicts: Some(ConflictChoice::Take), ..PlanOptions::default() }).await;
    assert_eq!(made, ["update CronJob.batch law-ignore/j"]);
    let body = send(&world, Method::GET, &path, JSON, Value::Null).await;
    assert_eq!(said(&body), ["newer"; 6]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_immutable_value_is_replaced_and_a_former_kind_is_pruned() {
    let space = "law-replace";
    let class = |value: i32| {
        let manifest = json!({"apiVersion": "scheduling.k8s.io/v1", "kind": "PriorityClass", "metadata": {"name": "law-replace"}, "value": value});
        desired(manifest, "scheduling")
    };
    let lease = json!({"apiVersion": "coordination.k8s.io/v1", "kind": "Lease", "metadata": {"name": "former", "namespace": space}, "spec": {"leaseDurationSeconds": 5}});
    let lease = desired(lease, "objects");
    let mut world = World::new(space, vec![namespace(space), class(10), lease]).await;
    applied(&mut world, &PlanOptions::default()).await;
    world.desired.objects.retain(|object| object.id.gvk.kind == "Namespace");
    world.desired.objects.push(class(20));
    // Nothing of the blueprint is a Lease any more: the ApplySet's parent remembers that there were some.
    let made = applied(&mut world, &PlanOptions::default()).await;
    let name = "PriorityClass.scheduling.k8s.io law-replace";
    assert_eq!(made, [format!("replace {name}"), "delete Lease.coordination.k8s.io law-replace/former".into()]);
    let body =
        send(&world, Method::GET, "/apis/scheduling.k8s.io/v1/priorityclasses/law-replace", JSON, Value::Null).await;
    assert_eq!(body["value"], 20);
    let parent =
        send(&world, Method::GET, "/api/v1/namespaces/wbk-infra/configmaps/blueprint-law-replace", JSON, Value::Null)
            .await;
    let kinds = parent["metadata"]["annotations"]["applyset.kubernetes.io/contains-group-kinds"].to_string();
    assert!(kinds.contains("PriorityClass") && !kinds.contains("Lease"), "{kinds}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_foreign_object_blocks_is_adopted_when_named_and_is_given_back() {
    let space = "law-adopt";
    let mut world = World::new(space, vec![namespace(space), config_map(space, "theirs", "wanted")]).await;
    let spaces = "/api/v1/namespaces";
    send(
        &world,
        Method::POST,
        spaces,
        JSON,
        json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": space}}),
    )
    .await;
    let path = format!("{spaces}/{space}/configmaps");
    let theirs = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "theirs"}, "data": {"key": "before", "own": "kept"}});
    send(&world, Method::POST, &format!("{path}?fieldManager=rival"), JSON, theirs).await;
    let (made, ..) = world.plan(&PlanOptions::default()).await;
    assert!(made.is_empty(), "{:?}", actions(&made));
    let names = ["ConfigMap law-adopt/theirs", "Namespace law-adopt"];
    let told: Vec<&str> = made.not_planned.iter().map(|entry| entry.what.as_str()).collect();
    assert_eq!(told, names);
    assert!(made.not_planned.iter().all(|entry| entry.hint.as_ref().is_some_and(|hint| hint.contains("--adopt"))));

    let adopt = PlanOptions { adopt: names.iter().map(|name| (*name).to_owned()).collect(), ..PlanOptions::default() };
    let made = applied(&mut world, &adopt).await;
    assert_eq!(made, names.map(|name| format!("adopt {name}")));
    let (made, ..) = world.plan(&PlanOptions::default()).await;
    assert!(made.is_empty() && made.not_planned.is_empty(), "once adopted it is ours: {:#?}", made.not_planned);

    let made = world.plan_destroy(&PlanOptions::default()).await;
    assert!(
        made.steps.iter().all(|step| step.action == Action::Disown) && made.steps.len() == 2,
        "{:?}",
        actions(&made)
    );
    World::complete(&world.apply(&made).await);
    let body = send(&world, Method::GET, &format!("{path}/theirs"), JSON, Value::Null).await;
    assert_eq!(body["data"]["own"], "kept");
    assert!(body["metadata"]["labels"]["wbk-infra/blueprint"].is_null(), "{}", body["metadata"]);
}

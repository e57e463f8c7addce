//! Node pools on a real control plane: what runs on them, when their GPUs are there, and how drift is seen and mended.

mod support;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::{DaemonSet, Deployment};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Namespace, Node, Pod};
use kube::api::{DeleteParams, Patch, PatchParams, PostParams};
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use support::{Rig, cpu_pool, eventually, gpu_pool, wanted};
use wbk_provider_api::{Disruption, Provider as _, Seen};

const GPU: &str = "nvidia.com/gpu";
const PCI: &str = "feature.node.kubernetes.io/pci-10de.present";

fn allocatable(node: &Node, resource: &str) -> Option<String> {
    Some(node.status.as_ref()?.allocatable.as_ref()?.get(resource)?.0.clone())
}

async fn create<K>(api: &Api<K>, value: Value) -> Result<K>
where
    K: serde::de::DeserializeOwned + serde::Serialize + Clone + std::fmt::Debug,
{
    Ok(api.create(&PostParams::default(), &serde_json::from_value(value)?).await?)
}

fn agent(name: &str, node: &str, labels: Value, annotations: Value) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod",
        "metadata": {"name": name, "labels": labels, "annotations": annotations},
        "spec": {
            "nodeName": node, "tolerations": [{"operator": "Exists"}],
            // As NVIDIA's chart calls the plugin's: GFD's pods have the same labels.
            "containers": [{"name": "nvidia-device-plugin-ctr", "image": "simulated"}],
        },
    })
}

fn job(name: &str, pod: Value) -> Value {
    json!({
        "apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": name},
        "spec": {"backoffLimit": 0, "template": pod},
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn jobs_run_and_finish_and_gpus_are_there_while_their_plugin_is() -> Result<()> {
    let rig = Rig::new()?;
    let wanted = wanted("gpus", vec![cpu_pool("system", 2), gpu_pool("a100", 1)]);
    let done = rig.converge(&wanted).await?;
    assert_eq!(done, ["Create cluster gpus", "Create node pool a100", "Create node pool system"]);
    let client = rig.client("gpus").await?;
    let (nodes, pods) = (Api::<Node>::all(client.clone()), Api::<Pod>::namespaced(client.clone(), "default"));
    let jobs: Api<Job> = Api::namespaced(client.clone(), "default");

    let node = nodes.get("system-0").await?;
    assert_eq!(allocatable(&node, "cpu").as_deref(), Some("3920m"));
    let info = node.status.context("status")?.node_info.context("node info")?;
    assert_eq!(info.os_image, "simulated");
    assert!(info.kubelet_version.starts_with("v1.36."), "{}", info.kubelet_version);

    // A Job finishes, another fails with its exit code.
    create(
        &jobs,
        job("good", json!({"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]}})),
    )
    .await?;
    let annotations = json!({"wbk-infra/simulate-exit-code": "3", "wbk-infra/simulate-duration": "100ms"});
    create(
        &jobs,
        job(
            "bad",
            json!({
                "metadata": {"annotations": annotations},
                "spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "i"}]},
            }),
        ),
    )
    .await?;
    eventually("the good Job to complete", async || {
        Ok(jobs.get("good").await?.status.and_then(|status| status.completion_time).map(drop))
    })
    .await?;
    eventually("the bad Job to fail", async || {
        Ok(jobs.get("bad").await?.status.and_then(|status| status.failed).filter(|failed| *failed == 1).map(drop))
    })
    .await?;

    // GPUs: not before the plugin, with it, not after it.
    assert_eq!(allocatable(&nodes.get("a100-0").await?, GPU), None);
    let plugin = agent("plugin", "a100-0", json!({"app.kubernetes.io/name": "nvidia-device-plugin"}), json!({}));
    create(&pods, plugin.clone()).await?;
    eventually("the GPUs to appear", async || {
        Ok(allocatable(&nodes.get("a100-0").await?, GPU).filter(|count| count == "8").map(drop))
    })
    .await?;
    create(
        &jobs,
        job(
            "train",
            json!({"spec": {
                "restartPolicy": "Never",
                "tolerations": [{"key": GPU, "operator": "Exists"}],
                "containers": [{"name": "c", "image": "i", "resources": {"limits": {GPU: "8"}}}],
            }}),
        ),
    )
    .await?;
    eventually("the Job with GPUs to complete", async || {
        Ok(jobs.get("train").await?.status.and_then(|status| status.completion_time).map(drop))
    })
    .await?;
    // The plugin on a pool without GPUs makes none.
    create(&pods, agent("plugin-cpu", "system-0", json!({}), json!({"wbk-infra/simulates": "device-plugin"}))).await?;
    pods.delete("plugin", &DeleteParams::default()).await?;
    eventually("the GPUs to go", async || {
        let node = nodes.get("a100-0").await?;
        let capacity = node.status.as_ref().and_then(|status| status.capacity.as_ref()?.get(GPU).cloned());
        Ok((allocatable(&node, GPU).is_none() && capacity.is_none()).then_some(()))
    })
    .await?;
    eventually("the plugin pod to be gone", async || Ok(pods.get_opt("plugin").await?.is_none().then_some(()))).await?;
    assert_eq!(allocatable(&nodes.get("system-0").await?, GPU), None);

    // NFD's labels likewise.
    assert_eq!(nodes.get("a100-0").await?.labels().get(PCI), None);
    let labels = json!({"app.kubernetes.io/name": "node-feature-discovery", "role": "worker"});
    create(&pods, agent("nfd", "a100-0", labels, json!({}))).await?;
    eventually("NFD's labels", async || {
        Ok(nodes.get("a100-0").await?.labels().get(PCI).filter(|value| *value == "true").map(drop))
    })
    .await?;
    assert!(rig.converge(&wanted).await?.is_empty(), "NFD's labels are no drift");
    pods.delete("nfd", &DeleteParams::default()).await?;
    eventually("NFD's labels to go", async || {
        Ok((!nodes.get("a100-0").await?.labels().contains_key(PCI)).then_some(()))
    })
    .await?;

    // A pod whose image cannot be pulled says so and stays.
    let failing = agent("stuck", "system-1", json!({}), json!({"wbk-infra/simulate-failure": "ImagePullBackOff"}));
    create(&pods, failing).await?;
    eventually("the pod to wait with its reason", async || {
        let pod = pods.get("stuck").await?;
        let waiting = pod
            .status
            .iter()
            .flat_map(|status| status.container_statuses.iter().flatten())
            .find_map(|status| status.state.as_ref()?.waiting.as_ref()?.reason.clone());
        Ok(waiting.filter(|reason| reason == "ImagePullBackOff").map(drop))
    })
    .await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn drift_of_nodes_is_seen_field_by_field_and_mended() -> Result<()> {
    let rig = Rig::new()?;
    let mut wanted = wanted("drift", vec![cpu_pool("system", 3), gpu_pool("l4", 1), cpu_pool("none", 0)]);
    rig.converge(&wanted).await?;
    let client = rig.client("drift").await?;
    let nodes = Api::<Node>::all(client.clone());
    let by_hand = PatchParams::default();

    nodes.patch("system-0", &by_hand, &Patch::Merge(json!({"metadata": {"labels": {"team": "other"}}}))).await?;
    nodes.patch("l4-0", &by_hand, &Patch::Merge(json!({"spec": {"taints": null}}))).await?;
    nodes.delete("system-1", &DeleteParams::default()).await?;
    let seen = rig.provider.observe(&wanted).await;
    let paths: Vec<String> = seen
        .pools
        .values()
        .filter_map(Seen::present)
        .flat_map(|pool| pool.deviations.iter().map(|deviation| deviation.path.clone()))
        .collect();
    assert_eq!(
        paths,
        ["nodes[l4-0].taints[nvidia.com/gpu:NoSchedule]", "nodes[system-0].labels[team]", "nodes[system-1]"]
    );
    let stale = rig.provider.plan(&wanted, &seen);
    assert_eq!(rig.converge(&wanted).await?, ["Update node pool l4", "Update node pool system"]);
    assert_eq!(nodes.get("system-0").await?.labels().get("team").map(String::as_str), Some("research"));

    // What was planned on a world that moved changes nothing; where it is as wanted already, nothing is to be done.
    rig.provider.perform(&wanted, &stale[0], "t", &support::tell).await.map_err(support::chain)?;
    nodes.patch("l4-0", &by_hand, &Patch::Merge(json!({"metadata": {"labels": {"team": "x"}}}))).await?;
    let moved = rig.provider.perform(&wanted, &stale[0], "t", &support::tell).await.unwrap_err();
    assert_eq!(moved.hint.as_deref(), Some("plan again"));

    // In place: labels, shape and size; a removed label goes.
    let pool = wanted.pools.get_mut("system").context("the pool")?;
    pool.labels.clear();
    pool.shape.cpu_millis = 8000;
    pool.size.min = 4;
    rig.converge(&wanted).await?;
    let node = nodes.get("system-3").await?;
    assert_eq!(allocatable(&node, "cpu").as_deref(), Some("8"));
    eventually("the new shape on an old node", async || {
        Ok(allocatable(&nodes.get("system-0").await?, "cpu").filter(|cpu| cpu == "8").map(drop))
    })
    .await?;
    assert_eq!(nodes.get("system-0").await?.labels().get("team"), None);

    // A smaller pool names the Job pods that it stops.
    let jobs: Api<Job> = Api::namespaced(client.clone(), "default");
    let long = json!({
        "metadata": {"annotations": {"wbk-infra/simulate-duration": "1h"}},
        "spec": {
            "restartPolicy": "Never", "nodeSelector": {"kubernetes.io/hostname": "system-3"},
            "containers": [{"name": "c", "image": "i"}],
        },
    });
    create(&jobs, job("long", long)).await?;
    eventually("the Job to run", async || {
        let ready = jobs.get("long").await?.status.and_then(|status| status.ready);
        Ok(ready.filter(|ready| *ready == 1).map(drop))
    })
    .await?;
    wanted.pools.get_mut("system").context("the pool")?.size.min = 1;
    wanted.pools.remove("l4");
    let operations = rig.provider.plan(&wanted, &rig.provider.observe(&wanted).await);
    let of_system = operations.iter().find(|operation| operation.target.to_string().ends_with("system"));
    match &of_system.context("an update of the pool")?.disruption {
        Disruption::Stops(what) => assert!(what.contains("default/long-"), "{what}"),
        other => panic!("{other:?}"),
    }
    rig.converge(&wanted).await?;
    let left: Vec<String> = nodes.list(&Default::default()).await?.items.iter().map(ResourceExt::name_any).collect();
    assert_eq!(left, ["system-0"]);

    let operations = rig.provider.plan_destroy(&wanted, &rig.provider.observe(&wanted).await);
    for operation in &operations {
        rig.provider.perform(&wanted, operation, "t", &support::tell).await.map_err(support::chain)?;
    }
    assert!(rig.provider.leftovers(&wanted).await.is_empty());
    assert!(rig.provider.plan_destroy(&wanted, &rig.provider.observe(&wanted).await).is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stopped_cluster_is_started_before_its_pools_are_judged_and_the_simulator_may_die() -> Result<()> {
    let rig = Rig::new()?;
    let wanted = wanted("stopped", vec![gpu_pool("a100", 1)]);
    rig.converge(&wanted).await?;
    let client = rig.client("stopped").await?;
    let pods = Api::<Pod>::namespaced(client.clone(), "default");
    create(&pods, agent("plugin", "a100-0", json!({}), json!({"wbk-infra/simulates": "device-plugin"}))).await?;
    let nodes = Api::<Node>::all(client);
    eventually("the GPUs", async || Ok(allocatable(&nodes.get("a100-0").await?, GPU).map(drop))).await?;

    support::kill(rig.pid("stopped", wbk_provider_local::cluster::Component::Simulator)?);
    pods.delete("plugin", &DeleteParams::default().grace_period(0)).await?;
    assert_eq!(rig.converge(&wanted).await?, ["Start cluster stopped"]);
    eventually("the GPUs to go, though the simulator was dead when the plugin went", async || {
        Ok(allocatable(&nodes.get("a100-0").await?, GPU).is_none().then_some(()))
    })
    .await?;

    rig.clusters().stop("stopped", &support::tell).await?;
    let seen = rig.provider.observe(&wanted).await;
    assert!(matches!(seen.pools["a100"], Seen::Unknown(_)), "a pool that cannot be seen is not absent");
    assert!(rig.provider.access(&wanted).await.is_err());
    assert_eq!(rig.converge(&wanted).await?, ["Start cluster stopped"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn workloads_roll_out_scale_down_and_go_with_their_namespace() -> Result<()> {
    let rig = Rig::new()?;
    rig.converge(&wanted("work", vec![cpu_pool("system", 2)])).await?;
    let client = rig.client("work").await?;
    let namespaces = Api::<Namespace>::all(client.clone());
    create(&namespaces, json!({"metadata": {"name": "team"}})).await?;
    let (deployments, sets) =
        (Api::<Deployment>::namespaced(client.clone(), "team"), Api::<DaemonSet>::namespaced(client.clone(), "team"));
    let template = json!({
        "metadata": {"labels": {"app": "x"}},
        "spec": {
            "initContainers": [{"name": "first", "image": "i"}],
            "containers": [{"name": "c", "image": "i", "readinessProbe": {"httpGet": {"port": 80}}}],
        },
    });
    let selector = json!({"matchLabels": {"app": "x"}});
    create(
        &deployments,
        json!({"metadata": {"name": "web"}, "spec": {"replicas": 3, "selector": selector, "template": template}}),
    )
    .await?;
    create(&sets, json!({"metadata": {"name": "agent"}, "spec": {"selector": selector, "template": template}})).await?;
    let available = async |wanted: i32| -> Result<Option<()>> {
        let status = deployments.get("web").await?.status.unwrap_or_default();
        let same = status.available_replicas.unwrap_or(0) == wanted && status.replicas.unwrap_or(0) == wanted;
        Ok(same.then_some(()))
    };
    eventually("three replicas to be available", async || available(3).await).await?;
    eventually("an agent on each node", async || {
        Ok(sets.get("agent").await?.status.filter(|status| status.number_ready == 2).map(drop))
    })
    .await?;
    let one = json!({"spec": {"replicas": 1}});
    deployments.patch("web", &PatchParams::default(), &Patch::Merge(one)).await?;
    eventually("one replica to be left", async || available(1).await).await?;
    namespaces.delete("team", &DeleteParams::default()).await?;
    eventually("the namespace to be gone", async || Ok(namespaces.get_opt("team").await?.is_none().then_some(())))
        .await?;
    Ok(())
}

//! A real control plane: started, stopped, killed, repaired, deleted.

mod support;

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::Api;
use kube::api::PostParams;
use support::{Rig, kill, lives, tell};
use wbk_provider_local::LocalError;
use wbk_provider_local::cluster::Component;

async fn write(rig: &Rig, cluster: &str, name: &str) -> Result<()> {
    let api: Api<ConfigMap> = Api::namespaced(rig.client(cluster).await?, "default");
    let mut map = ConfigMap { data: Some(BTreeMap::from([("k".to_owned(), "v".to_owned())])), ..Default::default() };
    map.metadata.name = Some(name.into());
    api.create(&PostParams::default(), &map).await?;
    Ok(())
}

async fn has(rig: &Rig, cluster: &str, name: &str) -> Result<bool> {
    let api: Api<ConfigMap> = Api::namespaced(rig.client(cluster).await?, "default");
    Ok(api.get_opt(name).await?.is_some())
}

fn modes(path: &Path) -> Result<()> {
    let mode = |path: &Path| anyhow::Ok(std::fs::metadata(path)?.permissions().mode() & 0o777);
    for entry in std::fs::read_dir(path)? {
        let path = entry?.path();
        if path.is_dir() {
            assert_eq!(mode(&path)? & 0o077, 0, "{}", path.display());
            modes(&path)?;
        } else if path.components().any(|part| part.as_os_str() == "pki") || path.ends_with("kubeconfig") {
            assert_eq!(mode(&path)?, 0o600, "{}", path.display());
        }
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn it_comes_back_with_its_data_from_a_stop_and_from_a_kill_of_any_and_of_all() -> Result<()> {
    let rig = Rig::new()?;
    let clusters = rig.clusters();
    let started = std::time::Instant::now();
    let status = clusters.start("one", Some("1.36"), &tell).await?;
    eprintln!("first start with programs: {:?}", started.elapsed());
    assert!(status.is_running());
    assert!(status.version.as_deref().is_some_and(|version| version.starts_with("1.36.")), "{:?}", status.version);
    let memory: u64 = status.components.iter().filter_map(|component| component.resident_bytes).sum();
    eprintln!("memory: {} MB: {:?}", memory / 1_000_000, status.components);
    modes(&rig.state)?;
    no_secrets_in_arguments(&rig, "one")?;
    write(&rig, "one", "before-stop").await?;

    // Started again it is the same, and nothing is restarted.
    let again = clusters.start("one", None, &tell).await?;
    let pids = |status: &wbk_provider_local::cluster::ClusterStatus| {
        status.components.iter().map(|component| component.pid).collect::<Vec<_>>()
    };
    assert_eq!(pids(&again), pids(&status));

    clusters.stop("one", &tell).await?;
    clusters.stop("one", &tell).await?;
    let stopped = clusters.status("one")?.context("a stopped cluster is there")?;
    assert!(stopped.is_stopped());
    assert!(pids(&status).into_iter().flatten().all(|pid| !lives(pid)));

    let started = std::time::Instant::now();
    clusters.start("one", None, &tell).await?;
    eprintln!("second start: {:?}", started.elapsed());
    assert!(has(&rig, "one", "before-stop").await?);

    for component in Component::ALL {
        let pid = rig.pid("one", component)?;
        kill(pid);
        support::eventually("the process to be gone", async || Ok((!lives(pid)).then_some(()))).await?;
        assert_eq!(clusters.status("one")?.context("there")?.pid(component), None);
        clusters.start("one", None, &tell).await.with_context(|| format!("after the death of {component}"))?;
        assert_ne!(rig.pid("one", component)?, pid);
        write(&rig, "one", &format!("after-{component}")).await?;
    }
    for component in Component::ALL {
        kill(rig.pid("one", component)?);
    }
    clusters.start("one", None, &tell).await?;
    assert!(has(&rig, "one", "before-stop").await? && has(&rig, "one", "after-simulator").await?);

    let pids = pids(&clusters.status("one")?.context("there")?);
    clusters.delete("one", &tell).await?;
    clusters.delete("one", &tell).await?;
    assert!(pids.into_iter().flatten().all(|pid| !lives(pid)));
    assert!(clusters.status("one")?.is_none() && clusters.list()?.is_empty());
    assert!(clusters.leftovers("one")?.is_empty());
    assert_eq!(std::fs::read_dir(rig.state.join("clusters"))?.count(), 0);
    Ok(())
}

fn no_secrets_in_arguments(rig: &Rig, cluster: &str) -> Result<()> {
    for component in Component::ALL {
        let line = std::fs::read_to_string(format!("/proc/{}/cmdline", rig.pid(cluster, component)?))?;
        assert!(!line.contains("PRIVATE") && !line.contains("token="), "{component}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn two_clusters_live_side_by_side_and_know_nothing_of_each_other() -> Result<()> {
    let rig = Rig::with(|settings| settings.audit = true)?;
    let clusters = rig.clusters();
    let (left, right) = tokio::join!(clusters.start("left", None, &tell), clusters.start("right", None, &tell));
    let (left, right) = (left?, right?);
    assert_ne!(left.server, right.server);
    write(&rig, "left", "mine").await?;
    assert!(!has(&rig, "right", "mine").await?);
    let names: Vec<String> = clusters.list()?.into_iter().map(|status| status.name).collect();
    assert_eq!(names, ["left", "right"]);
    let audit = std::fs::read_to_string(clusters.audit_path("left")?)?;
    assert!(audit.contains("/api/v1/namespaces/default/configmaps"), "the audit log has the request");

    // The administrator of one is nobody in the other.
    let mut access = clusters.access("left")?;
    let other = clusters.access("right")?;
    access.kubeconfig.clusters = other.kubeconfig.clusters.clone();
    access.kubeconfig.clusters[0].name = access.kubeconfig.contexts[0].context.clone().context("a context")?.cluster;
    let mut config = kube::Config::from_custom_kubeconfig(access.kubeconfig, &Default::default()).await?;
    config.proxy_url = None;
    let stranger: Api<ConfigMap> = Api::namespaced(kube::Client::try_from(config)?, "default");
    assert!(stranger.list(&Default::default()).await.is_err());

    clusters.delete("left", &tell).await?;
    assert!(clusters.status("right")?.context("the other stays")?.is_running());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_half_created_cluster_is_finished_and_a_port_that_was_taken_is_changed() -> Result<()> {
    let rig = Rig::new()?;
    let clusters = rig.clusters();
    let directory = rig.state.join("clusters/half");
    std::fs::create_dir_all(directory.join("pki"))?;
    std::fs::write(directory.join("pki/ca.key"), "not a key, and its certificate was never written")?;
    assert!(clusters.status("half")?.is_none(), "nothing is in it yet");
    let first = clusters.start("half", None, &tell).await?;
    clusters.stop("half", &tell).await?;

    let taken = std::net::TcpListener::bind(first.server.trim_start_matches("https://"))?;
    // A process record with the pid of somebody else: never taken for ours, never killed.
    std::fs::create_dir_all(directory.join("run"))?;
    let foreign = format!("{{\"pid\": {}, \"started\": \"x\"}}", std::process::id());
    std::fs::write(directory.join("run/kube-scheduler.json"), foreign)?;
    let second = clusters.start("half", None, &tell).await?;
    assert_ne!(first.server, second.server);
    assert!(second.is_running());
    drop(taken);
    write(&rig, "half", "works").await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_process_without_a_record_is_found_again_and_two_starts_at_once_make_one_cluster() -> Result<()> {
    let rig = Rig::new()?;
    let clusters = rig.clusters();
    let (one, two) = tokio::join!(clusters.start("twice", None, &tell), clusters.start("twice", None, &tell));
    let (one, two) = (one?, two?);
    assert_eq!(one.id, two.id);
    // As if killed between the start of the process and its record.
    std::fs::remove_dir_all(rig.state.join("clusters/twice/run"))?;
    let found = clusters.start("twice", None, &tell).await?;
    for (before, after) in one.components.iter().zip(&found.components) {
        assert_eq!(before.pid, after.pid, "{}", before.component);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_that_is_cut_off_at_any_moment_is_finished_by_the_next() -> Result<()> {
    let rig = Rig::new()?;
    let clusters = rig.clusters();
    for milliseconds in [1, 60, 250, 700, 1500, 2500] {
        // Dropped in the middle, as by a kill: nothing is cleaned up.
        let cut = std::time::Duration::from_millis(milliseconds);
        let _ended = tokio::time::timeout(cut, clusters.start("cut", None, &|_| {})).await;
        let status = clusters.start("cut", None, &|_| {}).await.with_context(|| format!("after {milliseconds} ms"))?;
        assert!(status.is_running());
        write(&rig, "cut", &format!("after-{milliseconds}")).await?;
        clusters.stop("cut", &|_| {}).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_is_refused_with_a_reason() -> Result<()> {
    let rig = Rig::new()?;
    let clusters = rig.clusters();
    let version = clusters.start("old", Some("1.29"), &tell).await.unwrap_err();
    assert!(matches!(&version, LocalError::Version { available, .. } if available == "1.36"), "{version}");
    assert!(clusters.status("old")?.is_none(), "nothing is left behind");
    assert!(matches!(clusters.start("../x", None, &tell).await, Err(LocalError::Name { .. })));
    assert!(matches!(clusters.stop("none", &tell).await, Err(LocalError::NoCluster { .. })));
    assert!(matches!(clusters.access("none"), Err(LocalError::NoCluster { .. })));
    Ok(())
}

//! A helm that misbehaves: too old, killed, hanging, babbling.

use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::json;
use wbk_infra::helm::{
    Cancel, ClusterAccess, Conflicts, Helm, HelmError, HelmSettings, InstallOptions, LocalChart, Ownership,
    RollbackOptions, Wait,
};
use wbk_infra::id::{Digest, ReleaseId};
use wbk_provider_api::LeftBehind;

fn settings(home: &Path, environment: &[(&str, &str)]) -> HelmSettings {
    let mut all: Vec<_> = environment.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    all.push(("PATH".into(), "/usr/bin:/bin".into()));
    HelmSettings {
        program: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/support/fake-helm.sh"),
        home: home.join("home"),
        environment: all,
        registry_config: None,
        deadline: Duration::from_secs(20),
        grace: Duration::from_secs(10),
        cancel: Cancel::never(),
    }
}

fn release() -> ReleaseId {
    ReleaseId { namespace: "ns".into(), name: "rel".into() }
}

fn cluster() -> ClusterAccess {
    ClusterAccess { kubeconfig: "/nonexistent".into(), context: Some("ctx".into()) }
}

fn chart(folder: &Path) -> LocalChart {
    std::fs::create_dir_all(folder.join("chart")).unwrap();
    std::fs::write(folder.join("chart/Chart.yaml"), "name: c").unwrap();
    LocalChart::open(&folder.join("chart")).unwrap()
}

async fn install(helm: &Helm, chart: &LocalChart, deadline: Duration) -> Result<(), HelmError> {
    let inputs = Digest::of_bytes(b"inputs");
    let options = InstallOptions {
        blueprint: "research",
        inputs: &inputs,
        wait: Wait::HooksOnly,
        conflicts: Conflicts::Take,
        ownership: Ownership::Respect,
        deadline,
    };
    let values = json!({"token": "canary-in-values"});
    helm.install_or_upgrade(&cluster(), &release(), chart, &values, options).await.map(|_| ())
}

async fn open(environment: &[(&str, &str)]) -> Result<Helm, HelmError> {
    let home = tempfile::tempdir().unwrap();
    Helm::open(settings(home.path(), environment)).await
}

#[tokio::test]
async fn a_helm_that_will_not_do_is_refused_with_the_reason() {
    let said = |result: Result<Helm, HelmError>| result.unwrap_err();
    let error = said(open(&[("FAKE_HELM_VERSION", "v3.13.3")]).await);
    assert!(error.to_string().contains("helm 3.13.3") && error.to_string().contains("3.14.0 or newer"), "{error}");
    assert!(matches!(said(open(&[("FAKE_HELM_VERSION", "v2.17.0")]).await), HelmError::TooOld { .. }));
    assert!(matches!(said(open(&[("FAKE_HELM_VERSION", "v5.0.0")]).await), HelmError::UnknownMajor { .. }));
    assert!(matches!(said(open(&[]).await), HelmError::NotHelm { .. }));
    assert!(matches!(said(open(&[("FAKE_HELM", "killed")]).await), HelmError::Killed { signal: 9, .. }));
    for error in [said(open(&[]).await), said(open(&[("FAKE_HELM", "killed")]).await)] {
        assert!(error.hint().is_some(), "{error}");
        assert_eq!(error.left(), LeftBehind::Nothing);
    }
    assert!(open(&[("FAKE_HELM_VERSION", "v3.14.0")]).await.is_ok());
}

#[tokio::test]
async fn a_helm_that_is_not_there_is_said_to_be_missing() {
    let home = tempfile::tempdir().unwrap();
    let mut settings = settings(home.path(), &[]);
    settings.program = "/nonexistent/helm".into();
    assert!(matches!(Helm::open(settings.clone()).await, Err(HelmError::NotFound { .. })));
    settings.program = home.path().to_owned();
    assert!(matches!(Helm::open(settings).await, Err(HelmError::CannotStart { .. })));
}

#[tokio::test]
async fn a_version_once_asked_for_is_remembered() {
    let home = tempfile::tempdir().unwrap();
    Helm::open(settings(home.path(), &[("FAKE_HELM_VERSION", "v4.2.4")])).await.unwrap();
    let helm = Helm::open(settings(home.path(), &[("FAKE_HELM", "killed")])).await.unwrap();
    assert_eq!(helm.version().to_string(), "4.2.4");
}

#[tokio::test]
async fn a_helm_that_hangs_is_interrupted_at_the_deadline() {
    let home = tempfile::tempdir().unwrap();
    let chart = chart(home.path());
    for (mode, forced) in [("hang", false), ("stubborn", true)] {
        let mut settings = settings(home.path(), &[("FAKE_HELM_VERSION", "v4.2.4"), ("FAKE_HELM", mode)]);
        settings.grace = if forced { Duration::from_millis(300) } else { Duration::from_secs(10) };
        let helm = Helm::open(settings).await.unwrap();
        let error = install(&helm, &chart, Duration::from_millis(500)).await.unwrap_err();
        assert!(matches!(error, HelmError::TimedOut { by_force, .. } if by_force == forced), "{error:?}");
        // Whether it changed something, only the release's record can tell.
        assert_eq!(error.left(), LeftBehind::Unknown);
    }
}

#[tokio::test]
async fn a_caller_that_gives_up_interrupts_it() {
    let home = tempfile::tempdir().unwrap();
    let chart = chart(home.path());
    let (handle, cancel) = Cancel::pair();
    let mut settings = settings(home.path(), &[("FAKE_HELM_VERSION", "v4.2.4"), ("FAKE_HELM", "hang")]);
    settings.cancel = cancel;
    let helm = Helm::open(settings).await.unwrap();
    handle.cancel();
    let error = install(&helm, &chart, Duration::from_secs(60)).await.unwrap_err();
    assert!(matches!(error, HelmError::Cancelled { by_force: false, .. }), "{error:?}");
}

#[tokio::test]
async fn a_failure_carries_exit_status_arguments_and_the_last_twenty_lines() {
    let home = tempfile::tempdir().unwrap();
    let chart = chart(home.path());
    let helm =
        Helm::open(settings(home.path(), &[("FAKE_HELM_VERSION", "v4.2.4"), ("FAKE_HELM", "fails")])).await.unwrap();
    let error = install(&helm, &chart, Duration::from_secs(20)).await.unwrap_err();
    assert!(
        error.to_string().starts_with("helm failed to install or upgrade release ns/rel (exit status 7):\nline 10\n")
    );
    let HelmError::Failed { code: 7, args, stderr, .. } = &error else { panic!("{error:?}") };
    assert_eq!(stderr.lines().count(), 20);
    assert_eq!(args[..3], ["upgrade", "--install", "rel"]);
    assert!(!format!("{error:?} {error}").contains("canary"), "{error:?}");
}

#[tokio::test]
async fn output_that_is_not_what_was_asked_for_is_an_error() {
    let home = tempfile::tempdir().unwrap();
    let chart = chart(home.path());
    let helm =
        Helm::open(settings(home.path(), &[("FAKE_HELM_VERSION", "v4.2.4"), ("FAKE_HELM", "broken")])).await.unwrap();
    let error = install(&helm, &chart, Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(error, HelmError::Output { .. }), "{error:?}");
    // It ended well, so that the change was made.
    assert_eq!(error.left(), LeftBehind::Unknown);
}

/// Runs an install and gives what helm was given: arguments, environment and files.
async fn given(version: &str) -> String {
    let home = tempfile::tempdir().unwrap();
    let chart = chart(home.path());
    let log = home.path().join("log");
    let answer = r#"{"version": 3, "info": {"status": "deployed"}, "config": {}}"#;
    let environment = [
        ("FAKE_HELM_VERSION", version),
        ("FAKE_HELM", "prints"),
        ("FAKE_HELM_PRINTS", answer),
        ("FAKE_HELM_LOG", log.to_str().unwrap()),
    ];
    let helm = Helm::open(settings(home.path(), &environment)).await.unwrap();
    install(&helm, &chart, Duration::from_secs(300)).await.unwrap();
    let options = RollbackOptions { to: 2, conflicts: Conflicts::Take, deadline: Duration::from_secs(300) };
    helm.rollback(&cluster(), &release(), options).await.unwrap();
    // The file with the values is gone as soon as helm is.
    assert_eq!(std::fs::read_dir(home.path().join("home/values")).unwrap().count(), 0);
    let text = std::fs::read_to_string(log).unwrap();
    text.replace(home.path().to_str().unwrap(), "HOME")
}

#[tokio::test]
async fn values_travel_in_a_private_file_and_never_in_arguments() {
    let given = given("v4.2.4").await;
    let args: Vec<&str> = given.lines().filter(|line| line.starts_with("args: ")).collect();
    assert!(args.iter().all(|line| !line.contains("canary")), "{args:?}");
    let file = given.lines().find(|line| line.starts_with("file ")).unwrap();
    assert!(file.contains("mode 600") && file.contains("canary-in-values"), "{file}");
}

#[tokio::test]
async fn every_flag_of_both_majors_is_as_meant() {
    for (version, forced) in [("v4.2.4", " --server-side=true --wait=hookOnly --force-conflicts"), ("v3.17.2", "")] {
        let given = given(version).await;
        let args: Vec<&str> = given.lines().filter_map(|line| line.strip_prefix("args: ")).collect();
        let values = args[1].split_whitespace().find(|word| word.ends_with(".yaml")).unwrap();
        let digest = &Digest::of_bytes(b"inputs").0[..40];
        assert_eq!(
            args[1],
            format!(
                "upgrade --install rel HOME/chart --namespace ns --values {values} --reset-values \
                 --labels wbk-infra/blueprint=research,wbk-infra/digest={digest} --history-max 10 --output json \
                 --timeout=290s{forced} --kube-context ctx"
            )
        );
        assert_eq!(
            args[2],
            format!("rollback rel 2 --timeout=290s --namespace ns --history-max 10{forced} --kube-context ctx")
        );
    }
}

#[tokio::test]
async fn its_environment_is_what_it_is_given_and_ours() {
    let given = given("v4.2.4").await;
    let environment: Vec<&str> = given
        .lines()
        .skip_while(|line| !line.starts_with("args: upgrade"))
        .skip(1)
        .take_while(|line| !line.starts_with("file "))
        .filter(|line| !line.starts_with("FAKE_") && !line.starts_with("PWD=") && !line.starts_with("_="))
        .collect();
    assert_eq!(
        environment,
        [
            "HELM_CACHE_HOME=HOME/home/cache",
            "HELM_CONFIG_HOME=HOME/home/config",
            "HELM_DATA_HOME=HOME/home/data",
            "HELM_DRIVER=secret",
            "HELM_NO_PLUGINS=1",
            "KUBECONFIG=/nonexistent",
            "LC_ALL=C",
            "PATH=/usr/bin:/bin",
        ]
    );
}

#[tokio::test]
async fn a_chart_that_moved_is_not_installed() {
    let home = tempfile::tempdir().unwrap();
    let chart = chart(home.path());
    let helm =
        Helm::open(settings(home.path(), &[("FAKE_HELM_VERSION", "v4.2.4"), ("FAKE_HELM", "hang")])).await.unwrap();
    std::fs::write(home.path().join("chart/values.yaml"), "new: 1").unwrap();
    let error = install(&helm, &chart, Duration::from_secs(20)).await.unwrap_err();
    assert!(matches!(error, HelmError::ChartMoved { .. }), "{error:?}");
    assert_eq!(error.left(), LeftBehind::Nothing);
}

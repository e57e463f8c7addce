//! Our own charts, and rendering with a real helm.

use std::os::unix::fs::PermissionsExt as _;
use std::process::Command;

use serde_json::{Value, json};
use wbk_infra::helm::{Helm, HelmError, HelmSettings, RenderCache, Rendered, SecretValues};

use super::{real_helm, render, repository_file, support, write_chart};

const CHART: &str = "apiVersion: v2\nname: t\nversion: 0.1.0\n";

fn object<'a>(rendered: &'a Rendered, id: &str) -> &'a Value {
    let found = rendered.objects.iter().find(|(found, _)| found.to_string() == id);
    &found.unwrap_or_else(|| panic!("no {id} in {rendered:?}")).1
}

#[tokio::test]
async fn every_chart_of_ours_lints_and_renders() {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let mut count = 0;
    for entry in std::fs::read_dir(repository_file("charts")).unwrap() {
        let chart = entry.unwrap().path();
        if !chart.is_dir() {
            continue;
        }
        count += 1;
        // A chart that cannot do without values has some to be tested with.
        let name = chart.file_name().unwrap().to_string_lossy().into_owned();
        let own = repository_file(&format!("tests/helm/values/{name}.yaml"));
        let values = std::fs::read_to_string(own).unwrap_or_else(|_| "{}".into());
        let file = home.path().join("values.yaml");
        std::fs::write(&file, &values).unwrap();
        let mut lint = Command::new(support::helm_program());
        let lint = lint.args(["lint", "--strict", "--values"]).arg(&file).arg(&chart).output().unwrap();
        assert!(lint.status.success(), "{}", String::from_utf8_lossy(&lint.stdout));
        let values = wbk_infra::blueprint::read_values(&values, "values.yaml").unwrap().to_json();
        let rendered = render(&helm, &chart, &values, SecretValues::Shown, &RenderCache::none()).await.unwrap();
        assert!(!rendered.objects.is_empty());
        assert!(rendered.stability.is_exact(), "{:?}", rendered.stability);
    }
    assert!(count > 0);
}

#[tokio::test]
async fn team_tools_comes_out_as_its_values_say() {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let values = json!({
        "replicas": 3,
        "tolerations": [{"key": "nvidia.com/gpu", "operator": "Exists"}],
        "settings": {"LIMIT": 1_000_000, "MODE": "yes"},
        "podDisruptionBudget": {"enabled": true},
    });
    let chart = repository_file("charts/team-tools");
    let rendered = render(&helm, &chart, &values, SecretValues::Shown, &RenderCache::none()).await.unwrap();
    let ids: Vec<_> = rendered.objects.iter().map(|(id, _)| id.to_string()).collect();
    assert_eq!(
        ids,
        ["ConfigMap ns/rel", "ServiceAccount ns/rel", "Deployment.apps ns/rel", "PodDisruptionBudget.policy ns/rel"]
    );
    assert_eq!(object(&rendered, "ConfigMap ns/rel")["data"], json!({"LIMIT": "1000000", "MODE": "yes"}));
    let spec = &object(&rendered, "Deployment.apps ns/rel")["spec"];
    assert_eq!(spec["replicas"], 3);
    let pod = &spec["template"]["spec"];
    assert_eq!(pod["tolerations"][0]["key"], "nvidia.com/gpu");
    // What Pod Security "restricted" asks for.
    assert_eq!(pod["securityContext"]["runAsNonRoot"], true);
    assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault");
    let container = &pod["containers"][0];
    assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false);
    assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]));
    // A namespace with a quota refuses pods without them.
    assert!(container["resources"]["limits"]["memory"].is_string());
}

#[tokio::test]
async fn values_that_the_schema_refuses_are_named() {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let values = json!({"replicas": "many", "image": {"repository": "x", "tagg": "canary"}});
    let chart = repository_file("charts/team-tools");
    let error = render(&helm, &chart, &values, SecretValues::Shown, &RenderCache::none()).await.unwrap_err();
    assert!(matches!(error, HelmError::Render { .. }), "{error:?}");
    let text = error.to_string();
    assert!(text.contains("replicas") && text.contains("tagg") && !text.contains("canary"), "{text}");
}

#[tokio::test]
async fn a_chart_that_does_not_render_says_where() {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let folder = home.path().join("t");
    let template = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: {{ .Values.a.b }}\n";
    write_chart(&folder, &[("Chart.yaml", CHART), ("templates/map.yaml", template)]);
    let error = render(&helm, &folder, &json!({}), SecretValues::Shown, &RenderCache::none()).await.unwrap_err();
    let HelmError::Render { at: Some(at), .. } = &error else { panic!("{error:?}") };
    assert!(at.starts_with("t/templates/map.yaml:4:"), "{at}");
    assert!(!error.to_string().contains("--debug"), "{error}");
}

#[tokio::test]
async fn a_missing_dependency_has_a_hint() {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let folder = home.path().join("t");
    let chart = format!("{CHART}dependencies: [{{name: z, version: 1.0.0, repository: 'https://example.com'}}]\n");
    write_chart(&folder, &[("Chart.yaml", &chart)]);
    let error = render(&helm, &folder, &json!({}), SecretValues::Shown, &RenderCache::none()).await.unwrap_err();
    assert!(error.hint().unwrap().contains("helm dependency build"), "{error}");
}

#[tokio::test]
async fn a_chart_that_renders_differently_each_time_is_found_out() {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let folder = home.path().join("t");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {p: {{ randAlphaNum 12 }}}\n";
    let map = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: m}\ndata: {k: v}\n";
    let looks = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: l}\ndata: {k: '{{ len (lookup \"v1\" \"Pod\" \"\" \"\") }}'}\n";
    write_chart(&folder, &[("Chart.yaml", CHART), ("templates/s.yaml", secret), ("templates/m.yaml", map)]);
    let cache = RenderCache::none();
    let one = render(&helm, &folder, &json!({}), SecretValues::Withheld, &cache).await.unwrap();
    let two = render(&helm, &folder, &json!({}), SecretValues::Withheld, &cache).await.unwrap();
    assert_eq!(one.stability.unstable.iter().map(ToString::to_string).collect::<Vec<_>>(), ["Secret ns/s"]);
    assert_eq!(one.digest, two.digest);
    assert!(!one.stability.reads_cluster);

    write_chart(&folder, &[("templates/l.yaml", looks)]);
    let three = render(&helm, &folder, &json!({}), SecretValues::Withheld, &cache).await.unwrap();
    assert!(three.stability.reads_cluster);
}

#[tokio::test]
async fn a_render_is_kept_privately_without_secrets_and_saves_the_next_helm() {
    let home = tempfile::tempdir().unwrap();
    let helm = real_helm(home.path()).await;
    let folder = home.path().join("t");
    let secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: s}\nstringData: {p: {{ .Values.p }}}\n";
    let hook = "apiVersion: v1\nkind: Secret\nmetadata: {name: h, annotations: {helm.sh/hook: pre-install}}\nstringData: {p: {{ .Values.p }}}\n";
    write_chart(&folder, &[("Chart.yaml", CHART), ("templates/s.yaml", secret), ("templates/h.yaml", hook)]);
    let kept = home.path().join("renders");
    let cache = RenderCache::in_folder(kept.clone());
    let values = json!({"p": "canary-value"});
    let first = render(&helm, &folder, &values, SecretValues::Withheld, &cache).await.unwrap();

    let files: Vec<_> = std::fs::read_dir(&kept).unwrap().map(|entry| entry.unwrap().path()).collect();
    assert_eq!(files.len(), 1);
    assert_eq!(std::fs::metadata(&files[0]).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!std::fs::read_to_string(&files[0]).unwrap().contains("canary"));

    // A helm that cannot be started any more is not missed.
    let gone = Helm::open(HelmSettings {
        program: repository_file("tests/support/fake-helm.sh"),
        home: home.path().join("other"),
        environment: vec![
            ("FAKE_HELM_VERSION".into(), format!("v{}", helm.version()).into()),
            ("PATH".into(), "/usr/bin:/bin".into()),
        ],
        registry_config: None,
        deadline: std::time::Duration::from_secs(20),
        grace: std::time::Duration::from_secs(1),
        cancel: wbk_infra::helm::Cancel::never(),
    })
    .await
    .unwrap();
    let second = render(&gone, &folder, &values, SecretValues::Withheld, &cache).await.unwrap();
    assert!(first == second);
    // The values of Secrets are not in the cache, and helm is asked.
    assert!(render(&gone, &folder, &values, SecretValues::Shown, &cache).await.is_err());
    let shown = render(&helm, &folder, &values, SecretValues::Shown, &cache).await.unwrap();
    assert_eq!(object(&shown, "Secret ns/s")["stringData"]["p"], "canary-value");
    // Other values are another render.
    assert!(render(&gone, &folder, &json!({"p": "x"}), SecretValues::Withheld, &cache).await.is_err());
}

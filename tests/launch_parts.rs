//! What agents and jobs of W&B Launch get beside nodes, on a real control plane with real helm: certificates of an authority of our own,
//! a proxy, credentials of registries and of git, environment, files and volumes; and W&B's own chart in place of this program's.

mod support;

use base64::Engine as _;
use serde_json::{Value, json};
use support::home::{Home, Run};
use support::tls::Tls;
use wbk_fake_wandb::{Config, Entity, FakeWandb};

const BLUEPRINT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/blueprints/launch-local.yaml");
/// W&B's chart itself, for who has it: a folder. A stand-in of ours is used otherwise.
const CHART_VARIABLE: &str = "WBK_INFRA_TEST_WANDB_CHART";

/// Every secret of this test: in no output, and in no Secret but its own.
const SECRETS: [(&str, &str); 5] = [
    ("PROXY_URL", "http://me:canary-proxy@proxy.example.com:3128"),
    ("GHCR", "canary-ghcr"),
    ("GH_TOKEN", "canary-git"),
    ("HF", "canary-hf"),
    ("TEAM", "canary-team"),
];

struct Bench {
    home: Home,
    server: FakeWandb,
    files: Vec<String>,
}

impl Bench {
    fn new() -> Self {
        let entities = vec![Entity::team("my-team")];
        let server = FakeWandb::start(Config { entities, ..Config::default() }).unwrap();
        Self { home: Home::new(), server, files: vec![BLUEPRINT.to_owned()] }
    }

    fn overlay(&mut self, name: &str, text: &str) {
        self.files.push(self.home.write(name, text).to_str().unwrap().to_owned());
    }

    fn run(&self, arguments: &[&str]) -> Run {
        let mut all = vec![arguments[0]];
        for file in &self.files {
            all.extend(["-f", file]);
        }
        all.extend(&arguments[1..]);
        let mut command = self.home.command(&all);
        let run = Home::finish(command.env("WANDB_API_KEY", self.server.key()).envs(SECRETS));
        assert!(!run.all().contains("canary-"), "a secret is printed:\n{}", run.all());
        run
    }

    fn get(&self, path: &[&str]) -> Value {
        let run = self.home.kubectl("launch-local", &[&["get", "-o", "json"], path].concat()).expect(0);
        serde_json::from_str(&run.stdout).unwrap()
    }

    fn kubectl(&self, arguments: &[&str]) -> Run {
        self.home.kubectl("launch-local", arguments)
    }
}

fn decoded(secret: &Value, key: &str) -> String {
    let text = secret["data"][key].as_str().unwrap_or_else(|| panic!("no {key} in {}", secret["metadata"]["name"]));
    String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).unwrap()).unwrap()
}

fn variable<'a>(container: &'a Value, name: &str) -> &'a Value {
    let env = container["env"].as_array().unwrap();
    let mut of_name = env.iter().filter(|entry| entry["name"] == name);
    let found = of_name.next().unwrap_or_else(|| panic!("no {name} in {env:#?}"));
    assert!(of_name.next().is_none(), "{name} is there twice");
    found
}

/// A class and a volume by hand: the local provider makes none, and binds those that are there.
const VOLUME: &str = "
storageClasses:
  - {name: by-hand, provisioner: kubernetes.io/no-provisioner}
objects:
  - apiVersion: v1
    kind: PersistentVolume
    metadata: {name: datasets}
    spec:
      capacity: {storage: 1Gi}
      accessModes: [ReadOnlyMany]
      storageClassName: by-hand
      nfs: {server: nfs.example.com, path: /datasets}
";

#[test]
fn certificates_proxies_credentials_and_volumes_reach_agents_and_jobs() {
    let mut bench = Bench::new();
    let plain = bench.server.url().trim_start_matches("http://").parse().unwrap();
    let tls = Tls::before(plain);
    bench.home.write("corp-ca.pem", &tls.authority);
    bench.home.write("key.json", "canary-key\n");
    bench
        .home
        .write("deploy-key", "-----BEGIN OPENSSH PRIVATE KEY-----\ncanary-ssh\n-----END OPENSSH PRIVATE KEY-----\n");
    bench.overlay("address.yaml", &format!("launch: {{baseUrl: 'https://{}'}}\n", tls.address));

    // An authority that nobody knows: W&B was not seen, and nothing is built on what it may say.
    let plan = bench.run(&["plan"]).expect(0);
    assert!(plan.stdout.contains("cannot be asked"), "{}", plan.all());
    bench.overlay("no-ca.yaml", "launch: {caBundle: {file: deploy-key}}\n");
    let refused = bench.run(&["plan"]).expect(1);
    assert!(refused.stderr.contains("private key") || refused.stderr.contains("no certificate"), "{}", refused.all());
    bench.files.pop();

    bench.overlay("volume.yaml", VOLUME);
    bench.overlay(
        "parts.yaml",
        "
namespaces:
  - name: wandb-jobs
    storage: [{name: datasets, size: 1Gi, access: ReadOnlyMany, class: by-hand}]
    secrets: [{name: team, keys: {token: {env: TEAM}}}]
    identities: [{serviceAccount: default, imagePullSecrets: [other]}]
launch:
  caBundle: {file: corp-ca.pem}
  proxy:
    http: http://proxy.example.com:3128
    https: {env: PROXY_URL}
    noProxy: [.corp.example]
  registries:
    - {server: ghcr.io, username: bot, password: {env: GHCR}}
  agents:
    - name: main
      builder: {type: kaniko, destination: ghcr.io/team/jobs, contextStore: 's3://bucket/builds'}
      git:
        - {host: github.com, password: {env: GH_TOKEN}}
        - {host: git.example.com, key: {file: deploy-key}, knownHosts: ['git.example.com ssh-ed25519 AAAA']}
  queues:
    - name: l4
      env: {NCCL_DEBUG: INFO, HF_TOKEN: {env: HF}, SHARED: {secret: wandb-jobs/team/token}}
      files: {/etc/gcp/key.json: {file: key.json}}
      volumes: [{claim: datasets, path: /data, readOnly: true}]
",
    );
    let applied = bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    assert!(applied.all().contains("launch queue l4"), "{}", applied.all());
    bench.run(&["plan", "--exit-code"]).expect(0);
    bench.run(&["drift"]).expect(0);

    for namespace in ["wandb", "wandb-jobs"] {
        let bundle = bench.get(&["-n", namespace, "configmap", "wandb-ca"]);
        assert_eq!(bundle["data"]["ca.crt"].as_str().unwrap().trim(), tls.authority.trim());
        let proxy = bench.get(&["-n", namespace, "secret", "wandb-proxy"]);
        assert_eq!(decoded(&proxy, "HTTPS_PROXY"), SECRETS[0].1);
        let registries = bench.get(&["-n", namespace, "secret", "wandb-registries"]);
        assert_eq!(registries["type"], "kubernetes.io/dockerconfigjson");
        let config: Value = serde_json::from_str(&decoded(&registries, ".dockerconfigjson")).unwrap();
        let login = base64::engine::general_purpose::STANDARD.encode("bot:canary-ghcr");
        assert_eq!(config["auths"]["ghcr.io"]["auth"], login);
    }
    let account = bench.get(&["-n", "wandb-jobs", "serviceaccount", "default"]);
    assert_eq!(account["imagePullSecrets"], json!([{"name": "other"}, {"name": "wandb-registries"}]));

    // The agent: the same variables, its own credentials, and no secret in what Helm keeps.
    let agent = bench.get(&["-n", "wandb", "deployment", "launch-main"]);
    let pod = &agent["spec"]["template"]["spec"];
    let container = &pod["containers"][0];
    for name in ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "GIT_SSL_CAINFO"] {
        assert_eq!(variable(container, name)["value"], "/etc/wbk-infra/ca/ca.crt");
    }
    assert_eq!(variable(container, "HTTPS_PROXY")["valueFrom"]["secretKeyRef"]["name"], "wandb-proxy");
    let direct = variable(container, "NO_PROXY")["value"].as_str().unwrap();
    assert!(direct.starts_with("$(KUBERNETES_SERVICE_HOST),.svc,") && direct.ends_with(",.corp.example"), "{direct}");
    assert_eq!(variable(container, "WANDB_LAUNCH_KANIKO_AUTH_SECRET")["value"], "wandb-registries");
    assert_eq!(variable(container, "GIT_SSH_COMMAND")["value"], "ssh -F /etc/wbk-infra/git/config/ssh_config");
    assert_eq!(pod["imagePullSecrets"], json!([{"name": "wandb-registries"}]));
    let key = decoded(&bench.get(&["-n", "wandb", "secret", "launch-main-git"]), "git.example.com.key");
    assert!(key.ends_with("-----END OPENSSH PRIVATE KEY-----\n"), "ssh takes no key without its last line's end");
    let git = bench.get(&["-n", "wandb", "configmap", "launch-main-git"]);
    assert!(git["data"]["gitconfig"].as_str().unwrap().contains("[credential \"https://github.com\"]"));
    let volumes = pod["volumes"].as_array().unwrap();
    let config = volumes.iter().find(|volume| volume["name"] == "launch-config").unwrap();
    let config = bench.get(&["-n", "wandb", "configmap", config["configMap"]["name"].as_str().unwrap()]);
    assert_eq!(config["immutable"], true, "an agent follows no edit");
    let config = config["data"]["launch-config.yaml"].as_str().unwrap();
    assert!(config.contains("name: wandb-ca") && config.contains("HTTPS_PROXY"), "builds get them too: {config}");

    // A Job as an agent makes it of the queue: the scheduler finds a node for it, and its claim a volume.
    let rendered = bench.run(&["render", "-o", "json"]).expect(0);
    let desired: Value = serde_json::from_str(&rendered.stdout).unwrap();
    let queues = desired["launch"]["queues"].as_array().unwrap();
    let job = &queues.iter().find(|queue| queue["name"] == "l4").unwrap()["job"];
    let container = &job["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(variable(container, "NCCL_DEBUG")["value"], "INFO");
    let of = |name: &str| &variable(container, name)["valueFrom"]["secretKeyRef"];
    assert_eq!(of("HF_TOKEN"), &json!({"name": "launch-queue-l4", "key": "HF_TOKEN"}));
    assert_eq!(of("SHARED"), &json!({"name": "team", "key": "token"}), "one of the jobs' own namespace is not copied");
    let file = bench.home.write("job.json", &job.to_string());
    bench.kubectl(&["apply", "-f", file.to_str().unwrap()]).expect(0);
    let begun = std::time::Instant::now();
    let pod = loop {
        let pods = bench.get(&["-n", "wandb-jobs", "pods", "-l", "wbk-infra/launch-queue=l4"]);
        let pod = &pods["items"][0];
        if pod["spec"]["nodeName"].is_string() {
            break pod.clone();
        }
        assert!(begun.elapsed().as_secs() < 120, "{:#}", pod["status"]);
        std::thread::sleep(std::time::Duration::from_millis(500));
    };
    assert_eq!(pod["spec"]["imagePullSecrets"], json!([{"name": "other"}, {"name": "wandb-registries"}]));
    let own = bench.get(&["-n", "wandb-jobs", "secret", "launch-queue-l4"]);
    assert_eq!(decoded(&own, "file.etc.gcp.key.json"), "canary-key");

    let verify = |code: i32| -> Vec<Value> {
        let run = bench.run(&["verify", "-o", "json", "--only", "launch"]).expect(code);
        let report: Value = serde_json::from_str(&run.stdout).unwrap();
        report["checks"].as_array().unwrap().clone()
    };
    let outcome = |checks: &[Value], id: &str| {
        let check = checks.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no {id} in {checks:#?}"));
        format!("{}: {}", check["outcome"], check["evidence"]["measured"])
    };
    let checks = verify(0);
    for id in ["launch.key", "launch.job/l4", "launch.mounts/l4", "launch.mounts/a100", "launch.rights/main"] {
        assert!(outcome(&checks, id).starts_with("\"pass\""), "{id}: {}", outcome(&checks, id));
    }
    // Somebody takes one of them away: the pods of new jobs would hang, and W&B would say nothing.
    bench.kubectl(&["-n", "wandb-jobs", "delete", "configmap", "wandb-ca"]).expect(0);
    let checks = verify(5);
    assert!(outcome(&checks, "launch.mounts/l4").contains("there is no ConfigMap wandb-ca"), "{checks:#?}");
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);

    // A value that changed is seen, and nothing else is.
    let plan = bench.run(&["plan", "--exit-code"]).expect(0);
    assert!(!plan.stdout.contains("wandb-registries"), "{}", plan.all());
    // A claim goes when no pod holds it any more.
    bench
        .kubectl(&["-n", "wandb-jobs", "delete", "jobs", "--all", "--cascade=foreground", "--wait", "--timeout=120s"])
        .expect(0);
    bench.run(&["destroy", "--yes", "--delete", "all"]).expect(0);
}

/// The parts of W&B's chart 0.13.12 that its values reach, in words of our own: names, the unquoted variable, the literal text.
const STAND_IN: &str = r#"apiVersion: v1
kind: ServiceAccount
metadata: {name: wandb-launch-serviceaccount-{{ .Release.Name }}, namespace: {{ .Values.namespace }}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: wandb-launch-configmap-{{ .Release.Name }}, namespace: {{ .Values.namespace }}}
data:
  wandb-base-url: {{ .Values.baseUrl }}
  launch-config.yaml: |
    {{ required "launchConfig" .Values.launchConfig | nindent 4 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: wandb-job-creator-{{ .Release.Name }}}
rules:
  - {apiGroups: [""], resources: [pods, pods/log, secrets], verbs: [create, get, watch, list, update, delete, patch]}
  - {apiGroups: [batch], resources: [jobs, jobs/status], verbs: [create, get, watch, list, update, delete, patch]}
{{- range uniq (append .Values.additionalTargetNamespaces .Values.namespace) }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: wandb-launch-cluster-role-binding-{{ $.Release.Name }}, namespace: {{ . }}}
subjects: [{kind: ServiceAccount, name: wandb-launch-serviceaccount-{{ $.Release.Name }}, namespace: {{ $.Values.namespace }}}]
roleRef: {kind: ClusterRole, name: wandb-job-creator-{{ $.Release.Name }}, apiGroup: rbac.authorization.k8s.io}
{{- end }}
{{- if not .Values.agent.useExternalWandbSecret }}{{ fail "the key would be a value" }}{{ end }}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: launch-agent-{{ .Release.Name }}, namespace: {{ .Values.namespace }}}
spec:
  selector: {matchLabels: {app: launch-agent-{{ .Release.Name }}}}
  template:
    metadata: {labels: {app: launch-agent-{{ .Release.Name }}, {{ range $k, $v := .Values.agent.labels }}{{ $k }}: {{ $v }}{{ end }}}}
    spec:
      serviceAccountName: wandb-launch-serviceaccount-{{ .Release.Name }}
      containers:
        - name: launch-agent
          image: {{ .Values.agent.image }}
          securityContext: {allowPrivilegeEscalation: false, runAsNonRoot: true, runAsUser: 1000, capabilities: {drop: [ALL]}, seccompProfile: {type: RuntimeDefault}}
          env:
            - {name: WANDB_API_KEY, valueFrom: {secretKeyRef: {name: wandb-api-key-{{ .Release.Name }}, key: password}}}
            {{- range .Values.additionalEnvVars }}
            - name: {{ .name }}
              value: {{ .value }}
            {{- end }}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: launch-agent-{{ .Release.Name }}}
spec:
  minAvailable: {{ .Values.agent.minAvailable }}
  selector: {matchLabels: {app: launch-agent-{{ .Release.Name }}}}
"#;

#[test]
fn wandbs_own_chart_runs_an_agent_and_the_plan_says_what_it_breaks() {
    let mut bench = Bench::new();
    let chart = match std::env::var(CHART_VARIABLE) {
        Ok(folder) => folder,
        Err(_) => {
            let head = "apiVersion: v2\nname: launch-agent\nversion: 0.13.12\n";
            bench.home.write("chart/Chart.yaml", head);
            bench.home.write("chart/templates/all.yaml", STAND_IN);
            bench.home.work().join("chart").display().to_string()
        }
    };
    let agent = format!(
        "launch: {{baseUrl: '{}', proxy: {{https: 'http://proxy.example.com:3128'}}, agents: [{{name: main, chart: {{from: {chart}}}, env: {{DEBUG: \"false\", ONE: \"1\"}}}}]}}\n",
        bench.server.url()
    );
    bench.overlay("agent.yaml", &agent);
    let plan = bench.run(&["plan"]).expect(0);
    assert!(plan.stdout.contains("read and change every Secret, pod and Job in wandb, wandb-jobs"), "{}", plan.all());
    bench.run(&["apply", "--yes", "--no-verify"]).expect(0);
    bench.run(&["plan", "--exit-code"]).expect(0);
    let agent = bench.get(&["-n", "wandb", "deployment", "launch-agent-launch-main"]);
    let container = &agent["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(variable(container, "DEBUG")["value"], "false");
    assert_eq!(variable(container, "ONE")["value"], "1");
    assert!(variable(container, "NO_PROXY")["value"].as_str().unwrap().starts_with("$(KUBERNETES_SERVICE_HOST)"));
    assert_eq!(container["image"], "wandb/launch-agent:0.31.0");
    let config = bench.get(&["-n", "wandb", "configmap", "wandb-launch-configmap-launch-main"]);
    let text = config["data"]["launch-config.yaml"].as_str().unwrap();
    assert!(text.contains("max_jobs: 10") && text.contains("- a100"), "{text}");
    let budget = bench.get(&["-n", "wandb", "poddisruptionbudget", "launch-agent-launch-main"]);
    assert_eq!(budget["spec"]["minAvailable"], 0);
    // Its account has what an agent uses; what it has beyond that is said and no fault of the platform.
    let checked = bench.run(&["verify", "-o", "json", "--only", "launch"]).expect(0);
    assert!(checked.stdout.contains("W&B's chart grants"), "{}", checked.all());
    let mut status = bench.home.command(&["launch", "status", "-o", "json"]);
    for file in &bench.files {
        status.args(["-f", file]);
    }
    let board = Home::finish(status.env("WANDB_API_KEY", bench.server.key())).expect(0);
    let board: Value = serde_json::from_str(&board.stdout).unwrap();
    assert!(
        board["agents"][0]["pod"].as_str().is_some_and(|pod| pod.contains("launch-agent-launch-main")),
        "{board:#}"
    );
}

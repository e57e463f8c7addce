//! The chart that looks after a fleet from inside a cluster: installed by a real helm on a real control plane, its Jobs made by the real
//! Job controller; each index' command run as a process with the files, variables and arguments that its pod has; and what the
//! identity in its kubeconfigs needs, held against the audit log of the clusters that it looks at (docs/fleet-runner.md).

mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use base64::Engine as _;
use serde_json::{Value, json};
use support::assets;
use support::home::{Home, Run};
use wbk_provider_local::assets::Program;

const CLUSTERS: [&str; 3] = ["east", "west", "north"];
const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/fleet-runner");
const DOCS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/fleet-runner.md");
/// Longest that a condition is waited for: tests run while others compile.
const PATIENCE: Duration = Duration::from_secs(180);

/// What every cluster of the fleet shall have.
const OBJECTS: &str = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: one, namespace: team}\ndata: {a: \"1\"}\n";

fn local(name: &str) -> String {
    format!(
        "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: {name}}}\ncluster: {{provider: local}}\n\
         nodePools: [{{name: system, shape: {{cpu: 8, memory: 16Gi}}}}]\n"
    )
}

/// As the pods find it: the kubeconfig is beside the folder of the files.
fn existing(name: &str) -> String {
    format!(
        "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: of-{name}}}\n\
         cluster: {{provider: existing, kubeconfig: ../kubeconfigs/{name}/kubeconfig}}\n\
         namespaces: [{{name: team, quota: {{pods: 10}}}}]\nobjects: [one.yaml]\n"
    )
}

fn helm(home: &Home, arguments: &[&str]) -> Run {
    let mut command = Command::new(assets::program(Program::Helm));
    command.args(arguments).env("HOME", home.work()).env("KUBECONFIG", home.kubeconfig("east"));
    Home::finish(&mut command)
}

fn get(home: &Home, cluster: &str, arguments: &[&str]) -> Value {
    let all = [&["get", "-o", "json"], arguments].concat();
    serde_json::from_str(&home.kubectl(cluster, &all).expect(0).stdout).expect("JSON")
}

/// The rights that docs/fleet-runner.md tells: (group, resource, verb).
fn told_rights() -> BTreeSet<(String, String, String)> {
    let text = std::fs::read_to_string(DOCS).expect("the documentation");
    let table = text.split("<!-- measured -->").nth(1).and_then(|rest| rest.split("<!-- end -->").next());
    let rows = table.expect("a table between its marks").lines().filter(|line| line.starts_with("| `"));
    let mut rights = BTreeSet::new();
    for row in rows {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let kind = cells[1].trim_matches('`');
        let (group, resource) = kind.rsplit_once('/').unwrap_or(("", kind));
        for verb in cells[2].split(',').map(str::trim) {
            rights.insert((group.to_owned(), resource.to_owned(), verb.to_owned()));
        }
    }
    assert!(!rights.is_empty());
    rights
}

/// Somebody with these rights and no others, and the kubeconfig of it.
fn identity(home: &Home, (cluster, account): (&str, &str), rights: &BTreeSet<(String, String, String)>) -> String {
    let rules: Vec<Value> = rights
        .iter()
        .map(|(group, resource, verb)| json!({"apiGroups": [group], "resources": [resource], "verbs": [verb]}))
        .collect();
    let list = json!({"apiVersion": "v1", "kind": "List", "items": [
        {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": account, "namespace": "kube-public"}},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": {"name": account}, "rules": rules},
        {"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": {"name": account},
            "subjects": [{"kind": "ServiceAccount", "name": account, "namespace": "kube-public"}],
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": account}}]});
    let file = home.write(&format!("{account}-{cluster}.json"), &list.to_string());
    home.kubectl(cluster, &["apply", "-f", file.to_str().expect("a path")]).expect(0);
    let token = home.kubectl(cluster, &["-n", "kube-public", "create", "token", account]).expect(0).stdout;
    let text = std::fs::read_to_string(home.kubeconfig(cluster)).expect("a kubeconfig");
    let mut config: Value = serde_json::from_str(&text).expect("this tool writes JSON, which is YAML");
    config["users"][0]["user"] = json!({"token": token.trim()});
    config.to_string()
}

/// What the identity asked for, by the audit log: rights with whether one of their requests was refused.
fn asked(home: &Home, cluster: &str) -> BTreeMap<(String, String, String), bool> {
    let log = home.state().join("clusters").join(cluster).join("logs/audit.log");
    let text = std::fs::read_to_string(&log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let mut rights = BTreeMap::new();
    for line in text.lines() {
        // The last line may be half written.
        let Ok(event) = serde_json::from_str::<Value>(line) else { continue };
        if event["user"]["username"] != "system:serviceaccount:kube-public:fleet-runner"
            || event["stage"] != "ResponseComplete"
        {
            continue;
        }
        let text = |pointer: &str| event.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let resource = match (text("/objectRef/resource"), text("/objectRef/subresource")) {
            // Discovery, which everybody may.
            (resource, _) if resource.is_empty() => continue,
            (resource, sub) if sub.is_empty() => resource,
            (resource, sub) => format!("{resource}/{sub}"),
        };
        // Whom am I: also everybody's.
        if resource.starts_with("self") {
            continue;
        }
        let refused = event["responseStatus"]["code"] == 403;
        *rights.entry((text("/objectRef/apiGroup"), resource, text("/verb"))).or_insert(false) |= refused;
    }
    rights
}

/// A pod's container, run here: its files in a folder that stands for its root, its arguments and variables as the kubelet makes them.
struct Container {
    root: PathBuf,
    pod: Value,
}

impl Container {
    /// Lays out what the pod mounts.
    fn of(home: &Home, pod: &Value) -> Self {
        let root = home.work().join(format!("root-{}", pod["metadata"]["name"].as_str().expect("a name")));
        let spec = &pod["spec"];
        for mount in spec["containers"][0]["volumeMounts"].as_array().expect("mounts") {
            let place = root.join(mount["mountPath"].as_str().expect("a path").trim_start_matches('/'));
            std::fs::create_dir_all(&place).expect("a folder");
            let volume =
                spec["volumes"].as_array().expect("volumes").iter().find(|volume| volume["name"] == mount["name"]);
            let volume = volume.expect("a mount has a volume");
            let (kind, name) = match (&volume["configMap"]["name"], &volume["secret"]["secretName"]) {
                (Value::String(name), _) => ("configmap", name),
                (_, Value::String(name)) => ("secret", name),
                _ => continue,
            };
            for (file, content) in get(home, "east", &["-n", "fleet", kind, name])["data"].as_object().expect("data") {
                let content = content.as_str().expect("text").as_bytes();
                let engine = base64::engine::general_purpose::STANDARD;
                let bytes = if kind == "secret" { engine.decode(content).expect("base64") } else { content.to_vec() };
                std::fs::write(place.join(file), bytes).expect("a file");
            }
        }
        std::fs::create_dir_all(root.join("dev")).expect("a folder");
        Self { root, pod: pod.clone() }
    }

    /// Runs it to its end.
    fn run(&self) -> Run {
        let container = &self.pod["spec"]["containers"][0];
        assert_eq!(container["command"], json!(["wbk-infra"]));
        let index =
            self.pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].as_str().expect("an index");
        let mut variables: BTreeMap<String, String> = BTreeMap::new();
        for variable in container["env"].as_array().expect("variables") {
            let name = variable["name"].as_str().expect("a name").to_owned();
            let value = match (&variable["value"], &variable["valueFrom"]["fieldRef"]["fieldPath"]) {
                (Value::String(value), _) => value.clone(),
                // The Job controller's own.
                (_, Value::String(path)) if path.contains("job-completion-index") => index.to_owned(),
                other => panic!("{other:?}"),
            };
            variables.insert(name, value);
        }
        assert!(variables.contains_key("JOB_COMPLETION_INDEX"), "{variables:?}");
        let mut command = Command::new(env!("CARGO_BIN_EXE_wbk-infra"));
        command.current_dir(&self.root).env_clear();
        for (name, value) in &variables {
            command.env(name, self.here(value));
        }
        for argument in container["args"].as_array().expect("arguments") {
            let mut argument = argument.as_str().expect("text").to_owned();
            for (name, value) in &variables {
                argument = argument.replace(&format!("$({name})"), value);
            }
            command.arg(self.here(&argument));
        }
        Home::finish(&mut command)
    }

    /// A path of the container as it is here.
    fn here(&self, text: &str) -> String {
        let mut text = text.to_owned();
        for top in ["/source", "/state", "/scratch", "/kubeconfigs", "/dev"] {
            text = text.replace(top, self.root.join(&top[1..]).to_str().expect("a path"));
        }
        text
    }

    fn termination_message(&self) -> String {
        std::fs::read_to_string(self.root.join("dev/termination-log")).expect("the table")
    }
}

/// The pods of a Job by index, once the Job is done; nodes are simulated, so that each of them succeeds.
fn pods(home: &Home, cronjob: &str, job: &str) -> Vec<Value> {
    home.kubectl("east", &["-n", "fleet", "create", "job", &format!("--from=cronjob/{cronjob}"), job]).expect(0);
    let began = Instant::now();
    loop {
        let found = get(home, "east", &["-n", "fleet", "job", job]);
        if found["status"]["completedIndexes"] == "0-2" {
            break;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{found:#}\n{}",
            home.kubectl("east", &["-n", "fleet", "get", "events"]).stdout
        );
        std::thread::sleep(Duration::from_millis(200));
    }
    let selector = format!("batch.kubernetes.io/job-name={job}");
    let list = get(home, "east", &["-n", "fleet", "pods", "-l", &selector]);
    let mut pods = list["items"].as_array().expect("pods").clone();
    let index = |pod: &Value| pod["metadata"]["annotations"]["batch.kubernetes.io/job-completion-index"].to_string();
    pods.sort_by_key(index);
    assert_eq!(pods.len(), 3, "{list:#}");
    pods
}

#[test]
fn each_index_of_its_job_looks_after_its_cluster_with_no_right_too_many() {
    let home = Home::new();
    for name in CLUSTERS {
        home.write(&format!("{name}.yaml"), &local(name));
        let file = format!("{name}.yaml");
        let mut command = home.command(&["apply", &file, "--yes", "--no-verify"]);
        Home::finish(command.env("WBK_INFRA_AUDIT", "1")).expect(0);
    }

    // What the fleet shall be, applied by an administrator.
    let files = CLUSTERS.map(|name| (format!("{name}.yaml"), existing(name)));
    let mut files: BTreeMap<String, String> = files.into_iter().collect();
    let entries = CLUSTERS.map(|name| format!("  - {{name: {name}, blueprint: {name}.yaml}}\n")).concat();
    let fleet = format!("apiVersion: wbk-infra/v1\nkind: Fleet\nmetadata: {{name: all}}\nclusters:\n{entries}");
    files.insert("fleet.yaml".into(), fleet);
    files.insert("one.yaml".into(), OBJECTS.into());
    for (name, text) in &files {
        home.write(&format!("admin/source/{name}"), text);
    }
    for name in CLUSTERS {
        let text = std::fs::read_to_string(home.kubeconfig(name)).expect("a kubeconfig");
        home.write(&format!("admin/kubeconfigs/{name}/kubeconfig"), &text);
    }
    home.run(&["fleet", "apply", "admin/source/fleet.yaml", "--yes", "--no-verify"]).expect(0);

    // The chart in one of them, with kubeconfigs of somebody who may what the documentation tells.
    let rights = told_rights();
    home.kubectl("east", &["create", "namespace", "fleet"]).expect(0);
    for name in CLUSTERS {
        let file = home.write(&format!("{name}.kubeconfig"), &identity(&home, (name, "fleet-runner"), &rights));
        let from = format!("--from-file=kubeconfig={}", file.display());
        home.kubectl("east", &["-n", "fleet", "create", "secret", "generic", name, &from]).expect(0);
    }
    let values = json!({"image": "registry.example.com/wbk-infra:test", "fleet": {"parts": 3}, "source": {"files": files},
        "kubeconfigs": CLUSTERS, "drift": {"output": "json"}});
    let values = home.write("values.json", &values.to_string());
    let values = values.to_str().expect("a path");
    helm(&home, &["install", "runner", CHART, "--namespace", "fleet", "--values", values]).expect(0);

    // It has no rights where it runs, and no token.
    for what in [["list", "pods"], ["get", "secrets"], ["create", "configmaps"], ["get", "nodes"]] {
        let run =
            home.kubectl("east", &["auth", "can-i", "--as=system:serviceaccount:fleet:runner", what[0], what[1], "-A"]);
        assert_eq!(run.stdout.trim(), "no", "{what:?}");
    }
    let drift = pods(&home, "runner-drift", "now");
    for pod in &drift {
        assert!(!pod["spec"]["volumes"].to_string().contains("serviceAccountToken"), "{pod:#}");
    }

    // Nothing moved: each part has one cluster, and all of them are well.
    let told = |containers: &[Container]| -> Vec<(i32, String)> {
        containers
            .iter()
            .map(|container| {
                let run = container.run();
                let report: Value = serde_json::from_str(&run.stdout).unwrap_or_else(|_| panic!("{}", run.all()));
                let names: Vec<&str> = report["clusters"]
                    .as_array()
                    .expect("clusters")
                    .iter()
                    .filter_map(|one| one["name"].as_str())
                    .collect();
                assert_eq!(names.len(), 1, "{report:#}");
                (run.code, names[0].to_owned())
            })
            .collect()
    };
    let containers: Vec<Container> = drift.iter().map(|pod| Container::of(&home, pod)).collect();
    let all = |codes: [i32; 3]| -> Vec<(i32, String)> {
        codes.into_iter().zip(CLUSTERS).map(|(code, name)| (code, name.to_owned())).collect()
    };
    assert_eq!(told(&containers), all([0, 0, 0]));

    // Somebody deletes something in one, and changes something in another: their indexes fail with 3, for which no pod is tried again.
    home.kubectl("west", &["-n", "team", "delete", "configmap", "one"]).expect(0);
    let patch = r#"{"data":{"a":"2"}}"#;
    home.kubectl("north", &["-n", "team", "patch", "configmap", "one", "--type=merge", "-p", patch]).expect(0);
    assert_eq!(told(&containers), all([0, 3, 3]));

    // What is gone is asked for with a dry-run of its creation, for which the server wants `create`; its log calls it the patch that it is.
    let fewer = rights.iter().filter(|(_, _, verb)| verb != "create").cloned().collect();
    let kubeconfig = containers[1].root.join("kubeconfigs/west/kubeconfig");
    let usual = std::fs::read(&kubeconfig).expect("a kubeconfig");
    std::fs::write(&kubeconfig, identity(&home, ("west", "without-create"), &fewer)).expect("a file");
    let unseen = containers[1].run();
    assert!(unseen.code == 6 && unseen.stdout.contains("cannot create resource"), "{}", unseen.all());
    std::fs::write(&kubeconfig, usual).expect("a file");
    // What is gone stays gone however often somebody looks, and whoever could not see it in between.
    assert_eq!(told(&containers), all([0, 3, 3]));
    let message = containers[1].termination_message();
    assert!(
        message.contains("| west | pending |") && message.contains("ConfigMap team/one: the object is gone"),
        "{message}"
    );
    assert!(message.len() < 4096, "what a kubelet keeps of it");
    let policy = &get(&home, "east", &["-n", "fleet", "job", "now"])["spec"]["podFailurePolicy"]["rules"];
    let stops = policy.as_array().expect("rules").iter().find(|rule| rule["action"] == "FailIndex").expect("a rule");
    assert!(stops["onExitCodes"]["values"].as_array().expect("codes").contains(&json!(3)));

    // A plan, when somebody asks for it.
    let plans: Vec<Container> =
        pods(&home, "runner-plan", "plan-1").iter().map(|pod| Container::of(&home, pod)).collect();
    let codes: Vec<i32> = plans.iter().map(|plan| plan.run().code).collect();
    assert_eq!(codes, [0, 3, 3]);
    assert!(plans[1].termination_message().contains("1 to create"), "{}", plans[1].termination_message());

    // The rights that the documentation tells are those that were used, and none was missing.
    let mut used = BTreeSet::new();
    for name in CLUSTERS {
        for (right, refused) in asked(&home, name) {
            assert!(!refused, "{name}: {right:?} was refused");
            used.insert(right);
        }
    }
    assert_eq!(used, fewer, "docs/fleet-runner.md tells other rights than were used");
    assert!(Path::new(CHART).join("README.md").exists());
}

#[test]
fn a_source_in_git_is_cloned_as_the_chart_says() {
    let home = Home::new();
    let git = |folder: &Path, arguments: &[&str]| {
        let mut command = Command::new("git");
        command.args(["-c", "user.name=t", "-c", "user.email=t@example.com"]).args(arguments).current_dir(folder);
        Home::finish(command.env("HOME", home.work())).expect(0);
    };
    let repository = home.work().join("repository");
    std::fs::create_dir_all(repository.join("all")).expect("a folder");
    std::fs::write(repository.join("all/fleet.yaml"), "kind: Fleet\n").expect("a file");
    git(&repository, &["init", "--quiet", "--initial-branch=main"]);
    git(&repository, &["add", "."]);
    git(&repository, &["commit", "--quiet", "--message=first"]);
    let url = format!("file://{}", repository.display());
    let values = json!({"image": "i", "source": {"git": {"image": "g", "repository": url, "revision": "main", "directory": "all"}}});
    let values = home.write("values.json", &values.to_string());
    let mut command = Command::new(assets::program(Program::Helm));
    let rendered = Home::finish(command.args(["template", "runner", CHART, "--values"]).arg(values)).expect(0).stdout;
    let text = rendered.split("kind: CronJob").nth(1).expect("a CronJob");
    let document = format!("kind: CronJob{}", text.split("\n---").next().unwrap_or_default());
    let job = wbk_infra::blueprint::read_values(&document, "rendered.yaml").expect("YAML").to_json();
    let pod = &job["spec"]["jobTemplate"]["spec"]["template"]["spec"];
    let clone = &pod["initContainers"][0];
    assert_eq!(clone["command"], json!(["git"]));
    let arguments: Vec<String> = clone["args"]
        .as_array()
        .expect("arguments")
        .iter()
        .map(|argument| {
            argument.as_str().expect("text").replace("/source/", &format!("{}/source/", home.work().display()))
        })
        .collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    git(&home.work(), &arguments);
    // The program is told the file where the clone has it.
    let file = pod["containers"][0]["args"][2].as_str().expect("a path");
    assert_eq!(file, "/source/clone/all/fleet.yaml");
    assert!(home.work().join(&file[1..]).exists());
}

#[test]
fn what_the_chart_cannot_do_with_its_values_it_says() {
    let template = |more: &[&str]| {
        let mut command = Command::new(assets::program(Program::Helm));
        Home::finish(command.args(["template", "runner", CHART]).args(more))
    };
    for (values, told) in [
        ("source.configMap=a", "image: an image with wbk-infra and helm"),
        ("image=i", "source: give one of configMap, files and git, not 0 of them"),
        ("image=i,source.configMap=a,source.files.f=b", "not 2 of them"),
        ("image=i,source.files.f=b", "source.files has no fleet.yaml"),
        ("image=i,source.configMap=a,fleet.parts=0", "minimum"),
        ("image=i,source.configMap=a,kubeconfig=x", "kubeconfig"),
    ] {
        let run = template(&["--set", values]);
        assert!(run.code != 0 && run.stderr.contains(told), "{values}: {}", run.all());
    }
}

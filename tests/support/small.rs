//! A small platform with one thing of each sort: pool, namespace, quota, secret, account, kind, custom resource, chart.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use super::home::Home;

/// Its name, and its local cluster's.
pub const NAME: &str = "small";
/// The environment variable that its secret comes from.
pub const SECRET_VARIABLE: &str = "SMALL_TOKEN";
/// Longest that a condition is waited for: tests run while others compile.
pub const PATIENCE: Duration = Duration::from_secs(120);

/// What may go at a destroy that keeps cluster and namespace: a namespace takes Kubernetes five seconds to remove.
pub const CONTENTS: [&str; 4] = [
    "--delete",
    "CustomResourceDefinition.apiextensions.k8s.io widgets.example.com",
    "--delete",
    "Widget.example.com team/first",
];

/// Writes blueprint, chart and manifests into a home, with the value that the chart gets and the seconds that its hook runs
/// (0: it has none). Answers the blueprint's path.
pub fn write(home: &Home, value: &str, hook_seconds: u32) -> PathBuf {
    home.write("chart/Chart.yaml", "apiVersion: v2\nname: tools\nversion: 0.1.0\n");
    home.write("chart/values.yaml", "value: none\nhookSeconds: 0\n");
    home.write("chart/templates/tools.yaml", CHART);
    home.write("manifests/all.yaml", MANIFESTS);
    let blueprint = BLUEPRINT
        .replace("VALUE", value)
        .replace("HOOK", &hook_seconds.to_string())
        .replace("VARIABLE", SECRET_VARIABLE);
    home.write("small.yaml", &blueprint)
}

/// The program with the variable that the blueprint's secret refers to.
pub fn command(home: &Home, arguments: &[&str]) -> Command {
    let mut command = home.command(arguments);
    command.env(SECRET_VARIABLE, "a-token");
    command
}

/// Runs it to its end.
pub fn run(home: &Home, arguments: &[&str]) -> super::home::Run {
    Home::finish(&mut command(home, arguments))
}

/// A program under way, its output in files; killed when dropped.
pub struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
}

impl Running {
    /// Starts it.
    pub fn start(home: &Home, name: &str, command: &mut Command) -> Self {
        let stdout = home.write(&format!("{name}.stdout"), "");
        let stderr = home.write(&format!("{name}.stderr"), "");
        let open = |path: &PathBuf| std::fs::OpenOptions::new().append(true).open(path).expect("an output file");
        let child = command
            .stdin(Stdio::null())
            .stdout(open(&stdout))
            .stderr(open(&stderr))
            .spawn()
            .expect("the program starts");
        Self { child, stdout, stderr }
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Whether it still runs.
    pub fn is_running(&mut self) -> bool {
        self.child.try_wait().expect("a child can be asked").is_none()
    }

    /// Sends a signal to it alone.
    pub fn signal(&self, signal: rustix::process::Signal) {
        let pid = rustix::process::Pid::from_raw(i32::try_from(self.child.id()).expect("a pid")).expect("not 0");
        rustix::process::kill_process(pid, signal).expect("it can be signalled");
    }

    /// Kills it with SIGKILL and waits for its end.
    pub fn kill(mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        self.child.wait().expect("a child can be waited for");
    }

    /// What it printed until now.
    pub fn output(&self) -> (String, String) {
        let read = |path: &PathBuf| std::fs::read_to_string(path).expect("an output file");
        (read(&self.stdout), read(&self.stderr))
    }

    /// Waits for its end.
    pub fn finish(mut self) -> super::home::Run {
        let status = self.child.wait().expect("a child can be waited for");
        let (stdout, stderr) = self.output();
        super::home::Run { code: status.code().unwrap_or(-1), stdout, stderr }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended; either way it is gone afterwards.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until something holds.
///
/// # Panics
/// It does not within [`PATIENCE`].
pub fn until<T>(what: &str, mut condition: impl FnMut() -> Option<T>) -> T {
    let begun = Instant::now();
    loop {
        if let Some(found) = condition() {
            return found;
        }
        assert!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        std::thread::sleep(Duration::from_millis(1)); // Between two looks at a condition that has a deadline.
    }
}

const BLUEPRINT: &str = r#"apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: small}
cluster: {provider: local, version: "1.36"}
nodePools:
  - {name: cpu, shape: {cpu: 4, memory: 8Gi}, size: {min: 1, max: 1}}
scheduling:
  priorities: [{name: small-first, value: 10, description: First.}]
namespaces:
  - name: team
    quota: {cpu: 8, memory: 16Gi, pods: 20}
    defaults: {cpu: 100m, memory: 64Mi}
    secrets: [{name: token, keys: {value: {env: VARIABLE}}}]
    identities: [{serviceAccount: runner}]
    bindings: [{name: runner, serviceAccount: runner, clusterRole: view}]
charts:
  - {name: tools, namespace: team, chart: ./chart, values: {value: VALUE, hookSeconds: HOOK}}
objects: [manifests/*.yaml]
"#;

const CHART: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: tools}
data: {value: {{ .Values.value | quote }}}
{{- if .Values.hookSeconds }}
---
apiVersion: batch/v1
kind: Job
metadata:
  name: tools-hook
  annotations: {helm.sh/hook: "pre-install,pre-upgrade", helm.sh/hook-delete-policy: before-hook-creation}
spec:
  template:
    metadata: {annotations: {wbk-infra/simulate-duration: {{ .Values.hookSeconds }}s}}
    spec: {restartPolicy: Never, containers: [{name: hook, image: example.com/hook}]}
{{- end }}
"#;

const MANIFESTS: &str = r#"apiVersion: v1
kind: ConfigMap
metadata: {name: one, namespace: team}
data: {a: "1"}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: two, namespace: team}
data: {a: "2"}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: team}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: main, image: example.com/web}]}
---
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: widgets.example.com}
spec:
  group: example.com
  scope: Namespaced
  names: {plural: widgets, singular: widget, kind: Widget, listKind: WidgetList}
  versions:
    - name: v1
      served: true
      storage: true
      schema: {openAPIV3Schema: {type: object, properties: {spec: {type: object, properties: {size: {type: integer}}}}}}
---
apiVersion: example.com/v1
kind: Widget
metadata: {name: first, namespace: team}
spec: {size: 1}
"#;

//! `provider: existing` with every way a kubeconfig may lead to a cluster: certificates, a token, an exec plugin, a proxy; and
//! the refusal of another cluster behind the same context.

mod support;

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kube::config::Kubeconfig;
use serde_json::{Value, json};
use support::home::Home;

const BLUEPRINT: &str = "\
apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: guest}
cluster: {provider: existing, kubeconfig: KUBECONFIG}
namespaces:
  - name: guest-jobs
    quota: {cpu: 4, memory: 8Gi, pods: 10}
    defaults: {cpu: 100m, memory: 128Mi}
";

/// Two local clusters of one home, which play the clusters that somebody else made.
struct Clusters {
    home: Home,
}

impl Clusters {
    fn start() -> Self {
        let home = Home::new();
        for name in ["one", "two"] {
            let text = format!(
                "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: {name}}}\ncluster: {{provider: local, version: \"1.36\"}}\n"
            );
            let path = home.write(&format!("{name}.yaml"), &text);
            home.run(&["apply", path.to_str().unwrap(), "--yes", "--no-verify"]).expect(0);
        }
        Self { home }
    }

    /// The administrator's kubeconfig of a cluster, its context renamed.
    fn kubeconfig(&self, cluster: &str, context: &str) -> Value {
        let config = Kubeconfig::read_from(self.home.kubeconfig(cluster)).unwrap();
        let mut config = serde_json::to_value(config).unwrap();
        config["contexts"][0]["name"] = context.into();
        config["current-context"] = context.into();
        config
    }

    /// A token of an account with all rights.
    fn token(&self, cluster: &str) -> String {
        for arguments in [
            &["create", "serviceaccount", "deployer", "-n", "default"][..],
            &[
                "create",
                "clusterrolebinding",
                "deployer",
                "--clusterrole=cluster-admin",
                "--serviceaccount=default:deployer",
            ],
        ] {
            self.home.kubectl(cluster, arguments).expect(0);
        }
        let run = self.home.kubectl(cluster, &["create", "token", "deployer", "-n", "default"]).expect(0);
        run.stdout.trim().to_owned()
    }

    fn blueprint(&self, name: &str, kubeconfig: &Value) -> String {
        let config = self.home.write(&format!("{name}.kubeconfig"), &kubeconfig.to_string());
        let text = BLUEPRINT.replace("KUBECONFIG", config.to_str().unwrap());
        self.home.write(&format!("{name}-blueprint.yaml"), &text).to_str().unwrap().to_owned()
    }
}

#[test]
fn every_way_into_a_cluster_works_and_another_cluster_is_refused() {
    let clusters = Clusters::start();
    let home = &clusters.home;
    let certificate = clusters.kubeconfig("one", "work");

    let blueprint = clusters.blueprint("certificate", &certificate);
    let applied = home.run(&["apply", &blueprint, "--yes"]).expect(0);
    assert!(applied.stdout.contains("0 failed"), "{}", applied.all());

    let token = clusters.token("one");
    let mut by_token = certificate.clone();
    by_token["users"][0]["user"] = json!({ "token": token });
    let blueprint = clusters.blueprint("token", &by_token);
    let planned = home.run(&["plan", &blueprint, "--exit-code"]).expect(0);
    assert!(planned.stdout.contains("Nothing to do"), "{}", planned.all());

    let script = home.write(
        "credential",
        &format!(
            "#!/bin/sh\ncat <<'END'\n{}\nEND\n",
            json!({"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": token}})
        ),
    );
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut by_exec = certificate.clone();
    by_exec["users"][0]["user"] = json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": script, "interactiveMode": "Never",
    }});
    let blueprint = clusters.blueprint("exec", &by_exec);
    home.run(&["plan", &blueprint, "--exit-code"]).expect(0);

    let mut by_broken_exec = by_exec.clone();
    by_broken_exec["users"][0]["user"]["exec"]["command"] = home.work().join("no-such-plugin").to_str().unwrap().into();
    let blueprint = clusters.blueprint("broken-exec", &by_broken_exec);
    let refused = home.run(&["plan", &blueprint]).expect(1);
    assert!(refused.stderr.contains("hint:"), "{}", refused.all());

    let (proxy, served) = proxy();
    let mut by_proxy = certificate.clone();
    by_proxy["clusters"][0]["cluster"]["proxy-url"] = proxy.into();
    let blueprint = clusters.blueprint("proxy", &by_proxy);
    home.run(&["plan", &blueprint, "--exit-code"]).expect(0);
    assert!(served.load(Ordering::SeqCst) > 0, "nothing went through the proxy");

    // The same context, another cluster behind it.
    let elsewhere = clusters.kubeconfig("two", "work");
    let blueprint = clusters.blueprint("certificate", &elsewhere);
    let refused = home.run(&["apply", &blueprint, "--yes"]).expect(1);
    assert!(refused.stderr.contains("leads to another cluster"), "{}", refused.all());
    let found = home.kubectl("two", &["get", "namespace", "guest-jobs"]);
    assert_ne!(found.code, 0, "nothing may be made in the other cluster: {}", found.all());

    let unknown = home.run(&["plan", &blueprint, "--context", "nowhere"]).expect(1);
    assert!(unknown.stderr.contains("it has: work"), "{}", unknown.all());
    unreadable(home);
}

fn unreadable(home: &Home) {
    let config = home.write("broken.kubeconfig", "clusters: [\n");
    let text = BLUEPRINT.replace("KUBECONFIG", config.to_str().unwrap());
    let blueprint = home.write("broken-blueprint.yaml", &text);
    let refused = home.run(&["plan", path(&blueprint)]).expect(1);
    assert!(refused.stderr.contains("read the kubeconfig") && refused.stderr.contains("hint:"), "{}", refused.all());
}

fn path(path: &Path) -> &str {
    path.to_str().unwrap()
}

/// An HTTP proxy that only knows CONNECT, and how often it was asked.
fn proxy() -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let served = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&served);
    // It ends with the process; each connection has a thread that ends with it.
    std::thread::spawn(move || {
        for client in listener.incoming().flatten() {
            let count = Arc::clone(&count);
            std::thread::spawn(move || tunnel(client, &count));
        }
    });
    (address, served)
}

fn tunnel(mut client: TcpStream, served: &AtomicUsize) -> Option<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte).ok()?;
        head.push(byte[0]);
    }
    let head = String::from_utf8(head).ok()?;
    let target = head.strip_prefix("CONNECT ")?.split(' ').next()?.to_owned();
    let server = TcpStream::connect(target).ok()?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").ok()?;
    served.fetch_add(1, Ordering::SeqCst);
    let (mut from_client, mut to_server) = (client.try_clone().ok()?, server.try_clone().ok()?);
    let (mut from_server, mut to_client) = (server, client);
    std::thread::spawn(move || std::io::copy(&mut from_client, &mut to_server));
    std::io::copy(&mut from_server, &mut to_client).ok()?;
    Some(())
}

//! How AWS is reached, as the environment says: certificates, tries, proxies.

use std::io::{Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Command, Output};
use std::sync::mpsc;

use super::World;

#[path = "../support/tls.rs"]
mod tls;

impl World {
    /// Asks AWS whose credentials these are, which the policy of a blueprint that pins no account needs.
    fn asks(&self, file: &str, variables: &[(&str, &str)]) -> Output {
        let mut command = Command::new(env!("CARGO_BIN_EXE_wbk-infra"));
        command.args(["eks", "policy", file]).envs(self.stand.env()).env_remove("KUBECONFIG");
        command.env("XDG_STATE_HOME", self.home.path().join("state")).envs(variables.iter().copied());
        command.output().expect("the program runs")
    }
}

fn told(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// A server that fails every request, and tells of each.
fn failing() -> (String, mpsc::Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("an address").to_string();
    let (sender, came) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream: TcpStream = stream.expect("a connection");
            let mut bytes = [0; 4096];
            let Ok(length) = stream.read(&mut bytes) else { continue };
            let line = String::from_utf8_lossy(&bytes[..length]).lines().next().unwrap_or_default().to_owned();
            if sender.send(line).is_err() {
                return;
            }
            // Whoever hung up meanwhile needs no answer.
            let _ =
                stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\nconnection: close\r\n\r\n");
        }
    });
    (address, came)
}

#[test]
#[ignore = "needs the stand: scripts/eks-tests.sh"]
fn certificates_tries_and_proxies_are_those_of_the_environment() {
    let world = World::start();
    let blueprint = world.blueprint(str::to_owned);
    let file = blueprint.to_str().expect("UTF-8");
    let plain = world.stand.url().strip_prefix("http://").expect("http").parse().expect("an address");
    let front = tls::Tls::before(plain);
    let secure = format!("https://{}", front.address);
    let bundle = world.home.path().join("ca.pem");
    std::fs::write(&bundle, format!("# ours\n{}", front.authority)).expect("a file");
    let bundle = bundle.to_str().expect("UTF-8");

    // An authority that the machine does not know, and the one that the bundle names.
    let unknown = world.asks(file, &[("AWS_ENDPOINT_URL", &secure), ("AWS_MAX_ATTEMPTS", "1")]);
    assert_eq!(unknown.status.code(), Some(1), "{}", told(&unknown));
    assert!(told(&unknown).to_lowercase().contains("certificate"), "{}", told(&unknown));
    let known = world.asks(file, &[("AWS_ENDPOINT_URL", &secure), ("AWS_CA_BUNDLE", bundle)]);
    assert_eq!(known.status.code(), Some(0), "{}", told(&known));
    assert!(String::from_utf8_lossy(&known.stdout).contains("arn:aws:eks:us-west-2:123456789012:cluster/small"));

    // What says nothing that can be done is refused by its name.
    for (name, value, said) in [
        ("AWS_CA_BUNDLE", "/nonexistent/ca.pem", "/nonexistent/ca.pem"),
        ("AWS_CA_BUNDLE", file, "no certificate in PEM"),
        ("AWS_MAX_ATTEMPTS", "0", "AWS_MAX_ATTEMPTS"),
        ("AWS_RETRY_MODE", "hard", "AWS_RETRY_MODE"),
    ] {
        let refused = world.asks(file, &[(name, value)]);
        assert!(!refused.status.success() && told(&refused).contains(said), "{name}={value}: {}", told(&refused));
    }

    // As many tries as it says, in either mode.
    for (mode, tries) in [("standard", "2"), ("adaptive", "3")] {
        let (address, came) = failing();
        let endpoint = format!("http://{address}");
        let variables =
            [("AWS_ENDPOINT_URL", endpoint.as_str()), ("AWS_MAX_ATTEMPTS", tries), ("AWS_RETRY_MODE", mode)];
        assert_eq!(world.asks(file, &variables).status.code(), Some(1));
        assert_eq!(came.try_iter().count().to_string(), tries, "{mode}");
    }

    // Through the proxy, by name; and not where it is not to be used.
    let (proxy, came) = failing();
    let proxy = format!("http://{proxy}");
    let variables = [("AWS_ENDPOINT_URL", secure.as_str()), ("AWS_CA_BUNDLE", bundle), ("AWS_MAX_ATTEMPTS", "1")];
    let through = [&variables[..], &[("HTTPS_PROXY", &proxy)]].concat();
    assert_eq!(world.asks(file, &through).status.code(), Some(1));
    let line = came.try_iter().next().expect("the proxy was asked");
    assert_eq!(line, format!("CONNECT {} HTTP/1.1", front.address));
    let past = [&through[..], &[("NO_PROXY", "127.0.0.1")]].concat();
    assert_eq!(world.asks(file, &past).status.code(), Some(0));
}

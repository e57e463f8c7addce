//! An API server on a loopback port that misbehaves as it is told. It ends with its value.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// How it behaves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// Takes requests and never answers.
    Hangs,
    /// Answers 500 with a Status.
    Fails,
    /// Answers 200 with half a JSON document.
    Truncates,
    /// Answers 429 with `Retry-After: 1` this often, then well.
    Throttles(usize),
    /// Answers a page of HTML, as a proxy's log-in does.
    Html,
}

/// The server.
pub struct FakeApi {
    address: SocketAddr,
    stop: Arc<AtomicBool>,
    requests: Arc<Mutex<Vec<String>>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl FakeApi {
    /// Starts one.
    pub fn start(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a loopback port");
        let address = listener.local_addr().expect("an address");
        let stop = Arc::new(AtomicBool::new(false));
        let requests = Arc::new(Mutex::new(Vec::new()));
        let throttled = Arc::new(AtomicUsize::new(0));
        let (stopping, noted) = (Arc::clone(&stop), Arc::clone(&requests));
        let thread = std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if stopping.load(Ordering::SeqCst) {
                    return;
                }
                let (stopping, noted, throttled) = (Arc::clone(&stopping), Arc::clone(&noted), Arc::clone(&throttled));
                std::thread::spawn(move || serve(stream, manner, &stopping, &noted, &throttled));
            }
        });
        Self { address, stop, requests, thread: Some(thread) }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Requests that would have changed something.
    pub fn writes(&self) -> Vec<String> {
        let all = self.requests.lock().expect("no holder panics");
        all.iter().filter(|line| !line.starts_with("GET ")).cloned().collect()
    }

    /// All requests.
    pub fn count(&self) -> usize {
        self.requests.lock().expect("no holder panics").len()
    }
}

impl Drop for FakeApi {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        // Wakes the listener; it may be gone.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn serve(
    mut stream: TcpStream,
    manner: Manner,
    stop: &AtomicBool,
    requests: &Mutex<Vec<String>>,
    throttled: &AtomicUsize,
) {
    let Some((line, path)) = read_request(&stream) else { return };
    requests.lock().expect("no holder panics").push(line);
    let status = |code: u16, message: &str| {
        let body = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "message": message, "code": code});
        body.to_string()
    };
    let (code, headers, body) = match manner {
        Manner::Hangs => {
            while !stop.load(Ordering::SeqCst) {
                std::thread::sleep(Duration::from_millis(20)); // Until the test ends: that is its purpose.
            }
            return;
        }
        Manner::Fails => (500, "", status(500, "etcdserver: no leader")),
        Manner::Truncates => (200, "", r#"{"kind": "APIGroupDiscoveryList", "items": [{"metadata": "#.to_owned()),
        Manner::Html => (200, "Content-Type: text/html\r\n", "<html><title>Log in</title></html>".to_owned()),
        Manner::Throttles(times) if throttled.fetch_add(1, Ordering::SeqCst) < times => {
            (429, "Retry-After: 1\r\n", status(429, "too many requests"))
        }
        Manner::Throttles(_) => good(&path, &status),
    };
    let content_type = if headers.contains("Content-Type") { "" } else { "Content-Type: application/json\r\n" };
    // The client may have gone; that is its right.
    let _ = write!(
        stream,
        "HTTP/1.1 {code} Told\r\n{headers}{content_type}Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
}

fn read_request(stream: &TcpStream) -> Option<(String, String)> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut length = 0;
    loop {
        let mut header = String::new();
        if reader.read_line(&mut header).ok()? == 0 || header.trim().is_empty() {
            break;
        }
        if let Some(value) = header.to_ascii_lowercase().strip_prefix("content-length:") {
            length = value.trim().parse().ok()?;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    let path = line.split(' ').nth(1)?.to_owned();
    Some((line.trim().to_owned(), path))
}

/// An empty cluster that has Namespaces and ConfigMaps.
fn good(path: &str, status: &dyn Fn(u16, &str) -> String) -> (u16, &'static str, String) {
    let resource = |plural: &str, kind: &str, scope: &str| {
        serde_json::json!({
            "resource": plural, "responseKind": {"group": "", "version": "v1", "kind": kind}, "scope": scope,
            "singularResource": kind.to_lowercase(), "verbs": ["create", "delete", "get", "list", "patch", "update", "watch"],
        })
    };
    let body = match path.split('?').next().unwrap_or_default() {
        "/api" => serde_json::json!({
            "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
            "items": [{"metadata": {}, "versions": [{"version": "v1", "freshness": "Current", "resources": [
                resource("namespaces", "Namespace", "Cluster"), resource("configmaps", "ConfigMap", "Namespaced"),
            ]}]}],
        }),
        "/apis" => {
            serde_json::json!({"kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {}, "items": []})
        }
        "/version" => serde_json::json!({"major": "1", "minor": "36", "gitVersion": "v1.36.0"}),
        "/api/v1/namespaces/kube-system" => serde_json::json!({
            "kind": "PartialObjectMetadata", "apiVersion": "meta.k8s.io/v1",
            "metadata": {"name": "kube-system", "uid": "11111111-2222-3333-4444-555555555555", "resourceVersion": "1"},
        }),
        "/api/v1/namespaces" | "/api/v1/configmaps" => serde_json::json!({
            "kind": "PartialObjectMetadataList", "apiVersion": "meta.k8s.io/v1", "metadata": {"resourceVersion": "1"}, "items": [],
        }),
        _ => return (404, "", status(404, "not found")),
    };
    (200, "", body.to_string())
}

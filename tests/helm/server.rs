//! A web server on loopback: a classic chart repository, and just enough of the OCI distribution API to be pulled from.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::json;
use wbk_infra::id::Digest;

const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

/// What is served: path to media type and bytes.
type Pages = Arc<Mutex<BTreeMap<String, (String, Vec<u8>)>>>;

/// A server that ends with this value.
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    pages: Pages,
    requests: Arc<AtomicUsize>,
    end: Arc<AtomicBool>,
}

impl Server {
    /// Starts one with nothing to serve.
    pub fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let server = Self {
            address: listener.local_addr().unwrap(),
            pages: Pages::default(),
            requests: Arc::default(),
            end: Arc::default(),
        };
        let (pages, requests, end) = (server.pages.clone(), server.requests.clone(), server.end.clone());
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if end.load(Ordering::SeqCst) {
                    return;
                }
                requests.fetch_add(1, Ordering::SeqCst);
                // A client that hangs up is no concern of a test's server.
                let _ = answer(stream.unwrap(), &pages);
            }
        });
        server
    }

    /// How many requests came so far.
    pub fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    /// Serves bytes at a path.
    pub fn put(&self, path: &str, media_type: &str, bytes: &[u8]) {
        self.pages.lock().unwrap().insert(path.to_owned(), (media_type.to_owned(), bytes.to_vec()));
    }

    /// Serves a chart as an OCI artifact, and gives the digest of its manifest.
    pub fn push(&self, repository: &str, name: &str, version: &str, archive: &[u8]) -> Digest {
        let config = json!({"apiVersion": "v2", "name": name, "version": version}).to_string();
        let blob = |media_type: &str, bytes: &[u8]| {
            let digest = format!("sha256:{}", Digest::of_bytes(bytes));
            self.put(&format!("/v2/{repository}/blobs/{digest}"), "application/octet-stream", bytes);
            json!({"mediaType": media_type, "digest": digest, "size": bytes.len()})
        };
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": blob("application/vnd.cncf.helm.config.v1+json", config.as_bytes()),
            "layers": [blob("application/vnd.cncf.helm.chart.content.v1.tar+gzip", archive)],
        });
        let manifest = manifest.to_string();
        let digest = Digest::of_bytes(manifest.as_bytes());
        self.put("/v2/", "application/json", b"{}");
        for reference in [version.to_owned(), format!("sha256:{digest}")] {
            self.put(&format!("/v2/{repository}/manifests/{reference}"), MANIFEST, manifest.as_bytes());
        }
        let tags = json!({"name": repository, "tags": [version]}).to_string();
        self.put(&format!("/v2/{repository}/tags/list"), "application/json", tags.as_bytes());
        digest
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.end.store(true, Ordering::SeqCst);
        // Wakes it up; when it is gone already there is nothing to wake.
        let _ = TcpStream::connect(self.address);
    }
}

fn answer(mut stream: TcpStream, pages: &Pages) -> std::io::Result<()> {
    let mut reader = BufReader::new(stream.try_clone()?);
    let mut first = String::new();
    reader.read_line(&mut first)?;
    let mut line = String::new();
    while reader.read_line(&mut line)? > 2 {
        line.clear();
    }
    let mut words = first.split_whitespace();
    let (method, path) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let path = path.split('?').next().unwrap_or_default();
    let page = pages.lock().unwrap().get(path).cloned();
    let Some((media_type, bytes)) = page else {
        return stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    };
    let digest = Digest::of_bytes(&bytes);
    write!(
        stream,
        "HTTP/1.1 200 OK\r\nContent-Type: {media_type}\r\nContent-Length: {}\r\nDocker-Content-Digest: sha256:{digest}\r\n\
         Connection: close\r\n\r\n",
        bytes.len()
    )?;
    if method == "GET" { stream.write_all(&bytes) } else { Ok(()) }
}

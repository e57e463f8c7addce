//! The bare client: the requests that the work cannot do without, and nothing else. One HTTP/2 connection, no discovery
//! (it is told the paths), no comparison, no plan.

use std::path::Path;

use anyhow::{Context, Result, bail};
use futures::{StreamExt, stream};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_rustls::HttpsConnector;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    client::ConfigExt,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;

use crate::objects;

const METADATA: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1";
/// PATCHes at once: past it the server only queues.
const AT_ONCE: usize = 48;

/// What a LIST asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// Whole objects in JSON, parsed.
    Json,
    /// Metadata alone in protobuf, read to the end and not decoded.
    Metadata,
}

struct Bare {
    client: Client<HttpsConnector<HttpConnector>, Full<prost::bytes::Bytes>>,
    server: String,
}

impl Bare {
    async fn new(kubeconfig: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let mut tcp = HttpConnector::new();
        tcp.enforce_http(false);
        tcp.set_nodelay(true);
        let tls = hyper_rustls::HttpsConnectorBuilder::new()
            .with_tls_config(config.rustls_client_config()?)
            .https_only()
            .enable_http2()
            .wrap_connector(tcp);
        let client = Client::builder(TokioExecutor::new())
            .http2_only(true)
            .http2_initial_stream_window_size(4 << 20)
            .http2_initial_connection_window_size(64 << 20)
            .build(tls);
        Ok(Self { client, server: config.cluster_url.to_string().trim_end_matches('/').to_owned() })
    }

    async fn send(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: Vec<u8>,
    ) -> Result<(u16, Vec<u8>)> {
        let mut request = Request::builder().method(method).uri(format!("{}{path}", self.server));
        for (name, value) in headers.iter().chain(&[("user-agent", "bare-client")]) {
            request = request.header(*name, *value);
        }
        let response = self.client.request(request.body(Full::from(body))?).await?;
        let status = response.status().as_u16();
        Ok((status, response.into_body().collect().await?.to_bytes().to_vec()))
    }
}

/// LISTs every collection at once; answers how many bytes came.
pub async fn lists(kubeconfig: &Path, prefix: &str, selector: &str, form: Form) -> Result<usize> {
    let bare = Bare::new(kubeconfig).await?;
    let selector = selector.replace('/', "%2F").replace('=', "%3D");
    let answers = futures::future::join_all(objects::collections(prefix).into_iter().map(|path| {
        let bare = &bare;
        // The product lists all namespaces; so does its floor.
        let query = if path.ends_with("/namespaces") { String::new() } else { format!("?labelSelector={selector}") };
        async move {
            let accept = if form == Form::Json { "application/json" } else { METADATA };
            let (status, body) =
                bare.send(Method::GET, &format!("{path}{query}"), &[("accept", accept)], Vec::new()).await?;
            if status != 200 {
                bail!("{path}: {status} {}", String::from_utf8_lossy(&body));
            }
            if form == Form::Json {
                let list: Value = serde_json::from_slice(&body)?;
                list["items"].as_array().context("a list has items")?;
            }
            Ok(body.len())
        }
    }))
    .await;
    answers.into_iter().sum()
}

/// Applies a set of objects with one server-side-apply PATCH each, as many at once as is worth it; namespaces and the
/// custom kind go first.
pub async fn patches(kubeconfig: &Path, count: usize, prefix: &str) -> Result<usize> {
    let bare = Bare::new(kubeconfig).await?;
    let all = objects::make(count, prefix);
    let is_first = |object: &&Value| object["kind"] == "Namespace" || object["kind"] == "CustomResourceDefinition";
    let (first, rest): (Vec<&Value>, Vec<&Value>) = all.iter().partition(is_first);
    let widgets = objects::collections(prefix).pop().context("the custom kind")?;
    for wave in [first, rest] {
        let outcomes: Vec<Result<()>> = stream::iter(wave)
            .map(|object| {
                let bare = &bare;
                async move {
                    let path = format!("{}?fieldManager=bare-client&fieldValidation=Strict", objects::path(object));
                    let headers = [("content-type", "application/apply-patch+yaml"), ("accept", METADATA_ONE)];
                    let (status, body) =
                        bare.send(Method::PATCH, &path, &headers, object.to_string().into_bytes()).await?;
                    if status >= 300 {
                        bail!("{path}: {status} {}", String::from_utf8_lossy(&body));
                    }
                    Ok(())
                }
            })
            .buffer_unordered(AT_ONCE)
            .collect()
            .await;
        outcomes.into_iter().collect::<Result<Vec<()>>>()?;
        // The custom kind is served a moment after its definition.
        while bare.send(Method::GET, &format!("{widgets}?limit=1"), &[], Vec::new()).await?.0 != 200 {
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
    }
    Ok(all.len())
}

const METADATA_ONE: &str = "application/vnd.kubernetes.protobuf;as=PartialObjectMetadata;g=meta.k8s.io;v=v1";

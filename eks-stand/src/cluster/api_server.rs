//! What an EKS cluster's endpoint is: TLS, tokens of AWS, and behind it a real kube-apiserver.

use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use http::{Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Either, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::tls::Tls;
use super::token;
use crate::StandError;

type Body = Either<Full<Bytes>, kube::client::Body>;

/// A listening endpoint. It ends with this value.
pub(super) struct ApiServer {
    /// Where it is.
    pub(super) address: SocketAddr,
    /// The authority that signed its certificate, PEM.
    pub(super) authority: String,
    task: JoinHandle<()>,
}

struct Door {
    cluster: String,
    hosts: Arc<[String]>,
    admin: kube::Client,
}

impl ApiServer {
    /// Listens for `cluster`, in front of the API server that `admin` is the administrator of.
    pub(super) async fn open(cluster: &str, hosts: Arc<[String]>, admin: kube::Client) -> Result<Self, StandError> {
        let Tls { acceptor, authority } = Tls::make(cluster)?;
        let place = std::path::Path::new("127.0.0.1");
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(StandError::file("listen on", place))?;
        let address = listener.local_addr().map_err(StandError::file("listen on", place))?;
        let door = Arc::new(Door { cluster: cluster.into(), hosts, admin });
        let task = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let (acceptor, door) = (acceptor.clone(), Arc::clone(&door));
                connections.spawn(async move {
                    // A client that does not trust the certificate hangs up: that is its own to see.
                    let Ok(stream) = acceptor.accept(stream).await else { return };
                    let service = service_fn(move |request| {
                        let door = Arc::clone(&door);
                        async move { Ok::<_, std::convert::Infallible>(door.answer(request).await) }
                    });
                    // Likewise one that goes in the middle of an answer.
                    let _ended =
                        auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Ok(Self { address, authority, task })
    }
}

impl Drop for ApiServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Door {
    async fn answer(&self, request: Request<Incoming>) -> Response<Body> {
        let token = request
            .headers()
            .get(header::AUTHORIZATION)
            .and_then(|value| value.to_str().ok())
            .and_then(|value| value.strip_prefix("Bearer "));
        let checked = token.ok_or_else(|| "there is no bearer token".to_owned());
        if let Err(why) =
            checked.and_then(|token| token::check(token, &self.cluster, &self.hosts, jiff::Timestamp::now()))
        {
            return status(StatusCode::UNAUTHORIZED, "Unauthorized", &format!("Unauthorized: {why}"));
        }
        if request.headers().contains_key(header::UPGRADE) || request.method() == Method::CONNECT {
            return status(
                StatusCode::NOT_IMPLEMENTED,
                "NotImplemented",
                "the stand does not pass exec, attach and port-forward on",
            );
        }
        match self.pass_on(request).await {
            Ok(answer) => answer.map(Either::Right),
            Err(why) => status(
                StatusCode::BAD_GATEWAY,
                "InternalError",
                &format!("the stand's API server does not answer: {why}"),
            ),
        }
    }

    /// As the administrator; the answer's body comes as it is sent, so that watches live.
    async fn pass_on(&self, request: Request<Incoming>) -> Result<Response<kube::client::Body>, String> {
        let (mut parts, body) = request.into_parts();
        let body = body.collect().await.map_err(|error| error.to_string())?.to_bytes();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
        parts.uri = path.parse().map_err(|error: http::uri::InvalidUri| error.to_string())?;
        // The connection to the API server is another.
        for own in
            [header::AUTHORIZATION, header::HOST, header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH]
        {
            parts.headers.remove(own);
        }
        parts.version = http::Version::HTTP_11;
        let answer =
            self.admin.send(Request::from_parts(parts, body.into())).await.map_err(|error| error.to_string())?;
        let (mut parts, body) = answer.into_parts();
        for own in [header::CONNECTION, header::TRANSFER_ENCODING] {
            parts.headers.remove(own);
        }
        parts.version = http::Version::HTTP_11;
        Ok(Response::from_parts(parts, body))
    }
}

/// A refusal as the API server says it.
fn status(code: StatusCode, reason: &str, message: &str) -> Response<Body> {
    let body = json!({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason, "code": code.as_u16()});
    let mut response = Response::new(Either::Left(Full::from(body.to_string())));
    *response.status_mut() = code;
    response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static("application/json"));
    response
}

//! The two emulators, and which of them answers for which service.

use std::net::SocketAddr;

use http::{HeaderValue, Request, Response, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Bytes;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde_json::Value;

use crate::StandError;

/// What of EC2 moto does not have, and fakecloud does: placement groups, and capacity reservations with their blocks.
const NOT_IN_MOTO: [&str; 7] = [
    "CreatePlacementGroup",
    "DescribePlacementGroups",
    "DeletePlacementGroup",
    "CreateCapacityReservation",
    "DescribeCapacityReservations",
    "DescribeCapacityBlockOfferings",
    "PurchaseCapacityBlock",
];
/// The service that they are, for [`Emulators::send`].
const RESERVED: &str = "ec2, as fakecloud has it";

/// The service that an operation is sent to.
pub(crate) fn service_of<'a>(service: &'a str, operation: &str) -> &'a str {
    if service == "ec2" && NOT_IN_MOTO.contains(&operation) { RESERVED } else { service }
}

/// A client of both.
#[derive(Clone)]
pub(crate) struct Emulators {
    /// moto closes each connection after its answer; one that is kept would be found closed by the next request.
    once: Client<HttpConnector, Full<Bytes>>,
    kept: Client<HttpConnector, Full<Bytes>>,
    moto: SocketAddr,
    fakecloud: SocketAddr,
    region: String,
}

impl Emulators {
    pub(crate) fn new(moto: SocketAddr, fakecloud: SocketAddr, region: &str) -> Self {
        let mut builder = Client::builder(TokioExecutor::new());
        let kept = builder.build(HttpConnector::new());
        let once = builder.pool_max_idle_per_host(0).build(HttpConnector::new());
        Self { once, kept, moto, fakecloud, region: region.into() }
    }

    /// EKS, IAM and STS are fakecloud's: moto has 17 of the 64 operations of EKS. So are Auto Scaling groups, since fakecloud makes
    /// those of its node groups. moto's EC2 has 1395 real instance types and checks what it is given; fakecloud's has nine.
    fn of(&self, service: &str) -> SocketAddr {
        match service {
            "eks" | "iam" | "sts" | "autoscaling" | RESERVED => self.fakecloud,
            _ => self.moto,
        }
    }

    /// Sends a request as it came.
    pub(crate) async fn send(&self, service: &str, request: Request<Bytes>) -> Result<Response<Bytes>, StandError> {
        let address = self.of(service);
        let (mut parts, body) = request.into_parts();
        let path = parts.uri.path_and_query().map_or("/", |path| path.as_str());
        parts.uri = format!("http://{address}{path}").parse().map_err(|error| self.failed(service, error))?;
        for hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::EXPECT] {
            parts.headers.remove(hop);
        }
        let sent = Request::from_parts(parts, Full::new(body));
        let client = if address == self.moto { &self.once } else { &self.kept };
        let answer = client.request(sent).await.map_err(|error| self.failed(service, error))?;
        let (mut parts, body) = answer.into_parts();
        let body = body.collect().await.map_err(|error| self.failed(service, error))?.to_bytes();
        for hop in [header::CONNECTION, header::TRANSFER_ENCODING, header::CONTENT_LENGTH] {
            parts.headers.remove(hop);
        }
        Ok(Response::from_parts(parts, body))
    }

    /// The stand's own question to EKS.
    pub(crate) async fn eks(&self, method: &str, path: &str) -> Result<(StatusCode, Value), StandError> {
        let request = self.own("eks", Request::builder().method(method).uri(path), Bytes::new())?;
        let answer = self.send("eks", request).await?;
        let body = serde_json::from_slice(answer.body()).unwrap_or_default(); // Not JSON: the status tells.
        Ok((answer.status(), body))
    }

    /// The stand's own change in EKS.
    pub(crate) async fn eks_post(&self, path: &str, body: &Value) -> Result<(), StandError> {
        let builder = Request::post(path).header(header::CONTENT_TYPE, "application/json");
        let answer = self.send("eks", self.own("eks", builder, body.to_string().into())?).await?;
        match answer.status().is_success() {
            true => Ok(()),
            false => Err(self.failed("eks", String::from_utf8_lossy(answer.body()))),
        }
    }

    /// The stand's own question to Auto Scaling; its answer as XML.
    pub(crate) async fn autoscaling(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String, StandError> {
        self.query("autoscaling", "2011-01-01", action, parameters).await
    }

    /// The stand's own question to EC2; its answer as XML.
    ///
    /// # Errors
    /// EC2 refused: its words.
    pub(crate) async fn ec2(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String, StandError> {
        self.query("ec2", "2016-11-15", action, parameters).await
    }

    /// The stand's own question to IAM, likewise.
    pub(crate) async fn iam(&self, action: &str, parameters: &[(&str, &str)]) -> Result<String, StandError> {
        self.query("iam", "2010-05-08", action, parameters).await
    }

    async fn query(
        &self,
        service: &str,
        version: &str,
        action: &str,
        parameters: &[(&str, &str)],
    ) -> Result<String, StandError> {
        let all = [("Action", action), ("Version", version)].into_iter().chain(parameters.iter().copied());
        let form = form_urlencoded::Serializer::new(String::new()).extend_pairs(all).finish();
        let builder =
            Request::post("/").header(header::CONTENT_TYPE, "application/x-www-form-urlencoded; charset=utf-8");
        let request = self.own(service, builder, form.into())?;
        let answer = self.send(service, request).await?;
        let text = String::from_utf8_lossy(answer.body()).into_owned();
        if answer.status().is_success() {
            Ok(text)
        } else {
            Err(self.failed(service, crate::xml::text(&text, "Message").unwrap_or(&text)))
        }
    }

    /// A plain request to one of them, past its API: `/_reset`.
    pub(crate) async fn post(&self, service: &str, path: &str) -> Result<(), StandError> {
        let request = self.own(service, Request::post(path), Bytes::new())?;
        let status = self.send(service, request).await?.status();
        if status.is_success() { Ok(()) } else { Err(self.failed(service, format!("{path}: {status}"))) }
    }

    fn own(&self, service: &str, builder: http::request::Builder, body: Bytes) -> Result<Request<Bytes>, StandError> {
        let scope = format!(
            "AWS4-HMAC-SHA256 Credential=test/20260101/{}/{service}/aws4_request, SignedHeaders=host, Signature=0",
            self.region
        );
        let scope = HeaderValue::from_str(&scope).map_err(|error| self.failed(service, error))?;
        builder.header(header::AUTHORIZATION, scope).body(body).map_err(|error| self.failed(service, error))
    }

    fn failed(&self, service: &str, why: impl ToString) -> StandError {
        StandError::Ask { whom: format!("the emulator of {service}"), why: why.to_string() }
    }
}

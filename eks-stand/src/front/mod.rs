//! The one endpoint: every request is understood, written down, and answered by an emulator, by a quirk, or by both.

mod answer;
mod checks;
mod clusters;
mod ec2_tokens;
mod eks;
mod groups;
mod lag;
mod quotas;
mod scaling;
mod tokens;
mod world;

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use serde_json::json;
use tokio::net::TcpListener;
use wbk_provider_local::cluster::Clusters;

pub(crate) use world::Issue;

use crate::StandError;
use crate::asked::Asked;
use crate::emulators::{Emulators, service_of};
use crate::requests::Requests;
use answer::Answer;

/// The endpoint's parts.
pub(crate) struct Front {
    eks: Arc<eks::Eks>,
    quotas: quotas::Quotas,
    lag: lag::Lag,
    /// Milliseconds before every answer.
    delay: std::sync::atomic::AtomicU64,
    ec2_tokens: ec2_tokens::Ec2Tokens,
    blocks_begun: std::sync::atomic::AtomicBool,
    pub(crate) requests: Requests,
}

/// Where it listens, before it answers: microburst must know it, and it must know microburst.
pub(crate) struct Place {
    listener: TcpListener,
    pub(crate) address: SocketAddr,
}

impl Place {
    pub(crate) async fn take() -> Result<Self, StandError> {
        let failed = || StandError::file("listen on", Path::new("127.0.0.1"));
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(failed())?;
        let address = listener.local_addr().map_err(failed())?;
        Ok(Self { listener, address })
    }
}

impl Front {
    pub(crate) fn new(
        emulators: Emulators,
        local: wbk_provider_local::Settings,
        hosts: Arc<[String]>,
        requests: Requests,
    ) -> Arc<Self> {
        let eks = eks::Eks {
            emulators,
            local,
            hosts,
            world: world::World::default(),
            tokens: tokens::Tokens::default(),
            planes: std::sync::atomic::AtomicU32::new(0),
            tasks: tokio::sync::Mutex::default(),
            writing: tokio::sync::Mutex::default(),
        };
        Arc::new(Self {
            eks: Arc::new(eks),
            quotas: quotas::Quotas::default(),
            lag: lag::Lag::default(),
            delay: Default::default(),
            ec2_tokens: ec2_tokens::Ec2Tokens::default(),
            blocks_begun: false.into(),
            requests,
        })
    }

    /// Answers at that place, until its task is aborted.
    pub(crate) async fn serve(self: Arc<Self>, place: Place) {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((stream, _)) = place.listener.accept().await {
            let front = Arc::clone(&self);
            connections.spawn(async move {
                let service = service_fn(move |request| {
                    let front = Arc::clone(&front);
                    async move { Ok::<_, Infallible>(front.answer(request).await.map(Full::new)) }
                });
                // A client that goes in the middle is its own affair.
                let _ended =
                    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), service).await;
            });
        }
    }

    async fn answer(&self, request: Request<Incoming>) -> Answer {
        let (parts, body) = request.into_parts();
        let body = match body.collect().await {
            Ok(body) => body.to_bytes(),
            Err(error) => return unanswered(&error.to_string()),
        };
        let asked = Asked::of(&parts, &body);
        match self.delay.load(Ordering::Relaxed) {
            0 => {}
            millis => tokio::time::sleep(Duration::from_millis(millis)).await,
        }
        let quota = || {
            (asked.service == "servicequotas")
                .then(|| self.quotas.answer(&asked.operation, &body, &asked.region))
                .flatten()
        };
        let answered = if let Some(call) = &asked.eks {
            // Its own task: what was begun for a request is finished when its client goes away, as on a server of AWS.
            let (eks, call) = (Arc::clone(&self.eks), call.clone());
            let work = tokio::spawn(async move { eks.answer(&call, Request::from_parts(parts, body)).await });
            work.await.unwrap_or_else(|error| Err(StandError::Ask { whom: "the stand".into(), why: error.to_string() }))
        } else if asked.service == "autoscaling" {
            self.eks.scaling(&asked.operation, Request::from_parts(parts, body)).await
        } else if let Some(answer) = quota() {
            Ok(answer)
        } else if let Some(answer) = self.ec2_tokens.answered(&asked, &body) {
            Ok(answer)
        } else {
            let service = service_of(&asked.service, &asked.operation);
            let answer = self.eks.emulators.send(service, Request::from_parts(parts, body.clone())).await;
            let answer = answer.inspect(|answer| self.ec2_tokens.note(&asked, &body, answer));
            answer.map(|answer| self.with_begun_blocks(&asked.operation, answer))
        };
        let answer = answered.unwrap_or_else(|error| unanswered(&error.to_string()));
        let answer = if asked.service == "ec2" { self.lag.through(&asked.operation, answer) } else { answer };
        self.requests.note(&asked, answer.status().as_u16(), answer::error_of(&answer));
        answer
    }

    /// Sets a quota of EC2.
    pub(crate) fn set_quota(&self, code: &str, value: f64) {
        self.quotas.set(code, value);
    }

    /// Every answer comes so much later.
    pub(crate) fn delay(&self, delay: Duration) {
        let millis = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        self.delay.store(millis, Ordering::Relaxed);
    }

    /// EC2's describes lag behind by so much.
    pub(crate) fn lag(&self, lag: Duration) {
        self.lag.set(lag);
    }

    /// The next node group of that pool fails.
    pub(crate) fn fail_node_group(&self, pool: &str, issue: Issue) {
        self.eks.world.fail(pool, issue);
    }

    /// A node group is unwell, or well again.
    pub(crate) fn degrade_node_group(&self, cluster: &str, group: &str, issue: Option<Issue>) {
        self.eks.world.degrade(cluster, group, issue);
    }

    /// Every capacity block begins.
    pub(crate) fn begin_capacity_blocks(&self) {
        self.blocks_begun.store(true, std::sync::atomic::Ordering::Relaxed);
    }

    /// Quirk: fakecloud sells capacity blocks that begin at the next 11:30 UTC, and has no clock to turn.
    fn with_begun_blocks(&self, operation: &str, answer: Answer) -> Answer {
        let begun = self.blocks_begun.load(std::sync::atomic::Ordering::Relaxed);
        if operation != "DescribeCapacityReservations" || !begun {
            return answer;
        }
        let text = String::from_utf8_lossy(answer.body()).replace("<state>scheduled</state>", "<state>active</state>");
        answer.map(|_| text.into())
    }

    /// Ends every control plane, and whatever works on one.
    pub(crate) async fn end_planes(&self) {
        self.eks.tasks.lock().await.shutdown().await;
        self.eks.world.clear();
        let clusters = Clusters::new(self.eks.local.clone());
        for status in clusters.list().unwrap_or_default() {
            if let Err(error) = clusters.delete(&status.name, &|_| {}).await {
                eprintln!("could not end a control plane: {error}");
            }
        }
    }

    /// An empty account.
    pub(crate) async fn reset(&self) -> Result<(), StandError> {
        self.end_planes().await;
        self.eks.tokens.clear();
        self.quotas.clear();
        self.lag.set(Duration::ZERO);
        self.ec2_tokens.clear();
        self.blocks_begun.store(false, std::sync::atomic::Ordering::Relaxed);
        self.eks.emulators.post("eks", "/_reset").await?;
        self.eks.emulators.post("ec2", "/moto-api/reset").await?;
        self.requests.clear();
        Ok(())
    }
}

fn unanswered(why: &str) -> Response<Bytes> {
    answer::json_answer(StatusCode::BAD_GATEWAY, &json!({"message": why}))
}

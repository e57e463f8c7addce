// SPDX-License-Identifier: AGPL-3.0-or-later
//! fakecloud's EKS, IAM, STS, Auto Scaling and EC2 on one address: what the stand asks of it, without its hundred other services, which
//! take twenty minutes to build.
//!
//! `--addr HOST:PORT --region REGION`, as fakecloud's own program takes them, and the same paths: everything else is a request of
//! AWS', `POST /_reset` empties the account. The services are put together as `src/main.rs` of fakecloud 0.51.0 does where nothing is persisted.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::routing::post;
use axum::{Extension, Router};
use fakecloud_autoscaling::{AutoScalingAccounts, AutoScalingService, SharedAutoScalingState};
use fakecloud_core::dispatch::{self, DispatchConfig};
use fakecloud_core::multi_account::MultiAccountState;
use fakecloud_core::registry::ServiceRegistry;
use fakecloud_ec2::{Ec2Service, SharedEc2State};
use fakecloud_eks::{EksService, SharedEksState};
use fakecloud_iam::SharedIamState;
use fakecloud_iam::iam_service::IamService;
use fakecloud_iam::sts_service::StsService;
use parking_lot::RwLock;

/// fakecloud's own.
const ACCOUNT: &str = "123456789012";

#[tokio::main]
async fn main() {
    let (address, region) = arguments();
    let listener = match tokio::net::TcpListener::bind(&address).await {
        Ok(listener) => listener,
        Err(error) => fail(&format!("cannot listen at {address}: {error}")),
    };
    let endpoint = format!("http://{address}");
    let iam: SharedIamState = Arc::new(RwLock::new(MultiAccountState::new(ACCOUNT, &region, &endpoint)));
    let eks: SharedEksState = Arc::new(RwLock::new(MultiAccountState::new(ACCOUNT, &region, &endpoint)));
    let ec2: SharedEc2State = Arc::new(RwLock::new(MultiAccountState::new(ACCOUNT, &region, &endpoint)));
    let scaling: SharedAutoScalingState = Arc::new(RwLock::new(AutoScalingAccounts::new()));

    let mut registry = ServiceRegistry::new();
    let identities = IamService::new(iam.clone());
    let tokens = StsService::new(iam.clone()).with_snapshot_lock(identities.snapshot_lock());
    registry.register(Arc::new(identities));
    registry.register(Arc::new(tokens));
    // Of EC2 the stand asks for what moto does not know: placement groups, capacity reservations.
    registry.register(Arc::new(Ec2Service::with_state(ec2.clone())));
    registry.register(Arc::new(AutoScalingService::new(scaling.clone()).with_ec2(ec2.clone(), None)));
    registry.register(Arc::new(
        EksService::new(eks.clone()).with_ec2_state(ec2.clone()).with_autoscaling_state(scaling.clone()),
    ));

    let reset = move || async move {
        iam.write().reset();
        eks.write().reset();
        ec2.write().reset();
        *scaling.write() = AutoScalingAccounts::new();
    };
    let app = Router::new()
        .route("/_reset", post(reset))
        .fallback(dispatch::dispatch)
        .layer(Extension(Arc::new(registry)))
        .layer(Extension(Arc::new(DispatchConfig::new(region, ACCOUNT))));
    if let Err(error) = axum::serve(listener, app.into_make_service_with_connect_info::<SocketAddr>()).await {
        fail(&format!("cannot serve: {error}"));
    }
}

/// The address and the region.
fn arguments() -> (String, String) {
    let (mut address, mut region) = (None, None);
    let mut given = std::env::args().skip(1);
    while let Some(flag) = given.next() {
        match flag.as_str() {
            "--addr" => address = given.next(),
            "--region" => region = given.next(),
            _ => fail(&format!("{flag} is no flag of it")),
        }
    }
    match (address, region) {
        (Some(address), Some(region)) => (address, region),
        _ => fail("usage: fakecloud-in-part --addr HOST:PORT --region REGION"),
    }
}

fn fail(why: &str) -> ! {
    eprintln!("error: {why}");
    std::process::exit(1)
}

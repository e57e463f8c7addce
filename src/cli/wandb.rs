//! The way to W&B, and what it has of a blueprint's queues.

use std::collections::BTreeMap;

use wbk_provider_api::Why;

use super::{environment::Environment, failure::Failure, secrets, situation::Purpose};
use crate::{
    cluster::{Cluster, Discovery},
    desired::{Desired, DesiredQueue, WandbService},
    live::{QueueFound, QueueState, SecretValues},
    wandb::{self, Route, Wandb},
};

/// A way to W&B, where the blueprint has Launch and its key can be read.
pub async fn wandb_of(
    desired: &Desired,
    environment: &Environment,
    reached: Option<(&Cluster, &Discovery)>,
) -> Option<Wandb> {
    let launch = desired.launch.as_ref().filter(|_| environment.rehearsal.is_none())?;
    let values = launch_key(desired, environment, reached).await;
    Some(Wandb::over(
        &launch.service,
        values.get(&launch.service.api_key)?,
        &route(&launch.service, &values, environment),
    ))
}

/// The way to W&B: this process's proxies, and the certificates that the blueprint names, where they could be read.
fn route(service: &WandbService, values: &SecretValues, environment: &Environment) -> Route {
    let route = Route::through(environment.proxies());
    match service.ca.as_ref().and_then(|from| values.get(from)) {
        // They were held to be certificates when they were read.
        Some(bundle) => route.clone().trusting(bundle.expose()).unwrap_or(route),
        None => route,
    }
}

/// To destroy and to verify needs no secret but W&B's key, and goes on without it.
pub(super) async fn launch_key(
    desired: &Desired,
    environment: &Environment,
    reached: Option<(&Cluster, &Discovery)>,
) -> SecretValues {
    let alone = Desired { objects: Vec::new(), ..desired.clone() };
    secrets::resolve(&alone, environment, reached).await.unwrap_or_default()
}

/// W&B is not played: its queues are as they shall be, and at the end there are none.
pub(super) fn rehearsed_queues(desired: &Desired, purpose: Purpose) -> BTreeMap<String, QueueState> {
    let queues = desired.launch.iter().flat_map(|launch| &launch.queues).filter(|_| purpose == Purpose::Apply);
    let as_wanted = |queue: &DesiredQueue| {
        let content = queue.content.clone().marked();
        QueueState::Present(Box::new(QueueFound {
            id: String::new(),
            resource: "kubernetes".into(),
            content,
            items: None,
        }))
    };
    queues.map(|queue| (queue.name.clone(), as_wanted(queue))).collect()
}

/// What W&B has of the blueprint's queues.
pub(super) async fn launch_queues(
    desired: &Desired,
    (values, environment): (&SecretValues, &Environment),
    purpose: Purpose,
) -> Result<BTreeMap<String, QueueState>, Failure> {
    let Some(launch) = &desired.launch else { return Ok(BTreeMap::new()) };
    let Some(key) = values.get(&launch.service.api_key) else {
        let why = Why(format!("{} gives no API key", launch.service.api_key));
        let unknown = |queue: &DesiredQueue| (queue.name.clone(), QueueState::Unknown(why.clone()));
        return Ok(launch.queues.iter().map(unknown).collect());
    };
    let goes = |name: &str| purpose == Purpose::Destroy || !launch.queues.iter().any(|queue| queue.name == name);
    let wandb = Wandb::over(&launch.service, key, &route(&launch.service, values, environment));
    wandb::look(&wandb, launch, &desired.name, goes).await.map_err(|error| {
        let hint = "give the key of somebody who may write to `launch.entity`, and check its spelling";
        Failure::hinted(error, hint)
    })
}

//! The plugin of one resource: what the kubelet asks, answered from the node's GPUs.

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::watch;
use tokio_stream::wrappers::ReceiverStream;
use tonic::{Request, Response, Status};

use crate::api::device_plugin::device_plugin_server::DevicePlugin;
use crate::api::{
    AllocateRequest, AllocateResponse, CdiDevice, ContainerAllocateResponse, ContainerPreferredAllocationResponse,
    Device, DevicePluginOptions, DeviceSpec, Empty, ListAndWatchResponse, Mount, PreStartContainerRequest,
    PreStartContainerResponse, PreferredAllocationRequest, PreferredAllocationResponse,
};
use crate::cdi;
use crate::config::{Allocation, Config, FailureKind, Resource};
use crate::devices::{Allocated, Node, preferred};
use crate::smi::{self, Shown};

/// How often failures that are due and the file `unhealthy` are looked at: well under the kubelet's own 10 s.
const LOOK: Duration = Duration::from_millis(500);

/// The `nvidia-smi` of the node's folder.
pub const SMI: &str = "nvidia-smi";
/// The file of the node's folder that lists GPUs to be reported unhealthy, by index or id.
pub const UNHEALTHY_FILE: &str = "unhealthy";

/// One resource.
#[derive(Clone)]
pub struct Plugin {
    inner: Arc<Inner>,
}

struct Inner {
    node: Node,
    resource: Resource,
    allocation: Allocation,
    host_folder: PathBuf,
    began: Instant,
    devices: watch::Sender<Vec<Device>>,
}

impl Plugin {
    /// The plugin of a resource. Its devices change while [`Plugin::watch`] runs.
    pub fn new(node: Node, resource: Resource, config: &Config, began: Instant) -> Self {
        let devices = node.devices(&resource, began.elapsed(), &marked(&config.host_folder));
        let inner = Inner {
            node,
            resource,
            allocation: config.allocate,
            host_folder: config.host_folder.clone(),
            began,
            devices: watch::Sender::new(devices),
        };
        Self { inner: Arc::new(inner) }
    }

    /// The resource's name.
    pub fn resource(&self) -> &str {
        &self.inner.resource.name
    }

    /// Devices that are reported healthy now.
    pub fn healthy(&self) -> usize {
        self.inner.devices.borrow().iter().filter(|device| device.health == crate::api::HEALTHY).count()
    }

    /// Looks at what changed, for ever.
    pub async fn watch(&self) {
        let inner = &self.inner;
        let mut look = tokio::time::interval(LOOK);
        loop {
            look.tick().await;
            let now = inner.node.devices(&inner.resource, inner.began.elapsed(), &marked(&inner.host_folder));
            let is_news = inner.devices.send_if_modified(|devices| {
                let is_news = *devices != now;
                *devices = now;
                is_news
            });
            if is_news {
                crate::say(&format!("{}: {} devices are healthy now", inner.resource.name, self.healthy()));
            }
        }
    }

    fn allocate_one(&self, ids: &[String]) -> Result<ContainerAllocateResponse, Status> {
        let inner = &self.inner;
        let mut found: Vec<Allocated> = Vec::new();
        for id in ids {
            let device = inner
                .node
                .find(&inner.resource, id)
                .ok_or_else(|| Status::not_found(format!("{} has no device {id}", inner.resource.name)))?;
            if inner.node.fails(FailureKind::Refuses, device.gpu, inner.began.elapsed()) {
                let why = format!("GPU {} of {} refuses, as it was told to", device.gpu, inner.node.name);
                return Err(Status::internal(why));
            }
            // Two shares of one GPU are one GPU to the container.
            if !found.iter().any(|other| other.shown == device.shown) {
                found.push(device);
            }
        }
        found.sort_by_key(|device| (device.gpu, device.slice));
        let shown: Vec<&str> = found.iter().map(|device| device.shown.as_str()).collect();
        let gpus: BTreeSet<u32> = found.iter().map(|device| device.gpu).collect();
        let seen = Shown {
            node: inner.node.name.clone(),
            model: inner.node.model.clone(),
            devices: found.iter().map(|device| (device.gpu, device.slice, device.shown.clone())).collect(),
        };
        let mut answer = ContainerAllocateResponse {
            envs: HashMap::from([
                ("NVIDIA_VISIBLE_DEVICES".to_owned(), shown.join(",")),
                (smi::VARIABLE.to_owned(), seen.to_text()),
            ]),
            ..ContainerAllocateResponse::default()
        };
        match inner.allocation {
            Allocation::Cdi => {
                answer.cdi_devices = gpus.iter().map(|gpu| CdiDevice { name: cdi::name(*gpu) }).collect();
            }
            Allocation::Envs | Allocation::Devices => answer.mounts.push(Mount {
                container_path: smi::CONTAINER_PATH.into(),
                host_path: inner.host_folder.join(SMI).display().to_string(),
                read_only: true,
            }),
        }
        if inner.allocation == Allocation::Devices {
            answer.devices = gpus
                .iter()
                .map(|gpu| DeviceSpec {
                    container_path: format!("/dev/nvidia{gpu}"),
                    host_path: "/dev/null".into(),
                    permissions: "rw".into(),
                })
                .collect();
        }
        Ok(answer)
    }
}

/// What the file of the node marks as unhealthy; nothing where there is none.
fn marked(folder: &std::path::Path) -> BTreeSet<String> {
    // Absent is the usual case, and unreadable marks nothing either: the file is a knob, not a source of truth.
    let text = std::fs::read_to_string(folder.join(UNHEALTHY_FILE)).unwrap_or_default();
    text.split_whitespace().map(str::to_owned).collect()
}

#[tonic::async_trait]
impl DevicePlugin for Plugin {
    type ListAndWatchStream = ReceiverStream<Result<ListAndWatchResponse, Status>>;

    async fn get_device_plugin_options(&self, _: Request<Empty>) -> Result<Response<DevicePluginOptions>, Status> {
        Ok(Response::new(options()))
    }

    async fn list_and_watch(&self, _: Request<Empty>) -> Result<Response<Self::ListAndWatchStream>, Status> {
        let (sender, receiver) = tokio::sync::mpsc::channel(1);
        let mut devices = self.inner.devices.subscribe();
        devices.mark_changed();
        let resource = self.inner.resource.name.clone();
        tokio::spawn(async move {
            loop {
                tokio::select! {
                    changed = devices.changed() => if changed.is_err() { return },
                    () = sender.closed() => return,
                }
                let now = devices.borrow_and_update().clone();
                crate::say(&format!("{resource}: telling the kubelet of {} devices", now.len()));
                if sender.send(Ok(ListAndWatchResponse { devices: now })).await.is_err() {
                    return;
                }
            }
        });
        Ok(Response::new(ReceiverStream::new(receiver)))
    }

    async fn get_preferred_allocation(
        &self,
        request: Request<PreferredAllocationRequest>,
    ) -> Result<Response<PreferredAllocationResponse>, Status> {
        let container_responses = request
            .into_inner()
            .container_requests
            .iter()
            .map(|ask| {
                // A negative size asks for nothing.
                let size = usize::try_from(ask.allocation_size).unwrap_or(0);
                let (node, resource) = (&self.inner.node, &self.inner.resource);
                let device_ids =
                    preferred(node, resource, &ask.available_device_ids, &ask.must_include_device_ids, size);
                ContainerPreferredAllocationResponse { device_ids }
            })
            .collect();
        Ok(Response::new(PreferredAllocationResponse { container_responses }))
    }

    async fn allocate(&self, request: Request<AllocateRequest>) -> Result<Response<AllocateResponse>, Status> {
        let mut container_responses = Vec::new();
        for ask in request.into_inner().container_requests {
            crate::say(&format!("{}: allocating {}", self.resource(), ask.devices_ids.join(", ")));
            container_responses.push(self.allocate_one(&ask.devices_ids)?);
        }
        Ok(Response::new(AllocateResponse { container_responses }))
    }

    async fn pre_start_container(
        &self,
        _: Request<PreStartContainerRequest>,
    ) -> Result<Response<PreStartContainerResponse>, Status> {
        Ok(Response::new(PreStartContainerResponse {}))
    }
}

/// What these plugins can do.
pub fn options() -> DevicePluginOptions {
    DevicePluginOptions { pre_start_required: false, get_preferred_allocation_available: true }
}

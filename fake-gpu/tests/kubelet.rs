//! The plugin against a kubelet's side of the protocol: a real gRPC server and client over unix sockets in a folder of the
//! test's own. What a real kubelet does with it is proved by the kind suite.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use tokio::net::UnixListener;
use tokio::sync::{mpsc, watch};
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Server};
use tonic::{Request, Response, Status, Streaming};
use wbk_fake_gpu::api::device_plugin::device_plugin_client::DevicePluginClient;
use wbk_fake_gpu::api::registration::registration_server::{Registration, RegistrationServer};
use wbk_fake_gpu::api::{
    AllocateRequest, ContainerAllocateRequest, ContainerPreferredAllocationRequest, Empty, ListAndWatchResponse,
    PreferredAllocationRequest, RegisterRequest,
};
use wbk_fake_gpu::config::{Allocation, Config, Failure, FailureKind, Resource};
use wbk_fake_gpu::serve::{connect, serve, socket_name};
use wbk_fake_gpu::smi;

/// Everything here takes milliseconds, and half a second where a file is looked at; the rest is for busy machines.
const SOON: Duration = Duration::from_secs(30);

/// The kubelet's registration service.
struct Kubelet {
    registered: mpsc::UnboundedSender<RegisterRequest>,
}

#[tonic::async_trait]
impl Registration for Kubelet {
    async fn register(&self, request: Request<RegisterRequest>) -> Result<Response<Empty>, Status> {
        self.registered.send(request.into_inner()).map_err(|_| Status::unavailable("the test is over"))?;
        Ok(Response::new(Empty {}))
    }
}

/// A folder with a kubelet in it and a plugin that serves it.
struct Node {
    folder: tempfile::TempDir,
    registrations: mpsc::UnboundedReceiver<RegisterRequest>,
    sender: mpsc::UnboundedSender<RegisterRequest>,
    kubelet: tokio::task::JoinHandle<()>,
    stop: watch::Sender<bool>,
    plugin: tokio::task::JoinHandle<()>,
}

impl Node {
    fn plugins(&self) -> PathBuf {
        self.folder.path().join("device-plugins")
    }

    fn host(&self) -> PathBuf {
        self.folder.path().join("host")
    }

    async fn start(config: Config) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let plugins = folder.path().join("device-plugins");
        std::fs::create_dir(&plugins).unwrap();
        let (sender, registrations) = mpsc::unbounded_channel();
        let kubelet = listen(&plugins, sender.clone());
        let config = Config {
            plugin_folder: plugins,
            host_folder: folder.path().join("host"),
            cdi_folder: folder.path().join("cdi"),
            ..config
        };
        let (stop, stopped) = watch::channel(false);
        let plugin = tokio::spawn(async move { serve(&config, "node-1", stopped).await.expect("it serves") });
        Self { folder, registrations, sender, kubelet, stop, plugin }
    }

    async fn registration(&mut self) -> RegisterRequest {
        tokio::time::timeout(SOON, self.registrations.recv()).await.expect("a registration").expect("a kubelet")
    }

    async fn client(&self, endpoint: &str) -> DevicePluginClient<Channel> {
        DevicePluginClient::new(connect(&self.plugins().join(endpoint)).await.expect("it serves before it registers"))
    }

    async fn end(self) {
        self.stop.send(true).unwrap();
        tokio::time::timeout(SOON, self.plugin).await.expect("it ends").expect("without a panic");
        self.kubelet.abort();
    }
}

fn listen(folder: &Path, registered: mpsc::UnboundedSender<RegisterRequest>) -> tokio::task::JoinHandle<()> {
    let listener = UnixListener::bind(folder.join("kubelet.sock")).unwrap();
    tokio::spawn(async move {
        Server::builder()
            .add_service(RegistrationServer::new(Kubelet { registered }))
            .serve_with_incoming(UnixListenerStream::new(listener))
            .await
            .unwrap();
    })
}

async fn devices(stream: &mut Streaming<ListAndWatchResponse>) -> Vec<(String, String)> {
    let message = tokio::time::timeout(SOON, stream.message()).await.expect("a message").unwrap().expect("no end");
    message.devices.into_iter().map(|device| (device.id, device.health)).collect()
}

fn container(ids: &[&str]) -> AllocateRequest {
    let devices_ids = ids.iter().map(|id| (*id).to_owned()).collect();
    AllocateRequest { container_requests: vec![ContainerAllocateRequest { devices_ids }] }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_container_gets_the_gpus_that_it_was_allocated() {
    let config = Config { count: 4, allocate: Allocation::Devices, ..Config::default() };
    let mut node = Node::start(config).await;
    let registration = node.registration().await;
    assert_eq!((registration.version.as_str(), registration.resource_name.as_str()), ("v1beta1", "nvidia.com/gpu"));
    let mut client = node.client(&registration.endpoint).await;
    let options = client.get_device_plugin_options(Empty {}).await.unwrap().into_inner();
    assert_eq!(Some(options), registration.options);

    let mut stream = client.list_and_watch(Empty {}).await.unwrap().into_inner();
    let found = devices(&mut stream).await;
    assert_eq!(found.len(), 4);
    assert!(found.iter().all(|(_, health)| health == "Healthy"));
    let ids: Vec<&str> = found.iter().map(|(id, _)| id.as_str()).collect();

    let ask = ContainerPreferredAllocationRequest {
        available_device_ids: found.iter().rev().map(|(id, _)| id.clone()).collect(),
        must_include_device_ids: Vec::new(),
        allocation_size: 2,
    };
    let request = PreferredAllocationRequest { container_requests: vec![ask] };
    let preferred = client.get_preferred_allocation(request).await.unwrap().into_inner();
    assert_eq!(preferred.container_responses[0].device_ids, ids[..2]);

    let answer = client.allocate(container(&[ids[3], ids[1]])).await.unwrap().into_inner();
    let answer = &answer.container_responses[0];
    assert_eq!(answer.envs["NVIDIA_VISIBLE_DEVICES"], format!("{},{}", ids[1], ids[3]));
    let paths: Vec<&str> = answer.devices.iter().map(|device| device.container_path.as_str()).collect();
    assert_eq!(paths, ["/dev/nvidia1", "/dev/nvidia3"]);
    let program = Path::new(&answer.mounts[0].host_path);
    assert_eq!((program, answer.mounts[0].read_only), (node.host().join("nvidia-smi").as_path(), true));
    assert!(program.is_file(), "the mount's source is on the node");
    let (text, code) = smi::run(&["-L".to_owned()], answer.envs.get(smi::VARIABLE).map(String::as_str));
    assert_eq!(code, 0);
    assert_eq!(
        text,
        format!("GPU 0: NVIDIA A100-SXM4-40GB (UUID: {})\nGPU 1: NVIDIA A100-SXM4-40GB (UUID: {})\n", ids[1], ids[3])
    );
    let unknown = client.allocate(container(&["GPU-of-another-node"])).await.unwrap_err();
    assert_eq!(unknown.code(), tonic::Code::NotFound);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_gpu_that_is_marked_on_the_node_turns_unhealthy_and_back() {
    let mut node = Node::start(Config { count: 2, ..Config::default() }).await;
    let registration = node.registration().await;
    let mut client = node.client(&registration.endpoint).await;
    let mut stream = client.list_and_watch(Empty {}).await.unwrap().into_inner();
    let health = |found: Vec<(String, String)>| found.into_iter().map(|(_, health)| health).collect::<Vec<_>>();
    assert_eq!(health(devices(&mut stream).await), ["Healthy", "Healthy"]);
    std::fs::write(node.host().join("unhealthy"), "1\n").unwrap();
    assert_eq!(health(devices(&mut stream).await), ["Healthy", "Unhealthy"]);
    std::fs::remove_file(node.host().join("unhealthy")).unwrap();
    assert_eq!(health(devices(&mut stream).await), ["Healthy", "Healthy"]);
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn ordered_failures_happen_and_leave_the_other_gpus_alone() {
    let failure =
        |kind, device, after_seconds| Failure { kind, device: Some(device), after_seconds, for_seconds: None };
    let failures = vec![
        failure(FailureKind::Missing, 0, 0),
        failure(FailureKind::Refuses, 1, 0),
        failure(FailureKind::Unhealthy, 2, 1),
    ];
    let began = Instant::now();
    let mut node = Node::start(Config { count: 4, failures, ..Config::default() }).await;
    let registration = node.registration().await;
    let mut client = node.client(&registration.endpoint).await;
    let mut stream = client.list_and_watch(Empty {}).await.unwrap().into_inner();
    let mut found = devices(&mut stream).await;
    assert_eq!(found.len(), 3, "GPU 0 is missing from the start");
    while found[1].1 == "Healthy" {
        found = devices(&mut stream).await;
    }
    assert!(began.elapsed() >= Duration::from_secs(1), "not before its time");
    assert_eq!((found[0].1.as_str(), found[1].1.as_str(), found[2].1.as_str()), ("Healthy", "Unhealthy", "Healthy"));
    let refused = client.allocate(container(&[found[0].0.as_str()])).await.unwrap_err();
    assert!(refused.message().contains("refuses"), "{refused:?}");
    client.allocate(container(&[found[2].0.as_str()])).await.expect("the last one works");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn it_registers_again_when_the_kubelet_comes_back() {
    let mut node = Node::start(Config::default()).await;
    let endpoint = node.registration().await.endpoint;
    node.kubelet.abort();
    // As a kubelet does that starts: it empties its folder, then listens anew.
    for file in std::fs::read_dir(node.plugins()).unwrap() {
        std::fs::remove_file(file.unwrap().path()).unwrap();
    }
    node.kubelet = listen(&node.plugins(), node.sender.clone());
    assert_eq!(node.registration().await.endpoint, endpoint);
    let mut client = node.client(&endpoint).await;
    let mut stream = client.list_and_watch(Empty {}).await.unwrap().into_inner();
    assert_eq!(devices(&mut stream).await.len(), 1, "and serves as before");
    node.end().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_kubelet_that_comes_late_is_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let config = Config {
        plugin_folder: folder.path().to_owned(),
        host_folder: folder.path().join("host"),
        ..Config::default()
    };
    let (stop, stopped) = watch::channel(false);
    let serving = tokio::spawn(async move { serve(&config, "node-1", stopped).await });
    let socket = folder.path().join(socket_name("nvidia.com/gpu"));
    let deadline = Instant::now() + SOON;
    while !socket.exists() {
        assert!(Instant::now() < deadline, "it serves before there is a kubelet");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let (sender, mut registrations) = mpsc::unbounded_channel();
    let kubelet = listen(folder.path(), sender);
    tokio::time::timeout(SOON, registrations.recv()).await.expect("a registration").expect("a kubelet");
    stop.send(true).unwrap();
    tokio::time::timeout(SOON, serving).await.expect("it ends").unwrap().unwrap();
    assert!(!socket.exists(), "it takes its socket away, by which the kubelet knows");
    kubelet.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn one_process_serves_shares_and_slices_as_resources_of_their_own() {
    let resources = vec![
        Resource { name: "nvidia.com/gpu.shared".into(), replicas: 4, ..Resource::default() },
        Resource { name: "nvidia.com/mig-1g.5gb".into(), slices: Some(7), ..Resource::default() },
    ];
    let config = Config { count: 2, resources, allocate: Allocation::Cdi, ..Config::default() };
    let mut node = Node::start(config).await;
    let mut counts = std::collections::BTreeMap::new();
    for _ in 0..2 {
        let registration = node.registration().await;
        let mut client = node.client(&registration.endpoint).await;
        let mut stream = client.list_and_watch(Empty {}).await.unwrap().into_inner();
        let found = devices(&mut stream).await;
        if registration.resource_name.ends_with("shared") {
            let both = [found[0].0.as_str(), found[1].0.as_str()];
            let answer = client.allocate(container(&both)).await.unwrap().into_inner();
            let answer = &answer.container_responses[0];
            assert_eq!(answer.cdi_devices.len(), 1, "two shares of one GPU are one GPU");
            assert_eq!(answer.cdi_devices[0].name, "wbk-infra.dev/fake-gpu=0");
            assert!(answer.mounts.is_empty(), "the CDI specification has the mount");
        }
        counts.insert(registration.resource_name, found.len());
    }
    let counts: Vec<(&str, usize)> = counts.iter().map(|(name, count)| (name.as_str(), *count)).collect();
    assert_eq!(counts, [("nvidia.com/gpu.shared", 8), ("nvidia.com/mig-1g.5gb", 14)]);
    let file = node.folder.path().join("cdi/wbk-infra.dev-fake-gpu.json");
    let specification: serde_json::Value = serde_json::from_slice(&std::fs::read(file).unwrap()).unwrap();
    assert_eq!(specification["devices"].as_array().unwrap().len(), 2);
    node.end().await;
}

//! Serves the plugins and keeps them registered: serve first, then register, and again whenever the kubelet restarts.

use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use hyper_util::rt::TokioIo;
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::watch;
use tokio_stream::wrappers::UnixListenerStream;
use tonic::transport::{Channel, Endpoint, Server, Uri};

use crate::api::device_plugin::device_plugin_server::DevicePluginServer;
use crate::api::registration::registration_client::RegistrationClient;
use crate::api::{KUBELET_SOCKET, RegisterRequest, VERSION};
use crate::config::{Allocation, Config};
use crate::devices::Node;
use crate::plugin::{Plugin, SMI, options};
use crate::{cdi, say};

/// How often the sockets are looked at. A kubelet that restarts removes ours and makes its own anew, and takes seconds.
const LOOK: Duration = Duration::from_millis(500);
/// A kubelet answers a registration in milliseconds; one that starts may not at all.
const REGISTER: Duration = Duration::from_secs(5);

/// The plugin could not start or go on.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A file of the node could not be written.
    #[error("cannot write {}", path.display())]
    File {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
    /// A socket could not be made.
    #[error("cannot listen at {}", path.display())]
    Listen {
        /// Which.
        path: PathBuf,
        /// Why not.
        #[source]
        source: std::io::Error,
    },
}

/// Serves every resource of the configuration until `stop` says so; then takes the sockets away, by which the kubelet knows.
///
/// # Errors
/// The node's folders cannot be written. A kubelet that is not there is waited for.
pub async fn serve(config: &Config, node_name: &str, stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    let node = Node::new(node_name, config);
    install(config, &node)?;
    let began = Instant::now();
    let mut running = tokio::task::JoinSet::new();
    for resource in &config.resources {
        let plugin = Plugin::new(node.clone(), resource.clone(), config, began);
        let (folder, stop) = (config.plugin_folder.clone(), stop.clone());
        running.spawn(async move { keep(plugin, &folder, stop).await });
    }
    while let Some(ended) = running.join_next().await {
        match ended {
            Ok(result) => result?,
            Err(panicked) => std::panic::resume_unwind(panicked.into_panic()),
        }
    }
    Ok(())
}

/// The name of a resource's socket in the kubelet's folder.
pub fn socket_name(resource: &str) -> String {
    let plain: String = resource.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect();
    format!("wbk-fake-gpu-{plain}.sock")
}

/// Puts `nvidia-smi` on the node, and the CDI specification where it is used.
fn install(config: &Config, node: &Node) -> Result<(), ServeError> {
    let at = |path: &Path| {
        let path = path.to_owned();
        move |source| ServeError::File { path, source }
    };
    let folder = &config.host_folder;
    std::fs::create_dir_all(folder).map_err(at(folder))?;
    let program = folder.join(SMI);
    // Containers may run the old one right now: it is replaced, not written over.
    let new = folder.join(format!(".{SMI}.new"));
    std::fs::copy("/proc/self/exe", &new).map_err(at(&new))?;
    std::fs::set_permissions(&new, std::fs::Permissions::from_mode(0o755)).map_err(at(&new))?;
    std::fs::rename(&new, &program).map_err(at(&program))?;
    if config.allocate == Allocation::Cdi {
        std::fs::create_dir_all(&config.cdi_folder).map_err(at(&config.cdi_folder))?;
        let (file, new) = (config.cdi_folder.join(cdi::FILE), config.cdi_folder.join(format!(".{}.new", cdi::FILE)));
        std::fs::write(&new, cdi::specification(node, folder).to_string()).map_err(at(&new))?;
        std::fs::rename(&new, &file).map_err(at(&file))?;
    }
    Ok(())
}

/// Serves and registers one plugin, again after every restart of the kubelet.
async fn keep(plugin: Plugin, folder: &Path, mut stop: watch::Receiver<bool>) -> Result<(), ServeError> {
    let socket = folder.join(socket_name(plugin.resource()));
    let kubelet = folder.join(KUBELET_SOCKET);
    let watching = tokio::spawn({
        let plugin = plugin.clone();
        async move { plugin.watch().await }
    });
    let result = loop {
        let (end, ended) = tokio::sync::oneshot::channel::<()>();
        // One that a killed predecessor left is nobody's: nothing listens there.
        if let Err(source) = remove(&socket) {
            break Err(ServeError::File { path: socket.clone(), source });
        }
        let listener = match UnixListener::bind(&socket) {
            Ok(listener) => listener,
            Err(source) => break Err(ServeError::Listen { path: socket.clone(), source }),
        };
        let server = tokio::spawn(
            Server::builder().add_service(DevicePluginServer::new(plugin.clone())).serve_with_incoming_shutdown(
                UnixListenerStream::new(listener),
                async {
                    // The sender goes away without a word when this is over: that is the signal too.
                    let _ = ended.await;
                },
            ),
        );
        let stopped = registered(&plugin, &kubelet, &socket, &mut stop).await;
        drop(end);
        // An open ListAndWatch would hold a graceful end up: it ends with the kubelet's connection, or here.
        server.abort();
        if stopped {
            break remove(&socket).map_err(|source| ServeError::File { path: socket.clone(), source });
        }
        say(&format!("{}: the kubelet restarted; serving and registering again", plugin.resource()));
    };
    watching.abort();
    result
}

/// Registers and watches the sockets; ends when a new registration is due (`false`) or all is over (`true`).
async fn registered(plugin: &Plugin, kubelet: &Path, socket: &Path, stop: &mut watch::Receiver<bool>) -> bool {
    let mut known: Option<Inode> = None;
    let mut complained = false;
    loop {
        if *stop.borrow() {
            return true;
        }
        let now = inode(kubelet);
        if inode(socket).is_none() || (known.is_some() && now.is_some() && now != known) {
            return false;
        }
        if known.is_none() && now.is_some() {
            match register(kubelet, socket, plugin.resource()).await {
                Ok(()) => {
                    say(&format!("{}: registered with {} healthy devices", plugin.resource(), plugin.healthy()));
                    known = now;
                }
                Err(why) if !complained => {
                    say(&format!("{}: the kubelet does not take the registration yet: {why}", plugin.resource()));
                    complained = true;
                }
                Err(_) => {}
            }
        }
        tokio::select! {
            () = tokio::time::sleep(LOOK) => {}
            changed = stop.changed() => if changed.is_err() { return true },
        }
    }
}

/// Tells the kubelet of a socket.
async fn register(kubelet: &Path, socket: &Path, resource: &str) -> Result<(), String> {
    let channel = tokio::time::timeout(REGISTER, connect(kubelet)).await.map_err(|_| "no answer".to_owned())?;
    let mut client = RegistrationClient::new(channel.map_err(|error| error.to_string())?);
    let request = RegisterRequest {
        version: VERSION.into(),
        endpoint: socket.file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
        resource_name: resource.into(),
        options: Some(options()),
    };
    let answer = tokio::time::timeout(REGISTER, client.register(request)).await.map_err(|_| "no answer".to_owned())?;
    answer.map(drop).map_err(|status| status.message().to_owned())
}

/// A gRPC connection to a unix socket.
///
/// # Errors
/// Nobody listens there.
pub async fn connect(socket: &Path) -> Result<Channel, tonic::transport::Error> {
    let socket = socket.to_owned();
    // The address is not used: the connector knows where to go.
    Endpoint::from_static("http://localhost")
        .connect_with_connector(tower::service_fn(move |_: Uri| {
            let socket = socket.clone();
            async move { UnixStream::connect(socket).await.map(TokioIo::new) }
        }))
        .await
}

type Inode = (u64, i64, i64);

/// What tells a socket from its successor: file systems use inode numbers again at once, so the time is in it.
fn inode(path: &Path) -> Option<Inode> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.ino(), metadata.ctime(), metadata.ctime_nsec()))
}

fn remove(path: &Path) -> std::io::Result<()> {
    match std::fs::remove_file(path) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

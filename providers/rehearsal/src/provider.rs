//! The rehearsed cloud behind the trait that every provider implements.

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use wbk_provider_api::{
    Access, LeftBehind, Leftover, Observed, Operation, OperationAction, Progress, ProgressSink, Provider,
    ProviderError, ProviderKind, ProviderTarget, Wanted,
};
use wbk_provider_local::LocalProvider;

use crate::fault::{Fault, Happened};
use crate::{rehearsed, system};

/// What a throttled request waits before it is sent again; clouds ask for one second and more.
const THROTTLED: Duration = Duration::from_secs(1);

/// What is rehearsed and what shall go wrong; a file, so that several processes share it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rehearsal {
    /// What goes wrong, each once.
    pub faults: Vec<Fault>,
    /// Where it is kept which of them happened.
    pub happened: PathBuf,
}

impl Rehearsal {
    /// Whether it has gone wrong already.
    pub fn has_happened(&self, fault: &Fault) -> bool {
        Happened::new(&self.happened).has(&fault.to_string())
    }

    /// Reads the file that another process wrote.
    ///
    /// # Errors
    /// It cannot be read, or is none.
    pub fn read(path: &Path) -> std::io::Result<Self> {
        Ok(serde_json::from_slice(&std::fs::read(path)?)?)
    }
}

/// A cloud that is played.
#[derive(Debug, Clone)]
pub struct RehearsalProvider {
    local: LocalProvider,
    kind: ProviderKind,
    faults: Vec<Fault>,
    happened: Happened,
}

impl RehearsalProvider {
    /// Plays a cluster of `kind` on local clusters.
    pub fn new(local: LocalProvider, kind: ProviderKind, rehearsal: &Rehearsal) -> Self {
        Self { local, kind, faults: rehearsal.faults.clone(), happened: Happened::new(&rehearsal.happened) }
    }

    /// What goes wrong before the cloud does what it is asked.
    async fn trouble(&self, operation: &Operation, progress: ProgressSink<'_>) -> Result<(), ProviderError> {
        let first = |what: String| {
            self.happened.first(&what).map_err(|source| ProviderError {
                attempted: "cannot keep what went wrong in the rehearsal".into(),
                left: LeftBehind::Nothing,
                hint: None,
                source: Some(Box::new(source)),
            })
        };
        for fault in &self.faults {
            match (fault, &operation.target, operation.action) {
                (Fault::Stockout { pool }, ProviderTarget::NodePool(name), OperationAction::Create) if pool == name => {
                    if first(fault.to_string())? {
                        return Err(ProviderError {
                            attempted: format!(
                                "cannot create node pool {name}: the zone has no capacity for it now (rehearsed)"
                            ),
                            left: LeftBehind::Nothing,
                            hint: Some("apply again later, or allow other zones or machine types".into()),
                            source: None,
                        });
                    }
                }
                (Fault::Throttle, target, _) => {
                    if first(format!("throttle {target} {:?}", operation.action))? {
                        progress(Progress(format!(
                            "{} asks for fewer requests (rehearsed): again in {} s",
                            self.kind,
                            THROTTLED.as_secs()
                        )));
                        tokio::time::sleep(THROTTLED).await;
                    }
                }
                // The last two happen to a running platform and to the tool: whoever rehearses sees to them.
                (Fault::Stockout { .. } | Fault::SpotReclaim | Fault::KillAfter { .. }, _, _) => {}
            }
        }
        Ok(())
    }
}

#[async_trait]
impl Provider for RehearsalProvider {
    fn kind(&self) -> ProviderKind {
        self.kind
    }

    async fn observe(&self, wanted: &Wanted) -> Observed {
        self.local.observe(&rehearsed(wanted)).await
    }

    fn plan(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        self.local.plan(&rehearsed(wanted), seen)
    }

    fn plan_destroy(&self, wanted: &Wanted, seen: &Observed) -> Vec<Operation> {
        self.local.plan_destroy(&rehearsed(wanted), seen)
    }

    async fn perform(
        &self,
        wanted: &Wanted,
        operation: &Operation,
        token: &str,
        progress: ProgressSink<'_>,
    ) -> Result<(), ProviderError> {
        self.trouble(operation, progress).await?;
        let local = rehearsed(wanted);
        self.local.perform(&local, operation, token, progress).await?;
        let made = matches!(operation.action, OperationAction::Create | OperationAction::Start);
        if made && matches!(operation.target, ProviderTarget::Cluster(_)) {
            let failed = |source: Box<dyn std::error::Error + Send + Sync>| ProviderError {
                attempted: format!("cannot put into the cluster what {} runs there itself", self.kind),
                left: LeftBehind::Partial,
                hint: None,
                source: Some(source),
            };
            let access = self.local.access(&local).await?;
            let client = client(&access).await.map_err(|error| failed(error.into()))?;
            system::install(&client, wanted).await.map_err(|error| failed(error.into()))?;
        }
        Ok(())
    }

    async fn access(&self, wanted: &Wanted) -> Result<Access, ProviderError> {
        self.local.access(&rehearsed(wanted)).await
    }

    async fn leftovers(&self, wanted: &Wanted) -> Vec<Leftover> {
        self.local.leftovers(&rehearsed(wanted)).await
    }
}

async fn client(access: &Access) -> Result<kube::Client, kube::Error> {
    let options = kube::config::KubeConfigOptions {
        context: Some(access.context.clone()),
        ..kube::config::KubeConfigOptions::default()
    };
    let config = kube::Config::from_custom_kubeconfig(access.kubeconfig.clone(), &options)
        .await
        .map_err(|error| kube::Error::Service(Box::new(error)))?;
    kube::Client::try_from(config)
}

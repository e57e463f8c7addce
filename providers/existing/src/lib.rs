//! Any cluster that a kubeconfig context names. It is neither made nor removed here, and its nodes are somebody else's:
//! this provider reads the kubeconfig, and says whether the API server can be asked.

use std::path::PathBuf;

use async_trait::async_trait;
use kube::config::Kubeconfig;
use wbk_provider_api::{
    Access, ClusterSeen, LeftBehind, Leftover, Observed, Operation, ProgressSink, Provider, ProviderError,
    ProviderKind, Seen, Wanted, Why,
};

/// Clusters of kubeconfigs.
#[derive(Debug, Clone)]
pub struct ExistingProvider {
    files: Vec<PathBuf>,
    context: Option<String>,
}

impl ExistingProvider {
    /// `files` is what `KUBECONFIG` lists, or the standard file; `context` goes before the blueprint's.
    pub fn new(files: Vec<PathBuf>, context: Option<String>) -> Self {
        Self { files, context }
    }

    fn kubeconfig(&self, wanted: &Wanted) -> Result<Kubeconfig, ProviderError> {
        let files = match &wanted.cluster.kubeconfig {
            Some(file) => vec![PathBuf::from(file)],
            None => self.files.clone(),
        };
        let mut merged: Option<Kubeconfig> = None;
        for file in files.iter().filter(|file| files.len() == 1 || file.exists()) {
            let failed = |source: kube::config::KubeconfigError| ProviderError {
                attempted: format!("read the kubeconfig {}", file.display()),
                left: LeftBehind::Nothing,
                hint: Some("set cluster.kubeconfig or KUBECONFIG to a kubeconfig that this user may read".into()),
                source: Some(Box::new(source)),
            };
            let next = Kubeconfig::read_from(file).map_err(failed)?;
            merged = Some(match merged {
                Some(before) => before.merge(next).map_err(failed)?,
                None => next,
            });
        }
        merged.ok_or_else(|| ProviderError {
            attempted: "find a kubeconfig".into(),
            left: LeftBehind::Nothing,
            hint: Some("set cluster.kubeconfig or KUBECONFIG".into()),
            source: None,
        })
    }
}

#[async_trait]
impl Provider for ExistingProvider {
    fn kind(&self) -> ProviderKind {
        ProviderKind::Existing
    }

    async fn observe(&self, wanted: &Wanted) -> Observed {
        let cluster = match self.access(wanted).await {
            Ok(access) => Seen::Present(ClusterSeen {
                version: None,
                running: true,
                fingerprint: access.context,
                deviations: Vec::new(),
            }),
            Err(error) => {
                let cause = error.source.as_ref().map(|source| format!(": {source}")).unwrap_or_default();
                Seen::Unknown(Why(format!("{error}{cause}")))
            }
        };
        Observed::of(cluster, std::collections::BTreeMap::new())
    }

    fn plan(&self, _wanted: &Wanted, _seen: &Observed) -> Vec<Operation> {
        Vec::new()
    }

    fn plan_destroy(&self, _wanted: &Wanted, _seen: &Observed) -> Vec<Operation> {
        Vec::new()
    }

    async fn perform(
        &self,
        _wanted: &Wanted,
        operation: &Operation,
        _token: &str,
        _progress: ProgressSink<'_>,
    ) -> Result<(), ProviderError> {
        Err(ProviderError {
            attempted: format!("change {} of an existing cluster", operation.target),
            left: LeftBehind::Nothing,
            hint: Some("an existing cluster's nodes belong to whoever made it; change them there".into()),
            source: None,
        })
    }

    async fn access(&self, wanted: &Wanted) -> Result<Access, ProviderError> {
        let kubeconfig = self.kubeconfig(wanted)?;
        let context = self
            .context
            .clone()
            .or_else(|| wanted.cluster.context.clone())
            .or_else(|| kubeconfig.current_context.clone());
        let names: Vec<String> = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
        match context {
            Some(context) if names.contains(&context) => Ok(Access { kubeconfig, context, simulated_nodes: false }),
            Some(context) => Err(ProviderError {
                attempted: format!("find the context {context:?} in the kubeconfig"),
                left: LeftBehind::Nothing,
                hint: Some(format!("it has: {}", names.join(", "))),
                source: None,
            }),
            None => Err(ProviderError {
                attempted: "choose a context of the kubeconfig".into(),
                left: LeftBehind::Nothing,
                hint: Some(format!("set cluster.context or --context to one of: {}", names.join(", "))),
                source: None,
            }),
        }
    }

    async fn leftovers(&self, _wanted: &Wanted) -> Vec<Leftover> {
        Vec::new()
    }
}

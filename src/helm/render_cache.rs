//! Renders kept between runs, so that a plan of an unchanged blueprint starts no helm.

use std::path::PathBuf;

use serde_json::json;

use super::command::create_private_folder;
use super::error::HelmError;
use super::render::{RenderRequest, RenderWorld, Rendered, SecretValues};
use super::version::HelmVersion;
use crate::id::Digest;

/// Changes when a render of the same inputs could come out otherwise: what is kept in [`Rendered`], or how it is made.
const FORMAT: u32 = 1;
/// Most renders kept; the oldest go first. A blueprint has a few dozen releases, and one render has some 10 KiB to 1 MiB.
const MOST: usize = 256;

/// Where renders are kept. No value of a Secret is ever in there.
#[derive(Debug, Clone)]
pub struct RenderCache(Option<PathBuf>);

impl RenderCache {
    /// In a folder, which is made at the first use.
    pub fn in_folder(folder: PathBuf) -> Self {
        Self(Some(folder))
    }

    /// Nowhere.
    pub fn none() -> Self {
        Self(None)
    }

    /// Everything that a render depends on.
    pub(super) fn key(&self, helm: &HelmVersion, request: &RenderRequest<'_>, world: &RenderWorld<'_>) -> Digest {
        Digest::of_json(&json!({
            "format": FORMAT,
            "tool": env!("CARGO_PKG_VERSION"),
            "helm": helm.to_string(),
            "chart": request.chart.digest.0,
            "values": Digest::of_json(request.values).0,
            "name": request.release.name,
            "namespace": request.release.namespace,
            "kubeVersion": world.kube_version,
            "apiVersions": world.api_versions,
            "exists": request.exists,
        }))
    }

    /// The render, where there is one that will do.
    pub(super) fn get(&self, key: &Digest, secrets: SecretValues) -> Option<Rendered> {
        let path = self.path(key)?;
        // Absent, unreadable or of another format: helm renders it again.
        let rendered: Rendered = serde_json::from_slice(&std::fs::read(path).ok()?).ok()?;
        match secrets {
            SecretValues::Withheld => Some(rendered),
            SecretValues::Shown => (!rendered.has_secrets).then_some(rendered),
        }
    }

    /// Keeps a render whose Secrets were emptied.
    pub(super) fn put(&self, key: &Digest, withheld: &Rendered) {
        if let Err(error) = self.try_put(key, withheld) {
            // A cache that cannot be written costs the next plan time, and nothing else.
            tracing::debug!(%error, "render not kept");
        }
    }

    fn path(&self, key: &Digest) -> Option<PathBuf> {
        self.0.as_ref().map(|folder| folder.join(format!("{key}.json")))
    }

    fn try_put(&self, key: &Digest, withheld: &Rendered) -> Result<(), HelmError> {
        let (Some(folder), Some(path)) = (&self.0, self.path(key)) else { return Ok(()) };
        create_private_folder(folder)?;
        let io = |source| HelmError::Io { what: "keep render", path: path.clone(), source };
        // tempfile makes it with mode 0600; the rename shows other processes all of it or nothing.
        let mut file = tempfile::NamedTempFile::new_in(folder).map_err(io)?;
        serde_json::to_writer(std::io::BufWriter::new(file.as_file_mut()), withheld)
            .map_err(|error| io(std::io::Error::other(error)))?;
        file.persist(&path).map_err(|error| io(error.error))?;
        let mut all: Vec<_> = std::fs::read_dir(folder)
            .map_err(io)?
            .filter_map(Result::ok)
            .filter_map(|entry| Some((entry.metadata().ok()?.modified().ok()?, entry.path())))
            .collect();
        all.sort();
        for (_, old) in all.iter().take(all.len().saturating_sub(MOST)) {
            // Another process may have removed it first.
            let _ = std::fs::remove_file(old);
        }
        Ok(())
    }
}

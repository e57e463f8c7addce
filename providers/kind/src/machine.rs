//! kind and the container engine, in typed calls.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use wbk_provider_api::{Progress, ProgressSink};

use crate::command::{Call, run};
use crate::containers::{self, CLUSTER_LABEL, Container};
use crate::pins::KIND_VERSION;
use crate::{KindError, Settings};

/// The engine answers in tens of milliseconds; one that does not in this time hangs.
const ENGINE: Duration = Duration::from_secs(60);
/// Removing a node stops its containers first.
const REMOVE: Duration = Duration::from_secs(600);
/// Three nodes took 22 to 36 s on two busy cores with the image there; the rest is for a pull of its 500 MB on a slow line.
const CREATE: Duration = Duration::from_secs(1500);
/// An image of a few MB is copied to each node.
const LOAD: Duration = Duration::from_secs(300);
/// `go install` of kind took 8 s with warm caches; the rest is for downloads.
const BUILD: Duration = Duration::from_secs(900);

/// A container engine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Engine {
    /// `docker`, `podman` or `nerdctl`.
    pub name: &'static str,
    /// Where it is.
    pub program: PathBuf,
}

/// The engines that kind knows.
const ENGINES: [&str; 4] = ["docker", "podman", "nerdctl", "finch"];

/// This machine, as far as kind clusters go.
#[derive(Debug, Clone)]
pub(crate) struct Machine {
    settings: Settings,
}

impl Machine {
    pub(crate) fn new(settings: Settings) -> Self {
        Self { settings }
    }

    pub(crate) fn settings(&self) -> &Settings {
        &self.settings
    }

    /// The engine that is asked for, or the first that is there.
    pub(crate) fn engine(&self) -> Result<Engine, KindError> {
        let asked = self.settings.engine.as_deref();
        if let Some(other) = asked.filter(|asked| !ENGINES.contains(asked)) {
            return Err(KindError::NoProgram {
                program: format!("the container engine {other}"),
                tried: format!("kind knows {}", ENGINES.join(", ")),
                hint: "set KIND_EXPERIMENTAL_PROVIDER to one of them, or remove it".into(),
            });
        }
        ENGINES
            .into_iter()
            .filter(|name| asked.is_none_or(|asked| asked == *name))
            .find_map(|name| Some(Engine { name, program: self.settings.which(name)? }))
            .ok_or_else(|| KindError::NoProgram {
                program: asked.unwrap_or("a container engine").to_owned(),
                tried: format!("PATH has no {}", asked.unwrap_or("docker, podman or nerdctl")),
                hint: "install Docker, podman or nerdctl; without any, use `provider: local`".into(),
            })
    }

    /// kind: of PATH, or the one that was built, or built now.
    pub(crate) async fn kind(&self, progress: Option<ProgressSink<'_>>) -> Result<PathBuf, KindError> {
        if let Some(found) = self.kind_there() {
            return Ok(found);
        }
        let missing = |tried: &str| KindError::NoProgram {
            program: "kind".into(),
            tried: tried.into(),
            hint: format!(
                "install kind ({KIND_VERSION} or newer) or go: https://kind.sigs.k8s.io/docs/user/quick-start"
            ),
        };
        if !self.settings.builds {
            return Err(missing("PATH has none"));
        }
        let go = self.settings.which("go").ok_or_else(|| missing("PATH has neither kind nor go to build it"))?;
        let built = self.built_kind();
        let folder = built.parent().expect("it is in a folder").to_path_buf();
        std::fs::create_dir_all(&folder).map_err(KindError::file("create directory", &folder))?;
        if let Some(progress) = progress {
            progress(Progress(format!("building kind {KIND_VERSION}")));
        }
        let call = Call {
            program: &go,
            args: vec!["install".into(), format!("sigs.k8s.io/kind@{KIND_VERSION}")],
            variables: vec![("GOBIN", folder.display().to_string()), ("CGO_ENABLED", "0".into())],
            within: BUILD,
        };
        run(&self.settings, call, None).await?;
        Ok(built)
    }

    /// kind, where it is there already.
    pub(crate) fn kind_there(&self) -> Option<PathBuf> {
        let built = self.built_kind();
        self.settings.which("kind").or_else(|| crate::settings::is_executable(&built).then_some(built))
    }

    fn built_kind(&self) -> PathBuf {
        self.settings.cache_dir.join("kind").join(KIND_VERSION).join("kind")
    }

    async fn run_engine(&self, args: &[&str], within: Duration) -> Result<String, KindError> {
        let engine = self.engine()?;
        let args = args.iter().map(|arg| (*arg).to_owned()).collect();
        run(&self.settings, Call { program: &engine.program, args, variables: Vec::new(), within }, None).await
    }

    async fn run_kind(
        &self,
        args: Vec<String>,
        within: Duration,
        progress: Option<ProgressSink<'_>>,
    ) -> Result<String, KindError> {
        let (kind, engine) = (self.kind(progress).await?, self.engine()?);
        // Docker is what it takes by itself, and for that it takes no word.
        let variables = match engine.name {
            "docker" => Vec::new(),
            other => vec![("KIND_EXPERIMENTAL_PROVIDER", other.to_owned())],
        };
        run(&self.settings, Call { program: &kind, args, variables, within }, progress).await
    }

    /// The engine's version, as proof that its daemon answers.
    pub(crate) async fn engine_version(&self) -> Result<String, KindError> {
        self.run_engine(&["version", "--format", "{{.Server.Version}}"], ENGINE)
            .await
            .map(|text| text.trim().to_owned())
    }

    /// kind's version, as it says it.
    pub(crate) async fn kind_version(&self) -> Result<String, KindError> {
        self.run_kind(vec!["version".into()], ENGINE, None).await.map(|text| text.trim().to_owned())
    }

    /// All containers of a cluster.
    pub(crate) async fn containers(&self, cluster: &str) -> Result<Vec<Container>, KindError> {
        let filter = format!("label={CLUSTER_LABEL}={cluster}");
        let ids = self.run_engine(&["ps", "--all", "--quiet", "--no-trunc", "--filter", &filter], ENGINE).await?;
        let ids: Vec<&str> = ids.split_whitespace().collect();
        if ids.is_empty() {
            return Ok(Vec::new());
        }
        let args: Vec<&str> = ["inspect"].into_iter().chain(ids).collect();
        containers::read(&self.run_engine(&args, ENGINE).await?)
    }

    /// Names of the clusters that are there, ours or not.
    pub(crate) async fn clusters(&self) -> Result<BTreeSet<String>, KindError> {
        let format = format!("{{{{.Label \"{CLUSTER_LABEL}\"}}}}");
        let filter = format!("label={CLUSTER_LABEL}");
        let names = self.run_engine(&["ps", "--all", "--filter", &filter, "--format", &format], ENGINE).await?;
        Ok(names.split_whitespace().map(str::to_owned).collect())
    }

    /// Makes a cluster from kind's configuration.
    pub(crate) async fn create(
        &self,
        cluster: &str,
        config: &Path,
        kubeconfig: &Path,
        progress: ProgressSink<'_>,
    ) -> Result<(), KindError> {
        let mut args = vec!["create".into(), "cluster".into(), "--name".into(), cluster.to_owned()];
        // What failed is left for a look; the next apply takes it away.
        args.extend(["--retain".into(), "--wait".into(), "0s".into()]);
        args.extend(["--config".into(), config.display().to_string()]);
        // Never the user's.
        args.extend(["--kubeconfig".into(), kubeconfig.display().to_string()]);
        self.run_kind(args, CREATE, Some(progress)).await.map(drop)
    }

    /// Deletes a cluster; its entry in `kubeconfig` only.
    pub(crate) async fn delete(&self, cluster: &str, kubeconfig: &Path) -> Result<(), KindError> {
        let mut args = vec!["delete".into(), "cluster".into(), "--name".into(), cluster.to_owned()];
        args.extend(["--kubeconfig".into(), kubeconfig.display().to_string()]);
        self.run_kind(args, REMOVE, None).await.map(drop)
    }

    /// How to reach a cluster.
    pub(crate) async fn kubeconfig(&self, cluster: &str) -> Result<String, KindError> {
        self.run_kind(vec!["get".into(), "kubeconfig".into(), "--name".into(), cluster.to_owned()], ENGINE, None).await
    }

    /// Copies the images of an archive to nodes.
    pub(crate) async fn load(&self, cluster: &str, archive: &Path, nodes: &[String]) -> Result<(), KindError> {
        let mut args = vec!["load".into(), "image-archive".into(), archive.display().to_string()];
        args.extend(["--name".into(), cluster.to_owned(), "--nodes".into(), nodes.join(",")]);
        self.run_kind(args, LOAD, None).await.map(drop)
    }

    /// Starts containers that were stopped.
    pub(crate) async fn start(&self, names: &[&str]) -> Result<(), KindError> {
        let args: Vec<&str> = ["start"].into_iter().chain(names.iter().copied()).collect();
        self.run_engine(&args, REMOVE).await.map(drop)
    }

    /// Removes a container with its volumes, whatever it does.
    pub(crate) async fn remove(&self, name: &str) -> Result<(), KindError> {
        self.run_engine(&["rm", "--force", "--volumes", name], REMOVE).await.map(drop)
    }

    /// Names of the images that a node has.
    pub(crate) async fn images(&self, node: &str) -> Result<BTreeSet<String>, KindError> {
        let listed =
            self.run_engine(&["exec", node, "ctr", "--namespace=k8s.io", "images", "list", "--quiet"], ENGINE).await?;
        Ok(listed.lines().map(|line| line.trim().to_owned()).collect())
    }

    /// Whether a file is there in a running node.
    pub(crate) async fn has_file(&self, node: &str, path: &str) -> Result<bool, KindError> {
        match self.run_engine(&["exec", node, "test", "-e", path], ENGINE).await {
            Ok(_) => Ok(true),
            // `test` says no by 1; the engine's own failures have other codes.
            Err(KindError::Failed { said, .. })
                if said.ends_with("(exit status: 1)") && said.starts_with("it said") =>
            {
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Makes an empty file in a running node.
    pub(crate) async fn touch(&self, node: &str, path: &str) -> Result<(), KindError> {
        self.run_engine(&["exec", node, "touch", path], ENGINE).await.map(drop)
    }
}

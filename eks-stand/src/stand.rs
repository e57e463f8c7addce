//! The stand as a value: started, asked, disturbed, ended.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use serde_json::Value;

use crate::child::{Child, Program};
use crate::cluster::SECRET;
use crate::emulators::Emulators;
use crate::front::{Front, Issue, Place};
use crate::home::Home;
use crate::provide::{self, Tell, Venv};
use crate::requests::{Request, Requests};
use crate::{Settings, StandError};

/// A running stand. It ends with this value, with all that it started.
///
/// It works on threads of its own: a test may block, and may call it from any runtime.
pub struct Stand {
    parts: Option<Parts>,
    runtime: Option<tokio::runtime::Runtime>,
    env: Vec<(String, String)>,
    venv: Venv,
}

struct Parts {
    front: Arc<Front>,
    serving: tokio::task::JoinHandle<()>,
    moto: Child,
    fakecloud: Child,
    microburst: Option<Child>,
    home: Home,
    /// Where clients come.
    address: SocketAddr,
}

impl Stand {
    /// Starts one as this user's environment says.
    ///
    /// # Errors
    /// A program that it needs is not there and cannot be installed, or does not run.
    pub async fn start() -> Result<Self, StandError> {
        Self::start_with(Settings::of_environment(), |line| eprintln!("  {line}")).await
    }

    /// Starts one; `tell` hears what takes long.
    ///
    /// # Errors
    /// As [`Stand::start`].
    pub async fn start_with(
        settings: Settings,
        tell: impl Fn(&str) + Send + Sync + 'static,
    ) -> Result<Self, StandError> {
        let failed = |error: std::io::Error| StandError::plane("cannot start threads", &error);
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().map_err(failed)?;
        let started = runtime.spawn(async move {
            let programs = {
                let settings = settings.clone();
                // Blocks on files, pip and a compiler.
                tokio::task::spawn_blocking(move || programs(&settings, &tell)).await
            };
            let (venv, fakecloud) =
                programs.map_err(|error| StandError::plane("cannot provide programs", &error))??;
            let parts = Parts::start(&settings, &venv, fakecloud).await?;
            let env = parts.env(&settings);
            Ok((parts, env, venv))
        });
        let started = started
            .await
            .map_err(|error| StandError::plane("cannot start the stand", &error))
            .and_then(|started| started);
        match started {
            Ok((parts, env, venv)) => Ok(Self { parts: Some(parts), runtime: Some(runtime), env, venv }),
            Err(error) => {
                runtime.shutdown_background();
                Err(error)
            }
        }
    }

    /// The variables that make a program of AWS talk to it: endpoint, dummy keys, region.
    pub fn env(&self) -> Vec<(String, String)> {
        self.env.clone()
    }

    /// Its URL, `AWS_ENDPOINT_URL`.
    pub fn url(&self) -> &str {
        self.env.first().map_or("", |(_, url)| url)
    }

    /// The aws CLI that it installed.
    pub fn aws_cli(&self) -> PathBuf {
        self.venv.program("aws")
    }

    /// Every request so far, in the order of their answers.
    pub fn requests(&self) -> Vec<Request> {
        self.parts().front.requests.all()
    }

    /// Forgets them.
    pub fn forget_requests(&self) {
        self.parts().front.requests.clear();
    }

    /// Sets a quota of EC2 by its code, `L-DB2E81BA`.
    pub fn set_quota(&self, code: &str, value: f64) {
        self.parts().front.set_quota(code, value);
    }

    /// The next creation of a node group of this name, or whose label `wbk-infra/pool` says it, ends as CREATE_FAILED with this issue.
    pub fn fail_node_group(&self, pool: &str, code: &str, message: &str) {
        self.parts().front.fail_node_group(pool, Issue { code: code.into(), message: message.into() });
    }

    /// From now on AWS is so far away: every answer comes so much later; zero ends it. API servers of clusters are as near as before.
    pub fn delay(&self, delay: std::time::Duration) {
        self.parts().front.delay(delay);
    }

    /// From now on EC2's describes do not show a VPC, an internet gateway, a subnet or an address for so long after it was made; zero ends it.
    pub fn lag(&self, lag: std::time::Duration) {
        self.parts().front.lag(lag);
    }

    /// A node group that has nodes is DEGRADED from now on, with this issue.
    pub fn degrade_node_group(&self, cluster: &str, group: &str, code: &str, message: &str) {
        let issue = Issue { code: code.into(), message: message.into() };
        self.parts().front.degrade_node_group(cluster, group, Some(issue));
    }

    /// It is well again.
    pub fn heal_node_group(&self, cluster: &str, group: &str) {
        self.parts().front.degrade_node_group(cluster, group, None);
    }

    /// Capacity blocks that were bought begin now.
    pub fn begin_capacity_blocks(&self) {
        self.parts().front.begin_capacity_blocks();
    }

    /// What goes wrong from now on: microburst's rules (`[{"service": "eks", "operation": "CreateNodegroup", "times": 2, "error":
    /// {"code": "ThrottlingException", "status": 429}}]`; also `reset`, `latency`). An empty list takes them away.
    ///
    /// # Errors
    /// The stand was not started with [`Settings::faults`], or microburst refused them.
    pub async fn faults(&self, rules: &Value) -> Result<(), StandError> {
        let Some(microburst) = &self.parts().microburst else {
            return Err(StandError::Ask {
                whom: "microburst".into(),
                why: "the stand was started without it (Settings::faults)".into(),
            });
        };
        crate::faults::set(microburst.address, rules).await
    }

    /// Empties the account: no cluster, no role, no quota set, no request remembered. Faults stay.
    ///
    /// # Errors
    /// An emulator does not answer.
    pub async fn reset(&self) -> Result<(), StandError> {
        let front = Arc::clone(&self.parts().front);
        let runtime = self.runtime.as_ref().expect("it lives until it is dropped");
        let done = runtime.spawn(async move { front.reset().await });
        done.await.map_err(|error| StandError::plane("cannot reset", &error))?
    }

    fn parts(&self) -> &Parts {
        self.parts.as_ref().expect("they live until the stand is dropped")
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        let (Some(parts), Some(runtime)) = (self.parts.take(), self.runtime.take()) else { return };
        // A thread of its own: a runtime must not end one from within.
        let ended = std::thread::spawn(move || runtime.block_on(parts.end())).join();
        if ended.is_err() {
            eprintln!("the stand could not be ended");
        }
    }
}

fn programs(settings: &Settings, tell: Tell<'_>) -> Result<(Venv, PathBuf), StandError> {
    Ok((provide::venv(settings, tell)?, provide::fakecloud(settings, tell)?))
}

impl Parts {
    async fn start(settings: &Settings, venv: &Venv, fakecloud: PathBuf) -> Result<Self, StandError> {
        let home = Home::make(settings).await?;
        let python = venv.program("python");
        let moto = Program {
            name: "moto",
            path: venv.program("moto_server"),
            arguments: |port| ["-H", "127.0.0.1", "-p", &port.to_string()].map(Into::into).to_vec(),
            more: Vec::new(),
            // Without it AttachRolePolicy knows no policy of AWS.
            variables: vec![
                ("MOTO_IAM_LOAD_MANAGED_POLICIES", "true".into()),
                ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ],
        };
        let fakecloud = Program {
            name: "fakecloud",
            path: fakecloud,
            arguments: |port| ["--addr", &format!("127.0.0.1:{port}")].map(Into::into).to_vec(),
            more: vec!["--region".into(), settings.region.clone().into()],
            variables: Vec::new(),
        };
        let (moto, fakecloud) = tokio::try_join!(
            Child::start(&python, home.path(), &moto),
            Child::start(&python, home.path(), &fakecloud)
        )?;
        let place = Place::take().await?;
        let microburst = if settings.faults {
            let program = Program {
                name: "microburst",
                path: venv.program("microburst"),
                arguments: |port| ["--host", "127.0.0.1", "--port", &port.to_string()].map(Into::into).to_vec(),
                more: vec!["--upstream".into(), format!("http://{}", place.address).into()],
                variables: Vec::new(),
            };
            Some(Child::start(&python, home.path(), &program).await?)
        } else {
            None
        };
        let hosts: Arc<[String]> = [Some(place.address), microburst.as_ref().map(|child| child.address)]
            .into_iter()
            .flatten()
            .map(|host| host.to_string())
            .collect();
        let emulators = Emulators::new(moto.address, fakecloud.address, &settings.region);
        let front = Front::new(emulators, home.local(settings), hosts, Requests::new(settings.log.as_deref())?);
        let address = microburst.as_ref().map_or(place.address, |child| child.address);
        let serving = tokio::spawn(Arc::clone(&front).serve(place));
        Ok(Self { front, serving, moto, fakecloud, microburst, home, address })
    }

    /// Whoever uses it sees nothing of the user's own AWS: keys are dummies, and no profile, file or metadata server is asked.
    fn env(&self, settings: &Settings) -> Vec<(String, String)> {
        let nowhere = self.home.path().join("none").display().to_string();
        [
            ("AWS_ENDPOINT_URL", format!("http://{}", self.address)),
            ("AWS_ACCESS_KEY_ID", "test".into()),
            ("AWS_SECRET_ACCESS_KEY", SECRET.into()),
            ("AWS_REGION", settings.region.clone()),
            ("AWS_DEFAULT_REGION", settings.region.clone()),
            ("AWS_EC2_METADATA_DISABLED", "true".into()),
            ("AWS_CONFIG_FILE", nowhere.clone()),
            ("AWS_SHARED_CREDENTIALS_FILE", nowhere),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .to_vec()
    }

    async fn end(self) {
        self.serving.abort();
        self.front.end_planes().await;
        let end = |child: Option<Child>| async move {
            if let Some(child) = child {
                child.end().await;
            }
        };
        tokio::join!(end(Some(self.moto)), end(Some(self.fakecloud)), end(self.microburst));
        drop(self.home);
    }
}

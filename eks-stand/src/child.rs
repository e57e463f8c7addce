//! A program that the stand runs: on a free loopback port, with a log, and gone with the stand, however that ends.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::net::TcpStream;
use tokio::process::Command;
use tokio::time::Instant;

use crate::StandError;
use crate::provide::last_lines;

/// moto answers after 1 s on an idle machine and after 20 s on one that compiles; the rest is margin.
const READY: Duration = Duration::from_secs(120);
/// Between two looks at a port that nobody listens at yet.
const LOOK: Duration = Duration::from_millis(30);
/// The guard gives its program 5 s before it kills it.
const END: Duration = Duration::from_secs(8);
/// Starts with other ports, where somebody took ours between choosing and listening.
const ATTEMPTS: usize = 3;

const GUARD: &str = include_str!("guard.py");

/// How a program is started.
pub(crate) struct Program {
    /// Its name, for messages and its log.
    pub(crate) name: &'static str,
    /// The file.
    pub(crate) path: PathBuf,
    /// Its arguments, once its port is known.
    pub(crate) arguments: fn(u16) -> Vec<OsString>,
    /// Arguments after those.
    pub(crate) more: Vec<OsString>,
    /// Its variables; it gets no other but `PATH`, and a home of its own.
    pub(crate) variables: Vec<(&'static str, OsString)>,
}

/// A running program. It ends with this value.
pub(crate) struct Child {
    name: &'static str,
    guard: tokio::process::Child,
    log: PathBuf,
    /// Where it listens.
    pub(crate) address: SocketAddr,
}

impl Child {
    /// Starts it, in `folder`, and returns when it accepts connections.
    pub(crate) async fn start(python: &Path, folder: &Path, program: &Program) -> Result<Self, StandError> {
        let mut attempt = 1;
        loop {
            let mut child = Self::spawn(python, folder, program)?;
            match child.answers().await {
                Err(StandError::Child { log, .. }) if attempt < ATTEMPTS && in_use(&log) => attempt += 1,
                result => return result.map(|()| child),
            }
        }
    }

    fn spawn(python: &Path, folder: &Path, program: &Program) -> Result<Self, StandError> {
        let port = free_port()?;
        let log = folder.join(format!("{}.log", program.name));
        let file = std::fs::File::create(&log).map_err(StandError::file("create", &log))?;
        let same = file.try_clone().map_err(StandError::file("open", &log))?;
        let guard = Command::new(python)
            .args(["-c", GUARD])
            .arg(&program.path)
            .args((program.arguments)(port))
            .args(&program.more)
            .current_dir(folder)
            // No profile, proxy or region of the user's is for an emulator.
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", folder)
            .envs(program.variables.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::piped())
            .stdout(file)
            .stderr(same)
            // Ctrl-C is for the stand, which then ends them.
            .process_group(0)
            .spawn()
            .map_err(StandError::file("start", &program.path))?;
        Ok(Self { name: program.name, guard, log, address: SocketAddr::from((Ipv4Addr::LOCALHOST, port)) })
    }

    async fn answers(&mut self) -> Result<(), StandError> {
        let deadline = Instant::now() + READY;
        loop {
            if TcpStream::connect(self.address).await.is_ok() {
                return Ok(());
            }
            let ended = self.guard.try_wait().map_err(StandError::file("wait for", Path::new(self.name)))?;
            if ended.is_some() || Instant::now() > deadline {
                let what = ended.map_or_else(
                    || format!("it does not answer within {} s", READY.as_secs()),
                    |status| format!("it ended ({status})"),
                );
                // The log only adds to a message that stands without it.
                let log = last_lines(&std::fs::read_to_string(&self.log).unwrap_or_default());
                return Err(StandError::Child { program: self.name.into(), what, log });
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Ends it, and waits until it is gone.
    pub(crate) async fn end(mut self) {
        drop(self.guard.stdin.take());
        if tokio::time::timeout(END, self.guard.wait()).await.is_err() {
            eprintln!("{} does not end; its log is {}", self.name, self.log.display());
        }
    }
}

fn in_use(log: &str) -> bool {
    let log = log.to_ascii_lowercase();
    log.contains("already in use") || log.contains("is in use")
}

fn free_port() -> Result<u16, StandError> {
    let failed = || StandError::file("find a free port of", Path::new("127.0.0.1"));
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).map_err(failed())?;
    Ok(listener.local_addr().map_err(failed())?.port())
}

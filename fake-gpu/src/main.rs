//! `wbk-fake-gpu`: a device plugin without devices, the `nvidia-smi` that goes with it, and a workload for tests, told apart by
//! the name it is started under and its first argument.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tokio::signal::unix::{SignalKind, signal};
use wbk_fake_gpu::config::Config;
use wbk_fake_gpu::{image, label_node, labels, serve, smi};

/// The image's name where none is given.
const IMAGE: &str = concat!("localhost/wbk-fake-gpu:", env!("CARGO_PKG_VERSION"));
const USAGE: &str = "usage: wbk-fake-gpu serve [--config JSON|@FILE]   (or FAKE_GPU_CONFIG; NODE_NAME is the node)
       wbk-fake-gpu image OUT.tar [NAME:TAG]
       wbk-fake-gpu nvidia-smi [-L | --query-gpu=FIELDS --format=csv]
       wbk-fake-gpu sleep SECONDS | true | false | exit CODE";

fn main() -> ExitCode {
    let mut args: Vec<String> = std::env::args().collect();
    let called = if args.is_empty() { String::new() } else { args.remove(0) };
    let name = Path::new(&called).file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
    let command = match name.as_str() {
        "nvidia-smi" | "true" | "false" | "sleep" => name,
        _ if args.is_empty() => "serve".into(),
        _ => args.remove(0),
    };
    match command.as_str() {
        "serve" => of(run(&args)),
        "image" => of(make_image(&args)),
        "nvidia-smi" => {
            // What is not UTF-8 was not written by the plugin.
            let (text, code) = smi::run(&args, std::env::var(smi::VARIABLE).ok().as_deref());
            print!("{text}");
            ExitCode::from(code)
        }
        "true" => ExitCode::SUCCESS,
        "false" => ExitCode::FAILURE,
        "exit" => args.first().and_then(|code| code.parse::<u8>().ok()).map_or_else(usage, ExitCode::from),
        "sleep" => match args.first().map(String::as_str) {
            Some("infinity") => of(sleep(None)),
            Some(seconds) => match seconds.trim_end_matches('s').parse::<f64>() {
                Ok(seconds) if seconds >= 0.0 => of(sleep(Some(Duration::from_secs_f64(seconds)))),
                Ok(_) | Err(_) => usage(),
            },
            None => usage(),
        },
        _ => usage(),
    }
}

fn usage() -> ExitCode {
    eprintln!("{USAGE}");
    ExitCode::from(2)
}

fn of(result: Result<(), String>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(why) => {
            eprintln!("error: {why}");
            ExitCode::FAILURE
        }
    }
}

/// An error and its causes in one line.
fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        text = format!("{text}: {inner}");
        cause = inner.source();
    }
    text
}

fn runtime() -> Result<tokio::runtime::Runtime, String> {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| error.to_string())
}

fn run(args: &[String]) -> Result<(), String> {
    let text = match args {
        [] => std::env::var("FAKE_GPU_CONFIG").unwrap_or_else(|_| "{}".into()), // Unset: all defaults.
        [flag, value] if flag == "--config" => match value.strip_prefix('@') {
            Some(file) => std::fs::read_to_string(file).map_err(|error| format!("cannot read {file}: {error}"))?,
            None => value.clone(),
        },
        _ => return Err(USAGE.into()),
    };
    let config = Config::parse(&text).map_err(|error| chain(&error))?;
    let node = std::env::var("NODE_NAME").map_err(|_| "NODE_NAME is not set: the node's name".to_owned())?;
    runtime()?.block_on(async {
        let (stop, stopped) = tokio::sync::watch::channel(false);
        let mut signals = Signals::new()?;
        if config.labels {
            let (node, written) = (node.clone(), labels::of(&config));
            tokio::spawn(label(node, written));
        }
        let serving = serve::serve(&config, &node, stopped);
        tokio::pin!(serving);
        tokio::select! {
            ended = &mut serving => return ended.map_err(|error| chain(&error)),
            () = signals.any() => {}
        }
        eprintln!("leaving");
        // Nobody listens any more only where serving has ended already.
        let _ = stop.send(true);
        serving.await.map_err(|error| chain(&error))
    })
}

/// Writes the node's labels, and again every minute: somebody may take them away.
async fn label(node: String, labels: std::collections::BTreeMap<String, String>) {
    let variable = |name: &str| std::env::var(name).unwrap_or_default(); // Every pod has these.
    let server = format!("https://{}:{}", variable("KUBERNETES_SERVICE_HOST"), variable("KUBERNETES_SERVICE_PORT"));
    let mut said = String::new();
    loop {
        let (node, labels, server) = (node.clone(), labels.clone(), server.clone());
        let written = tokio::task::spawn_blocking(move || label_node::label(&node, &labels, &server)).await;
        let (now, pause) = match written {
            Ok(Ok(())) => ("the node has its labels".to_owned(), 60),
            Ok(Err(why)) => (why, 2),
            Err(panicked) => (panicked.to_string(), 60),
        };
        if now != said {
            eprintln!("{now}");
            said = now;
        }
        tokio::time::sleep(Duration::from_secs(pause)).await;
    }
}

fn make_image(args: &[String]) -> Result<(), String> {
    let (out, reference) = match args {
        [out] => (out, IMAGE),
        [out, reference] => (out, reference.as_str()),
        _ => return Err(USAGE.into()),
    };
    let program = std::fs::read("/proc/self/exe").map_err(|error| format!("cannot read this program: {error}"))?;
    let file = std::fs::File::create(out).map_err(|error| format!("cannot write {out}: {error}"))?;
    image::write(&program, reference, std::io::BufWriter::new(file))
        .map_err(|error| format!("cannot write {out}: {error}"))?;
    println!("{reference}");
    Ok(())
}

/// Ends at the time, or at a signal: the first process of a container has no default handlers.
fn sleep(time: Option<Duration>) -> Result<(), String> {
    runtime()?.block_on(async {
        let mut signals = Signals::new()?;
        match time {
            Some(time) => tokio::select! {
                () = tokio::time::sleep(time) => {}
                () = signals.any() => {}
            },
            None => signals.any().await,
        }
        Ok(())
    })
}

struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> Result<Self, String> {
        let on = |kind| signal(kind).map_err(|error| format!("cannot wait for signals: {error}"));
        Ok(Self { terminate: on(SignalKind::terminate())?, interrupt: on(SignalKind::interrupt())? })
    }

    async fn any(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

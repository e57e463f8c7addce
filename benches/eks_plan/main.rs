//! The race of `benches/README.md` on EKS: a no-op plan of a platform with many node groups, by this tool and by terraform, of the same things
//! in the same emulated account. Run by hand; never a test.

#[path = "../speed/measure.rs"]
mod measure;
mod terraform;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use clap::Parser;
use wbk_eks_stand::{Settings, Stand};

use measure::{Sample, Samples, run};

/// How far AWS is away where the depth is measured: far longer than all else that a plan does.
const AWAY: Duration = Duration::from_secs(1);
const OURS: &str = "wbk-infra plan";
const THEIRS: &str = "terraform plan";

#[derive(Parser)]
struct Options {
    /// Node groups of the platform.
    #[arg(long, default_value_t = 40)]
    groups: usize,
    /// Counted rounds, after one that is not.
    #[arg(long, default_value_t = 5)]
    runs: usize,
    /// The program, where it is not the one that was built with this.
    #[arg(long, default_value = env!("CARGO_BIN_EXE_wbk-infra"))]
    program: PathBuf,
    /// Where terraform finds its providers, as a mirror of files; its registry otherwise.
    #[arg(long)]
    mirror: Option<PathBuf>,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

/// What one race found.
#[derive(Default)]
struct Found {
    samples: BTreeMap<&'static str, Samples>,
    requests: BTreeMap<&'static str, usize>,
    /// Things to describe.
    things: usize,
    /// Round trips that a plan of ours waits for one after the other.
    depth: f64,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == "measure") {
        std::process::exit(measure::child(&arguments[1..])?);
    }
    let options = Options::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let stand = runtime.block_on(Stand::start_with(Settings::of_environment(), |line| eprintln!("  {line}")))?;
    let home = tempfile::tempdir()?;
    let blueprint = home.path().join("platform.yaml");
    std::fs::write(&blueprint, platform(options.groups))?;
    let ours = |arguments: &[&str]| {
        let mut command = Command::new(&options.program);
        command.args(arguments).arg(&blueprint).envs(stand.env()).env_remove("KUBECONFIG");
        command.env("XDG_STATE_HOME", home.path().join("state"));
        command
    };
    eprintln!("making a platform of {} node groups", options.groups);
    finish(&mut ours(&["apply", "--yes", "--skip", "api.version", "--file"]))?;
    let configuration = terraform::configuration(&stand)?;
    let mut found = Found { things: things(&configuration), ..Found::default() };

    let mut contenders = vec![(OURS, ours(&["plan", "--exit-code", "--file"]))];
    match terraform::prepare(&stand, home.path(), (&configuration, options.mirror.as_deref()))? {
        Some(command) => contenders.push((THEIRS, command)),
        None => eprintln!("terraform is not on PATH: its row is left out"),
    }
    let report = home.path().join("sample.json");
    for round in 0..=options.runs {
        for (name, command) in &contenders {
            stand.forget_requests();
            let sample = run(command, &[0], &report)?;
            found.requests.insert(name, stand.requests().len());
            if round == 0 && *name == OURS {
                operations(&stand);
            }
            if round > 0 {
                found.samples.entry(name).or_default().0.push(sample);
            }
        }
    }
    found.depth = depth(&stand, &contenders[0].1, &report)?;
    found.print(options.groups);
    Ok(())
}

/// How many answers a plan waits for one after the other: how much longer it takes when each comes later.
fn depth(stand: &Stand, command: &Command, report: &Path) -> Result<f64> {
    let near = run(command, &[0], report)?;
    stand.delay(AWAY);
    let far = run(command, &[0], report)?;
    stand.delay(Duration::ZERO);
    Ok((far.wall - near.wall) / (AWAY.as_secs_f64() * 1e3))
}

/// Prints what was asked.
fn operations(stand: &Stand) {
    let mut counts: BTreeMap<String, usize> = BTreeMap::new();
    for request in stand.requests() {
        *counts.entry(format!("{} {}", request.service, request.operation)).or_default() += 1;
    }
    let all: Vec<String> = counts.into_iter().map(|(operation, count)| format!("{operation} {count}")).collect();
    eprintln!("a plan asks: {}", all.join(", "));
}

impl Found {
    fn print(&self, groups: usize) {
        println!("\nNo-op plan of {groups} node groups, {} things in all\n", self.things);
        println!(
            "| contender | wall, ms | processor, ms | largest process, MB | in no file, all processes, MB | requests |"
        );
        println!("|---|---|---|---|---|---|");
        for (name, samples) in &self.samples {
            println!(
                "| {name} | {} | {} | {} | {} | {} |",
                samples.of(|sample| sample.wall),
                samples.of(|sample| sample.cpu),
                samples.of(|sample| sample.memory),
                samples.of(|sample| sample.anonymous),
                self.requests[name]
            );
        }
        println!("\n| what | measured | target | |\n|---|---|---|---|");
        let line = |what: &str, measured: f64, target: String, met: bool| {
            println!("| {what} | {measured:.1} | {target} | {} |", if met { "met" } else { "not met" });
        };
        let (sent, most) = (self.requests[OURS], self.things + 10);
        #[expect(clippy::cast_precision_loss, reason = "a small count")]
        line("requests of a no-op plan", sent as f64, format!("at most {most}: things + 10"), sent <= most);
        // A tenth of a round trip is what the machine's own noise makes of it.
        line("round trips deep", self.depth, "at most 2".into(), self.depth < 2.1);
        let Some(theirs) = self.samples.get(THEIRS) else { return };
        let ours = &self.samples[OURS];
        let times = theirs.times(ours);
        line("terraform's wall time, times ours", times, "at least 10".into(), times >= 10.0);
        let memory = |what: &str, of: fn(&Sample) -> f64| {
            let times = theirs.of(of).median / ours.of(of).median;
            line(what, times, "at least 20".into(), times >= 20.0);
        };
        memory("terraform's largest process, times ours", |sample| sample.memory);
        memory("terraform's memory in no file, times ours", |sample| sample.anonymous);
    }
}

/// Runs a command to its end.
fn finish(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| format!("start {command:?}"))?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told = String::from_utf8_lossy(&output.stderr);
    ensure!(output.status.success(), "{command:?}: {}\n{said}\n{told}", output.status);
    Ok(said)
}

/// A platform with as many pools as asked for.
fn platform(groups: usize) -> String {
    let mut text = r#"apiVersion: wbk-infra/v1
kind: Platform
metadata: {name: race}
cluster: {provider: eks, region: us-west-2, version: "1.34", eks: {network: {cidr: 10.0.0.0/16}}}
namespaces:
  - name: jobs
    identities:
      - {serviceAccount: trainer, grants: {eks: {policies: [AmazonS3ReadOnlyAccess]}}}
nodePools:
  - {name: system, machine: m7i.xlarge, size: {min: 1, max: 4}}
"#
    .to_owned();
    for group in 1..groups {
        let machine = match group % 4 {
            0 => "machine: g6.xlarge, accelerator: {model: nvidia-l4, count: 1}, capacity: spot",
            1 => "machine: g6.xlarge, accelerator: {model: nvidia-l4, count: 1}",
            _ => "machine: m7i.2xlarge",
        };
        text += &format!(
            "  - {{name: pool-{group}, {machine}, size: {{min: 1, max: 2}}, labels: {{team: \"{group}\"}}}}\n"
        );
    }
    text
}

/// What there is to describe: as many things as terraform has resources for them, policies of roles and tables of subnets among them.
fn things(configuration: &str) -> usize {
    configuration.lines().filter(|line| line.starts_with("resource ")).count()
}

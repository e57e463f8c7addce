//! The races of `benches/README.md`: this tool against the requests it cannot do without, kubectl and kapp, on a real API
//! server. Run by hand; never a test, because a shared machine's clock proves nothing by itself.

mod cluster;
mod floor;
mod measure;
mod objects;
mod proof;
mod proxy;

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use anyhow::{Context, Result};
use clap::Parser;

use cluster::{ControlPlane, finish};
use floor::Form;
use measure::{Samples, run};

/// The races. Each runs its contenders in turn, so that a change of the machine's speed meets all of them.
#[derive(Parser)]
struct Options {
    /// Which races: plan, latency, apply, small, proof.
    #[arg(long, value_delimiter = ',', default_value = "plan,latency,apply,small,proof")]
    race: Vec<String>,
    /// Numbers of objects of the race `plan`.
    #[arg(long, value_delimiter = ',', default_value = "2000,600")]
    objects: Vec<usize>,
    /// Counted runs of each contender, after one that is not.
    #[arg(long, default_value_t = 9)]
    runs: usize,
    /// Counted runs of kubectl and kapp, which take many seconds each, and of cold applies. kubectl and kapp race with most
    /// objects only.
    #[arg(long, default_value_t = 1)]
    slow_runs: usize,
    /// kubectl; without it that race is left out.
    #[arg(long)]
    kubectl: Option<PathBuf>,
    /// kapp; without it that race is left out.
    #[arg(long)]
    kapp: Option<PathBuf>,
    /// Print every request of one no-op plan.
    #[arg(long)]
    requests: bool,
    /// What cargo adds.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    match arguments.first().map(String::as_str) {
        Some("measure") => std::process::exit(measure::child(&arguments[1..])?),
        Some("lists") => {
            let [_, form, kubeconfig, prefix, selector] = arguments.as_slice() else { anyhow::bail!("lists …") };
            let form = if form == "json" { Form::Json } else { Form::Metadata };
            let bytes = runtime.block_on(floor::lists(Path::new(kubeconfig), prefix, selector, form))?;
            println!("{bytes} bytes");
            return Ok(());
        }
        Some("patches") => {
            let [_, kubeconfig, count, prefix] = arguments.as_slice() else { anyhow::bail!("patches …") };
            let count = runtime.block_on(floor::patches(Path::new(kubeconfig), count.parse()?, prefix))?;
            println!("{count} objects");
            return Ok(());
        }
        _ => {}
    }
    let options = Options::parse();
    let mut targets = Targets::default();
    for race in &options.race {
        match race.as_str() {
            "plan" => options.objects.iter().try_for_each(|count| plan(&options, *count, &mut targets))?,
            "latency" => latency(&options, &runtime, &mut targets)?,
            "apply" => apply(&options, &mut targets)?,
            "small" => small(&options, &mut targets)?,
            "proof" => proofs(&options, &mut targets)?,
            other => anyhow::bail!("there is no race {other}"),
        }
    }
    targets.print();
    Ok(())
}

/// This program as one of its bare clients.
fn bare(arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(std::env::current_exe()?);
    command.args(arguments);
    Ok(command)
}

/// Writes objects and the blueprint that has them all.
fn write_blueprint(plane: &ControlPlane, count: usize, prefix: &str, kubeconfig: &Path) -> Result<PathBuf> {
    let folder = plane.folder().join(prefix);
    objects::write(&folder, &objects::make(count, prefix))?;
    let path = folder.join("blueprint.yaml");
    let text = format!(
        "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {{name: {prefix}}}\ncluster: {{provider: existing, kubeconfig: {}}}\nobjects: [all/*.yaml]\n",
        kubeconfig.display()
    );
    std::fs::write(&path, text)?;
    Ok(path)
}

/// A race: contenders in turn, several rounds, the first not counted.
struct Race<'a> {
    report: PathBuf,
    contenders: Vec<(&'a str, Command, usize)>,
}

impl<'a> Race<'a> {
    fn new(plane: &ControlPlane) -> Self {
        Self { report: plane.folder().join("sample.json"), contenders: Vec::new() }
    }

    fn add(&mut self, name: &'a str, runs: usize, command: Command) {
        self.contenders.push((name, command, runs));
    }

    fn run(&self) -> Result<BTreeMap<&'a str, Samples>> {
        let mut all: BTreeMap<&str, Samples> = BTreeMap::new();
        let rounds = self.contenders.iter().map(|(_, _, runs)| *runs).max().unwrap_or(0);
        for round in 0..=rounds {
            // What takes many seconds a run is not warmed up.
            let runs_in = |runs: usize| round <= runs && (round > 0 || runs == rounds);
            for (name, command, _) in self.contenders.iter().filter(|(_, _, runs)| runs_in(*runs)) {
                let sample = run(command, &[0], &self.report)?;
                if round > 0 {
                    all.entry(name).or_default().0.push(sample);
                }
            }
        }
        Ok(all)
    }

    fn table(&self, title: &str, samples: &BTreeMap<&str, Samples>) {
        println!("\n### {title}\n\n| contender | wall, ms | processor, ms | memory, MB | wall, times the first |");
        println!("|---|---|---|---|---|");
        let first = self.contenders.first().and_then(|(name, _, _)| samples.get(name)).map(|all| all.of(|it| it.wall));
        for (name, _, _) in &self.contenders {
            let Some(found) = samples.get(name) else { continue };
            let wall = found.of(|it| it.wall);
            println!(
                "| {name} | {wall} | {} | {:.0} | {:.2} |",
                found.of(|it| it.cpu),
                found.of(|it| it.memory).median,
                wall.median / first.map_or(f64::NAN, |first| first.median)
            );
        }
    }
}

/// What the tool has to keep to, and what was measured.
#[derive(Default)]
struct Targets(Vec<(String, f64, String, bool)>);

impl Targets {
    fn at_most(&mut self, what: String, measured: f64, limit: f64) {
        self.0.push((what, measured, format!("at most {limit}"), measured <= limit));
    }

    fn at_least(&mut self, what: String, measured: f64, limit: f64) {
        self.0.push((what, measured, format!("at least {limit}"), measured >= limit));
    }

    fn print(&self) {
        println!("\n### Targets\n\n| what | measured | target | |\n|---|---|---|---|");
        for (what, measured, target, met) in &self.0 {
            println!("| {what} | {measured:.2} | {target} | {} |", if *met { "met" } else { "not met" });
        }
    }
}

/// A plan that finds nothing to do.
fn plan(options: &Options, count: usize, targets: &mut Targets) -> Result<()> {
    let plane = ControlPlane::start()?;
    let blueprint = write_blueprint(&plane, count, "ours", &plane.kubeconfig)?;
    finish(plane.product(&["apply", "--yes", "--no-verify"]).arg(&blueprint))?;
    let kubeconfig = plane.kubeconfig.display().to_string();
    let selector = "wbk-infra/blueprint=ours";

    let mut ours = plane.product(&["plan", "--exit-code"]);
    ours.arg(&blueprint);
    let mark = plane.mark()?;
    finish(&mut ours)?;
    let requests = plane.requests(mark, "wbk-infra/")?;
    let lists = requests.iter().filter(|(verb, _)| verb == "list").count();
    println!("\n{count} objects: {} requests, {lists} of them LISTs", requests.len());
    if options.requests {
        requests.iter().for_each(|(verb, path)| println!("  {verb} {path}"));
    }

    let mut race = Race::new(&plane);
    race.add("wbk-infra plan", options.runs, ours);
    race.add("bare LISTs, full JSON", options.runs, bare(&["lists", "json", &kubeconfig, "ours", selector])?);
    race.add("bare LISTs, metadata", options.runs, bare(&["lists", "metadata", &kubeconfig, "ours", selector])?);
    let most = options.objects.iter().max() == Some(&count);
    if let Some(kubectl) = options.kubectl.as_ref().filter(|_| most) {
        let folder = plane.folder().join("ours");
        let diff = |files: &str, more: &[&str]| {
            let mut command = Command::new(kubectl);
            command.args(["--kubeconfig", &kubeconfig, "diff", "--server-side", "--force-conflicts", "-f"]);
            command.arg(folder.join(files)).args(more);
            command
        };
        race.add("kubectl diff --server-side", options.slow_runs, diff("all", &[]));
        race.add(
            "kubectl diff --server-side --concurrency=32, a file each",
            options.slow_runs,
            diff("one", &["--concurrency=32"]),
        );
    }
    if let Some(kapp) = options.kapp.as_ref().filter(|_| most) {
        // kapp wants objects of its own.
        let folder = plane.folder().join("kapp");
        objects::write(&folder, &objects::make(count, "kapp"))?;
        let deploy = |more: &[&str]| {
            let mut command = Command::new(kapp);
            command.args(["--kubeconfig", &kubeconfig, "deploy", "--app", "race", "--yes", "--file"]);
            command.arg(folder.join("all")).args(more);
            command
        };
        finish(&mut deploy(&["--wait=false"])).context("let kapp make its objects")?;
        race.add("kapp deploy --diff-run", options.slow_runs, deploy(&["--diff-run"]));
    }
    let samples = race.run()?;
    race.table(&format!("No-op plan of {count} objects of 25 kinds"), &samples);
    #[expect(clippy::cast_precision_loss, reason = "dozens of requests")]
    targets.at_most(format!("requests of a no-op plan of {count}"), requests.len() as f64, 27.0);
    let ours = samples.get("wbk-infra plan").context("the plan ran")?;
    targets.at_most(format!("memory of a no-op plan of {count}, MB"), ours.of(|it| it.memory).most, 100.0);
    let beside = |name: &str| samples.get(name).map(|other| ours.times(other));
    for (name, limit) in [("bare LISTs, full JSON", 1.0), ("bare LISTs, metadata", 1.5)] {
        let ratio = beside(name).context("the LISTs ran")?;
        targets.at_most(format!("no-op plan of {count}, times {name}"), ratio, limit);
    }
    let walls = ours.of(|it| it.wall).median;
    for (name, limit) in [("kubectl diff --server-side", 100.0), ("kapp deploy --diff-run", 50.0)] {
        if let Some(other) = samples.get(name) {
            let ratio = other.of(|it| it.wall).median / walls;
            targets.at_least(format!("{name} of {count}, times the plan"), ratio, limit);
        }
    }
    Ok(())
}

/// The same over a line of 20 ms.
fn latency(options: &Options, runtime: &tokio::runtime::Runtime, targets: &mut Targets) -> Result<()> {
    // How many objects there are makes no difference to round trips.
    if let Some(count) = options.objects.iter().min() {
        let plane = ControlPlane::start()?;
        let text = std::fs::read_to_string(&plane.kubeconfig)?;
        let (_, rest) = text.split_once("https://127.0.0.1:").context("the kubeconfig has a server")?;
        let port: String = rest.chars().take_while(char::is_ascii_digit).collect();
        let far = runtime.block_on(proxy::start(port.parse()?, Duration::from_millis(10)))?;
        let kubeconfig = plane.folder().join("far.kubeconfig");
        std::fs::write(&kubeconfig, text.replace(&format!("127.0.0.1:{port}"), &format!("127.0.0.1:{far}")))?;
        let blueprint = write_blueprint(&plane, *count, "ours", &kubeconfig)?;
        finish(plane.product(&["apply", "--yes", "--no-verify"]).arg(&blueprint))?;
        let mut race = Race::new(&plane);
        let mut ours = plane.product(&["plan", "--exit-code"]);
        ours.arg(&blueprint);
        let near = write_blueprint(&plane, *count, "ours", &plane.kubeconfig)?.with_file_name("near.yaml");
        std::fs::rename(plane.folder().join("ours/blueprint.yaml"), &near)?;
        write_blueprint(&plane, *count, "ours", &kubeconfig)?;
        let mut without = plane.product(&["plan", "--exit-code"]);
        without.arg(&near);
        finish(&mut without)?;
        let far = kubeconfig.display().to_string();
        let selector = "wbk-infra/blueprint=ours";
        race.add("wbk-infra plan, 20 ms away", options.runs, ours);
        race.add("wbk-infra plan, near", options.runs, without);
        race.add("bare LISTs, full JSON, 20 ms away", options.runs, bare(&["lists", "json", &far, "ours", selector])?);
        race.add(
            "bare LISTs, metadata, 20 ms away",
            options.runs,
            bare(&["lists", "metadata", &far, "ours", selector])?,
        );
        let samples = race.run()?;
        race.table(&format!("Round trips of 20 ms, {count} objects"), &samples);
        let wall = |name: &str| samples.get(name).map(|found| found.of(|it| it.wall).median);
        let (away, near) = (wall("wbk-infra plan, 20 ms away"), wall("wbk-infra plan, near"));
        let (away, near) = away.zip(near).context("both plans ran")?;
        // The proxy answers TCP's own handshake at once: one more on a real line.
        targets.at_most("round trips of 20 ms of a no-op plan, TCP's too".into(), (away - near) / 20.0 + 1.0, 5.0);
    }
    Ok(())
}

/// 600 objects that are not there yet.
fn apply(options: &Options, targets: &mut Targets) -> Result<()> {
    let plane = ControlPlane::start()?;
    let kubeconfig = plane.kubeconfig.display().to_string();
    let report = plane.folder().join("sample.json");
    let mut race = Race::new(&plane);
    race.add("wbk-infra apply", 0, plane.product(&[]));
    race.add("bare PATCHes, 48 at once", 0, plane.product(&[]));
    let mut samples: BTreeMap<&str, Samples> = BTreeMap::new();
    let runs = options.slow_runs.max(3);
    for round in 0..=runs {
        let prefix = format!("ours{round}");
        let blueprint = write_blueprint(&plane, 600, &prefix, &plane.kubeconfig)?;
        let mut ours = plane.product(&["apply", "--yes", "--no-verify", "--quiet"]);
        ours.arg(&blueprint);
        let mark = plane.mark()?;
        let sample = run(&ours, &[0], &report)?;
        if round == 0 {
            let mut verbs: BTreeMap<String, usize> = BTreeMap::new();
            for (verb, path) in plane.requests(mark, "wbk-infra/")? {
                let dry = if path.contains("dryRun") { " (dry run)" } else { "" };
                *verbs.entry(format!("{verb}{dry}")).or_default() += 1;
            }
            println!("\ncold apply of 600 objects: {verbs:?}");
        }
        let theirs = run(&bare(&["patches", &kubeconfig, "600", &format!("bare{round}")])?, &[0], &report)?;
        if round > 0 {
            samples.entry("wbk-infra apply").or_default().0.push(sample);
            samples.entry("bare PATCHes, 48 at once").or_default().0.push(theirs);
        }
    }
    race.table("Cold apply of 600 objects, planned before and planned again after", &samples);
    let (ours, bare) =
        samples.get("wbk-infra apply").zip(samples.get("bare PATCHes, 48 at once")).context("both ran")?;
    targets.at_most("cold apply of 600, times bare PATCHes".into(), ours.times(bare), 1.3);
    Ok(())
}

/// The shipped local platform, and the help.
fn small(options: &Options, targets: &mut Targets) -> Result<()> {
    let plane = ControlPlane::start()?;
    let blueprint = Path::new(env!("CARGO_MANIFEST_DIR")).join("blueprints/local.yaml");
    let mut race = Race::new(&plane);
    let mut apply = plane.product(&["apply", "--yes", "--no-verify"]);
    apply.arg(&blueprint);
    finish(&mut apply)?;
    let mut ours = plane.product(&["plan", "--exit-code"]);
    ours.arg(&blueprint);
    race.add("wbk-infra plan blueprints/local.yaml", options.runs, ours);
    race.add("wbk-infra --help", options.runs, plane.product(&["--help"]));
    let outcome = race.run();
    finish(&mut plane.product(&["local", "delete", "local", "--yes"]))?;
    let samples = outcome?;
    race.table("Small things", &samples);
    for (name, limit) in [("wbk-infra plan blueprints/local.yaml", 300.0), ("wbk-infra --help", 20.0)] {
        let wall = samples.get(name).context("it ran")?.of(|it| it.wall).median;
        targets.at_most(format!("{name}, ms"), wall, limit);
    }
    Ok(())
}

/// The closure proof in this process: what it takes is a thousandth of what a process takes to start.
fn proofs(options: &Options, targets: &mut Targets) -> Result<()> {
    let contenders = proof::contenders()?;
    let mut all: Vec<Vec<f64>> = contenders.iter().map(|_| Vec::new()).collect();
    for round in 0..=options.runs {
        for (contender, samples) in contenders.iter().zip(&mut all) {
            let wall = contender.once();
            if round > 0 {
                samples.push(wall);
            }
        }
    }
    println!("\n### Closure proof of 20 pools and 500 workloads\n\n| proof | wall, ms |\n|---|---|");
    for (contender, samples) in contenders.iter().zip(&mut all) {
        samples.sort_by(f64::total_cmp);
        let (least, most) = (samples.first().context("it ran")?, samples.last().context("it ran")?);
        let median = samples[samples.len() / 2];
        println!("| {} | {median:.2} [{least:.2}-{most:.2}] |", contender.name);
        targets.at_most(format!("closure proof {}, ms", contender.name), median, 10.0);
    }
    Ok(())
}

//! The command line: what can be asked, with help that teaches.

mod explain;
mod fleet;
mod launch;
mod sweep;

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand, ValueEnum};

pub use explain::ExplainArgs;
pub use fleet::{FleetArgs, FleetCommand};
pub use launch::{LaunchCommand, PushArgs};
pub use sweep::{OneSweep, RunSweepArgs, SweepAt, SweepCommand};

/// One YAML blueprint becomes a working GPU platform for W&B Launch on Kubernetes, and stays it.
#[derive(Debug, Parser)]
#[command(
    name = "wbk-infra",
    version,
    about,
    disable_help_subcommand = true,
    arg_required_else_help = true,
    after_help = "\
Examples:
  wbk-infra apply blueprints/local.yaml            a whole platform on this machine: no account, no Docker
  wbk-infra plan base.yaml -f prod.yaml            what would change, with an overlay
  wbk-infra plan site.yaml --out site.plan         save a plan; `wbk-infra apply site.plan` does exactly that
  wbk-infra drift site.yaml -o sarif > drift.sarif what moved, for a code scanner; exit code 3 when something did
  wbk-infra explain site.yaml namespaces[wandb-jobs].quota.gpu

Exit codes:
  0 done, or nothing to do    1 failed                        2 wrong usage
  3 changes or drift pending  4 apply stopped, rest is named  5 a check failed
  6 a check was inconclusive  130 interrupted"
)]
pub struct Cli {
    /// What is asked for.
    #[command(subcommand)]
    pub command: Command,
    /// Options of every command.
    #[command(flatten)]
    pub global: Global,
}

/// Options of every command.
#[derive(Debug, Args, Clone)]
pub struct Global {
    /// Output on standard output: for people, for programs, for pull requests.
    #[arg(short, long, global = true, value_enum, default_value_t = Output::Human, help_heading = "Global options")]
    pub output: Output,
    /// Less: errors and results only.
    #[arg(short, long, global = true, conflicts_with = "verbose", help_heading = "Global options")]
    pub quiet: bool,
    /// More: every step with its reason, and timings.
    #[arg(short, long, global = true, help_heading = "Global options")]
    pub verbose: bool,
    /// Colour. NO_COLOR is honoured.
    #[arg(long, global = true, value_enum, default_value_t = Colour::Auto, help_heading = "Global options")]
    pub color: Colour,
    /// Context of the kubeconfig, for the provider `existing`; over the blueprint's.
    #[arg(long, global = true, help_heading = "Global options")]
    pub context: Option<String>,
    /// Most requests to an API server at once.
    #[arg(long, global = true, default_value_t = 48, value_name = "N", help_heading = "Global options")]
    pub parallel: usize,
    /// Seconds that one request to an API server may take.
    #[arg(long, global = true, default_value_t = 30, value_name = "SECONDS", help_heading = "Global options")]
    pub request_timeout: u64,
    /// Folder with etcd, kube-apiserver, kubectl and helm, for the provider `local`.
    #[arg(long, global = true, env = "KUBEBUILDER_ASSETS", value_name = "FOLDER", help_heading = "Global options")]
    pub assets: Option<PathBuf>,
    /// Mirror for verified downloads of those programs.
    #[arg(long, global = true, env = "WBK_INFRA_MIRROR", value_name = "URL", help_heading = "Global options")]
    pub mirror: Option<String>,
    /// The rehearsal that this process plays a part in; `rehearse` says it to the commands that it runs.
    #[arg(long, global = true, hide = true, value_name = "FILE")]
    pub rehearsal: Option<PathBuf>,
    /// Where the charts of sections (gpu, scheduling) come from in place of their own repositories: a folder of NAME-VERSION.tgz, or
    /// an https:// or oci:// prefix. Versions and digests stay.
    #[arg(long, global = true, env = "WBK_INFRA_CHART_MIRROR", value_name = "WHERE", help_heading = "Global options")]
    pub chart_mirror: Option<String>,
    /// Another list of those charts in place of the program's own, in the format of charts/lock.yaml.
    #[arg(long, global = true, env = "WBK_INFRA_CHART_LOCK", value_name = "FILE", help_heading = "Global options")]
    pub chart_lock: Option<PathBuf>,
    /// Prices of nodes before the program's own, in the format of prices/nodes.csv.
    #[arg(long, global = true, env = "WBK_INFRA_PRICES", value_name = "FILE", help_heading = "Global options")]
    pub prices: Option<PathBuf>,
}

/// Output formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// Text for people.
    Human,
    /// JSON with a published schema.
    Json,
    /// YAML.
    Yaml,
    /// Markdown for pull requests.
    Markdown,
    /// SARIF 2.1.0 (drift).
    Sarif,
    /// CTRF JSON (verify).
    Ctrf,
    /// JUnit XML (verify).
    Junit,
    /// One self-contained HTML page (verify).
    Html,
}

/// When to colour.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal.
    Auto,
    /// Always.
    Always,
    /// Never.
    Never,
}

/// A blueprint with its overlays.
#[derive(Debug, Args, Clone)]
pub struct BlueprintArgs {
    /// The blueprint.
    #[arg(value_name = "BLUEPRINT", required_unless_present = "files")]
    pub blueprint: Option<PathBuf>,
    /// Blueprint and overlays in order; lists are merged by name, null removes.
    #[arg(short = 'f', long = "file", value_name = "FILE")]
    pub files: Vec<PathBuf>,
}

impl BlueprintArgs {
    /// All files in order.
    pub fn all(&self) -> Vec<PathBuf> {
        self.blueprint.iter().chain(&self.files).cloned().collect()
    }
}

/// Decisions that a blueprint cannot make.
#[derive(Debug, Args, Clone, Default)]
pub struct DecisionArgs {
    /// Take over a thing that is there and not ours, as the plan prints it: --adopt "ConfigMap team/settings".
    #[arg(long, value_name = "WHAT")]
    pub adopt: Vec<String>,
    /// Let data go, as the plan prints it: --delete "Namespace wandb-jobs"; `all` for everything of the blueprint.
    #[arg(long, value_name = "WHAT")]
    pub delete: Vec<String>,
    /// What to do about fields that others hold; over the blueprint's policy.
    #[arg(long, value_enum, value_name = "CHOICE")]
    pub conflicts: Option<Conflicts>,
}

/// What to do about a proof that does not hold.
#[derive(Debug, Args, Clone, Copy, Default)]
pub struct ProofArgs {
    /// Go on although something can never run; the plan says what it leaves broken.
    #[arg(long)]
    pub allow_unschedulable: bool,
}

/// What to do about fields that others hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Conflicts {
    /// Take back what was ours; stop at what never was.
    Mend,
    /// Take them.
    Take,
    /// Leave them.
    Yield,
    /// Plan nothing for that object.
    Stop,
}

/// Which checks run, and how.
#[derive(Debug, Args, Clone, Default)]
pub struct CheckArgs {
    /// Only these checks: `nodes`, `quota/*`.
    #[arg(long, value_name = "CHECK")]
    pub only: Vec<String>,
    /// Not these checks.
    #[arg(long, value_name = "CHECK")]
    pub skip: Vec<String>,
    /// Allow checks that disturb, cost, or need a privileged pod.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub allow: Vec<Allowed>,
    /// Seconds for all checks together; what has not ended by then is inconclusive.
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub timeout: Option<u64>,
    /// The image of plain pods of checks; it needs `true`, `sleep` and `ls` [default: busybox].
    #[arg(long, value_name = "IMAGE")]
    pub image: Option<String>,
    /// The image in which `nvidia-smi` is run [default: nvidia/cuda base].
    #[arg(long, value_name = "IMAGE")]
    pub gpu_image: Option<String>,
    /// Write a report as well: `html=verify.html`, `junit=…`, `ctrf=…`, `markdown=…`, `json=…`.
    #[arg(long, value_name = "FORMAT=FILE", value_parser = report_file)]
    pub report: Vec<(ReportFormat, PathBuf)>,
}

/// What a check does only when it is named.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Allowed {
    /// A privileged pod on a node whose GPU pod failed, to tell driver from plugin.
    DebugPod,
    /// Filling an idle pool with pods of low priority and pushing one out.
    Preemption,
    /// Making a pool without nodes grow.
    ScaleUp,
    /// An item pushed to each queue of W&B Launch: it runs as a Job and ends.
    Canary,
}

/// Formats of reports that are written to files.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// One self-contained HTML page.
    Html,
    /// JSON with a published schema.
    Json,
    /// CTRF JSON.
    Ctrf,
    /// JUnit XML.
    Junit,
    /// Markdown.
    Markdown,
}

fn report_file(text: &str) -> Result<(ReportFormat, PathBuf), String> {
    let (format, file) = text.split_once('=').ok_or("write FORMAT=FILE, as in html=verify.html")?;
    if file.is_empty() {
        return Err(format!("`{format}=` names no file"));
    }
    Ok((ReportFormat::from_str(format, false)?, PathBuf::from(file)))
}

/// What can be asked.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Say what would change, why, and whom it disturbs; change nothing.
    #[command(after_help = "\
Examples:
  wbk-infra plan blueprints/local.yaml
  wbk-infra plan site.yaml --out site.plan --exit-code
  wbk-infra plan site.yaml -o markdown >> $GITHUB_STEP_SUMMARY")]
    Plan {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// Decisions.
        #[command(flatten)]
        decisions: DecisionArgs,
        /// The proof.
        #[command(flatten)]
        proof: ProofArgs,
        /// Save the plan; `apply` does exactly that, once, as long as the world has not moved.
        #[arg(long, value_name = "FILE")]
        out: Option<PathBuf>,
        /// Exit with 3 when something is to be done.
        #[arg(long)]
        exit_code: bool,
    },
    /// Do what a plan says, in order; then see that nothing is left to do, and verify.
    #[command(after_help = "\
Examples:
  wbk-infra apply blueprints/local.yaml
  wbk-infra apply site.plan                 a saved plan, once
  wbk-infra apply site.yaml --yes -o json   in CI")]
    Apply {
        /// The blueprint, or a saved plan.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// Decisions.
        #[command(flatten)]
        decisions: DecisionArgs,
        /// The proof.
        #[command(flatten)]
        proof: ProofArgs,
        /// Checks at the end.
        #[command(flatten)]
        checks: CheckArgs,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Do not verify at the end.
        #[arg(long)]
        no_verify: bool,
    },
    /// Prove the platform: every promise of the blueprint, with evidence.
    #[command(after_help = "\
Examples:
  wbk-infra verify blueprints/local.yaml
  wbk-infra verify site.yaml --only nodes --only 'jobs/*' -o junit > verify.xml
  wbk-infra verify site.yaml --allow preemption --report html=verify.html --report junit=verify.xml")]
    Verify {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// Which checks.
        #[command(flatten)]
        checks: CheckArgs,
        /// List the checks and run none.
        #[arg(long)]
        list: bool,
        /// The same as `-o json`.
        #[arg(long)]
        json: bool,
    },
    /// Say what moved since the last apply, and who moved it; exit with 3 when something did.
    #[command(after_help = "\
Examples:
  wbk-infra drift blueprints/local.yaml
  wbk-infra drift site.yaml --watch
  wbk-infra drift site.yaml -o sarif > drift.sarif")]
    Drift {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// Look again and again, and tell what is new.
        #[arg(long)]
        watch: bool,
        /// Seconds between two looks of --watch.
        #[arg(long, default_value_t = 5, value_name = "SECONDS")]
        interval: u64,
    },
    /// Take the platform away, in reverse order; data goes only when named. Ends with what is left.
    #[command(after_help = "\
Examples:
  wbk-infra destroy blueprints/local.yaml                        keeps namespaces, claims, custom kinds and the cluster
  wbk-infra destroy blueprints/local.yaml --delete all --yes     leaves nothing

It says in numbers what goes before it asks. With --yes nobody is asked: more than policy.maxDeletes then go only with
--delete all, or with --max-deletes.")]
    Destroy {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// Decisions.
        #[command(flatten)]
        decisions: DecisionArgs,
        /// Most that may go; over the blueprint's policy.
        #[arg(long, value_name = "N")]
        max_deletes: Option<usize>,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// Many clusters at once: each with its blueprint, named in one file.
    #[command(after_help = "\
Examples:
  wbk-infra fleet plan fleet.yaml                       what would change in each of them
  wbk-infra fleet apply fleet.yaml --skip far-east      asks once, for all of them
  wbk-infra fleet drift fleet.yaml -o json              exit code 3 when something moved in any of them

The exit code is that of the worst cluster, in this order: 130 interrupted; 4 (apply) or 1 (others): it is not done in one of
them, and the others are done; 5; 3; 6; 0.")]
    Fleet {
        /// What of it.
        #[command(subcommand)]
        command: FleetCommand,
    },
    /// Play the whole life of a platform on this machine: plan, apply, verify, drift, destroy, with a simulated cloud and no money.
    #[command(after_help = "\
Examples:
  wbk-infra rehearse blueprints/local.yaml
  wbk-infra rehearse site.yaml --fault stockout:a100 --fault kill-after=a100
  wbk-infra rehearse site.yaml -o markdown >> $GITHUB_STEP_SUMMARY

Faults, each once:
  stockout:POOL      the cloud has no capacity when the pool is first created
  throttle           the cloud asks for fewer requests
  spot-reclaim       after the apply, a node of every spot pool is taken back
  kill-after=STEP    the apply is killed when a step with STEP in its name is done")]
    Rehearse {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// What shall go wrong.
        #[arg(long, value_name = "FAULT")]
        fault: Vec<wbk_provider_rehearsal::Fault>,
        /// Keep the cluster at the end, to look at; the next rehearsal of the blueprint takes it away.
        #[arg(long)]
        keep: bool,
    },
    /// W&B Launch: what goes on, something to be run, the words of agents and jobs.
    #[command(after_help = "\
Examples:
  wbk-infra launch status site.yaml --watch                  agents, queues, Jobs, and what each waits for
  wbk-infra launch run l4 -f site.yaml --image me/train:1    pushes an item
  wbk-infra launch logs main -f site.yaml                    the log of an agent, of a Job, of a run")]
    Launch {
        /// What of it.
        #[command(subcommand)]
        command: LaunchCommand,
    },
    /// What it costs now: by pool, namespace and queue, with what is idle. Without a blueprint, of the cluster that kubectl would ask.
    #[command(after_help = "\
Examples:
  wbk-infra cost site.yaml
  wbk-infra cost --context research -o html > cost.html       any cluster, as a picture
  wbk-infra cost site.yaml -f contract.yaml --verbose         with prices of your own (section `cost`)

Prices are the blueprint's own, then those of --prices, then the program's dated list. A node without a price is named, and sums then
say \"at least\". Exit code 6 where nodes or pods could not be listed.")]
    Cost {
        /// The blueprint.
        #[arg(value_name = "BLUEPRINT")]
        blueprint: Option<PathBuf>,
        /// Blueprint and overlays in order.
        #[arg(short = 'f', long = "file", value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Sweeps: one search in W&B, made once, and its agents as a Job on a queue's pool.
    #[command(after_help = "\
Examples:
  wbk-infra sweep run l4 -f site.yaml --config sweep.yaml --image me/train:1 --agents 4    the same again goes on
  wbk-infra sweep status -f site.yaml                                                      runs, best, agents, what waits
  wbk-infra sweep stop lr-search -f site.yaml                                              what runs may end")]
    Sweep {
        /// What of them.
        #[command(subcommand)]
        command: SweepCommand,
    },
    /// One screen: cluster, pools, objects, releases, what waits.
    Status {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
    },
    /// Check a blueprint without any cluster; every problem at once.
    Lint {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
    },
    /// Print the complete desired state, the same bytes each time.
    Render {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
    },
    /// Say where a value comes from: file and line, or which default and why. `explain gpu`: why Jobs will run, or not. `explain queue`,
    /// `explain job`: the life of what is pushed to W&B Launch, where it stands, and why it waits.
    #[command(after_help = "\
Examples:
  wbk-infra explain blueprints/local.yaml namespaces[wandb-jobs].quota.gpu
  wbk-infra explain gpu blueprints/local.yaml                    the closure proof of each pool and workload
  wbk-infra explain gpu blueprints/local.yaml --html proof.html  the same as a picture
  wbk-infra explain queue l4 -f site.yaml                        the life of its items step by step, and what stands where
  wbk-infra explain job launch-x7 -f site.yaml --html job.html   one job, by its name, its run or its item")]
    Explain(ExplainArgs),
    /// Print the JSON Schema of blueprints, or of what a command prints as JSON.
    Schema {
        /// Of what.
        #[arg(value_enum, default_value_t = SchemaOf::Blueprint)]
        of: SchemaOf,
    },
    /// Say what this machine and these credentials lack, with the fix.
    Doctor {
        /// A blueprint narrows it to what that needs.
        #[command(flatten)]
        blueprint: OptionalBlueprint,
    },
    /// Write a cluster that somebody made otherwise as a blueprint whose plan is empty; change nothing.
    #[command(after_help = "\
Examples:
  wbk-infra import eks web --region us-west-2 > web.yaml      made by eksctl, Terraform or the console
  wbk-infra plan web.yaml                                     nothing to do

What it finds stays whose it is (`given`, `group`): a later apply keeps it as the blueprint says and never tags, replaces or deletes it.
What the language has no word for is named on standard error and in the file. Exit code 3 where a plan of it is not empty, 6 where that
could not be found out.")]
    Import {
        /// From where.
        #[command(subcommand)]
        command: ImportCommand,
    },
    /// EKS: the IAM policy that a blueprint needs.
    #[command(after_help = "\
Examples:
  wbk-infra eks policy site.yaml > apply.json                     to plan, apply and destroy
  wbk-infra eks policy site.yaml --to plan > plan.json            to look only: plan, drift, status
  aws iam create-policy --policy-name wbk-infra --policy-document file://apply.json")]
    Eks {
        /// What of it.
        #[command(subcommand)]
        command: EksCommand,
    },
    /// Local clusters: real control planes on this machine, with simulated nodes.
    Local {
        /// What to do.
        #[command(subcommand)]
        command: LocalCommand,
    },
    /// A nightly drift check for a blueprint.
    Ci {
        /// What of it.
        #[command(subcommand)]
        command: CiCommand,
    },
    /// Where each program that a local cluster needs comes from.
    Assets {
        /// Get what is missing now, rather than at the first apply.
        #[arg(long)]
        fetch: bool,
    },
    /// Completions for a shell.
    Completions {
        /// The shell.
        #[arg(value_enum)]
        shell: clap_complete::Shell,
    },
}

/// A blueprint that may be left out.
#[derive(Debug, Args, Clone)]
pub struct OptionalBlueprint {
    /// The blueprint.
    #[arg(value_name = "BLUEPRINT")]
    pub blueprint: Option<PathBuf>,
}

/// What has a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SchemaOf {
    /// The blueprint language.
    Blueprint,
    /// `plan -o json`.
    Plan,
    /// `apply -o json` and `destroy -o json`.
    Apply,
    /// `verify -o json`.
    Verify,
    /// `rehearse -o json`.
    Rehearsal,
    /// The fleet file.
    Fleet,
    /// `fleet … -o json`.
    FleetReport,
    /// `explain gpu -o json`.
    Proof,
    /// `cost -o json`.
    Cost,
}

/// Commands on local clusters.
#[derive(Debug, Subcommand)]
pub enum LocalCommand {
    /// All of them, with what runs.
    List,
    /// Start one that is stopped.
    Start {
        /// Its name.
        name: String,
    },
    /// Stop one; its data stays.
    Stop {
        /// Its name.
        name: String,
    },
    /// Print the logs of a component.
    Logs {
        /// The cluster's name.
        name: String,
        /// etcd, kube-apiserver, kube-controller-manager, kube-scheduler or simulator.
        #[arg(default_value = "kube-apiserver")]
        component: String,
    },
    /// Print the path of its kubeconfig: export KUBECONFIG=$(wbk-infra local kubeconfig NAME).
    Kubeconfig {
        /// Its name.
        name: String,
    },
    /// Stop one and remove it with its data.
    Delete {
        /// Its name.
        name: String,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
    },
    /// The process that simulates nodes; started by a cluster, not by people.
    #[command(hide = true)]
    Simulate {
        /// The kubeconfig it uses.
        #[arg(long)]
        kubeconfig: PathBuf,
    },
}

/// From where a blueprint is written.
#[derive(Debug, Subcommand)]
pub enum ImportCommand {
    /// An EKS cluster, with its node groups, add-ons and access entries.
    Eks {
        /// The cluster's name.
        name: String,
        /// Its region.
        #[arg(long, env = "AWS_REGION")]
        region: String,
    },
}

/// What a policy is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum PolicyFor {
    /// Looking: plan, drift, status.
    Plan,
    /// Apply and destroy as well.
    Apply,
}

/// What of EKS.
#[derive(Debug, Subcommand)]
pub enum EksCommand {
    /// Print the least that IAM must allow: this account, region and cluster by ARN, its tags where IAM knows them.
    Policy {
        /// The blueprint.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// What shall be possible.
        #[arg(long, value_enum, default_value_t = PolicyFor::Apply)]
        to: PolicyFor,
    },
    /// Print a token for a cluster's API server; kubeconfigs of this program run it.
    #[command(hide = true)]
    Token {
        /// The cluster's name.
        #[arg(long)]
        cluster: String,
        /// Its region.
        #[arg(long)]
        region: String,
    },
}

/// What of a nightly check.
#[derive(Debug, Subcommand)]
pub enum CiCommand {
    /// Write a script and a GitHub workflow that runs it every night: drift as SARIF and Markdown, checks as JUnit.
    Init {
        /// The blueprint and its overlays.
        #[command(flatten)]
        blueprint: BlueprintArgs,
        /// The root of the repository.
        #[arg(long, default_value = ".", value_name = "FOLDER")]
        directory: PathBuf,
        /// When, in cron's words (UTC).
        #[arg(long, default_value = "17 3 * * *", value_name = "CRON")]
        schedule: String,
        /// Write over what is there.
        #[arg(long)]
        force: bool,
    },
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        super::Cli::command().debug_assert();
    }
}

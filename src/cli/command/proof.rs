//! The closure proof on the command line: before every plan, and `explain gpu`.

use std::path::Path;

use serde_json::Value;
use wbk_provider_api::ProviderKind;

use super::session::{Session, out, unfit};
use crate::{
    cli::{
        args::{BlueprintArgs, Output, ProofArgs},
        failure::{Exit, Failure},
        releases::render_all,
        situation::{Connection, Situation, files, provider, reach, read_on_paper},
    },
    desired::Desired,
    gpu::{self, Proof, Question},
    id::ReleaseId,
    live::RenderedRelease,
    plan::Plan,
};

/// What was rendered, and what was not with the reason.
#[derive(Default)]
struct Renders {
    releases: Vec<RenderedRelease>,
    unrendered: Vec<(ReleaseId, String)>,
}

/// This machine's architecture as Kubernetes writes it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn prove<'a>(
    desired: &Desired,
    rendered: impl Iterator<Item = &'a RenderedRelease>,
    unrendered: &[(ReleaseId, String)],
    live_nodes: Option<&[Value]>,
) -> Proof {
    let (readable, hidden): (Vec<_>, Vec<_>) = rendered.partition(|release| !release.objects.is_empty());
    let releases: Vec<_> = readable.iter().map(|release| (&release.id, release.objects.as_slice())).collect();
    let why = |release: &&RenderedRelease| {
        (release.id.clone(), "what it renders depends on the cluster, or is nothing".to_owned())
    };
    let unrendered: Vec<_> = unrendered.iter().cloned().chain(hidden.iter().map(why)).collect();
    gpu::prove(&Question { desired, releases: &releases, unrendered: &unrendered, live_nodes, arch: arch() })
}

/// Kinds that make pods.
const MAKES_PODS: [&str; 7] = ["DaemonSet", "Deployment", "StatefulSet", "ReplicaSet", "Job", "CronJob", "Pod"];

/// The nodes of a cluster that was there before; `None` where they cannot be seen, which the proof says.
async fn live_nodes(desired: &Desired, connection: Option<&Connection>) -> Option<Vec<Value>> {
    let makes_pods = !desired.releases.is_empty()
        || desired.objects.iter().any(|object| MAKES_PODS.contains(&object.id.gvk.kind.as_str()));
    if desired.wanted.cluster.provider != ProviderKind::Existing || !makes_pods {
        return None;
    }
    let list = connection?.cluster.request(http::Method::GET, "/api/v1/nodes", None, "list the nodes").await.ok()?;
    list["items"].as_array().cloned()
}

/// Refuses a plan that would leave something that can never run, before any step; told to go on, the plan says what it leaves
/// broken.
///
/// # Errors
/// Something of the blueprint can never run, and nobody said to go on.
pub(super) async fn hold_to_proof(
    made: &mut Plan,
    desired: &Desired,
    situation: &Situation,
    allowed: &ProofArgs,
) -> Result<(), Failure> {
    // Nothing is done, so nothing is refused: and a plan that finds nothing to do reads no manifest.
    if made.is_empty() {
        return Ok(());
    }
    let rendered = situation.charts.iter().flat_map(|charts| &charts.rendered);
    let nodes = live_nodes(desired, situation.connection.as_ref()).await;
    let proof = prove(desired, rendered, &[], nodes.as_deref());
    if proof.holds() || allowed.allow_unschedulable {
        made.leaves_broken = proof.broken;
        return Ok(());
    }
    let count = proof.broken.len();
    let chains: Vec<String> =
        proof.broken.iter().map(|broken| format!("\n{}", gpu::one_broken(broken).trim_end())).collect();
    let error = anyhow::anyhow!(
        "the blueprint asks for what can never run: {count} {} broken\n{}",
        if count == 1 { "chain is" } else { "chains are" },
        chains.join("\n")
    );
    Err(Failure::hinted(error, "mend what is named above, or go on as it is with --allow-unschedulable"))
}

impl Session<'_> {
    /// `explain gpu`.
    pub(super) async fn explain_gpu(
        &self,
        blueprint: &BlueprintArgs,
        (html, svg): (Option<&Path>, Option<&Path>),
    ) -> Result<Exit, Failure> {
        let desired = read_on_paper(&files(blueprint)?, self.environment)?;
        let connection = match desired.wanted.cluster.provider {
            // Pools are proven on paper; only the nodes of an existing cluster must be looked at. Without it the proof says so.
            ProviderKind::Existing => {
                let provider = provider(&desired.wanted, self.environment, self.global)?;
                reach(&*provider, &desired, self.global).await.ok()
            }
            _ => None,
        };
        let proof = self.proof_of(&desired, connection.as_ref()).await;
        self.draw(html, || gpu::picture_html(&proof))?;
        self.draw(svg, || gpu::picture_svg(&proof))?;
        match self.global.output {
            Output::Human => out(&gpu::human(&proof, self.global.verbose)),
            Output::Json => out(&serde_json::to_string_pretty(&proof)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&proof)?)),
            Output::Html => out(&gpu::picture_html(&proof)),
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => {
                return Err(unfit("explain gpu", other));
            }
        }
        Ok(if proof.holds() { Exit::Done } else { Exit::Failed })
    }

    /// The proof of a blueprint, with every chart that can be rendered from here.
    pub(super) async fn proof_of(&self, desired: &Desired, connection: Option<&Connection>) -> Proof {
        let renders = self.render_each(desired, connection).await;
        let nodes = live_nodes(desired, connection).await;
        prove(desired, renders.releases.iter(), &renders.unrendered, nodes.as_deref())
    }

    /// Every chart that can be rendered from here; of the others, why not.
    async fn render_each(&self, desired: &Desired, connection: Option<&Connection>) -> Renders {
        let mut renders = Renders::default();
        if desired.releases.is_empty() {
            return renders;
        }
        let say = self.say();
        if let Ok(charts) = render_all(desired, self.environment, self.global, connection, &say).await {
            renders.releases = charts.rendered;
            return renders;
        }
        // One that cannot be had must not hide the others.
        for release in &desired.releases {
            let alone = Desired { releases: vec![release.clone()], ..desired.clone() };
            match render_all(&alone, self.environment, self.global, connection, &say).await {
                Ok(charts) => renders.releases.extend(charts.rendered),
                Err(failure) => renders.unrendered.push((release.id.clone(), format!("{:#}", failure.error))),
            }
        }
        renders
    }
}

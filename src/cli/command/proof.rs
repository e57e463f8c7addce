//! The closure proof on the command line: before every plan, and `explain gpu`.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::Value;
use wbk_provider_api::ProviderKind;

use super::session::{Session, out, unfit};
use crate::{
    cli::{
        args::{BlueprintArgs, Output, ProofArgs},
        failure::{Exit, Failure},
        releases::{Charts, render_all},
        situation::{Connection, Situation, files, provider, reach, read},
    },
    desired::Desired,
    gpu::{self, Proof, Question},
    id::{ObjectId, ReleaseId},
    plan::Plan,
};

/// What was rendered, and what was not with the reason.
#[derive(Default)]
struct Renders {
    releases: Vec<(ReleaseId, Vec<(ObjectId, Value)>)>,
    unrendered: Vec<(ReleaseId, String)>,
}

impl Renders {
    fn add(&mut self, charts: Charts) {
        for release in charts.rendered {
            if release.objects.is_empty() {
                self.unrendered.push((release.id, "what it renders depends on the cluster, or is nothing".into()));
            } else {
                self.releases.push((release.id, release.objects));
            }
        }
    }
}

/// This machine's architecture as Kubernetes writes it.
fn arch() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn prove(desired: &Desired, renders: &Renders, live_nodes: Option<&[Value]>) -> Proof {
    gpu::prove(&Question {
        desired,
        releases: &renders.releases,
        unrendered: &renders.unrendered,
        live_nodes,
        arch: arch(),
    })
}

/// The nodes of a cluster that was there before; `None` where they cannot be seen, which the proof says.
async fn live_nodes(desired: &Desired, connection: Option<&Connection>) -> Option<Vec<Value>> {
    if desired.wanted.cluster.provider != ProviderKind::Existing {
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
    let mut renders = Renders::default();
    for release in situation.charts.iter().flat_map(|charts| &charts.rendered) {
        renders.releases.push((release.id.clone(), release.objects.clone()));
    }
    let nodes = live_nodes(desired, situation.connection.as_ref()).await;
    let proof = prove(desired, &renders, nodes.as_deref());
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
    pub async fn explain_gpu(
        &self,
        blueprint: &BlueprintArgs,
        html: Option<&Path>,
        svg: Option<&Path>,
    ) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        let connection = match desired.wanted.cluster.provider {
            // Pools are proven on paper; only the nodes of an existing cluster must be looked at. Without it the proof says so.
            ProviderKind::Existing => {
                let provider = provider(&desired, self.environment, self.global)?;
                reach(&*provider, &desired, self.global).await.ok()
            }
            _ => None,
        };
        let renders = self.render_each(&desired, connection.as_ref()).await;
        let nodes = live_nodes(&desired, connection.as_ref()).await;
        let proof = prove(&desired, &renders, nodes.as_deref());
        let pictures: [(Option<&Path>, fn(&Proof) -> String); 2] = [(html, gpu::picture_html), (svg, gpu::picture_svg)];
        let mut drawn: Vec<PathBuf> = Vec::new();
        for (path, draw) in pictures {
            let Some(path) = path else { continue };
            std::fs::write(path, draw(&proof)).with_context(|| format!("write the picture to {}", path.display()))?;
            drawn.push(path.to_owned());
        }
        match self.global.output {
            Output::Human => out(&gpu::human(&proof, self.global.verbose)),
            Output::Json => out(&serde_json::to_string_pretty(&proof)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&proof)?)),
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => {
                return Err(unfit("explain gpu", other));
            }
        }
        if !self.global.quiet {
            for path in drawn {
                anstream::eprintln!("drawn in {}", path.display());
            }
        }
        Ok(if proof.holds() { Exit::Done } else { Exit::Failed })
    }

    /// Every chart that can be rendered from here; of the others, why not.
    async fn render_each(&self, desired: &Desired, connection: Option<&Connection>) -> Renders {
        let mut renders = Renders::default();
        if desired.releases.is_empty() {
            return renders;
        }
        let say = self.say();
        if let Ok(charts) = render_all(desired, self.environment, self.global, connection, &say).await {
            renders.add(charts);
            return renders;
        }
        // One that cannot be had must not hide the others.
        for release in &desired.releases {
            let alone = Desired { releases: vec![release.clone()], ..desired.clone() };
            match render_all(&alone, self.environment, self.global, connection, &say).await {
                Ok(charts) => renders.add(charts),
                Err(failure) => renders.unrendered.push((release.id.clone(), format!("{:#}", failure.error))),
            }
        }
        renders
    }
}

/// Whether `explain` was asked about GPUs rather than about a value.
pub fn is_about_gpus(first: &Path) -> bool {
    first == Path::new("gpu")
}

//! A pod that asks for one GPU through the scheduler sees exactly that GPU: taints, device plugin, container runtime and
//! driver at once.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};

use super::constraints::Constraints;
use super::debug_pod;
use super::pods::{self, Does};
use crate::cluster::{name, one_line, text};
use crate::desired::Desired;
use crate::verify::api::Trouble;
use crate::verify::check::{Applicability, Check, CheckId, Evidence, LOOK, Outcome};
use crate::verify::context::{CheckContext, Nodes, OptIn, VerifyOptions};
use crate::verify::follow::{Ended, Followed, Following, Goal, Growth, Kind, conclude};
use crate::verify::placement::{GpuAsk, Placement, is_fake, takes_pods};
use crate::verify::prospect::Cause;

pub(super) fn derive(desired: &Desired, checks: &mut Vec<Arc<dyn Check>>) {
    for pool in desired.wanted.pools.values() {
        let placement = Placement::of(pool, desired);
        if let Some(gpu) = placement.gpu.clone() {
            checks.push(Arc::new(SeesItsGpu { placement, gpu }));
        }
    }
}

struct SeesItsGpu {
    placement: Placement,
    gpu: GpuAsk,
}

/// How a container says which GPUs it sees.
enum Tool {
    /// `nvidia-smi -L`: one line for each GPU.
    NvidiaSmi,
    /// The kernel's render nodes, one for each GPU, as AMD's and Intel's plugins hand them in.
    RenderNodes,
}

fn tool(resource: &str) -> Tool {
    if resource.starts_with("nvidia.com/") { Tool::NvidiaSmi } else { Tool::RenderNodes }
}

#[async_trait]
impl Check for SeesItsGpu {
    fn id(&self) -> CheckId {
        CheckId::about("gpus.smi", &self.placement.pool)
    }

    fn title(&self) -> String {
        format!("a pod with 1 {} on pool {} sees its GPU", self.gpu.resource, self.placement.pool)
    }

    fn applies(&self, desired: &Desired, _options: &VerifyOptions) -> Applicability {
        pods::may_apply(&self.placement, desired)
    }

    fn makes(&self) -> bool {
        true
    }

    fn bound(&self, cx: &CheckContext) -> Duration {
        let debug = if cx.options.allows(OptIn::DebugPod) { debug_pod::BOUND } else { Duration::ZERO };
        cx.options.sample_deadline + cx.options.patience + debug + LOOK
    }

    async fn run(&self, cx: &CheckContext) -> Outcome {
        self.prove(cx).await.unwrap_or_else(Outcome::from)
    }
}

impl SeesItsGpu {
    fn does(&self, cx: &CheckContext) -> Does {
        let (image, command) = match tool(&self.gpu.resource) {
            Tool::NvidiaSmi => (cx.gpu_image(), json!(["nvidia-smi", "-L"])),
            Tool::RenderNodes => (cx.image(), json!(["ls", "/dev/dri"])),
        };
        let gpus = Some((self.gpu.resource.clone(), 1));
        Does { image: image.to_owned(), command, gpus, bound: cx.options.sample_deadline }
    }

    async fn prove(&self, cx: &CheckContext) -> Result<Outcome, Trouble> {
        let (id, space, bound) = (self.id(), pods::space(cx), cx.options.sample_deadline);
        if let Some(why) = pods::would_grow(cx, &self.placement).await? {
            return Ok(Outcome::skipped(why));
        }
        let limits = Constraints::of(cx, space).await?;
        let room = cx.room(&self.placement, space).await;
        let pod = self.does(cx).pod(cx, "smi", &self.placement, &limits);
        let source = format!("POST, GET and log of /api/v1/namespaces/{space}/pods/{}", name(&pod));
        let wanted = format!("1 {} on pool {}", self.gpu.resource, self.placement.pool);
        let evidence = |measured: String| Evidence::new(measured, wanted, source);
        let following = Following {
            check: &id,
            placement: &self.placement,
            resource: Some(&self.gpu.resource),
            goal: Goal::Ends,
            growth: Growth::Fixed,
            bound,
        };
        let followed = following.send(cx, (Kind::Pod, space), pod).await?;
        let outcome = match &followed.ended {
            Ended::Reached => self.reached(cx, &followed, evidence).await,
            _ => conclude(&followed, &self.placement, evidence),
        };
        followed.remove(cx).await;
        drop(room);
        Ok(match outcome {
            Outcome::Fail { evidence, hint } => self.told_apart(cx, &followed, evidence, hint).await,
            outcome => outcome,
        })
    }

    async fn reached(
        &self,
        cx: &CheckContext,
        followed: &Followed,
        evidence: impl FnOnce(String) -> Evidence,
    ) -> Outcome {
        let (node, seconds) = (followed.node(), followed.took.as_secs_f64());
        let data = |seen: Value| json!({"node": node, "seconds": seconds, "seen": seen, "simulated": cx.nodes == Nodes::Simulated});
        if cx.nodes == Nodes::Simulated {
            let measured = format!(
                "simulated: given a GPU on node {node} in {seconds:.1} s; no container ran, so that runtime and driver are \
                 not proved"
            );
            return Outcome::pass(evidence(followed.told(&measured)).with(data(Value::Null)));
        }
        let log = match cx.api().text(&format!("{}/log", followed.path())).await {
            Ok(log) => log,
            Err(trouble) => {
                return Outcome::inconclusive(format!(
                    "it ran on node {node}, and what it saw cannot be read: {trouble}"
                ));
            }
        };
        judge(&tool(&self.gpu.resource), node, seconds, &log, |measured, seen| {
            evidence(followed.told(&measured)).with(data(seen))
        })
    }

    /// Where a GPU pod failed on real nodes: is it the driver, or what lies between it and the pod?
    async fn told_apart(
        &self,
        cx: &CheckContext,
        followed: &Followed,
        mut evidence: Evidence,
        hint: Option<String>,
    ) -> Outcome {
        let of_gpus = match &followed.ended {
            Ended::Reached | Ended::Failed(_) | Ended::NotBegun(_) => true,
            Ended::Stuck(found) | Ended::Late(found) => {
                matches!(found.cause, Cause::NoGpus | Cause::Container | Cause::Kubelet | Cause::Waiting)
            }
            Ended::Gone(_) => false,
        };
        let has_driver = cx.nodes == Nodes::Real && !is_fake(&self.placement.pool, &cx.desired);
        if !of_gpus || !has_driver || !matches!(tool(&self.gpu.resource), Tool::NvidiaSmi) {
            return Outcome::Fail { evidence, hint };
        }
        if !cx.options.allows(OptIn::DebugPod) {
            let more = "`--allow debug-pod` asks the node itself, to tell driver from plugin";
            let hint = hint.map_or_else(|| more.to_owned(), |hint| format!("{hint}; {more}"));
            return Outcome::Fail { evidence, hint: Some(hint) };
        }
        let node = match followed.node() {
            "" => self.any_node(cx).await,
            node => Some(node.to_owned()),
        };
        let Some(node) = node else { return Outcome::Fail { evidence, hint } };
        let told = debug_pod::ask(cx, &self.id(), &node, &self.placement).await;
        evidence.measured.push_str("; ");
        evidence.measured.push_str(&told.words);
        Outcome::Fail { evidence, hint: told.hint.or(hint) }
    }

    async fn any_node(&self, cx: &CheckContext) -> Option<String> {
        // Without a node there is nobody to ask.
        let nodes = cx.all_nodes().await.ok()?;
        let node = self.placement.nodes(&nodes).into_iter().find(|node| takes_pods(node))?;
        Some(text(node, "/metadata/name").to_owned())
    }
}

/// Judges what a container said of its GPUs.
fn judge(
    tool: &Tool,
    node: &str,
    seconds: f64,
    log: &str,
    evidence: impl FnOnce(String, Value) -> Evidence,
) -> Outcome {
    let seen: Vec<String> = match tool {
        Tool::NvidiaSmi => log.lines().filter(|line| line.starts_with("GPU ")).map(one_line).collect(),
        Tool::RenderNodes => log.lines().filter(|line| line.starts_with("renderD")).map(one_line).collect(),
    };
    let data = json!(seen);
    match seen.as_slice() {
        [one] => Outcome::pass(evidence(format!("{one}, on node {node} in {seconds:.1} s"), data)),
        [] => {
            let said = one_line(log);
            let said = if said.is_empty() { "nothing".to_owned() } else { said };
            let hint = "see that the node's container runtime hands GPUs in (NVIDIA container toolkit, CDI)";
            Outcome::fail(evidence(format!("the pod ran on node {node} and saw no GPU; it said: {said}"), data), hint)
        }
        many => {
            let hint = "containers must see only what they were given: see the plugin's device list strategy, and that no \
                        image sets NVIDIA_VISIBLE_DEVICES=all";
            let measured = format!("the pod asked for 1 GPU and sees {} on node {node}", many.len());
            Outcome::fail(evidence(measured, data), hint)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(log: &str) -> Outcome {
        judge(&Tool::NvidiaSmi, "n", 1.0, log, |measured, data| Evidence::new(measured, "", "").with(data))
    }

    #[test]
    fn exactly_the_gpu_that_was_given_is_a_proof() {
        let one = "GPU 0: NVIDIA L4 (UUID: GPU-1)\n";
        match judged(one) {
            Outcome::Pass { evidence } => {
                assert_eq!(evidence.measured, "GPU 0: NVIDIA L4 (UUID: GPU-1), on node n in 1.0 s");
            }
            other => panic!("{other:?}"),
        }
        let two = format!("{one}GPU 1: NVIDIA L4 (UUID: GPU-2)\n");
        assert!(matches!(judged(&two), Outcome::Fail { evidence, .. } if evidence.measured.contains("sees 2")));
        assert!(matches!(judged("No devices were found\n"),
            Outcome::Fail { evidence, .. } if evidence.measured.contains("it said: No devices were found")));
    }

    #[test]
    fn a_slice_of_a_gpu_is_one_gpu() {
        let mig = "GPU 0: NVIDIA A100 (UUID: GPU-1)\n  MIG 1g.5gb Device 0: (UUID: MIG-2)\n";
        assert!(matches!(judged(mig), Outcome::Pass { .. }));
    }

    #[test]
    fn other_vendors_are_read_off_their_render_nodes() {
        let of = |log: &str| judge(&Tool::RenderNodes, "n", 1.0, log, |measured, _| Evidence::new(measured, "", ""));
        assert!(matches!(of("by-path\ncard0\nrenderD128\n"), Outcome::Pass { .. }));
        assert!(matches!(of("by-path\n"), Outcome::Fail { .. }));
        assert!(matches!(tool("amd.com/gpu"), Tool::RenderNodes));
    }
}

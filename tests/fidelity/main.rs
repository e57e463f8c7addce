//! The laws of planning on a real API server: random objects, random interference, and `kubectl diff --server-side` beside.
//!
//! The same cases each time, so that a change is judged by what it changes; `WBK_INFRA_FIDELITY_SEED=random` looks for new ones and
//! says how to repeat them, `WBK_INFRA_FIDELITY_CASES` makes a run longer.

mod interference;
mod judge;
mod laws;
mod objects;
mod peer;
#[path = "../support/random.rs"]
mod random;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::collections::BTreeMap;
use std::time::Instant;

use futures::{StreamExt, stream};
use interference::{Known, choose, interfere};
use judge::{Tally, Truth, Verdicts, judge, owned};
use objects::{Made, foundations};
use peer::Kubectl;
use random::Random;
use serde_json::Value;
use wbk_infra::drift::DriftKind;
use wbk_infra::id::ObjectId;
use wbk_infra::plan::{Plan, PlanOptions};
use world::{World, kinds};

/// Cases of one round: each kind a few times.
const ROUND: usize = objects::KINDS * 4;
/// The seed of a run without more said: the one in which two additions with one key were found.
const SEED: u64 = 1_795_334_111_248;
/// Cases of a run without more said.
const CASES: usize = ROUND * 3;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok()?.parse().ok()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_objects_under_random_interference_are_judged_rightly() {
    let seed = match std::env::var("WBK_INFRA_FIDELITY_SEED").as_deref() {
        Ok("random") => u64::try_from(jiff::Timestamp::now().as_millisecond()).expect("after 1970"),
        Ok(number) => number.parse().expect("a number, or random"),
        Err(_) => SEED,
    };
    let cases = number("WBK_INFRA_FIDELITY_CASES").map_or(CASES, |cases| usize::try_from(cases).expect("a number"));
    eprintln!("repeat with WBK_INFRA_FIDELITY_SEED={seed}");
    let mut random = Random::new(seed);
    let mut tally = Tally::default();
    let mut wrong = Vec::new();
    let begun = Instant::now();
    let rounds = cases.div_ceil(ROUND);
    let _plane = tokio::task::spawn_blocking(support::plane::plane).await.expect("a control plane for all rounds");
    for round in 0..rounds {
        let size = ROUND.min(cases - round * ROUND);
        wrong.extend(one_round(round, size, &mut random, &mut tally).await);
    }
    let Tally { agree, kubectl_wrong, kubectl_blind, additions, changed, quiet, ownership, gone, actors } = &tally;
    eprintln!(
        "{cases} cases in {:.0} s: {changed} changed, {ownership} ownership only, {quiet} quiet, {gone} gone or replaced; \
         {actors} times an actor was told\n\
         kubectl diff: right {agree} times, otherwise {}; blind to additions {kubectl_blind} of {additions} times",
        begun.elapsed().as_secs_f64(),
        kubectl_wrong.len()
    );
    for line in kubectl_wrong {
        eprintln!("  {line}");
    }
    assert!(wrong.is_empty(), "seed {seed}: {} complaints\n{}", wrong.len(), wrong.join("\n"));
}

#[track_caller]
fn nothing_to_do(plan: &Plan, when: &str) {
    let steps: Vec<String> =
        plan.steps.iter().map(|step| format!("{} {}: {:?}", step.action.word(), step.id, step.diff)).collect();
    assert!(plan.is_empty() && plan.not_planned.is_empty(), "{when}: {steps:#?} {:#?}", plan.not_planned);
}

/// Where the plan from memory and the plan from dry-runs alone differ.
fn disagreements(remembered: &Plan, forgetful: &Plan) -> Vec<String> {
    let shown = |plan: &Plan| -> BTreeMap<String, String> {
        let steps = plan.steps.iter().map(|step| (step.id.0.clone(), format!("{step:?}")));
        steps
            .chain(plan.not_planned.iter().map(|entry| (format!("not {}", entry.what), format!("{entry:?}"))))
            .collect()
    };
    let (one, other) = (shown(remembered), shown(forgetful));
    let keys: std::collections::BTreeSet<&String> = one.keys().chain(other.keys()).collect();
    keys.into_iter()
        .filter(|key| one.get(*key) != other.get(*key))
        .map(|key| format!("{key}: the proof says {:?}, the dry-run {:?}", one.get(key), other.get(key)))
        .collect()
}

/// An addition as the object's JSON has it.
fn shown(token: &str) -> String {
    token.strip_prefix("port=").map_or_else(|| format!("\"{token}\""), |port| format!(":{port},"))
}

struct Clock(Instant);

impl Clock {
    fn say(&mut self, what: &str) {
        eprintln!("    {what}: {:.1} s", self.0.elapsed().as_secs_f64());
        self.0 = Instant::now();
    }
}

async fn one_round(round: usize, size: usize, random: &mut Random, tally: &mut Tally) -> Vec<String> {
    let space = format!("round-{round}");
    let mades: Vec<Made> = (0..size).map(|at| objects::random(random, &space, at)).collect();
    let mut all = foundations(&space);
    all.extend(mades.iter().map(|made| made.object.clone()));
    let mut world = World::new(&space, all).await;
    let mut clock = Clock(Instant::now());
    let options = PlanOptions::default();

    // Everything in one plan: namespace, definition, its custom resources, all the rest.
    let (first, ..) = world.plan(&options).await;
    assert_eq!(first.steps.len(), size + 2, "{:#?}", first.not_planned);
    World::complete(&world.apply(&first).await);
    clock.say("applied");

    // Law 7, from memory, with nothing but LISTs; and without a memory, with dry-runs.
    let (again, sight, requests) = world.plan(&options).await;
    nothing_to_do(&again, "right after an apply");
    assert_eq!(requests.len(), kinds(&world.desired), "nothing but one LIST for each kind: {requests:#?}");
    let asked: Vec<&String> =
        requests.iter().filter(|line| !line.starts_with("GET ") || !line.contains("limit=")).collect();
    assert!(asked.is_empty(), "{asked:#?}");
    let moved = world.drift(&sight).await;
    assert!(moved.items.is_empty(), "right after an apply drift is {:#?}", moved.items);
    clock.say("planned from memory");
    let forgetful = world.plan_forgetful(&options).await;
    nothing_to_do(&forgetful, "without a memory");
    clock.say("planned without a memory");

    let ids: Vec<ObjectId> = mades.iter().map(|made| made.object.id.clone()).collect();
    let before = world.bodies(&ids).await;
    let discovery = world.discover().await;
    let since = world.next_second().await;
    let plots: Vec<(usize, Vec<interference::Interference>, Random)> = mades
        .iter()
        .enumerate()
        .map(|(at, made)| {
            let count = *random.pick(&[1, 1, 1, 2, 3]);
            let plot = (0..count).map(|_| choose(random, made)).collect();
            (at, plot, Random::new(random.below(usize::MAX) as u64))
        })
        .collect();
    let (world_ref, discovery_ref, mades_ref) = (&world, &discovery, &mades);
    let mut known: BTreeMap<usize, Known> = stream::iter(plots)
        .map(|(at, plot, mut random)| async move {
            let mut known = Known::default();
            for what in &plot {
                interfere(world_ref, discovery_ref, &mades_ref[at], what, &mut random, &mut known).await;
            }
            (at, known)
        })
        .buffer_unordered(8)
        .collect()
        .await;
    let until = world.server_second().await;
    let after = world.bodies(&ids).await;
    clock.say("interfered");

    let (plan, sight, _) = world.plan(&options).await;
    let moved = world.drift(&sight).await;
    clock.say("planned and told the drift");
    let forgetful = world.plan_forgetful(&options).await;
    let mut wrong = disagreements(&plan, &forgetful);
    clock.say("planned without a memory");
    let kubeconfig = world.plane.kubeconfig();
    let kubectl = Kubectl::new(&kubeconfig);
    let marked: Vec<(ObjectId, Value)> =
        mades.iter().map(|made| (made.object.id.clone(), world.marked(&made.object))).collect();
    let kubectl = tokio::task::block_in_place(|| kubectl.diff(&marked));
    clock.say("kubectl diff");

    for (at, made) in mades.iter().enumerate() {
        let id = &made.object.id;
        let name = id.to_string();
        let truth = Truth::of(&before[&id.key()], after.get(&id.key()));
        let said = Verdicts {
            step: plan.steps.iter().find(|step| step.id.0 == name),
            not_planned: plan.not_planned.iter().find(|entry| entry.what == name),
            drift: moved.items.iter().filter(|item| item.object == name).collect(),
            kubectl: kubectl.get(&name),
        };
        let mut own = std::mem::take(known.get_mut(&at).expect("every case has its story"));
        // What a later interference took away again is no addition.
        let there = after.get(&id.key()).map(|object| world::bare(object).to_string()).unwrap_or_default();
        own.added.retain(|(token, _)| there.contains(&shown(token)));
        known.insert(at, own);
        let known = &known[&at];
        let mut complaints = judge(made, known, &truth, &said, (since, until), tally);
        if known.copied {
            let copy = format!("{name}-copy");
            let seen = moved.items.iter().any(|item| item.object == copy && item.kind == DriftKind::Added);
            let kept = plan.not_planned.iter().any(|entry| entry.what == copy);
            if !seen || !kept || plan.steps.iter().any(|step| step.id.0 == copy) {
                complaints.push(format!("the copy {copy} is told: {seen}, kept: {kept}"));
            }
        }
        wrong.extend(complaints.into_iter().map(|complaint| format!("{name}: {complaint}\n    {:?}", known.story)));
    }
    let judged: Vec<String> = ids.iter().map(ToString::to_string).collect();
    for item in moved.items.iter().filter(|item| !judged.contains(&item.object) && !item.object.ends_with("-copy")) {
        wrong.push(format!("drift of what nobody touched: {item:?}"));
    }

    // Mended: nothing left to do but what is somebody else's; what others added is there; nothing else was written.
    World::complete(&world.apply(&plan).await);
    clock.say("mended");
    let mended = world.bodies(&ids).await;
    let (last, ..) = world.plan(&options).await;
    let left: Vec<String> = last.steps.iter().map(|step| format!("{}: {:?}", step.id, step.diff)).collect();
    if !left.is_empty() {
        wrong.push(format!("after mending there is still to do: {left:#?}"));
    }
    for (at, made) in mades.iter().enumerate() {
        let key = made.object.id.key();
        let name = made.object.id.to_string();
        let (was, is) = (&before[&key], mended.get(&key));
        let known = &known[&at];
        let Some(is) = is else {
            wrong.push(format!("{name}: gone after mending\n    {:?}", known.story));
            continue;
        };
        if known.recreated && was["metadata"]["uid"] != is["metadata"]["uid"] {
            continue;
        }
        let lost: Vec<String> = owned(was)
            .into_iter()
            .filter(|path| path.value(was) != path.value(is))
            .map(|path| path.to_string())
            .collect();
        if !lost.is_empty() {
            wrong.push(format!("{name}: not mended: {lost:?}\n    {:?}", known.story));
        }
        for (token, _) in &known.added {
            let token = shown(token);
            let there = |object: &Value| world::bare(object).to_string().contains(&token);
            if after.get(&key).is_some_and(&there) && !there(is) {
                wrong.push(format!("{name}: the addition {token} was taken away\n    {:?}", known.story));
            }
        }
        let stepped = plan.steps.iter().any(|step| step.id.0 == name);
        let version = |object: &Value| object["metadata"]["resourceVersion"].clone();
        if !stepped && !made.lively && after.get(&key).map(version) != Some(version(is)) {
            wrong.push(format!("{name}: written without a step\n    {:?}", known.story));
        }
    }
    clock.say("planned again");
    wrong
}

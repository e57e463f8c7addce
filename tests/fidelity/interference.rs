//! What others do to objects, over the verbs that they have.

use http::Method;
use serde_json::{Map, Value, json};
use wbk_infra::cluster::Discovery;

use super::objects::{Edit, Made};
use super::random::Random;
use super::world::{World, bare, path};

/// How an edit is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    MergePatch,
    StrategicPatch,
    JsonPatch,
    Replace,
    /// A forced apply of the whole manifest under another name.
    ForcedApply,
    /// A replace under our manager's name.
    OurReplace,
    /// A forced apply under our manager's name.
    OurApply,
    /// Changed, and changed back.
    AndBack,
}

/// One interference.
#[derive(Debug, Clone)]
pub enum Interference {
    Nothing,
    Edit(Edit, Verb),
    Add(Edit, Verb, &'static str),
    StripOwnership,
    WipeManagers,
    Delete,
    Recreate,
    Respell(Edit),
    Status(Value),
    Scale(u32),
    CopyElsewhere,
}

/// What the test then knows.
#[derive(Debug, Default)]
pub struct Known {
    /// Names under which something was written.
    pub actors: Vec<String>,
    /// Additions: part of the path, and who.
    pub added: Vec<(&'static str, String)>,
    /// The object was deleted and is another one now.
    pub recreated: bool,
    pub wiped: bool,
    /// The subresource scale keeps no time.
    pub scaled: bool,
    pub copied: bool,
    /// For messages.
    pub story: Vec<String>,
}

const OTHERS: [&str; 6] = ["kubectl-edit", "kubectl-patch", "argocd-controller", "terraform", "some operator", "helm"];

pub fn choose(random: &mut Random, made: &Made) -> Interference {
    let removal = |edit: &Edit| edit.op == "remove";
    let verb = |random: &mut Random, edit: &Edit| {
        let atomic = edit.at.ends_with("/-") || edit.at.chars().any(|c| c.is_ascii_digit());
        match random.below(8) {
            0 => Verb::MergePatch,
            // A strategic patch takes lists by keys; the other verbs take them as they stand.
            1 if !atomic && made.object.id.gvk.kind != "Widget" => Verb::StrategicPatch,
            2 | 3 => Verb::Replace,
            4 if !removal(edit) => Verb::ForcedApply,
            5 => Verb::OurReplace,
            6 if !removal(edit) => Verb::OurApply,
            7 if !removal(edit) && edit.op == "replace" => Verb::AndBack,
            _ => Verb::JsonPatch,
        }
    };
    match random.below(100) {
        0..=5 => Interference::Nothing,
        6..=45 => {
            let edit = random.pick(&made.pokes).clone();
            let verb = verb(random, &edit);
            Interference::Edit(edit, verb)
        }
        46..=65 => {
            let extra = random.pick(&made.extras).clone();
            let verb = match verb(random, &extra.edit) {
                // Under our own name it would be ours, and go with the next apply; there is nothing to put back.
                Verb::OurApply | Verb::AndBack => Verb::JsonPatch,
                verb => verb,
            };
            Interference::Add(extra.edit, verb, extra.token)
        }
        66..=70 => Interference::StripOwnership,
        71..=74 => Interference::WipeManagers,
        75..=78 => Interference::Delete,
        79..=82 => Interference::Recreate,
        83..=86 => Interference::CopyElsewhere,
        87..=91 if !made.respelled.is_empty() => Interference::Respell(random.pick(&made.respelled).clone()),
        92..=95 if made.scales => Interference::Scale(3),
        87..=100 if made.status.is_some() => Interference::Status(made.status.clone().unwrap_or_default()),
        87..=100 if made.scales => Interference::Scale(2),
        87..=100 if !made.respelled.is_empty() => Interference::Respell(random.pick(&made.respelled).clone()),
        _ => {
            let edit = random.pick(&made.pokes).clone();
            Interference::Edit(edit, Verb::JsonPatch)
        }
    }
}

fn unescape(part: &str) -> String {
    part.replace("~1", "/").replace("~0", "~")
}

/// Makes an edit on a value; `false` where its place is not there.
pub fn edit(object: &mut Value, edit: &Edit) -> bool {
    let Some((parent, last)) = edit.at.rsplit_once('/') else { return false };
    let last = unescape(last);
    if edit.op == "add" && object.pointer(parent).is_none() {
        let Some((grand, name)) = parent.rsplit_once('/') else { return false };
        let Some(Value::Object(grand)) = object.pointer_mut(grand) else { return false };
        let empty = if last == "-" { json!([]) } else { json!({}) };
        grand.insert(unescape(name), empty);
    }
    match object.pointer_mut(parent) {
        Some(Value::Object(map)) => match edit.op {
            "remove" => map.remove(&last).is_some(),
            "replace" if !map.contains_key(&last) => false,
            _ => {
                map.insert(last, edit.value.clone());
                true
            }
        },
        Some(Value::Array(items)) => match (edit.op, last.parse::<usize>()) {
            ("add", _) => {
                items.push(edit.value.clone());
                true
            }
            ("remove", Ok(at)) if at < items.len() => {
                items.remove(at);
                true
            }
            ("replace", Ok(at)) if at < items.len() => {
                items[at] = edit.value.clone();
                true
            }
            _ => false,
        },
        _ => false,
    }
}

/// RFC 7386: what turns one value into the other.
fn merge(old: &Value, new: &Value) -> Value {
    let (Value::Object(old), Value::Object(new)) = (old, new) else { return new.clone() };
    let mut patch = Map::new();
    for key in old.keys().filter(|key| !new.contains_key(*key)) {
        patch.insert(key.clone(), Value::Null);
    }
    for (key, value) in new {
        match old.get(key) {
            Some(was) if was == value => {}
            Some(was) => {
                patch.insert(key.clone(), merge(was, value));
            }
            None => {
                patch.insert(key.clone(), value.clone());
            }
        }
    }
    Value::Object(patch)
}

const MERGE: &str = "application/merge-patch+json";
const STRATEGIC: &str = "application/strategic-merge-patch+json";
const JSON_PATCH: &str = "application/json-patch+json";
const APPLY: &str = "application/apply-patch+yaml";
const JSON: &str = "application/json";

/// Does it. What the server refuses is not done, and told in the story.
pub async fn interfere(
    world: &World,
    discovery: &Discovery,
    made: &Made,
    what: &Interference,
    random: &mut Random,
    known: &mut Known,
) {
    let place = path(discovery, &made.object.id);
    let actor = (*random.pick(&OTHERS)).to_owned();
    let escaped = actor.replace(' ', "%20");
    known.story.push(format!("{what:?} as {actor}"));
    let Ok(live) = world.send(Method::GET, &place, JSON, &Value::Null).await else {
        known.story.push("(it is not there)".into());
        return;
    };
    let at = |query: &str| format!("{place}?{query}");
    let outcome = match what {
        Interference::Nothing => Ok(Value::Null),
        Interference::Edit(change, verb) | Interference::Add(change, verb, _) => {
            let mut changed = live.clone();
            if !edit(&mut changed, change) {
                known.story.push("(its place is not there)".into());
                return;
            }
            if changed == live {
                known.story.push("(it is so already)".into());
                return;
            }
            let as_them = format!("fieldManager={escaped}");
            match verb {
                Verb::MergePatch => world.send(Method::PATCH, &at(&as_them), MERGE, &merge(&live, &changed)).await,
                Verb::StrategicPatch => world.send(Method::PATCH, &at(&as_them), STRATEGIC, &merge(&live, &changed)).await,
                Verb::JsonPatch => {
                    let mut steps = vec![];
                    let (parent, last) = change.at.rsplit_once('/').unwrap_or_default();
                    if change.op == "add" && live.pointer(parent).is_none() {
                        steps.push(json!({"op": "add", "path": parent, "value": if last == "-" { json!([]) } else { json!({}) }}));
                    }
                    steps.push(json!({"op": change.op, "path": change.at, "value": change.value}));
                    world.send(Method::PATCH, &at(&as_them), JSON_PATCH, &json!(steps)).await
                }
                Verb::Replace => world.send(Method::PUT, &at(&as_them), JSON, &changed).await,
                Verb::OurReplace => world.send(Method::PUT, &at("fieldManager=wbk-infra"), JSON, &changed).await,
                Verb::ForcedApply => {
                    let mut manifest = world.marked(&made.object);
                    if !edit(&mut manifest, change) {
                        return;
                    }
                    world.send(Method::PATCH, &at(&format!("{as_them}&force=true")), APPLY, &manifest).await
                }
                Verb::OurApply => {
                    let mut manifest = world.marked(&made.object);
                    if !edit(&mut manifest, change) {
                        return;
                    }
                    world.send(Method::PATCH, &at("fieldManager=wbk-infra&force=true"), APPLY, &manifest).await
                }
                Verb::AndBack => match world.send(Method::PATCH, &at(&as_them), MERGE, &merge(&live, &changed)).await {
                    Ok(now) => world.send(Method::PATCH, &at(&as_them), MERGE, &merge(&bare(&now), &bare(&live))).await,
                    Err(error) => Err(error),
                },
            }
            .inspect(|_| {
                let name = match verb {
                    Verb::OurReplace | Verb::OurApply => "wbk-infra".to_owned(),
                    _ => actor.clone(),
                };
                // After a wipe the server keeps no entries until the next apply: who adds leaves no trace.
                if let Interference::Add(_, _, token) = what
                    && !known.wiped
                {
                    // A second item with the same key takes the first one's place in the managed fields: both are its writer's.
                    known.added.retain(|(earlier, _)| earlier != token);
                    known.added.push((token, name.clone()));
                }
                known.actors.push(name);
            })
        }
        Interference::StripOwnership => {
            let labels = json!({"wbk-infra/blueprint": null, "app.kubernetes.io/managed-by": null, "applyset.kubernetes.io/part-of": null});
            let sent = world
                .send(
                    Method::PATCH,
                    &at(&format!("fieldManager={escaped}")),
                    MERGE,
                    &json!({"metadata": {"labels": labels}}),
                )
                .await;
            known.actors.push(actor);
            sent
        }
        Interference::WipeManagers => {
            known.wiped = true;
            known.added.clear();
            world.send(Method::PATCH, &place, MERGE, &json!({"metadata": {"managedFields": [{}]}})).await
        }
        Interference::Delete => {
            known.added.clear();
            let sent = world.send(Method::DELETE, &place, JSON, &json!({"propagationPolicy": "Background"})).await;
            gone(world, &place).await;
            sent
        }
        Interference::Recreate => {
            known.added.clear();
            let sent = world.send(Method::DELETE, &place, JSON, &json!({"propagationPolicy": "Background"})).await;
            gone(world, &place).await;
            if sent.is_ok() {
                known.recreated = true;
                let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
                let made = world
                    .send(Method::POST, &format!("{parent}?fieldManager={escaped}"), JSON, made.object.manifest.value())
                    .await;
                known.actors.push(actor);
                made
            } else {
                sent
            }
        }
        Interference::Respell(change) => {
            let mut changed = live.clone();
            edit(&mut changed, change);
            world.send(Method::PATCH, &at(&format!("fieldManager={escaped}")), MERGE, &merge(&live, &changed)).await
        }
        Interference::Status(status) => {
            world.send(Method::PATCH, &format!("{place}/status?fieldManager={escaped}"), MERGE, status).await
        }
        Interference::Scale(replicas) => {
            let sent = world
                .send(
                    Method::PATCH,
                    &format!("{place}/scale?fieldManager={escaped}"),
                    MERGE,
                    &json!({"spec": {"replicas": replicas}}),
                )
                .await;
            known.actors.push(actor);
            known.scaled = true;
            sent
        }
        Interference::CopyElsewhere => {
            let mut copy = bare(&live);
            copy["metadata"]["name"] = format!("{}-copy", made.object.id.name).into();
            if let Some(spec) = copy["spec"].as_object_mut() {
                // What the server gave to one Service cannot be had twice.
                spec.remove("clusterIP");
                spec.remove("clusterIPs");
            }
            if copy["kind"] == "Job" {
                copy["spec"]["selector"] = Value::Null;
                copy["spec"]["template"]["metadata"] = json!({});
            }
            let parent = place.rsplit_once('/').map_or("", |(parent, _)| parent);
            let sent = world.send(Method::POST, &format!("{parent}?fieldManager={escaped}"), JSON, &copy).await;
            known.copied = sent.is_ok() && copy["metadata"]["labels"]["wbk-infra/blueprint"].is_string();
            sent
        }
    };
    if let Err(error) = outcome {
        known.story.push(format!("(refused: {error})"));
    }
}

async fn gone(world: &World, place: &str) {
    let begun = std::time::Instant::now();
    while world.send(Method::GET, place, JSON, &Value::Null).await.is_ok() {
        assert!(begun.elapsed().as_secs() < 60, "{place} does not go");
        tokio::time::sleep(std::time::Duration::from_millis(30)).await;
    }
}

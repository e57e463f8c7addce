//! Makes a case smaller as long as it still differs.

use serde_json::Value;

use super::case::{Case, Outcome};
use super::world::World;

/// The smallest case found that differs, and how.
pub async fn shrink(world: &World, mut case: Case, mut outcome: Outcome) -> (Case, Outcome) {
    for _ in 0..40 {
        let smaller = one_step_smaller(&case);
        let mut found = None;
        for chunk in smaller.chunks(60) {
            let outcomes = world.ask(chunk).await;
            found = chunk
                .iter()
                .zip(outcomes)
                .find(|(_, outcome)| matches!(outcome, Outcome::Differs { .. }))
                .map(|(case, outcome)| (case.clone(), outcome));
            if found.is_some() {
                break;
            }
        }
        match found {
            Some((next, how)) => (case, outcome) = (next, how),
            None => break,
        }
    }
    (case, outcome)
}

fn one_step_smaller(case: &Case) -> Vec<Case> {
    let mut all = Vec::new();
    for at in 0..case.occupants.len() {
        let mut smaller = case.clone();
        smaller.occupants.remove(at);
        all.push(smaller);
    }
    if case.nodes.len() > 1 {
        for at in 0..case.nodes.len() {
            let mut smaller = case.clone();
            smaller.nodes.remove(at);
            smaller.occupants.retain(|(node, _)| *node != at);
            for (node, _) in &mut smaller.occupants {
                if *node > at {
                    *node -= 1;
                }
            }
            all.push(smaller);
        }
    }
    for smaller in without_one(&case.pod) {
        all.push(Case { pod: smaller, ..case.clone() });
    }
    for at in 0..case.nodes.len() {
        for smaller in without_one(&case.nodes[at]) {
            let mut one = case.clone();
            one.nodes[at] = smaller;
            all.push(one);
        }
    }
    for at in 0..case.occupants.len() {
        for smaller in without_one(&case.occupants[at].1) {
            let mut one = case.clone();
            one.occupants[at].1 = smaller;
            all.push(one);
        }
    }
    all
}

/// Each value with one field or item less, at any depth.
fn without_one(value: &Value) -> Vec<Value> {
    match value {
        Value::Object(map) => map
            .iter()
            .flat_map(|(key, inner)| {
                let mut without = map.clone();
                without.remove(key);
                let mut all = vec![Value::Object(without)];
                all.extend(without_one(inner).into_iter().map(|smaller| {
                    let mut with = map.clone();
                    with.insert(key.clone(), smaller);
                    Value::Object(with)
                }));
                all
            })
            .collect(),
        Value::Array(list) => (0..list.len())
            .flat_map(|at| {
                let mut without = list.clone();
                without.remove(at);
                let mut all = vec![Value::Array(without)];
                all.extend(without_one(&list[at]).into_iter().map(|smaller| {
                    let mut with = list.clone();
                    with[at] = smaller;
                    Value::Array(with)
                }));
                all
            })
            .collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Vec::new(),
    }
}

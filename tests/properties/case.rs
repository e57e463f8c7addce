//! A case of a law: a world with a history, and what is wanted of it now.

use proptest::prelude::*;
use serde_json::json;
use wbk_infra::desired::Policy;
use wbk_infra::plan::PlanOptions;
use wbk_provider_fake::FakeProvider;

use super::CANARY;
use super::deeds::{Deed, deed, perform};
use super::platform::{Shape, desired, id_of, objects, open_policy, options, policy, release_id, shape};
use super::world::{Fault, Rig};

/// A platform that was applied once, what others did before and since, and what is wanted now.
#[derive(Debug, Clone)]
pub struct Case {
    pub before: Vec<Deed>,
    pub first: Shape,
    pub since: Vec<Deed>,
    pub now: Shape,
    pub policy: Policy,
    pub options: PlanOptions,
    pub forgets: bool,
    pub cluster_is_there: bool,
}

pub fn case() -> impl Strategy<Value = Case> {
    let deeds = || prop::collection::vec(deed(), 0..5);
    // What others made before is not hidden or refused yet: the first apply shall get far.
    let before = prop::collection::vec((0..objects(0).len()).prop_map(Deed::Foreign), 0..4);
    (before, shape(), deeds(), shape(), policy(), options(), any::<bool>(), prop::bool::weighted(0.9)).prop_map(
        |(before, first, since, now, policy, options, forgets, cluster_is_there)| Case {
            before,
            first,
            since,
            now,
            policy,
            options,
            forgets,
            cluster_is_there,
        },
    )
}

impl Case {
    pub async fn rig(&self) -> Rig {
        let first = desired(&self.first, &open_policy());
        let provider = if self.cluster_is_there { FakeProvider::with(&first.wanted) } else { FakeProvider::new() };
        let mut rig = Rig::new(provider, CANARY);
        let rendered = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "of-rel", "namespace": "a"}, "data": {"k": "x"}});
        rig.charts.insert(release_id(), vec![(id_of(&rendered), rendered)]);
        if !self.cluster_is_there {
            return rig;
        }
        for deed in &self.before {
            perform(&rig, deed);
        }
        let plan = rig.plan(&first, &PlanOptions::default()).await;
        rig.apply(&plan, Fault::None).await;
        for deed in &self.since {
            perform(&rig, deed);
        }
        if self.forgets {
            rig.forget();
        }
        rig
    }
}

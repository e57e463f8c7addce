//! What every provider promises, as tests that its own tests call. They panic where a promise is broken.

use std::collections::{BTreeMap, BTreeSet};

use crate::{
    Capacity, ClusterSeen, ClusterSpec, Observed, Operation, OperationAction, PoolSeen, PoolSize, PoolSpec, Provider,
    ProviderKind, ProviderTarget, Seen, Shape, Wanted, Why,
};

/// A small platform: a cluster with two pools.
pub fn wanted() -> Wanted {
    let pool = |name: &str, nodes: u32| PoolSpec {
        name: name.into(),
        machine: None,
        shape: Shape { cpu_millis: 4000, memory_bytes: 8 << 30, pods: 110, gpu: None },
        accelerator: None,
        size: PoolSize { min: nodes, max: nodes },
        capacity: Capacity::OnDemand,
        labels: BTreeMap::from([("wbk-infra/pool".into(), name.into())]),
        taints: Vec::new(),
    };
    Wanted {
        blueprint: "contract".into(),
        cluster: ClusterSpec {
            provider: ProviderKind::Local,
            name: "contract".into(),
            version: Some("1.36".into()),
            region: None,
            context: None,
            kubeconfig: None,
            uid: None,
            kind: Default::default(),
            eks: None,
        },
        pools: BTreeMap::from([("one".into(), pool("one", 1)), ("two".into(), pool("two", 2))]),
    }
}

/// The promises of the pure parts, over worlds that are made up: no API and no machine is touched.
///
/// # Panics
/// A promise is broken.
pub fn pure_parts(provider: &dyn Provider, wanted: &Wanted) {
    for seen in worlds(wanted) {
        over(provider, wanted, &seen);
    }
    let whole = present(wanted);
    assert_eq!(provider.plan(wanted, &whole), [], "what is as wanted needs nothing");
    assert!(provider.plan_destroy(wanted, &Observed::of(Seen::Absent, BTreeMap::new())).is_empty());
}

/// The promises of the pure parts over one world, made up or seen: the same answer every time, a reason and a deadline for everything, a
/// creation only of what is not there, a change only bound to what was seen, nothing of what could not be seen.
///
/// # Panics
/// A promise is broken.
pub fn over(provider: &dyn Provider, wanted: &Wanted, seen: &Observed) {
    let operations = provider.plan(wanted, seen);
    assert_eq!(operations, provider.plan(wanted, seen), "the same input gives the same operations");
    assert_eq!(provider.plan_destroy(wanted, seen), provider.plan_destroy(wanted, seen));
    well_formed(&operations);
    well_formed(&provider.plan_destroy(wanted, seen));
    for operation in operations.iter().chain(&provider.plan_destroy(wanted, seen)) {
        let state = match &operation.target {
            ProviderTarget::Cluster(_) => state(Some(&seen.cluster)),
            ProviderTarget::NodePool(name) => state(seen.pools.get(name)),
            ProviderTarget::Part(id) => state(seen.parts.get(id)),
        };
        match (state, operation.action) {
            ("unknown", _) => panic!("{} could not be seen and is changed", operation.target),
            ("absent", OperationAction::Create) | ("present", _) => {}
            ("absent", action) => panic!("{} is not there and its operation is {action:?}", operation.target),
            (other, _) => unreachable!("{other}"),
        }
        assert_eq!(
            state == "absent",
            operation.expect.is_empty(),
            "{}: a change is bound to what was seen",
            operation.target
        );
    }
}

/// The promises of a whole life, on the provider's own ground: made, seen as wanted, refused when stale, taken away.
///
/// # Panics
/// A promise is broken.
pub async fn life(provider: &dyn Provider, wanted: &Wanted) {
    life_among(provider, wanted, &|_| Vec::new()).await;
}

/// As [`life`], and the promises of the pure parts over what was really seen, and over what `others` makes of it: worlds in which something
/// is gone or could not be seen.
///
/// # Panics
/// A promise is broken.
pub async fn life_among(provider: &dyn Provider, wanted: &Wanted, others: &dyn Fn(&Observed) -> Vec<Observed>) {
    let nothing = provider.observe(wanted).await;
    assert!(matches!(nothing.cluster, Seen::Absent), "the ground is empty at first");
    over(provider, wanted, &nothing);
    perform_all(provider, wanted, provider.plan(wanted, &nothing), "make").await;
    let seen = provider.observe(wanted).await;
    assert_eq!(provider.plan(wanted, &seen), [], "planning after performing gives nothing");
    over(provider, wanted, &seen);
    for other in others(&seen) {
        over(provider, wanted, &other);
    }

    let mut fewer = wanted.clone();
    let gone = fewer.pools.pop_first().expect("the platform of a contract has pools").0;
    let removal = provider.plan(&fewer, &provider.observe(&fewer).await);
    let removal: Vec<Operation> =
        removal.into_iter().filter(|operation| operation.target == ProviderTarget::NodePool(gone.clone())).collect();
    let [remove] = &removal[..] else { panic!("a pool that is no longer wanted goes: {removal:?}") };
    let stale = Operation { expect: "of another world".into(), ..remove.clone() };
    assert!(provider.perform(&fewer, &stale, "stale", &|_| {}).await.is_err(), "a world that moved is refused");
    assert_eq!(provider.observe(&fewer).await, provider.observe(&fewer).await);
    assert!(
        provider.observe(&fewer).await.pools.get(&gone).and_then(Seen::present).is_some(),
        "a refusal changes nothing"
    );
    for _ in 0..2 {
        provider.perform(&fewer, remove, "twice", &|_| {}).await.expect("twice is once");
    }
    assert_eq!(provider.plan(&fewer, &provider.observe(&fewer).await), []);

    perform_all(provider, &fewer, provider.plan_destroy(&fewer, &provider.observe(&fewer).await), "destroy").await;
    assert!(matches!(provider.observe(&fewer).await.cluster, Seen::Absent));
    assert!(provider.leftovers(&fewer).await.is_empty(), "nothing is left, and nothing is said to be left");
}

async fn perform_all(provider: &dyn Provider, wanted: &Wanted, operations: Vec<Operation>, token: &str) {
    well_formed(&operations);
    let mut done: BTreeSet<ProviderTarget> = BTreeSet::new();
    let mut waiting = operations;
    while !waiting.is_empty() {
        let ready = waiting.iter().position(|operation| operation.needs.iter().all(|need| done.contains(need)));
        let operation = waiting.remove(ready.expect("needs come first and form no cycle"));
        let token = format!("{token} {}", operation.target);
        if let Err(error) = provider.perform(wanted, &operation, &token, &|_| {}).await {
            panic!("{error}: {:?}", error.source);
        }
        done.insert(operation.target);
    }
}

fn well_formed(operations: &[Operation]) {
    let targets: BTreeSet<&ProviderTarget> = operations.iter().map(|operation| &operation.target).collect();
    assert_eq!(targets.len(), operations.len(), "one operation for each target");
    for operation in operations {
        assert!(!operation.reason.is_empty(), "{} has a reason", operation.target);
        assert!(operation.deadline_seconds > 0, "{} has a deadline", operation.target);
        for need in &operation.needs {
            assert!(targets.contains(need), "{} needs {need}, which has no operation", operation.target);
        }
    }
}

fn state<T>(seen: Option<&Seen<T>>) -> &'static str {
    match seen {
        None | Some(Seen::Absent) => "absent",
        Some(Seen::Present(_)) => "present",
        Some(Seen::Unknown(_)) => "unknown",
    }
}

fn present(wanted: &Wanted) -> Observed {
    let pool = |spec: &PoolSpec| {
        Seen::Present(PoolSeen {
            spec: spec.clone(),
            nodes: spec.size.min,
            deviations: Vec::new(),
            jobs: BTreeMap::new(),
            fingerprint: "pool".into(),
        })
    };
    let version = wanted.cluster.version.clone();
    Observed::of(
        Seen::Present(ClusterSeen { version, running: true, fingerprint: "cluster".into(), deviations: Vec::new() }),
        wanted.pools.iter().map(|(name, spec)| (name.clone(), pool(spec))).collect(),
    )
}

/// Every mixture of a cluster that is absent, stopped, running or unknown with pools in each state.
fn worlds(wanted: &Wanted) -> Vec<Observed> {
    let whole = present(wanted);
    let unknown = || Seen::Unknown(Why("it does not answer".into()));
    let mut worlds = vec![
        Observed::of(Seen::Absent, wanted.pools.keys().map(|name| (name.clone(), Seen::Absent)).collect()),
        Observed::of(unknown(), wanted.pools.keys().map(|name| (name.clone(), unknown_pool())).collect()),
    ];
    for name in wanted.pools.keys() {
        for state in [Seen::Absent, unknown_pool()] {
            let mut world = whole.clone();
            world.pools.insert(name.clone(), state);
            worlds.push(world);
        }
    }
    let mut extra = whole.clone();
    if let Some(Seen::Present(pool)) = wanted.pools.keys().next().and_then(|name| extra.pools.get(name)).cloned() {
        let spec = PoolSpec { name: "former".into(), ..pool.spec };
        extra.pools.insert("former".into(), Seen::Present(PoolSeen { spec, ..pool }));
    }
    worlds.push(extra);
    worlds.push(whole);
    worlds
}

fn unknown_pool() -> Seen<PoolSeen> {
    Seen::Unknown(Why("it does not answer".into()))
}

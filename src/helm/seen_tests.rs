use serde_json::json;

use super::*;
use crate::desired::{ChartSource, Origin};

const BLUEPRINT: &str = "research";

fn record(name: &str, labels: &[(&str, &str)]) -> ReleaseRecord {
    let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
    ReleaseRecord { namespace: "ns".into(), name: name.into(), labels }
}

fn revision(number: u32, status: &str, digest: &str) -> ReleaseRecord {
    let version = number.to_string();
    record(
        &format!("sh.helm.release.v1.rel.v{number}"),
        &[
            ("owner", "helm"),
            ("name", "rel"),
            ("status", status),
            ("version", &version),
            (BLUEPRINT_LABEL, BLUEPRINT),
            (DIGEST_LABEL, digest),
        ],
    )
}

fn desired() -> DesiredRelease {
    DesiredRelease {
        id: ReleaseId { namespace: "ns".into(), name: "rel".into() },
        chart: ChartSource::Path { path: "c".into() },
        values: json!({"a": 1}),
        origin: Origin { path: "charts[rel]".into(), at: None },
    }
}

fn decide(records: Vec<ReleaseRecord>) -> ReleaseChange {
    let desired = desired();
    let inputs = input_digest(&desired, &Digest::of_bytes(b"chart"));
    let seen = releases_from_secrets(records);
    release_change(&desired, &inputs, BLUEPRINT, seen.get(&desired.id))
}

/// The digest of what `decide` wants.
fn same() -> String {
    digest_label(&input_digest(&desired(), &Digest::of_bytes(b"chart"))).to_owned()
}

fn how(change: ReleaseChange) -> Repair {
    match change {
        ReleaseChange::Repair { how, .. } => how,
        other => panic!("{other:?}"),
    }
}

#[test]
fn records_of_a_real_helm_are_read() {
    // Captured from helm 4.2.4: killed while it upgraded. The pending record carries the older `modifiedAt` of the one before.
    let seen = releases_from_secrets([
        record(
            "sh.helm.release.v1.r.v1",
            &[
                ("modifiedAt", "1795313762"),
                ("name", "r"),
                ("owner", "helm"),
                ("status", "deployed"),
                ("version", "1"),
                (DIGEST_LABEL, "d1"),
            ],
        ),
        record(
            "sh.helm.release.v1.r.v2",
            &[
                ("createdAt", "1795313763"),
                ("modifiedAt", "1795313762"),
                ("name", "r"),
                ("owner", "helm"),
                ("status", "pending-upgrade"),
                ("version", "2"),
                (DIGEST_LABEL, "d2"),
                (BLUEPRINT_LABEL, "b"),
            ],
        ),
        record("some-secret", &[("owner", "helm")]),
        record("sh.helm.release.v1.fake.v1", &[]),
    ]);
    let id = ReleaseId { namespace: "ns".into(), name: "r".into() };
    assert_eq!(seen.len(), 1);
    assert_eq!(
        seen[&id],
        ReleaseSeen {
            revision: 2,
            status: ReleaseStatus::PendingUpgrade,
            digest: Some("d2".into()),
            blueprint: Some("b".into()),
            modified: Some(1_795_313_763),
            previous_deployed: Some(1),
        }
    );
}

#[test]
fn revisions_are_numbers_and_names_may_have_dots() {
    let label = [("owner", "helm"), ("status", "superseded")];
    let seen = releases_from_secrets([
        record("sh.helm.release.v1.a.v2.b.v9", &label),
        record("sh.helm.release.v1.a.v2.b.v10", &[("owner", "helm"), ("status", "deployed")]),
    ]);
    let id = ReleaseId { namespace: "ns".into(), name: "a.v2.b".into() };
    assert_eq!((seen[&id].revision, seen[&id].previous_deployed), (10, Some(9)));
    assert_eq!(record_name(&id, 10), "sh.helm.release.v1.a.v2.b.v10");
}

#[test]
fn the_last_revision_that_was_deployed_wins_over_those_that_were_superseded() {
    let seen = releases_from_secrets([
        revision(1, "superseded", ""),
        revision(2, "deployed", ""),
        revision(3, "superseded", ""),
        revision(4, "failed", ""),
        revision(5, "pending-upgrade", ""),
    ]);
    assert_eq!(seen[&desired().id].previous_deployed, Some(2));
}

#[test]
fn nothing_there_is_installed_and_the_same_there_is_left() {
    assert!(matches!(decide(vec![]), ReleaseChange::Install { .. }));
    assert_eq!(decide(vec![revision(1, "deployed", &same())]), ReleaseChange::None);
    assert!(matches!(decide(vec![revision(3, "deployed", "other")]), ReleaseChange::Upgrade { from: 3, .. }));
    assert!(matches!(decide(vec![revision(1, "uninstalled", &same())]), ReleaseChange::Install { .. }));
}

#[test]
fn a_failed_revision_is_tried_again_even_with_the_same_inputs() {
    assert!(matches!(decide(vec![revision(1, "failed", &same())]), ReleaseChange::Upgrade { from: 1, .. }));
}

#[test]
fn an_interrupted_try_of_the_same_inputs_is_forgotten_and_tried_again() {
    for status in ["pending-install", "pending-upgrade", "pending-rollback"] {
        let change = decide(vec![revision(1, "deployed", "other"), revision(2, status, &same())]);
        assert_eq!(how(change), Repair::ForgetThenApply { pending: 2 }, "{status}");
    }
}

#[test]
fn an_interrupted_try_of_other_inputs_leaves_nothing_behind() {
    assert_eq!(how(decide(vec![revision(1, "pending-install", "other")])), Repair::UninstallThenInstall);
    let upgrade = |status| decide(vec![revision(1, "deployed", "x"), revision(2, status, "other")]);
    assert_eq!(how(upgrade("pending-upgrade")), Repair::RollbackThenUpgrade { to: 1 });
    assert_eq!(how(upgrade("pending-rollback")), Repair::RollbackThenUpgrade { to: 1 });
    assert_eq!(how(upgrade("uninstalling")), Repair::UninstallThenInstall);
    assert_eq!(how(decide(vec![revision(7, "pending-upgrade", "other")])), Repair::UninstallThenInstall);
}

#[test]
fn somebody_elses_release_is_never_touched() {
    let theirs = record("sh.helm.release.v1.rel.v1", &[("owner", "helm"), ("status", "pending-upgrade")]);
    assert!(matches!(decide(vec![theirs]), ReleaseChange::Foreign { .. }));
    let mut other = revision(1, "deployed", &same());
    other.labels.insert(BLUEPRINT_LABEL.into(), "production".into());
    match decide(vec![other]) {
        ReleaseChange::Foreign { reason } => assert_eq!(reason, "ns/rel belongs to blueprint production"),
        change => panic!("{change:?}"),
    }
    assert!(matches!(decide(vec![revision(1, "melting", &same())]), ReleaseChange::Foreign { .. }));
}

#[test]
fn the_digest_follows_every_input_and_fits_a_label() {
    let chart = Digest::of_bytes(b"chart");
    let base = input_digest(&desired(), &chart);
    let mut other = desired();
    other.values = json!({"a": 2});
    assert_ne!(input_digest(&other, &chart), base);
    let mut other = desired();
    other.id.name = "b".into();
    assert_ne!(input_digest(&other, &chart), base);
    assert_ne!(input_digest(&desired(), &Digest::of_bytes(b"other")), base);
    // Where the chart comes from and which line asks for it does not matter; what it is does.
    let mut other = desired();
    other.chart = ChartSource::Path { path: "elsewhere".into() };
    other.origin.path = "charts[1]".into();
    assert_eq!(input_digest(&other, &chart), base);
    assert!(digest_label(&base).len() <= 63);
}

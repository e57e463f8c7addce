//! A helm without charts: it writes the records that helm writes, and a release's objects under helm's name.

use async_trait::async_trait;
use serde_json::{Value, json};
use wbk_infra::cluster::{Cluster, Discovery};
use wbk_infra::execute::{ReleaseRunner, StepError};
use wbk_infra::helm::{self, Repair, digest_label, record_name, render_marks};
use wbk_infra::id::{ObjectId, ReleaseId};
use wbk_infra::plan::{Expect, ReleaseAction, ReleaseStep, Step, Target};
use wbk_provider_api::LeftBehind;

use super::drive::{Charts, Shared};
use super::store::{Apply, Store, key};

pub struct Helm<'a> {
    pub shared: &'a Shared,
    pub charts: &'a Charts,
    pub blueprint: String,
}

/// A release's objects as helm applies them.
pub fn rendered(charts: &Charts, id: &ReleaseId) -> Vec<(ObjectId, Value)> {
    let mut objects = charts.get(id).cloned().unwrap_or_default();
    for (_, manifest) in &mut objects {
        render_marks(manifest, id);
    }
    objects
}

fn record(store: &mut Store, id: &ReleaseId, revision: u32, status: &str, labels: &[(&str, &str)]) {
    let mut manifest = json!({"apiVersion": "v1", "kind": "Secret",
        "metadata": {"name": record_name(id, revision), "namespace": id.namespace,
            "labels": {"owner": "helm", "name": id.name, "version": revision.to_string(), "status": status}}});
    for (name, value) in labels {
        manifest["metadata"]["labels"][*name] = (*value).into();
    }
    store.update("helm", "", &manifest);
}

/// The newest revision of a release has this status: a helm died, or somebody else's helm was at work.
pub fn set_status(store: &mut Store, id: &ReleaseId, status: &str) {
    let newest = revision(store, id);
    record(store, id, newest, status, &[]);
}

/// The newest revision of a release.
pub fn revision(store: &Store, id: &ReleaseId) -> u32 {
    let prefix = format!("sh.helm.release.v1.{}.v", id.name);
    let revisions = store.objects.keys().filter(|at| at.0 == "secrets" && at.2 == id.namespace);
    revisions.filter_map(|at| at.3.strip_prefix(&prefix)?.parse().ok()).max().unwrap_or(0)
}

impl Helm<'_> {
    fn failed(&self, step: &Step, left: LeftBehind, why: &str) -> StepError {
        StepError { attempted: format!("{}: {why}", step.target), left, hint: None, source: None }
    }

    async fn install(&self, step: &Step, id: &ReleaseId, release: &ReleaseStep) -> Result<(), StepError> {
        let Some(inputs) = &release.inputs else { return Err(self.failed(step, LeftBehind::Nothing, "no inputs")) };
        self.shared.before_write().await;
        let next = {
            let mut store = self.shared.store();
            let next = revision(&store, id) + 1;
            let labels = [(helm::BLUEPRINT_LABEL, self.blueprint.as_str()), (helm::DIGEST_LABEL, digest_label(inputs))];
            let status = if next == 1 { "pending-install" } else { "pending-upgrade" };
            record(&mut store, id, next, status, &labels);
            if revision(&store, id) != next {
                return Err(self.failed(step, LeftBehind::Nothing, "its namespace is not there"));
            }
            next
        };
        self.shared.after_write().await;
        for (_, manifest) in rendered(self.charts, id) {
            self.shared.before_write().await;
            {
                let mut store = self.shared.store();
                let Some(at) = store.key_of(&manifest) else {
                    return Err(self.failed(step, LeftBehind::Partial, "a kind is not served"));
                };
                let apply = Apply { manager: "helm", force: true, dry: false, manifest: &manifest };
                store.apply(&at, &apply).map_err(|refusal| self.failed(step, LeftBehind::Partial, &refusal.words))?;
            }
            self.shared.after_write().await;
        }
        let mut store = self.shared.store();
        record(&mut store, id, next, "deployed", &[]);
        if next > 1 {
            record(&mut store, id, next - 1, "superseded", &[]);
        }
        Ok(())
    }

    fn uninstall(&self, id: &ReleaseId) {
        let mut store = self.shared.store();
        for (_, manifest) in rendered(self.charts, id) {
            if let Some(at) = store.key_of(&manifest) {
                // What is gone is gone.
                let _ = store.delete(&at, None, None);
            }
        }
        for number in 1..=revision(&store, id) {
            let _ = store.delete(&key("secrets", "", &id.namespace, &record_name(id, number)), None, None);
        }
    }
}

#[async_trait]
impl ReleaseRunner for Helm<'_> {
    async fn run(
        &self,
        _at: (&Cluster, &Discovery),
        step: &Step,
        release: &ReleaseStep,
        _say: &(dyn Fn(String) + Send + Sync),
    ) -> Result<(), StepError> {
        let Target::Release(id) = &step.target else {
            return Err(self.failed(step, LeftBehind::Nothing, "no release"));
        };
        let found = revision(&self.shared.store(), id);
        if step.expect != Expect::Revision(found) {
            return Err(self.failed(step, LeftBehind::Nothing, "it is at another revision"));
        }
        match release.action {
            ReleaseAction::Install | ReleaseAction::Upgrade => self.install(step, id, release).await,
            ReleaseAction::Uninstall => {
                self.shared.before_write().await;
                self.uninstall(id);
                self.shared.after_write().await;
                Ok(())
            }
            ReleaseAction::Repair(repair) => {
                self.shared.before_write().await;
                match repair {
                    Repair::ForgetThenApply { pending } => {
                        let at = key("secrets", "", &id.namespace, &record_name(id, pending));
                        let _ = self.shared.store().delete(&at, None, None);
                    }
                    Repair::RollbackThenUpgrade { .. } => record(&mut self.shared.store(), id, found, "deployed", &[]),
                    Repair::UninstallThenInstall => self.uninstall(id),
                }
                self.shared.after_write().await;
                self.install(step, id, release).await
            }
        }
    }
}

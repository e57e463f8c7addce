//! A run's begin and end, told in the place of a program that has no SDK.

use serde_json::json;

use super::client::{Wandb, WandbError};

const BEGIN: &str = "mutation LaunchRunBegin($entity: String!, $project: String!, $run: String!) {
  upsertBucket(input: {name: $run, modelName: $project, entityName: $entity}) { bucket { id } }
}";

impl Wandb {
    /// Tells W&B that a run has begun, as wandb.init does. An agent waits for it: a job that ended without it holds its place for a minute
    /// more, and its item then fails.
    ///
    /// # Errors
    /// See [`Wandb::ask`].
    pub async fn begin_run(&self, project: &str, run: &str) -> Result<(), WandbError> {
        let variables = json!({"entity": self.entity, "project": project, "run": run});
        self.ask("begin a run", BEGIN, variables).await.map(drop)
    }

    /// Tells W&B that a run has ended, as the SDK does (its file stream's last message).
    ///
    /// # Errors
    /// See [`Wandb::ask`].
    pub async fn end_run(&self, project: &str, run: &str, code: u8) -> Result<(), WandbError> {
        let path = format!("/files/{}/{project}/{run}/file_stream", self.entity);
        self.post("end a run", &path, &json!({"complete": true, "exitcode": code})).await
    }
}

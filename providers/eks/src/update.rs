//! Updates of EKS: a change is accepted at once and done later; its own state says how it went.

use crate::error::{AwsError, AwsErrorKind};
use crate::work::Work;

/// Waits until an update of the cluster, of one of its node groups, or of one of its add-ons is done. EKS gives none where nothing
/// changes.
///
/// # Errors
/// It failed or was cancelled, with AWS' reasons, or the deadline came.
pub(crate) async fn finished(
    work: &Work<'_>,
    group: Option<&str>,
    addon: Option<&str>,
    id: Option<String>,
    what: &str,
) -> Result<(), AwsError> {
    let Some(id) = id else { return Ok(()) };
    let mut waiting = work.wait_for(what.to_owned());
    loop {
        let request = work
            .aws
            .eks
            .describe_update()
            .name(&work.marks.cluster)
            .update_id(&id)
            .set_nodegroup_name(group.map(str::to_owned))
            .set_addon_name(addon.map(str::to_owned));
        let answer = request.send().await.map_err(AwsError::sdk(format!("look how {what} gets on")))?;
        let update = answer.update;
        let state = update.as_ref().and_then(|update| update.status.as_ref()).map(|status| status.as_str().to_owned());
        match state.as_deref() {
            Some("Successful") => return Ok(()),
            Some(state @ ("Failed" | "Cancelled")) => {
                let errors = update.map(|update| update.errors().to_vec()).unwrap_or_default();
                let words: Vec<String> = errors
                    .iter()
                    .map(|error| {
                        let code = error.error_code.as_ref().map(|code| code.as_str().to_owned()).unwrap_or_default();
                        format!("{code}: {}", error.error_message.as_deref().unwrap_or_default())
                    })
                    .collect();
                let words = format!("the update is {state}: {}", words.join("; "));
                return Err(AwsError::new(format!("change {what}"), AwsErrorKind::Failed, words).after_change());
            }
            other => waiting.on(other.unwrap_or("unknown")).await?,
        }
    }
}

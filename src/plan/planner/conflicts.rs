//! Fields that other managers hold: left to them, taken, or a reason to stop.

use super::*;

/// Whether a field is left to its holder.
pub(super) fn yields(choice: ConflictChoice, holder: &Holder, adopting: bool) -> bool {
    match choice {
        ConflictChoice::Yield => !adopting,
        // A HorizontalPodAutoscaler scales through the controller manager; taking replicas back would fight it for ever.
        ConflictChoice::Mend => holder.subresource == "scale" && holder.conflict.manager == "kube-controller-manager",
        ConflictChoice::Take | ConflictChoice::Stop => false,
    }
}

pub(super) fn describe(holder: &Holder) -> String {
    let when = if holder.time.is_empty() { String::new() } else { format!(" since {}", holder.time) };
    format!("{} holds {}{when}", holder.conflict.manager, holder.conflict.field.trim_start_matches('.'))
}

/// The server writes `.spec.template.spec.containers[name="main"].image`, a diff `spec.template.spec.containers[main].image`.
pub(super) fn same_field(path: &str, conflict: &str) -> bool {
    let plain: String = conflict.trim_start_matches('.').replace("name=", "").replace('"', "");
    path == plain || path.starts_with(&format!("{plain}.")) || path.starts_with(&format!("{plain}["))
}

/// A field without list items, as a JSON pointer whose live value is kept.
pub(super) fn keep_rule(object: &DesiredObject, holder: &Holder) -> IgnoreRule {
    IgnoreRule {
        kind: object.id.gvk.kind.clone(),
        namespace: object.id.namespace.clone(),
        name: Some(object.id.name.clone()),
        path: holder.conflict.field.replace('.', "/"),
        reason: format!("{} holds it", holder.conflict.manager),
        until: None,
    }
}

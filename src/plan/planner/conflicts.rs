//! Fields that other managers hold: left to them, taken, or a reason to stop.

use crate::{
    desired::ConflictChoice,
    field::FieldPath,
    live::{FieldChange, Holder},
};

/// What becomes of the fields of one object that others hold.
pub(super) struct Settlement<'a> {
    /// Left to their holders.
    pub yielded: Vec<&'a Holder>,
    /// Taken; what is left to one holder is taken from no other.
    pub taken: Vec<&'a Holder>,
}

impl<'a> Settlement<'a> {
    /// Decides about each of them.
    pub(super) fn of(holders: &'a [Holder], choice: ConflictChoice, adopting: bool) -> Self {
        let (yielded, others): (Vec<&Holder>, Vec<&Holder>) =
            holders.iter().partition(|holder| yields(choice, holder, adopting));
        let taken = others
            .into_iter()
            .filter(|holder| !yielded.iter().any(|left| holder.field.is_within(&left.field)))
            .collect();
        Self { yielded, taken }
    }

    /// Whether a difference is left as it is.
    pub(super) fn leaves(&self, change: &FieldChange) -> bool {
        self.yielded.iter().any(|holder| change.path.is_within(&holder.field))
    }

    /// The fields that are left, each once.
    pub(super) fn left(&self) -> Vec<FieldPath> {
        let fields: std::collections::BTreeSet<&FieldPath> = self.yielded.iter().map(|holder| &holder.field).collect();
        fields.into_iter().cloned().collect()
    }

    /// Who holds what is taken.
    pub(super) fn rivals(&self) -> String {
        self.taken.iter().map(|holder| describe(holder)).collect::<Vec<_>>().join("; ")
    }
}

/// Whether a field is left to its holder.
fn yields(choice: ConflictChoice, holder: &Holder, adopting: bool) -> bool {
    match choice {
        ConflictChoice::Yield => !adopting,
        // A HorizontalPodAutoscaler scales through the controller manager; taking replicas back would fight it for ever.
        ConflictChoice::Mend => holder.subresource == "scale" && holder.manager == "kube-controller-manager",
        ConflictChoice::Take | ConflictChoice::Stop => false,
    }
}

fn describe(holder: &Holder) -> String {
    let when = if holder.time.is_empty() { String::new() } else { format!(" since {}", holder.time) };
    format!("{} holds {}{when}", holder.manager, holder.field)
}

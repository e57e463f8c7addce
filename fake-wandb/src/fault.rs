//! What goes wrong on request.

use std::time::Duration;

use serde::{Deserialize, Serialize};

/// The trouble that a request meets.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Trouble {
    /// It is answered with this HTTP status, and nothing is done.
    Status(u16),
    /// It is served after this many milliseconds.
    SlowMs(u64),
}

/// Trouble, and who meets it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Fault {
    /// Only requests with this root field (`popFromRunQueue`); without it, all.
    #[serde(default)]
    pub field: Option<String>,
    /// What they meet.
    pub trouble: Trouble,
    /// How many of them; without it, all.
    #[serde(default)]
    pub times: Option<u32>,
}

impl Fault {
    /// Every request, from now on.
    pub fn always(trouble: Trouble) -> Self {
        Self { field: None, trouble, times: None }
    }

    /// The next requests, whatever they ask.
    pub fn next(times: u32, trouble: Trouble) -> Self {
        Self { field: None, trouble, times: Some(times) }
    }

    /// Only requests with this root field.
    #[must_use]
    pub fn on(mut self, field: &str) -> Self {
        self.field = Some(field.into());
        self
    }
}

/// The troubles that are planted.
#[derive(Debug, Default)]
pub(crate) struct Faults(Vec<Fault>);

impl Faults {
    pub(crate) fn plant(&mut self, fault: Fault) {
        self.0.push(fault);
    }

    pub(crate) fn clear(&mut self) {
        self.0.clear();
    }

    /// What a request with these root fields meets; counted.
    pub(crate) fn meet(&mut self, fields: &[String]) -> Option<Trouble> {
        let at = self.0.iter().position(|fault| fault.field.as_ref().is_none_or(|field| fields.contains(field)))?;
        let trouble = self.0[at].trouble.clone();
        if let Some(times) = &mut self.0[at].times {
            *times = times.saturating_sub(1);
            if *times == 0 {
                self.0.remove(at);
            }
        }
        Some(trouble)
    }
}

impl Trouble {
    /// The wait before it is served.
    pub(crate) fn delay(&self) -> Option<Duration> {
        match self {
            Self::SlowMs(millis) => Some(Duration::from_millis(*millis)),
            Self::Status(_) => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fault_is_met_as_often_as_it_says_and_only_where_it_says() {
        let mut faults = Faults::default();
        faults.plant(Fault::next(2, Trouble::Status(503)).on("viewer"));
        let viewer = ["viewer".to_owned()];
        assert_eq!(faults.meet(&["entity".to_owned()]), None);
        assert_eq!(faults.meet(&viewer), Some(Trouble::Status(503)));
        assert_eq!(faults.meet(&viewer), Some(Trouble::Status(503)));
        assert_eq!(faults.meet(&viewer), None);
    }
}

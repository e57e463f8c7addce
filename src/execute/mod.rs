//! Carries a plan out: what is unblocked runs, within what the server bears; a failure blocks its dependants and nothing
//! else; every call is announced in the journal before it is made; one writer at a time holds the Lease.

mod absence;
mod actuator;
mod error;
mod event;
mod executor;
mod journal;
mod lease;
mod news;
mod objects;
mod orphans;
mod parent;
mod queues;
mod releases;
mod urgency;
mod waiting;

pub use crate::holder::Holder;
pub use actuator::{Actuator, Limits, PlatformActuator, QueueRunner, ReleaseRunner};
pub use error::StepError;
pub use event::{Event, EventSink};
pub use executor::{Execution, Fence, Stop, execute};
pub use journal::{Journal, JournalError, Unfinished};
pub use lease::{Lease, LeaseError};
pub use orphans::end_orphans;
pub use parent::applied_plans;
pub use queues::WandbRunner;
pub use releases::HelmRunner;

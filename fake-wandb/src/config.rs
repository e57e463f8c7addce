//! What the server is told at its start.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

/// As long as W&B's keys are: wandb 0.17.3 refuses another length.
pub const KEY: &str = "fake0fake0fake0fake0fake0fake0fake0fake0";

/// An owner of projects.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Entity {
    /// Its name.
    pub name: String,
    /// A team, and not a person's own.
    pub team: bool,
    /// The key may use it. Of another one the server tells nothing.
    pub mine: bool,
}

impl Entity {
    /// A team that the key may use.
    pub fn team(name: &str) -> Self {
        Self { name: name.into(), team: true, mine: true }
    }

    /// A team that the key may not use.
    pub fn foreign(name: &str) -> Self {
        Self { name: name.into(), team: true, mine: false }
    }
}

/// What the server is told at its start.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where it listens: loopback, or for clients in containers the address that their network gives this machine.
    pub address: IpAddr,
    /// The port; 0: a free one.
    pub port: u16,
    /// The one key that is accepted.
    pub key: String,
    /// Whose key it is; the user's own entity has the same name.
    pub username: String,
    /// Other entities.
    pub entities: Vec<Entity>,
    /// An item that an agent took and did not acknowledge goes back to its queue after this time ("pushed back onto the queue in
    /// 1 min": comment in wandb 0.31.0, `wandb/sdk/launch/agent/agent.py`).
    pub lease: Duration,
    /// A run of a sweep of which nothing was heard for this long has lost its program ("on the order of about five minutes":
    /// docs.wandb.ai, "Signal handling and sweep runs").
    pub silence: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            address: Ipv4Addr::LOCALHOST.into(),
            port: 0,
            key: KEY.into(),
            username: "fake-user".into(),
            entities: vec![Entity::team("fake-team"), Entity::foreign("other-team")],
            lease: Duration::from_secs(60),
            silence: Duration::from_secs(300),
        }
    }
}

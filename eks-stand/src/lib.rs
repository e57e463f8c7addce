//! AWS on loopback, for tests of what is made on EKS and for trying it without an account: [`Stand`].
//!
//! - `provide` installs the emulators, moto and fakecloud, and the aws CLI; `child` runs them, `home` keeps their files;
//! - `front` is the one endpoint: it writes every request down ([`Stand::requests`]), asks the emulator of its service
//!   (`emulators`), and puts right what the emulators get wrong; each such quirk is a module or a function with its reason;
//! - `cluster` is what no emulator has: behind the endpoint of an EKS cluster is a real kube-apiserver of the local provider, with
//!   TLS and tokens as EKS has them, and its node groups are simulated nodes.
//!
//! docs/eks-testing.md tells what runs where. Not here: IAM's enforcement, EC2 instances, time as AWS takes it.

mod asked;
mod child;
mod cluster;
mod eks_api;
mod emulators;
mod error;
mod faults;
mod front;
mod home;
mod provide;
mod requests;
mod settings;
mod stand;
mod xml;

pub use error::StandError;
pub use requests::Request;
pub use settings::Settings;
pub use stand::Stand;

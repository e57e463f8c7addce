//! The local provider keeps the contract of every provider, on a real control plane.

mod support;

use anyhow::Result;
use support::Rig;
use wbk_provider_api::contract::{self, wanted};

#[tokio::test(flavor = "multi_thread")]
async fn it_keeps_the_contract() -> Result<()> {
    let rig = Rig::new()?;
    contract::pure_parts(&*rig.provider, &wanted());
    contract::life(&*rig.provider, &wanted()).await;
    Ok(())
}

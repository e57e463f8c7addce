//! Law 11: which cluster a blueprint was applied to.

use std::path::PathBuf;

use anyhow::Context;
use wbk_provider_api::ProviderKind;

use super::{environment::Environment, failure::Failure};
use crate::{desired::Desired, live::World};

/// The cluster is the one that the blueprint pins, or else the one it was first applied to from this machine.
pub(super) fn check_pin(desired: &Desired, environment: &Environment, world: &World) -> Result<(), Failure> {
    let mismatch = |wanted: &str, where_from: String, hint: String| {
        let error = anyhow::anyhow!(
            "the context {} leads to another cluster than {where_from}: its kube-system has uid {}, not {wanted}",
            world.context,
            world.uid
        );
        Failure::hinted(error, hint)
    };
    if let Some(pin) = &desired.wanted.cluster.uid {
        if *pin != world.uid {
            let hint =
                "use the right context, or change cluster.uid in the blueprint if the platform shall move".to_owned();
            return Err(mismatch(pin, "the blueprint's cluster.uid".into(), hint));
        }
        return Ok(());
    }
    // A local cluster is made from the blueprint and has its own identity on disk.
    if desired.wanted.cluster.provider != ProviderKind::Existing {
        return Ok(());
    }
    let path = pin_path(environment, desired, &world.context);
    match std::fs::read_to_string(&path) {
        Ok(pin) if pin.trim() != world.uid => {
            let hint =
                format!("write cluster.uid into the blueprint to say which one is meant, or remove {}", path.display());
            Err(mismatch(pin.trim(), "the one it was applied to before".into(), hint))
        }
        Ok(_) => Ok(()),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::from(anyhow::Error::new(error).context(format!("read the pin {}", path.display())))),
    }
}

fn pin_path(environment: &Environment, desired: &Desired, context: &str) -> PathBuf {
    let digest = crate::id::Digest::of_bytes(context.as_bytes());
    environment.state.join("pins").join(format!("{}-{}", desired.name, digest.short()))
}

/// Remembers which cluster a blueprint was applied to, for [`check_pin`].
///
/// # Errors
/// The state folder cannot be written.
pub fn pin(desired: &Desired, environment: &Environment, world: &World) -> Result<(), Failure> {
    if desired.wanted.cluster.provider != ProviderKind::Existing || desired.wanted.cluster.uid.is_some() {
        return Ok(());
    }
    let path = pin_path(environment, desired, &world.context);
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).with_context(|| format!("make the folder {}", folder.display()))?;
    }
    std::fs::write(&path, &world.uid).with_context(|| format!("write the pin {}", path.display()))?;
    Ok(())
}

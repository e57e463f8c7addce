//! What is known of versions of W&B's SDK, as data with its source. An agent runs one version; what it refuses and what is broken in
//! it depends on that.

/// The newest release when this was written (PyPI, 2026-11): agents run it unless the blueprint says otherwise.
pub const NEWEST_SDK: &str = "0.31.0";
/// The oldest with which the generated queues and configuration were run.
pub const OLDEST_SDK: &str = "0.17.3";

/// `0.28.1` as numbers; `None` where it is no version.
pub(crate) fn version(text: &str) -> Option<(u32, u32, u32)> {
    let mut parts = text.split('.').map(|part| part.parse::<u32>().ok());
    let version = (parts.next()??, parts.next()??, parts.next()??);
    parts.next().is_none().then_some(version)
}

/// Since 0.28.1 the agent forces its own security context on every container and refuses one in a queue; it sets no
/// `runAsNonRoot`, so that Pod Security `restricted` refuses every job (wandb/wandb, `utils.py: validate_kubernetes_resource_args`;
/// seen with 0.28.2 and 0.31.0).
pub(crate) fn forces_security_context(sdk: &str) -> bool {
    version(sdk).is_some_and(|version| version >= (0, 28, 1))
}

/// Since 0.28.2 (2026-08-12, wandb/wandb#12220) an agent quotes what `wandb launch-sweep` has quoted already, in the command of the
/// sweep's scheduler, which then looks for a project with quotes in its name: each such sweep ends as CANCELED. Seen with 0.28.2 and
/// 0.31.0; it ran to its end with 0.17.3.
pub(crate) fn breaks_launch_sweeps(sdk: &str) -> bool {
    version(sdk).is_some_and(|version| version >= (0, 28, 2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_compared_as_numbers() {
        assert_eq!(version("0.28.2"), Some((0, 28, 2)));
        assert_eq!((version("0.28"), version("0.28.x"), version("0.28.1.2")), (None, None, None));
        assert!(forces_security_context("0.31.0") && !forces_security_context("0.17.3"));
        assert!(breaks_launch_sweeps("0.28.2") && !breaks_launch_sweeps("0.28.1"));
        assert!(version(OLDEST_SDK) < version(NEWEST_SDK));
    }
}

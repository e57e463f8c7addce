//! Programs that tests need, provisioned by the product's own code: from the cache, else downloaded or built, once for a
//! machine. What it does is printed, because a build takes minutes.

use std::collections::BTreeMap;
use std::path::PathBuf;

use wbk_provider_local::Settings;
use wbk_provider_local::assets::{self, Program};

/// The usual cache of this user, or the one that the environment names.
pub fn cache_home() -> PathBuf {
    std::env::var_os("XDG_CACHE_HOME")
        .map_or_else(|| PathBuf::from(std::env::var_os("HOME").expect("HOME is set")).join(".cache"), PathBuf::from)
}

/// Settings with a state folder of the test's own.
pub fn settings(state: PathBuf) -> Settings {
    let mut settings = Settings::new(state, cache_home().join("wbk-infra"));
    settings.assets_dir = std::env::var_os("KUBEBUILDER_ASSETS").map(PathBuf::from);
    settings.mirror = std::env::var("WBK_INFRA_MIRROR").ok();
    settings.proxy = std::env::var("HTTPS_PROXY").or_else(|_| std::env::var("https_proxy")).ok();
    settings.path = std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).collect();
    settings
}

/// Where programs are; provisioned when they are not there yet.
///
/// # Panics
/// They cannot be had: a test that proves nothing must not look like one that passed.
pub fn programs(wanted: &[Program]) -> BTreeMap<Program, PathBuf> {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let found = assets::provide(&settings(folder.path().to_owned()), None, wanted, &|event| eprintln!("  {event}"))
        .unwrap_or_else(|error| panic!("this test needs {wanted:?}: {error}"));
    found.into_iter().map(|(program, found)| (program, found.path)).collect()
}

/// One program.
pub fn program(wanted: Program) -> PathBuf {
    programs(&[wanted]).remove(&wanted).expect("it was just provided")
}

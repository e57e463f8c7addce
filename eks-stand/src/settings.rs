//! Everything that comes from outside, and the one place where the environment is read.

use std::ffi::OsString;
use std::path::PathBuf;

/// A ready fakecloud of the pinned version, so that none is built.
const FAKECLOUD_VARIABLE: &str = "WBK_INFRA_FAKECLOUD";
/// Which python makes the environment, where it is not `python3`; the tests with real launch agents read it too.
const PYTHON_VARIABLE: &str = "WBK_INFRA_TEST_PYTHON";

/// Where things are, and what shall run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Programs are cached in `<cache>/aws`, control planes where the local provider keeps its own.
    pub cache: PathBuf,
    /// A ready fakecloud; `None` builds one, once.
    pub fakecloud: Option<PathBuf>,
    /// The python that makes the environment of moto and the aws CLI.
    pub python: OsString,
    /// Whether microburst is in front, for [`crate::Stand::faults`]; it costs half a gigabyte and a millisecond a request.
    pub faults: bool,
    /// A file that gets one line for every request.
    pub log: Option<PathBuf>,
    /// The region that [`crate::Stand::env`] names.
    pub region: String,
    /// Where control planes are built from, as the local provider reads it; its state directory is replaced.
    pub local: wbk_provider_local::Settings,
}

impl Settings {
    /// What this user's environment says: `XDG_CACHE_HOME`, `PATH`, the variables of the local provider, and two of its own.
    ///
    /// # Panics
    /// Neither `XDG_CACHE_HOME` nor `HOME` is set.
    pub fn of_environment() -> Self {
        let variable = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
        let text = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
        let cache = variable("XDG_CACHE_HOME").map_or_else(
            || PathBuf::from(variable("HOME").expect("HOME or XDG_CACHE_HOME is set")).join(".cache"),
            PathBuf::from,
        );
        let cache = cache.join("wbk-infra");
        let mut local = wbk_provider_local::Settings::new(PathBuf::new(), &cache);
        local.assets_dir = variable("KUBEBUILDER_ASSETS").map(PathBuf::from);
        local.mirror = text("WBK_INFRA_MIRROR");
        local.proxy = text("HTTPS_PROXY").or_else(|| text("https_proxy"));
        local.no_proxy = text("NO_PROXY").or_else(|| text("no_proxy"));
        local.path = std::env::split_paths(&variable("PATH").unwrap_or_default()).collect();
        Self {
            cache,
            fakecloud: variable(FAKECLOUD_VARIABLE).map(PathBuf::from),
            python: variable(PYTHON_VARIABLE).unwrap_or_else(|| "python3".into()),
            faults: false,
            log: None,
            region: "us-west-2".into(),
            local,
        }
    }
}

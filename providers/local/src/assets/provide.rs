//! The order in which programs are looked for.

use std::collections::BTreeMap;

use super::pins::{Build, Pins};
use super::{AssetEvent, AssetSink, Found, Program, Source, build, cache, download, helm};
use crate::{LocalError, Settings, files, settings};

/// Finds or makes `programs` for a Kubernetes minor version (`None`: the newest pinned). Blocks, up to minutes.
///
/// # Errors
/// No way led to one of them (what was tried is in the error), a checksum was wrong, or the disk is full.
pub fn provide(
    settings: &Settings,
    minor: Option<&str>,
    programs: &[Program],
    sink: AssetSink<'_>,
) -> Result<BTreeMap<Program, Found>, LocalError> {
    provide_pinned(settings, &Pins::embedded(), minor, programs, sink)
}

/// As [`provide`], with other pins than this release's.
///
/// # Errors
/// As [`provide`].
pub fn provide_pinned(
    settings: &Settings,
    pins: &Pins,
    minor: Option<&str>,
    programs: &[Program],
    sink: AssetSink<'_>,
) -> Result<BTreeMap<Program, Found>, LocalError> {
    let search = Search { settings, pins, build: pins.build_for(minor)?, sink };
    let mut found = BTreeMap::new();
    search.look(programs, &mut found);
    if missing(programs, &found).is_empty() {
        return Ok(found);
    }
    // Whoever comes second finds in the cache what the first has made.
    let lock = cache::root(settings).join("lock");
    let _held = files::lock(&lock, || sink(AssetEvent::WaitsForOther))?;
    cache::sweep(settings)?;
    search.look(programs, &mut found);
    let mut tried = Vec::new();
    search.download(programs, &mut found, &mut tried)?;
    search.build(programs, &mut found, &mut tried)?;
    let lacking = missing(programs, &found);
    if lacking.is_empty() {
        return Ok(found);
    }
    let names: Vec<_> = lacking.iter().map(|program| program.name()).collect();
    Err(LocalError::NoAssets { programs: names.join(", "), tried: tried.join("; ") })
}

fn missing(programs: &[Program], found: &BTreeMap<Program, Found>) -> Vec<Program> {
    programs.iter().copied().filter(|program| !found.contains_key(program)).collect()
}

struct Search<'a> {
    settings: &'a Settings,
    pins: &'a Pins,
    build: &'a Build,
    sink: AssetSink<'a>,
}

impl Search<'_> {
    /// The sources that cost nothing.
    fn look(&self, programs: &[Program], found: &mut BTreeMap<Program, Found>) {
        for program in missing(programs, found) {
            if let Some(hit) = find(self.settings, self.pins, self.build, program) {
                found.insert(program, hit);
            }
        }
    }

    fn download(
        &self,
        programs: &[Program],
        found: &mut BTreeMap<Program, Found>,
        tried: &mut Vec<String>,
    ) -> Result<(), LocalError> {
        if !self.settings.downloads {
            tried.push("downloads are switched off".into());
            return Ok(());
        }
        for file in self.pins.files_for(&self.build.minor) {
            let lacking = missing(programs, found);
            if !file.members.keys().any(|program| lacking.contains(program)) {
                continue;
            }
            match download::download(self.settings, file, self.sink) {
                Ok(()) => self.look(programs, found),
                Err(error @ LocalError::Download { .. }) => {
                    (self.sink)(AssetEvent::Skipped { what: error.to_string() });
                    tried.push(error.to_string());
                    if self.settings.builds && self.settings.which("go").is_some() {
                        // The build brings all of them; one that must be built makes the other downloads a waste.
                        return Ok(());
                    }
                }
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn build(
        &self,
        programs: &[Program],
        found: &mut BTreeMap<Program, Found>,
        tried: &mut Vec<String>,
    ) -> Result<(), LocalError> {
        if missing(programs, found).is_empty() {
            return Ok(());
        }
        if !self.settings.builds {
            tried.push("builds are switched off".into());
            return Ok(());
        }
        let Some(go) = self.settings.which("go") else {
            tried.push("go is not on PATH, so nothing can be built".into());
            return Ok(());
        };
        build::build(self.settings, &go, self.build, self.sink)?;
        self.look(programs, found);
        Ok(())
    }
}

/// A program in the directory given, on PATH (helm only) or in the cache.
pub(super) fn find(settings: &Settings, pins: &Pins, build: &Build, program: Program) -> Option<Found> {
    given(settings, program)
        .or_else(|| match program {
            // Why a helm on PATH does not serve is told by the report; here the next source is asked.
            Program::Helm => helm::on_path(settings).ok(),
            _ => None,
        })
        .or_else(|| cache::lookup(&build::directory(settings, build), program))
        .or_else(|| {
            pins.files_for(&build.minor)
                .filter(|file| file.members.contains_key(&program))
                .find_map(|file| cache::lookup(&cache::downloaded_dir(settings, file), program))
        })
}

fn given(settings: &Settings, program: Program) -> Option<Found> {
    let path = settings.assets_dir.as_ref()?.join(program.name());
    let found = Found { program, version: None, path, source: Source::Given, verified: None };
    settings::is_executable(&found.path).then_some(found)
}

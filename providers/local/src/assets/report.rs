//! What `wbk-infra assets` shows.

use std::path::PathBuf;

use serde::Serialize;

use super::pins::Pins;
use super::{Program, helm, provide};
use crate::Settings;

/// One program and where it is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct AssetReport {
    /// The program.
    pub name: String,
    /// Its version, where it is known.
    pub version: Option<String>,
    /// The file; `None` where it is not there yet.
    pub path: Option<PathBuf>,
    /// Where it came from, or where it would come from.
    pub source: String,
    /// What proved it; `None` where nothing did.
    pub verified: Option<String>,
}

/// Looks for every program, and fetches or builds none.
pub fn report(settings: &Settings) -> Vec<AssetReport> {
    let pins = Pins::embedded();
    let build = pins.build_for(None).expect("the embedded pins have a build; a unit test holds it");
    Program::ALL
        .into_iter()
        .map(|program| match provide::find(settings, &pins, build, program) {
            Some(found) => AssetReport {
                name: program.name().into(),
                version: found.version,
                path: Some(found.path),
                source: found.source.to_string(),
                verified: found.verified,
            },
            None => AssetReport {
                name: program.name().into(),
                version: None,
                path: None,
                source: absent(settings, &pins, &build.minor, program),
                verified: None,
            },
        })
        .collect()
}

fn absent(settings: &Settings, pins: &Pins, minor: &str, program: Program) -> String {
    let mut ways = Vec::new();
    let pinned = pins.files_for(minor).find(|file| file.members.contains_key(&program));
    if let Some(file) = pinned.filter(|_| settings.downloads) {
        ways.push(format!("downloaded from {}", file.address(settings.mirror.as_deref())));
    }
    if settings.builds && settings.which("go").is_some() {
        ways.push("built from Go modules".into());
    }
    let ways = if ways.is_empty() { "cannot be had here".into() } else { format!("will be {}", ways.join(" or ")) };
    match program {
        Program::Helm => match helm::on_path(settings) {
            Err(why) => format!("{why}; {ways}"),
            Ok(_) => ways,
        },
        _ => ways,
    }
}

//! `assets`.

use wbk_provider_local::assets::{self, Program};

use super::session::{Session, out, unfit};
use crate::cli::{
    args::Output,
    failure::{Exit, Failure},
    situation::local_settings,
};

/// `assets`.
pub fn assets(context: &Session<'_>, fetch: bool) -> Result<Exit, Failure> {
    let settings = local_settings(context.environment, context.global);
    if fetch {
        let quiet = context.global.quiet;
        let last = std::sync::Mutex::new(String::new());
        let say = move |event: assets::AssetEvent| {
            let line = event.to_string();
            let mut last = last.lock().expect("no holder of this lock panics");
            if !quiet && *last != line {
                anstream::eprintln!("{line}");
                *last = line;
            }
        };
        assets::provide(&settings, None, &Program::ALL, &say)?;
    }
    let report = assets::report(&settings);
    match context.global.output {
        Output::Human => {
            for asset in &report {
                let place = asset
                    .path
                    .as_ref()
                    .map_or_else(|| asset.source.clone(), |path| format!("{} ({})", path.display(), asset.source));
                let verified =
                    asset.verified.as_ref().map(|how| format!("\n{:26}verified by {how}", "")).unwrap_or_default();
                out(&format!("{:26}{:10} {place}{verified}", asset.name, asset.version.as_deref().unwrap_or("-")));
            }
        }
        Output::Json => out(&serde_json::to_string_pretty(&report)?),
        Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&report)?)),
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
            return Err(unfit("assets", other));
        }
    }
    Ok(Exit::Done)
}

//! `doctor`: what this machine and these credentials lack, with the fix.

use std::collections::BTreeSet;
use std::path::Path;

use serde::Serialize;
use wbk_provider_api::{ProviderKind, Wanted};
use wbk_provider_eks::{
    aws::Aws,
    rights::{Purpose, lacking, policy},
};
use wbk_provider_local::assets;

use super::{
    eks::{failed, pinned},
    session::{Session, out, unfit},
};
use crate::cli::{
    args::Output,
    aws::way,
    failure::{Exit, Failure},
    releases::find_helm,
    secrets,
    show::{Mood, paint},
    situation::{self, local_settings, read},
};

/// One finding.
#[derive(Debug, Serialize)]
struct Finding {
    about: String,
    good: bool,
    found: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    fix: Option<String>,
}

impl Finding {
    fn good(about: &str, found: impl Into<String>) -> Self {
        Self { about: about.into(), good: true, found: found.into(), fix: None }
    }

    fn bad(about: &str, found: impl Into<String>, fix: impl Into<String>) -> Self {
        Self { about: about.into(), good: false, found: found.into(), fix: Some(fix.into()) }
    }
}

/// Looks at everything, or at what a blueprint needs.
pub async fn doctor(context: &Session<'_>, blueprint: Option<&Path>) -> Result<Exit, Failure> {
    let desired = blueprint.map(|file| read(&[file.to_owned()], context.environment)).transpose()?;
    let kind = desired.as_ref().map(|desired| desired.wanted.cluster.provider);
    let mut findings = folders(context);
    if kind.is_none_or(|kind| kind == ProviderKind::Local) {
        findings.extend(programs(context));
    }
    if kind.is_none_or(|kind| kind == ProviderKind::Kind) {
        findings.extend(containers(context, kind.is_some()).await);
    }
    if kind.is_none_or(|kind| kind == ProviderKind::Existing) {
        findings.extend(kubeconfigs(context));
    }
    if let Some(desired) = desired.as_ref().filter(|desired| desired.wanted.cluster.eks.is_some()) {
        findings.extend(aws(context, &desired.wanted).await?);
    }
    if let Some(desired) = &desired {
        let provider = situation::provider(&desired.wanted, context.environment, context.global)?;
        findings.push(match situation::reach(&*provider, desired, context.global).await {
            Ok(connection) => Finding::good("cluster", format!("the context {} answers", connection.access.context)),
            Err(unreached) if kind == Some(ProviderKind::Local) => Finding::good(
                "cluster",
                format!("the local cluster does not run yet ({}); apply starts it", unreached.why.0),
            ),
            // What AWS' credentials lack is told above.
            Err(unreached) if kind == Some(ProviderKind::Eks) && unreached.why.0.contains("it is not there") => {
                Finding::good("cluster", "it is not there yet; apply makes it")
            }
            Err(unreached) if kind == Some(ProviderKind::Kind) => {
                Finding::good("cluster", format!("{}; apply makes or starts it", unreached.why.0))
            }
            Err(unreached) => {
                let fix =
                    unreached.hint.unwrap_or_else(|| "mend the kubeconfig or reach the cluster, then ask again".into());
                Finding::bad("cluster", unreached.why.0, fix)
            }
        });
        match secrets::resolve(desired, context.environment, None).await {
            Ok(_) => findings.push(Finding::good("secrets", "every reference gives a value")),
            Err(errors) => {
                findings.extend(
                    errors
                        .into_iter()
                        .map(|(at, error)| Finding::bad("secrets", format!("{at}: {error}"), "set it before applying")),
                );
            }
        }
        if !desired.releases.is_empty() {
            findings.push(match find_helm(context.environment, context.global, &|_| {}).await {
                Ok(helm) => Finding::good("helm", format!("{} is {}", helm.program().display(), helm.version())),
                Err(failure) => Finding::bad(
                    "helm",
                    failure.error.to_string(),
                    failure.hint.unwrap_or_else(|| "install helm 4".into()),
                ),
            });
        }
    }
    let healthy = findings.iter().all(|finding| finding.good);
    match context.global.output {
        Output::Human => {
            for finding in &findings {
                let mark = if finding.good { paint(Mood::Good, "ok  ") } else { paint(Mood::Bad, "lack") };
                out(&format!("{mark} {:10} {}", finding.about, finding.found));
                if let Some(fix) = &finding.fix {
                    out(&format!("                fix: {fix}"));
                }
            }
        }
        Output::Json => out(&serde_json::to_string_pretty(&findings)?),
        Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&findings)?)),
        other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit | Output::Html) => {
            return Err(unfit("doctor", other));
        }
    }
    Ok(if healthy { Exit::Done } else { Exit::Failed })
}

fn folders(context: &Session<'_>) -> Vec<Finding> {
    [("state", &context.environment.state), ("cache", &context.environment.cache)]
        .into_iter()
        .map(|(name, folder)| {
            let writable = std::fs::create_dir_all(folder).and_then(|()| tempfile::tempfile_in(folder));
            match writable {
                Ok(_) => Finding::good(name, format!("{} can be written", folder.display())),
                Err(error) => Finding::bad(
                    name,
                    format!("{}: {error}", folder.display()),
                    format!("free space there, or set XDG_{}_HOME", name.to_uppercase()),
                ),
            }
        })
        .collect()
}

fn programs(context: &Session<'_>) -> Vec<Finding> {
    let settings = local_settings(context.environment, context.global);
    assets::report(&settings)
        .into_iter()
        .map(|asset| match asset.path {
            Some(path) => Finding::good(
                "local",
                format!("{} {} at {}", asset.name, asset.version.unwrap_or_default(), path.display()),
            ),
            None if asset.source.contains("cannot be had") => Finding::bad(
                "local",
                format!("{}: {}", asset.name, asset.source),
                "install go 1.26 or later, or give a folder with the programs: --assets FOLDER",
            ),
            None => Finding::good("local", format!("{}: {}", asset.name, asset.source)),
        })
        .collect()
}

/// What kind clusters need. Nobody lacks it who did not ask for one.
async fn containers(context: &Session<'_>, is_needed: bool) -> Vec<Finding> {
    let provider = wbk_provider_kind::KindProvider::new(situation::kind_settings(context.environment));
    let lacking = |error: &wbk_provider_kind::KindError| {
        if is_needed {
            let fix = error.hint().unwrap_or_else(|| "install Docker and kind".into());
            Finding::bad("kind", error.to_string(), fix)
        } else {
            Finding::good("kind", format!("{error}; needed only for cluster.provider kind"))
        }
    };
    let mut findings = Vec::new();
    match provider.engine() {
        Err(error) => findings.push(lacking(&error)),
        Ok(engine) => findings.push(match provider.engine_version().await {
            Ok(version) => Finding::good("kind", format!("{} {version} answers", engine.name)),
            Err(error) => lacking(&error),
        }),
    }
    findings.push(match provider.kind_version().await {
        Ok(Some(version)) => Finding::good("kind", version),
        Ok(None) => Finding::good("kind", "kind is not there yet; the first apply builds it, for which it needs go"),
        Err(error) => lacking(&error),
    });
    findings
}

/// Whose credentials they are, and what they lack of what the blueprint needs.
async fn aws(context: &Session<'_>, wanted: &Wanted) -> Result<Vec<Finding>, Failure> {
    let region = wanted.cluster.region.clone().unwrap_or_default();
    let aws = Aws::connect_by(&region, &way(context.environment)?).await.map_err(failed)?;
    let caller = match aws.caller().await {
        Ok(caller) => caller.clone(),
        Err(error) => {
            let fix = error.hint().unwrap_or_else(|| "name a profile in AWS_PROFILE".into());
            return Ok(vec![Finding::bad("aws", error.why().0, fix)]);
        }
    };
    let mut findings = match pinned(wanted) {
        Some(own) if own != caller.account => {
            let found =
                format!("{} is of account {}, and the blueprint is pinned to {own}", caller.arn, caller.account);
            vec![Finding::bad("aws", found, "use credentials of that account (AWS_PROFILE)")]
        }
        _ => vec![Finding::good("aws", format!("{} in {region}", caller.arn))],
    };
    let needed = policy(wanted, &caller.account, Purpose::Apply);
    findings.push(match lacking(&aws, &needed).await {
        Ok(lacks) if lacks.is_empty() => {
            Finding::good("rights", "IAM says that these credentials may do all that the blueprint needs")
        }
        Ok(lacks) => {
            let actions: BTreeSet<&str> = lacks.iter().map(|lack| lack.action.as_str()).collect();
            let found = format!("IAM denies these credentials {}", actions.into_iter().collect::<Vec<_>>().join(", "));
            Finding::bad("rights", found, "give them what `wbk-infra eks policy BLUEPRINT` prints")
        }
        Err(error) => Finding::good(
            "rights",
            format!("not known: {}; `wbk-infra eks policy BLUEPRINT` prints what is needed", error.why().0),
        ),
    });
    Ok(findings)
}

fn kubeconfigs(context: &Session<'_>) -> Vec<Finding> {
    context
        .environment
        .kubeconfigs()
        .iter()
        .map(|path| match kube::config::Kubeconfig::read_from(path) {
            Ok(config) => {
                let names: Vec<String> = config.contexts.iter().map(|context| context.name.clone()).collect();
                Finding::good("existing", format!("{} has the contexts {}", path.display(), names.join(", ")))
            }
            Err(error) if path.exists() => Finding::bad(
                "existing",
                format!("{}: {error}", path.display()),
                "mend the file, or set KUBECONFIG to another",
            ),
            Err(_) => Finding::good(
                "existing",
                format!("no kubeconfig at {}; needed only for cluster.provider existing", path.display()),
            ),
        })
        .collect()
}

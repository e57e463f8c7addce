//! `verify`.

use std::{sync::Arc, time::Duration};

use anyhow::Context;
use tokio::sync::watch;

use super::{
    interrupt::stop_on_interrupt,
    session::{Session, out, unfit},
};
use crate::{
    cli::{
        args::{Allowed, BlueprintArgs, CheckArgs, Output, ReportFormat},
        failure::{Exit, Failure},
        situation::{self, files, read},
        wandb::wandb_of,
    },
    cost::UsdPerHour,
    desired::Desired,
    verify::{self, CheckContext, Holder, Nodes, OptIn, Suite, VerifyOptions},
};

impl Session<'_> {
    /// `verify`.
    pub async fn verify(&self, blueprint: &BlueprintArgs, checks: &CheckArgs, list: bool) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        if list {
            for id in suite(&desired, checks)?.ids() {
                out(id.as_str());
            }
            return Ok(Exit::Done);
        }
        let provider = situation::provider(&desired.wanted, self.environment, self.global)?;
        let connection = situation::reach(&*provider, &desired, self.global).await.map_err(|unreached| {
            let error =
                anyhow::anyhow!("{}", unreached.why.0).context(format!("reach the cluster of {}", desired.name));
            let hint = unreached.hint.or_else(|| Some("start it, or apply the blueprint first".into()));
            Failure { error, hint, exit: Exit::Inconclusive }
        })?;
        let report = self.check(&desired, &connection, checks).await?;
        self.show_checks(&report)
    }

    pub(super) async fn check(
        &self,
        desired: &Desired,
        connection: &situation::Connection,
        checks: &CheckArgs,
    ) -> Result<verify::Report, Failure> {
        let suite = suite(desired, checks)?;
        let nodes = if connection.access.simulated_nodes { Nodes::Simulated } else { Nodes::Real };
        let clock: verify::Clock = Arc::new(jiff::Timestamp::now);
        let mut context = CheckContext::new(
            connection.cluster.client().clone(),
            Arc::new(desired.clone()),
            nodes,
            self.options(checks),
            clock,
        );
        let reached = Some((&connection.cluster, &connection.discovery));
        if let Some(wandb) = wandb_of(desired, self.environment, reached).await {
            context = context.with_wandb(wandb);
        }
        let (sender, receiver) = watch::channel(false);
        let mut interrupts = stop_on_interrupt();
        let watcher = tokio::spawn(async move {
            while interrupts.changed().await.is_ok() {
                sender.send_replace(true);
            }
            // The sender lives as long as nobody interrupts.
            std::future::pending::<()>().await;
            drop(sender);
        });
        let mut report = suite.run(&context, None, receiver).await;
        watcher.abort();
        let drawn = checks.report.iter().any(|(format, _)| *format == ReportFormat::Html);
        if drawn || self.global.output == Output::Html {
            let cost = self.cost_now(desired, connection, &self.prices(desired)?, true).await;
            // Of a platform that costs nothing there is nothing to draw.
            report.cost = Some(cost).filter(|cost| cost.total.hour > UsdPerHour::ZERO);
        }
        for (format, file) in &checks.report {
            let text = match format {
                ReportFormat::Html => verify::html(&report),
                ReportFormat::Json => serde_json::to_string_pretty(&verify::json(&report))?,
                ReportFormat::Ctrf => serde_json::to_string_pretty(&verify::ctrf(&report))?,
                ReportFormat::Junit => verify::junit(&report)?,
                ReportFormat::Markdown => verify::markdown(&report),
            };
            std::fs::write(file, text).with_context(|| format!("write the report {}", file.display()))?;
            if !self.global.quiet {
                anstream::eprintln!("report: {}", file.display());
            }
        }
        Ok(report)
    }

    fn options(&self, checks: &CheckArgs) -> VerifyOptions {
        let allow = checks.allow.iter().map(|what| match what {
            Allowed::DebugPod => OptIn::DebugPod,
            Allowed::Preemption => OptIn::Preemption,
            Allowed::ScaleUp => OptIn::ScaleUp,
            Allowed::Canary => OptIn::Canary,
        });
        VerifyOptions {
            allow: allow.collect(),
            timeout: checks.timeout.map(Duration::from_secs),
            sample_image: checks.image.clone(),
            gpu_image: checks.gpu_image.clone(),
            holder: Some(Holder::this_process(&self.environment.host)),
            ..VerifyOptions::default()
        }
    }

    pub(super) fn show_checks(&self, report: &verify::Report) -> Result<Exit, Failure> {
        match self.global.output {
            Output::Human => out(&verify::human(report)),
            Output::Json => out(&serde_json::to_string_pretty(&verify::json(report))?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&verify::json(report))),
            Output::Markdown => out(&verify::markdown(report)),
            Output::Ctrf => out(&serde_json::to_string_pretty(&verify::ctrf(report))?),
            Output::Junit => out(&verify::junit(report)?),
            Output::Html => out(&verify::html(report)),
            other @ Output::Sarif => return Err(unfit("verify", other)),
        }
        Ok(exit_of(report))
    }
}

/// The checks of a blueprint that were asked for.
fn suite(desired: &Desired, checks: &CheckArgs) -> Result<Suite, Failure> {
    Suite::derive(desired).narrow(&checks.only, &checks.skip).map_err(|error| Failure {
        error: error.into(),
        hint: None,
        exit: Exit::Usage,
    })
}

pub(super) fn exit_of(report: &verify::Report) -> Exit {
    match report.verdict() {
        verify::Verdict::Pass => Exit::Done,
        verify::Verdict::Fail => Exit::CheckFailed,
        verify::Verdict::Inconclusive => Exit::Inconclusive,
    }
}

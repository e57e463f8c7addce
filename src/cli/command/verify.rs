//! `verify`.

use std::sync::Arc;

use tokio::sync::watch;

use super::{
    interrupt::stop_on_interrupt,
    session::{Session, out, unfit},
};
use crate::{
    cli::{
        args::{BlueprintArgs, CheckArgs, Output},
        failure::{Exit, Failure},
        situation::{self, files, read},
    },
    desired::Desired,
    verify::{self, CheckContext, Nodes, Suite, VerifyOptions},
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
        let context = CheckContext::new(
            connection.cluster.client().clone(),
            Arc::new(desired.clone()),
            nodes,
            VerifyOptions::default(),
            clock,
        );
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
        let report = suite.run(&context, None, receiver).await;
        watcher.abort();
        Ok(report)
    }

    pub(super) fn show_checks(&self, report: &verify::Report) -> Result<Exit, Failure> {
        match self.global.output {
            Output::Human => out(&verify::human(report)),
            Output::Json => out(&serde_json::to_string_pretty(&verify::json(report))?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&verify::json(report))),
            Output::Markdown => out(&verify::markdown(report)),
            Output::Ctrf => out(&serde_json::to_string_pretty(&verify::ctrf(report))?),
            Output::Junit => out(&verify::junit(report)?),
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

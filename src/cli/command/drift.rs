//! `drift`.

use std::time::Duration;

use super::{
    interrupt::stop_on_interrupt,
    session::{Session, out, unfit},
};
use crate::{
    cli::{
        args::{BlueprintArgs, Output},
        failure::{Exit, Failure},
        show::{Mood, paint},
        situation::{HeadStart, Purpose, additions, files, read_ahead},
    },
    desired::Desired,
    drift::{self, DriftReport, Surroundings},
};

impl Session<'_> {
    /// `drift`.
    pub async fn drift(&self, blueprint: &BlueprintArgs, watch: bool, interval: u64) -> Result<Exit, Failure> {
        let (desired, head) = read_ahead(&files(blueprint)?, self.environment, self.global)?;
        if !watch {
            let (report, pending) = self.look_for_drift(&desired, Some(head)).await?;
            self.show_drift(&report)?;
            self.tell_pending(pending);
            return Ok(exit_of(&report));
        }
        let mut head = Some(head);
        let mut stop = stop_on_interrupt();
        let mut known: std::collections::BTreeSet<String> = std::collections::BTreeSet::new();
        let mut first = true;
        loop {
            let (report, pending) = self.look_for_drift(&desired, head.take()).await?;
            if first {
                self.show_drift(&report)?;
                self.tell_pending(pending);
            }
            let now: std::collections::BTreeSet<String> = report
                .items
                .iter()
                .map(|item| format!("{}: {} {}", item.object, item.what(), item.who_and_when()))
                .collect();
            if !first {
                let time = report.seen.strftime("%H:%M:%S");
                for line in now.difference(&known) {
                    out(&format!("{time} {} {line}", paint(Mood::Change, "moved ")));
                }
                for line in known.difference(&now) {
                    out(&format!("{time} {} {line}", paint(Mood::Good, "mended")));
                }
            }
            known = now;
            first = false;
            tokio::select! {
                _ = stop.changed() => return Ok(exit_of(&report)),
                () = tokio::time::sleep(Duration::from_secs(interval.max(1))) => {}
            }
        }
    }

    fn tell_pending(&self, pending: usize) {
        if pending > 0 && !self.global.quiet {
            anstream::eprintln!(
                "{pending} things are not yet as the blueprint now wants them; that is no drift: wbk-infra plan"
            );
        }
    }

    async fn look_for_drift(
        &self,
        desired: &Desired,
        head: Option<HeadStart>,
    ) -> Result<(DriftReport, usize), Failure> {
        let situation = self.look(desired, Purpose::Apply, head).await?;
        let additions = additions(&situation).await;
        let nothing_remembered = situation.before.objects.is_empty();
        let applied_before =
            |key: &crate::id::ObjectKey| nothing_remembered || situation.before.objects.contains_key(&key.to_string());
        let value_changed = |object: &crate::desired::DesiredObject| {
            let remembered = situation.before.objects.get(&object.id.key().to_string());
            remembered.is_some_and(|remembered| {
                remembered.values != situation.values.fingerprint(object, &situation.before.salt)
            })
        };
        let around = Surroundings {
            value_changed: &value_changed,
            metas: &situation.sight.metas,
            additions: &additions,
            applied_before: &applied_before,
            operations: &situation.operations,
        };
        let moved = drift::drift(desired, &situation.sight.live, &around);
        let report = DriftReport::new(&desired.name, jiff::Timestamp::now(), moved.items, moved.clean, moved.unseen);
        Ok((report, moved.pending))
    }

    fn show_drift(&self, report: &DriftReport) -> Result<(), Failure> {
        match self.global.output {
            Output::Human => out(&drift::human(report)),
            Output::Json => out(&serde_json::to_string_pretty(&drift::json(report))?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&drift::json(report))),
            Output::Markdown => out(&drift::markdown(report)),
            Output::Sarif => out(&serde_json::to_string_pretty(&drift::sarif(report))?),
            other @ (Output::Ctrf | Output::Junit | Output::Html) => return Err(unfit("drift", other)),
        }
        Ok(())
    }
}

fn exit_of(report: &DriftReport) -> Exit {
    match report.exit_code() {
        0 => Exit::Done,
        6 => Exit::Inconclusive,
        _ => Exit::Pending,
    }
}

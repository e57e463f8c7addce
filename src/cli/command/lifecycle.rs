//! `explain queue` and `explain job`: the life of what is pushed to W&B Launch.

use std::path::Path;

use super::{
    launch::{draw, launch_of, queue_of},
    session::{Session, out, unfit},
};
use crate::{
    cli::{
        args::{BlueprintArgs, Output},
        failure::{Exit, Failure},
        show::lifecycle_human,
        situation::{files, read},
    },
    launch::{Nodes, of_job, of_queue, picture_html, picture_svg},
};

impl Session<'_> {
    /// `explain queue NAME` or `explain job NAME`, as HTML and SVG where asked for.
    pub(super) async fn explain_life(
        &self,
        blueprint: &BlueprintArgs,
        (is_queue, name): (bool, &str),
        (html, svg): (Option<&Path>, Option<&Path>),
    ) -> Result<Exit, Failure> {
        let desired = read(&files(blueprint)?, self.environment)?;
        let launch = launch_of(&desired)?;
        // A name that is none is told without asking anybody.
        let queue = if is_queue { Some(queue_of(launch, name)?) } else { None };
        let (connection, wandb) = self.both(&desired).await;
        let (sources, board) = draw(launch, connection.as_ref(), wandb.as_ref(), Nodes::Always).await;
        let life = match queue {
            Some(queue) => of_queue(launch, queue, &sources, &board),
            None => of_job(launch, &sources, &board, name).ok_or_else(|| {
                let known: Vec<&str> = board.jobs.iter().map(|job| job.name.as_str()).collect();
                let known = if known.is_empty() { "no job".to_owned() } else { known.join(", ") };
                let unseen: String = sources.unseen.iter().map(|one| format!("; not seen: {one}")).collect();
                Failure::usage(format!("there is no job, run or item {name}; there is {known}{unseen}"))
            })?,
        };
        self.draw(html, || picture_html(&life))?;
        self.draw(svg, || picture_svg(&life))?;
        match self.global.output {
            Output::Human => out(&lifecycle_human(&life)),
            Output::Json => out(&serde_json::to_string_pretty(&life)?),
            Output::Yaml => out(&crate::blueprint::to_yaml(&serde_json::to_value(&life)?)),
            Output::Html => out(&picture_html(&life)),
            other @ (Output::Markdown | Output::Sarif | Output::Ctrf | Output::Junit) => {
                return Err(unfit("explain queue", other));
            }
        }
        Ok(if life.unseen.is_empty() { Exit::Done } else { Exit::Inconclusive })
    }
}

//! Launch on one screen, for people.

use super::{Mood, paint};
use crate::launch::{Board, JobState, Obstacle, age};

/// Finished and failed Jobs that are shown; the others are counted.
const ENDED: usize = 10;

/// Agents, queues, Jobs, and what waits for what.
pub fn launch_human(board: &Board) -> String {
    let mut text = String::new();
    let mut line = |words: String| {
        text.push_str(words.trim_end());
        text.push('\n');
    };
    line(paint(Mood::Strong, "agents"));
    for agent in &board.agents {
        let state = if agent.up { paint(Mood::Good, "up  ") } else { paint(Mood::Bad, "down") };
        line(format!(
            "  {:<16} {state}  {} of {} jobs  serves {}",
            agent.name,
            agent.jobs,
            agent.max_jobs,
            agent.queues.join(", ")
        ));
        told(agent.obstacle.as_ref()).into_iter().for_each(&mut line);
    }
    line(paint(Mood::Strong, "queues"));
    for queue in &board.queues {
        let waiting = queue.waiting.map_or_else(|| "?".to_owned(), |waiting| waiting.to_string());
        let pool = queue.pool.as_deref().unwrap_or("any node");
        line(format!(
            "  {:<16} {waiting} waiting  {} jobs  {} on {pool}",
            queue.name,
            queue.jobs,
            gpus(u64::from(queue.gpus))
        ));
        told(queue.obstacle.as_ref()).into_iter().for_each(&mut line);
    }
    line(paint(Mood::Strong, "jobs"));
    if board.jobs.is_empty() {
        line("  none".into());
    }
    let (open, ended): (Vec<_>, Vec<_>) = board.jobs.iter().partition(|job| job.state.is_open());
    for job in open.iter().chain(ended.iter().take(ENDED)) {
        let mood = match job.state {
            JobState::Pending => Mood::Change,
            JobState::Running | JobState::Finished => Mood::Good,
            JobState::Failed => Mood::Bad,
        };
        let node = job.node.as_deref().map(|node| format!("  node {node}")).unwrap_or_default();
        let state = paint(mood, format!("{:<8}", job.state.word()));
        let pods = if job.pods > 1 && job.state.is_open() {
            format!("  {} of {} pods run", job.running, job.pods)
        } else {
            String::new()
        };
        line(format!(
            "  {state}  {}/{}  queue {}  {}{node}{pods}  {}",
            job.namespace,
            job.name,
            job.queue,
            gpus(job.gpus),
            age(job.age_seconds)
        ));
        told(job.obstacle.as_ref()).into_iter().for_each(&mut line);
    }
    if ended.len() > ENDED {
        line(format!("  and {} more that ended", ended.len() - ENDED));
    }
    for unseen in &board.unseen {
        line(format!("{} {unseen}", paint(Mood::Bad, "not seen:")));
    }
    text.trim_end().to_owned()
}

/// Why, and what mends it.
fn told(obstacle: Option<&Obstacle>) -> Vec<String> {
    obstacle.map(|Obstacle { why, fix }| vec![format!("      {why}"), format!("      fix: {fix}")]).unwrap_or_default()
}

fn gpus(count: u64) -> String {
    match count {
        0 => "no GPU".into(),
        1 => "1 GPU".into(),
        count => format!("{count} GPUs"),
    }
}

//! What can be asked of many clusters at once.

use std::path::PathBuf;

use clap::{Args, Subcommand};

/// A fleet, and which of its clusters.
#[derive(Debug, Args, Clone)]
pub struct FleetArgs {
    /// The fleet file.
    #[arg(value_name = "FLEET")]
    pub fleet: PathBuf,
    /// Only this cluster of it.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Not this cluster of it.
    #[arg(long, value_name = "NAME")]
    pub skip: Vec<String>,
    /// Most clusters at once.
    #[arg(long, default_value_t = 4, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=256))]
    pub parallel_clusters: u16,
    /// Seconds that one cluster may take; then it is interrupted, as with Ctrl-C.
    #[arg(long, default_value_t = 7200, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=604_800))]
    pub timeout: u64,
    /// Only the clusters that fall to part I of N, from 0, as in 2/5: for several machines, or the indexes of a Job.
    #[arg(long, value_name = "I/N")]
    pub part: Option<Part>,
    /// Write the table as Markdown into this file too.
    #[arg(long, value_name = "FILE")]
    pub markdown: Option<PathBuf>,
}

/// One of so many equal parts of a fleet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Part {
    /// Which, from 0.
    pub index: usize,
    /// Of how many.
    pub of: usize,
}

impl std::str::FromStr for Part {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let (index, of) = text.split_once('/')?;
            Some(Self { index: index.parse().ok()?, of: of.parse().ok()? }) // No numbers: no part.
        };
        match read() {
            Some(part) if part.index < part.of => Ok(part),
            Some(_) => Err("parts are counted from 0: of 5 the last one is 4/5"),
            None => Err("write I/N, as in 2/5"),
        }
    }
}

impl Part {
    /// Whether the cluster at this place of the fleet file, from 0, is in it. Clusters are dealt out like cards, so that one that is
    /// added changes no other's part.
    pub fn has(self, place: usize) -> bool {
        place % self.of == self.index
    }
}

/// What of a fleet.
#[derive(Debug, Subcommand, Clone)]
pub enum FleetCommand {
    /// Say what would change in each cluster; change nothing.
    Plan {
        /// Which.
        #[command(flatten)]
        fleet: FleetArgs,
        /// Exit with 3 when something is to be done in any of them.
        #[arg(long)]
        exit_code: bool,
    },
    /// Plan all, ask once, and do exactly what was shown, in each cluster.
    Apply {
        /// Which.
        #[command(flatten)]
        fleet: FleetArgs,
        /// Do not ask.
        #[arg(short, long)]
        yes: bool,
        /// Do not verify at the end.
        #[arg(long)]
        no_verify: bool,
    },
    /// Say what moved in each cluster; exit with 3 when something did in any of them.
    Drift {
        /// Which.
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// One line for each cluster: whether it answers, what is to be done, what waits.
    Status {
        /// Which.
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Prove each platform.
    Verify {
        /// Which.
        #[command(flatten)]
        fleet: FleetArgs,
    },
    /// Say what each cluster costs now, and all together.
    Cost {
        /// Which.
        #[command(flatten)]
        fleet: FleetArgs,
    },
}

#[cfg(test)]
mod tests {
    use super::Part;

    #[test]
    fn every_cluster_is_in_one_part() {
        let parts: Vec<Part> = ["0/3", "1/3", "2/3"].map(|text| text.parse().expect("a part")).into();
        for place in 0..10 {
            assert_eq!(parts.iter().filter(|part| part.has(place)).count(), 1, "{place}");
        }
        for wrong in ["", "3", "3/3", "a/b", "-1/3", "0/0", "1/2/3"] {
            assert!(wrong.parse::<Part>().is_err(), "{wrong}");
        }
    }
}

//! A fleet file: text to a checked fleet, and the check of all its blueprints together.

use std::collections::BTreeMap;
use std::sync::OnceLock;

use jiff::civil::Date;
use serde_json::Value;
use wbk_provider_api::{ProviderKind, Wanted};

use super::check::{Completeness, check};
use super::files::{Files, join};
use super::load::{Ground, Source, Words, load_on, parse};
use super::path::{Step, steps};
use super::problem::{Position, Problem, Problems};
use super::schema::{Fleet, fleet_json_schema};
use super::yaml::Node;

const WORDS: Words = Words {
    noun: "fleet",
    second: "write one file for each fleet",
    empty: "start with `apiVersion: wbk-infra/v1` and `kind: Fleet`",
};

/// A fleet without a problem in its own file, and where each of its values was written.
#[derive(Debug, Clone)]
pub struct LoadedFleet {
    /// The fleet.
    pub fleet: Fleet,
    file: String,
    tree: Node,
}

/// One cluster of a fleet, its paths made whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FleetEntry {
    /// Its name in the fleet.
    pub name: String,
    /// Blueprint and overlays in order, relative to where the fleet file's own path is.
    pub files: Vec<String>,
    /// The context that the fleet file gives it.
    pub context: Option<String>,
}

fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(fleet_json_schema)
}

/// Reads a fleet file.
///
/// # Errors
/// Everything that is wrong in it, at once; not what is wrong in the blueprints that it names ([`LoadedFleet::lint`]).
pub fn load_fleet(source: &Source) -> Result<LoadedFleet, Problems> {
    let (tree, mut problems) = parse(source, &WORDS);
    let Some(tree) = tree else { return Err(Problems::new(problems)) };
    if tree.get("kind").and_then(Node::as_str) == Some("Platform") {
        let problem = Problem::error(tree.nearest(steps!["kind"]), "this is a blueprint, not a fleet")
            .hint("a fleet names blueprints: `kind: Fleet`, `clusters: [{name: …, blueprint: …}]`");
        return Err(Problems::new(vec![problem]));
    }
    problems.extend(check(&tree, schema(), Completeness::Whole));
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    match serde_json::from_value(tree.to_json()) {
        Ok(fleet) => Ok(LoadedFleet { fleet, file: source.name.clone(), tree }),
        Err(error) => {
            let message = format!("this is a bug of wbk-infra: the checked fleet was not understood ({error})");
            Err(Problems::new(vec![Problem::error(&tree.at, message)]))
        }
    }
}

impl LoadedFleet {
    /// The clusters in the order of the file.
    pub fn entries(&self) -> Vec<FleetEntry> {
        let common = &self.fleet.overlays;
        let clusters = self.fleet.clusters.iter();
        clusters
            .map(|cluster| FleetEntry {
                name: cluster.name.clone(),
                files: std::iter::once(&cluster.blueprint)
                    .chain(common)
                    .chain(&cluster.overlays)
                    .map(|path| join(&self.file, path))
                    .collect(),
                context: cluster.context.clone(),
            })
            .collect()
    }

    /// Everything that is wrong with the blueprints of the clusters that `is_chosen`, and every two entries of the fleet that
    /// are one cluster. Two kubeconfigs that lead to one API server are not known here: the plans tell.
    pub fn lint(&self, files: &dyn Files, today: Date, is_chosen: &dyn Fn(&str) -> bool) -> Problems {
        let mut problems = Vec::new();
        let mut places: BTreeMap<String, String> = BTreeMap::new();
        for (index, entry) in self.entries().into_iter().enumerate() {
            let mut found = Vec::new();
            let sources = self.sources(index, &entry, files, &mut found);
            if let Some(sources) = sources {
                match load_on(&sources, Ground::Real) {
                    Ok(loaded) => {
                        let wanted = loaded.wanted();
                        found.extend(self.context(index, &entry, &wanted));
                        found.extend(loaded.lint(files, today).into_vec());
                        let same = place(&wanted, entry.context.as_deref())
                            .into_iter()
                            .find_map(|place| Some((places.insert(place.clone(), entry.name.clone())?, place)));
                        if let Some((other, place)) = same {
                            let at = self.at(steps!["clusters", index, "blueprint"]);
                            let message = format!("`{}` is the same cluster as `{other}`: {place}", entry.name);
                            let hint = "give each its own `cluster.name` (in an overlay), or `context` in this file";
                            problems.push(Problem::error(at, message).hint(hint));
                        }
                    }
                    Err(wrong) => found.extend(wrong.into_vec()),
                }
            }
            if is_chosen(&entry.name) {
                problems.extend(found);
            }
        }
        Problems::new(problems)
    }

    /// The texts of an entry's files; `None` where one cannot be read.
    fn sources(
        &self,
        index: usize,
        entry: &FleetEntry,
        files: &dyn Files,
        problems: &mut Vec<Problem>,
    ) -> Option<Vec<Source>> {
        let before = problems.len();
        let mut sources = Vec::new();
        for (number, path) in entry.files.iter().enumerate() {
            match files.read(path) {
                Ok(text) => sources.push(Source { name: path.clone(), text }),
                Err(error) => {
                    let at = self.path_at(index, number);
                    problems.push(
                        Problem::error(at, format!("read {path}: {error}"))
                            .hint("paths are relative to the folder of the fleet file"),
                    );
                }
            }
        }
        (problems.len() == before).then_some(sources)
    }

    /// Where the number-th path of an entry is written.
    fn path_at(&self, index: usize, number: usize) -> &Position {
        let common = self.fleet.overlays.len();
        match number {
            0 => self.at(steps!["clusters", index, "blueprint"]),
            number if number <= common => self.at(steps!["overlays", number - 1]),
            number => self.at(steps!["clusters", index, "overlays", number - 1 - common]),
        }
    }

    fn context(&self, index: usize, entry: &FleetEntry, wanted: &Wanted) -> Option<Problem> {
        let provider = wanted.cluster.provider;
        (entry.context.is_some() && provider != ProviderKind::Existing).then(|| {
            let at = self.at(steps!["clusters", index, "context"]);
            let message = format!("`{}`: a context is for clusters of provider existing, not {provider}", entry.name);
            Problem::error(at, message).hint("remove `context`: the provider knows the way to its cluster")
        })
    }

    fn at(&self, path: &[Step<'_>]) -> &Position {
        self.tree.nearest(path)
    }
}

/// Everything that says which cluster it is.
fn place(wanted: &Wanted, context: Option<&str>) -> Vec<String> {
    let cluster = &wanted.cluster;
    let mut places: Vec<String> = cluster.uid.iter().map(|uid| format!("the cluster with uid {uid}")).collect();
    places.push(match cluster.provider {
        ProviderKind::Existing => {
            let context = context.or(cluster.context.as_deref());
            let context = context.map_or_else(|| "the current context".into(), |context| format!("context {context}"));
            let file = cluster.kubeconfig.as_ref().map(|file| format!(" of {file}")).unwrap_or_default();
            format!("{context}{file}")
        }
        provider @ (ProviderKind::Local
        | ProviderKind::Kind
        | ProviderKind::Gke
        | ProviderKind::Eks
        | ProviderKind::Aks) => format!("{provider} cluster {}", cluster.name),
    });
    places
}

#[cfg(test)]
mod tests {
    use super::super::MemoryFiles;
    use super::*;

    fn fleet(clusters: &str) -> LoadedFleet {
        let text = format!(
            "apiVersion: wbk-infra/v1\nkind: Fleet\nmetadata: {{name: all}}\noverlays: [common.yaml]\nclusters:\n{clusters}"
        );
        load_fleet(&Source { name: "fleets/all.yaml".into(), text }).unwrap()
    }

    fn files(pairs: &[(&str, &str)]) -> MemoryFiles {
        MemoryFiles(pairs.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned())).collect())
    }

    const EXISTING: &str =
        "apiVersion: wbk-infra/v1\nkind: Platform\nmetadata: {name: a}\ncluster: {provider: existing}\n";

    /// Errors; that the blueprint could be better is no question here.
    fn lint(fleet: &LoadedFleet, files: &MemoryFiles, chosen: &[&str]) -> String {
        let told = fleet.lint(files, jiff::civil::date(2026, 11, 22), &|name| chosen.contains(&name)).to_string();
        told.lines().filter(|line| line.contains(": error: ")).collect::<Vec<_>>().join("\n")
    }

    #[test]
    fn paths_are_relative_to_the_fleet_and_the_clusters_own_overlays_come_last() {
        let fleet = fleet("  - {name: a, blueprint: ../a.yaml, overlays: [own.yaml]}\n");
        assert_eq!(fleet.entries()[0].files, ["a.yaml", "fleets/common.yaml", "fleets/own.yaml"]);
    }

    #[test]
    fn contexts_tell_clusters_of_one_blueprint_apart() {
        let files = files(&[("a.yaml", EXISTING), ("fleets/common.yaml", "policy: {maxDeletes: 3}\n")]);
        let apart = fleet(
            "  - {name: a, blueprint: ../a.yaml, context: one}\n  - {name: b, blueprint: ../a.yaml, context: two}\n",
        );
        assert_eq!(lint(&apart, &files, &["a", "b"]), "");
        let same = fleet("  - {name: a, blueprint: ../a.yaml}\n  - {name: b, blueprint: ../a.yaml}\n");
        let told = lint(&same, &files, &["a"]);
        assert!(
            told.starts_with("fleets/all.yaml:7:26: error: `b` is the same cluster as `a`: the current context"),
            "{told}"
        );
    }

    #[test]
    fn what_is_not_chosen_may_be_broken() {
        let files = files(&[("a.yaml", EXISTING), ("fleets/common.yaml", "policy: {maxDeletes: 3}\n")]);
        let fleet = fleet("  - {name: a, blueprint: ../a.yaml}\n  - {name: b, blueprint: gone.yaml}\n");
        assert_eq!(lint(&fleet, &files, &["a"]), "");
        let told = lint(&fleet, &files, &["a", "b"]);
        assert!(
            told.starts_with("fleets/all.yaml:7:26: error: read fleets/gone.yaml: there is no such file; hint:"),
            "{told}"
        );
    }
}

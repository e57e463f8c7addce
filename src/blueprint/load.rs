//! Text to a checked blueprint: parse, merge, check, refuse, deserialise.

use std::sync::OnceLock;

use serde_json::Value;

use super::check::{Completeness, check};
use super::path::Step;
use super::problem::{Position, Problem, Problems};
use super::schema::{Blueprint, json_schema};
use super::yaml::{Content, Dialect, Node, read};
use super::{later, overlay};

/// One file of a blueprint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// Its name in positions, and what paths in it are relative to: `blueprints/local.yaml`.
    pub name: String,
    /// Its text.
    pub text: String,
}

/// What a file is called in messages about the whole of it.
pub(super) struct Words {
    /// What it is.
    pub noun: &'static str,
    /// What to do with a second document.
    pub second: &'static str,
    /// How to begin one that is empty.
    pub empty: &'static str,
}

const WORDS: Words = Words {
    noun: "blueprint",
    second: "give the second as its own file: -f base.yaml -f overlay.yaml",
    empty: "start with `apiVersion: wbk-infra/v1` and `kind: Platform`",
};

/// What a blueprint is read for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ground {
    /// To be carried out: what the tool cannot do yet is refused.
    Real,
    /// To be rehearsed: any provider's cluster can be played.
    Rehearsed,
}

/// A blueprint without a problem in it, and where each of its values was written.
#[derive(Debug, Clone)]
pub struct Loaded {
    /// The blueprint.
    pub blueprint: Blueprint,
    pub(crate) tree: Node,
}

/// The schema; made once, since it depends on nothing.
pub(super) fn schema() -> &'static Value {
    static SCHEMA: OnceLock<Value> = OnceLock::new();
    SCHEMA.get_or_init(json_schema)
}

/// Reads a blueprint: the first source, and overlays over it in order.
///
/// # Errors
/// Everything that is wrong in any of the files, at once: malformed YAML, duplicate and unknown keys, wrong types and formats,
/// what is missing, secrets written out, and sections that are not supported yet.
pub fn load(sources: &[Source]) -> Result<Loaded, Problems> {
    load_on(sources, Ground::Real)
}

/// As [`load`], for what the blueprint is read for.
///
/// # Errors
/// As [`load`]; on rehearsed ground, no provider is refused.
pub fn load_on(sources: &[Source], ground: Ground) -> Result<Loaded, Problems> {
    let schema = schema();
    let mut problems = Vec::new();
    let mut trees = Vec::new();
    for source in sources {
        let (tree, found) = parse(source, &WORDS);
        problems.extend(found);
        trees.extend(tree);
    }
    if trees.len() > 1 {
        for tree in &trees {
            problems.extend(check(tree, schema, Completeness::Part));
        }
    }
    let whole = trees.len() == sources.len();
    let merged = trees.into_iter().reduce(|base, over| overlay::merge(base, over, schema, schema));
    let Some(merged) = merged else {
        if sources.is_empty() {
            problems.push(Problem::error(&Position::start_of("blueprint"), "no blueprint was given"));
        }
        return Err(Problems::new(problems));
    };
    let tree = overlay::finish(merged, schema, schema);
    // Without one of the files, what is missing may be in that one.
    let completeness = if whole { Completeness::Whole } else { Completeness::Part };
    problems.extend(check(&tree, schema, completeness));
    problems.extend(later::refuse(&tree, ground));
    if !problems.is_empty() {
        return Err(Problems::new(problems));
    }
    match serde_json::from_value(tree.to_json()) {
        Ok(blueprint) => Ok(Loaded { blueprint, tree }),
        Err(error) => {
            let message = format!("this is a bug of wbk-infra: the checked blueprint was not understood ({error})");
            Err(Problems::new(vec![Problem::error(&tree.at, message)]))
        }
    }
}

/// Reads one file; `None` where there is no tree to go on with.
pub(super) fn parse(source: &Source, words: &Words) -> (Option<Node>, Vec<Problem>) {
    let (documents, mut problems) = read(&source.text, &source.name, Dialect::Strict);
    if let Some(second) = documents.get(1) {
        problems.push(Problem::error(&second.at, format!("a {} file has one document", words.noun)).hint(words.second));
    }
    let Some(tree) = documents.into_iter().next().filter(|tree| tree.content != Content::Null) else {
        if problems.is_empty() {
            problems.push(Problem::error(&Position::start_of(&source.name), "the file is empty").hint(words.empty));
        }
        return (None, problems);
    };
    if !matches!(tree.content, Content::Mapping(_)) {
        problems.push(Problem::error(&tree.at, format!("a {} is a mapping, not {}", words.noun, tree.describe())));
        return (None, problems);
    }
    (Some(tree), problems)
}

impl Loaded {
    /// Where a path of the blueprint was written, or the nearest part of it.
    pub(crate) fn at(&self, path: &[Step<'_>]) -> &Position {
        self.tree.nearest(path)
    }

    /// A path as a person writes it.
    pub(crate) fn show(&self, path: &[Step<'_>]) -> String {
        self.tree.show(path)
    }
}

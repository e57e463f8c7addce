//! How the server merges the lists of an object, read off its `managedFields`: by which keys, or as a set.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::field::{Element, FieldPath, FieldSet};

/// How a list is merged.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Shape {
    /// Item by item, by these keys.
    Keys(Vec<String>),
    /// Member by member.
    Set,
}

/// The lists of an object whose shape is known; one item of a list speaks for all that stand beside it.
#[derive(Debug, Default)]
pub(super) struct Shapes(BTreeMap<Vec<Option<String>>, Shape>);

impl Shapes {
    /// Reads the entries of all managers of these objects.
    pub(super) fn of(objects: &[&Value]) -> Self {
        let mut shapes = BTreeMap::new();
        let entries =
            objects.iter().filter_map(|object| object.pointer("/metadata/managedFields")?.as_array()).flatten();
        for entry in entries {
            FieldSet::of(&entry["fieldsV1"]).each(&mut |path| {
                let Some((last, list)) = path.0.split_last() else { return };
                let shape = match last {
                    Element::Item(keys) => Shape::Keys(keys.keys().cloned().collect()),
                    Element::Member(_) => Shape::Set,
                    Element::Field(_) | Element::Index(_) => return,
                };
                shapes.insert(pattern(list), shape);
            });
        }
        Self(shapes)
    }

    /// The shape of a list; `None` where it is changed as a whole, or nobody holds any of it.
    pub(super) fn at(&self, list: &FieldPath) -> Option<&Shape> {
        self.0.get(&pattern(&list.0))
    }
}

fn pattern(path: &[Element]) -> Vec<Option<String>> {
    path.iter()
        .map(|element| match element {
            Element::Field(name) => Some(name.clone()),
            Element::Item(_) | Element::Member(_) | Element::Index(_) => None,
        })
        .collect()
}

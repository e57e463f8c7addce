//! Which MIG partitions fit on which GPU, from dated data (`mig.json`, which names its sources).

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::Deserialize;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Data {
    as_of: String,
    #[cfg_attr(not(test), expect(dead_code, reason = "for who reads the data; a test sees that it is there"))]
    sources: Vec<String>,
    /// By layout, by compute slices of a profile: its memory slices and where they may begin.
    layouts: BTreeMap<String, BTreeMap<String, Vec<Placement>>>,
    models: Vec<Model>,
    without: Vec<Without>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Placement {
    memory: usize,
    starts: Vec<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Model {
    model: String,
    layout: String,
    /// How many of each fit on one GPU that has nothing else.
    profiles: BTreeMap<String, u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Without {
    prefix: String,
    why: String,
}

fn data() -> &'static Data {
    static DATA: OnceLock<Data> = OnceLock::new();
    DATA.get_or_init(|| serde_json::from_str(include_str!("mig.json")).expect("a test reads the data in the binary"))
}

/// Why a GPU cannot be partitioned as asked.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum MigProblem {
    /// The model has no MIG.
    #[error("{why}")]
    Without {
        /// One clause.
        why: String,
    },
    /// The table does not have the model.
    #[error("nothing is known of MIG on {model} (the table is of {as_of})")]
    UnknownModel {
        /// The model.
        model: String,
        /// The table's day.
        as_of: String,
        /// What it has.
        known: Vec<String>,
    },
    /// The model has no such profile.
    #[error("{model} has no profile {profile}")]
    UnknownProfile {
        /// The model.
        model: String,
        /// The profile.
        profile: String,
        /// What it has.
        known: Vec<String>,
    },
    /// They do not fit together.
    #[error("these profiles do not fit on one {model}")]
    DoNotFit {
        /// The model.
        model: String,
        /// How many of each fit alone: "7 of 1g.5gb, 2 of 3g.20gb".
        most: String,
    },
}

fn model(name: &str) -> Result<&'static Model, MigProblem> {
    let data = data();
    if let Some(found) = data.models.iter().find(|model| model.model == name) {
        return Ok(found);
    }
    // `nvidia-a10` is not the beginning of `nvidia-a100`: a model's parts end at a hyphen.
    let is_of = |prefix: &str| name.strip_prefix(prefix).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
    match data.without.iter().find(|without| is_of(&without.prefix)) {
        Some(without) => Err(MigProblem::Without { why: without.why.clone() }),
        None => Err(MigProblem::UnknownModel {
            model: name.to_owned(),
            as_of: data.as_of.clone(),
            known: data.models.iter().map(|model| model.model.clone()).collect(),
        }),
    }
}

/// How many partitions of one profile a GPU has when it has nothing else.
///
/// # Errors
/// The model has no MIG or is not known, or has no such profile.
pub(crate) fn instances(model_name: &str, profile: &str) -> Result<u32, MigProblem> {
    let model = model(model_name)?;
    model.profiles.get(profile).copied().ok_or_else(|| unknown(model, profile))
}

fn unknown(model: &Model, profile: &str) -> MigProblem {
    MigProblem::UnknownProfile {
        model: model.model.clone(),
        profile: profile.to_owned(),
        known: model.profiles.keys().cloned().collect(),
    }
}

/// Sees that partitions fit on one GPU together.
///
/// # Errors
/// The model has no MIG or is not known, has no such profile, or there is no place for all.
pub(crate) fn fits(model_name: &str, profiles: &BTreeMap<String, u32>) -> Result<(), MigProblem> {
    let model = model(model_name)?;
    let mut wanted = Vec::new();
    for (profile, count) in profiles {
        let most = *model.profiles.get(profile).ok_or_else(|| unknown(model, profile))?;
        if *count > most {
            return Err(too_many(model, profiles));
        }
        wanted.extend(std::iter::repeat_n(placement(model, profile), *count as usize));
    }
    // Large ones first: they have the fewest places.
    wanted.sort_by_key(|placement| std::cmp::Reverse(placement.map_or(0, |placement| placement.memory)));
    let fit = wanted.iter().all(Option::is_some) && place(&wanted.into_iter().flatten().collect::<Vec<_>>(), 0);
    if fit { Ok(()) } else { Err(too_many(model, profiles)) }
}

fn too_many(model: &Model, profiles: &BTreeMap<String, u32>) -> MigProblem {
    let of = |profile: &String| Some(format!("{} of {profile}", model.profiles.get(profile)?));
    let most: Vec<String> = profiles.keys().filter_map(of).collect();
    MigProblem::DoNotFit { model: model.model.clone(), most: most.join(", ") }
}

/// Where a profile may go. Of two with equal compute, the one of which fewer fit takes more memory; media extensions take
/// none of either.
fn placement(model: &Model, profile: &str) -> Option<&'static Placement> {
    let (compute, memory) = slices(profile)?;
    let layout = data().layouts.get(&model.layout)?.get(compute)?;
    let smallest = model
        .profiles
        .keys()
        .filter_map(|other| slices(other))
        .filter(|(other, _)| *other == compute)
        .map(|(_, memory)| memory)
        .min()?;
    if memory > smallest { layout.get(1) } else { layout.first() }
}

/// `1g.10gb+me` has 1 compute slice and 10 GB.
fn slices(profile: &str) -> Option<(&str, u32)> {
    let (compute, rest) = profile.split_once("g.")?;
    let memory = rest.split('+').next()?.strip_suffix("gb")?.parse().ok()?;
    Some((compute, memory))
}

/// Whether all have a place in what is free; eight slices and seven partitions at most, so trying all is nothing.
fn place(wanted: &[&Placement], taken: u16) -> bool {
    let Some((first, rest)) = wanted.split_first() else { return true };
    first.starts.iter().any(|start| {
        let mask = ((1_u16 << first.memory) - 1) << start;
        taken & mask == 0 && place(rest, taken | mask)
    })
}

/// The extended resource of a partition under MIG strategy `mixed`: `nvidia.com/mig-1g.5gb`, with `+` as `.`
/// (k8s-device-plugin v0.20.0, internal/rm/rm.go).
pub(crate) fn resource(profile: &str) -> String {
    format!("nvidia.com/mig-{}", profile.replace('+', "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fit(model: &str, profiles: &[(&str, u32)]) -> Result<(), MigProblem> {
        fits(model, &profiles.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect())
    }

    #[test]
    fn the_data_in_the_binary_is_complete() {
        let data = data();
        assert!(data.as_of.parse::<jiff::civil::Date>().is_ok());
        assert!(data.sources.len() >= 2);
        for model in &data.models {
            for (profile, most) in &model.profiles {
                assert!(placement(model, profile).is_some(), "{} {profile}", model.model);
                // As many as the sources say fit; and the placements agree that one more would not.
                assert_eq!(fit(&model.model, &[(profile, *most)]), Ok(()), "{} {profile}", model.model);
                if !profile.contains('+') {
                    let places = vec![placement(model, profile).unwrap(); *most as usize + 1];
                    assert!(!place(&places, 0), "{} {profile} fits once more", model.model);
                }
            }
        }
    }

    #[test]
    fn what_nvidia_calls_balanced_fits_and_what_overlaps_does_not() {
        assert_eq!(fit("nvidia-a100-40gb", &[("1g.5gb", 2), ("2g.10gb", 1), ("3g.20gb", 1)]), Ok(()));
        assert_eq!(fit("nvidia-h100-80gb", &[("4g.40gb", 1), ("3g.40gb", 1)]), Ok(()));
        assert_eq!(fit("nvidia-h100-80gb", &[("1g.10gb", 1), ("1g.20gb", 3)]), Ok(()));
        assert_eq!(fit("nvidia-a30", &[("1g.6gb", 2), ("2g.12gb", 1)]), Ok(()));
        for wrong in [&[("3g.40gb", 2), ("1g.10gb", 1)][..], &[("7g.80gb", 1), ("1g.10gb", 1)], &[("1g.10gb", 8)]] {
            assert!(matches!(fit("nvidia-h100-80gb", wrong), Err(MigProblem::DoNotFit { .. })), "{wrong:?}");
        }
    }

    #[test]
    fn a_model_without_mig_is_told_from_one_that_is_not_known() {
        assert!(matches!(instances("nvidia-l4", "1g.5gb"), Err(MigProblem::Without { .. })));
        assert!(matches!(instances("nvidia-l40s", "1g.5gb"), Err(MigProblem::Without { .. })));
        assert!(matches!(instances("nvidia-a100", "1g.5gb"), Err(MigProblem::UnknownModel { .. })));
        assert!(matches!(instances("nvidia-a100-40gb", "1g.6gb"), Err(MigProblem::UnknownProfile { .. })));
        assert_eq!(instances("nvidia-a100-40gb", "1g.10gb"), Ok(4));
    }

    #[test]
    fn resources_are_spelled_as_the_plugin_spells_them() {
        assert_eq!(resource("1g.5gb+me"), "nvidia.com/mig-1g.5gb.me");
    }
}

//! GPU models: what `nvidia-smi` and GPU feature discovery call them.

use serde::{Deserialize, Serialize};

/// What one GPU is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Model {
    /// As `nvidia-smi` calls it, `NVIDIA A100-SXM4-40GB`.
    pub name: String,
    /// The architecture, as GFD writes it, `ampere`; empty where it is not known.
    pub family: String,
    /// Memory in MiB.
    pub memory_mib: u64,
}

/// Portable name, product, architecture, MiB that `nvidia-smi` reports.
const KNOWN: &[(&str, &str, &str, u64)] = &[
    ("nvidia-a100-40gb", "NVIDIA A100-SXM4-40GB", "ampere", 40_960),
    ("nvidia-a100-80gb", "NVIDIA A100-SXM4-80GB", "ampere", 81_920),
    ("nvidia-a10g", "NVIDIA A10G", "ampere", 23_028),
    ("nvidia-b200", "NVIDIA B200", "blackwell", 183_359),
    ("nvidia-h100-80gb", "NVIDIA H100 80GB HBM3", "hopper", 81_559),
    ("nvidia-h200-141gb", "NVIDIA H200", "hopper", 143_771),
    ("nvidia-l4", "NVIDIA L4", "ada-lovelace", 23_034),
    ("nvidia-l40s", "NVIDIA L40S", "ada-lovelace", 46_068),
    ("nvidia-t4", "Tesla T4", "turing", 15_360),
    ("nvidia-v100-16gb", "Tesla V100-SXM2-16GB", "volta", 16_384),
];

/// What an unknown model has where nobody says.
const SOME_MEMORY: u64 = 16_384;

impl Model {
    /// A model by its portable name, or any name as it is.
    pub fn of(name: &str, memory_mib: Option<u64>) -> Self {
        let known = KNOWN.iter().find(|(portable, ..)| *portable == name || portable.starts_with(&format!("{name}-")));
        match known {
            Some((_, product, family, memory)) => Self {
                name: (*product).to_owned(),
                family: (*family).to_owned(),
                memory_mib: memory_mib.unwrap_or(*memory),
            },
            None => {
                Self { name: name.to_owned(), family: String::new(), memory_mib: memory_mib.unwrap_or(SOME_MEMORY) }
            }
        }
    }

    /// As a label's value: GFD replaces what a label may not hold.
    pub fn label(&self) -> String {
        let text: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() || "-_.".contains(c) { c } else { '-' })
            .take(63)
            .collect();
        text.trim_matches(|c: char| !c.is_ascii_alphanumeric()).to_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portable_name_is_known_and_any_other_is_taken_as_it_is() {
        assert_eq!(Model::of("nvidia-a100-40gb", None).label(), "NVIDIA-A100-SXM4-40GB");
        assert_eq!(Model::of("nvidia-h100", None).name, "NVIDIA H100 80GB HBM3", "without its size");
        assert_eq!(Model::of("Some GPU (fake)", Some(5)).label(), "Some-GPU--fake");
        assert_eq!(Model::of("x", Some(5)).memory_mib, 5);
    }
}

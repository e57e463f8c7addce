//! Which of an account's quotas a machine counts in.

use wbk_provider_api::Capacity;

use super::Machine;

/// A quota of EC2: so many vCPUs of some families at once, in one region.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Quota {
    /// Its code in Service Quotas, `L-417A185B`.
    pub code: &'static str,
    /// Its name there.
    pub name: &'static str,
}

/// The quotas of a group of families, by the letters that begin their names. Each code is one that ListServiceQuotas answered
/// (listings of AWS accounts in public repositories, compared); `None` where no two of them agree.
struct Families {
    letters: &'static [&'static str],
    on_demand: Quota,
    spot: Option<Quota>,
}

const FAMILIES: [Families; 8] = [
    Families {
        letters: &["a", "c", "d", "h", "i", "im", "is", "m", "r", "t", "z"],
        on_demand: Quota {
            code: "L-1216C47A",
            name: "Running On-Demand Standard (A, C, D, H, I, M, R, T, Z) instances",
        },
        spot: Some(Quota {
            code: "L-34B43A08",
            name: "All Standard (A, C, D, H, I, M, R, T, Z) Spot Instance Requests",
        }),
    },
    Families {
        letters: &["g", "gr", "vt"],
        on_demand: Quota { code: "L-DB2E81BA", name: "Running On-Demand G and VT instances" },
        spot: Some(Quota { code: "L-3819A6DF", name: "All G and VT Spot Instance Requests" }),
    },
    Families {
        letters: &["p"],
        on_demand: Quota { code: "L-417A185B", name: "Running On-Demand P instances" },
        spot: Some(Quota { code: "L-7212CCBC", name: "All P Spot Instance Requests" }),
    },
    Families {
        letters: &["inf"],
        on_demand: Quota { code: "L-1945791B", name: "Running On-Demand Inf instances" },
        spot: Some(Quota { code: "L-B5D1601B", name: "All Inf Spot Instance Requests" }),
    },
    Families {
        letters: &["trn"],
        on_demand: Quota { code: "L-2C3B7624", name: "Running On-Demand Trn instances" },
        spot: Some(Quota { code: "L-6B0D517C", name: "All Trn Spot Instance Requests" }),
    },
    Families {
        letters: &["f"],
        on_demand: Quota { code: "L-74FC7D96", name: "Running On-Demand F instances" },
        spot: Some(Quota { code: "L-88CF9481", name: "All F Spot Instance Requests" }),
    },
    Families {
        letters: &["x"],
        on_demand: Quota { code: "L-7295265B", name: "Running On-Demand X instances" },
        spot: Some(Quota { code: "L-E3A00192", name: "All X Spot Instance Requests" }),
    },
    Families {
        letters: &["hpc"],
        on_demand: Quota { code: "L-F7808C92", name: "Running On-Demand HPC instances" },
        spot: None,
    },
];

/// The quota that a node counts in with its vCPUs; `None` where it is not known. Nodes of a capacity block count in none of these.
pub fn quota(machine: &Machine, capacity: Capacity) -> Option<Quota> {
    let families = FAMILIES.iter().find(|families| families.letters.contains(&machine.letters()))?;
    match capacity {
        Capacity::OnDemand => Some(families.on_demand),
        Capacity::Spot => families.spot,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::{machine, machines};

    #[test]
    fn a_machine_counts_in_its_familys_quota() {
        for (name, capacity, code) in [
            ("m7i.xlarge", Capacity::OnDemand, "L-1216C47A"),
            ("im4gn.large", Capacity::Spot, "L-34B43A08"),
            ("g6.xlarge", Capacity::Spot, "L-3819A6DF"),
            ("gr6.4xlarge", Capacity::OnDemand, "L-DB2E81BA"),
            ("p5en.48xlarge", Capacity::OnDemand, "L-417A185B"),
            ("p6-b200.48xlarge", Capacity::Spot, "L-7212CCBC"),
            ("trn1.32xlarge", Capacity::OnDemand, "L-2C3B7624"),
        ] {
            assert_eq!(quota(machine(name).unwrap(), capacity).map(|quota| quota.code), Some(code), "{name}");
        }
        assert_eq!(quota(machine("hpc7g.16xlarge").unwrap(), Capacity::Spot), None);
    }

    #[test]
    fn only_the_largest_memory_machines_and_two_accelerators_of_others_have_no_quota_here() {
        let without = |machine: &&Machine| quota(machine, Capacity::OnDemand).is_none();
        let letters: std::collections::BTreeSet<&str> = machines().filter(without).map(Machine::letters).collect();
        assert_eq!(letters, ["dl", "u"].into());
    }
}

//! Quantities of capacity: written as a kubelet writes them, compared by value (the API server respells them).

/// CPU in Kubernetes' spelling.
pub(super) fn cpu(millis: u64) -> String {
    if millis.is_multiple_of(1000) { (millis / 1000).to_string() } else { format!("{millis}m") }
}

/// Memory in Kubernetes' spelling.
pub(super) fn memory(bytes: u64) -> String {
    if bytes.is_multiple_of(1024) { format!("{}Ki", bytes / 1024) } else { bytes.to_string() }
}

/// Whether two spellings mean the same amount.
pub(super) fn same(left: &str, right: &str) -> bool {
    left == right || matches!((millis(left), millis(right)), (Some(left), Some(right)) if left == right)
}

fn millis(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let value: i128 = digits.parse().ok()?;
    let factor: i128 = match suffix {
        "m" => 1,
        "" => 1000,
        "k" => 1000_i128.pow(2),
        "M" => 1000_i128.pow(3),
        "G" => 1000_i128.pow(4),
        "T" => 1000_i128.pow(5),
        "P" => 1000_i128.pow(6),
        "Ki" => 1000 << 10,
        "Mi" => 1000 << 20,
        "Gi" => 1000 << 30,
        "Ti" => 1000 << 40,
        "Pi" => 1000 << 50,
        _ => return None,
    };
    value.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_of_one_amount_are_the_same() {
        for (left, right) in [("4000m", "4"), ("16G", "16000000000"), ("1Gi", "1048576Ki"), ("8", "8")] {
            assert!(same(left, right), "{left} {right}");
        }
        assert!(!same("1G", "1Gi"));
        assert!(!same("4", "5"));
        assert_eq!((cpu(4000), cpu(3920)), ("4".into(), "3920m".into()));
    }
}

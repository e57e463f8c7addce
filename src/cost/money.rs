//! Dollars an hour. Kept as whole millionths, so that parts add up to the whole exactly.

use std::fmt;
use std::iter::Sum;
use std::ops::{Add, AddAssign};

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// US dollars an hour, in millionths of a dollar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default, JsonSchema)]
#[schemars(with = "f64")]
pub struct UsdPerHour(u64);

/// Millionths of a dollar.
const DOLLAR: u64 = 1_000_000;
/// Millionths in a cent.
const CENT: u64 = DOLLAR / 100;
/// A price above it is a slip of the pen: the dearest machine of the list costs 360 dollars an hour.
const MOST: f64 = 1e6;

impl UsdPerHour {
    /// Nothing.
    pub const ZERO: Self = Self(0);

    /// So many millionths of a dollar.
    pub fn micros(micros: u64) -> Self {
        Self(micros)
    }

    /// So many dollars, to the nearest millionth; `None` for what is no price: negative, not finite, or above a million.
    pub fn dollars(dollars: f64) -> Option<Self> {
        // In range: at most 1e12.
        ((0.0..=MOST).contains(&dollars)).then(|| Self((dollars * DOLLAR as f64).round() as u64))
    }

    /// Reads `1.25`.
    pub fn parse(text: &str) -> Option<Self> {
        let digits = text.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
        if digits { text.parse().ok().and_then(Self::dollars) } else { None } // Two points: not a price.
    }

    /// As millionths of a dollar.
    pub fn as_micros(self) -> u64 {
        self.0
    }

    /// In dollars, for a drawing or a program.
    pub fn as_dollars(self) -> f64 {
        self.0 as f64 / DOLLAR as f64
    }

    /// So many times as much.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(count))
    }

    /// What is left when `other` is taken away; nothing where that is more.
    #[must_use]
    pub fn less(self, other: Self) -> Self {
        Self(self.0.saturating_sub(other.0))
    }

    /// The part `part` of `whole`, rounded down; nothing of a whole that is nothing.
    #[must_use]
    pub fn part(self, part: u128, whole: u128) -> Self {
        let exact = u128::from(self.0).saturating_mul(part.min(whole)).checked_div(whole).unwrap_or(0);
        Self(u64::try_from(exact).unwrap_or(self.0)) // A part is no more than the whole.
    }

    /// Splits it by weights; the parts add up to it exactly. What division leaves over goes to those that it cut the most, the
    /// first of equals before the others. Without any weight everything is nothing, and so is the sum.
    pub fn split(self, weights: &[u128]) -> Vec<Self> {
        apportion(self.0, weights).into_iter().map(Self).collect()
    }
}

/// `amount` in proportion to `weights`, by the largest remainder.
fn apportion(amount: u64, weights: &[u128]) -> Vec<u64> {
    let whole: u128 = weights.iter().sum();
    if whole == 0 {
        return vec![0; weights.len()];
    }
    let exact = |weight: u128| u128::from(amount) * weight;
    // Each is at most the amount.
    let mut parts: Vec<u64> = weights.iter().map(|weight| (exact(*weight) / whole) as u64).collect();
    let mut order: Vec<usize> = (0..weights.len()).collect();
    order.sort_by_key(|at| std::cmp::Reverse(exact(weights[*at]) % whole));
    let left = amount - parts.iter().sum::<u64>();
    // Fewer are left over than there are parts.
    for at in order.into_iter().take(usize::try_from(left).unwrap_or(usize::MAX)) {
        parts[at] += 1;
    }
    parts
}

/// Whole cents of a column of amounts: they add up to the rounded sum, so that a reader who adds finds no cent missing.
pub fn cents(amounts: &[UsdPerHour]) -> Vec<u64> {
    let sum: u64 = amounts.iter().map(|amount| amount.0).sum();
    apportion((sum + CENT / 2) / CENT, &amounts.iter().map(|amount| u128::from(amount.0)).collect::<Vec<_>>())
}

impl fmt::Display for UsdPerHour {
    /// `$1,234.50`, without "an hour".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&spelled((self.0 + CENT / 2) / CENT))
    }
}

/// Cents as dollars: `$1,234.50`.
pub fn spelled(cents: u64) -> String {
    let whole = (cents / 100).to_string();
    let mut grouped = String::new();
    for (at, digit) in whole.chars().enumerate() {
        if at > 0 && (whole.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("${grouped}.{:02}", cents % 100)
}

impl Add for UsdPerHour {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl AddAssign for UsdPerHour {
    fn add_assign(&mut self, other: Self) {
        *self = *self + other;
    }
}

impl Sum for UsdPerHour {
    fn sum<I: Iterator<Item = Self>>(amounts: I) -> Self {
        amounts.fold(Self::ZERO, Add::add)
    }
}

impl Serialize for UsdPerHour {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_f64(self.as_dollars())
    }
}

impl<'de> Deserialize<'de> for UsdPerHour {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let dollars = f64::deserialize(deserializer)?;
        Self::dollars(dollars).ok_or_else(|| serde::de::Error::custom(format!("{dollars} is no price")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn prices_are_read_and_written() {
        let price = |text: &str| UsdPerHour::parse(text).map(UsdPerHour::as_micros);
        assert_eq!(price("55.04"), Some(55_040_000));
        assert_eq!(price("0.00838"), Some(8_380));
        assert_eq!(price("12"), Some(12_000_000));
        for wrong in ["", ".", "-1", "1e3", "NaN", "inf", "1.2.3", " 1", "1000001"] {
            assert_eq!(price(wrong), None, "{wrong}");
        }
        let shown = |micros| UsdPerHour::micros(micros).to_string();
        assert_eq!(shown(1_234_567_890_000), "$1,234,567.89");
        assert_eq!((shown(5_000), shown(4_999), shown(999_999)), ("$0.01".into(), "$0.00".into(), "$1.00".into()));
        let there: UsdPerHour =
            serde_json::from_str(&serde_json::to_string(&UsdPerHour::micros(378_530)).unwrap()).unwrap();
        assert_eq!(there, UsdPerHour::micros(378_530));
    }

    #[test]
    fn a_third_each_is_the_whole() {
        let parts = UsdPerHour::micros(100).split(&[1, 1, 1]);
        assert_eq!(parts.iter().map(|part| part.as_micros()).collect::<Vec<_>>(), [34, 33, 33]);
        assert_eq!(UsdPerHour::micros(100).split(&[0, 0]), [UsdPerHour::ZERO; 2]);
        assert_eq!(cents(&[UsdPerHour::micros(5_000), UsdPerHour::micros(5_000)]), [1, 0]);
    }

    proptest! {
        #[test]
        fn parts_add_up_and_none_is_off_by_more_than_a_millionth(
            amount in 0..1_000_000_000_u64, weights in proptest::collection::vec(0..1_000_000_000_000_u128, 1..40),
        ) {
            let whole: u128 = weights.iter().sum();
            prop_assume!(whole > 0);
            let parts = UsdPerHour::micros(amount).split(&weights);
            prop_assert_eq!(parts.iter().copied().sum::<UsdPerHour>(), UsdPerHour::micros(amount));
            for (part, weight) in parts.iter().zip(&weights) {
                let exact = u128::from(amount) * weight;
                let scaled = u128::from(part.as_micros()) * whole;
                prop_assert!(scaled.abs_diff(exact) < whole);
            }
        }

        #[test]
        fn columns_add_up_to_the_cent(amounts in proptest::collection::vec(0..1_000_000_000_u64, 0..40)) {
            let amounts: Vec<UsdPerHour> = amounts.into_iter().map(UsdPerHour::micros).collect();
            let sum = amounts.iter().copied().sum::<UsdPerHour>();
            prop_assert_eq!(spelled(cents(&amounts).iter().sum()), sum.to_string());
        }
    }
}

//! Kubernetes quantities: `500m`, `16`, `1Ti`, `1e3`; exact, so that comparing never rounds.

use std::fmt;
use std::str::FromStr;

use serde_json::Value;

/// An amount, in billionths of its unit (Kubernetes' own finest step, `n`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Quantity(i128);

/// A text that is no quantity.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a quantity")]
pub struct NotAQuantity(String);

const NANO: i128 = 1_000_000_000;

impl Quantity {
    /// A whole number of units.
    pub fn whole(units: i64) -> Self {
        Self(i128::from(units) * NANO)
    }

    /// A number of thousandths.
    pub fn millis(millis: i64) -> Self {
        Self(i128::from(millis) * (NANO / 1000))
    }

    /// Reads a JSON string or number.
    pub fn of(value: &Value) -> Option<Self> {
        match value {
            Value::String(text) => text.parse().ok(), // a text that is no quantity is no amount
            Value::Number(number) => number.to_string().parse().ok(),
            Value::Null | Value::Bool(_) | Value::Array(_) | Value::Object(_) => None,
        }
    }

    /// Whole units, rounded up.
    pub fn units_rounded_up(self) -> i128 {
        self.0.div_euclid(NANO) + i128::from(self.0.rem_euclid(NANO) != 0)
    }

    /// Whole thousandths, rounded up.
    pub fn millis_rounded_up(self) -> i128 {
        const MILLI: i128 = NANO / 1000;
        self.0.div_euclid(MILLI) + i128::from(self.0.rem_euclid(MILLI) != 0)
    }

    /// So many times the amount.
    #[must_use]
    pub fn times(self, count: u64) -> Self {
        Self(self.0.saturating_mul(i128::from(count)))
    }

    /// The amount divided by `parts`, rounded up.
    #[must_use]
    pub fn divided_up(self, parts: i128) -> Self {
        Self(self.0.div_euclid(parts) + i128::from(self.0.rem_euclid(parts) != 0))
    }

    /// So many hundredths of the amount, rounded down.
    #[must_use]
    pub fn hundredths(self, hundredths: i64) -> Self {
        Self(self.0.saturating_mul(i128::from(hundredths)).div_euclid(100))
    }

    /// How many of `part` it takes to reach this amount; at least one.
    pub fn parts_of(self, part: Self) -> i128 {
        if part.0 <= 0 {
            i128::MAX
        } else {
            (self.0.div_euclid(part.0) + i128::from(self.0.rem_euclid(part.0) != 0)).max(1)
        }
    }
}

impl std::ops::Add for Quantity {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self(self.0.saturating_add(other.0))
    }
}

impl FromStr for Quantity {
    type Err = NotAQuantity;

    fn from_str(text: &str) -> Result<Self, NotAQuantity> {
        let wrong = || NotAQuantity(text.to_owned());
        let trimmed = text.trim();
        let end = trimmed
            .char_indices()
            .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && matches!(c, '+' | '-'))))
            .map_or(trimmed.len(), |(at, _)| at);
        let (number, suffix) = trimmed.split_at(end);
        let (negative, digits) = match number.as_bytes().first() {
            Some(b'-') => (true, &number[1..]),
            Some(b'+') => (false, &number[1..]),
            _ => (false, number),
        };
        let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(wrong());
        }
        let (factor, divisor) = scale(suffix).ok_or_else(wrong)?;
        let digits: i128 = format!("{whole}{fraction}").parse().map_err(|_| wrong())?;
        let tenths = 10_i128.checked_pow(u32::try_from(fraction.len()).map_err(|_| wrong())?).ok_or_else(wrong)?;
        let scaled = digits.checked_mul(factor).ok_or_else(wrong)?;
        let divisor = tenths.checked_mul(divisor).ok_or_else(wrong)?;
        // Kubernetes rounds what is finer than a billionth up, away from zero.
        let amount = scaled.div_euclid(divisor) + i128::from(scaled.rem_euclid(divisor) != 0);
        Ok(Self(if negative { -amount } else { amount }))
    }
}

/// A suffix as a factor to billionths, over a divisor.
fn scale(suffix: &str) -> Option<(i128, i128)> {
    let binary = |power: u32| Some((NANO * 1024_i128.pow(power), 1));
    let decimal = |power: u32| Some((NANO * 1000_i128.pow(power), 1));
    match suffix {
        "" => decimal(0),
        "n" => Some((1, 1)),
        "u" => Some((1_000, 1)),
        "m" => Some((1_000_000, 1)),
        "k" => decimal(1),
        "M" => decimal(2),
        "G" => decimal(3),
        "T" => decimal(4),
        "P" => decimal(5),
        "E" => decimal(6),
        "Ki" => binary(1),
        "Mi" => binary(2),
        "Gi" => binary(3),
        "Ti" => binary(4),
        "Pi" => binary(5),
        "Ei" => binary(6),
        other => {
            let exponent: i32 = other.strip_prefix(['e', 'E'])?.parse().ok()?; // not a number: not a quantity
            let power = 10_i128.checked_pow(exponent.unsigned_abs())?;
            if exponent < 0 { Some((NANO, power)) } else { NANO.checked_mul(power).map(|factor| (factor, 1)) }
        }
    }
}

impl fmt::Display for Quantity {
    /// The shortest of the usual spellings: `16`, `1500m`, `1Ti`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 % NANO != 0 {
            let finer = [(1_000_000, "m"), (1_000, "u"), (1, "n")];
            let (step, unit) = finer.into_iter().find(|(step, _)| self.0 % step == 0).unwrap_or((1, "n"));
            return write!(f, "{}{unit}", self.0 / step);
        }
        let units = self.0 / NANO;
        for (power, unit) in [(6, "Ei"), (5, "Pi"), (4, "Ti"), (3, "Gi"), (2, "Mi"), (1, "Ki")] {
            let step = 1024_i128.pow(power);
            if units != 0 && units % step == 0 {
                return write!(f, "{}{unit}", units / step);
            }
        }
        write!(f, "{units}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn q(text: &str) -> Quantity {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn spellings_of_one_amount_are_equal() {
        for (a, b) in [
            ("1000m", "1"),
            ("1Ki", "1024"),
            ("0.5", "500m"),
            ("1e3", "1k"),
            ("1E3", "1000"),
            ("1.5Gi", "1536Mi"),
            ("+2", "2"),
            ("0", "0Gi"),
            ("5e-1", "500m"),
            ("1E", "1000P"),
        ] {
            assert_eq!(q(a), q(b), "{a} {b}");
        }
        assert!(q("1T") < q("1Ti"));
        assert!(q("-1") < q("0"));
    }

    #[test]
    fn what_is_no_quantity_is_refused() {
        for text in ["", "m", "1 Gi", "1gi", "abc", "1.2.3", "--1", "1e", "."] {
            assert!(text.parse::<Quantity>().is_err(), "{text}");
        }
    }

    #[test]
    fn amounts_print_in_usual_spelling() {
        assert_eq!(q("1024Gi").to_string(), "1Ti");
        assert_eq!(q("1500m").to_string(), "1500m");
        assert_eq!(q("16").to_string(), "16");
        assert_eq!(q("0").to_string(), "0");
    }

    #[test]
    fn parts_reach_the_amount() {
        assert_eq!(q("17").parts_of(q("8")), 3);
        assert_eq!(q("16").parts_of(q("8")), 2);
        assert_eq!(q("100m").parts_of(q("8")), 1);
        assert_eq!(q("16").hundredths(90), q("14400m"));
        assert_eq!(q("17").divided_up(3) + q("17").divided_up(3) + q("17").divided_up(3), q("17") + q("1n"));
    }
}

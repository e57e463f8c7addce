//! Quantities with their units: `500m`, `1Ti`, `2h`. Each is parsed once, keeps a canonical spelling, and is the type of
//! its fields, so that no number without a unit travels through the code.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// CPU, in thousandths of a core.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Cpu {
    /// Thousandths of a core.
    pub millis: u64,
}

/// Memory or storage, in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(pub u64);

/// A length of time, in whole seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Seconds(pub u64);

const BINARY: [(&str, u32); 6] = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, u32); 6] = [("k", 3), ("M", 6), ("G", 9), ("T", 12), ("P", 15), ("E", 18)];
const TIME: [(&str, u64); 4] = [("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)];

/// Splits `1.5` into 15 and 1 (the number of decimals).
fn decimal(text: &str) -> Option<(u128, u32)> {
    let (whole, fraction) = text.split_once('.').unwrap_or((text, ""));
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || (text.contains('.') && fraction.is_empty()) {
        return None;
    }
    // 9 decimals: below a billionth nothing here has a meaning.
    if fraction.len() > 9 || whole.len() > 20 {
        return None;
    }
    Some((format!("{whole}{fraction}").parse().ok()?, u32::try_from(fraction.len()).ok()?))
}

impl Cpu {
    /// Parses cores (`16`, `0.5`) or thousandths (`500m`).
    pub fn parse(text: &str) -> Option<Self> {
        let (number, unit) = match text.strip_suffix('m') {
            Some(number) => (number, 1),
            None => (text, 1000),
        };
        let (digits, decimals) = decimal(number)?;
        let scaled = digits.checked_mul(unit)?;
        let divisor = 10u128.pow(decimals);
        if !scaled.is_multiple_of(divisor) {
            return None;
        }
        u64::try_from(scaled / divisor).ok().map(|millis| Self { millis })
    }
}

impl fmt::Display for Cpu {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.millis.is_multiple_of(1000) {
            write!(f, "{}", self.millis / 1000)
        } else {
            write!(f, "{}m", self.millis)
        }
    }
}

impl Bytes {
    /// Parses bytes with a binary (`Ki` to `Ei`) or decimal (`k` to `E`) suffix, or with none.
    pub fn parse(text: &str) -> Option<Self> {
        let (number, factor) = BINARY
            .iter()
            .find_map(|(suffix, power)| text.strip_suffix(suffix).map(|number| (number, 1u128 << power)))
            .or_else(|| {
                DECIMAL
                    .iter()
                    .find_map(|(suffix, power)| text.strip_suffix(suffix).map(|number| (number, 10u128.pow(*power))))
            })
            .unwrap_or((text, 1));
        let (digits, decimals) = decimal(number)?;
        let scaled = digits.checked_mul(factor)?;
        let divisor = 10u128.pow(decimals);
        if !scaled.is_multiple_of(divisor) {
            return None;
        }
        // Kubernetes' quantities are signed 64-bit numbers.
        u64::try_from(scaled / divisor).ok().filter(|bytes| i64::try_from(*bytes).is_ok()).map(Self)
    }
}

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let binary = BINARY.iter().rev().map(|(suffix, power)| (*suffix, 1u64 << power));
        let decimal = DECIMAL.iter().rev().map(|(suffix, power)| (*suffix, 10u64.pow(*power)));
        // The fewest digits; binary where both have as many.
        let shortest = binary
            .chain(decimal)
            .filter(|(_, factor)| self.0 != 0 && self.0.is_multiple_of(*factor))
            .min_by_key(|(_, factor)| (self.0 / factor).ilog10());
        if let Some((suffix, factor)) = shortest {
            return write!(f, "{}{suffix}", self.0 / factor);
        }
        write!(f, "{}", self.0)
    }
}

impl Seconds {
    /// Parses `90s`, `2h`, `1h30m`, `7d`: units from large to small, each once.
    pub fn parse(text: &str) -> Option<Self> {
        let mut rest = text;
        let mut total = 0u64;
        for (unit, factor) in TIME {
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            if digits > 0 && rest[digits..].starts_with(unit) {
                total = total.checked_add(rest[..digits].parse::<u64>().ok()?.checked_mul(factor)?)?;
                rest = &rest[digits + unit.len()..];
            }
        }
        (rest.is_empty() && !text.is_empty()).then_some(Self(total))
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut rest = self.0;
        for (unit, factor) in TIME {
            if rest >= factor {
                write!(f, "{}{unit}", rest / factor)?;
                rest %= factor;
            }
        }
        if self.0 == 0 { f.write_str("0s") } else { Ok(()) }
    }
}

/// A quantity of any resource, kept as Kubernetes writes it: `16`, `500m`, `1Ti`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Quantity(String);

impl Quantity {
    /// Parses what is a CPU amount or an amount of bytes, and writes it canonically.
    pub fn parse(text: &str) -> Option<Self> {
        Cpu::parse(text)
            .map(|cpu| Self(cpu.to_string()))
            .or_else(|| Bytes::parse(text).map(|bytes| Self(bytes.to_string())))
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Gives a quantity its serde and schema forms: written as a string or a number, with a `format` that the checker knows.
macro_rules! quantity {
    ($type:ty, $name:literal, $format:literal, $numbers:expr, $description:literal) => {
        impl<'de> Deserialize<'de> for $type {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = match serde_json::Value::deserialize(deserializer)? {
                    serde_json::Value::String(text) => text,
                    other => other.to_string(),
                };
                Self::parse(&text).ok_or_else(|| de::Error::custom(concat!("not a ", $format)))
            }
        }

        impl Serialize for $type {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }

        impl JsonSchema for $type {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> Cow<'static, str> {
                $name.into()
            }

            fn json_schema(_: &mut SchemaGenerator) -> Schema {
                let types: &[&str] = if $numbers { &["string", "number"] } else { &["string"] };
                json_schema!({"type": types, "format": $format, "description": $description})
            }
        }
    };
}

quantity!(Cpu, "Cpu", "cpu", true, "CPU in cores or thousandths: `16`, `0.5`, `500m`.");
quantity!(Bytes, "Bytes", "bytes", true, "Bytes with a binary or decimal suffix: `1Ti`, `512Mi`, `20G`.");
quantity!(Seconds, "Seconds", "duration", false, "A length of time: `90s`, `2h`, `1h30m`, `7d`.");
quantity!(Quantity, "Quantity", "quantity", true, "An amount of any resource: `16`, `500m`, `1Ti`.");

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quantities_are_read_and_written_canonically() {
        let cpu = |text| Cpu::parse(text).map(|value| value.to_string());
        assert_eq!(cpu("16"), Some("16".into()));
        assert_eq!(cpu("0.5"), Some("500m".into()));
        assert_eq!(cpu("2000m"), Some("2".into()));
        for bad in ["", "m", "-1", "1.", ".5", "1e3", "0.0001", "1Gi", "1 ", "１"] {
            assert_eq!(cpu(bad), None, "{bad:?}");
        }
        let bytes = |text| Bytes::parse(text).map(|value| value.to_string());
        assert_eq!(bytes("1024Gi"), Some("1Ti".into()));
        assert_eq!(bytes("1.5Gi"), Some("1536Mi".into()));
        assert_eq!(bytes("20G"), Some("20G".into()));
        assert_eq!(bytes("0"), Some("0".into()));
        for bad in ["", "Gi", "1gb", "1K", "8Ei", "-1", "1m", "99999999999999999999"] {
            assert_eq!(bytes(bad), None, "{bad:?}");
        }
        let time = |text| Seconds::parse(text).map(|value| value.to_string());
        assert_eq!(time("1h30m"), Some("1h30m".into()));
        assert_eq!(time("90s"), Some("1m30s".into()));
        assert_eq!(time("7d"), Some("7d".into()));
        for bad in ["", "h", "1", "1m1h", "1h1h", "-1s", "1.5h"] {
            assert_eq!(time(bad), None, "{bad:?}");
        }
    }

    proptest! {
        #[test]
        fn the_canonical_spelling_reads_back_the_same(number in 0u64..=i64::MAX as u64) {
            prop_assert_eq!(Cpu::parse(&Cpu { millis: number }.to_string()), Some(Cpu { millis: number }));
            prop_assert_eq!(Bytes::parse(&Bytes(number).to_string()), Some(Bytes(number)));
            prop_assert_eq!(Seconds::parse(&Seconds(number).to_string()), Some(Seconds(number)));
        }

        #[test]
        fn never_panics(text in "\\PC{0,30}|[0-9.mKkMGTPEidhs]{0,30}") {
            let _unused = (Cpu::parse(&text), Bytes::parse(&text), Seconds::parse(&text), Quantity::parse(&text));
        }
    }
}

//! What a plain scalar means. Two tables: the YAML 1.2 core schema, and YAML 1.1 as go-yaml v2 implements it, which is
//! what kubectl and Helm read (`resolve.go` of go.yaml.in/yaml/v2, behind sigs.k8s.io/yaml).

use serde_json::Number;

/// A resolved scalar.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Scalar {
    Null,
    Bool(bool),
    Number(Number),
    /// Infinity or not-a-number, which JSON cannot say.
    NotJson,
    String,
}

/// YAML 1.2 core schema, <https://yaml.org/spec/1.2.2/#103-core-schema>.
pub(super) fn core(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "true" | "True" | "TRUE" => return Scalar::Bool(true),
        "false" | "False" | "FALSE" => return Scalar::Bool(false),
        _ => {}
    }
    if is_special_float(text) {
        return Scalar::NotJson;
    }
    if let Some(digits) = text.strip_prefix("0o") {
        return radix(false, digits, 8);
    }
    if let Some(digits) = text.strip_prefix("0x") {
        return radix(false, digits, 16);
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !unsigned.is_empty() && unsigned.bytes().all(|byte| byte.is_ascii_digit()) {
        return decimal(text);
    }
    if is_float(text) { float(text) } else { Scalar::String }
}

/// YAML 1.1 as go-yaml v2 reads it: more booleans, octals with a leading zero, underscores, binary.
pub(super) fn go_yaml(text: &str) -> Scalar {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Scalar::Null,
        "y" | "Y" | "yes" | "Yes" | "YES" | "true" | "True" | "TRUE" | "on" | "On" | "ON" => return Scalar::Bool(true),
        "n" | "N" | "no" | "No" | "NO" | "false" | "False" | "FALSE" | "off" | "Off" | "OFF" => {
            return Scalar::Bool(false);
        }
        _ => {}
    }
    if is_special_float(text) {
        return Scalar::NotJson;
    }
    match text.as_bytes()[0] {
        // Go's ParseFloat takes an underscore between two digits, and nowhere else.
        b'.' if underscores_separate_digits(text) && is_float(&text.replace('_', "")) => finite(&text.replace('_', "")),
        b'+' | b'-' | b'0'..=b'9' => {
            let plain = text.replace('_', "");
            match go_int(&plain) {
                Scalar::String if is_float(&plain) => finite(&plain),
                other => other,
            }
        }
        _ => Scalar::String,
    }
}

/// Whether YAML 1.1 (of any implementation) reads the plain scalar otherwise than YAML 1.2 does.
pub(super) fn is_ambiguous(text: &str) -> bool {
    if is_sexagesimal(text) {
        return true;
    }
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    // `0777` is 511 or 777, `08` an error, a string or 8; `0o17` is a string to a strict YAML 1.1 reader.
    let padded = unsigned.len() > 1 && unsigned.starts_with('0') && unsigned.bytes().all(|byte| byte.is_ascii_digit());
    let octal = unsigned.strip_prefix("0o").is_some_and(|digits| radix(false, digits, 8) != Scalar::String);
    padded || octal || core(text) != go_yaml(text)
}

/// `1:30`, which is 90 to YAML 1.1.
fn is_sexagesimal(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let mut parts = unsigned.split(':');
    let first = parts.next().unwrap_or_default();
    let rest: Vec<&str> = parts.collect();
    let digits = |part: &str| !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit() || byte == b'_');
    let Some((last, middle)) = rest.split_last() else { return false };
    let last = last.split_once('.').map_or(*last, |(whole, _)| whole);
    digits(first)
        && first.as_bytes()[0].is_ascii_digit()
        && middle
            .iter()
            .chain([&last])
            .all(|part| digits(part) && (part.len() == 1 || part.len() == 2 && **part < *"60"))
}

fn is_special_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    matches!(unsigned, ".inf" | ".Inf" | ".INF") || matches!(text, ".nan" | ".NaN" | ".NAN")
}

/// `[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?`
fn is_float(text: &str) -> bool {
    let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
    let (mantissa, exponent) = match unsigned.find(['e', 'E']) {
        Some(index) => (&unsigned[..index], Some(&unsigned[index + 1..])),
        None => (unsigned, None),
    };
    let digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
    let mantissa_ok = match mantissa.split_once('.') {
        Some((whole, fraction)) => digits(whole) && digits(fraction) && !(whole.is_empty() && fraction.is_empty()),
        None => !mantissa.is_empty() && digits(mantissa),
    };
    let exponent_ok = exponent.is_none_or(|part| {
        let part = part.strip_prefix(['+', '-']).unwrap_or(part);
        !part.is_empty() && digits(part)
    });
    mantissa_ok && exponent_ok
}

/// Go's `strconv.ParseInt(text, 0, 64)`, then `ParseUint`; `String` where both fail.
fn go_int(text: &str) -> Scalar {
    let negative = text.starts_with('-');
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    // ParseUint takes no sign, so that only ParseInt's range is left to a signed number.
    let lower = digits.to_ascii_lowercase();
    let scalar = if let Some(rest) = lower.strip_prefix("0x") {
        radix(negative, rest, 16)
    } else if let Some(rest) = lower.strip_prefix("0b") {
        radix(negative, rest, 2)
    } else if let Some(rest) = lower.strip_prefix("0o") {
        radix(negative, rest, 8)
    } else if lower.len() > 1 && lower.starts_with('0') {
        radix(negative, &lower[1..], 8)
    } else {
        radix(negative, &lower, 10)
    };
    match &scalar {
        Scalar::Number(number) if text.starts_with('+') && !number.is_i64() => Scalar::String,
        _ => scalar,
    }
}

fn radix(negative: bool, digits: &str, radix: u32) -> Scalar {
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Scalar::String;
    }
    match u64::from_str_radix(digits, radix) {
        Ok(value) if !negative => Scalar::Number(value.into()),
        Ok(value) => match 0i64.checked_sub_unsigned(value) {
            Some(value) => Scalar::Number(value.into()),
            None => Scalar::String,
        },
        Err(_) => Scalar::String,
    }
}

fn decimal(text: &str) -> Scalar {
    let negative = text.starts_with('-');
    match radix(negative, text.strip_prefix(['+', '-']).unwrap_or(text), 10) {
        Scalar::String => float(text),
        other => other,
    }
}

fn underscores_separate_digits(text: &str) -> bool {
    let bytes = text.as_bytes();
    let digit = |index: Option<usize>| index.and_then(|index| bytes.get(index)).is_some_and(u8::is_ascii_digit);
    (0..bytes.len())
        .filter(|index| bytes[*index] == b'_')
        .all(|index| digit(index.checked_sub(1)) && digit(Some(index + 1)))
}

/// A float as Go's ParseFloat takes it: what is too large is no number.
fn finite(text: &str) -> Scalar {
    match float(text) {
        Scalar::NotJson => Scalar::String,
        other => other,
    }
}

/// A float; a whole one becomes an integer, as it does on its way through Go's JSON encoder and Kubernetes' decoder.
fn float(text: &str) -> Scalar {
    let Ok(value) = text.parse::<f64>() else { return Scalar::String };
    // 1e21 and above are written with an exponent by Go, which Kubernetes reads as a float; all that fit an i64 are below.
    if value.fract() == 0.0 {
        // Both languages print the shortest digits that give the float back, filled with zeros.
        if let Ok(whole) = format!("{value}").parse::<i64>() {
            return Scalar::Number(whole.into());
        }
    }
    Number::from_f64(value).map_or(Scalar::NotJson, Scalar::Number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn int(value: i64) -> Scalar {
        match u64::try_from(value) {
            Ok(value) => Scalar::Number(value.into()),
            Err(_) => Scalar::Number(value.into()),
        }
    }

    fn real(value: f64) -> Scalar {
        Scalar::Number(Number::from_f64(value).unwrap())
    }

    /// The table of go-yaml v2's decode_test.go and resolve.go, as far as JSON can say it.
    #[test]
    fn reads_yaml_1_1_as_go_yaml_does() {
        let table = [
            ("y", Scalar::Bool(true)),
            ("Yes", Scalar::Bool(true)),
            ("on", Scalar::Bool(true)),
            ("N", Scalar::Bool(false)),
            ("OFF", Scalar::Bool(false)),
            ("yES", Scalar::String),
            ("", Scalar::Null),
            ("~", Scalar::Null),
            ("nULL", Scalar::String),
            ("10", int(10)),
            ("+10", int(10)),
            ("-10", int(-10)),
            ("0777", int(511)),
            ("-0777", int(-511)),
            ("08", int(8)),
            ("0o14", int(12)),
            ("0xA", int(10)),
            ("-0xa", int(-10)),
            ("0b1010", int(10)),
            ("-0b101010", int(-42)),
            ("1_000", int(1000)),
            ("685_230.15", real(685_230.15)),
            ("685230.15e+03", int(685_230_150)),
            ("1e3", int(1000)),
            ("1.", int(1)),
            (".5", real(0.5)),
            (".", Scalar::String),
            ("1.2.3", Scalar::String),
            ("0x", Scalar::String),
            ("_1", Scalar::String),
            ("-", Scalar::String),
            ("1:30", Scalar::String),
            ("2015-01-01", Scalar::String),
            ("18446744073709551615", Scalar::Number(u64::MAX.into())),
            ("-9223372036854775808", int(i64::MIN)),
            ("99999999999999999999", real(1e20)),
            (".inf", Scalar::NotJson),
            ("-.INF", Scalar::NotJson),
            (".NaN", Scalar::NotJson),
            ("500m", Scalar::String),
            ("1e400", Scalar::String),
            (".77_7", real(0.777)),
            ("._7", Scalar::String),
            ("1234567890123456789.0", int(1_234_567_890_123_456_800)),
        ];
        for (text, expected) in table {
            assert_eq!(go_yaml(text), expected, "{text:?}");
        }
    }

    #[test]
    fn reads_the_core_schema_of_yaml_1_2() {
        let table = [
            ("yes", Scalar::String),
            ("true", Scalar::Bool(true)),
            ("0777", int(777)),
            ("0o17", int(15)),
            ("0x1f", int(31)),
            ("1_000", Scalar::String),
            ("0b1", Scalar::String),
            ("1.36", real(1.36)),
            ("1e3", int(1000)),
        ];
        for (text, expected) in table {
            assert_eq!(core(text), expected, "{text:?}");
        }
    }

    #[test]
    fn knows_what_the_two_versions_read_differently() {
        for text in ["y", "no", "On", "0777", "007", "08", "0o17", "1_000", "0b1", "1:30", "12:30:45", "-0x1f"] {
            assert!(is_ambiguous(text), "{text:?}");
        }
        for text in ["true", "null", "~", "", "1", "1.5", "0", "0x1f", "1e3", "2027-01-01", "500m", "a:1", "1:99", "::"]
        {
            assert!(!is_ambiguous(text), "{text:?}");
        }
    }
}

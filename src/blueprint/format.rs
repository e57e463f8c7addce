//! The values of the schema's `format` keyword, each with the function that accepts it and words for a message.

use super::quantity::{Bytes, Cpu, Quantity, Seconds};
use crate::field::FieldPath;

/// One format.
pub(super) struct Format {
    /// Its name in the schema.
    pub name: &'static str,
    /// Accepts a text.
    pub accepts: fn(&str) -> bool,
    /// What is expected, for a message.
    pub expected: &'static str,
}

/// Every format that the checker enforces. One that is not here is documentation only (JSON Schema's own `uint32`).
const FORMATS: &[Format] = &[
    Format { name: "cpu", accepts: |text| Cpu::parse(text).is_some(), expected: "CPU such as 16, 0.5 or 500m" },
    Format { name: "bytes", accepts: |text| Bytes::parse(text).is_some(), expected: "bytes such as 1Ti, 512Mi or 20G" },
    Format {
        name: "duration",
        accepts: |text| Seconds::parse(text).is_some(),
        expected: "a length of time such as 90s, 2h or 7d",
    },
    Format {
        name: "quantity",
        accepts: |text| Quantity::parse(text).is_some(),
        expected: "an amount such as 16, 500m or 1Ti",
    },
    Format {
        name: "dns-label",
        accepts: is_dns_label,
        expected: "a DNS label: at most 63 of a-z, 0-9 and -, starting and ending with a letter or digit",
    },
    Format {
        name: "dns-subdomain",
        accepts: is_dns_subdomain,
        expected: "a DNS name: at most 253 of a-z, 0-9, - and ., each part starting and ending with a letter or digit",
    },
    Format { name: "kubernetes-version", accepts: is_version, expected: "a Kubernetes version such as \"1.36\"" },
    Format { name: "exact-version", accepts: is_exact_version, expected: "an exact version such as 1.2.3, no range" },
    Format { name: "sha256", accepts: is_sha256, expected: "sha256: and 64 hexadecimal digits" },
    Format { name: "uuid", accepts: is_uuid, expected: "a uid such as 0b1c…: 8-4-4-4-12 hexadecimal digits" },
    Format {
        name: "gpu-model",
        accepts: |text| gpu_vendor(text).is_some() && is_dns_label(text),
        expected: "a model that starts with nvidia-, amd- or intel-, such as nvidia-a100-40gb",
    },
    Format { name: "mig-profile", accepts: is_mig_profile, expected: "a MIG profile such as 1g.5gb or 1g.10gb+me" },
    Format {
        name: "day",
        accepts: |text| text.parse::<jiff::civil::Date>().is_ok() && text.len() == 10,
        expected: "a day such as 2027-01-31",
    },
    Format {
        name: "field-path",
        accepts: |text| text.parse::<FieldPath>().is_ok(),
        expected: "a path such as spec.replicas, spec.containers[name=main].image or metadata.labels[example.com/team]",
    },
    Format { name: "label-key", accepts: is_label_key, expected: "a label key such as team or example.com/team" },
    Format {
        name: "label-value",
        accepts: is_label_value,
        expected: "a label value: at most 63 of letters, digits, -, _ and ., starting and ending with a letter or digit",
    },
    Format {
        name: "rbac-name",
        accepts: |text| !text.is_empty() && text != "." && text != ".." && !text.contains(['/', '%']),
        expected: "a name without / and %",
    },
    Format { name: "secret-key", accepts: is_secret_key, expected: "a key of letters, digits, -, _ and ." },
    Format {
        name: "absolute-path",
        accepts: is_absolute_path,
        expected: "an absolute path such as /data, without . and .. in it",
    },
    Format { name: "variable-name", accepts: is_variable, expected: "the name of an environment variable" },
    Format { name: "cidr", accepts: is_cidr, expected: "a network such as 10.0.0.0/16" },
    Format { name: "aws-account", accepts: is_aws_account, expected: "twelve digits in quotes, \"111122223333\"" },
    Format { name: "arn", accepts: is_arn, expected: "an ARN such as arn:aws:iam::111122223333:role/name" },
];

/// Finds a format by name.
pub(super) fn find(name: &str) -> Option<&'static Format> {
    FORMATS.iter().find(|format| format.name == name)
}

fn is_aws_account(text: &str) -> bool {
    text.len() == 12 && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// `arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE` (AWS, "Amazon Resource Names"); region and account may be empty.
fn is_arn(text: &str) -> bool {
    let parts: Vec<&str> = text.splitn(6, ':').collect();
    matches!(&parts[..], ["arn", partition, service, _, _, resource]
        if !partition.is_empty() && !service.is_empty() && !resource.is_empty())
}

/// RFC 1123 label, as Kubernetes checks it.
pub(crate) fn is_dns_label(text: &str) -> bool {
    let alphanumeric = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let bytes = text.as_bytes();
    !bytes.is_empty()
        && bytes.len() <= 63
        && alphanumeric(bytes[0])
        && alphanumeric(bytes[bytes.len() - 1])
        && bytes.iter().all(|byte| alphanumeric(*byte) || *byte == b'-')
}

/// RFC 1123 subdomain, as Kubernetes checks it; its parts may be longer than 63.
pub(crate) fn is_dns_subdomain(text: &str) -> bool {
    let part_ok = |part: &str| {
        let alphanumeric = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
        part.starts_with(alphanumeric)
            && part.ends_with(alphanumeric)
            && part.chars().all(|c| alphanumeric(c) || c == '-')
    };
    text.len() <= 253 && text.split('.').all(part_ok)
}

/// A path of a container: no relative parts, and no colon, which mounts do not take.
fn is_absolute_path(text: &str) -> bool {
    let parts_ok = |rest: &str| {
        rest.split('/').all(|part| !part.is_empty() && part != "." && part != ".." && !part.contains([':', '$']))
    };
    text.strip_prefix('/').is_some_and(parts_ok)
}

/// A C identifier, as shells and Kubernetes' `$(NAME)` know them.
pub(crate) fn is_variable(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
        && text.bytes().next().is_some_and(|first| !first.is_ascii_digit())
}

fn numbers(text: &str) -> Option<usize> {
    let parts: Vec<&str> = text.split('.').collect();
    parts
        .iter()
        .all(|part| !part.is_empty() && part.len() < 6 && part.bytes().all(|b| b.is_ascii_digit()))
        .then_some(parts.len())
}

fn is_version(text: &str) -> bool {
    text.starts_with("1.") && matches!(numbers(text), Some(2 | 3))
}

pub(crate) fn is_exact_version(text: &str) -> bool {
    let text = text.strip_prefix('v').unwrap_or(text);
    let (core, rest) = text.find(['-', '+']).map_or((text, ""), |index| text.split_at(index));
    numbers(core) == Some(3)
        && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b"-+.".contains(&b))
        && rest.len() != 1
}

fn is_hex(text: &str, length: usize) -> bool {
    text.len() == length && text.bytes().all(|byte| byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte))
}

pub(crate) fn is_sha256(text: &str) -> bool {
    text.strip_prefix("sha256:").is_some_and(|hex| is_hex(hex, 64))
}

fn is_uuid(text: &str) -> bool {
    let lengths = [8, 4, 4, 4, 12];
    let parts: Vec<&str> = text.split('-').collect();
    parts.len() == 5 && parts.iter().zip(lengths).all(|(part, length)| is_hex(part, length))
}

/// The vendor in a model's name.
pub(crate) fn gpu_vendor(model: &str) -> Option<&'static str> {
    ["nvidia", "amd", "intel"]
        .into_iter()
        .find(|vendor| model.strip_prefix(vendor).is_some_and(|rest| rest.starts_with('-') && rest.len() > 1))
}

/// Compute slices, memory, and what else it has, as nvidia-smi spells it.
fn is_mig_profile(text: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.len() <= 3 && text.bytes().all(|byte| byte.is_ascii_digit());
    text.split_once("g.").is_some_and(|(compute, rest)| {
        let (memory, extra) = rest.split_once('+').unwrap_or((rest, "me"));
        digits(compute) && memory.strip_suffix("gb").is_some_and(digits) && ["me", "gfx", "me.all"].contains(&extra)
    })
}

fn is_qualified_part(text: &str) -> bool {
    let alphanumeric = |c: char| c.is_ascii_alphanumeric();
    text.len() <= 63
        && text.starts_with(alphanumeric)
        && text.ends_with(alphanumeric)
        && text.chars().all(|c| alphanumeric(c) || "-_.".contains(c))
}

pub(crate) fn is_label_key(text: &str) -> bool {
    match text.split_once('/') {
        Some((prefix, name)) => is_dns_subdomain(prefix) && is_qualified_part(name),
        None => is_qualified_part(text),
    }
}

pub(crate) fn is_label_value(text: &str) -> bool {
    text.is_empty() || is_qualified_part(text)
}

fn is_secret_key(text: &str) -> bool {
    !text.is_empty()
        && text.len() <= 253
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b))
        && text != "."
        && !text.starts_with("..")
}

fn is_cidr(text: &str) -> bool {
    text.split_once('/').is_some_and(|(address, bits)| {
        let most = match address.parse::<std::net::IpAddr>() {
            Ok(std::net::IpAddr::V4(_)) => 32,
            Ok(std::net::IpAddr::V6(_)) => 128,
            Err(_) => return false,
        };
        bits.parse::<u8>().is_ok_and(|bits| bits <= most)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_accept_what_kubernetes_accepts_and_no_more() {
        let table: &[(&str, &[&str], &[&str])] = &[
            ("dns-label", &["a", "a-1", "0"], &["", "A", "-a", "a-", "a.b", "a_b", "ä"]),
            ("dns-subdomain", &["a.b-c", "crds.example.com"], &["", "a..b", "A", ".a"]),
            ("kubernetes-version", &["1.36", "1.36.3"], &["1", "2.1", "1.x", "1.36.3.1", "v1.36"]),
            ("exact-version", &["1.2.3", "v1.2.3", "0.1.0-rc.1+x"], &["1.2", "^1.2.3", "1.2.3 ", "latest", "1.2.3-"]),
            ("uuid", &["0a1b2c3d-0000-4000-8000-0123456789ab"], &["", "x", "0A1b2c3d-0000-4000-8000-0123456789ab"]),
            ("gpu-model", &["nvidia-a100-40gb", "amd-mi300x"], &["a100", "nvidia-", "nvidiax", "nvidia_a100"]),
            (
                "mig-profile",
                &["1g.5gb", "7g.141gb", "1g.10gb+me"],
                &["", "1g", "mig-1g.5gb", "1g.5", "g.5gb", "1g.5gb+x"],
            ),
            ("day", &["2027-01-31"], &["2027-02-31", "tomorrow", "2027-1-3"]),
            ("field-path", &["spec.replicas", "/spec/replicas", "a[b/c].d[name=x]"], &["", "/", "a.", "a[", "a/b"]),
            ("label-key", &["team", "example.com/team", "nvidia.com/gpu.product"], &["", "a/", "/a", "a b", "a/b/c"]),
            ("label-value", &["", "x", "a_B.c"], &["a b", "-a", "é"]),
            ("cidr", &["10.0.0.0/16", "fd00::/8"], &["10.0.0.0", "10.0.0.0/33", "x/1"]),
            ("sha256", &[], &["sha256:abc", ""]),
            ("aws-account", &["111122223333"], &["", "1111", "11112222333x"]),
            ("arn", &["arn:aws:iam::111122223333:role/a", "arn:aws:s3:::b"], &["", "role/a", "arn:aws:iam:::"]),
        ];
        for (name, good, bad) in table {
            let format = find(name).unwrap();
            for text in *good {
                assert!((format.accepts)(text), "{name} accepts {text:?}");
            }
            for text in *bad {
                assert!(!(format.accepts)(text), "{name} refuses {text:?}");
            }
        }
    }
}

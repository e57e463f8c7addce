//! Charts that do not render the same twice.
//!
//! A password made by `randAlphaNum` is another one in every render, so a plan that compared outputs would never be empty.
//! Three things keep plans still: a release's digest is over what goes *into* helm ([`super::input_digest`]), never over what
//! comes out; a chart whose text names a function that is not pure is rendered twice, and the objects that differ are named
//! here, so that the planner leaves their values out of its diffs; and what `lookup` would find in the cluster, which no
//! render for a plan can see, is named too.

use std::collections::BTreeSet;
use std::io::Read;
use std::path::Path;

use serde::{Deserialize, Serialize};

use super::chart::{chart_files, read};
use super::error::HelmError;
use crate::id::ObjectId;

/// How far a render can be trusted to be what helm would apply.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Stability {
    /// Template functions in the chart or its values whose answer differs from call to call, sorted.
    pub random_functions: BTreeSet<String>,
    /// Objects and hooks that came out differently in two renders, sorted; their values in the render mean nothing.
    pub unstable: Vec<ObjectId>,
    /// Whether a template reads the cluster (`lookup`) or the network (`getHostByName`): the render shows what it would be on
    /// an empty cluster. The planner takes the live release's own objects for what helm would apply.
    pub reads_cluster: bool,
}

impl Stability {
    /// Whether every value of the render is what helm would apply.
    pub fn is_exact(&self) -> bool {
        self.unstable.is_empty() && !self.reads_cluster
    }

    /// Whether rendering twice could show a difference.
    pub(super) fn is_doubtful(&self) -> bool {
        !self.random_functions.is_empty()
    }
}

/// Functions of sprig and helm that answer differently from call to call.
const RANDOM: &[&str] = &[
    "ago",
    "bcrypt",
    "date",
    "dateInZone",
    "encryptAES",
    "genCA",
    "genCAWithKey",
    "genPrivateKey",
    "genSelfSignedCert",
    "genSelfSignedCertWithKey",
    "genSignedCert",
    "genSignedCertWithKey",
    "htmlDate",
    "htmlDateInZone",
    "htpasswd",
    "now",
    "randAlpha",
    "randAlphaNum",
    "randAscii",
    "randBytes",
    "randInt",
    "randNumeric",
    "shuffle",
    "uuidv4",
];

/// Functions that read the world.
const READS_CLUSTER: &[&str] = &["lookup", "getHostByName"];

/// Most bytes of an unpacked chart that are looked at; helm itself refuses charts of more than 100 MiB.
const SCAN_LIMIT: u64 = 100 << 20;

/// Looks for such functions in a chart and in the values it is given. It may name one that is never called, which costs a
/// second render; it misses none that is called by name.
pub(super) fn scan(chart: &Path, values: &serde_json::Value) -> Result<Stability, HelmError> {
    let mut found = BTreeSet::new();
    scan_text(&values.to_string(), &mut found);
    if chart.is_dir() {
        for (name, path) in chart_files(chart)? {
            scan_file(&name, &read(&path)?, &mut found);
        }
    } else {
        scan_archive(&read(chart)?, &mut found);
    }
    let reads_cluster = READS_CLUSTER.iter().any(|name| found.remove(*name));
    let random_functions = found.into_iter().map(str::to_owned).collect();
    Ok(Stability { random_functions, unstable: Vec::new(), reads_cluster })
}

fn scan_file(name: &str, bytes: &[u8], found: &mut BTreeSet<&'static str>) {
    if name.ends_with(".tgz") {
        scan_archive(bytes, found);
    } else {
        scan_text(&String::from_utf8_lossy(bytes), found);
    }
}

fn scan_archive(bytes: &[u8], found: &mut BTreeSet<&'static str>) {
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(bytes).take(SCAN_LIMIT));
    let Ok(entries) = archive.entries() else { return };
    // An archive that breaks off is helm's to refuse; it says so better.
    for mut entry in entries.map_while(Result::ok) {
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = Vec::new();
        if entry.read_to_end(&mut content).is_ok() {
            scan_file(&name, &content, found);
        }
    }
}

/// Looks between `{{` and `}}`.
fn scan_text(text: &str, found: &mut BTreeSet<&'static str>) {
    for action in text.split("{{").skip(1) {
        let action = action.split("}}").next().unwrap_or_default();
        for word in action.split(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '.' && c != '$') {
            if let Some(name) = RANDOM.iter().chain(READS_CLUSTER).find(|name| **name == word) {
                found.insert(*name);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<&'static str> {
        let mut found = BTreeSet::new();
        scan_text(text, &mut found);
        found.into_iter().collect()
    }

    #[test]
    fn functions_are_found_where_they_are_called() {
        assert_eq!(words("a: {{ randAlphaNum 12 | b64enc }}"), ["randAlphaNum"]);
        assert_eq!(words("{{- $ca := (genCA \"x\" 365) -}} {{ now | date \"2006\" }}"), ["date", "genCA", "now"]);
        assert_eq!(words("{{ if (lookup \"v1\" \"Secret\" \"a\" \"b\") }}"), ["lookup"]);
    }

    #[test]
    fn words_that_only_look_like_them_are_not() {
        assert!(words("now: lookup\n{{ .Values.now }} {{ $now }} {{ include \"chart.now\" . }} uuidv4").is_empty());
    }

    #[test]
    fn values_that_are_templates_are_looked_at_too() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("Chart.yaml"), "name: a").unwrap();
        let values = serde_json::json!({"password": "{{ randAlphaNum 5 }}"});
        assert!(scan(folder.path(), &values).unwrap().is_doubtful());
    }
}

//! Who may use whom, held by reading the sources. A rule that is broken is told with file and line.

use std::path::{Path, PathBuf};

/// What the sources of some folders must not hold.
struct Rule {
    /// Folders or files, from the root of the repository.
    places: &'static [&'static str],
    /// Below them, where it is allowed after all.
    except: &'static [&'static str],
    /// Words that break it.
    words: &'static [&'static str],
    /// Why.
    because: &'static str,
}

const RULES: &[Rule] = &[
    Rule {
        places: &["src/plan", "src/gpu"],
        except: &[],
        words: &[
            "tokio",
            "kube::",
            "futures",
            "std::fs",
            "std::env",
            "std::process",
            "std::net",
            "std::thread",
            "SystemTime",
            "Instant",
            "Timestamp::now",
            "rand::",
            "RandomState",
            "HashMap",
            "HashSet",
            "async fn",
            "crate::execute",
            "crate::cli",
            "crate::verify",
            "crate::blueprint",
        ],
        because: "the planner is a pure function: no I/O, no clock, no environment, no order by chance",
    },
    Rule {
        places: &["src/desired"],
        except: &[],
        words: &[
            "tokio",
            "kube::",
            "std::process",
            "std::env",
            "crate::live",
            "crate::plan",
            "crate::execute",
            "crate::cluster",
            "crate::cli",
        ],
        because: "what a blueprint means depends on nothing that exists",
    },
    Rule {
        places: &["src/blueprint"],
        except: &[],
        words: &[
            "tokio",
            "kube::",
            "std::process",
            "std::env",
            "crate::live",
            "crate::plan",
            "crate::execute",
            "crate::cli",
        ],
        because: "what the user wrote is read from files alone",
    },
    Rule {
        places: &["src/sweep"],
        except: &[],
        words: &[
            "tokio",
            "kube::",
            "std::fs",
            "std::env",
            "std::process",
            "async fn",
            "crate::execute",
            "crate::cli",
            "crate::verify",
        ],
        because: "what a sweep is and how it stands is reckoned from what was read",
    },
    Rule {
        places: &["src/import"],
        except: &[],
        words: &[
            "tokio",
            "kube::",
            "std::fs",
            "std::env",
            "std::process",
            "async fn",
            "crate::live",
            "crate::plan",
            "crate::execute",
            "crate::cli",
        ],
        because: "a blueprint is written from what was seen, and nothing else",
    },
    Rule {
        places: &["src/field"],
        except: &[],
        words: &["tokio", "kube::", "std::fs", "std::env", "crate::"],
        because: "paths of fields know nothing but JSON",
    },
    Rule {
        places: &["src/live"],
        except: &[],
        words: &["crate::plan", "crate::execute", "crate::cli", "crate::verify", "crate::blueprint"],
        because: "looking decides nothing",
    },
    Rule {
        places: &["src/cluster"],
        except: &[],
        words: &[
            "crate::plan",
            "crate::execute",
            "crate::cli",
            "crate::verify",
            "crate::live",
            "crate::desired",
            "crate::blueprint",
        ],
        because: "the Kubernetes side knows objects, not blueprints",
    },
    Rule {
        places: &["src/helm"],
        except: &[],
        words: &["crate::plan", "crate::execute", "crate::cli", "crate::verify", "crate::live", "crate::blueprint"],
        because: "helm is a tool that others use",
    },
    Rule {
        places: &["src/execute"],
        except: &[],
        words: &["crate::cli", "crate::blueprint", "crate::verify"],
        because: "the plan is the program: nothing is derived anew from the blueprint",
    },
    Rule {
        places: &["src/verify"],
        except: &[],
        words: &["crate::execute", "crate::plan", "crate::cli", "crate::blueprint"],
        because: "a check proves what is there, not what was done",
    },
    Rule {
        places: &["src/cost"],
        except: &["src/cost/read.rs"],
        words: &[
            "tokio",
            "kube::",
            "futures",
            "std::fs",
            "Timestamp::now",
            "HashMap",
            "crate::plan",
            "crate::execute",
            "crate::live",
            "crate::cli",
            "crate::blueprint",
        ],
        because: "what it costs is counted, not looked up: no I/O, no clock, no order by chance",
    },
    Rule {
        places: &["src/drift"],
        except: &[],
        words: &["crate::execute", "crate::cli", "crate::blueprint", "tokio", "std::fs"],
        because: "drift is read off what was seen",
    },
    Rule {
        places: &["src", "providers"],
        except: &["src/cli", "providers/local/tests", "providers/local/assets"],
        words: &["println!", "eprintln!", "print!", "eprint!", "io::stdout", "io::stderr"],
        because: "only the command line prints: values and events go up",
    },
    Rule {
        places: &["src", "providers"],
        except: &["src/cli"],
        words: &["env::var", "env::args", "env::current_dir", "env::home_dir", "process::exit"],
        because: "only the command line reads the environment and ends the process",
    },
    Rule {
        places: &["src", "providers"],
        except: &["src/cli/secrets.rs", "src/cli/command/child.rs", "src/helm", "providers/local", "providers/kind"],
        words: &["Command::new"],
        because: "programs are started in one place for each of them",
    },
    Rule {
        places: &["providers"],
        except: &["providers/local/tests"],
        words: &["wbk_infra::"],
        because: "a provider knows the vocabulary that it shares with the planner, not the product",
    },
    Rule {
        places: &["providers/api"],
        except: &[],
        words: &["tokio", "std::fs", "std::process", "aws_", "google_cloud", "azure_"],
        because: "the shared vocabulary brings no SDK and no I/O",
    },
];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources(place: &Path, found: &mut Vec<PathBuf>) {
    if place.is_file() {
        found.push(place.to_owned());
        return;
    }
    // A folder of the plan that is not there yet has no sources.
    let Ok(entries) = std::fs::read_dir(place) else { return };
    for entry in entries {
        let path = entry.expect("the folder can be read").path();
        if path.is_dir() {
            sources(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The lines of the product: no comments, and nothing from where its tests begin.
fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.lines()
        .enumerate()
        .take_while(|(_, line)| !line.trim_start().starts_with("#[cfg(test)]"))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
        .map(|(at, line)| (at + 1, line.split_once(" // ").map_or(line, |(code, _)| code)))
}

/// The word is there, and is no end of a longer one (`print!` in `eprint!`).
fn uses(line: &str, word: &str) -> bool {
    line.match_indices(word)
        .any(|(at, _)| !line[..at].chars().next_back().is_some_and(|before| before.is_alphanumeric() || before == '_'))
}

fn broken(file: &str, text: &str, rule: &Rule) -> Vec<String> {
    lines(text)
        .flat_map(|(number, line)| {
            rule.words
                .iter()
                .filter(move |word| uses(line, word))
                .map(move |word| format!("{file}:{number}: {word}: {}", rule.because))
        })
        .collect()
}

#[test]
fn every_module_uses_only_what_it_may() {
    let mut all = Vec::new();
    for rule in RULES {
        let mut files = Vec::new();
        for place in rule.places {
            sources(&root().join(place), &mut files);
        }
        for file in files {
            let name = file.strip_prefix(root()).expect("it is below the root").to_string_lossy().into_owned();
            let is_test = name.ends_with("tests.rs") || name.contains("/tests/");
            if is_test || rule.except.iter().any(|except| name.starts_with(except)) {
                continue;
            }
            all.extend(broken(&name, &std::fs::read_to_string(&file).expect("a source is text"), rule));
        }
    }
    assert!(all.is_empty(), "import rules that are broken:\n{}", all.join("\n"));
}

#[test]
fn a_broken_rule_is_told_with_file_line_and_reason() {
    let text = "//! tokio in a comment is fine\nuse std::fmt;\nuse tokio::time; // why\n#[cfg(test)]\nmod tests { use tokio::test; }\n";
    let told = broken("src/plan/x.rs", text, &RULES[0]);
    assert_eq!(told, [format!("src/plan/x.rs:3: tokio: {}", RULES[0].because)]);
    assert!(!uses("eprint!(1)", "print!") && uses("x(print!(1))", "print!"));
}

#[test]
fn modules_only_re_export_in_mod_rs() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut wrong = Vec::new();
    let held = |file: &&PathBuf| {
        let name = file.to_string_lossy();
        let below = ["src/plan/", "src/execute/", "src/gpu/"].iter().any(|folder| name.contains(folder));
        below && name.ends_with("/mod.rs")
    };
    for file in files.iter().filter(held) {
        let text = std::fs::read_to_string(file).expect("a source is text");
        for (number, line) in lines(&text) {
            if ["fn ", "pub fn ", "struct ", "pub struct ", "enum ", "pub enum ", "impl "]
                .iter()
                .any(|start| line.starts_with(start))
            {
                wrong.push(format!("{}:{number}: {line}", file.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "a mod.rs only re-exports:\n{}", wrong.join("\n"));
}

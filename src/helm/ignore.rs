//! `.helmignore`: which files of a folder helm takes into a chart. The semantics are helm's (`pkg/ignore` of helm 4.2), with
//! its own reading of negation: a `!` rule ignores everything that it does not match.

/// The rules of one `.helmignore`, with helm's own default rule.
#[derive(Debug)]
pub(super) struct Rules(Vec<Rule>);

#[derive(Debug)]
struct Rule {
    pattern: Vec<char>,
    negate: bool,
    only_folders: bool,
    whole_path: bool,
}

/// Whether a path is a folder.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entry {
    Folder,
    File,
}

impl Rules {
    /// Reads the text of a `.helmignore`.
    ///
    /// # Errors
    /// The line that helm would refuse too.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let text = text.strip_prefix('\u{feff}').unwrap_or(text);
        let mut rules = Vec::new();
        // Helm adds this one itself, after the file's.
        for line in text.lines().chain(["templates/.?*"]) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if line.contains("**") {
                return Err(format!("helm does not support ** in .helmignore: {line}"));
            }
            let (negate, rest) = line.strip_prefix('!').map_or((false, line), |rest| (true, rest));
            let (only_folders, rest) = rest.strip_suffix('/').map_or((false, rest), |rest| (true, rest));
            let (whole_path, rest) = match rest.strip_prefix('/') {
                Some(rest) => (true, rest),
                None => (rest.contains('/'), rest),
            };
            rules.push(Rule { pattern: rest.chars().collect(), negate, only_folders, whole_path });
        }
        Ok(Self(rules))
    }

    /// Whether helm leaves the entry out. The path is relative to the chart, with `/`.
    pub(super) fn ignores(&self, path: &str, entry: Entry) -> bool {
        let base = path.rsplit('/').next().unwrap_or(path);
        for rule in &self.0 {
            let name: Vec<char> = if rule.whole_path { path } else { base }.chars().collect();
            let wrong_kind = rule.only_folders && entry == Entry::File;
            if rule.negate {
                if wrong_kind || !matches(&rule.pattern, &name) {
                    return true;
                }
            } else if !wrong_kind && matches(&rule.pattern, &name) {
                return true;
            }
        }
        false
    }
}

/// Go's `filepath.Match`: `*` and `?` stop at `/`, `[a-z]` and `[^a-z]`, `\` takes the next character as it is.
fn matches(pattern: &[char], name: &[char]) -> bool {
    match pattern.split_first() {
        None => name.is_empty(),
        Some(('*', rest)) => (0..=name.len())
            .take_while(|taken| !name[..*taken].contains(&'/'))
            .any(|taken| matches(rest, &name[taken..])),
        Some(('?', rest)) => matches!(name.split_first(), Some((c, name)) if *c != '/' && matches(rest, name)),
        Some(('[', rest)) => match (name.split_first(), class(rest)) {
            (Some((c, name)), Some((class, rest))) => *c != '/' && class.contains(*c) && matches(rest, name),
            _ => false,
        },
        Some(('\\', rest)) => match rest.split_first() {
            Some((wanted, rest)) => literal(*wanted, rest, name),
            None => false,
        },
        Some((wanted, rest)) => literal(*wanted, rest, name),
    }
}

fn literal(wanted: char, rest: &[char], name: &[char]) -> bool {
    matches!(name.split_first(), Some((c, name)) if *c == wanted && matches(rest, name))
}

/// The inside of `[…]`.
struct Class {
    negate: bool,
    ranges: Vec<(char, char)>,
}

impl Class {
    fn contains(&self, c: char) -> bool {
        self.ranges.iter().any(|(low, high)| (*low..=*high).contains(&c)) != self.negate
    }
}

/// Reads a class up to its `]`, and gives what follows it.
fn class(mut pattern: &[char]) -> Option<(Class, &[char])> {
    let mut class = Class { negate: false, ranges: Vec::new() };
    if let Some(rest) = pattern.strip_prefix(&['^']) {
        class.negate = true;
        pattern = rest;
    }
    loop {
        if !class.ranges.is_empty()
            && let Some(rest) = pattern.strip_prefix(&[']'])
        {
            return Some((class, rest));
        }
        let (low, rest) = class_char(pattern)?;
        pattern = rest;
        let mut high = low;
        if let Some(rest) = pattern.strip_prefix(&['-']) {
            (high, pattern) = class_char(rest)?;
        }
        class.ranges.push((low, high));
    }
}

fn class_char(pattern: &[char]) -> Option<(char, &[char])> {
    match pattern {
        ['\\', c, rest @ ..] => Some((*c, rest)),
        ['-' | ']', ..] | [] => None,
        [c, rest @ ..] => Some((*c, rest)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ignored(rules: &str, path: &str, entry: Entry) -> bool {
        Rules::parse(rules).unwrap().ignores(path, entry)
    }

    #[test]
    fn a_rule_without_a_slash_looks_at_the_name_only() {
        assert!(ignored("*.bak", "templates/a.bak", Entry::File));
        assert!(!ignored("*.bak", "templates/a.yaml", Entry::File));
        assert!(ignored(".git/", ".git", Entry::Folder));
        assert!(!ignored(".git/", ".git", Entry::File));
    }

    #[test]
    fn a_rule_with_a_slash_looks_at_the_whole_path() {
        assert!(ignored("/README.md", "README.md", Entry::File));
        assert!(!ignored("/README.md", "docs/README.md", Entry::File));
        assert!(ignored("docs/*.md", "docs/a.md", Entry::File));
        assert!(!ignored("docs/*.md", "docs/deep/a.md", Entry::File));
    }

    #[test]
    fn hidden_templates_are_always_left_out() {
        assert!(ignored("", "templates/.swp", Entry::File));
        assert!(!ignored("", "templates/a.yaml", Entry::File));
    }

    #[test]
    fn negation_is_helms_own() {
        assert!(ignored("!keep.txt", "other.txt", Entry::File));
        assert!(!ignored("!keep.txt", "keep.txt", Entry::File));
    }

    #[test]
    fn classes_and_escapes() {
        assert!(ignored("[a-c]?.txt", "b1.txt", Entry::File));
        assert!(!ignored("[^a-c]?.txt", "b1.txt", Entry::File));
        assert!(ignored(r"\*.txt", "*.txt", Entry::File));
        assert!(Rules::parse("a/**/b").is_err());
    }
}

//! Which checks are run: `--only` and `--skip` by id, prefix or glob.

use super::check::CheckId;

/// A pattern that names no check.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no check is named by `{pattern}`; this blueprint has: {}", known.join(", "))]
pub struct SelectionError {
    /// The pattern.
    pub pattern: String,
    /// The ids that there are.
    pub known: Vec<String>,
}

/// Says for each id whether it is run: named by `only` (or `only` is empty), and not named by `skip`. A pattern is an
/// id, a prefix that ends where a part ends (`nodes`, `nodes.ready`), or a glob with `*` and `?`.
///
/// # Errors
/// A pattern that names none of the ids: it is a misspelling, and passing over it would prove less than was asked.
pub fn select(ids: &[CheckId], only: &[String], skip: &[String]) -> Result<Vec<bool>, SelectionError> {
    for pattern in only.iter().chain(skip) {
        if !ids.iter().any(|id| names(pattern, id.as_str())) {
            let known = ids.iter().map(ToString::to_string).collect();
            return Err(SelectionError { pattern: pattern.clone(), known });
        }
    }
    Ok(ids
        .iter()
        .map(|id| {
            let wanted = only.is_empty() || only.iter().any(|pattern| names(pattern, id.as_str()));
            wanted && !skip.iter().any(|pattern| names(pattern, id.as_str()))
        })
        .collect())
}

fn names(pattern: &str, id: &str) -> bool {
    if pattern.contains(['*', '?']) {
        return glob(pattern.as_bytes(), id.as_bytes());
    }
    match id.strip_prefix(pattern) {
        Some(rest) => rest.is_empty() || rest.starts_with(['.', '/']) || pattern.ends_with(['.', '/']),
        None => false,
    }
}

/// `*` takes in any text, also across `.` and `/`; `?` one character.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    let (mut p, mut t) = (0, 0);
    let mut back: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some(b'*') => {
                back = Some((p, t));
                p += 1;
            }
            Some(c) if *c == b'?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => match back {
                Some((star, from)) => {
                    back = Some((star, from + 1));
                    p = star + 1;
                    t = from + 1;
                }
                None => return false,
            },
        }
    }
    pattern[p..].iter().all(|c| *c == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ids() -> Vec<CheckId> {
        ["api.version", "nodes.ready/a100", "nodes.ready/a100-spot", "nodes.marks/a100"].map(CheckId::once).to_vec()
    }

    fn chosen(only: &[&str], skip: &[&str]) -> Vec<String> {
        let strings = |patterns: &[&str]| patterns.iter().map(|p| (*p).to_owned()).collect::<Vec<_>>();
        let ids = ids();
        let picked = select(&ids, &strings(only), &strings(skip)).expect("every pattern names a check");
        ids.iter().zip(picked).filter(|(_, p)| *p).map(|(id, _)| id.to_string()).collect()
    }

    #[test]
    fn without_patterns_all_are_run() {
        assert_eq!(chosen(&[], &[]).len(), 4);
    }

    #[test]
    fn a_prefix_ends_where_a_part_ends() {
        assert_eq!(chosen(&["nodes"], &[]).len(), 3);
        assert_eq!(chosen(&["nodes.ready"], &[]).len(), 2);
        assert_eq!(chosen(&["nodes.ready/a100"], &[]), ["nodes.ready/a100"]);
    }

    #[test]
    fn globs_and_skips_combine() {
        assert_eq!(chosen(&["*/a100*"], &["nodes.marks"]), ["nodes.ready/a100", "nodes.ready/a100-spot"]);
        assert_eq!(chosen(&["nodes.?????/*"], &["*spot"]), ["nodes.ready/a100", "nodes.marks/a100"]);
    }

    #[test]
    fn an_unknown_pattern_lists_what_there_is() {
        let error = select(&ids(), &["node".into()], &[]).expect_err("`node` ends inside a part");
        assert_eq!(error.pattern, "node");
        assert!(error.to_string().contains("nodes.ready/a100"), "{error}");
    }
}

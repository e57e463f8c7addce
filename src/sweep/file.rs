//! What a sweep file says, and why W&B or its agents could not work with it: said before anything is made, with the place.
//!
//! Facts: `wandb/cli/cli.py: sweep`, `wandb/apis/public/sweeps.py` (0.31.0) and the schema of sweep files
//! (github.com/wandb/sweeps, `config/schema.json`). Keys that are not known here go to W&B, which warns of them.

use serde_json::{Map, Value};

use crate::blueprint::{Content, Node, Position, Problem, Problems, read_mapping};

/// Distributions whose values can be counted.
const COUNTABLE: [&str; 4] = ["categorical", "constant", "int_uniform", "q_uniform"];

/// A sweep file, read.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepFile {
    /// All of it.
    config: Map<String, Value>,
    /// What it calls itself.
    pub name: Option<String>,
    /// Its project.
    pub project: Option<String>,
    /// Its entity.
    pub entity: Option<String>,
    /// How many runs there will be; `None` where the search has no end.
    pub runs: Option<u64>,
}

impl SweepFile {
    /// The user's own description.
    pub fn description(&self) -> &str {
        self.config.get("description").and_then(Value::as_str).unwrap_or_default()
    }

    /// With another name, and no more runs than this.
    #[must_use]
    pub fn with(mut self, name: &str, most: Option<u64>) -> Self {
        self.config.insert("name".into(), name.into());
        self.name = Some(name.to_owned());
        if let Some(most) = most {
            self.config.insert("run_cap".into(), most.into());
            self.runs = Some(self.runs.map_or(most, |runs| runs.min(most)));
        }
        self
    }

    /// As W&B is given it: JSON, which is YAML. Numbers are spelled so that PyYAML, with which agents read it, takes them for numbers: to it
    /// `1e-05` is a text.
    pub fn text(&self) -> String {
        let mut out = Vec::new();
        let mut writer = serde_json::Serializer::with_formatter(&mut out, Plain);
        // A map with text keys, into memory.
        serde::Serialize::serialize(&self.config, &mut writer).expect("a map of plain values is JSON");
        String::from_utf8(out).expect("JSON is UTF-8")
    }
}

/// JSON with a point in every number that has an exponent.
struct Plain;

impl serde_json::ser::Formatter for Plain {
    fn write_f64<W: ?Sized + std::io::Write>(&mut self, writer: &mut W, value: f64) -> std::io::Result<()> {
        let text = Value::from(value).to_string();
        match text.split_once('e') {
            Some((digits, exponent)) => {
                let point = if digits.contains('.') { "" } else { ".0" };
                let sign = if exponent.starts_with(['-', '+']) { "" } else { "+" };
                write!(writer, "{digits}{point}e{sign}{exponent}")
            }
            None => writer.write_all(text.as_bytes()),
        }
    }
}

/// Reads a sweep file. `file` is named in problems.
///
/// # Errors
/// Every problem of it at once.
pub fn read_sweep_file(text: &str, file: &str) -> Result<SweepFile, Problems> {
    let root = read_mapping(text, file)?;
    let mut reader = Reader { problems: Vec::new() };
    let runs = reader.root(&root);
    if !reader.problems.is_empty() {
        return Err(Problems::new(reader.problems));
    }
    let text = |key: &str| root.get(key).and_then(Node::as_str).map(str::to_owned);
    let (name, project, entity) = (text("name"), text("project"), text("entity"));
    let Value::Object(config) = root.to_json() else { unreachable!("read_mapping answers a mapping") };
    Ok(SweepFile { config, name, project, entity, runs })
}

struct Reader {
    problems: Vec<Problem>,
}

impl Reader {
    fn refuse(&mut self, at: &Position, message: impl Into<String>, hint: &str) {
        self.problems.push(Problem::error(at, message).hint(hint));
    }

    /// The whole file; answers how many runs there will be.
    fn root(&mut self, root: &Node) -> Option<u64> {
        self.program(root);
        for (key, hint) in [
            ("job", "push it with `wandb launch-sweep`, or say `program:` and give the image to this command"),
            ("image_uri", "leave it out and give the image with --image"),
            ("launch", "leave it out: the queue of the blueprint says where agents run"),
            ("scheduler", "leave it out: agents ask W&B itself"),
            ("controller", "leave it out: W&B's own controller is used"),
        ] {
            if let Some(entry) = root.entry(key) {
                self.refuse(&entry.at, format!("`{key}` belongs to sweeps of another kind"), hint);
            }
        }
        let method = self.method(root);
        let size = self.parameters(root, method);
        if method == Some("bayes") && root.get("metric").and_then(|metric| metric.get("name")).is_none() {
            self.refuse(
                &root.at,
                "Bayesian search has no metric to go by",
                "add `metric: {name: loss, goal: minimize}`",
            );
        }
        if let Some(goal) = root.get("metric").and_then(|metric| metric.get("goal"))
            && !matches!(goal.as_str(), Some("minimize" | "maximize"))
        {
            self.refuse(&goal.at, "a metric's goal is minimize or maximize", "write `goal: minimize`");
        }
        let cap = root.get("run_cap").and_then(|cap| match cap.to_json().as_u64() {
            Some(cap) if cap > 0 => Some(cap),
            _ => {
                self.refuse(
                    &cap.at,
                    format!("`run_cap` is a number of runs, not {}", cap.describe()),
                    "write `run_cap: 20`",
                );
                None
            }
        });
        match (size, cap) {
            (Some(size), Some(cap)) => Some(size.min(cap)),
            (size, cap) => size.or(cap),
        }
    }

    /// What agents start: `program`, unless a command of its own does not name it.
    fn program(&mut self, root: &Node) {
        let command = root.get("command");
        if let Some(command) = command
            && (command.items().is_empty() || !matches!(command.content, Content::Sequence(_)))
        {
            self.refuse(
                &command.at,
                format!("`command` is a list of words, not {}", command.describe()),
                "write `command: [python, train.py, \"${args}\"]`",
            );
        }
        let named =
            command.is_none_or(|command| command.items().iter().any(|word| word.as_str() == Some("${program}")));
        match root.get("program") {
            Some(program) if program.as_str().is_none_or(str::is_empty) => {
                self.refuse(
                    &program.at,
                    format!("`program` is the path of a script in the image, not {}", program.describe()),
                    "write `program: train.py`",
                );
            }
            None if named => {
                self.refuse(
                    &root.at,
                    "there is no `program`: agents would not know what to start",
                    "add `program: train.py`, a path in the image",
                );
            }
            Some(_) | None => {}
        }
    }

    fn method<'n>(&mut self, root: &'n Node) -> Option<&'n str> {
        let words = "write `method: grid`, `random` or `bayes`";
        let Some(method) = root.get("method") else {
            self.refuse(&root.at, "there is no `method`", words);
            return None;
        };
        let known = method.as_str().filter(|word| ["grid", "random", "bayes"].contains(word));
        if known.is_none() {
            self.refuse(&method.at, "there is no such search method", words);
        }
        known
    }

    /// Answers how many combinations a grid has.
    fn parameters(&mut self, root: &Node, method: Option<&str>) -> Option<u64> {
        let hint = "add `parameters: {lr: {values: [0.1, 0.01]}}`";
        let Some(parameters) = root.get("parameters") else {
            self.refuse(&root.at, "there are no `parameters`: nothing is searched", hint);
            return None;
        };
        if parameters.entries().is_empty() {
            self.refuse(&parameters.at, "`parameters` is empty: nothing is searched", hint);
            return None;
        }
        let size = self.group(parameters, method);
        size.filter(|_| method == Some("grid"))
    }

    fn group(&mut self, parameters: &Node, method: Option<&str>) -> Option<u64> {
        let mut size = Some(1_u64);
        for entry in parameters.entries() {
            let count = match entry.value.get("parameters") {
                Some(inner) => self.group(inner, method),
                None => self.parameter(&entry.key, &entry.value, method),
            };
            size = size.zip(count).and_then(|(size, count)| size.checked_mul(count));
        }
        size
    }

    /// Answers how many values it has; `None` for those that cannot be counted.
    fn parameter(&mut self, name: &str, parameter: &Node, method: Option<&str>) -> Option<u64> {
        if !matches!(parameter.content, Content::Mapping(_)) {
            self.refuse(
                &parameter.at,
                format!("parameter {name} is {}", parameter.describe()),
                "write `{value: …}`, `{values: […]}` or `{min: …, max: …}`",
            );
            return None;
        }
        if parameter.get("value").is_some() {
            return Some(1);
        }
        if let Some(values) = parameter.get("values") {
            if values.items().is_empty() {
                self.refuse(&values.at, format!("parameter {name} has no values"), "write `values: [0.1, 0.01]`");
            }
            return u64::try_from(values.items().len()).ok();
        }
        let distribution = parameter.get("distribution").and_then(Node::as_str);
        let (low, high) = (parameter.get("min"), parameter.get("max"));
        for bound in [low, high].into_iter().flatten() {
            if !matches!(bound.content, Content::Number { .. }) {
                self.refuse(
                    &bound.at,
                    format!("a bound of parameter {name} is {}, not a number", bound.describe()),
                    "write it without quotes",
                );
                return None;
            }
        }
        let number = |node: Option<&Node>| node.and_then(|node| node.to_json().as_f64());
        let bounds = number(low).zip(number(high));
        if let Some((min, max)) = bounds
            && min > max
        {
            self.refuse(
                &parameter.at,
                format!("the bounds of parameter {name} are in the wrong order"),
                "write the smaller one as `min`",
            );
        }
        if distribution.is_none() && bounds.is_none() {
            self.refuse(
                &parameter.at,
                format!("parameter {name} says no values"),
                "write `{value: …}`, `{values: […]}` or `{min: …, max: …}`",
            );
            return None;
        }
        let whole = |node: Option<&Node>| node.is_some_and(|node| node.to_json().is_i64() || node.to_json().is_u64());
        // As the SDK fills it in; it does not take one whole bound and one that is not (`_validate_config_and_fill_distribution`).
        let meant = match distribution {
            Some(named) => named,
            None if whole(low) && whole(high) => "int_uniform",
            None if whole(low) != whole(high) => {
                self.refuse(
                    &parameter.at,
                    format!(
                        "parameter {name} has a whole bound and one that is not: which numbers are meant is not said"
                    ),
                    "write both as 1.0 and 2.0 or both as 1 and 2, or add `distribution:`",
                );
                return None;
            }
            None => "uniform",
        };
        if method == Some("grid") && !COUNTABLE.contains(&meant) {
            self.refuse(
                &parameter.at,
                format!("grid search tries every value, and those of parameter {name} ({meant}) cannot be counted"),
                "list them as `values`, or search by `random`",
            );
            return None;
        }
        match (meant, bounds) {
            // Whole numbers, as was seen.
            ("int_uniform", Some((min, max))) => Some((max - min).max(0.0) as u64 + 1),
            ("q_uniform", Some((min, max))) => {
                let step = number(parameter.get("q")).filter(|step| *step > 0.0).unwrap_or(1.0);
                Some(((max - min).max(0.0) / step) as u64 + 1)
            }
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> SweepFile {
        read_sweep_file(text, "sweep.yaml").unwrap_or_else(|problems| panic!("{problems}"))
    }

    fn refused(text: &str) -> String {
        read_sweep_file(text, "sweep.yaml").unwrap_err().to_string()
    }

    const GOOD: &str =
        "program: train.py\nmethod: grid\nparameters:\n  lr: {values: [0.1, 0.01]}\n  size: {min: 1, max: 3}\n";

    #[test]
    fn runs_are_counted_where_the_search_has_an_end() {
        assert_eq!(read(GOOD).runs, Some(6));
        assert_eq!(read(&format!("{GOOD}run_cap: 4\n")).runs, Some(4));
        let random = "program: t.py\nmethod: random\nparameters: {lr: {min: 0.1, max: 0.2}}\n";
        assert_eq!(read(random).runs, None);
        assert_eq!(read(random).with("x", Some(7)).runs, Some(7));
        assert_eq!(read(GOOD).with("x", Some(70)).runs, Some(6));
        let nested =
            "program: t.py\nmethod: grid\nparameters: {o: {parameters: {a: {values: [1, 2]}, b: {value: 1}}}}\n";
        assert_eq!(read(nested).runs, Some(2));
    }

    #[test]
    fn numbers_stay_numbers_for_whoever_reads_yaml_1_1() {
        let file = read(
            "program: t.py\nmethod: random\nparameters: {lr: {min: 1e-7, max: 1e+30}, size: {values: [1, 2.5]}}\n",
        );
        let text = file.with("s", None).text();
        assert!(text.contains("\"min\":1.0e-7") && text.contains("\"max\":1.0e+30"), "{text}");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["parameters"]["size"]["values"][1], 2.5);
    }

    #[test]
    fn what_w_and_b_could_not_work_with_is_named_with_its_place() {
        for (text, place, words) in [
            ("program: t.py\nparameters: {a: {value: 1}}\n", "sweep.yaml:1:1", "there is no `method`"),
            ("program: t.py\nmethod: gird\nparameters: {a: {value: 1}}\n", "sweep.yaml:2:9", "no such search method"),
            ("program: t.py\nmethod: grid\n", "sweep.yaml:1:1", "there are no `parameters`"),
            ("program: t.py\nmethod: grid\nparameters: {}\n", "sweep.yaml:3:13", "`parameters` is empty"),
            ("method: grid\nparameters: {a: {value: 1}}\n", "sweep.yaml:1:1", "there is no `program`"),
            ("program: t.py\nmethod: grid\nparameters: {a: {values: []}}\n", "sweep.yaml:3:26", "a has no values"),
            ("program: t.py\nmethod: grid\nparameters: {a: 1}\n", "sweep.yaml:3:17", "a is the number 1"),
            (
                "program: t.py\nmethod: grid\nparameters: {a: {min: 0.1, max: 0.2}}\n",
                "sweep.yaml:3:17",
                "cannot be counted",
            ),
            ("program: t.py\nmethod: random\nparameters: {a: {min: 1, max: 0.2}}\n", "sweep.yaml:3:17", "wrong order"),
            ("program: t.py\nmethod: random\nparameters: {a: {min: 1, max: 2.5}}\n", "sweep.yaml:3:17", "not said"),
            (
                "program: t.py\nmethod: random\nparameters: {a: {min: '1e-5', max: 2.5}}\n",
                "sweep.yaml:3:23",
                "not a number",
            ),
            ("program: t.py\nmethod: bayes\nparameters: {a: {min: 1, max: 2}}\n", "sweep.yaml:1:1", "no metric"),
            (
                "program: t.py\nmethod: grid\nmetric: {name: l, goal: min}\nparameters: {a: {value: 1}}\n",
                "sweep.yaml:3:25",
                "minimize or maximize",
            ),
            ("program: t.py\nmethod: grid\nrun_cap: 0\nparameters: {a: {value: 1}}\n", "sweep.yaml:3:10", "run_cap"),
            (
                "image_uri: i\nprogram: t.py\nmethod: grid\nparameters: {a: {value: 1}}\n",
                "sweep.yaml:1:1",
                "another kind",
            ),
            (
                "program: t.py\ncommand: python\nmethod: grid\nparameters: {a: {value: 1}}\n",
                "sweep.yaml:2:10",
                "list of words",
            ),
            ("program: t.py\nmethod: grid\nparameters: {n: {value: no}}\n", "sweep.yaml:3:14", "n"),
            ("- a\n", "sweep.yaml:1:1", "a mapping"),
            ("", "sweep.yaml:1:1", "a mapping"),
        ] {
            let problems = refused(text);
            assert!(problems.contains(words) && problems.contains(place), "{text}: {problems}");
        }
        // A command that names no program needs none.
        read("command: [python, t.py, \"${args}\"]\nmethod: grid\nparameters: {a: {value: 1}}\n");
    }
}

//! The rights of a launch agent in the namespace of its jobs: what each is for, and the table of docs/launch-rbac.md.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::{Value, json};

use super::audit::{Answers, Request};

/// How the agent was installed, which it knows by `WANDB_RELEASE_NAME`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// By hand: it makes a Secret with the key for each run, and takes it away.
    Plain,
    /// By Helm: one Secret for all runs, which the chart made.
    Helm,
}

impl Mode {
    /// Its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Helm => "helm",
        }
    }
}

/// One right.
#[derive(Debug, Clone, Copy)]
pub struct Right {
    group: &'static str,
    /// The resource.
    pub resource: &'static str,
    /// The verb.
    pub verb: &'static str,
    modes: &'static [Mode],
    when: &'static str,
}

const BOTH: &[Mode] = &[Mode::Plain, Mode::Helm];

const RIGHTS: [Right; 9] = [
    Right {
        group: "",
        resource: "secrets",
        verb: "create",
        modes: BOTH,
        when: "every job, first of all; with Helm it is answered 409, and is needed all the same",
    },
    Right {
        group: "",
        resource: "secrets",
        verb: "get",
        modes: &[Mode::Helm],
        when: "every job, after that 409: the key is compared",
    },
    Right { group: "", resource: "secrets", verb: "delete", modes: &[Mode::Plain], when: "after every job" },
    Right { group: "batch", resource: "jobs", verb: "create", modes: BOTH, when: "every job" },
    Right { group: "batch", resource: "jobs", verb: "watch", modes: BOTH, when: "from the first job on, for ever" },
    Right {
        group: "batch",
        resource: "jobs",
        verb: "delete",
        modes: BOTH,
        when: "a stopped run whose program goes on",
    },
    Right { group: "", resource: "pods", verb: "watch", modes: BOTH, when: "from the first job on, for ever" },
    Right {
        group: "",
        resource: "pods",
        verb: "list",
        modes: BOTH,
        when: "a job that ended without wandb.init: its log is wanted",
    },
    Right { group: "", resource: "pods/log", verb: "get", modes: BOTH, when: "the same" },
];

impl Right {
    /// Whether the request uses it.
    pub fn is(&self, request: &Request) -> bool {
        (self.group, self.resource, self.verb) == (&request.group, &request.resource, &request.verb)
    }
}

/// The rights that an agent is given.
pub fn of(mode: Mode) -> Vec<Right> {
    RIGHTS.iter().filter(|right| right.modes.contains(&mode)).copied().collect()
}

/// The rules of its Role.
pub fn rules(mode: Mode) -> Value {
    let rule = |right: Right| json!({"apiGroups": [right.group], "resources": [right.resource], "verbs": [right.verb]});
    of(mode).into_iter().map(rule).collect()
}

/// The rights of a Role's rules, each as in the table: `("batch", "jobs", "watch")`; in their order.
pub fn granted(rules: &Value) -> BTreeSet<(String, String, String)> {
    let words = |value: &Value| -> Vec<String> {
        value.as_array().into_iter().flatten().map(|word| word.as_str().expect("a word").to_owned()).collect()
    };
    let mut rights = BTreeSet::new();
    for rule in rules.as_array().into_iter().flatten() {
        for group in words(&rule["apiGroups"]) {
            for resource in words(&rule["resources"]) {
                for verb in words(&rule["verbs"]) {
                    rights.insert((group.clone(), resource.clone(), verb));
                }
            }
        }
    }
    rights
}

/// Holds the Role of charts/launch-agent in a namespace of jobs to the measured column "Helm".
pub fn chart() {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/launch-agent");
    let values = [
        "apiKeySecret.name=wandb-api-key-launch-main",
        "launchConfig.entity=team",
        "launchConfig.queues={q}",
        "jobs[0].namespace=jobs",
    ];
    let mut helm = std::process::Command::new(super::support::helm_program());
    helm.args(["template", "launch-main", chart, "--namespace", "wandb"]);
    for value in values {
        helm.args(["--set", value]);
    }
    let output = helm.output().expect("helm starts");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("YAML");
    let objects = wbk_infra::blueprint::read_manifests(&text, "chart").unwrap_or_else(|problems| panic!("{problems}"));
    let mut roles = objects.iter().map(|(object, _)| object).filter(|object| object["kind"] == "Role");
    let role = roles.next().expect("a Role");
    assert_eq!(role["metadata"]["namespace"], "jobs");
    assert_eq!(roles.next(), None, "without builds it needs nothing in its own namespace");
    assert_eq!(granted(&role["rules"]), granted(&rules(Mode::Helm)));
    for rule in role["rules"].as_array().into_iter().flatten() {
        let reads = rule["resources"] == json!(["secrets"]) && rule["verbs"] == json!(["get"]);
        let named = json!(["wandb-api-key-launch-main"]);
        assert_eq!(rule.get("resourceNames"), reads.then_some(&named), "only the key's own Secret is read: {rule}");
    }
    assert!(objects.iter().all(|(object, _)| object["kind"] != "ClusterRole"));
}

/// Holds what an agent did to what it may: nothing was refused, nothing else was asked.
pub fn within(mode: Mode, version: &str, seen: &BTreeMap<Request, Answers>) {
    let who = format!("{version}, {}", mode.name());
    let rights = of(mode);
    for (request, answers) in seen {
        eprintln!(
            "  {who}: {} {} {} in {}: {answers:?}",
            request.verb, request.group, request.resource, request.namespace
        );
        assert!(!answers.contains_key(&403), "{who}: refused: {request:?}");
        assert!(rights.iter().any(|right| right.is(request)), "{who} asked for what is not written down: {request:?}");
    }
}

/// Holds what an agent did to what it may: nothing was refused, nothing else was asked, nothing was granted in vain.
pub fn hold(mode: Mode, version: &str, seen: &BTreeMap<Request, Answers>) {
    within(mode, version, seen);
    let who = format!("{version}, {}", mode.name());
    for right in of(mode) {
        assert!(seen.keys().any(|request| right.is(request)), "{who} never used {} {}", right.verb, right.resource);
    }
}

/// Holds the table in the documentation to [`RIGHTS`]; `UPDATE_EXPECTED=1` writes it.
pub fn document() {
    const BEGIN: &str = "<!-- measured -->\n";
    const END: &str = "<!-- end -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/launch-rbac.md");
    let text = std::fs::read_to_string(&path).expect("the page is there");
    let mut table = String::from("| resource | verb | plain | Helm | when |\n|---|---|---|---|---|\n");
    for right in RIGHTS {
        let group = if right.group.is_empty() { String::new() } else { format!("{}/", right.group) };
        let has = |mode| if right.modes.contains(&mode) { "yes" } else { "" };
        let cells = [
            format!("{group}{}", right.resource),
            right.verb.into(),
            has(Mode::Plain).into(),
            has(Mode::Helm).into(),
            right.when.into(),
        ];
        table.push_str(&format!("| {} |\n", cells.join(" | ")));
    }
    let (before, rest) = text.split_once(BEGIN).expect("the page has a place for the table");
    let (held, after) = rest.split_once(END).expect("the table has an end");
    if std::env::var_os("UPDATE_EXPECTED").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{table}{END}{after}")).expect("the page can be written");
    } else {
        assert_eq!(held, table, "docs/launch-rbac.md is not what is measured: UPDATE_EXPECTED=1 writes it");
    }
}

/// One request of each kind that a plain agent may make, answered well.
fn all_of_them() -> BTreeMap<Request, Answers> {
    let request = |right: Right| Request {
        namespace: "jobs".into(),
        group: right.group.into(),
        resource: right.resource.into(),
        verb: right.verb.into(),
    };
    of(Mode::Plain).into_iter().map(|right| (request(right), Answers::from([(200, 1)]))).collect()
}

#[test]
fn exactly_the_rights_pass() {
    hold(Mode::Plain, "0", &all_of_them());
}

#[test]
#[should_panic(expected = "refused")]
fn a_refused_request_does_not_pass() {
    let mut seen = all_of_them();
    if let Some(answers) = seen.values_mut().next() {
        answers.insert(403, 1);
    }
    hold(Mode::Plain, "0", &seen);
}

#[test]
#[should_panic(expected = "not written down")]
fn a_request_that_the_table_lacks_does_not_pass() {
    let mut seen = all_of_them();
    let extra =
        Request { namespace: "jobs".into(), group: String::new(), resource: "nodes".into(), verb: "list".into() };
    seen.insert(extra, Answers::from([(200, 1)]));
    hold(Mode::Plain, "0", &seen);
}

#[test]
#[should_panic(expected = "never used")]
fn a_right_that_nobody_used_does_not_pass() {
    let mut seen = all_of_them();
    seen.pop_first();
    hold(Mode::Plain, "0", &seen);
}

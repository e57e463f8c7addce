//! Pure: what RBAC rules allow, as single questions to the authorizer, and who is bound to what.

use std::collections::BTreeSet;

use serde_json::{Map, Value, json};

use super::{namespace, of_kind};
use crate::cluster::text;
use crate::desired::{Desired, DesiredObject};

/// A service account.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Account {
    pub(super) namespace: String,
    pub(super) name: String,
}

impl std::fmt::Display for Account {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

/// One question: may it do this?
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) struct Question {
    pub(super) verb: String,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) subresource: String,
    pub(super) name: String,
    /// A path outside the resources, `/metrics`; then only the verb counts beside it.
    pub(super) path: String,
    /// Empty: in all namespaces, or cluster-scoped.
    pub(super) namespace: String,
}

impl std::fmt::Display for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        if !self.path.is_empty() {
            return write!(f, "{} {}", self.verb, self.path);
        }
        write!(f, "{} {}", self.verb, self.resource)?;
        if !self.group.is_empty() {
            write!(f, ".{}", self.group)?;
        }
        if !self.subresource.is_empty() {
            write!(f, "/{}", self.subresource)?;
        }
        if !self.name.is_empty() {
            write!(f, " {}", self.name)?;
        }
        match self.namespace.as_str() {
            "" => f.write_str(" cluster-wide"),
            namespace => write!(f, " in {namespace}"),
        }
    }
}

impl Question {
    /// The SubjectAccessReview that asks it for an account; the groups are those that the API server gives it.
    pub(super) fn review(&self, account: &Account) -> Value {
        let Account { namespace, name } = account;
        let mut spec = json!({
            "user": format!("system:serviceaccount:{namespace}:{name}"),
            "groups": groups(account),
        });
        if self.path.is_empty() {
            let fields = [
                ("verb", &self.verb),
                ("group", &self.group),
                ("resource", &self.resource),
                ("subresource", &self.subresource),
                ("name", &self.name),
                ("namespace", &self.namespace),
            ];
            let attributes: Map<String, Value> = fields
                .into_iter()
                .filter(|(_, value)| !value.is_empty())
                .map(|(key, value)| (key.to_owned(), json!(value)))
                .collect();
            spec["resourceAttributes"] = Value::Object(attributes);
        } else {
            spec["nonResourceAttributes"] = json!({"verb": self.verb, "path": self.path});
        }
        json!({"apiVersion": "authorization.k8s.io/v1", "kind": "SubjectAccessReview", "spec": spec})
    }
}

fn groups(account: &Account) -> [String; 3] {
    [
        "system:serviceaccounts".into(),
        format!("system:serviceaccounts:{}", account.namespace),
        "system:authenticated".into(),
    ]
}

fn list<'a>(rule: &'a Value, key: &str) -> Vec<&'a str> {
    rule.get(key).and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Everything that rules allow, question by question. A `*` is asked as `*`, which only a `*` allows.
pub(super) fn questions(rules: &[Value], namespace: &str) -> Vec<Question> {
    let mut all = BTreeSet::new();
    for rule in rules {
        let names = match list(rule, "resourceNames") {
            names if names.is_empty() => vec![""],
            names => names,
        };
        for verb in list(rule, "verbs") {
            for path in list(rule, "nonResourceURLs") {
                all.insert(Question { verb: verb.into(), path: path.into(), ..Question::default() });
            }
            for group in list(rule, "apiGroups") {
                for resource in list(rule, "resources") {
                    let (resource, subresource) = resource.split_once('/').unwrap_or((resource, ""));
                    for name in &names {
                        all.insert(Question {
                            verb: verb.into(),
                            group: group.into(),
                            resource: resource.into(),
                            subresource: subresource.into(),
                            name: (*name).into(),
                            path: String::new(),
                            namespace: namespace.into(),
                        });
                    }
                }
            }
        }
    }
    all.into_iter().collect()
}

/// Whether a rule allows what is asked, as the RBAC authorizer decides (a question about all objects, without a name,
/// is not allowed by a rule about some).
pub(super) fn allows(rule: &Value, question: &Question) -> bool {
    let any = |key: &str, wanted: &str| list(rule, key).iter().any(|one| *one == "*" || *one == wanted);
    let names = list(rule, "resourceNames");
    let full = match question.subresource.as_str() {
        "" => question.resource.clone(),
        subresource => format!("{}/{subresource}", question.resource),
    };
    question.path.is_empty()
        && any("verbs", &question.verb)
        && any("apiGroups", &question.group)
        && any("resources", &full)
        && (names.is_empty() || names.contains(&question.name.as_str()))
}

/// The service accounts that a binding names.
pub(super) fn accounts(binding: &DesiredObject) -> Vec<Account> {
    let subjects = binding.manifest.get("subjects").and_then(Value::as_array);
    subjects
        .into_iter()
        .flatten()
        .filter(|subject| text(subject, "/kind") == "ServiceAccount")
        .map(|subject| {
            let own = text(subject, "/namespace");
            let namespace = if own.is_empty() { binding.id.namespace.as_deref().unwrap_or("") } else { own };
            Account { namespace: namespace.into(), name: text(subject, "/name").into() }
        })
        .collect()
}

/// Whether a binding binds an account, by name or by a group that every account is in.
pub(super) fn binds(binding: &DesiredObject, account: &Account) -> bool {
    let subjects = binding.manifest.get("subjects").and_then(Value::as_array);
    let in_group = subjects.into_iter().flatten().any(|subject| {
        text(subject, "/kind") == "Group" && groups(account).iter().any(|group| group == text(subject, "/name"))
    });
    in_group || accounts(binding).contains(account)
}

/// Bindings of both kinds that the blueprint asks for.
pub(super) fn bindings(desired: &Desired) -> impl Iterator<Item = &DesiredObject> {
    let group = "rbac.authorization.k8s.io";
    of_kind(desired, group, "RoleBinding").chain(of_kind(desired, group, "ClusterRoleBinding"))
}

/// Every account of which the blueprint speaks: bound ones, made ones, and `default` where Jobs run.
pub(super) fn all_accounts(desired: &Desired) -> BTreeSet<Account> {
    let bound = bindings(desired).flat_map(accounts);
    let made = of_kind(desired, "", "ServiceAccount")
        .map(|account| Account { namespace: namespace(account).into(), name: account.id.name.clone() });
    let jobs = desired.promises.job_namespaces.iter();
    let jobs = jobs.map(|namespace| Account { namespace: namespace.clone(), name: "default".into() });
    bound.chain(made).chain(jobs).collect()
}

/// What no account of a platform should be able to do unless the blueprint grants it: each is a step to owning the
/// cluster.
pub(super) fn forbidden() -> Vec<Question> {
    let question = |verb: &str, group: &str, resource: &str| Question {
        verb: verb.into(),
        group: group.into(),
        resource: resource.into(),
        ..Question::default()
    };
    vec![
        question("list", "", "secrets"),
        question("patch", "", "nodes"),
        question("create", "rbac.authorization.k8s.io", "clusterrolebindings"),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::verify::checks::fixture::object;

    fn rule() -> Value {
        json!({"apiGroups": ["batch"], "resources": ["jobs", "jobs/status"], "verbs": ["get", "create"]})
    }

    #[test]
    fn a_rule_becomes_one_question_for_each_verb_and_resource() {
        let asked: Vec<String> = questions(&[rule()], "a").iter().map(ToString::to_string).collect();
        assert_eq!(
            asked,
            [
                "create jobs.batch in a",
                "create jobs.batch/status in a",
                "get jobs.batch in a",
                "get jobs.batch/status in a"
            ]
        );
        let named = json!({"apiGroups": [""], "resources": ["configmaps"], "resourceNames": ["x"], "verbs": ["get"]});
        assert_eq!(questions(&[named], "")[0].to_string(), "get configmaps x cluster-wide");
        let path = json!({"nonResourceURLs": ["/metrics"], "verbs": ["get"]});
        assert_eq!(questions(&[path], "a")[0].to_string(), "get /metrics");
    }

    #[test]
    fn every_question_of_a_rule_is_allowed_by_it() {
        for question in questions(&[rule()], "a") {
            assert!(allows(&rule(), &question), "{question}");
        }
    }

    #[test]
    fn wildcards_allow_and_names_do_not() {
        let all = json!({"apiGroups": ["*"], "resources": ["*"], "verbs": ["*"]});
        assert!(forbidden().iter().all(|question| allows(&all, question)));
        let some = json!({"apiGroups": [""], "resources": ["secrets"], "resourceNames": ["x"], "verbs": ["list"]});
        assert!(!allows(&some, &forbidden()[0]));
        assert!(!allows(&rule(), &forbidden()[0]));
    }

    #[test]
    fn a_review_asks_for_the_account_with_its_groups() {
        let account = Account { namespace: "a".into(), name: "s".into() };
        let review = forbidden()[1].review(&account);
        assert_eq!(review["spec"]["user"], json!("system:serviceaccount:a:s"));
        assert_eq!(review["spec"]["groups"][1], json!("system:serviceaccounts:a"));
        assert_eq!(review["spec"]["resourceAttributes"], json!({"verb": "patch", "resource": "nodes"}));
    }

    #[test]
    fn subjects_are_read_with_the_bindings_namespace() {
        let binding = object(json!({"apiVersion": "rbac.authorization.k8s.io/v1", "kind": "RoleBinding",
            "metadata": {"name": "b", "namespace": "a"},
            "subjects": [{"kind": "ServiceAccount", "name": "s"}, {"kind": "User", "name": "u"},
                {"kind": "Group", "name": "system:serviceaccounts:other"}]}));
        let own = Account { namespace: "a".into(), name: "s".into() };
        assert_eq!(accounts(&binding), std::slice::from_ref(&own));
        assert!(binds(&binding, &own));
        assert!(binds(&binding, &Account { namespace: "other".into(), name: "x".into() }), "by group");
        assert!(!binds(&binding, &Account { namespace: "a".into(), name: "t".into() }));
    }
}

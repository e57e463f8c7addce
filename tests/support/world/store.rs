//! The objects of a cluster, written as an API server writes them: server-side apply with a set of fields for each
//! manager (lists are atomic), uids, resource versions, finalizers, namespaces that take what is in them with them, kinds
//! that come with definitions, fields that cannot change.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value, json};

/// Plural and group, namespace (empty for none), name.
pub type Key = (String, String, String, String);

/// Names an object: plural, group, namespace, name.
pub fn key(plural: &str, group: &str, namespace: &str, name: &str) -> Key {
    (plural.into(), group.into(), namespace.into(), name.into())
}

/// One kind that is served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Kind {
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub namespaced: bool,
}

/// A path of fields from the root; a list is a leaf.
type Path = Vec<String>;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Manager {
    pub name: String,
    pub operation: &'static str,
    pub subresource: String,
    pub time: i64,
    pub fields: BTreeSet<Path>,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Object {
    /// Without managed fields, uid, resource version and status.
    pub content: Value,
    pub uid: String,
    pub version: u64,
    pub generation: u64,
    pub deleting: bool,
    pub managers: Vec<Manager>,
}

/// An answer that is no success: the status code, its reason, its words and, for conflicts, who holds what.
#[derive(Debug)]
pub struct Refusal {
    pub code: u16,
    pub reason: &'static str,
    pub words: String,
    pub conflicts: Vec<(String, String)>,
}

fn refusal(code: u16, reason: &'static str, words: impl Into<String>) -> Refusal {
    Refusal { code, reason, words: words.into(), conflicts: Vec::new() }
}

/// An apply as it is sent.
pub struct Apply<'a> {
    pub manager: &'a str,
    pub force: bool,
    pub dry: bool,
    pub manifest: &'a Value,
}

#[derive(Debug, Clone, Default, PartialEq)]
pub struct Store {
    pub objects: BTreeMap<Key, Object>,
    /// Kinds (plurals) that may not be listed.
    pub unseen: BTreeSet<String>,
    /// Objects that admission refuses, with its words.
    pub refused: BTreeMap<Key, String>,
    /// Every change, in order: verb and object.
    pub log: Vec<(&'static str, Key)>,
    clock: u64,
}

const NAMESPACED: [(&str, &str, &str, &str); 14] = [
    ("", "v1", "ConfigMap", "configmaps"),
    ("", "v1", "Secret", "secrets"),
    ("", "v1", "ServiceAccount", "serviceaccounts"),
    ("", "v1", "ResourceQuota", "resourcequotas"),
    ("", "v1", "LimitRange", "limitranges"),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims"),
    ("", "v1", "Service", "services"),
    ("", "v1", "Pod", "pods"),
    ("apps", "v1", "Deployment", "deployments"),
    ("batch", "v1", "Job", "jobs"),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers"),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles"),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings"),
    ("coordination.k8s.io", "v1", "Lease", "leases"),
];
const CLUSTER: [(&str, &str, &str, &str); 6] = [
    ("", "v1", "Namespace", "namespaces"),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles"),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses"),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses"),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions"),
    ("admissionregistration.k8s.io", "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations"),
];

/// What a write must not change, with the server's words (Kubernetes 1.36).
const IMMUTABLE: [(&str, &str, &str); 4] = [
    ("priorityclasses", "/value", "value: Forbidden: may not be changed in an update."),
    ("persistentvolumeclaims", "/spec", "spec: Forbidden: spec is immutable after creation except resources.requests"),
    ("storageclasses", "/provisioner", "provisioner: Forbidden: updates to provisioner are forbidden."),
    ("deployments", "/spec/selector", "spec.selector: Invalid value: field is immutable"),
];

impl Store {
    /// An empty cluster with its own namespaces.
    pub fn new(uid: &str) -> Self {
        let mut store = Self { clock: 1_700_000_000, ..Self::default() };
        for name in ["default", "kube-system"] {
            let manifest = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}});
            store.update("kube-apiserver", "", &manifest);
        }
        if let Some(system) = store.objects.get_mut(&key("namespaces", "", "", "kube-system")) {
            system.uid = uid.to_owned();
        }
        store
    }

    pub fn kinds(&self) -> Vec<Kind> {
        let kind = |namespaced: bool| {
            move |(group, version, kind, plural): &(&str, &str, &str, &str)| Kind {
                group: (*group).into(),
                version: (*version).into(),
                kind: (*kind).into(),
                plural: (*plural).into(),
                namespaced,
            }
        };
        let mut kinds: Vec<Kind> = NAMESPACED.iter().map(kind(true)).chain(CLUSTER.iter().map(kind(false))).collect();
        for (at, object) in &self.objects {
            let text = |pointer: &str| object.content.pointer(pointer)?.as_str().map(str::to_owned);
            if at.0 == "customresourcedefinitions"
                && let (Some(group), Some(kind), Some(plural)) =
                    (text("/spec/group"), text("/spec/names/kind"), text("/spec/names/plural"))
            {
                let namespaced = text("/spec/scope").as_deref() == Some("Namespaced");
                kinds.push(Kind { group, version: "v1".into(), kind, plural, namespaced });
            }
        }
        kinds
    }

    /// The key of a manifest, where its kind is served.
    pub fn key_of(&self, manifest: &Value) -> Option<Key> {
        let text = |pointer: &str| manifest.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
        let api = text("/apiVersion");
        let group = api.rsplit_once('/').map_or("", |(group, _)| group).to_owned();
        let kind = self.kinds().into_iter().find(|kind| kind.group == group && kind.kind == text("/kind"))?;
        let namespace = if kind.namespaced { text("/metadata/namespace") } else { String::new() };
        Some((kind.plural, group, namespace, text("/metadata/name")))
    }

    fn tick(&mut self) -> u64 {
        self.clock += 1;
        self.clock
    }

    fn may_be_made(&self, at: &Key) -> Result<(), Refusal> {
        if let Some(words) = self.refused.get(at) {
            return Err(refusal(422, "Invalid", words.clone()));
        }
        if at.2.is_empty() {
            return Ok(());
        }
        match self.objects.get(&key("namespaces", "", "", &at.2)) {
            None => Err(refusal(404, "NotFound", format!("namespaces {:?} not found", at.2))),
            Some(namespace) if namespace.deleting => Err(refusal(
                403,
                "Forbidden",
                format!(
                    "{} is forbidden: unable to create new content in namespace {} because it is being terminated",
                    at.3, at.2
                ),
            )),
            Some(_) => Ok(()),
        }
    }

    /// A server-side apply. Answers whether it created, and the object.
    pub fn apply(&mut self, at: &Key, apply: &Apply<'_>) -> Result<(bool, Object), Refusal> {
        let Apply { manager, force, dry, manifest } = *apply;
        let wanted = leaves(manifest);
        let meta = |name: &str| manifest.pointer(&format!("/metadata/{name}")).and_then(Value::as_str);
        let Some(live) = self.objects.get(at).cloned() else {
            if meta("uid").is_some() {
                return Err(refusal(409, "Conflict", "the object is not there any more"));
            }
            self.may_be_made(at)?;
            let entry = Manager {
                name: manager.into(),
                operation: "Apply",
                subresource: String::new(),
                time: 0,
                fields: wanted.keys().cloned().collect(),
            };
            let object = self.born(stripped(manifest), entry);
            if !dry {
                self.put("create", at, object.clone());
            }
            return Ok((true, object));
        };
        if meta("uid").is_some_and(|uid| uid != live.uid)
            || meta("resourceVersion").is_some_and(|version| version != live.version.to_string())
        {
            return Err(refusal(
                409,
                "Conflict",
                "the object has been modified; please apply your changes to the latest version",
            ));
        }
        if let Some(words) = self.refused.get(at) {
            return Err(refusal(422, "Invalid", words.clone()));
        }
        let mut next = live.clone();
        let mut conflicts = Vec::new();
        for (path, value) in &wanted {
            if get(&live.content, path) == Some(value) {
                continue;
            }
            for other in &mut next.managers {
                let is_me = other.name == manager && other.operation == "Apply" && other.subresource.is_empty();
                if !is_me && other.fields.remove(path) {
                    conflicts.push((other.name.clone(), format!(".{}", path.join("."))));
                }
            }
        }
        if !conflicts.is_empty() && !force {
            return Err(Refusal {
                code: 409,
                reason: "Conflict",
                words: format!("Apply failed with {} conflicts", conflicts.len()),
                conflicts,
            });
        }
        let mine = next
            .managers
            .iter()
            .position(|entry| entry.name == manager && entry.operation == "Apply" && entry.subresource.is_empty());
        let before = mine.map(|at| next.managers.remove(at).fields).unwrap_or_default();
        for path in before.iter().filter(|path| !wanted.contains_key(*path)) {
            if !next.managers.iter().any(|other| other.fields.contains(path)) {
                remove(&mut next.content, path);
            }
        }
        for (path, value) in &wanted {
            set(&mut next.content, path, value.clone());
        }
        next.managers.retain(|entry| !entry.fields.is_empty());
        let fields: BTreeSet<Path> = wanted.into_keys().collect();
        let same = next.content == live.content && fields == before;
        let time = live
            .managers
            .iter()
            .find(|entry| entry.name == manager && entry.operation == "Apply")
            .map(|entry| entry.time);
        let time = if same { time.unwrap_or_default() } else { i64::try_from(self.clock + 1).expect("a small clock") };
        if !fields.is_empty() {
            next.managers.push(Manager {
                name: manager.into(),
                operation: "Apply",
                subresource: String::new(),
                time,
                fields,
            });
        }
        next.managers.sort_by(|one, other| one.name.cmp(&other.name));
        if next.managers == live.managers && next.content == live.content {
            return Ok((false, live));
        }
        for (plural, pointer, words) in IMMUTABLE {
            if at.0 == plural && next.content.pointer(pointer) != live.content.pointer(pointer) {
                return Err(refusal(422, "Invalid", words));
            }
        }
        next.generation += u64::from(next.content.get("spec") != live.content.get("spec"));
        if !dry {
            self.put("update", at, next.clone());
        }
        Ok((false, next))
    }

    fn born(&mut self, content: Value, mut entry: Manager) -> Object {
        let now = self.clock + 1;
        entry.time = i64::try_from(now).expect("a small clock");
        Object {
            content,
            uid: format!("uid-{now}"),
            version: now,
            generation: 1,
            deleting: false,
            managers: vec![entry],
        }
    }

    fn put(&mut self, verb: &'static str, at: &Key, mut object: Object) {
        object.version = self.tick();
        self.objects.insert(at.clone(), object);
        self.log.push((verb, at.clone()));
    }

    /// Somebody's write of a whole object: makes it, or changes and takes the fields that differ.
    pub fn update(&mut self, manager: &str, subresource: &str, manifest: &Value) {
        let Some(at) = self.key_of(manifest) else { return };
        let wanted = leaves(manifest);
        let Some(mut object) = self.objects.get(&at).cloned() else {
            if self.may_be_made(&at).is_ok() {
                let entry = Manager {
                    name: manager.into(),
                    operation: "Update",
                    subresource: subresource.into(),
                    time: 0,
                    fields: wanted.into_keys().collect(),
                };
                let object = self.born(stripped(manifest), entry);
                self.put("other", &at, object);
            }
            return;
        };
        let changed: Vec<(Path, Value)> =
            wanted.into_iter().filter(|(path, value)| get(&object.content, path) != Some(value)).collect();
        if changed.is_empty() {
            return;
        }
        let now = i64::try_from(self.clock + 1).expect("a small clock");
        for other in &mut object.managers {
            let before = other.fields.len();
            other.fields.retain(|path| !changed.iter().any(|(changed, _)| changed == path));
            if other.fields.len() != before {
                other.time = now;
            }
        }
        object.managers.retain(|entry| !entry.fields.is_empty());
        for (path, value) in &changed {
            set(&mut object.content, path, value.clone());
        }
        let fields = changed.into_iter().map(|(path, _)| path);
        match object
            .managers
            .iter_mut()
            .find(|entry| entry.name == manager && entry.operation == "Update" && entry.subresource == subresource)
        {
            Some(entry) => {
                entry.fields.extend(fields);
                entry.time = now;
            }
            None => object.managers.push(Manager {
                name: manager.into(),
                operation: "Update",
                subresource: subresource.into(),
                time: now,
                fields: fields.collect(),
            }),
        }
        object.generation += 1;
        self.put("other", &at, object);
    }

    /// Takes a field away, whoever set it.
    pub fn strip(&mut self, at: &Key, path: &[&str]) {
        let path: Path = path.iter().map(|part| (*part).to_owned()).collect();
        if let Some(mut object) = self.objects.get(at).cloned() {
            let now = i64::try_from(self.clock + 1).expect("a small clock");
            for entry in &mut object.managers {
                if entry.fields.remove(&path) {
                    entry.time = now;
                }
            }
            object.managers.retain(|entry| !entry.fields.is_empty());
            remove(&mut object.content, &path);
            self.put("other", at, object);
        }
    }

    /// A deletion with the preconditions of a request.
    pub fn delete(&mut self, at: &Key, uid: Option<&str>, version: Option<&str>) -> Result<(), Refusal> {
        let Some(object) = self.objects.get(at) else {
            return Err(refusal(404, "NotFound", format!("{} {:?} not found", at.0, at.3)));
        };
        if uid.is_some_and(|uid| uid != object.uid)
            || version.is_some_and(|version| version != object.version.to_string())
        {
            return Err(refusal(409, "Conflict", "the UID or resourceVersion in the precondition is another"));
        }
        self.log.push(("delete", at.clone()));
        self.go(at);
        Ok(())
    }

    /// Takes an object away, and all that goes with it; finalizers hold it back.
    fn go(&mut self, at: &Key) {
        let Some(object) = self.objects.get(at) else { return };
        let group = object.content.pointer("/spec/group").and_then(Value::as_str).map(str::to_owned);
        let plural = object.content.pointer("/spec/names/plural").and_then(Value::as_str).map(str::to_owned);
        let inside: Vec<Key> = self
            .objects
            .keys()
            .filter(|other| match at.0.as_str() {
                "namespaces" => other.2 == at.3,
                "customresourcedefinitions" => Some(&other.1) == group.as_ref() && Some(&other.0) == plural.as_ref(),
                _ => false,
            })
            .cloned()
            .collect();
        for other in &inside {
            self.log.push(("collateral", other.clone()));
            self.go(other);
        }
        let held = self.objects.get(at).is_some_and(|object| !finalizers(&object.content).is_empty())
            || inside.iter().any(|other| self.objects.contains_key(other));
        if held {
            let version = self.tick();
            if let Some(object) = self.objects.get_mut(at) {
                object.deleting = true;
                object.version = version;
            }
        } else {
            self.objects.remove(at);
        }
    }

    /// The object as the server answers it.
    pub fn show(&self, at: &Key, object: &Object) -> Value {
        let mut shown = object.content.clone();
        let entries: Vec<Value> = object.managers.iter().map(entry).collect();
        shown["metadata"]["uid"] = object.uid.clone().into();
        shown["metadata"]["resourceVersion"] = object.version.to_string().into();
        shown["metadata"]["generation"] = object.generation.into();
        shown["metadata"]["managedFields"] = entries.into();
        if object.deleting {
            shown["metadata"]["deletionTimestamp"] = "2026-01-01T00:00:00Z".into();
        }
        match at.0.as_str() {
            "namespaces" => shown["status"] = json!({"phase": "Active"}),
            "deployments" => {
                let count = shown.pointer("/spec/replicas").cloned().unwrap_or_else(|| 1.into());
                shown["status"] = json!({"observedGeneration": object.generation, "updatedReplicas": count, "availableReplicas": count});
            }
            "customresourcedefinitions" => {
                shown["status"] = json!({"conditions": [
                    {"type": "Established", "status": "True"}, {"type": "NamesAccepted", "status": "True"}]});
            }
            _ => {}
        }
        shown
    }
}

pub fn finalizers(content: &Value) -> Vec<&str> {
    content
        .pointer("/metadata/finalizers")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect()
}

fn entry(manager: &Manager) -> Value {
    let mut fields = Map::new();
    for path in &manager.fields {
        let mut node = &mut fields;
        for part in path {
            node = node.entry(format!("f:{part}")).or_insert_with(|| json!({})).as_object_mut().expect("a map");
        }
    }
    let time = jiff::Timestamp::from_second(manager.time).expect("a small clock");
    let mut entry = json!({"manager": manager.name, "operation": manager.operation, "apiVersion": "v1",
        "time": time.to_string(), "fieldsType": "FieldsV1", "fieldsV1": fields});
    if !manager.subresource.is_empty() {
        entry["subresource"] = manager.subresource.clone().into();
    }
    entry
}

/// Parts of the metadata that are no fields of anybody.
const BOOKKEEPING: [&str; 7] =
    ["name", "namespace", "uid", "resourceVersion", "managedFields", "generation", "deletionTimestamp"];

fn stripped(manifest: &Value) -> Value {
    let mut content = manifest.clone();
    if let Some(metadata) = content["metadata"].as_object_mut() {
        for part in &BOOKKEEPING[2..] {
            metadata.remove(*part);
        }
    }
    content
}

fn leaves(manifest: &Value) -> BTreeMap<Path, Value> {
    let mut found = BTreeMap::new();
    let Some(root) = manifest.as_object() else { return found };
    for (name, value) in root {
        match name.as_str() {
            "apiVersion" | "kind" | "status" => {}
            "metadata" => {
                for (name, value) in value.as_object().into_iter().flatten() {
                    if !BOOKKEEPING.contains(&name.as_str()) {
                        walk(value, vec!["metadata".into(), name.clone()], &mut found);
                    }
                }
            }
            _ => walk(value, vec![name.clone()], &mut found),
        }
    }
    found
}

fn walk(value: &Value, here: Path, found: &mut BTreeMap<Path, Value>) {
    match value.as_object() {
        Some(map) if !map.is_empty() => {
            for (name, below) in map {
                let mut path = here.clone();
                path.push(name.clone());
                walk(below, path, found);
            }
        }
        _ => {
            found.insert(here, value.clone());
        }
    }
}

fn get<'a>(content: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(content, |node, part| node.get(part))
}

fn set(content: &mut Value, path: &[String], value: Value) {
    let mut node = content;
    for part in path {
        if !node.is_object() {
            *node = json!({});
        }
        node = &mut node[part.as_str()];
    }
    *node = value;
}

/// Takes a leaf away, and the maps that it leaves empty.
fn remove(content: &mut Value, path: &[String]) {
    let Some((last, parents)) = path.split_last() else { return };
    let node = parents.iter().try_fold(&mut *content, |node, part| node.get_mut(part.as_str()));
    if let Some(map) = node.and_then(Value::as_object_mut) {
        map.remove(last);
        if map.is_empty() && parents.len() > 1 {
            remove(content, parents);
        }
    }
}

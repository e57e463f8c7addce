//! An object's metadata: all that planning reads of an object that did not change.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::id::Digest;

/// What a metadata-only LIST says of one object.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Meta {
    /// Name.
    pub name: String,
    /// Namespace; `None` for cluster-scoped kinds.
    pub namespace: Option<String>,
    /// The uid: another object of the same name has another one.
    pub uid: String,
    /// Changes with every write.
    pub resource_version: String,
    /// Whether it is being deleted.
    pub deleting: bool,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Its owners as `Kind/name`; garbage collection deletes it with them.
    pub controllers: Vec<String>,
    /// What must happen before it can go.
    pub finalizers: Vec<String>,
    /// Who set which fields.
    pub managers: Vec<ManagerEntry>,
}

/// One entry of `managedFields`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct ManagerEntry {
    /// The field manager's name.
    pub manager: String,
    /// `Apply` or `Update`.
    pub operation: String,
    /// `status`, `scale`, or empty.
    pub subresource: String,
    /// When the entry last changed, seconds since 1970.
    pub time_seconds: i64,
    /// The field set in `FieldsV1` JSON.
    pub fields: Vec<u8>,
}

impl ManagerEntry {
    /// What must stay the same for the fields of this manager to be untouched.
    pub fn fingerprint(&self) -> Digest {
        let mut bytes = self.time_seconds.to_be_bytes().to_vec();
        bytes.extend_from_slice(self.operation.as_bytes());
        bytes.push(0);
        bytes.extend_from_slice(&self.fields);
        Digest::of_bytes(&bytes)
    }

    /// The time for a person and for files: RFC 3339, UTC.
    pub fn time(&self) -> String {
        jiff::Timestamp::from_second(self.time_seconds).map(|time| time.to_string()).unwrap_or_default() // Out of range: no time is known.
    }
}

impl Meta {
    /// The entry with which a manager applies (not its updates, not a subresource's).
    pub fn applied_by(&self, manager: &str) -> Option<&ManagerEntry> {
        self.managers
            .iter()
            .find(|entry| entry.manager == manager && entry.operation == "Apply" && entry.subresource.is_empty())
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonList<'a> {
    #[serde(default)]
    metadata: JsonListMeta,
    #[serde(borrow)]
    items: Vec<JsonPartial<'a>>,
}

#[derive(Deserialize, Default)]
struct JsonListMeta {
    #[serde(rename = "continue", default)]
    next: String,
}

#[derive(Deserialize)]
struct JsonPartial<'a> {
    #[serde(borrow)]
    metadata: JsonMeta<'a>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonMeta<'a> {
    name: String,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    resource_version: String,
    #[serde(default)]
    deletion_timestamp: Option<String>,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
    #[serde(default)]
    owner_references: Vec<JsonOwner>,
    #[serde(default)]
    finalizers: Vec<String>,
    #[serde(default, borrow)]
    managed_fields: Vec<JsonEntry<'a>>,
}

#[derive(Deserialize)]
struct JsonOwner {
    kind: String,
    name: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct JsonEntry<'a> {
    #[serde(default)]
    manager: String,
    #[serde(default)]
    operation: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    time: Option<String>,
    #[serde(borrow, default, rename = "fieldsV1")]
    fields: Option<&'a RawValue>,
}

impl From<JsonMeta<'_>> for Meta {
    fn from(meta: JsonMeta<'_>) -> Self {
        Self {
            name: meta.name,
            namespace: meta.namespace.filter(|namespace| !namespace.is_empty()),
            uid: meta.uid,
            resource_version: meta.resource_version,
            deleting: meta.deletion_timestamp.is_some(),
            labels: meta.labels,
            annotations: meta.annotations,
            controllers: meta
                .owner_references
                .into_iter()
                .map(|owner| format!("{}/{}", owner.kind, owner.name))
                .collect(),
            finalizers: meta.finalizers,
            managers: meta
                .managed_fields
                .into_iter()
                .map(|entry| ManagerEntry {
                    manager: entry.manager,
                    operation: entry.operation,
                    subresource: entry.subresource,
                    time_seconds: entry
                        .time
                        .and_then(|time| time.parse::<jiff::Timestamp>().ok()) // A time that is none counts as no time.
                        .map(|time| time.as_second())
                        .unwrap_or_default(),
                    fields: entry.fields.map(|raw| raw.get().as_bytes().to_vec()).unwrap_or_default(),
                })
                .collect(),
        }
    }
}

/// Decodes a list in JSON (custom resources of older servers have no protobuf form).
pub(super) fn decode_list(body: &[u8]) -> Result<(Vec<Meta>, Option<String>), String> {
    let list: JsonList<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    let next = Some(list.metadata.next).filter(|next| !next.is_empty());
    Ok((list.items.into_iter().map(|item| item.metadata.into()).collect(), next))
}

/// Decodes one object in JSON, a full one or its metadata alone.
pub(super) fn decode_one(body: &[u8]) -> Result<Meta, String> {
    let one: JsonPartial<'_> = serde_json::from_slice(body).map_err(|error| error.to_string())?;
    Ok(one.metadata.into())
}

//! The protobuf form of a metadata-only LIST: a third of the server's and a quarter of the client's work of JSON.
//!
//! Field numbers: `k8s.io/apimachinery` `pkg/apis/meta/v1/generated.proto` and `pkg/runtime/generated.proto`, v0.36.3.

use std::collections::BTreeMap;

use prost::Message;

use super::metadata::{ManagerEntry, Meta};

/// Every protobuf body of Kubernetes starts with these bytes.
const MAGIC: &[u8] = b"k8s\0";

#[derive(Message)]
struct Unknown {
    #[prost(bytes = "bytes", optional, tag = "2")]
    raw: Option<prost::bytes::Bytes>,
}

#[derive(Message)]
struct PartialList {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ListMeta>,
    #[prost(message, repeated, tag = "2")]
    items: Vec<Partial>,
}

#[derive(Message)]
struct ListMeta {
    #[prost(string, optional, tag = "3")]
    next: Option<String>,
}

#[derive(Message)]
struct Partial {
    #[prost(message, optional, tag = "1")]
    metadata: Option<ObjectMeta>,
}

#[derive(Message)]
struct ObjectMeta {
    #[prost(string, optional, tag = "1")]
    name: Option<String>,
    #[prost(string, optional, tag = "3")]
    namespace: Option<String>,
    #[prost(string, optional, tag = "5")]
    uid: Option<String>,
    #[prost(string, optional, tag = "6")]
    resource_version: Option<String>,
    #[prost(message, optional, tag = "9")]
    deletion_timestamp: Option<Time>,
    #[prost(btree_map = "string, string", tag = "11")]
    labels: BTreeMap<String, String>,
    #[prost(btree_map = "string, string", tag = "12")]
    annotations: BTreeMap<String, String>,
    #[prost(message, repeated, tag = "13")]
    owner_references: Vec<OwnerReference>,
    #[prost(string, repeated, tag = "14")]
    finalizers: Vec<String>,
    #[prost(message, repeated, tag = "17")]
    managed_fields: Vec<ManagedFields>,
}

#[derive(Message)]
struct OwnerReference {
    #[prost(string, optional, tag = "1")]
    kind: Option<String>,
    #[prost(string, optional, tag = "3")]
    name: Option<String>,
}

#[derive(Message)]
struct ManagedFields {
    #[prost(string, optional, tag = "1")]
    manager: Option<String>,
    #[prost(string, optional, tag = "2")]
    operation: Option<String>,
    #[prost(message, optional, tag = "4")]
    time: Option<Time>,
    #[prost(message, optional, tag = "7")]
    fields: Option<FieldsV1>,
    #[prost(string, optional, tag = "8")]
    subresource: Option<String>,
}

#[derive(Message)]
struct Time {
    #[prost(int64, optional, tag = "1")]
    seconds: Option<i64>,
}

#[derive(Message)]
struct FieldsV1 {
    #[prost(bytes = "bytes", optional, tag = "1")]
    raw: Option<prost::bytes::Bytes>,
}

impl From<ObjectMeta> for Meta {
    fn from(meta: ObjectMeta) -> Self {
        Self {
            name: meta.name.unwrap_or_default(),
            namespace: meta.namespace.filter(|namespace| !namespace.is_empty()),
            uid: meta.uid.unwrap_or_default(),
            resource_version: meta.resource_version.unwrap_or_default(),
            deleting: meta.deletion_timestamp.is_some(),
            labels: meta.labels,
            annotations: meta.annotations,
            controllers: meta
                .owner_references
                .into_iter()
                .map(|owner| format!("{}/{}", owner.kind.unwrap_or_default(), owner.name.unwrap_or_default()))
                .collect(),
            finalizers: meta.finalizers,
            managers: meta
                .managed_fields
                .into_iter()
                .map(|entry| ManagerEntry {
                    manager: entry.manager.unwrap_or_default(),
                    operation: entry.operation.unwrap_or_default(),
                    subresource: entry.subresource.unwrap_or_default(),
                    time_seconds: entry.time.and_then(|time| time.seconds).unwrap_or_default(),
                    fields: entry.fields.and_then(|fields| fields.raw).map(|raw| raw.to_vec()).unwrap_or_default(),
                })
                .collect(),
        }
    }
}

/// The raw message inside Kubernetes' envelope.
fn open(body: &[u8]) -> Result<prost::bytes::Bytes, String> {
    let body = body.strip_prefix(MAGIC).ok_or("the body does not start with Kubernetes' protobuf mark")?;
    let unknown = Unknown::decode(body).map_err(|error| error.to_string())?;
    Ok(unknown.raw.unwrap_or_default())
}

/// Decodes a list; the second part is the continue token of a next page.
pub(super) fn decode_list(body: &[u8]) -> Result<(Vec<Meta>, Option<String>), String> {
    let list = PartialList::decode(open(body)?).map_err(|error| error.to_string())?;
    let next = list.metadata.and_then(|metadata| metadata.next).filter(|next| !next.is_empty());
    Ok((list.items.into_iter().filter_map(|item| item.metadata).map(Meta::from).collect(), next))
}

/// Decodes one object.
pub(super) fn decode_one(body: &[u8]) -> Result<Meta, String> {
    let one = Partial::decode(open(body)?).map_err(|error| error.to_string())?;
    one.metadata.map(Meta::from).ok_or_else(|| "the object has no metadata".to_owned())
}

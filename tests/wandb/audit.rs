//! What somebody asked of the API server, by its audit log.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

/// One kind of request.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Request {
    /// The namespace; empty for what has none.
    pub namespace: String,
    /// The API group; empty for core.
    pub group: String,
    /// The resource, with its subresource: `pods/log`. For what is no resource, the address.
    pub resource: String,
    /// The verb.
    pub verb: String,
}

/// How often it was answered with which status.
pub type Answers = BTreeMap<u16, u32>;

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    verb: String,
    stage: String,
    #[serde(rename = "requestURI")]
    address: String,
    user: User,
    #[serde(default)]
    object_ref: Option<Object>,
    #[serde(default)]
    response_status: Option<Status>,
}

#[derive(Deserialize)]
struct User {
    #[serde(default)]
    username: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Object {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    subresource: String,
    #[serde(default)]
    namespace: String,
    #[serde(default)]
    api_group: String,
}

#[derive(Deserialize)]
struct Status {
    #[serde(default)]
    code: u16,
}

/// The requests of a user.
pub fn of(log: &Path, user: &str) -> BTreeMap<Request, Answers> {
    let text = std::fs::read_to_string(log).unwrap_or_else(|error| panic!("{}: {error}", log.display()));
    let mut requests: BTreeMap<Request, Answers> = BTreeMap::new();
    // Its last line may be half written.
    let whole = text.rfind('\n').map_or("", |end| &text[..end]);
    for line in whole.lines() {
        let event: Event = serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        // A watch is told at its begin and at its end; the begin is enough, and a refused one has only an end.
        let code = event.response_status.map_or(0, |status| status.code);
        if event.user.username != user || (event.verb == "watch" && event.stage == "ResponseComplete" && code < 400) {
            continue;
        }
        let object = event.object_ref.unwrap_or(Object {
            resource: event.address,
            subresource: String::new(),
            namespace: String::new(),
            api_group: String::new(),
        });
        let resource = match object.subresource.as_str() {
            "" => object.resource,
            sub => format!("{}/{sub}", object.resource),
        };
        let request = Request { namespace: object.namespace, group: object.api_group, resource, verb: event.verb };
        *requests.entry(request).or_default().entry(code).or_default() += 1;
    }
    requests
}

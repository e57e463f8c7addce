//! The requests that the product makes of an API server, answered from a store.

use std::sync::Arc;

use http::{Method, Request, Response};
use http_body_util::BodyExt as _;
use kube::client::Body;
use serde_json::{Value, json};

use super::drive::Shared;
use super::store::{Apply, Key, Kind, Object, Refusal, Store};

/// A client whose server is the store.
pub fn client(shared: &Arc<Shared>) -> kube::Client {
    let shared = Arc::clone(shared);
    let service = tower::service_fn(move |request: Request<Body>| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, std::convert::Infallible>(serve(&shared, request).await) }
    });
    kube::Client::new(service, "default")
}

async fn serve(shared: &Shared, request: Request<Body>) -> Response<Body> {
    let (parts, body) = request.into_parts();
    let body = body.collect().await.map(|body| body.to_bytes().to_vec()).unwrap_or_default();
    let query = parts.uri.query().unwrap_or_default();
    let writes = parts.method != Method::GET && !query.contains("dryRun=All");
    // The machinery's own objects (Lease, ApplySet's parent) are no steps: faults count the writes of objects.
    let counts = writes && !parts.uri.path().contains("/namespaces/wbk-infra") && parts.method != Method::POST;
    if counts {
        shared.before_write().await;
    }
    let answer = {
        let mut store = shared.store();
        route(&mut store, &parts.method, parts.uri.path(), query, &body)
    };
    if counts {
        shared.after_write().await;
    }
    let (code, value) = answer.unwrap_or_else(|refusal| (refusal.code, status(&refusal)));
    Response::builder()
        .status(code)
        .header("content-type", "application/json")
        .body(Body::from(value.to_string().into_bytes()))
        .expect("a response")
}

fn status(refusal: &Refusal) -> Value {
    let causes: Vec<Value> = refusal
        .conflicts
        .iter()
        .map(|(manager, field)| {
            json!({"reason": "FieldManagerConflict", "field": field, "message": format!("conflict with \"{manager}\" using v1")})
        })
        .collect();
    json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "code": refusal.code, "reason": refusal.reason,
        "message": refusal.words, "details": {"causes": causes}})
}

fn not_found(path: &str) -> Refusal {
    Refusal { code: 404, reason: "NotFound", words: format!("{path} not found"), conflicts: Vec::new() }
}

fn route(store: &mut Store, method: &Method, path: &str, query: &str, body: &[u8]) -> Result<(u16, Value), Refusal> {
    let parameter = |name: &str| {
        query
            .split('&')
            .filter_map(|pair| pair.split_once('='))
            .find(|(key, _)| *key == name)
            .map(|(_, value)| decode(value))
    };
    match path {
        "/api" => return Ok((200, discovery(store, |kind| kind.group.is_empty()))),
        "/apis" => return Ok((200, discovery(store, |kind| !kind.group.is_empty()))),
        _ => {}
    }
    let Some((kind, namespace, name)) = parse(store, path) else { return Err(not_found(path)) };
    let sent = || serde_json::from_slice::<Value>(body).unwrap_or_default();
    if store.unseen.contains(&kind.plural) && method == Method::GET && namespace != "wbk-infra" {
        let words = format!("{} is forbidden: User \"low\" cannot list resource {:?}", kind.plural, kind.plural);
        return Err(Refusal { code: 403, reason: "Forbidden", words, conflicts: Vec::new() });
    }
    let Some(name) = name else {
        if method == Method::POST {
            let manifest = sent();
            let name = manifest.pointer("/metadata/name").and_then(Value::as_str).unwrap_or_default().to_owned();
            let at: Key = (kind.plural, kind.group, namespace, name);
            if store.objects.contains_key(&at) {
                return Err(Refusal {
                    code: 409,
                    reason: "AlreadyExists",
                    words: "it is there".into(),
                    conflicts: Vec::new(),
                });
            }
            let (_, object) = store
                .apply(&at, &Apply { manager: "wbk-infra-post", force: false, dry: false, manifest: &manifest })?;
            return Ok((201, store.show(&at, &object)));
        }
        let selector = parameter("labelSelector").unwrap_or_default();
        let items: Vec<Value> = store
            .objects
            .iter()
            .filter(|(at, _)| at.0 == kind.plural && at.1 == kind.group && (namespace.is_empty() || at.2 == namespace))
            .filter(|(_, object)| selects(&selector, object))
            .map(|(at, object)| store.show(at, object))
            .collect();
        return Ok((200, json!({"kind": "List", "metadata": {}, "items": items})));
    };
    let at: Key = (kind.plural, kind.group, namespace, name);
    match *method {
        Method::GET => {
            store.objects.get(&at).map(|object| (200, store.show(&at, object))).ok_or_else(|| not_found(path))
        }
        Method::PATCH => {
            let manager = parameter("fieldManager").unwrap_or_default();
            let force = parameter("force").as_deref() == Some("true");
            let dry = parameter("dryRun").is_some();
            let (created, object) = store.apply(&at, &Apply { manager: &manager, force, dry, manifest: &sent() })?;
            Ok((if created { 201 } else { 200 }, store.show(&at, &object)))
        }
        // Only the Lease is replaced.
        Method::PUT => {
            let mut manifest = sent();
            if let Some(metadata) = manifest["metadata"].as_object_mut() {
                metadata.remove("uid");
            }
            let apply = Apply { manager: "wbk-infra-put", force: true, dry: false, manifest: &manifest };
            let (_, object) = store.apply(&at, &apply)?;
            Ok((200, store.show(&at, &object)))
        }
        Method::DELETE => {
            let options = sent();
            let precondition = |name: &str| options.pointer(&format!("/preconditions/{name}")).and_then(Value::as_str);
            store.delete(&at, precondition("uid"), precondition("resourceVersion"))?;
            Ok((200, json!({"kind": "Status", "status": "Success"})))
        }
        _ => Err(not_found(path)),
    }
}

/// `/api/v1/namespaces/a/configmaps/c`, `/apis/g/v1/plural/name`: kind, namespace, name.
fn parse(store: &Store, path: &str) -> Option<(Kind, String, Option<String>)> {
    let parts: Vec<String> = path.trim_start_matches('/').split('/').map(decode).collect();
    let (group, rest) = match parts[0].as_str() {
        "api" => ("", parts.get(2..)?),
        "apis" => (parts.get(1)?.as_str(), parts.get(3..)?),
        _ => return None,
    };
    let (namespace, rest) = match rest {
        [first, namespace, rest @ ..] if first == "namespaces" && !rest.is_empty() => (namespace.clone(), rest),
        rest => (String::new(), rest),
    };
    let plural = rest.first()?;
    let kind = store.kinds().into_iter().find(|kind| kind.group == group && kind.plural == *plural)?;
    Some((kind, namespace, rest.get(1).cloned()))
}

fn selects(selector: &str, object: &Object) -> bool {
    let label = |name: &str| {
        object.content.pointer("/metadata/labels").and_then(|labels| labels.get(name)).and_then(Value::as_str)
    };
    if selector.is_empty() {
        true
    } else if let Some((name, values)) = selector.split_once(" in (") {
        label(name).is_some_and(|value| values.trim_end_matches(')').split(',').any(|one| one == value))
    } else if let Some((name, value)) = selector.split_once('=') {
        label(name) == Some(value)
    } else {
        label(selector).is_some()
    }
}

fn discovery(store: &Store, which: impl Fn(&Kind) -> bool) -> Value {
    let items: Vec<Value> = store
        .kinds()
        .iter()
        .filter(|kind| which(kind))
        .map(|kind| {
            let resource = json!({"resource": kind.plural, "responseKind": {"group": "", "version": "", "kind": kind.kind},
                "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "verbs": ["list", "patch"]});
            json!({"metadata": {"name": kind.group}, "versions": [{"version": kind.version, "resources": [resource]}]})
        })
        .collect();
    json!({"kind": "APIGroupDiscoveryList", "items": items})
}

fn decode(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.bytes();
    while let Some(byte) = rest.next() {
        match byte {
            b'%' => {
                let digits: Vec<u8> = rest.by_ref().take(2).collect();
                let hex = std::str::from_utf8(&digits).unwrap_or_default();
                bytes.push(u8::from_str_radix(hex, 16).unwrap_or(b'?'));
            }
            b'+' => bytes.push(b' '),
            _ => bytes.push(byte),
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

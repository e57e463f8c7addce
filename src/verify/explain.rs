//! Why a pod does not run, in one sentence, from what the API server shows.

use serde_json::Value;

use super::context::CheckContext;
use crate::cluster::{name, one_line, pod_trouble, text};

/// Explains the first pod at fault of those that the selector takes in; `None` where nothing is known, also where the
/// caller has no right to look: an explanation is an extra.
pub(super) async fn pods(cx: &CheckContext, namespace: &str, selector: &str) -> Option<String> {
    let api = cx.api();
    let path = format!("/api/v1/namespaces/{namespace}/pods");
    // Without a right to list pods there is no explanation, and the evidence stands without it.
    let pods = api.list(&path, selector).await.ok()?;
    let (pod, trouble) = pods.iter().find_map(|pod| Some((pod, pod_trouble(pod)?)))?;
    let event = last_event(cx, namespace, "Pod", name(pod)).await;
    let event = event.map(|event| format!("; last event: {event}")).unwrap_or_default();
    Some(format!("pod {}: {trouble}{event}", name(pod)))
}

/// The last event about an object, `reason: message`, where there is one and the caller may see it.
pub(super) async fn last_event(cx: &CheckContext, namespace: &str, kind: &str, name: &str) -> Option<String> {
    let events = events(cx, namespace, kind, name).await;
    newest(&events).map(|event| one_line(&format!("{}: {}", text(event, "/reason"), text(event, "/message"))))
}

/// All events about an object; none where the caller may not see them: an explanation is an extra.
pub(super) async fn events(cx: &CheckContext, namespace: &str, kind: &str, name: &str) -> Vec<Value> {
    let path = format!("/api/v1/namespaces/{namespace}/events");
    let fields = format!("involvedObject.kind={kind},involvedObject.name={name}");
    cx.api().list_by_field(&path, &fields).await.unwrap_or_default() // See above.
}

fn newest(events: &[Value]) -> Option<&Value> {
    events.iter().max_by_key(|event| time(event))
}

/// When an event happened last. RFC 3339 texts of one offset (the server writes UTC) sort by time; series and old-style
/// events keep it elsewhere.
pub(super) fn time(event: &Value) -> String {
    ["/series/lastObservedTime", "/lastTimestamp", "/eventTime", "/firstTimestamp", "/metadata/creationTimestamp"]
        .iter()
        .map(|pointer| text(event, pointer).to_owned())
        .find(|time| !time.is_empty())
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_newest_event_is_found_across_the_kinds_of_times() {
        let events = [
            json!({"reason": "Old", "lastTimestamp": "2026-01-01T00:00:00Z"}),
            json!({"reason": "New", "lastTimestamp": null, "eventTime": "2026-01-01T00:00:05.000001Z"}),
        ];
        assert_eq!(newest(&events).map(|event| text(event, "/reason")), Some("New"));
    }
}

//! Network policies: presets and allow lists to a NetworkPolicy's spec.

use serde_json::{Value, json};

use crate::blueprint::schema::{Direction, NetworkPolicy, NetworkPreset, NetworkRules, Peer};

/// The spec of the policy, which selects every pod of its namespace.
pub(super) fn spec(policy: &NetworkPolicy) -> Value {
    match policy {
        NetworkPolicy::Preset(NetworkPreset::DenyAllIngress) => json!({"podSelector": {}, "policyTypes": ["Ingress"]}),
        NetworkPolicy::Preset(NetworkPreset::DenyAllEgress) => json!({"podSelector": {}, "policyTypes": ["Egress"]}),
        NetworkPolicy::Preset(NetworkPreset::DenyAll) => {
            json!({"podSelector": {}, "policyTypes": ["Ingress", "Egress"]})
        }
        NetworkPolicy::Rules(NetworkRules { ingress, egress }) => {
            let mut spec = json!({"podSelector": {}});
            let mut types = Vec::new();
            for (kind, key, peers_key, list) in
                [("Ingress", "ingress", "from", ingress), ("Egress", "egress", "to", egress)]
            {
                let Some(list) = list else { continue };
                types.push(kind);
                if !list.is_empty() {
                    spec[key] = list.iter().map(|direction| rule(direction, peers_key)).collect();
                }
            }
            spec["policyTypes"] = json!(types);
            spec
        }
    }
}

fn rule(direction: &Direction, peers_key: &str) -> Value {
    let Direction { peers, ports, udp_ports } = direction;
    let mut rule = json!({});
    if !peers.is_empty() {
        rule[peers_key] = peers.iter().map(peer).collect();
    }
    let tcp = ports.iter().map(|port| json!({"port": port, "protocol": "TCP"}));
    let udp = udp_ports.iter().map(|port| json!({"port": port, "protocol": "UDP"}));
    let all: Vec<Value> = tcp.chain(udp).collect();
    if !all.is_empty() {
        rule["ports"] = all.into();
    }
    rule
}

fn peer(peer: &Peer) -> Value {
    let Peer { namespace, pods, cidr } = peer;
    if let Some(cidr) = cidr {
        return json!({"ipBlock": {"cidr": cidr}});
    }
    let mut value = json!({});
    if let Some(namespace) = namespace {
        value["namespaceSelector"] = json!({"matchLabels": {"kubernetes.io/metadata.name": namespace}});
    }
    if !pods.is_empty() {
        value["podSelector"] = json!({"matchLabels": pods});
    }
    value
}

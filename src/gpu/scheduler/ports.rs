//! Ports of the node that pods take.
//!
//! Source: `HostPortInfo` of k8s.io/kube-scheduler and `GetHostPorts` of pkg/scheduler/util (Kubernetes 1.36).

use serde_json::Value;

/// A port of the node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HostPort {
    /// The address; `0.0.0.0` for all of them.
    pub ip: String,
    /// TCP, UDP or SCTP.
    pub protocol: String,
    /// The number.
    pub port: i64,
}

const EVERY_ADDRESS: &str = "0.0.0.0";

impl HostPort {
    /// Whether both cannot be had on one node.
    pub fn conflicts(&self, other: &Self) -> bool {
        self.protocol == other.protocol
            && self.port == other.port
            && (self.ip == other.ip || self.ip == EVERY_ADDRESS || other.ip == EVERY_ADDRESS)
    }
}

impl std::fmt::Display for HostPort {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.port, self.protocol)
    }
}

/// The ports of the node that a pod takes: of its containers and sidecars.
pub(super) fn host_ports(spec: &Value) -> Vec<HostPort> {
    let on_host = spec["hostNetwork"] == true;
    let containers = spec["containers"].as_array().into_iter().flatten();
    let sidecars = spec["initContainers"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|container| container["restartPolicy"] == "Always");
    containers
        .chain(sidecars)
        .flat_map(|container| container["ports"].as_array().into_iter().flatten())
        .filter_map(|port| {
            // In the network of the node, every port is one of the node.
            let number = port["hostPort"].as_i64().or_else(|| port["containerPort"].as_i64().filter(|_| on_host))?;
            let text = |key: &str, default: &str| {
                port[key].as_str().filter(|text| !text.is_empty()).unwrap_or(default).to_owned()
            };
            let port = HostPort { ip: text("hostIP", EVERY_ADDRESS), protocol: text("protocol", "TCP"), port: number };
            (number > 0).then_some(port)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn addresses_protocols_and_numbers_decide() {
        let port = |ip: &str, protocol: &str, port| HostPort { ip: ip.into(), protocol: protocol.into(), port };
        let all = port("0.0.0.0", "TCP", 80);
        assert!(all.conflicts(&port("10.0.0.1", "TCP", 80)) && port("10.0.0.1", "TCP", 80).conflicts(&all));
        assert!(!port("10.0.0.1", "TCP", 80).conflicts(&port("10.0.0.2", "TCP", 80)));
        assert!(!all.conflicts(&port("0.0.0.0", "UDP", 80)));
        let spec = json!({"hostNetwork": true, "containers": [{"ports": [{"containerPort": 9400}, {"hostPort": 0}]}]});
        assert_eq!(host_ports(&spec), [port("0.0.0.0", "TCP", 9400)]);
    }
}

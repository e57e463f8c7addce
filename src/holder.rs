//! Who holds a Lease, written so that another process of the same machine can tell whether the holder still lives.

/// A process that holds a Lease or asks for one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// The machine's name.
    pub host: String,
    /// The process.
    pub pid: u32,
}

impl Holder {
    /// This process on a host.
    pub fn this_process(host: impl Into<String>) -> Self {
        Self { host: host.into(), pid: std::process::id() }
    }

    /// As a Lease names it: host, process id and the process' start time.
    pub fn identity(&self) -> String {
        format!("{}/{}/{}", self.host, self.pid, started_at(self.pid).unwrap_or_default())
    }

    /// Whether the holder of an identity is a process of this host that is gone.
    pub fn is_gone(&self, identity: &str) -> bool {
        let parts: Vec<&str> = identity.rsplitn(3, '/').collect();
        let [started, pid, host] = parts[..] else { return false };
        let Ok(pid) = pid.parse::<u32>() else { return false };
        // Without a start time (no procfs) nothing is known about that process.
        host == self.host && !started.is_empty() && started_at(pid).is_none_or(|now| now != started)
    }
}

/// An identity as a person reads it.
pub(crate) fn spoken(identity: &str) -> String {
    match identity.rsplitn(3, '/').collect::<Vec<_>>()[..] {
        [_started, pid, host] => format!("process {pid} on {host}"),
        _ => identity.to_owned(),
    }
}

/// The start time of a process in the kernel's ticks: a pid that is used again has another one.
pub(crate) fn started_at(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?; // No such process, or no procfs.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_of_this_host_that_is_gone_is_known_and_others_are_not() {
        let here = Holder::this_process("host");
        assert!(!here.is_gone(&here.identity()), "this process lives");
        assert!(here.is_gone(&format!("host/{}/1", here.pid)), "the pid was used again");
        assert!(!here.is_gone(&format!("elsewhere/{}/1", here.pid)), "another host's processes cannot be seen");
        assert!(!here.is_gone("nonsense"));
    }
}

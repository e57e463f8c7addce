//! What lets an agent clone git repositories: a Secret with passwords and keys, and configuration of git and ssh that reads them from
//! its files. No value is put together with another, so that none is in a text of this tool's.
//!
//! The agent runs the program git with its own environment (wandb/wandb, `wandb/sdk/lib/gitlib.py: run_git`).

use serde_json::{Value, json};

use crate::blueprint::schema::{Agent, GitHost};
use crate::desired::{SecretSlot, SlotForm};

/// Where the chart mounts the Secret.
const SECRETS: &str = "/etc/wbk-infra/git/secret";
/// Where the chart mounts the hosts' public keys.
const KNOWN_HOSTS: &str = "/etc/wbk-infra/git/config/known_hosts";

/// The Secret of an agent's credentials, in its own namespace.
pub(super) fn secret_name(agent: &Agent) -> String {
    format!("launch-{}-git", agent.name)
}

/// What it holds.
pub(super) fn slots(agent: &Agent) -> Vec<SecretSlot> {
    let of = |host: &GitHost| {
        let password = host.password.clone().map(|from| SecretSlot::new(key(host, "password"), from));
        // ssh takes no key whose last line does not end.
        let private =
            host.key.clone().map(|from| SecretSlot { form: SlotForm::Line, ..SecretSlot::new(key(host, "key"), from) });
        [password, private]
    };
    agent.git.iter().flat_map(of).flatten().collect()
}

fn key(host: &GitHost, what: &str) -> String {
    format!("{}.{what}", host.host.replace(':', "_"))
}

/// The chart's value `git`; `None` where there is nothing.
pub(super) fn values(agent: &Agent) -> Option<Value> {
    if agent.git.is_empty() {
        return None;
    }
    let mut values = json!({"secret": secret_name(agent)});
    let config: String = agent.git.iter().filter(|host| host.password.is_some()).map(https).collect();
    if !config.is_empty() {
        values["config"] = config.into();
    }
    let over_ssh: Vec<&GitHost> = agent.git.iter().filter(|host| host.key.is_some()).collect();
    if !over_ssh.is_empty() {
        values["sshConfig"] = over_ssh.iter().copied().map(ssh).collect::<String>().into();
        let known: Vec<&str> = over_ssh.iter().flat_map(|host| &host.known_hosts).map(String::as_str).collect();
        values["knownHosts"] = format!("{}\n", known.join("\n")).into();
    }
    Some(values)
}

/// git's configuration for a host over https: a helper that reads the password from its file.
fn https(host: &GitHost) -> String {
    let file = format!("{SECRETS}/{}", key(host, "password"));
    let helper = format!(r#"!f() {{ test \"$1\" = get && printf 'password=%s\\n' \"$(cat {file})\"; }}; f"#);
    format!("[credential \"https://{}\"]\n\tusername = {}\n\thelper = \"{helper}\"\n", host.host, host.username)
}

/// ssh's configuration for a host: its key and no other, and the host's own keys alone.
fn ssh(host: &GitHost) -> String {
    let name = host.host.split(':').next().unwrap_or(&host.host);
    format!(
        "Host {name}\n  IdentityFile {SECRETS}/{}\n  IdentitiesOnly yes\n  StrictHostKeyChecking yes\n  UserKnownHostsFile {KNOWN_HOSTS}\n",
        key(host, "key")
    )
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;
    use crate::desired::SecretReference;

    fn host() -> GitHost {
        GitHost {
            host: "git.example.com:8443".into(),
            username: "bot".into(),
            password: Some(SecretReference::Env("T".into())),
            key: Some(SecretReference::Env("K".into())),
            known_hosts: vec!["[git.example.com]:8443 ssh-ed25519 AAAA".into()],
        }
    }

    #[test]
    fn git_itself_gets_the_password_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("git.example.com_8443.password"), r"to\nk$en 'x'").unwrap();
        let config = folder.path().join("config");
        std::fs::write(&config, https(&host()).replace(SECRETS, &folder.path().display().to_string())).unwrap();
        let ask = |address: &str| {
            let mut git = Command::new("git");
            git.args(["credential", "fill"]).env("GIT_CONFIG_GLOBAL", &config).env("GIT_CONFIG_NOSYSTEM", "1");
            git.env("GIT_TERMINAL_PROMPT", "0")
                .stdin(std::process::Stdio::piped())
                .stdout(std::process::Stdio::piped());
            let mut child = git.stderr(std::process::Stdio::null()).spawn().expect("this test needs git");
            use std::io::Write as _;
            child.stdin.take().unwrap().write_all(format!("url={address}\n\n").as_bytes()).unwrap();
            String::from_utf8(child.wait_with_output().unwrap().stdout).unwrap()
        };
        let answer = ask("https://git.example.com:8443/team/code.git");
        assert!(answer.contains("username=bot\n") && answer.contains("password=to\\nk$en 'x'\n"), "{answer}");
        assert!(!ask("https://other.example.com/x.git").contains("password="));
    }

    #[test]
    fn a_host_that_is_another_is_refused_and_no_other_key_is_tried() {
        let text = ssh(&host());
        assert!(text.starts_with("Host git.example.com\n") && text.contains("StrictHostKeyChecking yes"));
        assert!(text.contains("IdentitiesOnly yes") && text.contains("/git.example.com_8443.key"));
    }
}

//! Help, completions, and what is refused as wrong usage.

use clap::CommandFactory;

use super::{Home, session, shown};

#[test]
fn every_command_explains_itself() {
    let home = Home::new();
    let mut words: Vec<Vec<String>> = vec![Vec::new()];
    collect(&wbk_infra::cli::CommandLine::command(), &mut Vec::new(), &mut words);
    assert!(words.len() > 15, "{words:?}");
    for mut command in words {
        let name = if command.is_empty() { "program".to_owned() } else { command.join("-") };
        command.push("--help".into());
        let arguments: Vec<&str> = command.iter().map(String::as_str).collect();
        // A width of its own: the terminal's would be another on every machine.
        let run = Home::finish(
            home.command(&arguments)
                .env("COLUMNS", "100")
                .env_remove("KUBEBUILDER_ASSETS")
                .env_remove("AWS_REGION")
                .env_remove("WBK_INFRA_MIRROR"),
        );
        assert_eq!((run.code, run.stderr.as_str()), (0, ""), "{arguments:?}");
        insta::assert_snapshot!(format!("help_{name}"), shown(&home, &arguments, &run));
    }
}

fn collect(command: &clap::Command, above: &mut Vec<String>, into: &mut Vec<Vec<String>>) {
    for inner in command.get_subcommands().filter(|inner| !inner.is_hide_set()) {
        above.push(inner.get_name().to_owned());
        into.push(above.clone());
        collect(inner, above, into);
        above.pop();
    }
}

#[test]
fn wrong_usage_is_refused_with_2_and_the_nearest_right_one() {
    let home = Home::new();
    insta::assert_snapshot!(session(
        &home,
        &[
            &["plann"],
            &["plan"],
            &["plan", "x.yaml", "--exit-kode"],
            &["plan", "x.yaml", "-o", "xml"],
            &["plan", "x.yaml", "-q", "-v"],
            &["plan", "x.yaml", "--parallel", "many"],
            &["plan", "x.yaml", "--conflicts", "win"],
            &["local", "begin"],
            &["local", "logs", "x", "scheduler"],
            &["local", "delete", "x"],
            &["schema", "everything"],
            &["completions", "cmd"],
            &["explain", "x.yaml"],
        ],
    ));
}

#[test]
fn without_arguments_the_help_is_shown_as_wrong_usage() {
    let home = Home::new();
    let run = home.run(&[]).expect(2);
    assert!(run.stdout.is_empty() && run.stderr.contains("Usage: wbk-infra"), "{}", run.all());
    let version = home.run(&["--version"]).expect(0);
    assert_eq!(version.stdout.trim(), concat!("wbk-infra ", env!("CARGO_PKG_VERSION")));
}

#[test]
fn completions_come_for_every_shell_and_know_every_command() {
    let home = Home::new();
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = home.run(&["completions", shell]).expect(0).stdout;
        for word in ["plan", "apply", "verify", "drift", "destroy", "kubeconfig", "exit-code"] {
            assert!(script.contains(word), "{shell} does not know {word}");
        }
    }
    let script = home.write("completions.bash", &home.run(&["completions", "bash"]).expect(0).stdout);
    let bash = Home::finish(std::process::Command::new("bash").arg("-n").arg(script));
    assert_eq!(bash.code, 0, "bash reads it: {}", bash.all());
}

//! Arguments in, exit code out; nothing else.

fn main() -> std::process::ExitCode {
    wbk_infra::cli::main()
}

//! What the provider is told from outside.

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The program, with its first arguments, that prints a token for `--cluster NAME --region REGION`.
    pub token_program: Vec<String>,
}

//! What the provider is told from outside.

/// Settings.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Settings {
    /// The program, with its first arguments, that prints a token for `--cluster NAME --region REGION`.
    pub token_program: Vec<String>,
    /// How AWS is asked.
    pub way: Way,
}

/// How AWS is asked, as the environment says in the words of every tool of AWS. Absent: as this program judges.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Way {
    /// `AWS_CA_BUNDLE`: certificates in PEM, one at least, by which AWS is known in place of the machine's own.
    pub authorities: Option<Vec<u8>>,
    /// `AWS_MAX_ATTEMPTS`: tries of one call, the first among them; at least 1.
    pub attempts: Option<u32>,
    /// `AWS_RETRY_MODE`.
    pub retries: Option<Retries>,
}

/// How calls are tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retries {
    /// Each for itself.
    Standard,
    /// All calls of a service slow down when one was throttled.
    Adaptive,
}

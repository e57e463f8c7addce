//! What an API server said, in its own words.

/// An error of the kube client as a person reads it: the server's own message where it gave one, else the causes in one line.
///
/// kube's own text of an answer ends in the whole `Status` as Rust prints it, which says everything twice.
pub fn server_words(error: &kube::Error) -> String {
    if let kube::Error::Api(status) = error {
        return if status.message.is_empty() {
            format!("the server answered {} {}", status.code, status.reason).trim_end().to_owned()
        } else {
            status.message.clone()
        };
    }
    // Some libraries print their cause in their own text.
    in_words(error)
}

/// An error and its causes in one sentence; a cause that its parent's text repeats is told once.
pub fn in_words(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(inner) = cause {
        let inner_text = inner.to_string();
        if !text.contains(&inner_text) {
            text = format!("{text}: {inner_text}");
        }
        cause = inner.source();
    }
    text
}

/// What an API server said, as the cause of another error.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ServerWords(String);

impl From<kube::Error> for ServerWords {
    fn from(error: kube::Error) -> Self {
        Self(server_words(&error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_answer_is_told_in_the_servers_words_alone() {
        let status = |message: &str| {
            let status = kube::core::Status::failure(message, "Forbidden").with_code(403);
            server_words(&kube::Error::Api(status.boxed()))
        };
        assert_eq!(status("nodes is forbidden"), "nodes is forbidden");
        assert_eq!(status(""), "the server answered 403 Forbidden");
    }
}

//! The signature of a presigned GET, checked as AWS checks it ("Signature Version 4", docs.aws.amazon.com/IAM, "Create a signed AWS API
//! request"): a stand whose tokens were not signed for its cluster would let every mistake through.

use sha2::{Digest as _, Sha256};

/// The secret of [`crate::Stand::env`].
pub(crate) const SECRET: &str = "test";

/// A presigned URL, taken apart.
pub(super) struct Presigned<'a> {
    /// Its host, as it was signed.
    pub(super) host: &'a str,
    /// Its path.
    pub(super) path: &'a str,
    /// Its query, encoded as it came.
    pub(super) query: &'a str,
    /// `KEY/DATE/REGION/SERVICE/aws4_request`, decoded.
    pub(super) credential: &'a str,
    /// `X-Amz-Date`.
    pub(super) date: &'a str,
    /// Names of the signed headers, in order.
    pub(super) signed: &'a str,
}

impl Presigned<'_> {
    /// The signature that it must have when these headers come with it (beside `host`).
    pub(super) fn signature(&self, headers: &[(&str, &str)]) -> String {
        let mut query: Vec<&str> = self.query.split('&').filter(|pair| !pair.starts_with("X-Amz-Signature=")).collect();
        query.sort_unstable();
        let mut canonical = format!("GET\n{}\n{}\n", self.path, query.join("&"));
        for name in self.signed.split(';') {
            let value = headers.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
            let value = if name == "host" { self.host } else { value };
            canonical.push_str(&format!("{name}:{value}\n"));
        }
        canonical.push_str(&format!("\n{}\n{}", self.signed, hex(&Sha256::digest(b""))));
        let scope = self.credential.split_once('/').map_or("", |(_, scope)| scope);
        let text = format!("AWS4-HMAC-SHA256\n{}\n{scope}\n{}", self.date, hex(&Sha256::digest(canonical)));
        let key = scope.split('/').fold(format!("AWS4{SECRET}").into_bytes(), |key, part| hmac(&key, part.as_bytes()));
        hex(&hmac(&key, text.as_bytes()))
    }
}

/// HMAC-SHA256 (RFC 2104); keys here are shorter than a block.
fn hmac(key: &[u8], message: &[u8]) -> Vec<u8> {
    const BLOCK: usize = 64;
    let padded = |with: u8| (0..BLOCK).map(|at| key.get(at).copied().unwrap_or(0) ^ with).collect::<Vec<u8>>();
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(message).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().to_vec()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231, test case 2.
    #[test]
    fn hmac_is_the_standards() {
        let digest = hex(&hmac(b"Jefe", b"what do ya want for nothing?"));
        assert_eq!(digest, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    }
}

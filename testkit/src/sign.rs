//! Stripe's signature, written a second time so that tests do not trust the code they test.

use std::fmt::Write as _;
use std::time::{SystemTime, UNIX_EPOCH};

use ring::hmac;

/// A webhook secret that every test may use.
pub const TEST_SECRET: &str = "whsec_4f1c9a07be52d863b1f0a9e47c5d2e8a90b7f3c6";

/// Signs many bodies with one secret.
#[derive(Clone)]
pub struct Signer(hmac::Key);

impl Signer {
    /// Prepares the key; the whole secret string is the key, its prefix included.
    pub fn new(secret: &str) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes()))
    }

    /// The 32 bytes behind `v1=`; `timestamp` in Unix seconds.
    pub fn digest(&self, timestamp: i64, body: &[u8]) -> [u8; 32] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(timestamp.to_string().as_bytes());
        context.update(b".");
        context.update(body);
        let mut digest = [0; 32];
        digest.copy_from_slice(context.sign().as_ref());
        digest
    }

    /// The value of `Stripe-Signature`; `timestamp` in Unix seconds.
    pub fn header(&self, timestamp: i64, body: &[u8]) -> String {
        let mut header = format!("t={timestamp},v1=");
        push_hex(&mut header, &self.digest(timestamp, body));
        header
    }
}

/// The value of `Stripe-Signature` for one body; `timestamp` in Unix seconds.
pub fn sign(secret: &str, timestamp: i64, body: &[u8]) -> String {
    Signer::new(secret).header(timestamp, body)
}

/// Now, in Unix seconds.
pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs() as i64)
}

/// SHA-256 of a body as lower-case hex.
pub fn sha256_hex(body: &[u8]) -> String {
    let mut hex = String::with_capacity(64);
    push_hex(&mut hex, ring::digest::digest(&ring::digest::SHA256, body).as_ref());
    hex
}

/// Appends bytes as lower-case hex.
pub fn push_hex(out: &mut String, bytes: &[u8]) {
    for byte in bytes {
        // Writing into a String cannot fail.
        let _ = write!(out, "{byte:02x}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_header_of_a_known_body() {
        // Computed with openssl: printf '1700000000.{"id":"evt_1"}' | openssl dgst -sha256 -hmac whsec_abc
        assert_eq!(sign("whsec_abc", 1_700_000_000, br#"{"id":"evt_1"}"#), format!("t=1700000000,v1={}", EXPECTED));
    }

    const EXPECTED: &str = "79f159714a0d01d9505691104b38e71f0dbb0d4bdeef387b113d07b870f50db3";
}

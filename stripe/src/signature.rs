//! Stripe's webhook signature (`Stripe-Signature: t=…,v1=…`).

use billhook_core::Secret;

/// Who signed, and when.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verified {
    /// Position of the secret that matched.
    pub secret_index: usize,
    /// `t`, Unix seconds.
    pub timestamp: i64,
}

/// Why a signature is refused. The HTTP answer is the same for all of them; the variants are for tests and metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SignatureError {
    /// No header, or more than one.
    #[error("the Stripe-Signature header is missing or repeated")]
    Header,
    /// The header cannot be read.
    #[error("the Stripe-Signature header is malformed")]
    Malformed,
    /// The body is empty.
    #[error("the body is empty")]
    EmptyBody,
    /// `t` lies outside the tolerance.
    #[error("the signature's time lies outside the tolerance")]
    Time,
    /// No signature matches any secret.
    #[error("no signature matches")]
    Mismatch,
}

/// Checks every `v1` against every secret in constant time.
///
/// `now` and `tolerance_seconds` are in Unix seconds. A `t` further than the tolerance from now, on either side, is refused… see
/// the crate's tests for the exact edges.
///
/// # Errors
/// See [`SignatureError`].
pub fn verify(
    _header: &str,
    _body: &[u8],
    _secrets: &[Secret],
    _now: i64,
    _tolerance_seconds: i64,
) -> Result<Verified, SignatureError> {
    todo!()
}

/// The header value Stripe would send for this body.
pub fn sign(_secret: &Secret, _timestamp: i64, _body: &[u8]) -> String {
    todo!()
}

//! Stripe's webhook signature (`Stripe-Signature: t=…,v1=…`): an HMAC-SHA256 over `{t}.{body}`, keyed with the whole secret.

use std::fmt::{self, Write as _};

use billhook_core::Secret;
use ring::hmac;

/// Most `v1` signatures of one header that are checked. Stripe sends one for each active secret; the rest would be free work
/// for whoever sends the header.
pub const CANDIDATES_MAX: usize = 32;

/// Most digits of `t`: those of the greatest 64-bit integer.
const TIMESTAMP_DIGITS_MAX: usize = 19;

/// Bytes of a SHA-256 digest.
const DIGEST_BYTES: usize = 32;

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
    /// The header has no readable `t`, more than one `t`, or no well-formed `v1`.
    #[error("the Stripe-Signature header is malformed")]
    Malformed,
    /// The body is empty.
    #[error("the body is empty")]
    EmptyBody,
    /// The signature is authentic and `t` lies outside the tolerance: a replay, or a clock that is wrong.
    #[error("the signature's time is {skew_seconds} s away from this server's clock, which is outside the tolerance")]
    Time {
        /// Our clock minus `t`, in seconds.
        skew_seconds: i64,
    },
    /// No signature matches any secret.
    #[error("no signature matches")]
    Mismatch,
}

/// Checks signatures against a set of secrets, whose keys are prepared once.
#[derive(Clone)]
pub struct Verifier {
    /// With the positions of their secrets.
    keys: Vec<(usize, hmac::Key)>,
}

impl Verifier {
    /// A verifier that accepts a signature by any of `secrets`. Without secrets it refuses everything; an empty secret, with
    /// which anybody could sign, counts as none.
    ///
    /// The key is the whole secret with its `whsec_`, not base64-decoded.
    pub fn new(secrets: &[Secret]) -> Self {
        let usable = secrets.iter().enumerate().filter(|(_, secret)| !secret.expose().trim().is_empty());
        Self { keys: usable.map(|(position, secret)| (position, key_of(secret))).collect() }
    }

    /// Checks the first [`CANDIDATES_MAX`] well-formed `v1` of `header` against every secret in constant time. Other schemes
    /// are ignored: `v0` is a test-mode fake.
    ///
    /// `now` is in Unix seconds. A `t` exactly `tolerance_seconds` away is accepted, one second more
    /// is refused, in the past and in the future alike. Stripe's own libraries let every future `t` pass; here a delivery that
    /// leaked while a clock was fast would then stay replayable until that time has come, and no honest sender is far ahead.
    /// The time is judged after the signature, so that only an authentic delivery can report a wrong clock.
    ///
    /// # Errors
    /// See [`SignatureError`]; this function never returns [`SignatureError::Header`], which is the caller's to know.
    pub fn verify(
        &self,
        header: &str,
        body: &[u8],
        now: i64,
        tolerance_seconds: i64,
    ) -> Result<Verified, SignatureError> {
        if body.is_empty() {
            return Err(SignatureError::EmptyBody);
        }
        let header = Header::parse(header)?;
        let secret_index = self.matching_secret(&header, body).ok_or(SignatureError::Mismatch)?;
        if now.abs_diff(header.timestamp) > u64::try_from(tolerance_seconds).unwrap_or(0) {
            return Err(SignatureError::Time { skew_seconds: now.saturating_sub(header.timestamp) });
        }
        Ok(Verified { secret_index, timestamp: header.timestamp })
    }

    /// The first secret that made one of the signatures.
    ///
    /// Ring's only constant-time comparison that is not deprecated is that of a tag with a message. So the body is hashed once
    /// for each secret, and each candidate is compared by the tags of the two digests under the same key. Nothing stops early:
    /// the time does not tell which secret or which candidate matched.
    fn matching_secret(&self, header: &Header<'_>, body: &[u8]) -> Option<usize> {
        let mut matching = None;
        for (position, key) in &self.keys {
            let expected = digest(key, header.timestamp_text, body);
            let tag_of_expected = hmac::sign(key, expected.as_ref());
            let mut matches = false;
            for candidate in header.candidates() {
                matches |= hmac::verify(key, candidate, tag_of_expected.as_ref()).is_ok();
            }
            matching = matching.or(matches.then_some(*position));
        }
        matching
    }
}

impl fmt::Debug for Verifier {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Verifier").field("secrets", &self.keys.len()).finish()
    }
}

/// The header value Stripe would send for this body at `timestamp` (Unix seconds).
pub fn sign(secret: &Secret, timestamp: i64, body: &[u8]) -> String {
    let timestamp = timestamp.to_string();
    let tag = digest(&key_of(secret), &timestamp, body);
    let mut header = format!("t={timestamp},v1=");
    for byte in tag.as_ref() {
        // Writing into a String cannot fail.
        let _ = write!(header, "{byte:02x}");
    }
    header
}

fn key_of(secret: &Secret) -> hmac::Key {
    hmac::Key::new(hmac::HMAC_SHA256, secret.expose().as_bytes())
}

fn digest(key: &hmac::Key, timestamp: &str, body: &[u8]) -> hmac::Tag {
    let mut context = hmac::Context::with_key(key);
    context.update(timestamp.as_bytes());
    context.update(b".");
    context.update(body);
    context.sign()
}

/// What a header claims.
struct Header<'a> {
    timestamp: i64,
    /// `t` as it was sent: the bytes that were signed.
    timestamp_text: &'a str,
    candidates: [[u8; DIGEST_BYTES]; CANDIDATES_MAX],
    candidate_count: usize,
}

impl<'a> Header<'a> {
    /// Reads a header. A `v1` that is not 64 lower-case hexadecimal digits is no candidate: it cannot match.
    fn parse(text: &'a str) -> Result<Self, SignatureError> {
        let mut timestamp_text = None;
        let mut candidates = [[0; DIGEST_BYTES]; CANDIDATES_MAX];
        let mut candidate_count = 0;
        for (scheme, value) in text.split(',').filter_map(|item| item.split_once('=')) {
            if scheme == "t" {
                if timestamp_text.replace(value).is_some() {
                    return Err(SignatureError::Malformed);
                }
            } else if scheme == "v1"
                && let Some(place) = candidates.get_mut(candidate_count)
                && let Some(candidate) = decode_hex(value)
            {
                *place = candidate;
                candidate_count += 1;
            }
        }
        let timestamp_text = timestamp_text.ok_or(SignatureError::Malformed)?;
        let timestamp = parse_timestamp(timestamp_text).ok_or(SignatureError::Malformed)?;
        if candidate_count == 0 {
            return Err(SignatureError::Malformed);
        }
        Ok(Self { timestamp, timestamp_text, candidates, candidate_count })
    }

    fn candidates(&self) -> impl Iterator<Item = &[u8; DIGEST_BYTES]> {
        self.candidates.iter().take(self.candidate_count)
    }
}

/// Digits only: no sign, no space, no overflow.
fn parse_timestamp(text: &str) -> Option<i64> {
    let is_digits = text.len() <= TIMESTAMP_DIGITS_MAX && text.bytes().all(|byte| byte.is_ascii_digit());
    if is_digits { text.parse().ok() } else { None }
}

/// Exactly 64 lower-case hexadecimal digits.
fn decode_hex(text: &str) -> Option<[u8; DIGEST_BYTES]> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if pairs.len() != DIGEST_BYTES || !rest.is_empty() {
        return None;
    }
    let mut digest = [0; DIGEST_BYTES];
    for (byte, [high, low]) in digest.iter_mut().zip(pairs) {
        *byte = nibble(*high)? << 4 | nibble(*low)?;
    }
    Some(digest)
}

fn nibble(digit: u8) -> Option<u8> {
    match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    }
}

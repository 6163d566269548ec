//! An answer of Stripe's API.

use bytes::Bytes;

/// A successful answer, complete.
#[derive(Debug, Clone)]
pub struct Answer {
    /// Complete, valid JSON: an object.
    pub body: Bytes,
    /// A time by Stripe's clock, in Unix seconds, that is not later than the state in the answer: `Date` less the whole round
    /// trip, rounded down. Comparable with `event.created`.
    pub read_at: i64,
    /// Stripe's `Request-Id`.
    pub request_id: Option<String>,
    /// When Stripe answered, by its own clock, in Unix seconds.
    pub date: i64,
    /// The path that was asked, without its query: for messages.
    pub path: String,
}

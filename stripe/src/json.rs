//! Makes any JSON document acceptable to both databases, changing as little as possible.

use std::borrow::Cow;

/// Greatest depth of nesting. PostgreSQL's and SQLite's own limits lie above it, Stripe's objects far below.
pub const DEPTH_MAX: usize = 512;

/// A document that both databases take.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sanitised<'a> {
    /// The document; borrowed when nothing had to be changed.
    pub text: Cow<'a, str>,
    /// Whether something was replaced.
    pub lossy: bool,
}

/// Why a document cannot be stored as JSON.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Nested deeper than [`DEPTH_MAX`].
    #[error("the JSON is nested deeper than {DEPTH_MAX} levels")]
    TooDeep,
    /// Not JSON.
    #[error("the text is not JSON")]
    Invalid,
}

/// Replaces what a database would refuse.
///
/// # Errors
/// When the text is nested too deeply or is not JSON.
pub fn sanitise(_text: &str) -> Result<Sanitised<'_>, JsonError> {
    todo!()
}

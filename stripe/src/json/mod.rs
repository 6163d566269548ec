//! Makes any JSON document acceptable to both databases, changing as little as possible.

mod nesting;
mod scan;
mod text;

use std::borrow::Cow;
use std::ops::Range;

pub(crate) use scan::Scanner;
use scan::{Leaf, Number};
pub(crate) use text::JsonText;

/// Greatest depth of nesting, counted in open containers. It is what `serde_json::Value` can read back, which refuses level 128;
/// the limits of PostgreSQL and SQLite lie above it, Stripe's objects far below.
pub const DEPTH_MAX: usize = 127;

/// Most digits of a number, its exponent included. PostgreSQL keeps them all; more would let a few bytes grow.
pub const NUMBER_DIGITS_MAX: usize = 60;

/// Greatest exponent of a number, either sign. PostgreSQL writes `1e131000` out as 131,001 digits.
pub const NUMBER_EXPONENT_MAX: u64 = 300;

/// Most digits before the point once a number is written out: all such numbers lie below the greatest 64-bit float.
const INTEGER_DIGITS_MAX: i64 = 308;

/// What stands in for a character that a database cannot hold.
const REPLACEMENT_ESCAPE: &str = "\\ufffd";

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

/// Replaces what a database would refuse or distort, and keeps every other byte, white space and duplicate keys included.
///
/// Escapes of NUL and of lone surrogates become `\ufffd`. Numbers beyond [`NUMBER_DIGITS_MAX`] or [`NUMBER_EXPONENT_MAX`]
/// become strings of the same text. PostgreSQL `jsonb`, SQLite's JSON functions and `serde_json::Value` take every result.
///
/// # Errors
/// When the text is nested too deeply or is not JSON.
pub fn sanitise(text: &str) -> Result<Sanitised<'_>, JsonError> {
    let mut rewriter = Rewriter { text, rewritten: String::new(), copied: 0 };
    let mut scanner = Scanner::new(text, 0);
    scanner.walk(DEPTH_MAX, |leaf| match leaf {
        Leaf::Text(string) => string.unstorable_escapes(|escape| rewriter.replace(escape, REPLACEMENT_ESCAPE)),
        Leaf::Number(number) if is_extreme(&number) => rewriter.quote(number.range),
        Leaf::Number(_) => {}
    })?;
    scanner.end()?;
    Ok(rewriter.finish())
}

fn is_extreme(number: &Number) -> bool {
    let integer_digits = i64::try_from(number.integer_digits).unwrap_or(i64::MAX);
    number.digits > NUMBER_DIGITS_MAX
        || number.exponent.unsigned_abs() > NUMBER_EXPONENT_MAX
        || integer_digits.saturating_add(number.exponent) > INTEGER_DIGITS_MAX
}

/// Copies a text with replacements, and copies nothing before the first.
struct Rewriter<'a> {
    text: &'a str,
    rewritten: String,
    /// How much of `text` stands in `rewritten`, or was replaced there.
    copied: usize,
}

impl<'a> Rewriter<'a> {
    fn replace(&mut self, range: Range<usize>, replacement: &str) {
        self.copy_until(range.start);
        self.rewritten.push_str(replacement);
        self.copied = range.end;
    }

    fn quote(&mut self, range: Range<usize>) {
        self.copy_until(range.start);
        self.rewritten.push('"');
        self.copy_until(range.end);
        self.rewritten.push('"');
    }

    fn copy_until(&mut self, end: usize) {
        if self.rewritten.is_empty() {
            self.rewritten.reserve(self.text.len() + 64);
        }
        self.rewritten.push_str(self.text.get(self.copied..end).unwrap_or_default());
        self.copied = end;
    }

    fn finish(mut self) -> Sanitised<'a> {
        if self.copied == 0 && self.rewritten.is_empty() {
            return Sanitised { text: Cow::Borrowed(self.text), lossy: false };
        }
        self.copy_until(self.text.len());
        Sanitised { text: Cow::Owned(self.rewritten), lossy: true }
    }
}

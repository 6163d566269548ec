//! Expressions over events: which events start a function, end a wait or cancel a run, and what limits count by.
//!
//! The language is CEL as workflow engines speak it, so that expressions may be taken along. It is forgiving where CEL is strict:
//!
//! - **What is missing is null**, never an error, and so is everything inside of it.
//! - **Kinds mix.** Numbers are compared by their size, also when one is spelled in a text; other kinds are unequal, and neither is less.
//! - **`&&` and `||` give an operand**, as in JavaScript, where null, false, 0 and the empty text count as false. So
//!   `event.data.team || event.data.user` is a key.
//! - A condition on the elements of something missing does not hold.
//!
//! Variables are `event` and, where an event is waited for, `async`. Known are `has`, `in`, `?:`, arithmetic, the walks `exists`,
//! `exists_one`, `all`, `map` and `filter`, the methods `startsWith`, `endsWith`, `contains`, `matches`, `size`, `lowerAscii` and
//! `upperAscii`, and the functions `lowercase`, `uppercase`, `b64decode`, `json_parse`, `date`, `now`, `now_plus`, `now_minus`, `string`,
//! `int` and `double`. A time is compared with texts and numbers that mean one, and is RFC 3339 as a result.
//!
//! The evaluator is the project's own: the semantics above differ from CEL in most operators, so that of a CEL library only the grammar
//! would be left, and its work could not be bounded.

mod arithmetic;
mod correlation;
mod error;
mod evaluate;
mod functions;
mod meter;
mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
mod time;
mod token;
mod tree;
mod value;

use std::fmt;
use std::fmt::Write;

use jiff::Timestamp;
use serde_json::Value;

pub use correlation::{Correlation, at_path};
pub use error::ExpressionError;

use evaluate::{Frame, evaluate};
use meter::Meter;
use tree::Tree;
use value::Data;

/// Most bytes of an expression: what a person writes has a few hundred.
pub const SOURCE_BYTES_MAX: usize = 4_096;
/// Most levels of an expression. Reading and evaluating recurse, and must fit on the stack of a thread.
pub const DEPTH_MAX: usize = 64;
/// Most work of one evaluation, in units of a part evaluated or 64 bytes looked at: about ten milliseconds.
pub const WORK_MAX: usize = 100_000;
/// Most bytes of a key. A longer one is replaced by its hash, so that every key fits into an index of the database.
pub const KEY_BYTES_MAX: usize = 512;

/// A condition or a key, ready to be evaluated any number of times.
///
/// ```
/// use billhook_flow::expression::{Expression, Scope};
/// use serde_json::json;
///
/// let large = Expression::parse("event.data.amount_due >= 100000 && event.data.currency in ['eur', 'usd']")?;
/// let event = json!({"id": "evt_1", "name": "stripe/invoice.created", "data": {"amount_due": 120_000, "currency": "eur"}, "ts": 0});
/// let scope = Scope { event: &event, other: None, now: jiff::Timestamp::UNIX_EPOCH };
/// assert!(large.is_true(&scope));
///
/// let error = Expression::parse("event.data.amount_due >").unwrap_err();
/// assert_eq!(error.to_string(), "at character 24: expected a value, a variable or `(`, found the end");
/// # Ok::<(), billhook_flow::expression::ExpressionError>(())
/// ```
#[derive(Clone)]
pub struct Expression {
    source: String,
    tree: Tree,
}

/// What an expression is evaluated over. Events are objects `{id, name, data, ts}` with `ts` in milliseconds since 1970.
#[derive(Debug, Clone, Copy)]
pub struct Scope<'s> {
    /// `event`: the one that starts a run, or that started it.
    pub event: &'s Value,
    /// `async`: the one that came while the run waited, or that may cancel it. Null without one.
    pub other: Option<&'s Value>,
    /// What `now()` gives.
    pub now: Timestamp,
}

impl Expression {
    /// Reads an expression.
    ///
    /// # Errors
    /// When it is none, uses names that do not exist, or is longer or deeper than the limits; the error names the place.
    pub fn parse(source: &str) -> Result<Self, ExpressionError> {
        Ok(Self { source: source.to_owned(), tree: parse::parse(source)? })
    }

    /// The text it was read from.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// Its value. Times are RFC 3339 texts.
    ///
    /// # Errors
    /// When a part has no value, such as a division by zero or `date` of something else, or when it takes more than [`WORK_MAX`].
    pub fn evaluate(&self, scope: &Scope<'_>) -> Result<Value, ExpressionError> {
        self.with_value(scope, |value| value.into_value())
    }

    /// Whether it holds. An expression that cannot be evaluated does not.
    pub fn is_true(&self, scope: &Scope<'_>) -> bool {
        self.with_value(scope, |value| value.is_true()).unwrap_or(false)
    }

    /// Its value as what a limit counts by; lists and maps are written as JSON, something missing is the empty key.
    ///
    /// None means that nothing is limited: the value is `false`, or there is none. A key that cannot be evaluated must not throw all
    /// events together, since a limit may drop what it holds back.
    ///
    /// ```
    /// use billhook_flow::expression::{Expression, Scope};
    /// use serde_json::json;
    ///
    /// let event = json!({"data": {"customer": "cus_1"}});
    /// let scope = Scope { event: &event, other: None, now: jiff::Timestamp::UNIX_EPOCH };
    /// assert_eq!(Expression::parse("event.data.account || event.data.customer")?.key(&scope).as_deref(), Some("cus_1"));
    /// assert_eq!(Expression::parse("event.data.livemode ? 'live' : false")?.key(&scope), None);
    /// # Ok::<(), billhook_flow::expression::ExpressionError>(())
    /// ```
    pub fn key(&self, scope: &Scope<'_>) -> Option<String> {
        let value = self.evaluate(scope).ok()?;
        let data = Data::Made(value);
        let key = match data.value()? {
            Value::Bool(false) => return None,
            Value::Null => String::new(),
            value => data.text().unwrap_or_else(|| value.to_string()),
        };
        Some(if key.len() <= KEY_BYTES_MAX { key } else { hashed(&key) })
    }

    /// Where to look for events that can make it true, given the event that started the run: it says `async.path == side`, with or
    /// without further conditions after `&&`, and the side is a text that no `async` and no `now()` can change.
    ///
    /// It narrows down only. Whether an event that has the text there counts is decided by the whole expression. Without an answer, every
    /// event has to be tried.
    ///
    /// ```
    /// use billhook_flow::expression::Expression;
    /// use serde_json::json;
    ///
    /// let paid = Expression::parse("async.data.invoice == event.data.id && async.data.amount > 0")?;
    /// let started_by = json!({"data": {"id": "in_1"}});
    /// let correlation = paid.correlation(&started_by, jiff::Timestamp::UNIX_EPOCH).unwrap();
    /// assert_eq!((&*correlation.path, &*correlation.value), ("data.invoice", "in_1"));
    /// # Ok::<(), billhook_flow::expression::ExpressionError>(())
    /// ```
    pub fn correlation(&self, event: &Value, now: Timestamp) -> Option<Correlation> {
        correlation::correlation(&self.tree, event, now)
    }

    /// Borrowed values stay borrowed, so that a condition copies nothing.
    fn with_value<T>(&self, scope: &Scope<'_>, use_value: impl FnOnce(Data<'_>) -> T) -> Result<T, ExpressionError> {
        let meter = Meter::new();
        let frame = Frame { event: scope.event, other: scope.other, now: scope.now, meter: &meter, local: None };
        evaluate(&self.tree, frame).map(use_value)
    }
}

impl fmt::Debug for Expression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Expression").field(&self.source).finish()
    }
}

fn hashed(key: &str) -> String {
    let digest = ring::digest::digest(&ring::digest::SHA256, key.as_bytes());
    digest.as_ref().iter().fold("sha256:".to_owned(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02x}");
        text
    })
}

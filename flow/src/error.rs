//! Errors of functions and steps: whatever `?` takes, and how it is tried again.

use std::any::Any;
use std::fmt;

use billhook_core::retry::asked_pause;
use billhook_store::SqlError;
use jiff::SignedDuration;

use crate::exchange::StepError;

/// What functions and steps return.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Most characters of a message that are recorded.
const MESSAGE_CHARACTERS_MAX: usize = 4_000;

/// An error of a function or a step. Every error type becomes one by `?`; it is tried again unless it says otherwise.
///
/// What remains of an error after a replay is its message, so there is no way back to its type.
pub struct Error {
    message: String,
    pub(crate) retry: Retry,
}

/// Whether and when a failed attempt is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Retry {
    /// As the step's or the function's backoff says.
    Usual,
    /// After this pause; it counts as one of the retries.
    After(SignedDuration),
    /// Not at all.
    Never,
}

/// An error that trying again cannot change: `Err(Terminal::new("no such user"))?`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Terminal(String);

impl Terminal {
    /// With a message for whoever looks at the run.
    pub fn new(message: impl fmt::Display) -> Self {
        Self(message.to_string())
    }
}

/// An error after which the next attempt is made when this time has passed, such as a server asks for in `Retry-After`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct RetryAfter {
    after: SignedDuration,
    message: String,
}

impl RetryAfter {
    /// The pause is brought between one second and one day. It uses up a retry like any other.
    pub fn new(after: SignedDuration, message: impl fmt::Display) -> Self {
        Self { after: asked_pause(after), message: message.to_string() }
    }
}

impl Error {
    /// The message, with the messages of the errors behind it.
    pub fn message(&self) -> &str {
        &self.message
    }

    /// Whether it is final: the error says so, or its step has used up its retries.
    pub fn is_terminal(&self) -> bool {
        self.retry == Retry::Never
    }

    pub(crate) fn terminal(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: Retry::Never }
    }

    pub(crate) fn usual(message: impl Into<String>) -> Self {
        Self { message: message.into(), retry: Retry::Usual }
    }

    /// The error of a step whose failure is recorded.
    pub(crate) fn recorded(error: &StepError) -> Self {
        Self::terminal(error.message.clone())
    }

    pub(crate) fn to_record(&self) -> StepError {
        StepError { message: self.message.clone() }
    }
}

impl<E> From<E> for Error
where
    E: std::error::Error + Send + Sync + 'static,
{
    fn from(error: E) -> Self {
        let any: &dyn Any = &error;
        let retry = if any.is::<Terminal>() || any.downcast_ref::<SqlError>().is_some_and(SqlError::is_final) {
            Retry::Never
        } else {
            any.downcast_ref::<RetryAfter>().map_or(Retry::Usual, |asked| Retry::After(asked.after))
        };
        Self { message: whole_message(&error), retry }
    }
}

/// The messages of an error and of those behind it, as far as each says something new.
fn whole_message(error: &dyn std::error::Error) -> String {
    let mut message = error.to_string();
    let mut behind = error.source();
    while let Some(error) = behind {
        let text = error.to_string();
        if !message.contains(&text) {
            message.push_str(": ");
            message.push_str(&text);
        }
        behind = error.source();
    }
    match message.char_indices().nth(MESSAGE_CHARACTERS_MAX) {
        Some((end, _)) => message[..end].to_owned(),
        None => message,
    }
}

impl fmt::Display for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.message)
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} ({:?})", self.message, self.retry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn failing<E: std::error::Error + Send + Sync + 'static>(error: E) -> Result<()> {
        Err(error)?;
        Ok(())
    }

    #[test]
    fn any_error_is_retried_unless_it_says_otherwise() {
        let usual = failing(std::io::Error::other("away")).unwrap_err();
        assert_eq!((usual.message(), usual.retry), ("away", Retry::Usual));
        let terminal = failing(Terminal::new("no such user")).unwrap_err();
        assert_eq!((terminal.message(), terminal.retry), ("no such user", Retry::Never));
        let later = failing(RetryAfter::new(SignedDuration::from_hours(99), "busy")).unwrap_err();
        assert_eq!((later.message(), later.retry), ("busy", Retry::After(SignedDuration::from_hours(24))));
    }

    #[test]
    fn the_causes_are_told_and_the_whole_is_bounded() {
        #[derive(Debug, thiserror::Error)]
        #[error("the mail was not sent")]
        struct Outer(#[source] std::io::Error);
        let error = failing(Outer(std::io::Error::other("connection refused"))).unwrap_err();
        assert_eq!(error.message(), "the mail was not sent: connection refused");
        let long = failing(Terminal::new("ä".repeat(MESSAGE_CHARACTERS_MAX + 7))).unwrap_err();
        assert_eq!(long.message().chars().count(), MESSAGE_CHARACTERS_MAX);
    }
}

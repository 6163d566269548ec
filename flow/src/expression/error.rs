//! What can be wrong with an expression.

use super::{DEPTH_MAX, SOURCE_BYTES_MAX, WORK_MAX};

/// Why an expression cannot be read, or has no value. Positions count characters from 1.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpressionError {
    /// The text is longer than [`SOURCE_BYTES_MAX`].
    #[error("the expression has {bytes} bytes, the most is {SOURCE_BYTES_MAX}: shorten it")]
    TooLong {
        /// How long it is.
        bytes: usize,
    },
    /// The text is nested deeper than [`DEPTH_MAX`].
    #[error("at character {position}: nested deeper than {DEPTH_MAX} levels; take it apart or shorten it")]
    TooDeep {
        /// Where the level too many begins.
        position: usize,
    },
    /// The text is no expression.
    #[error("at character {position}: expected {expected}, found {found}")]
    Unexpected {
        /// Where the text stops to make sense.
        position: usize,
        /// What could have stood there.
        expected: String,
        /// What stands there.
        found: String,
    },
    /// The expression is well formed, and this part of it has no value.
    #[error("at character {position}: {message}")]
    Failed {
        /// Where the part begins.
        position: usize,
        /// What went wrong, and what to write instead.
        message: String,
    },
    /// The evaluation took more than [`WORK_MAX`] units.
    #[error(
        "the evaluation was ended after {WORK_MAX} units of work: walk over shorter lists, or compare smaller parts of the event"
    )]
    TooMuchWork,
}

impl ExpressionError {
    pub(super) fn unexpected(position: usize, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self::Unexpected { position, expected: expected.into(), found: found.into() }
    }

    pub(super) fn failed(position: usize, message: impl Into<String>) -> Self {
        Self::Failed { position, message: message.into() }
    }
}

//! SQL of the user's own inside a transaction that also records a step: values, rows, errors, and the session between the function's
//! thread and whoever holds the connection.

mod keyword;
mod row;
mod session;
mod value;

pub use row::{FromSqlValue, SqlRow};
pub use session::{SqlRequests, SqlSession, sql_session};
pub use value::SqlValue;

pub(crate) use keyword::check;
pub(crate) use session::Command;

use std::time::Duration;

use crate::StoreError;

/// Most rows that one query gives. They are all in memory, and on SQLite nobody else writes meanwhile.
pub const SQL_ROWS_MAX: usize = 10_000;

/// Why a statement of the user's, or the transaction around it, failed. Nothing of that transaction is written then.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SqlError {
    /// The statement would begin, end or reconfigure what Billhook looks after. Trying again changes nothing.
    #[error(
        "{keyword} cannot be used in tx_step: Billhook begins and ends the transaction and owns the connection; leave the statement out, \
         or run it on a connection of your own"
    )]
    Forbidden {
        /// Its first word.
        keyword: String,
    },
    /// A parameter does not fit its placeholder.
    #[error("{0}")]
    Parameter(String),
    /// A column is missing, or its value has another type than the one asked for.
    #[error("{0}")]
    Column(String),
    /// A query gave more than [`SQL_ROWS_MAX`] rows.
    #[error("the query gives more than {SQL_ROWS_MAX} rows; add a LIMIT or count in SQL")]
    TooManyRows,
    /// The transaction was open for too long.
    #[error(
        "the transaction was rolled back because it was open for longer than {0:?}; do slow work in a step before it"
    )]
    Overdue(Duration),
    /// A statement before this one failed, so that the transaction can only be rolled back.
    #[error("nothing was written because a statement of the transaction had failed before: {0}")]
    Doomed(String),
    /// The transaction has ended: its step is over, or the engine stops.
    #[error("the transaction has ended; use it only within its step")]
    Over,
    /// The database refused the statement or the commit.
    #[error(transparent)]
    Database(#[from] StoreError),
}

impl SqlError {
    /// Whether trying again cannot change it.
    pub fn is_final(&self) -> bool {
        matches!(self, Self::Forbidden { .. })
    }

    /// Whether the database was away or two transactions collided, so that the same transaction may succeed in a moment.
    pub fn is_passing(&self) -> bool {
        matches!(self, Self::Database(StoreError::Unavailable(_) | StoreError::Conflict(_)))
    }
}

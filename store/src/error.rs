//! What can go wrong in a database, in words that say what to do.

/// An error of the store. The message names the operation and what to do; it never holds parameters, which may be personal data.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be reached or does not answer in time. Trying again later may help.
    #[error("the database is not available: {0}")]
    Unavailable(String),
    /// Two transactions collided; trying again at once helps.
    #[error("the transaction was rolled back because it collided with another one: {0}")]
    Conflict(String),
    /// Another process has the SQLite file open.
    #[error("{0} is open in another Billhook process; stop that one, or use PostgreSQL for several nodes")]
    Locked(String),
    /// The disk is full. Nothing was written.
    #[error("the disk of the database is full: {0}")]
    Full(String),
    /// The database was made by a newer Billhook.
    #[error(
        "the database has schema version {found}, this program knows versions up to {known}; run the newer Billhook"
    )]
    NewerSchema {
        /// Version in the database.
        found: i64,
        /// Greatest version this program knows.
        known: i64,
    },
    /// A migration that was applied is not the one this program carries.
    #[error("migration {name} in the database differs from this program's; this Billhook was built from other sources")]
    Checksum {
        /// The migration.
        name: String,
    },
    /// The file is no database, or damaged.
    #[error("the database is damaged: {0}")]
    Corrupt(String),
    /// A permission, table or column is missing that this program needs, so that every delivery fails alike and none of them is
    /// to blame. Trying again helps once somebody has brought it back.
    #[error("the database no longer allows {operation}: {message}; bring back the permission, table or column")]
    Denied {
        /// The operation of the store.
        operation: &'static str,
        /// The database's own words and code.
        message: String,
    },
    /// Anything else the database refused.
    #[error("the database refused {operation}: {message}")]
    Refused {
        /// The operation of the store.
        operation: &'static str,
        /// The database's own words and code.
        message: String,
    },
    /// The store was opened with something it cannot use.
    #[error("{0}")]
    Configuration(String),
}

impl StoreError {
    /// Whether the same operation may succeed when it is tried again: the state of the database is the reason, not the data.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable(_) | Self::Conflict(_) | Self::Full(_) | Self::Denied { .. })
    }
}

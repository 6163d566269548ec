//! A transaction that two threads share: the function's side asks, and whoever holds the connection answers.
//!
//! It exists because the future of a function stays on its thread, and SQLite's only writing connection stays on another one.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::{mpsc, oneshot};

use super::{SqlError, SqlRow, SqlValue};
use crate::RunCommit;

/// Statements that wait at the same time; more make the function wait.
const COMMANDS_MAX: usize = 16;

/// The function's side of a transaction. Dropped, it rolls the transaction back.
#[derive(Debug)]
pub struct SqlSession {
    commands: mpsc::Sender<Command>,
    limit: Duration,
    failure: Mutex<Option<SqlError>>,
}

/// The other side; [`crate::Store::serve_sql`] serves it.
#[derive(Debug)]
pub struct SqlRequests {
    pub(crate) commands: mpsc::Receiver<Command>,
    pub(crate) limit: Duration,
}

/// What a session asks for.
#[derive(Debug)]
pub(crate) enum Command {
    /// Rows of a statement.
    Query { sql: String, parameters: Vec<SqlValue>, reply: Reply<Vec<SqlRow>> },
    /// How many rows a statement changed.
    Execute { sql: String, parameters: Vec<SqlValue>, reply: Reply<u64> },
    /// The record, if the run is still held, and the commit.
    Commit { commit: RunCommit, now: Timestamp, reply: Reply<bool> },
    /// Nothing of it.
    RollBack { reply: oneshot::Sender<()> },
}

type Reply<T> = oneshot::Sender<Result<T, SqlError>>;

impl Command {
    /// Answers that it is not done. Whoever asked may have gone away.
    pub(crate) fn refuse(self, error: SqlError) {
        match self {
            Self::Query { reply, .. } => drop(reply.send(Err(error))),
            Self::Execute { reply, .. } => drop(reply.send(Err(error))),
            Self::Commit { reply, .. } => drop(reply.send(Err(error))),
            Self::RollBack { reply } => drop(reply.send(())),
        }
    }
}

/// Both sides of a transaction that may be open for `limit`, counted from its first statement.
pub fn sql_session(limit: Duration) -> (SqlSession, SqlRequests) {
    let (sender, commands) = mpsc::channel(COMMANDS_MAX);
    (SqlSession { commands: sender, limit, failure: Mutex::default() }, SqlRequests { commands, limit })
}

impl SqlSession {
    /// The rows of a statement, at most [`crate::SQL_ROWS_MAX`]. Placeholders are `$1`, `$2`, … on both databases.
    ///
    /// # Errors
    /// When the database refuses the statement or a parameter. The transaction can only be rolled back then.
    pub async fn query(&self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<SqlRow>, SqlError> {
        let (sql, parameters) = (sql.to_owned(), parameters.to_vec());
        self.statement(|reply| Command::Query { sql, parameters, reply }).await
    }

    /// Runs a statement; returns how many rows it inserted, updated or deleted.
    ///
    /// # Errors
    /// As [`SqlSession::query`].
    pub async fn execute(&self, sql: &str, parameters: &[SqlValue]) -> Result<u64, SqlError> {
        let (sql, parameters) = (sql.to_owned(), parameters.to_vec());
        self.statement(|reply| Command::Execute { sql, parameters, reply }).await
    }

    /// Records and commits, if the run is still held; false means that it is somebody else's and that everything was rolled back.
    ///
    /// # Errors
    /// When a statement had failed before, or when the database refuses the commit. After [`crate::StoreError::Unavailable`] the outcome
    /// is unknown.
    pub async fn commit(&self, commit: RunCommit, now: Timestamp) -> Result<bool, SqlError> {
        self.ask(|reply| Command::Commit { commit, now, reply }).await
    }

    /// Rolls back, and returns when that is done.
    pub async fn roll_back(&self) {
        let (reply, done) = oneshot::channel();
        if self.commands.send(Command::RollBack { reply }).await.is_ok() {
            // An error means that the transaction has ended in another way.
            let _ = done.await;
        }
    }

    /// Returns when the transaction has ended: it was committed or rolled back, or was open for too long.
    pub async fn ended(&self) {
        self.commands.closed().await;
    }

    /// What the first statement that failed did fail with.
    pub fn failure(&self) -> Option<SqlError> {
        self.failure.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn statement<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SqlError> {
        let result = self.ask(command).await;
        if let Err(error) = &result {
            self.failure.lock().unwrap_or_else(PoisonError::into_inner).get_or_insert_with(|| error.clone());
        }
        result
    }

    async fn ask<T>(&self, command: impl FnOnce(Reply<T>) -> Command) -> Result<T, SqlError> {
        let (reply, answer) = oneshot::channel();
        // Nobody ends a transaction that its function goes on using but the time limit.
        let overdue = || SqlError::Overdue(self.limit);
        self.commands.send(command(reply)).await.map_err(|_closed| overdue())?;
        answer.await.map_err(|_dropped| overdue())?
    }
}

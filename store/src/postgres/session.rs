//! One connection in use, with deadlines.

use std::future::Future;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::time::{Instant, timeout_at};
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Row, SimpleQueryMessage, SimpleQueryRow, Statement};

use super::failure;
use crate::StoreError;

/// Waiting for a connection and for one statement together. The server's own `statement_timeout` does not help when its
/// process is stopped, and a delivery has to be answered within 5 s.
const ANSWER_DEADLINE_MS: u64 = 4_500;

/// For statements of commands and of housekeeping, which may touch many rows.
const HOUSEKEEPING_DEADLINE_MS: u64 = 120_000;

/// For one statement of a migration, which may wait for locks and rewrite a table.
const MIGRATION_DEADLINE_MS: u64 = 600_000;

/// Prepared statements of one connection beyond which those of the user's are prepared anew each time: SQL that is put together at run
/// time must not fill the memory.
const STATEMENTS_KEPT_MAX: usize = 1_000;

/// How long an operation may take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Patience {
    /// Somebody waits for the answer.
    Answer,
    /// Nobody waits.
    Housekeeping,
    /// A migration.
    Migration,
}

impl Patience {
    fn deadline(self) -> Instant {
        let milliseconds = match self {
            Self::Answer => ANSWER_DEADLINE_MS,
            Self::Housekeeping => HOUSEKEEPING_DEADLINE_MS,
            Self::Migration => MIGRATION_DEADLINE_MS,
        };
        Instant::now() + Duration::from_millis(milliseconds)
    }
}

/// Bounds several attempts together by the time of one answer.
pub(super) async fn within_answer<T>(
    operation: &'static str,
    work: impl Future<Output = Result<T, StoreError>>,
) -> Result<T, StoreError> {
    match timeout_at(Patience::Answer.deadline(), work).await {
        Ok(result) => result,
        Err(_elapsed) => Err(overdue(operation)),
    }
}

fn overdue(operation: &'static str) -> StoreError {
    StoreError::Unavailable(format!("the database did not answer in time during: {operation}"))
}

/// Parameters of a statement.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// A connection taken from the pool. It goes back only through [`Session::give_back`]; dropped in any other way, the connection
/// is closed, because a statement or transaction may still run on it.
pub(super) struct Session {
    connection: Option<Object>,
    deadline: Instant,
    is_overdue: AtomicBool,
}

impl Session {
    /// Takes a connection; the time it takes counts towards the first statement's.
    pub(super) async fn take(pool: &Pool, patience: Patience) -> Result<Self, StoreError> {
        let deadline = patience.deadline();
        // However long the work may take, a database that cannot be reached is known at once.
        match timeout_at(Patience::Answer.deadline(), pool.get()).await {
            Ok(Ok(connection)) => {
                Ok(Self { connection: Some(connection), deadline, is_overdue: AtomicBool::new(false) })
            }
            Ok(Err(error)) => Err(failure::translate_pool(&error)),
            Err(_elapsed) => Err(StoreError::Unavailable(format!(
                "no connection became free within {ANSWER_DEADLINE_MS} ms ({} in use of at most {})",
                pool.status().size,
                pool.status().max_size
            ))),
        }
    }

    /// Starts the time of the next statement.
    pub(super) fn renew(&mut self, patience: Patience) {
        self.deadline = patience.deadline();
    }

    /// Bounds what follows by a time that is given.
    pub(super) fn renew_until(&mut self, deadline: Instant) {
        self.deadline = deadline;
    }

    /// Lets the server understand a statement of the user's. It is kept for the connection while there is room.
    pub(super) async fn understand(&self, operation: &'static str, sql: &str) -> Result<Statement, StoreError> {
        let connection = self.connection()?;
        let has_room = connection.statement_cache.size() < STATEMENTS_KEPT_MAX;
        self.within(operation, async {
            if has_room { connection.prepare_cached(sql).await } else { connection.prepare(sql).await }
        })
        .await
    }

    /// Runs a statement that the server has understood.
    pub(super) async fn query_understood(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        self.within(operation, self.connection()?.query(statement, parameters)).await
    }

    /// Runs a statement that the server has understood; gives the number of rows it touched.
    pub(super) async fn execute_understood(
        &self,
        operation: &'static str,
        statement: &Statement,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        self.within(operation, self.connection()?.execute(statement, parameters)).await
    }

    /// Runs a statement that is prepared once a connection.
    pub(super) async fn query(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, StoreError> {
        let connection = self.connection()?;
        self.within(operation, async {
            let statement = connection.prepare_cached(sql).await?;
            connection.query(&statement, parameters).await
        })
        .await
    }

    /// Runs a prepared statement that returns no rows; gives the number of rows it touched.
    pub(super) async fn execute(
        &self,
        operation: &'static str,
        sql: &str,
        parameters: Parameters<'_>,
    ) -> Result<u64, StoreError> {
        let connection = self.connection()?;
        self.within(operation, async {
            let statement = connection.prepare_cached(sql).await?;
            connection.execute(&statement, parameters).await
        })
        .await
    }

    /// Runs statements without parameters, separated by semicolons, in one round trip.
    pub(super) async fn batch(&self, operation: &'static str, sql: &str) -> Result<(), StoreError> {
        let connection = self.connection()?;
        self.within(operation, connection.batch_execute(sql)).await
    }

    /// Runs one statement without parameters and without preparing it, in one round trip, with values as text; `None` when a
    /// table or schema it names does not exist.
    pub(super) async fn simple(
        &self,
        operation: &'static str,
        sql: &str,
    ) -> Result<Option<Vec<SimpleQueryRow>>, StoreError> {
        let connection = self.connection()?;
        let answered = self.within(operation, async {
            match connection.simple_query(sql).await {
                Err(error) if names_nothing(&error) => Ok(None),
                other => other.map(Some),
            }
        });
        let messages = answered.await?;
        Ok(messages.map(|messages| {
            messages
                .into_iter()
                .filter_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row),
                    _ => None,
                })
                .collect()
        }))
    }

    /// Asks the server to understand a statement, without running or keeping it.
    pub(super) async fn prepare(&self, operation: &'static str, sql: &str) -> Result<(), StoreError> {
        let connection = self.connection()?;
        self.within(operation, connection.prepare(sql)).await.map(drop)
    }

    /// Whether a statement is still unanswered or the connection is lost, so that nothing more can be asked on it.
    pub(super) fn is_broken(&self) -> bool {
        self.is_overdue.load(Ordering::Relaxed)
            || self.connection.as_ref().is_none_or(|connection| connection.is_closed())
    }

    async fn within<T>(
        &self,
        operation: &'static str,
        work: impl Future<Output = Result<T, tokio_postgres::Error>>,
    ) -> Result<T, StoreError> {
        match timeout_at(self.deadline, work).await {
            Ok(Ok(value)) => Ok(value),
            Ok(Err(error)) => Err(failure::translate(operation, &error)),
            Err(_elapsed) => {
                self.is_overdue.store(true, Ordering::Relaxed);
                Err(overdue(operation))
            }
        }
    }

    fn connection(&self) -> Result<&Object, StoreError> {
        // Only `give_back`, which consumes the session, empties it.
        self.connection.as_ref().ok_or_else(|| StoreError::Unavailable("the session has ended".to_owned()))
    }

    /// Gives the connection back for reuse. Only when no transaction is open and every statement was answered.
    pub(super) fn give_back(mut self) {
        drop(self.connection.take());
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        if let Some(connection) = self.connection.take() {
            drop(Object::take(connection));
        }
    }
}

fn names_nothing(error: &tokio_postgres::Error) -> bool {
    error.code().is_some_and(|code| [SqlState::UNDEFINED_TABLE, SqlState::INVALID_SCHEMA_NAME].contains(code))
}

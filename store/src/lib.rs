//! All SQL of Billhook: one [`Store`] with two hand-written drivers, PostgreSQL and SQLite.
//!
//! The store knows tables as data ([`billhook_core::table`]) and nothing of Stripe. It offers named operations; the ordering
//! law, which decides what is written, lives in crate `mirror` and runs inside a [`Transaction`].

/// Runs one operation on whichever driver the store has.
macro_rules! each {
    ($store:expr, $driver:ident => $call:expr) => {
        match $store {
            Store::Postgres($driver) => $call,
            Store::Sqlite($driver) => $call,
        }
    };
}

mod control;
mod error;
mod extension;
mod flow;
mod flow_hints;
mod flow_orders;
mod flow_pace;
mod flow_runs;
mod flow_upkeep;
pub mod postgres;
mod sql;
pub mod sqlite;
mod suspects;
mod sync;
mod sync_operations;
mod transaction;
mod types;

pub use control::{Blocked, Control, GATES_MAX, Gate, Gather, GatherKind, Pace, Pause, Singleton, SingletonMode};
pub use error::StoreError;
pub use extension::{Extension, ExtensionMigration};
pub use flow::*;
pub use flow_orders::*;
pub use flow_pace::FlowPace;
pub use flow_runs::*;
pub use flow_upkeep::{EndedRun, FlowRetention, MissingVersions, ParkedRun, StrayRuns};
pub use sql::{FromSqlValue, SQL_ROWS_MAX, SqlError, SqlRequests, SqlRow, SqlSession, SqlValue, sql_session};
pub use suspects::Suspects;
pub use sync::*;
pub use transaction::{Transaction, Work};
pub use types::*;

use std::sync::Arc;

use billhook_core::table::{ColumnType, Table};
use jiff::Timestamp;

/// The database that holds the mirror and Billhook's own tables.
///
/// Cheap to clone: both drivers are handles on a shared pool or on the writer thread.
#[derive(Clone)]
pub enum Store {
    /// PostgreSQL.
    Postgres(postgres::PostgresStore),
    /// SQLite, in one file.
    Sqlite(sqlite::SqliteStore),
}

impl Store {
    /// Opens the database. Nothing is written: [`Store::migrate`] makes and changes tables.
    ///
    /// # Errors
    /// When the database cannot be reached, or when another process has the SQLite file open.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        match &options.location {
            Location::Sqlite { .. } => Ok(Self::Sqlite(sqlite::SqliteStore::open(options).await?)),
            Location::Postgres(_) => Ok(Self::Postgres(postgres::PostgresStore::open(options).await?)),
        }
    }

    /// `"postgres"` or `"sqlite"`, as metrics and messages name it.
    pub fn dialect(&self) -> &'static str {
        match self {
            Self::Postgres(_) => "postgres",
            Self::Sqlite(_) => "sqlite",
        }
    }

    /// The catalogue's tables the store was opened with.
    pub fn tables(&self) -> &'static [Table] {
        each!(self, driver => driver.tables())
    }

    /// Brings the schema up to this program's version, under a lock, in one transaction per migration.
    ///
    /// # Errors
    /// When the database has a newer schema, when an applied migration's checksum differs, or when the SQL fails.
    pub async fn migrate(&self) -> Result<MigrationReport, StoreError> {
        each!(self, driver => driver.migrate().await)
    }

    /// Compares the schema with this program's version, without changing anything.
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        each!(self, driver => driver.schema_state().await)
    }

    /// One round trip that proves that the database answers.
    pub async fn ping(&self) -> Result<(), StoreError> {
        each!(self, driver => driver.ping().await)
    }

    /// Waits for what is queued, then closes. On SQLite this checkpoints the write-ahead log.
    pub async fn close(&self) {
        each!(self, driver => driver.close().await);
    }

    /// Writes deliveries into the inbox and, for the new ones, into the queue of unapplied deliveries, as one durable commit.
    ///
    /// Returns for each delivery, in order, its sequence number when it was new and `None` when its event id was known already.
    /// Two deliveries of one batch with the same event id count as one.
    pub async fn insert_deliveries(
        &self,
        deliveries: impl Into<Arc<[Delivery]>>,
    ) -> Result<Vec<Option<i64>>, StoreError> {
        let deliveries = deliveries.into();
        each!(self, driver => driver.insert_deliveries(deliveries).await)
    }

    /// The oldest unapplied deliveries that were received before `received_before`, at most `limit` and about `bytes_max` of
    /// bodies (at least one when there is any), without those whose sequence is `excluded`. Nothing is locked: another node may
    /// apply them first, and [`Transaction::claim`] tells.
    pub async fn pending_deliveries(
        &self,
        received_before: Timestamp,
        excluded: Vec<i64>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        each!(self, driver => driver.pending_deliveries(received_before, excluded, limit, bytes_max).await)
    }

    /// How many deliveries wait to be applied, and since when the oldest waits.
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        each!(self, driver => driver.backlog().await)
    }

    /// Runs `work` in one write transaction and commits it when it succeeds. On a serialisation failure or deadlock the error's
    /// [`StoreError::is_transient`] is true and nothing was written.
    pub async fn transact<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        each!(self, driver => driver.transact(work).await)
    }

    /// Serves a session to its end: begins a transaction with its first statement, runs what it asks for, and commits or rolls back.
    /// When the session's other side is dropped, or the transaction is open for longer than its limit, it is rolled back. Errors are
    /// answers to the session.
    ///
    /// On SQLite nobody else writes while the transaction is open. On PostgreSQL it has a connection of the pool.
    pub async fn serve_sql(&self, requests: SqlRequests) {
        each!(self, driver => driver.serve_sql(requests).await);
    }

    /// The rows of a statement, at most [`SQL_ROWS_MAX`], outside of any transaction of a function's. What it writes is not kept.
    ///
    /// # Errors
    /// When the database refuses the statement or a parameter, or does not answer.
    pub async fn read_sql(&self, sql: &str, parameters: &[SqlValue]) -> Result<Vec<SqlRow>, SqlError> {
        each!(self, driver => driver.read_sql(sql, parameters).await)
    }

    /// Deliveries, newest first.
    pub async fn list_events(&self, filter: EventFilter) -> Result<Vec<EventSummary>, StoreError> {
        each!(self, driver => driver.list_events(filter).await)
    }

    /// One delivery by its event id.
    pub async fn event(&self, event_id: &str) -> Result<Option<EventDetail>, StoreError> {
        each!(self, driver => driver.event(event_id).await)
    }

    /// Puts deliveries back into the queue of unapplied ones. Returns how many exist.
    pub async fn replay(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        each!(self, driver => driver.replay(event_ids).await)
    }

    /// Open quarantine entries, newest first.
    pub async fn list_quarantine(&self, limit: usize) -> Result<Vec<QuarantineSummary>, StoreError> {
        each!(self, driver => driver.list_quarantine(limit).await)
    }

    /// Closes the open entries of these events and puts the deliveries back into the queue. Returns how many were open.
    pub async fn retry_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        each!(self, driver => driver.retry_quarantined(event_ids).await)
    }

    /// Closes the open entries of these events without applying them. The deliveries themselves stay in the inbox until
    /// retention removes them. Returns how many were open.
    pub async fn drop_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        each!(self, driver => driver.drop_quarantined(event_ids).await)
    }

    /// Objects whose state could not be decided from events and whose waiting time is over.
    pub async fn due_dirty(&self, now: Timestamp, limit: usize) -> Result<Vec<DirtyMark>, StoreError> {
        each!(self, driver => driver.due_dirty(now, limit).await)
    }

    /// Rows of a table in order of id, for rebuilding and verifying.
    pub async fn scan_rows(
        &self,
        table: &'static Table,
        after_id: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        each!(self, driver => driver.scan_rows(table, after_id, limit).await)
    }

    /// One object by id. A row of an older engine without `_raw_data` counts as missing. Nothing is locked.
    pub async fn object(&self, table: &'static Table, id: &str) -> Result<Option<MirroredObject>, StoreError> {
        each!(self, driver => driver.object(table, id).await)
    }

    /// What a text column of one row holds: for columns that are filled from rows of other tables, which `_raw_data` does not show.
    /// `column` is a position of [`Table::columns`]. `None` when the row or the value is missing.
    pub async fn text_of(&self, table: &'static Table, column: usize, id: &str) -> Result<Option<String>, StoreError> {
        each!(self, driver => driver.text_of(table, column, id).await)
    }

    /// Rewrites the object columns of rows whose version is still the given one; meta columns and `deleted` stay. Returns how
    /// many were rewritten.
    pub async fn rewrite_rows(
        &self,
        table: &'static Table,
        rows: Vec<billhook_core::row::Row>,
    ) -> Result<u64, StoreError> {
        each!(self, driver => driver.rewrite_rows(table, rows).await)
    }

    /// Number of rows by table. PostgreSQL gives the planner's estimate, which costs nothing; SQLite counts.
    pub async fn row_counts(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        each!(self, driver => driver.row_counts().await)
    }

    /// A value of the database's own settings (`mode`, `account`).
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        each!(self, driver => driver.setting(key).await)
    }

    /// Writes a setting unless it exists; returns the value that stands.
    pub async fn pin_setting(&self, key: &str, value: &str) -> Result<String, StoreError> {
        each!(self, driver => driver.pin_setting(key, value).await)
    }

    /// Removes applied deliveries received before `before`, at most `limit`. Unapplied and quarantined ones stay. Returns how
    /// many were removed.
    pub async fn prune_deliveries(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        each!(self, driver => driver.prune_deliveries(before, limit).await)
    }
}

/// The name of a table's text column by its position.
fn text_column(table: &Table, column: usize) -> Result<&str, StoreError> {
    table.columns.get(column).filter(|column| column.column_type == ColumnType::Text).map_or_else(
        || Err(StoreError::Configuration(format!("the catalogue's table {} has no text column {column}", table.name))),
        |column| Ok(column.name.as_str()),
    )
}

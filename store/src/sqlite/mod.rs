//! The SQLite driver: one file, one thread that writes, a few connections that read.

mod attention;
mod ballast;
mod catalogue;
mod children;
mod connection;
mod control;
mod disturbance;
mod drift;
mod endpoints;
mod errors;
mod flow;
mod flow_orders;
mod flow_pace;
mod flow_runs;
mod flow_upkeep;
mod history;
mod inbox;
mod job;
mod link;
mod migrations;
mod publish;
mod readers;
mod runs;
mod segments;
mod settings;
mod sql;
mod statements;
mod sync;
mod times;
mod transaction;
mod upsert;
mod writer;

use std::sync::Arc;

use billhook_core::row::Row;
use billhook_core::table::Table;
use jiff::Timestamp;
use rusqlite::Connection;

pub use self::disturbance::{Disturbance, Disturbed};
use self::errors::refused;
use self::job::Kind;
use self::readers::Readers;
use self::statements::Statements;
use self::writer::Writer;
use crate::extension::ExtensionStep;
use crate::{
    Backlog, Delivery, DirtyMark, EventDetail, EventFilter, EventSummary, Location, MigrationReport, MirroredObject,
    Options, QuarantineSummary, Role, SchemaState, StoreError, StoredDelivery, StoredRow, Work, text_column,
};

/// The driver: a handle on the writer thread and the reading connections. What each method does stands at [`crate::Store`].
#[derive(Clone)]
pub struct SqliteStore {
    shared: Arc<Shared>,
    disturbance: Option<Arc<dyn Disturbance>>,
}

/// Where the work of the database is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Place {
    /// On threads of its own.
    Threads,
    /// On the thread of the runtime.
    Here,
}

struct Shared {
    writer: Writer,
    readers: Readers,
    statements: Arc<Statements>,
    catalogue_revision: i64,
}

impl SqliteStore {
    /// Opens the file and makes it when it is missing, readable by its owner only.
    ///
    /// # Errors
    /// [`StoreError::Locked`] when another server has the file, [`StoreError::Configuration`] when it cannot be made.
    pub async fn open(options: Options) -> Result<Self, StoreError> {
        let opened = tokio::task::spawn_blocking(move || Self::open_now(options, Place::Threads)).await;
        opened.map_err(|error| StoreError::Unavailable(format!("the database could not be opened: {error}")))?
    }

    /// Opens the file for a simulation: everything is done on the one thread of the runtime, in the order in which it is asked for. Needs
    /// such a runtime.
    ///
    /// # Errors
    /// As [`SqliteStore::open`].
    pub fn open_here(options: Options) -> Result<Self, StoreError> {
        Self::open_now(options, Place::Here)
    }

    fn open_now(options: Options, place: Place) -> Result<Self, StoreError> {
        let Location::Sqlite { path } = &options.location else {
            return Err(StoreError::Configuration("the location is no SQLite file".to_owned()));
        };
        let path = connection::prepare_file(path)?;
        let lock = match options.role {
            Role::Server => Some(connection::lock_for_server(&path)?),
            Role::Tool => None,
        };
        let statements = Arc::new(Statements::new(options.tables));
        let connection = connection::open_writer(&path)?;
        let writer = Writer::start(&path, options.role, connection, lock, statements.clone(), place)?;
        let readers = Readers::new(path, place);
        let shared = Shared { writer, readers, statements, catalogue_revision: options.catalogue_revision };
        Ok(Self { shared: Arc::new(shared), disturbance: None })
    }

    /// See [`crate::Store::tables`].
    pub fn tables(&self) -> &'static [Table] {
        self.shared.statements.tables()
    }

    /// See [`crate::Store::migrate`].
    pub async fn migrate(&self) -> Result<MigrationReport, StoreError> {
        let (statements, revision) = (self.shared.statements.clone(), self.shared.catalogue_revision);
        self.shared
            .writer
            .run_exclusively(move |connection| migrations::migrate(connection, &statements, revision))
            .await
    }

    /// See [`crate::Store::migrate_extension`].
    pub(crate) async fn migrate_extension(&self, steps: Vec<ExtensionStep>) -> Result<Vec<String>, StoreError> {
        self.shared.writer.run_exclusively(move |connection| migrations::migrate_extension(connection, steps)).await
    }

    /// See [`crate::Store::schema_state`].
    pub async fn schema_state(&self) -> Result<SchemaState, StoreError> {
        let revision = self.shared.catalogue_revision;
        self.shared.readers.read(move |connection| migrations::state(connection, revision)).await
    }

    /// See [`crate::Store::ping`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        let version = |connection: &Connection| connection.query_row("PRAGMA schema_version", [], |_row| Ok(()));
        self.read("ping", version).await
    }

    /// See [`crate::Store::close`].
    pub async fn close(&self) {
        // Readers first: the log can only be emptied when nobody reads it.
        self.shared.readers.close().await;
        self.shared.writer.close().await;
    }

    /// See [`crate::Store::insert_deliveries`].
    pub async fn insert_deliveries(&self, deliveries: Arc<[Delivery]>) -> Result<Vec<Option<i64>>, StoreError> {
        let bytes = deliveries.iter().map(|delivery| delivery.raw.len()).sum();
        self.write(Kind::Inbox, bytes, "inserting deliveries", move |connection| inbox::insert(connection, &deliveries))
            .await
    }

    /// See [`crate::Store::pending_deliveries`].
    pub async fn pending_deliveries(
        &self,
        received_before: Timestamp,
        mut excluded: Vec<i64>,
        limit: usize,
        bytes_max: usize,
    ) -> Result<Vec<StoredDelivery>, StoreError> {
        excluded.sort_unstable();
        let pending =
            move |connection: &Connection| inbox::pending(connection, received_before, &excluded, limit, bytes_max);
        self.read("reading unapplied deliveries", pending).await
    }

    /// See [`crate::Store::backlog`].
    pub async fn backlog(&self) -> Result<Backlog, StoreError> {
        self.read("counting unapplied deliveries", inbox::backlog).await
    }

    /// See [`crate::Store::transact`].
    pub async fn transact<W: Work>(&self, work: W) -> Result<W::Output, StoreError> {
        let run = self.shared.writer.run(Kind::Apply, 0, move |transaction| transaction.run_to_end(work));
        self.through("a transaction", run).await
    }

    /// See [`crate::Store::list_events`].
    pub async fn list_events(&self, filter: EventFilter) -> Result<Vec<EventSummary>, StoreError> {
        self.read("listing deliveries", move |connection| inbox::list(connection, &filter)).await
    }

    /// See [`crate::Store::event`].
    pub async fn event(&self, event_id: &str) -> Result<Option<EventDetail>, StoreError> {
        let event_id = event_id.to_owned();
        self.read("reading a delivery", move |connection| inbox::detail(connection, &event_id)).await
    }

    /// See [`crate::Store::replay`].
    pub async fn replay(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        let event_ids = event_ids.to_vec();
        self.write(Kind::Upkeep, 0, "replaying deliveries", move |connection| inbox::release(connection, &event_ids))
            .await
    }

    /// See [`crate::Store::list_quarantine`].
    pub async fn list_quarantine(&self, limit: usize) -> Result<Vec<QuarantineSummary>, StoreError> {
        self.read("listing the quarantine", move |connection| attention::list_quarantine(connection, limit)).await
    }

    /// See [`crate::Store::retry_quarantined`].
    pub async fn retry_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        let event_ids = event_ids.to_vec();
        let retry = move |connection: &Connection| attention::retry_quarantined(connection, &event_ids);
        self.write(Kind::Upkeep, 0, "retrying quarantined deliveries", retry).await
    }

    /// See [`crate::Store::drop_quarantined`].
    pub async fn drop_quarantined(&self, event_ids: &[String]) -> Result<u64, StoreError> {
        let event_ids = event_ids.to_vec();
        let close = move |connection: &Connection| {
            attention::close_quarantined(connection, &event_ids).map(|closed| closed.len() as u64)
        };
        self.write(Kind::Upkeep, 0, "dropping quarantined deliveries", close).await
    }

    /// See [`crate::Store::due_dirty`].
    pub async fn due_dirty(&self, now: Timestamp, limit: usize) -> Result<Vec<DirtyMark>, StoreError> {
        self.read("reading marked objects", move |connection| attention::due_dirty(connection, now, limit)).await
    }

    /// See [`crate::Store::scan_rows`].
    pub async fn scan_rows(
        &self,
        table: &'static Table,
        after_id: &str,
        limit: usize,
    ) -> Result<Vec<StoredRow>, StoreError> {
        let after_id = after_id.to_owned();
        self.read("scanning rows", move |connection| history::scan(connection, table, &after_id, limit)).await
    }

    /// See [`crate::Store::object`].
    pub async fn object(&self, table: &'static Table, id: &str) -> Result<Option<MirroredObject>, StoreError> {
        let id = id.to_owned();
        self.read("reading an object", move |connection| history::object(connection, table, &id)).await
    }

    /// See [`crate::Store::text_of`].
    pub async fn text_of(&self, table: &'static Table, column: usize, id: &str) -> Result<Option<String>, StoreError> {
        let id = id.to_owned();
        let name = text_column(table, column)?;
        self.read("reading a column", move |connection| history::text_of(connection, table, name, &id)).await
    }

    /// See [`crate::Store::rewrite_rows`].
    pub async fn rewrite_rows(&self, table: &'static Table, rows: Vec<Row>) -> Result<u64, StoreError> {
        let rewrite = move |transaction: &mut transaction::SqliteTransaction<'_>| {
            upsert::rewrite(transaction.connection(), table, &rows)
        };
        self.shared.writer.run(Kind::Apply, 0, rewrite).await
    }

    /// See [`crate::Store::row_counts`].
    pub async fn row_counts(&self) -> Result<Vec<(&'static str, u64)>, StoreError> {
        let tables = self.tables();
        self.read("counting rows", move |connection| history::counts(connection, tables)).await
    }

    /// See [`crate::Store::setting`].
    pub async fn setting(&self, key: &str) -> Result<Option<String>, StoreError> {
        let key = key.to_owned();
        self.read("reading a setting", move |connection| settings::read(connection, &key)).await
    }

    /// See [`crate::Store::pin_setting`].
    pub async fn pin_setting(&self, key: &str, value: &str) -> Result<String, StoreError> {
        let (key, value) = (key.to_owned(), value.to_owned());
        self.write(Kind::Upkeep, 0, "writing a setting", move |connection| settings::pin(connection, &key, &value))
            .await
    }

    /// See [`crate::Store::prune_deliveries`].
    pub async fn prune_deliveries(&self, before: Timestamp, limit: usize) -> Result<u64, StoreError> {
        self.write(Kind::Upkeep, 0, "removing old deliveries", move |connection| {
            inbox::prune(connection, before, limit)
        })
        .await
    }

    async fn read<R, F>(&self, operation: &'static str, read: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    {
        let read = self.shared.readers.read(move |connection| read(connection).map_err(refused(operation)));
        self.through(operation, read).await
    }

    async fn write<R, F>(&self, kind: Kind, bytes: usize, operation: &'static str, write: F) -> Result<R, StoreError>
    where
        R: Send + 'static,
        F: FnOnce(&Connection) -> rusqlite::Result<R> + Send + 'static,
    {
        let write = move |transaction: &mut transaction::SqliteTransaction<'_>| {
            write(transaction.connection()).map_err(refused(operation))
        };
        self.through(operation, self.shared.writer.run(kind, bytes, write)).await
    }
}

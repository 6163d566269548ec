//! Databases to test on, and short forms of what the tests do with them.

use std::future::Future;
use std::panic::resume_unwind;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, SystemTime};

use billhook_core::Secret;
use billhook_core::row::Row;
use billhook_core::table::{Orphans, Table};
use billhook_store::{
    Advance, CompleteList, Contender, Delivery, DirtyMark, DriftFind, Guard, Location, Options, PostgresLocation,
    QuarantineEntry, Role, RowState, Store, StoreError, StoredDelivery, Tombstone, Transaction, Work,
};
use jiff::Timestamp;
use tokio_postgres::{NoTls, SimpleQueryMessage};

use crate::tables;

/// Writes tests once and runs them on both drivers.
macro_rules! on_both {
    ($($(#[$attribute:meta])* async fn $name:ident($database:ident) $body:block)*) => {
        $(
            $(#[$attribute])*
            mod $name {
                #[allow(unused_imports, reason = "not every test needs what its file imports")]
                use super::*;

                async fn scenario($database: crate::harness::Database) $body

                #[test]
                fn sqlite() {
                    crate::harness::on_sqlite(scenario);
                }

                #[test]
                fn postgres() {
                    crate::harness::on_postgres(scenario);
                }
            }
        )*
    };
}

/// How long a test may take.
const TEST_SECONDS_MAX: u64 = 60;
/// Environment variable with the URL of a PostgreSQL superuser.
const POSTGRES_URL: &str = "TEST_DATABASE_URL";

/// A database of one test, migrated to the small catalogue unless the test says otherwise.
#[derive(Clone)]
pub struct Database {
    /// The open store, with the role of a server.
    pub store: Store,
    /// Where it is.
    pub place: Place,
}

/// Where a database is.
#[derive(Clone)]
pub enum Place {
    /// A file.
    Sqlite(PathBuf),
    /// A URL.
    Postgres(String),
}

/// Runs a scenario on a fresh SQLite file.
pub fn on_sqlite<F: Future<Output = ()> + Send + 'static>(scenario: impl FnOnce(Database) -> F) {
    let folder = tempfile::tempdir().expect("a folder for the database");
    let place = Place::Sqlite(folder.path().join("billhook.db"));
    runtime().block_on(async {
        let database = Database::new(place).await;
        let store = database.store.clone();
        let result = within_time(scenario(database)).await;
        store.close().await;
        finish(result);
    });
}

/// Runs a scenario on a fresh PostgreSQL database, when there is a server.
pub fn on_postgres<F: Future<Output = ()> + Send + 'static>(scenario: impl FnOnce(Database) -> F) {
    let Some(server) = postgres_url() else { return };
    let name = unique_name();
    runtime().block_on(async {
        execute_postgres(&server, &format!("CREATE DATABASE {name}")).await;
        let database = Database::new(Place::Postgres(with_database(&server, &name))).await;
        let store = database.store.clone();
        let result = within_time(scenario(database)).await;
        store.close().await;
        execute_postgres(&server, &format!("DROP DATABASE {name} WITH (FORCE)")).await;
        finish(result);
    });
}

/// The server's URL; says why there is none.
#[expect(clippy::print_stdout, reason = "a skipped test has to say so")]
fn postgres_url() -> Option<String> {
    match std::env::var(POSTGRES_URL) {
        Ok(url) if !url.is_empty() => Some(url),
        _ if std::env::var_os("CI").is_some() => panic!("{POSTGRES_URL} is not set, and in CI nothing may be skipped"),
        _ => {
            println!("skipped: {POSTGRES_URL} (URL of a PostgreSQL superuser) is not set");
            None
        }
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

type Ended = Result<Result<(), tokio::task::JoinError>, tokio::time::error::Elapsed>;

async fn within_time<F: Future<Output = ()> + Send + 'static>(scenario: F) -> Ended {
    tokio::time::timeout(Duration::from_secs(TEST_SECONDS_MAX), tokio::spawn(scenario)).await
}

fn finish(result: Ended) {
    match result {
        Ok(Ok(())) => {}
        Ok(Err(failure)) => resume_unwind(failure.into_panic()),
        Err(_elapsed) => panic!("the test did not end within {TEST_SECONDS_MAX} s"),
    }
}

/// A name no other test and no other run has.
fn unique_name() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    let time = SystemTime::UNIX_EPOCH.elapsed().expect("a clock after 1970").as_nanos();
    format!("billhook_test_{}_{time}_{}", std::process::id(), COUNT.fetch_add(1, Ordering::Relaxed))
}

/// The URL with another database name.
fn with_database(url: &str, name: &str) -> String {
    let (front, parameters) = url.split_once('?').map_or((url, None), |(front, parameters)| (front, Some(parameters)));
    let (scheme, rest) = front.split_once("://").expect("a URL with a scheme");
    let server = rest.split('/').next().unwrap_or_default();
    let parameters = parameters.map(|parameters| format!("?{parameters}")).unwrap_or_default();
    format!("{scheme}://{server}/{name}{parameters}")
}

async fn postgres_client(url: &str) -> tokio_postgres::Client {
    let (client, connection) = tokio_postgres::connect(url, NoTls).await.expect("PostgreSQL answers");
    tokio::spawn(connection);
    client
}

async fn execute_postgres(url: &str, sql: &str) {
    postgres_client(url).await.batch_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
}

/// Options that open `place` with a catalogue.
pub fn options(place: &Place, tables: &'static [Table], catalogue_revision: i64, role: Role) -> Options {
    let location = match place {
        Place::Sqlite(path) => Location::Sqlite { path: path.clone() },
        Place::Postgres(url) => Location::Postgres(PostgresLocation {
            url: Secret::new(url.clone()),
            tls_ca: None,
            connections_max: 6,
            mirror_schema: "stripe".to_owned(),
            statement_timeout_ms: 20_000,
        }),
    };
    Options { location, tables, catalogue_revision, role }
}

impl Database {
    async fn new(place: Place) -> Self {
        let store = Store::open(options(&place, tables::all(), 1, Role::Server)).await.expect("the database opens");
        Self { store, place }
    }

    /// Brings the schema up to date. Tests begin with an empty database.
    pub async fn migrated(self) -> Self {
        self.store.migrate().await.expect("the migration succeeds");
        self
    }

    /// Opens it once more, beside the open store.
    pub async fn open_beside(&self, tables: &'static [Table], catalogue_revision: i64) -> Result<Store, StoreError> {
        Store::open(options(&self.place, tables, catalogue_revision, Role::Tool)).await
    }

    /// Closes the store and opens it again.
    pub async fn reopened(self) -> Self {
        self.store.close().await;
        let store = Store::open(options(&self.place, tables::all(), 1, Role::Server)).await.expect("it opens again");
        Self { store, place: self.place }
    }

    /// Runs SQL beside the store, written for each dialect.
    pub async fn execute(&self, sqlite: &str, postgres: &str) {
        match &self.place {
            Place::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).expect("the file opens");
                connection.busy_timeout(Duration::from_secs(5)).expect("a timeout can be set");
                connection.execute_batch(sqlite).unwrap_or_else(|error| panic!("{sqlite}: {error}"));
            }
            Place::Postgres(url) => execute_postgres(url, postgres).await,
        }
    }

    /// The first column of the first row, as text.
    pub async fn value(&self, sqlite: &str, postgres: &str) -> Option<String> {
        match &self.place {
            Place::Sqlite(path) => {
                let connection = rusqlite::Connection::open(path).expect("the file opens");
                let sql = format!("SELECT CAST(value AS TEXT) FROM (SELECT ({sqlite}) AS value)");
                connection.query_row(&sql, [], |row| row.get(0)).unwrap_or_else(|error| panic!("{sql}: {error}"))
            }
            Place::Postgres(url) => {
                let sql = format!("SELECT ({postgres})::text");
                let answer = postgres_client(url).await.simple_query(&sql).await;
                let messages = answer.unwrap_or_else(|error| panic!("{sql}: {error:?}"));
                messages.iter().find_map(|message| match message {
                    SimpleQueryMessage::Row(row) => Some(row.get(0).map(ToOwned::to_owned)),
                    _ => None,
                })?
            }
        }
    }

    /// How PostgreSQL would run a statement.
    pub async fn plan(&self, sql: &str) -> String {
        let Place::Postgres(url) = &self.place else { panic!("plans are PostgreSQL's") };
        let answer = postgres_client(url).await.simple_query(&format!("EXPLAIN {sql}")).await.expect("a plan");
        let line = |message: &SimpleQueryMessage| match message {
            SimpleQueryMessage::Row(row) => row.get(0).map(ToOwned::to_owned),
            _ => None,
        };
        answer.iter().filter_map(line).collect::<Vec<String>>().join("\n")
    }

    /// One of Billhook's own tables, as SQL names it.
    pub fn own(&self, table: &str) -> String {
        match &self.place {
            Place::Sqlite(_) => format!("billhook_{table}"),
            Place::Postgres(_) => format!("billhook.{table}"),
        }
    }

    /// A column of a row as text; `None` for NULL and for a missing row.
    pub async fn column(&self, table: &str, id: &str, column: &str) -> Option<String> {
        let condition = format!("WHERE id = '{}'", id.replace('\'', "''"));
        self.value(
            &format!(r#"SELECT "{column}" FROM "{table}" {condition}"#),
            &format!(r#"SELECT "{column}" FROM stripe."{table}" {condition}"#),
        )
        .await
    }

    /// A boolean column of a row.
    pub async fn flag(&self, table: &str, id: &str, column: &str) -> Option<bool> {
        self.column(table, id, column).await.map(|text| text == "1" || text == "true")
    }

    /// A JSON column of a row.
    pub async fn json(&self, table: &str, id: &str, column: &str) -> Option<serde_json::Value> {
        self.column(table, id, column).await.map(|text| serde_json::from_str(&text).expect("JSON"))
    }

    /// A time column of a row, as Unix seconds.
    pub async fn seconds(&self, table: &str, id: &str, column: &str) -> Option<i64> {
        let sqlite = format!(r#"SELECT strftime('%s', "{column}") FROM "{table}" WHERE id = '{id}'"#);
        let postgres =
            format!(r#"SELECT floor(extract(epoch FROM "{column}"))::bigint FROM stripe."{table}" WHERE id = '{id}'"#);
        self.value(&sqlite, &postgres).await.map(|text| text.parse().expect("whole seconds"))
    }

    /// Whether a row is there.
    pub async fn has(&self, table: &str, id: &str) -> bool {
        self.column(table, id, "id").await.is_some()
    }

    /// Inserts deliveries that are received in their order, one second apart from second 1000 on; returns their sequences.
    pub async fn receive(&self, event_ids: &[&str]) -> Vec<i64> {
        let deliveries: Vec<_> =
            event_ids.iter().zip(1000..).map(|(event_id, second)| delivery(event_id, second)).collect();
        let sequences = self.store.insert_deliveries(deliveries).await.expect("the deliveries are written");
        sequences.into_iter().map(|sequence| sequence.expect("a new event")).collect()
    }

    /// Sequences of all unapplied deliveries, in their order.
    pub async fn pending(&self) -> Vec<i64> {
        let pending = self
            .store
            .pending_deliveries(Timestamp::MAX, Vec::new(), 1000, usize::MAX)
            .await
            .expect("the queue can be read");
        pending.into_iter().map(|delivery| delivery.sequence).collect()
    }
}

/// A delivery of `event_id`, received at `second`.
pub fn delivery(event_id: &str, second: i64) -> Delivery {
    Delivery {
        event_id: event_id.to_owned(),
        event_type: "thing.updated".to_owned(),
        object: "thing".to_owned(),
        object_id: "thing_1".to_owned(),
        account: String::new(),
        api_version: "2026-10-28.endive".to_owned(),
        created: Some(second),
        livemode: Some(false),
        snapshot_event: String::new(),
        received_at: at(second),
        secret_index: 0,
        raw: format!(r#"{{"id":"{event_id}","object":"event","data":{{"object":{{}}}}}}"#).into_bytes().into(),
        sha256: [7; 32],
    }
}

/// The time of a Unix second.
pub fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).expect("a second of the calendar")
}

/// Text of each.
pub fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

/// One operation of a transaction as a transaction of its own.
macro_rules! operation {
    ($(#[$doc:meta])* $name:ident($($argument:ident: $kind:ty),*) -> $output:ty = |$transaction:ident| $call:expr) => {
        impl Database {
            $(#[$doc])*
            pub async fn $name(&self, $($argument: $kind),*) -> $output {
                struct One {
                    $($argument: $kind),*
                }
                impl Work for One {
                    type Output = $output;
                    async fn run<T: Transaction>(self, $transaction: &mut T) -> Result<$output, StoreError> {
                        let Self { $($argument),* } = self;
                        $call.await
                    }
                }
                self.store.transact(One { $($argument),* }).await.expect("the transaction is committed")
            }
        }
    };
}

operation!(
    /// Takes deliveries out of the queue.
    claim(sequences: Vec<i64>) -> Vec<i64> = |transaction| transaction.claim(&sequences)
);
operation!(
    /// Puts deliveries back.
    release(event_ids: Vec<String>) -> () = |transaction| transaction.release(&event_ids)
);
operation!(
    /// Writes rows.
    upsert(table: &'static Table, rows: Vec<Row>, guard: Guard) -> Vec<bool> =
        |transaction| transaction.upsert(table, &rows, guard)
);
operation!(
    /// Reads versions.
    row_states(table: &'static Table, ids: Vec<String>) -> Vec<Option<RowState>> =
        |transaction| transaction.row_states(table, &ids)
);
operation!(
    /// Reads tombstones.
    tombstones(table: &'static Table, ids: Vec<String>) -> Vec<Option<Tombstone>> =
        |transaction| transaction.tombstones(table, &ids)
);
operation!(
    /// Writes tombstones.
    bury(table: &'static Table, tombstones: Vec<(String, Tombstone)>) -> () =
        |transaction| transaction.bury(table, &tombstones)
);
operation!(
    /// Removes tombstones.
    unbury(table: &'static Table, ids: Vec<String>) -> () = |transaction| transaction.unbury(table, &ids)
);
operation!(
    /// Removes rows.
    delete_rows(table: &'static Table, ids: Vec<String>) -> () = |transaction| transaction.delete_rows(table, &ids)
);
operation!(
    /// Removes rows that tombstones forbid.
    delete_buried(table: &'static Table, ids: Vec<String>) -> () = |transaction| transaction.delete_buried(table, &ids)
);
operation!(
    /// Reads contenders.
    contenders(table: &'static Table, ids: Vec<String>) -> Vec<Contender> =
        |transaction| transaction.contenders(table, &ids)
);
operation!(
    /// Remembers contenders.
    add_contenders(contenders: Vec<Contender>) -> () = |transaction| transaction.add_contenders(&contenders)
);
operation!(
    /// Forgets contenders.
    forget_contenders(table: &'static Table, before: Vec<(String, i64)>) -> () =
        |transaction| transaction.forget_contenders(table, &before)
);
operation!(
    /// Reads deliveries by event id.
    events_of(event_ids: Vec<String>) -> Vec<StoredDelivery> = |transaction| transaction.events(&event_ids)
);
operation!(
    /// Of these ids, the known ones.
    known_events(event_ids: Vec<String>) -> Vec<String> = |transaction| transaction.known_events(&event_ids)
);
operation!(
    /// Flags or removes orphans.
    prune_children(table: &'static Table, parent_column: usize, orphans: Orphans, lists: Vec<CompleteList>) -> () =
        |transaction| transaction.prune_children(table, parent_column, orphans, &lists)
);
operation!(
    /// Fills columns that depend on other tables.
    link(table: &'static Table, ids: Vec<String>) -> () = |transaction| transaction.link(table, &ids)
);
operation!(
    /// Marks objects.
    mark_dirty(marks: Vec<DirtyMark>) -> () = |transaction| transaction.mark_dirty(&marks)
);
operation!(
    /// Removes exactly these marks.
    unmark_dirty(marks: Vec<DirtyMark>) -> () = |transaction| transaction.unmark_dirty(&marks)
);
operation!(
    /// Clears marks by object.
    clear_dirty(objects: Vec<(String, String)>, until: Timestamp) -> () = |transaction| transaction.clear_dirty(&objects, until)
);
operation!(
    /// Clears marks by event.
    clear_dirty_of_events(event_ids: Vec<String>) -> () = |transaction| transaction.clear_dirty_of_events(&event_ids)
);
operation!(
    /// Sets deliveries aside.
    quarantine(entries: Vec<QuarantineEntry>) -> () = |transaction| transaction.quarantine(&entries)
);
operation!(
    /// Notes a page.
    advance(advance: Advance) -> bool = |transaction| transaction.advance_segment(&advance)
);
operation!(
    /// Of these ids, those that are neither there nor buried.
    missing_rows(table: &'static Table, ids: Vec<String>) -> Vec<String> =
        |transaction| transaction.missing_rows(table, &ids)
);
operation!(
    /// Notes finds.
    note_drift(finds: Vec<DriftFind>) -> () = |transaction| transaction.note_drift(&finds)
);

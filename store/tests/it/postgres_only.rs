//! What only PostgreSQL promises: several nodes at once, deadlines, collisions, and schemas that other engines left.

use std::future::Future;
use std::time::{Duration, Instant};

use billhook_core::Secret;
use billhook_core::row::{Rank, Row, Value, Version};
use billhook_core::table::{Source, Table};
use billhook_store::{
    Guard, Location, Options, PostgresLocation, Role, SchemaState, Store, StoreError, Transaction, Work,
};
use billhook_stripe::catalogue;
use jiff::Timestamp;
use tokio::net::TcpListener;
use tokio::sync::oneshot;

use crate::harness::{Database, Place, delivery, on_postgres, options, texts};
use crate::tables::{self, Draft, row, text};

/// What a delivery's sender waits for.
const ANSWER_SECONDS_MAX: u64 = 5;

/// A test on a fresh PostgreSQL database, when there is a server.
macro_rules! on_postgres_only {
    ($(async fn $name:ident($database:ident) $body:block)*) => {
        $(
            #[test]
            fn $name() {
                async fn scenario($database: Database) $body
                on_postgres(scenario);
            }
        )*
    };
}

/// Opens the database with Stripe's whole catalogue.
async fn with_stripe_tables(database: &Database) -> Store {
    let options = options(&database.place, catalogue::tables(), catalogue::revision(), Role::Server);
    Store::open(options).await.expect("the store opens")
}

async fn open_with(database: &Database, change: impl FnOnce(&mut PostgresLocation)) -> Result<Store, StoreError> {
    let mut options = options(&database.place, tables::all(), 1, Role::Server);
    if let Location::Postgres(location) = &mut options.location {
        change(location);
    }
    Store::open(options).await
}

fn table(name: &str) -> &'static Table {
    catalogue::table_named(name).expect("a table of the catalogue")
}

/// A row of one of Stripe's tables at a second.
fn stripe_row(table: &'static Table, id: &str, time: i64) -> Row {
    Row {
        table: table.index,
        id: id.to_owned(),
        values: vec![Value::Null; table.columns.len()],
        raw: format!(r#"{{"id":"{id}"}}"#),
        account: String::new(),
        version: Version { time, rank: Rank::Event },
        source_event: format!("evt_{time}"),
        stub: false,
        revives: false,
    }
}

/// Writes rows of one table.
struct Upsert {
    table: &'static Table,
    rows: Vec<Row>,
}

impl Work for Upsert {
    type Output = Vec<bool>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<bool>, StoreError> {
        transaction.upsert(self.table, &self.rows, Guard::Newer).await
    }
}

/// Claims deliveries, says so, and keeps the transaction open until it is told to end.
struct Hold {
    sequences: Vec<i64>,
    held: oneshot::Sender<()>,
    release: oneshot::Receiver<()>,
}

impl Work for Hold {
    type Output = Vec<i64>;

    async fn run<T: Transaction>(self, transaction: &mut T) -> Result<Vec<i64>, StoreError> {
        let claimed = transaction.claim(&self.sequences).await?;
        self.held.send(()).expect("the test waits");
        self.release.await.expect("the test releases");
        Ok(claimed)
    }
}

/// Begins to hold `sequences` in a transaction of its own; returns how to end it and its result.
async fn hold(
    store: &Store,
    sequences: Vec<i64>,
) -> (oneshot::Sender<()>, tokio::task::JoinHandle<Result<Vec<i64>, StoreError>>) {
    let (held, is_held) = oneshot::channel();
    let (end, release) = oneshot::channel();
    let store = store.clone();
    let task = tokio::spawn(async move { store.transact(Hold { sequences, held, release }).await });
    is_held.await.expect("the deliveries are claimed");
    (end, task)
}

/// The result and how long it took.
async fn timed<T>(work: impl Future<Output = T>) -> (T, Duration) {
    let start = Instant::now();
    let result = work.await;
    (result, start.elapsed())
}

/// Asks again until the store answers, as its callers do.
async fn answers_again(store: &Store) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while let Err(error) = store.ping().await {
        assert!(error.is_transient(), "{error}");
        assert!(Instant::now() < deadline, "{error}");
    }
}

on_postgres_only! {
    async fn every_statement_fits_stripes_whole_catalogue(database) {
        let store = with_stripe_tables(&database).await;
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Empty);
        let report = store.migrate().await.unwrap();
        assert_eq!(report.tables_created, catalogue::tables().len());
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
        assert_eq!(store.migrate().await.unwrap(), Default::default());
        let Store::Postgres(driver) = &store else { panic!("another driver") };
        let count = driver.check_statements().await.unwrap();
        assert!(count > catalogue::tables().len() * 10, "{count} statements");
        store.close().await;
    }

    async fn a_row_of_every_table_of_the_catalogue_can_be_written(database) {
        let store = with_stripe_tables(&database).await;
        store.migrate().await.unwrap();
        for table in catalogue::tables() {
            let full = stripe_row(table, "full_1", 100);
            let rows = vec![full, Row { stub: true, ..stripe_row(table, "stub_1", 100) }];
            let written = store.transact(Upsert { table, rows }).await;
            assert_eq!(written.unwrap(), [true, true], "{}", table.name);
            assert_eq!(store.scan_rows(table, "", 10).await.unwrap().len(), 2, "{}", table.name);
        }
        store.close().await;
    }

    async fn nodes_that_start_together_migrate_once(database) {
        let stores = [with_stripe_tables(&database).await, with_stripe_tables(&database).await];
        let (one, other) = tokio::join!(stores[0].migrate(), stores[1].migrate());
        let made = one.unwrap().tables_created + other.unwrap().tables_created;
        assert_eq!(made, catalogue::tables().len());
        for store in stores {
            store.close().await;
        }
    }

    async fn another_schema_for_the_mirror_is_filled_as_well(database) {
        database.store.migrate().await.unwrap();
        let store = open_with(&database, |location| location.mirror_schema = "other".to_owned()).await.unwrap();
        assert!(matches!(store.schema_state().await.unwrap(), SchemaState::Behind(_)));
        assert_eq!(store.migrate().await.unwrap().tables_created, tables::all().len());
        assert_eq!(store.schema_state().await.unwrap(), SchemaState::Current);
        store.close().await;
    }

    async fn tables_of_an_older_engine_are_widened_and_kept(database) {
        database.execute("", include_str!("older_engine.sql")).await;
        let store = with_stripe_tables(&database).await;
        let report = store.migrate().await.unwrap();
        assert_eq!(report.tables_created, catalogue::tables().len() - 4);
        assert!(report.columns_added > 0);
        assert!(report.notes.iter().any(|note| note.contains("events_before_billhook")), "{:?}", report.notes);
        assert!(report.notes.iter().any(|note| note.contains("subscriptions.status")), "{:?}", report.notes);
        assert_eq!(database.column("customers", "cus_old", "name").await.as_deref(), Some("Ada"));
        assert_eq!(database.column("subscriptions", "sub_old", "status").await.as_deref(), Some("active"));

        // A value and an amount that the older engine could not hold, and a reference whose other side is not there.
        let subscriptions = table("subscriptions");
        let novel = stripe_row(subscriptions, "sub_new", 10).with(subscriptions, "status", text("hibernating"));
        assert_eq!(store.transact(Upsert { table: subscriptions, rows: vec![novel] }).await.unwrap(), [true]);
        let customers = table("customers");
        let rich = stripe_row(customers, "cus_rich", 10).with(customers, "balance", Value::BigInt(1 << 40));
        assert_eq!(store.transact(Upsert { table: customers, rows: vec![rich] }).await.unwrap(), [true]);
        let items = table("checkout_session_line_items");
        let item = stripe_row(items, "li_1", 10).with(items, "price", text("price_missing"));
        assert_eq!(store.transact(Upsert { table: items, rows: vec![item] }).await.unwrap(), [true]);
        let schedules = table("subscription_schedules");
        let partial = stripe_row(schedules, "sub_sched_1", 10);
        assert_eq!(store.transact(Upsert { table: schedules, rows: vec![partial] }).await.unwrap(), [true]);
        store.close().await;
    }

    async fn a_row_of_an_older_engine_stands_at_its_time_of_synchronisation(database) {
        database.execute("", include_str!("older_engine.sql")).await;
        let store = with_stripe_tables(&database).await;
        store.migrate().await.unwrap();
        let customers = table("customers");
        let named = |time, name| stripe_row(customers, "cus_old", time).with(customers, "name", text(name));
        // It was synchronised at second 1000.
        let late = store.transact(Upsert { table: customers, rows: vec![named(999, "Late")] }).await;
        assert_eq!(late.unwrap(), [false]);
        let same = store.transact(Upsert { table: customers, rows: vec![named(1000, "Same")] }).await;
        assert_eq!(same.unwrap(), [true]);
        assert_eq!(database.column("customers", "cus_old", "name").await.as_deref(), Some("Same"));
        store.close().await;
    }

    async fn generated_columns_are_refused_with_what_to_do(database) {
        let sql = "CREATE SCHEMA stripe; CREATE TABLE stripe.customers (_raw_data jsonb NOT NULL, \
                   id text GENERATED ALWAYS AS (_raw_data ->> 'id') STORED PRIMARY KEY)";
        database.execute("", sql).await;
        let store = with_stripe_tables(&database).await;
        let Err(StoreError::Configuration(message)) = store.migrate().await else { panic!("it must be refused") };
        assert!(message.contains("customers") && message.contains("RENAME TO"), "{message}");
        assert!(matches!(store.schema_state().await.unwrap(), SchemaState::Behind(_)));
        store.close().await;
    }

    async fn events_are_a_view_over_the_inbox(database) {
        let store = with_stripe_tables(&database).await;
        store.migrate().await.unwrap();
        let mut good = delivery("evt_good", 1000);
        good.raw = r#"{"id":"evt_good","object":"event","pending_webhooks":2,"data":{"object":{"id":"cus_1"}}}"#.into();
        let mut strange = delivery("evt_strange", 1001);
        strange.raw = r#"{"id":"evt_strange","pending_webhooks":1e400,"data":{"object":{"id":"cus_2"}}}"#.into();
        let mut broken = delivery("evt_broken", 1002);
        broken.raw = (&b"\xff\x00 no JSON"[..]).into();
        store.insert_deliveries(vec![good, strange, broken]).await.unwrap();
        let value = async |id: &str, expression: &str| {
            database.value("", &format!("SELECT {expression} FROM stripe.events WHERE id = '{id}'")).await
        };
        assert_eq!(value("evt_good", "data -> 'object' ->> 'id'").await.as_deref(), Some("cus_1"));
        assert_eq!(value("evt_good", "pending_webhooks").await.as_deref(), Some("2"));
        assert_eq!(value("evt_good", "type").await.as_deref(), Some("thing.updated"));
        assert_eq!(value("evt_strange", "pending_webhooks").await, None);
        assert_eq!(value("evt_broken", "data").await, None);
        assert_eq!(value("evt_broken", "object").await.as_deref(), Some("event"));
        store.close().await;
    }

    async fn two_nodes_claim_a_delivery_once(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1", "evt_2"]).await;
        let (end, first) = hold(&database.store, vec![sequences[0]]).await;
        // Reading waits for nobody; only claiming decides.
        assert_eq!(database.pending().await, sequences);
        let second = tokio::spawn({
            let (database, sequences) = (database.clone(), sequences.clone());
            async move { database.claim(sequences).await }
        });
        end.send(()).unwrap();
        assert_eq!(first.await.unwrap().unwrap(), [sequences[0]]);
        assert_eq!(second.await.unwrap(), [sequences[1]]);
    }

    async fn a_dropped_transaction_is_rolled_back(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        let (_end, task) = hold(&database.store, sequences.clone()).await;
        task.abort();
        assert!(task.await.unwrap_err().is_cancelled());
        assert_eq!(database.claim(sequences.clone()).await, sequences);
    }

    async fn a_swallowed_error_does_not_become_a_commit(database) {
        struct Swallow;
        impl Work for Swallow {
            type Output = ();

            async fn run<T: Transaction>(self, transaction: &mut T) -> Result<(), StoreError> {
                let things = tables::things();
                let nul = row(things, "thing_1", 1).with(things, "name", text("a\0b"));
                transaction.release(&texts(&["evt_1"])).await?;
                assert!(transaction.upsert(things, &[nul], Guard::Newer).await.is_err());
                Ok(())
            }
        }
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        database.claim(sequences).await;
        assert!(database.store.transact(Swallow).await.is_err());
        assert!(database.pending().await.is_empty());
    }

    async fn errors_do_not_quote_values(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let bad = row(things, "thing_1", 1).with(things, "data", Value::Json("{\"canary\": tru}".to_owned()));
        let error = database.store.transact(Upsert { table: things, rows: vec![bad] }).await.unwrap_err();
        assert!(!format!("{error} {error:?}").contains("canary"), "{error}");
    }

    async fn a_locked_mirror_table_delays_the_applier_and_not_the_inbox(database) {
        let database = database.migrated().await;
        database.receive(&["evt_0"]).await;
        let (client, connection) = connect(&database).await;
        client.batch_execute("BEGIN; LOCK TABLE stripe.things IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let things = tables::things();
        let upsert = Upsert { table: things, rows: vec![row(things, "thing_1", 1)] };
        let (applied, received) = tokio::join!(
            timed(database.store.transact(upsert)),
            timed(database.store.insert_deliveries(vec![delivery("evt_1", 1)]))
        );
        assert!(matches!(applied.0, Err(StoreError::Conflict(_))), "{:?}", applied.0);
        assert!(applied.1 < Duration::from_secs(ANSWER_SECONDS_MAX), "{:?}", applied.1);
        assert!(received.0.unwrap()[0].is_some());
        assert!(received.1 < Duration::from_secs(1), "{:?}", received.1);
        client.batch_execute("COMMIT").await.unwrap();
        assert_eq!(database.upsert(things, vec![row(things, "thing_1", 1)], Guard::Newer).await, [true]);
        connection.abort();
    }

    async fn a_server_that_does_not_answer_is_unavailable_in_time(database) {
        let database = database.migrated().await;
        let (client, connection) = connect(&database).await;
        // To the store a statement that waits is the same as a server that was stopped.
        client.batch_execute("BEGIN; LOCK TABLE billhook.inbox IN ACCESS EXCLUSIVE MODE").await.unwrap();
        let (result, time) = timed(database.store.insert_deliveries(vec![delivery("evt_1", 1)])).await;
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        assert!(time < Duration::from_secs(ANSWER_SECONDS_MAX), "{time:?}");
        client.batch_execute("COMMIT").await.unwrap();
        database.receive(&["evt_2"]).await;
        connection.abort();
    }

    async fn a_stopped_server_is_unavailable_in_time(database) {
        // Accepts connections, as the kernel does for a stopped process, and never says a word.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("postgres://u@{}/d", listener.local_addr().unwrap());
        let (result, time) = timed(open_with(&database, |location| location.url = Secret::new(url))).await;
        let error = result.err().expect("nobody answers");
        assert!(matches!(error, StoreError::Unavailable(_)), "{error}");
        assert!(time < Duration::from_secs(ANSWER_SECONDS_MAX), "{time:?}");
    }

    async fn no_free_connection_is_unavailable_in_time(database) {
        let database = database.migrated().await;
        let sequences = database.receive(&["evt_1"]).await;
        let store = open_with(&database, |location| location.connections_max = 1).await.unwrap();
        let (end, task) = hold(&store, sequences).await;
        let (result, time) = timed(store.ping()).await;
        assert!(matches!(result, Err(StoreError::Unavailable(_))), "{result:?}");
        assert!(time < Duration::from_secs(ANSWER_SECONDS_MAX), "{time:?}");
        end.send(()).unwrap();
        task.await.unwrap().unwrap();
        store.ping().await.unwrap();
        store.close().await;
    }

    async fn lost_connections_are_replaced(database) {
        let database = database.migrated().await;
        let (client, connection) = connect(&database).await;
        for _round in 0..3 {
            let others = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                          WHERE application_name = 'billhook' AND datname = current_database()";
            client.batch_execute(others).await.unwrap();
            answers_again(&database.store).await;
        }
        database.receive(&["evt_1"]).await;
        connection.abort();
    }

    async fn a_table_that_changed_under_a_prepared_statement_is_read_again(database) {
        let database = database.migrated().await;
        let things = tables::things();
        database.upsert(things, vec![row(things, "thing_1", 1)], Guard::Newer).await;
        for _repetition in 0..8 {
            database.store.scan_rows(things, "", 10).await.unwrap();
        }
        database.execute("", "ALTER TABLE stripe.things ALTER COLUMN _source_event TYPE varchar(100)").await;
        database.execute("", "ALTER TABLE stripe.things ALTER COLUMN id TYPE varchar(100)").await;
        let deadline = Instant::now() + Duration::from_secs(10);
        while let Err(error) = database.store.scan_rows(things, "", 10).await {
            assert!(error.is_transient() && Instant::now() < deadline, "{error}");
        }
    }

    async fn a_login_that_cannot_work_is_a_mistake_of_configuration(database) {
        let Place::Postgres(url) = &database.place else { panic!("another driver") };
        let url = format!("{url}_that_does_not_exist");
        let error = open_with(&database, |location| location.url = Secret::new(url)).await.err().expect("no such database");
        assert!(matches!(error, StoreError::Configuration(_)), "{error}");
    }

    async fn parameters_of_other_programs_in_the_url_are_ignored(database) {
        let Place::Postgres(url) = &database.place else { panic!("another driver") };
        let url = format!("{url}?search_path=x&sslmode=prefer&pgbouncer=true&connection_limit=3");
        let store = open_with(&database, |location| location.url = Secret::new(url)).await.unwrap();
        store.close().await;
    }

    async fn moments_that_the_database_cannot_hold_are_null(database) {
        let database = database.migrated().await;
        let things = tables::things();
        for (id, time) in [("thing_min", i64::MIN + 1), ("thing_max", i64::MAX)] {
            assert_eq!(database.upsert(things, vec![row(things, id, time)], Guard::Newer).await, [true]);
            assert_eq!(database.column("things", id, "last_synced_at").await, None);
            assert_eq!(database.column("things", id, "_version_time").await, Some(time.to_string()));
        }
    }

    async fn numbers_that_would_blow_up_are_null(database) {
        let database = database.migrated().await;
        let things = tables::things();
        let number = |id: &str, text: &str| {
            row(things, id, 1)
                .with(things, "percent", Value::Decimal(text.to_owned()))
                .with(things, "ratio", Value::Decimal(text.to_owned()))
        };
        let rows = vec![number("thing_big", "1e131000"), number("thing_small", "12.50")];
        assert_eq!(database.upsert(things, rows, Guard::Newer).await, [true, true]);
        assert_eq!(database.column("things", "thing_big", "percent").await, None);
        assert_eq!(database.column("things", "thing_big", "ratio").await, None);
        assert_eq!(database.column("things", "thing_small", "percent").await.as_deref(), Some("12.50"));
        assert_eq!(database.column("things", "thing_small", "ratio").await.as_deref(), Some("12.5"));
    }

    async fn a_large_batch_of_old_deliveries_is_cut_by_bytes(database) {
        let database = database.migrated().await;
        let body = "x".repeat(100_000);
        let deliveries = (0..8).map(|number| {
            let mut delivery = delivery(&format!("evt_{number}"), 1000 + number);
            delivery.raw = body.clone().into();
            delivery
        });
        database.store.insert_deliveries(deliveries.collect::<Vec<_>>()).await.unwrap();
        let taken = async |bytes| database.store.pending_deliveries(Timestamp::MAX, Vec::new(), 100, bytes).await.unwrap().len();
        assert_eq!(taken(0).await, 1);
        assert_eq!(taken(100_000).await, 1);
        assert_eq!(taken(250_000).await, 3);
        assert_eq!(taken(usize::MAX).await, 8);
    }
}

async fn connect(database: &Database) -> (tokio_postgres::Client, tokio::task::JoinHandle<()>) {
    let Place::Postgres(url) = &database.place else { panic!("another driver") };
    let (client, connection) = tokio_postgres::connect(url, tokio_postgres::NoTls).await.expect("PostgreSQL answers");
    let task = tokio::spawn(async move {
        // The test ends it; an error on the way shows in the client's results.
        drop(connection.await);
    });
    (client, task)
}

/// Every column the mirror is given has a source the driver writes, so nothing is silently left out of an upsert.
#[test]
fn the_catalogue_begins_every_table_with_its_id() {
    for table in catalogue::tables() {
        let first = &table.columns[0];
        assert_eq!(first.name, "id", "{}", table.name);
        assert!(!matches!(first.source, Source::Null | Source::Meta(_)), "{}", table.name);
    }
}

#[test]
fn options_of_another_database_are_refused() {
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    let location = Location::Sqlite { path: "unused.db".into() };
    let options = Options { location, tables: tables::all(), catalogue_revision: 1, role: Role::Tool };
    let error = runtime.block_on(billhook_store::postgres::PostgresStore::open(options)).err();
    assert!(matches!(error, Some(StoreError::Configuration(_))));
}

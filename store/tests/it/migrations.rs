//! The schema: made in one go or not at all, never overwritten by a program that does not know it.

use billhook_core::row::Value;
use billhook_store::{Extension, ExtensionMigration, Guard, MigrationReport, Role, SchemaState, Store, StoreError};

use crate::harness::{Database, Place, on_postgres, on_sqlite, options};
use crate::tables::{self, Draft, row};

/// Environment variable that tells a child process which database to migrate.
const CHILD_DATABASE: &str = "BILLHOOK_TEST_MIGRATE";

/// What somebody above the store brings along.
const EXTENSION: Extension = Extension {
    name: "shop",
    migrations: &[ExtensionMigration {
        name: "0001_orders",
        postgres: "CREATE TABLE shop_orders (id text PRIMARY KEY)\n---\nCREATE INDEX shop_orders_idx ON shop_orders (lower(id))",
        sqlite: "CREATE TABLE shop_orders (id TEXT NOT NULL PRIMARY KEY); CREATE INDEX shop_orders_idx ON shop_orders (lower(id))",
    }],
};

async fn state(database: &Database) -> SchemaState {
    database.store.schema_state().await.expect("read")
}

/// Number of migrations that the database remembers.
async fn remembered(database: &Database) -> Option<String> {
    let count = format!("SELECT count(*) FROM {}", database.own("migrations"));
    database.value(&count, &count).await
}

on_both! {
    async fn an_empty_database_becomes_current(database) {
        assert_eq!(state(&database).await, SchemaState::Empty);
        let report = database.store.migrate().await.expect("migrated");
        assert_eq!(report.tables_created, tables::all().len());
        assert_eq!(report.columns_added, 0);
        assert!(!report.applied.is_empty());
        assert_eq!(state(&database).await, SchemaState::Current);
    }

    async fn a_second_time_there_is_nothing_to_do(database) {
        let database = database.migrated().await;
        assert_eq!(database.store.migrate().await.expect("migrated"), MigrationReport::default());
    }

    async fn many_at_once_do_it_once(database) {
        let tasks: Vec<_> = (0..4)
            .map(|_| {
                let database = database.clone();
                tokio::spawn(async move {
                    let beside = database.open_beside(tables::all(), 1).await.expect("opens");
                    let report = beside.migrate().await.expect("migrated");
                    beside.close().await;
                    report.tables_created
                })
            })
            .collect();
        let mut created = Vec::new();
        for task in tasks {
            created.push(task.await.expect("no panic"));
        }
        created.sort_unstable();
        assert_eq!(created, [0, 0, 0, tables::all().len()]);
    }

    async fn a_grown_catalogue_adds_and_never_drops(database) {
        let database = database.migrated().await;
        let things = tables::things();
        database.upsert(things, vec![row(things, "thing_1", 10).with(things, "amount", Value::BigInt(3))], Guard::Newer).await;
        let grown = database.open_beside(tables::grown(), 2).await.expect("opens");
        assert!(matches!(grown.schema_state().await.expect("read"), SchemaState::Behind(missing) if !missing.is_empty()));
        let report = grown.migrate().await.expect("migrated");
        assert_eq!((report.tables_created, report.columns_added), (1, 1));
        assert_eq!(grown.schema_state().await.expect("read"), SchemaState::Current);
        assert_eq!(database.column("things", "thing_1", "amount").await.as_deref(), Some("3"));
        assert_eq!(database.column("things", "thing_1", "colour").await, None);
        let larger = &tables::grown()[0];
        let grown = Database { store: grown, ..database.clone() };
        let coloured = row(larger, "thing_1", 11).with(larger, "colour", Value::Text("red".to_owned()));
        assert_eq!(grown.upsert(larger, vec![coloured], Guard::Newer).await, [true]);
        assert_eq!(database.column("things", "thing_1", "colour").await.as_deref(), Some("red"));
        grown.store.close().await;
    }

    async fn an_extension_is_made_once_and_remembered(database) {
        let database = database.migrated().await;
        let store = &database.store;
        assert_eq!(store.missing_of_extension(&EXTENSION).await.expect("read"), ["shop/0001_orders"]);
        assert_eq!(store.migrate_extension(&EXTENSION).await.expect("migrated"), ["shop/0001_orders"]);
        assert_eq!(store.migrate_extension(&EXTENSION).await.expect("migrated"), Vec::<String>::new());
        assert_eq!(store.missing_of_extension(&EXTENSION).await.expect("read"), Vec::<String>::new());
        assert_eq!(state(&database).await, SchemaState::Current);
        let rows = store.read_sql("SELECT count(*) AS orders FROM shop_orders WHERE id = $1", &["a".into()]).await.expect("rows");
        assert_eq!(rows[0].get::<i64>("orders").expect("a number"), 0);
        let changed = [ExtensionMigration { postgres: "SELECT 2", sqlite: "SELECT 2", ..EXTENSION.migrations[0] }];
        let changed = Extension { name: EXTENSION.name, migrations: Box::leak(Box::new(changed)) };
        let refused = store.migrate_extension(&changed).await;
        assert!(matches!(refused, Err(StoreError::Checksum { .. })), "{refused:?}");
    }

    async fn what_reads_writes_nothing(database) {
        let database = database.migrated().await;
        database.store.migrate_extension(&EXTENSION).await.expect("migrated");
        // PostgreSQL takes it back, SQLite refuses it.
        drop(database.store.read_sql("INSERT INTO shop_orders (id) VALUES ('a') RETURNING id", &[]).await);
        let count = "SELECT count(*) FROM shop_orders";
        assert_eq!(database.value(count, count).await.as_deref(), Some("0"));
        assert!(database.store.read_sql("SELECT nothing", &[]).await.is_err());
    }

    async fn indexes_are_made_for_what_people_filter_by(database) {
        let database = database.migrated().await;
        let index = |name: &str| {
            (
                format!("SELECT count(*) FROM sqlite_schema WHERE type = 'index' AND name = '{name}'"),
                format!("SELECT count(*) FROM pg_indexes WHERE schemaname = 'stripe' AND indexname = '{name}'"),
            )
        };
        for name in ["stripe_things_name_idx", "stripe_things_order_idx", "stripe_parts_owner_idx"] {
            let (sqlite, postgres) = index(name);
            assert_eq!(database.value(&sqlite, &postgres).await.as_deref(), Some("1"), "{name}");
        }
    }

    async fn a_newer_schema_is_refused(database) {
        let database = database.migrated().await;
        let newer = |now: &str| {
            format!(
                "INSERT INTO {} (version, name, checksum, applied_at) VALUES (9999, '9999_tomorrow', 'x', {now})",
                database.own("migrations")
            )
        };
        database.execute(&newer("'2030-01-01T00:00:00.000000Z'"), &newer("now()")).await;
        assert_eq!(state(&database).await, SchemaState::Newer);
        let refused = database.store.migrate().await;
        assert!(matches!(refused, Err(StoreError::NewerSchema { found: 9999, known }) if known < 9999), "{refused:?}");
    }

    async fn another_checksum_is_refused(database) {
        let database = database.migrated().await;
        let forge = format!("UPDATE {} SET checksum = 'forged' WHERE version = 1", database.own("migrations"));
        database.execute(&forge, &forge).await;
        let refused = database.store.migrate().await;
        assert!(matches!(refused, Err(StoreError::Checksum { .. })), "{refused:?}");
    }

    async fn a_database_of_the_first_release_gets_what_came_later(database) {
        let database = database.migrated().await;
        database.receive(&["evt_1"]).await;
        let later = ["sync_runs", "sync_segments", "leases", "drift", "gaps", "webhook_endpoints"];
        let drops: String = later.iter().map(|table| format!("DROP TABLE {};", database.own(table))).collect();
        let back = format!("{drops} DELETE FROM {} WHERE version = 2", database.own("migrations"));
        database.execute(&back, &back).await;
        assert_eq!(state(&database).await, SchemaState::Behind(vec!["0002_sync".to_owned()]));
        let report = database.store.migrate().await.expect("migrated");
        assert_eq!((report.applied, report.tables_created), (vec!["0002_sync".to_owned()], 0));
        assert_eq!(state(&database).await, SchemaState::Current);
        assert_eq!(database.pending().await.len(), 1);
    }

    async fn a_step_that_fails_leaves_nothing_of_itself(database) {
        // The name of the last table of the first step is taken.
        database.execute(
            "CREATE TABLE billhook_quarantine (x TEXT)",
            "CREATE SCHEMA billhook; CREATE TABLE billhook.quarantine (x text)",
        ).await;
        database.store.migrate().await.expect_err("a table is in the way");
        assert_eq!(state(&database).await, SchemaState::Empty);
        let inbox = database.value(
            "SELECT count(*) FROM sqlite_schema WHERE name = 'billhook_inbox'",
            "SELECT count(*) FROM pg_tables WHERE schemaname = 'billhook' AND tablename = 'inbox'",
        );
        assert_eq!(inbox.await.as_deref(), Some("0"));
        database.execute("DROP TABLE billhook_quarantine", "DROP TABLE billhook.quarantine").await;
        assert_eq!(database.migrated().await.pending().await, Vec::<i64>::new());
    }
}

/// What a killed migration leaves is found and completed by the next one.
async fn killed_in_the_middle(database: Database) {
    let (kind, address) = match &database.place {
        Place::Sqlite(path) => ("sqlite", path.display().to_string()),
        Place::Postgres(url) => ("postgres", url.clone()),
    };
    let mut killed = 0;
    for passage in [1, 3, 7] {
        let child = std::process::Command::new(std::env::current_exe().expect("this program"))
            .args(["--exact", "migrations::child", "--ignored"])
            .env("BILLHOOK_FAILPOINT", format!("mid_migration:{passage}"))
            .env(CHILD_DATABASE, format!("{kind} {address}"))
            .output()
            .expect("a child process");
        killed += usize::from(!child.status.success());
        if passage == 1 {
            assert_eq!(state(&database).await, SchemaState::Empty);
        }
        assert_ne!(state(&database).await, SchemaState::Current);
    }
    assert_eq!(killed, 3);
    let database = database.migrated().await;
    assert_eq!(state(&database).await, SchemaState::Current);
    assert_eq!(database.receive(&["evt_1"]).await.len(), 1);
    assert!(remembered(&database).await.is_some_and(|count| count != "0"));
}

#[test]
fn killed_in_the_middle_on_sqlite() {
    on_sqlite(killed_in_the_middle);
}

#[test]
fn killed_in_the_middle_on_postgres() {
    on_postgres(killed_in_the_middle);
}

/// The child process of [`killed_in_the_middle`]; without its variable it has nothing to do.
#[test]
#[ignore = "started by another test: killed_in_the_middle"]
fn child() {
    let Ok(target) = std::env::var(CHILD_DATABASE) else { return };
    let place = match target.split_once(' ').expect("a kind and an address") {
        ("sqlite", path) => Place::Sqlite(path.into()),
        (_, url) => Place::Postgres(url.to_owned()),
    };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = Store::open(options(&place, tables::all(), 1, Role::Tool)).await.expect("opens");
        store.migrate().await.expect("migrates, unless it is killed");
    });
}

//! Fault K5: killed again and again while it starts, on an empty database and on one with a backlog.

use std::time::Duration;

use billhook_testkit::random::{self, Random};
use billhook_testkit::{ServerSettings, TestDatabase, sql};
use serde_json::Value;

use super::ledger::Ledger;
use super::program::settings;

/// Boots that are killed, one after the other.
const BOOTS: u32 = 20;
/// Each is killed within this time, in milliseconds.
const LIFE_MILLISECONDS_MAX: u64 = 200;
/// Deliveries in the backlog.
const BACKLOG_DELIVERIES: u64 = 240;

#[expect(clippy::print_stdout, reason = "a failure is repeated with the seed")]
fn kill_boots(settings: &ServerSettings) {
    let seed = random::number();
    println!("K5: seed {seed}");
    let mut random = Random::new(seed);
    for _ in 0..BOOTS {
        let server = settings.spawn().unwrap();
        // Not a wait for a condition: the moment of the crash is the random input of this test.
        std::thread::sleep(Duration::from_millis(random.between(0, LIFE_MILLISECONDS_MAX)));
        server.kill9().unwrap();
    }
}

/// Everything that the schema consists of.
fn schema(url: &str) -> Vec<Value> {
    if !sql::is_postgres(url) {
        return sql::query(url, "SELECT type, name, sql FROM sqlite_schema ORDER BY type, name").unwrap();
    }
    let columns = "SELECT table_schema, table_name, column_name, data_type, column_default, is_nullable \
                   FROM information_schema.columns WHERE table_schema IN ('stripe', 'billhook') ORDER BY 1, 2, 3";
    let indexes = "SELECT indexdef FROM pg_indexes WHERE schemaname IN ('stripe', 'billhook') ORDER BY 1";
    let mut all = sql::query(url, columns).unwrap();
    all.extend(sql::query(url, indexes).unwrap());
    all
}

fn boot_after_killed_boots(database: &TestDatabase, undisturbed: &TestDatabase) {
    let url = database.url();
    let settings = settings(&url);
    kill_boots(&settings);
    let server = settings.start().unwrap();
    drop(super::program::settings(&undisturbed.url()).start().unwrap());
    let expected = schema(&undisturbed.url());
    assert!(expected.len() > 100, "the schema is not read");
    assert_eq!(schema(&url), expected, "the schema differs from one that was made in one go");

    let ledger = Ledger::new();
    let mut client = server.client();
    for _ in 0..BACKLOG_DELIVERIES {
        ledger.deliver_next(&mut client);
    }
    ledger.compare("K5 empty database", &url);
    assert!(server.terminate().unwrap().0.success());
    let (pending, inbox) = (sql::own_table(&url, "pending"), sql::own_table(&url, "inbox"));
    sql::execute(
        &url,
        &format!("INSERT INTO {pending} (sequence, received_at) SELECT sequence, received_at FROM {inbox}"),
    )
    .unwrap();
    kill_boots(&settings);
    let server = settings.start().unwrap();
    ledger.compare("K5 with a backlog", &url);
    drop(server);
}

#[test]
fn k5_a_program_killed_during_twenty_boots_starts_on_sqlite() {
    boot_after_killed_boots(&TestDatabase::sqlite().unwrap(), &TestDatabase::sqlite().unwrap());
}

#[test]
fn k5_a_program_killed_during_twenty_boots_starts_on_postgres() {
    let name = "k5_a_program_killed_during_twenty_boots_starts_on_postgres";
    if let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() {
        boot_after_killed_boots(&database, &TestDatabase::postgres().unwrap());
    }
}

//! Fault S4 and what else makes a start impossible: one clear line that says what to do, and nothing is touched.

use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

use billhook_testkit::server::unused_address;
use billhook_testkit::sign::sha256_hex;
use billhook_testkit::{TestDatabase, sql};

use super::ledger::Ledger;
use super::program::{assert_refused, settings};

/// Deliveries in a file before it is damaged.
const DELIVERIES: u64 = 60;

/// A database file that was used and closed in good order.
fn used_file(database: &TestDatabase) -> PathBuf {
    let (settings, ledger) = (settings(&database.url()), Ledger::new());
    let server = settings.start().unwrap();
    let mut client = server.client();
    for _ in 0..DELIVERIES {
        ledger.deliver_next(&mut client);
    }
    ledger.compare("S4 before the damage", &database.url());
    assert!(server.terminate().unwrap().0.success());
    PathBuf::from(database.url().trim_start_matches("sqlite:"))
}

fn content(path: &Path) -> String {
    sha256_hex(&std::fs::read(path).unwrap())
}

fn damaged_file_is_refused(what: &str, damage: impl Fn(&std::fs::File)) {
    let database = TestDatabase::sqlite().unwrap();
    let path = used_file(&database);
    damage(&std::fs::OpenOptions::new().write(true).open(&path).unwrap());
    let before = content(&path);
    let line = assert_refused(&settings(&database.url()));
    assert!(line.contains("damaged"), "{what}: {line}");
    assert!(line.contains("restore"), "{what}: nothing says what to do: {line}");
    assert_eq!(content(&path), before, "{what}: the file was changed");
}

#[test]
fn s4_a_file_with_a_broken_header_is_refused_and_not_touched() {
    damaged_file_is_refused("broken header", |file| file.write_all_at(&[0xA5; 100], 0).unwrap());
}

#[test]
fn s4_a_truncated_file_is_refused_and_not_touched() {
    damaged_file_is_refused("half a file", |file| file.set_len(file.metadata().unwrap().len() / 2).unwrap());
    damaged_file_is_refused("a page short", |file| file.set_len(file.metadata().unwrap().len() - 4_096).unwrap());
}

#[test]
fn a_database_that_is_away_at_the_start_is_told_in_one_line() {
    let url = format!("postgres://nobody@{}/billhook", unused_address().unwrap());
    let line = assert_refused(&settings(&url));
    assert!(line.contains("not available") && line.contains("billhook doctor"), "{line}");
}

#[test]
fn a_newer_or_different_schema_is_refused() {
    for database in TestDatabase::both("a_newer_or_different_schema_is_refused").unwrap() {
        let (url, settings) = (database.url(), settings(&database.url()));
        assert!(settings.start().unwrap().terminate().unwrap().0.success());
        let migrations = sql::own_table(&url, "migrations");
        let last = format!("(SELECT max(version) FROM {migrations})");
        sql::execute(&url, &format!("UPDATE {migrations} SET checksum = 'another' WHERE version = {last}")).unwrap();
        let line = assert_refused(&settings);
        assert!(line.contains("differs from this program's"), "{line}");
        sql::execute(&url, &format!("UPDATE {migrations} SET version = 999 WHERE version = {last}")).unwrap();
        let line = assert_refused(&settings);
        assert!(line.contains("run the newer Billhook"), "{line}");
    }
}

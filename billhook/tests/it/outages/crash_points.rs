//! Fault K4: the program aborts at every named place of the code, in the middle of a load with duplicates.

use std::os::unix::process::ExitStatusExt as _;

use billhook_core::failpoint;
use billhook_testkit::{ServerSettings, TestDatabase};
use rustix::process::Signal;

use super::ledger::Ledger;
use super::load::{Load, Pace};
use super::program::settings;

/// Passes only while the schema is made.
const MIGRATION: &str = "mid_migration";
/// Passages of the migration after which it is killed, on one database one after the other: at its beginning, and later.
const MIGRATION_PASSAGES: [u32; 3] = [1, 2, 9];
/// Passage at which the other places kill: late enough that some deliveries are through.
const PASSAGE: u32 = 7;

fn armed(settings: &ServerSettings, name: &str, nth: u32) -> ServerSettings {
    settings.clone().set("BILLHOOK_FAILPOINT", &format!("{name}:{nth}"))
}

fn assert_aborted(place: &str, status: std::process::ExitStatus) {
    let abort = Signal::ABORT.as_raw();
    assert_eq!(status.signal(), Some(abort), "{place} was not passed: the program ended with {status}");
}

fn crash_everywhere(database: &TestDatabase) {
    let settings = settings(&database.url());
    for passage in MIGRATION_PASSAGES {
        let mut server = armed(&settings, MIGRATION, passage).spawn().unwrap();
        assert_aborted(MIGRATION, server.wait_for_end().unwrap());
    }
    let ledger = Ledger::new();
    for place in failpoint::NAMES.iter().filter(|place| **place != MIGRATION) {
        let mut server = armed(&settings, place, PASSAGE).start().unwrap();
        let load = Load::start(&ledger, server.address(), Pace::FLAT_OUT);
        let status = server.wait_for_end().unwrap();
        load.stop();
        assert_aborted(place, status);
        let server = settings.start().unwrap();
        ledger.send_again(server.address());
        ledger.compare(&format!("K4 {place}"), &database.url());
    }
}

#[test]
fn k4_a_crash_at_any_named_place_loses_and_doubles_nothing_on_sqlite() {
    crash_everywhere(&TestDatabase::sqlite().unwrap());
}

#[test]
fn k4_a_crash_at_any_named_place_loses_and_doubles_nothing_on_postgres() {
    let name = "k4_a_crash_at_any_named_place_loses_and_doubles_nothing_on_postgres";
    if let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() {
        crash_everywhere(&database);
    }
}

//! Fault D10 and the limits of the backlog: somebody's lock keeps deliveries from being applied, not from being stored. On
//! SQLite, where one lock is for everything, it keeps them from being stored too.

use std::time::Duration;

use billhook_testkit::{TestDatabase, sql, wait};
use rusqlite::Connection;

use super::held::Held;
use super::ledger::{ANSWERED, Answer, HEALED, Ledger};
use super::load::{Load, Pace};
use super::program::settings;

/// What an impatient user types.
const LOCK: &str = "BEGIN; LOCK TABLE stripe.customers IN ACCESS EXCLUSIVE MODE";
/// Deliveries while the lock is held.
const LOCKED_DELIVERIES: u64 = 400;
/// How long the lock is held, at least: several times the applier's lock timeout of 3 s.
const LOCKED: Duration = Duration::from_secs(8);
/// Deliveries of the large backlog.
const BACKLOG_DELIVERIES: u64 = 3_000;
/// Further bytes in every third of them, so that the backlog is far larger than the memory for it.
const BACKLOG_BODY_BYTES: usize = 30_000;
/// Memory that the applier may use for bodies: the least that can be set.
const APPLY_MEMORY_BYTES: &str = "1048576";
/// Memory by which the program may grow meanwhile, in kB. The bodies are three times as much.
const BACKLOG_GROWTH_KILOBYTES_MAX: u64 = 10 * 1024;

fn pending(url: &str) -> i64 {
    sql::number(url, "SELECT count(*) FROM billhook.pending").unwrap()
}

#[test]
fn d10_a_locked_table_delays_the_mirror_and_not_the_deliveries() {
    let name = "d10_a_locked_table_delays_the_mirror_and_not_the_deliveries";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    let server = settings(&url).start().unwrap();
    let ledger = Ledger::new();
    let held = Held::start(&url, &url, LOCK);
    let since = std::time::Instant::now();
    let load = Load::start(&ledger, server.address(), Pace::BRISK);
    ledger.wait_for_acknowledged(LOCKED_DELIVERIES);
    wait::until("the lock to be held for long", LOCKED * 2, || (since.elapsed() >= LOCKED).then_some(())).unwrap();
    load.stop();
    let (waiting, slowest) = (pending(&url), ledger.take_slowest());
    assert!(waiting > 0, "the lock kept nothing from being applied");
    assert_eq!(ledger.refused(), 0, "deliveries were refused because of a lock on a mirrored table");
    assert!(slowest < ANSWERED);
    drop(held);
    ledger.send_again(server.address());
    ledger.compare(&format!("D10 locked with {waiting} waiting, slowest {} ms", slowest.as_millis()), &url);
}

#[test]
fn d10_a_lagging_mirror_refuses_deliveries_until_it_has_caught_up() {
    let name = "d10_a_lagging_mirror_refuses_deliveries_until_it_has_caught_up";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    let server = settings(&url).set("BILLHOOK_INGEST_LAG_SECONDS_MAX", "1").start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    let held = Held::start(&url, &url, LOCK);
    wait::until("a lagging mirror to refuse", HEALED, || {
        (ledger.deliver_next(&mut client) == Answer::Refused).then_some(())
    })
    .unwrap();
    let (before, ready) = (ledger.acknowledged(), client.get("/readyz").unwrap().status);
    assert_eq!(ledger.deliver_next(&mut client), Answer::Refused, "the lag is not over");
    assert_eq!(ready, 503, "a balancer has to be told");
    drop(held);
    ledger.send_again(server.address());
    ledger.compare(&format!("D10 refused after {before}"), &url);
}

#[test]
fn d10_a_backlog_larger_than_memory_waits_in_the_database() {
    let name = "d10_a_backlog_larger_than_memory_waits_in_the_database";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    let server = settings(&url).set("BILLHOOK_APPLY_MEMORY_BYTES_MAX", APPLY_MEMORY_BYTES).start().unwrap();
    let ledger = Ledger::with_padding(BACKLOG_BODY_BYTES);
    let load = Load::start(&ledger, server.address(), Pace::FLAT_OUT);
    ledger.wait_for_acknowledged(LOCKED_DELIVERIES);
    let before = server.rss_kb().unwrap();
    let held = Held::start(&url, &url, LOCK);
    while ledger.acknowledged() < BACKLOG_DELIVERIES {
        ledger.wait_for_acknowledged(1);
    }
    load.stop();
    let (waiting, grown) = (pending(&url), server.rss_kb().unwrap().saturating_sub(before));
    assert_eq!(ledger.refused(), 0, "the backlog is bounded by the disk and not by memory");
    assert!(waiting > 1_000, "only {waiting} deliveries wait");
    assert!(grown <= BACKLOG_GROWTH_KILOBYTES_MAX, "the program grew by {grown} kB with the backlog");
    drop(held);
    ledger.send_again(server.address());
    ledger.compare(&format!("D10 backlog of {waiting}, {grown} kB more"), &url);
    let peak = server.peak_rss_kb().unwrap().saturating_sub(before);
    assert!(peak <= 3 * BACKLOG_GROWTH_KILOBYTES_MAX, "the program grew by {peak} kB when it caught up");
}

#[test]
fn d10_a_locked_sqlite_file_costs_a_503_in_time() {
    let database = TestDatabase::sqlite().unwrap();
    let url = database.url();
    let server = settings(&url).start().unwrap();
    let (ledger, mut client) = (Ledger::new(), server.client());
    assert_eq!(ledger.deliver_next(&mut client), Answer::Acknowledged);
    let other = Connection::open(url.trim_start_matches("sqlite:")).unwrap();
    other.busy_timeout(HEALED).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    for _ in 0..2 {
        assert_eq!(ledger.deliver_next(&mut client), Answer::Refused, "nobody can write");
    }
    let slowest = ledger.take_slowest();
    assert!(slowest <= ANSWERED, "a delivery was answered only after {slowest:?}");
    other.execute_batch("COMMIT").unwrap();
    ledger.send_again(server.address());
    ledger.compare(&format!("D10 locked file, slowest {} ms", slowest.as_millis()), &url);
}

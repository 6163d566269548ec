//! Faults D1, D2 and D3: the PostgreSQL server crashes, throws its clients out, or freezes.

use std::time::Duration;

use billhook_testkit::postgres::Stop;
use billhook_testkit::{Client, TestDatabase, sql, wait};

use super::ledger::{ANSWERED, Answer, HEALED, Ledger};
use super::load::{Load, Pace};
use super::program::{own_cluster, settings};

/// Deliveries that come through before something breaks, and between two breaks.
const DELIVERIES: u64 = 60;
/// Times the server crashes.
const CRASHES: u32 = 3;
/// Times all sessions are ended.
const EVICTIONS: u32 = 5;
/// Clients that deliver while the server is frozen.
const FROZEN_CLIENTS: usize = 40;
/// Body of a delivery while the server is frozen, in bytes: much, if they were all kept.
const FROZEN_BODY_BYTES: usize = 100_000;
/// Memory that the program may take for them, in kB.
const FROZEN_GROWTH_KILOBYTES_MAX: u64 = 64 * 1024;

#[test]
fn d1_a_crashing_server_costs_a_503_and_nothing_else() {
    let Some(mut cluster) = own_cluster("d1_a_crashing_server_costs_a_503_and_nothing_else", &[]) else { return };
    let url = cluster.create_database().unwrap();
    let ledger = Ledger::new();
    let server = settings(&url).start().unwrap();
    let load = Load::start(&ledger, server.address(), Pace::STEADY);
    for _ in 0..CRASHES {
        ledger.wait_for_acknowledged(DELIVERIES);
        cluster.stop(Stop::Immediate).unwrap();
        // One for each sender may still be an answer from before.
        ledger.wait_for_refused(8);
        let status = |path: &str| server.client().get(path).unwrap().status;
        assert_eq!((status("/health"), status("/readyz")), (200, 503), "it is alive, and nobody should send to it");
        cluster.begin().unwrap();
        ledger.wait_for_acknowledged(DELIVERIES);
    }
    load.stop();
    ledger.send_again(server.address());
    ledger.compare("D1 three crashes of the server", &url);
}

#[test]
fn d2_ending_all_sessions_again_and_again_loses_nothing() {
    let name = "d2_ending_all_sessions_again_and_again_loses_nothing";
    let Some(database) = TestDatabase::postgres_or_skip(name).unwrap() else { return };
    let url = database.url();
    let ledger = Ledger::new();
    let server = settings(&url).start().unwrap();
    let load = Load::start(&ledger, server.address(), Pace::STEADY);
    for _ in 0..EVICTIONS {
        ledger.wait_for_acknowledged(DELIVERIES);
        let ended = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity \
                     WHERE datname = current_database() AND pid <> pg_backend_pid()";
        assert!(sql::number(&url, ended).unwrap() > 0, "the program has no session to end");
    }
    ledger.wait_for_acknowledged(DELIVERIES);
    load.stop();
    ledger.send_again(server.address());
    ledger.compare("D2 five evictions", &url);
}

#[test]
fn d3_a_frozen_server_costs_a_503_in_time_and_no_memory() {
    let Some(cluster) = own_cluster("d3_a_frozen_server_costs_a_503_in_time_and_no_memory", &[]) else { return };
    let url = cluster.create_database().unwrap();
    let ledger = Ledger::with_padding(FROZEN_BODY_BYTES);
    let server = settings(&url).start().unwrap();
    let load = Load::start(&ledger, server.address(), Pace::STEADY);
    ledger.wait_for_acknowledged(DELIVERIES);
    load.stop();
    wait::until("an idle program", HEALED, || {
        (server.metrics().ok()?.get("billhook_backlog_deliveries") == 0.0).then_some(())
    })
    .unwrap();
    let before = server.rss_kb().unwrap();
    cluster.pause().unwrap();
    ledger.take_slowest();
    let address = server.address();
    std::thread::scope(|scope| {
        for _ in 0..FROZEN_CLIENTS {
            scope.spawn(|| {
                let mut client = Client::new(address);
                for _ in 0..2 {
                    assert_eq!(ledger.deliver_next(&mut client), Answer::Refused, "the database cannot have answered");
                }
            });
        }
    });
    let (slowest, grown) = (ledger.take_slowest(), server.rss_kb().unwrap().saturating_sub(before));
    cluster.resume().unwrap();
    assert!(slowest <= ANSWERED, "a delivery was answered only after {slowest:?}");
    assert!(grown <= FROZEN_GROWTH_KILOBYTES_MAX, "the program grew by {grown} kB while the database was frozen");
    ledger.send_again(server.address());
    ledger.compare(&format!("D3 frozen, slowest answer {} ms, {grown} kB more", slowest.as_millis()), &url);
}

/// The program does not hang either when it is asked to end while the server is frozen.
#[test]
fn d3_the_program_ends_in_time_although_the_server_is_frozen() {
    let Some(cluster) = own_cluster("d3_the_program_ends_in_time_although_the_server_is_frozen", &[]) else { return };
    let url = cluster.create_database().unwrap();
    let ledger = Ledger::new();
    let server = settings(&url).start().unwrap();
    let load = Load::start(&ledger, server.address(), Pace::STEADY);
    ledger.wait_for_acknowledged(DELIVERIES);
    cluster.pause().unwrap();
    let (_, took) = server.terminate().unwrap();
    load.stop();
    assert!(took <= Duration::from_secs(10), "the program took {took:?} to end");
    cluster.resume().unwrap();
    let server = settings(&url).start().unwrap();
    ledger.send_again(server.address());
    ledger.compare(&format!("D3 ended in {} ms while frozen,", took.as_millis()), &url);
}

//! Faults D1, D2 and D3: the PostgreSQL server crashes, throws its clients out, or freezes.

use std::io::Write as _;
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use billhook_testkit::client::WEBHOOK_PATH;
use billhook_testkit::postgres::Stop;
use billhook_testkit::sign::{TEST_SECRET, now};
use billhook_testkit::{Client, Event, TestDatabase, sign, sql};

use super::ledger::{ANSWERED, Answer, Ledger};
use super::load::{Load, Pace};
use super::program::{own_cluster, settings};

/// Deliveries that come through before something breaks, and between two breaks.
const DELIVERIES: u64 = 60;
/// Times the server crashes.
const CRASHES: u32 = 3;
/// Times all sessions are ended.
const EVICTIONS: u32 = 5;
/// Clients that deliver while the server is frozen, and wait for the answer.
const FROZEN_CLIENTS: usize = 40;
/// Further clients, which only send.
const FLOODING_CLIENTS: usize = 200;
/// Body of their delivery, in bytes: 180 MB if the program kept them all.
const FLOODING_BODY_BYTES: usize = 900_000;
/// The least that can be set for bodies in requests, and for those that wait for their commit, in bytes.
const BODIES_BYTES: &str = "8388608";
/// Memory by which the program may grow, in kB.
const FROZEN_GROWTH_KILOBYTES_MAX: u64 = 96 * 1024;

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

/// Sends one delivery on many connections and waits for no answer.
fn flood(address: SocketAddr, event: &Event) -> Vec<TcpStream> {
    let signature = sign(TEST_SECRET, now(), &event.body);
    let length = event.body.len();
    let head = format!(
        "POST {WEBHOOK_PATH} HTTP/1.1\r\nhost: {address}\r\nstripe-signature: {signature}\r\ncontent-length: {length}\r\n\r\n"
    );
    let send = |_| {
        let mut stream = TcpStream::connect(address).ok()?;
        stream.set_write_timeout(Some(ANSWERED)).ok()?;
        // The program may answer and close before it has read everything.
        let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(&event.body));
        Some(stream)
    };
    (0..FLOODING_CLIENTS).filter_map(send).collect()
}

#[test]
fn d3_a_frozen_server_costs_a_503_in_time_and_no_memory() {
    let Some(cluster) = own_cluster("d3_a_frozen_server_costs_a_503_in_time_and_no_memory", &[]) else { return };
    let url = cluster.create_database().unwrap();
    let ledger = Ledger::with_padding(FLOODING_BODY_BYTES);
    let settings = settings(&url);
    let limited = settings
        .set("BILLHOOK_HTTP_BODIES_BYTES_MAX", BODIES_BYTES)
        .set("BILLHOOK_INGEST_QUEUE_BYTES_MAX", BODIES_BYTES);
    let server = limited.start().unwrap();
    let (address, mut client) = (server.address(), server.client());
    let (number, large) = ledger.take();
    assert!(large.body.len() > FLOODING_BODY_BYTES);
    assert_eq!(ledger.deliver(&mut client, number, &large), Answer::Acknowledged);
    let before = server.rss_kb().unwrap();
    cluster.pause().unwrap();
    let flooding = flood(address, &large);
    ledger.take_slowest();
    std::thread::scope(|scope| {
        for _ in 0..FROZEN_CLIENTS {
            scope.spawn(|| {
                let answer = ledger.deliver_next(&mut Client::new(address));
                assert_eq!(answer, Answer::Refused, "the database cannot have answered");
            });
        }
    });
    let slowest = ledger.take_slowest();
    let grown = server.peak_rss_kb().unwrap().saturating_sub(before);
    cluster.resume().unwrap();
    drop(flooding);
    assert!(slowest <= ANSWERED, "a delivery was answered only after {slowest:?}");
    ledger.send_again(address);
    assert!(grown <= FROZEN_GROWTH_KILOBYTES_MAX, "the program grew by {grown} kB while the database was frozen");
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

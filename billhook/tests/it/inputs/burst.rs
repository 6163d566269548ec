//! Ten thousand events as fast as they can be sent (W14): each is acknowledged or refused with a time to come back, and what
//! was acknowledged is stored and applied.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use billhook_testkit::events::Generator;
use billhook_testkit::random;
use billhook_testkit::sign::{TEST_SECRET, now};

use super::mirror::Mirror;

const EVENTS: u64 = 10_000;
const CONNECTIONS: usize = 16;
/// Ids in one SQL statement.
const IDS_AT_ONCE: usize = 1_000;

/// Sends what is left of the burst over one connection and gives the numbers that were acknowledged.
fn send(mirror: &Mirror, generator: &Generator, next: &AtomicU64, created: i64) -> Vec<u64> {
    let mut client = mirror.client();
    let mut acknowledged = Vec::new();
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= EVENTS {
            return acknowledged;
        }
        let answer = client.deliver(TEST_SECRET, &generator.event(number, created)).unwrap();
        match answer.status {
            200 => acknowledged.push(number),
            503 => assert!(answer.header("retry-after").is_some(), "a refusal must say when to come back"),
            other => panic!("event {number} was answered {other} on {}", mirror.dialect()),
        }
    }
}

#[test]
fn a_burst_is_acknowledged_or_refused_and_nothing_is_swallowed() {
    Mirror::on_each(
        "a_burst",
        |settings| settings,
        |mirror| {
            let (generator, next, created) = (Generator::new(random::number()), AtomicU64::new(0), now());
            let started = Instant::now();
            let acknowledged: Vec<u64> = std::thread::scope(|scope| {
                let threads: Vec<_> =
                    (0..CONNECTIONS).map(|_| scope.spawn(|| send(mirror, &generator, &next, created))).collect();
                threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
            });
            let sent = started.elapsed();
            mirror.settle();
            let (dialect, applied) = (mirror.dialect(), started.elapsed());
            println!(
                "{} of {EVENTS} acknowledged in {sent:.1?}, applied after {applied:.1?} on {dialect}",
                acknowledged.len()
            );
            assert!(!acknowledged.is_empty());
            let stored = mirror.number(&format!("SELECT count(*) AS stored FROM {}", mirror.own("inbox")));
            assert!(stored >= acknowledged.len() as i64, "{stored} stored on {dialect}");
            for (position, table) in ["customers", "charges", "invoices"].into_iter().enumerate() {
                let numbers = acknowledged.iter().filter(|number| **number % 3 == position as u64);
                let ids: Vec<String> =
                    numbers.map(|number| format!("'{}'", generator.event(*number, created).object_id)).collect();
                for ids in ids.chunks(IDS_AT_ONCE) {
                    let statement = format!(
                        "SELECT count(*) AS found FROM {} WHERE id IN ({})",
                        mirror.table(table),
                        ids.join(",")
                    );
                    assert_eq!(mirror.number(&statement), ids.len() as i64, "{table} on {dialect}");
                }
            }
            assert_eq!(mirror.quarantine(), [], "on {dialect}");
        },
    );
}

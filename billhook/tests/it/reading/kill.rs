//! Fault K2: the program is killed while it reads a history, and goes on where it was.

use std::time::Duration;

use billhook_testkit::random::Random;
use billhook_testkit::sql;

use super::world::{World, on_both, until};

/// Objects of each kind.
const OBJECTS: usize = 4_000;
/// Kinds that are read.
const KINDS: [&str; 5] = ["customer", "product", "charge", "payout", "invoice"];
/// Times the program is killed.
const KILLS: u64 = 8;
/// It is killed so long after it listens, in milliseconds.
const LIFE_MILLISECONDS: (u64, u64) = (50, 1_500);
/// Segments that are read at the same time; each may lose the page it was reading.
const SEGMENTS: u64 = 4;

fn history(world: &World) {
    world.simulator.account(|account| {
        account.fill_customers(OBJECTS);
        account.fill_invoices(OBJECTS, 2);
        for kind in ["product", "charge", "payout"] {
            for _ in 0..OBJECTS {
                let mut object = account.plain(kind);
                object.insert("customer".to_owned(), serde_json::Value::Null);
                account.insert(serde_json::Value::Object(object), None);
            }
        }
    });
}

#[test]
fn k2_a_backfill_goes_on_after_kill_9() {
    on_both("k2_a_backfill_goes_on_after_kill_9", 41, |world| {
        let world = world
            .set("BILLHOOK_STRIPE_REQUESTS_PER_SECOND", "60")
            .set("BILLHOOK_SYNC_SEGMENTS_MAX", &SEGMENTS.to_string())
            .set("BILLHOOK_RECONCILE_PERIOD_SECONDS", "0")
            .set("BILLHOOK_STRIPE_BACKFILL_RELATED_ENTITIES", "false");
        history(&world);
        let mut arguments = vec!["backfill", "--detach"];
        arguments.extend(KINDS);
        world.succeed(&arguments);
        let mut random = Random::new(41);
        let open =
            format!("SELECT count(*) FROM {} WHERE finished_at IS NULL", sql::own_table(&world.url(), "sync_runs"));
        for round in 0..KILLS {
            let server = world.settings.start().expect("the program starts again");
            // The random life of a process is the fault itself.
            std::thread::sleep(Duration::from_millis(random.between(LIFE_MILLISECONDS.0, LIFE_MILLISECONDS.1)));
            server.kill9().expect("it was running");
            assert!(round > 0 || world.number(&open) > 0, "the backfill ended before the first kill");
        }
        let server = world.settings.start().expect("the program starts again");
        until("the backfill ends", || (world.number(&open) == 0).then_some(()));
        world.assert_becomes_equal("K2");
        let pages = (KINDS.len() * OBJECTS / 100) as u64;
        let lists = KINDS.iter().map(|kind| world.simulator.oracle().requests_to(&format!("GET /v1/{kind}s")) as u64);
        let requests: u64 = lists.sum();
        // A split costs a request for a part that may turn out to be empty; a kill costs what was being read.
        let allowed = pages * 12 / 10 + KILLS * SEGMENTS * 2;
        assert!(requests <= allowed, "{requests} requests for {pages} pages and {KILLS} kills; {allowed} are allowed");
        drop(server);
    });
}

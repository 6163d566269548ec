//! Fault D2: PostgreSQL ends all connections every two seconds.

use std::time::{Duration, Instant};

use billhook_testkit::sql;

use crate::kill::rounds;
use crate::process::{Host, Settings};
use crate::world::{World, on_postgres};

/// Orders in flight.
const ORDERS: usize = 100;
/// How often the connections are ended, in the short form.
const ROUNDS: u64 = 5;
/// Between two of them.
const EVERY: Duration = Duration::from_secs(2);
/// All of the engine's connections, and none of this test's own.
const HANG_UP: &str = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                       WHERE datname = current_database() AND application_name = 'billhook'";

fn hang_up_again_and_again(mut world: World) {
    let settings = Settings { lease_ms: Some(1_500), work_ms: 20, ..Settings::default() };
    let (rounds, began) = (rounds().unwrap_or(ROUNDS), Instant::now());
    let mut host = Host::start(&world, &settings);
    for _ in 0..rounds {
        world.order(ORDERS.saturating_sub(world.open_orders()));
        let round = Instant::now();
        // The rhythm is the fault itself.
        while round.elapsed() < EVERY {
            assert!(world.tend(&mut host), "the process died");
            std::thread::sleep(Duration::from_millis(20));
        }
        sql::query(&world.url(), HANG_UP).unwrap();
    }
    world.finish(&mut host);
    let report = world.check(&[]);
    println!("D2: {rounds} times, {report}, in {:?}", began.elapsed());
}

#[test]
fn d2_no_run_is_stuck_when_all_connections_end_again_and_again() {
    on_postgres("d2_no_run_is_stuck_when_all_connections_end_again_and_again", hang_up_again_and_again);
}

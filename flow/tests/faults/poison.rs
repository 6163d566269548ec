//! Fault F3: functions that kill whoever executes them.

use std::time::Instant;

use billhook_testkit::wait;
use serde_json::json;

use crate::process::{Host, Settings};
use crate::world::{PATIENCE, World, on_postgres, on_sqlite};

/// Healthy orders beside them.
const ORDERS: usize = 60;
/// Runs that kill: one aborts behind steps that are recorded, one overflows its stack in its first.
const POISON: [(&str, &str); 2] = [("poison-1", "app/aborts"), ("poison-2", "app/overflows")];
/// Processes that each of them may kill before it is set aside.
const DEATHS_MAX: usize = 5;
/// Short, so that the next process goes on soon.
const LEASE_MILLISECONDS: u64 = 700;

fn poisoned(mut world: World) {
    let settings = Settings { lease_ms: Some(LEASE_MILLISECONDS), ..Settings::default() };
    world.order(ORDERS);
    for (id, name) in POISON {
        world.publish(id, name, json!({}));
    }
    let (began, mut deaths) = (Instant::now(), 0);
    let parked = "SELECT count(*) FROM {flow_runs} WHERE function IN ('aborts', 'overflows') AND state = 'parked'";
    // Whoever supervises a server starts it again.
    let mut host = None;
    let ended = wait::until("poison to be set aside and all others to end", PATIENCE, || {
        if world.is_over() && world.number(parked) == POISON.len() as i64 {
            return Some(());
        }
        host = host.take().or_else(|| Host::try_start(&world, &settings));
        if host.as_mut().is_none_or(|host| !world.tend(host)) {
            host = None;
            deaths += 1;
        }
        None
    });
    let open = world.rows("SELECT * FROM {flow_runs} WHERE ended_at IS NULL LIMIT 9");
    assert!(ended.is_ok(), "{open:?}");
    let report = world.check(&[]);
    assert!(deaths <= DEATHS_MAX * POISON.len(), "{deaths} processes died");
    println!("F3 on {}: {deaths} processes died, {report}, in {:?}", world.dialect(), began.elapsed());
}

#[test]
fn f3_functions_that_kill_their_process_are_set_aside_and_all_others_end_on_sqlite() {
    on_sqlite(poisoned);
}

#[test]
fn f3_functions_that_kill_their_process_are_set_aside_and_all_others_end_on_postgres() {
    on_postgres("f3_functions_that_kill_their_process_are_set_aside_and_all_others_end_on_postgres", poisoned);
}

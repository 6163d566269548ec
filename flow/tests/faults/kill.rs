//! Fault K3: kill -9 again and again while runs are executed.

use std::time::Duration;

use billhook_testkit::random::{self, Random};

use crate::process::{Host, Settings};
use crate::world::{World, on_postgres, on_sqlite};

/// Says how many rounds to run; `cargo xtask faults` sets it.
const ROUNDS_VARIABLE: &str = "BILLHOOK_FAULT_ROUNDS";
/// Rounds and orders in flight without it.
const SHORT: (u64, usize) = (3, 150);
/// Deaths for each round.
const DEATHS_MAX: u64 = 20;
/// Orders in flight with it.
const LONG_ORDERS: usize = 500;
/// A process is killed so long after it is ready, in milliseconds.
const LIFE_MILLISECONDS: (u64, u64) = (200, 3_000);
/// The lease is shorter than the engine's own, so that a run is resumed and killed in many rounds.
const LEASE_MILLISECONDS: u64 = 1_500;

/// Rounds of the long form.
pub fn rounds() -> Option<u64> {
    std::env::var(ROUNDS_VARIABLE).ok()?.parse().ok()
}

fn kill_again_and_again(mut world: World) {
    let (rounds, orders) = rounds().map_or(SHORT, |rounds| (rounds, LONG_ORDERS));
    let seed = random::number();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let settings = Settings { lease_ms: Some(LEASE_MILLISECONDS), work_ms: 5, ..Settings::default() };
    let began = std::time::Instant::now();
    let (mut deaths, mut interruptions) = (0, 0);
    // A death while nothing is executed says nothing: it is not one of the rounds.
    while interruptions < rounds {
        assert!(deaths < rounds * DEATHS_MAX, "{interruptions} of {deaths} deaths interrupted anything");
        world.order(orders.saturating_sub(world.open_orders()));
        let mut host = Host::start(&world, &settings);
        // Not a wait for a condition: the moment of the death is the random input of this test.
        let life = Duration::from_millis(random.between(LIFE_MILLISECONDS.0, LIFE_MILLISECONDS.1));
        let ready = std::time::Instant::now();
        while ready.elapsed() < life {
            assert!(world.tend(&mut host), "the process died by itself");
            std::thread::sleep(Duration::from_millis(20).min(life.saturating_sub(ready.elapsed())));
        }
        host.kill();
        deaths += 1;
        interruptions += u64::from(world.number("SELECT count(*) FROM {flow_runs} WHERE state = 'running'") > 0);
    }
    let mut host = Host::start(&world, &settings);
    world.finish(&mut host);
    let report = world.check(&[]);
    println!(
        "K3 on {}: {rounds} of {deaths} deaths interrupted runs, {report}, in {:?}",
        world.dialect(),
        began.elapsed()
    );
}

#[test]
fn k3_kill_9_while_runs_are_executed_loses_nothing_and_doubles_nothing_on_sqlite() {
    on_sqlite(kill_again_and_again);
}

#[test]
fn k3_kill_9_while_runs_are_executed_loses_nothing_and_doubles_nothing_on_postgres() {
    on_postgres(
        "k3_kill_9_while_runs_are_executed_loses_nothing_and_doubles_nothing_on_postgres",
        kill_again_and_again,
    );
}

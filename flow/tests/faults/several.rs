//! Faults D12 and D13: three processes on one database, of which one dies and one is stopped for longer than its lease.

use std::collections::HashMap;
use std::time::Duration;

use billhook_testkit::wait;
use jiff::{SignedDuration, Timestamp};

use crate::host::holder;
use crate::process::{Host, Settings};
use crate::world::{PATIENCE, World, on_postgres};

/// Orders that each process gets at once.
const ORDERS: usize = 50;
/// Runs of a dead process are resumed within this time.
const RESUMED: SignedDuration = SignedDuration::from_secs(10);
/// The work of a step, so that there is always some under way.
const WORK_MILLISECONDS: u64 = 250;

/// The runs that a process holds.
fn held(world: &World, process: u32) -> Vec<String> {
    let holder = holder(process);
    let rows = world.rows(&format!("SELECT id FROM {{flow_runs}} WHERE state = 'running' AND holder = '{holder}'"));
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

/// When each run was claimed first after a time, by anybody but this process.
fn claimed_after(world: &World, time: Timestamp, process: u32) -> HashMap<String, Timestamp> {
    let holder = holder(process);
    let rows = world.rows(&format!(
        "SELECT run, min(at) AS at FROM seen_claims WHERE at > '{time}' AND holder <> '{holder}' GROUP BY run"
    ));
    let claim = |row: &serde_json::Value| {
        (row["run"].as_str().unwrap().to_owned(), row["at"].as_str().unwrap().parse().unwrap())
    };
    rows.iter().map(claim).collect()
}

fn one_dies_and_one_is_a_zombie(mut world: World) {
    // The lease is the engine's own: how long it is is what is tested.
    let settings = Settings { work_ms: WORK_MILLISECONDS, ..Settings::default() };
    let mut hosts = [(); 3].map(|()| Host::start(&world, &settings));
    let (dead, stopped) = (hosts[0].id(), hosts[1].id());
    // Each claims mostly what it was told of itself, and what it has is soon at its first pause: so more comes until both have some.
    wait::until("both to hold runs", PATIENCE, || {
        for host in &mut hosts {
            world.order(ORDERS);
            assert!(world.tend(host));
        }
        (!held(&world, dead).is_empty() && !held(&world, stopped).is_empty()).then_some(())
    })
    .unwrap();
    let [dies, zombie, mut lives] = hosts;
    zombie.freeze();
    dies.kill();
    let death = Timestamp::now();
    let (of_dead, of_stopped) = (held(&world, dead), held(&world, stopped));

    let mut resumed = HashMap::new();
    wait::until("all runs of both to be resumed", PATIENCE, || {
        assert!(world.tend(&mut lives), "the process died");
        resumed = claimed_after(&world, death, stopped);
        of_dead.iter().chain(&of_stopped).all(|run| resumed.contains_key(run)).then_some(())
    })
    .unwrap();
    let latest = of_dead.iter().map(|run| resumed[run].duration_since(death)).max().unwrap_or_default();
    assert!(latest <= RESUMED, "a run of a process that died was resumed after {latest:?}");
    // What it was doing when it was stopped it goes on doing.
    zombie.thaw();
    world.finish(&mut lives);
    wait::until("the zombie to hold nothing", Duration::from_secs(30), || {
        held(&world, stopped).is_empty().then_some(())
    })
    .unwrap();
    let report = world.check(&[stopped]);
    println!(
        "D12 and D13: {} runs of the dead one resumed within {latest:?}, {} of the stopped one; {report}",
        of_dead.len(),
        of_stopped.len()
    );
}

#[test]
fn d12_d13_nothing_is_lost_or_doubled_when_one_process_dies_and_one_is_a_zombie() {
    on_postgres(
        "d12_d13_nothing_is_lost_or_doubled_when_one_process_dies_and_one_is_a_zombie",
        one_dies_and_one_is_a_zombie,
    );
}

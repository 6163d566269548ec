//! Fault K4: the process aborts at every named place that a run passes.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Instant;

use billhook_core::failpoint;
use billhook_testkit::wait;
use rustix::process::Signal;

use crate::kill::rounds;
use crate::process::{Host, Settings};
use crate::world::{PATIENCE, World, on_postgres, on_sqlite};

/// Orders of each place.
const ORDERS: usize = 6;
/// Passage at which it aborts; the long form has more.
const SHORT: [u32; 1] = [3];
const LONG: [u32; 4] = [1, 2, 4, 9];
/// Processes that may die before all is brought to its end, so that no run dies too often.
const DEATHS: usize = 4;
/// Short, so that the next process goes on soon.
const LEASE_MILLISECONDS: u64 = 700;

fn crash_everywhere(mut world: World) {
    let settings = Settings { lease_ms: Some(LEASE_MILLISECONDS), ..Settings::default() };
    let began = Instant::now();
    let passages = if rounds().is_some() { &LONG[..] } else { &SHORT[..] };
    let crashes = failpoint::FLOW_NAMES.iter().flat_map(|place| passages.iter().map(move |passage| (place, passage)));
    for some in crashes.collect::<Vec<_>>().chunks(DEATHS) {
        for (place, passage) in some {
            world.order(ORDERS);
            let armed = Settings { failpoint: Some(format!("{place}:{passage}")), ..settings.clone() };
            let mut host = Host::start(&world, &armed);
            let status = crash(&mut world, &mut host);
            let abort = Signal::ABORT.as_raw();
            assert_eq!(status.signal(), Some(abort), "{place} was not passed {passage} times: it ended with {status}");
        }
        let mut host = Host::start(&world, &settings);
        world.finish(&mut host);
        host.stop();
    }
    let report = world.check(&[]);
    println!("K4 on {}: {} places, {report}, in {:?}", world.dialect(), failpoint::FLOW_NAMES.len(), began.elapsed());
}

/// Lets a process work until it dies. What it does for many runs at once it passes once, so there are more of them until then.
fn crash(world: &mut World, host: &mut Host) -> std::process::ExitStatus {
    wait::until("the process to die", PATIENCE, || {
        if !world.tend(host) {
            return Some(());
        }
        if world.is_over() {
            world.order(ORDERS);
        }
        None
    })
    .unwrap();
    host.died(PATIENCE)
}

#[test]
fn k4_a_crash_at_any_named_place_of_a_run_loses_and_doubles_nothing_on_sqlite() {
    on_sqlite(crash_everywhere);
}

#[test]
fn k4_a_crash_at_any_named_place_of_a_run_loses_and_doubles_nothing_on_postgres() {
    on_postgres("k4_a_crash_at_any_named_place_of_a_run_loses_and_doubles_nothing_on_postgres", crash_everywhere);
}

//! Faults C1 and F5: the engine's clock jumps while it works, and between its restarts.

use std::time::{Duration, Instant};

use billhook_testkit::random::{self, Random};
use billhook_testkit::wait;
use serde_json::{Value, json};

use crate::kill::rounds;
use crate::process::{Host, Settings};
use crate::world::{PATIENCE, World, on_postgres, on_sqlite};

const HOUR: i64 = 3_600;
const DAY: i64 = 24 * HOUR;
const TEN_YEARS: i64 = 3_653 * DAY;
/// Short, so that leases end while a step is being executed if nobody lengthens them.
const LEASE_MILLISECONDS: u64 = 900;
/// Restarts within a sleep of 30 days, in the short form.
const RESTARTS: u64 = 12;
/// Time over which an idle process is watched, and the processor time that it may use in it: a busy loop would use all.
const IDLE: Duration = Duration::from_secs(2);
const IDLE_CPU_SECONDS_MAX: f64 = 0.7;

/// The run that an event started.
fn run_of(world: &World, event: &str) -> Option<Value> {
    world.rows(&format!("SELECT * FROM {{flow_runs}} WHERE event_key = 'user/{event}'")).pop()
}

fn until_state(world: &World, event: &str, state: &str) {
    let reached = || run_of(world, event).filter(|run| run["state"] == state).map(drop);
    let waited = wait::until(&format!("{event} to be {state}"), PATIENCE, reached);
    assert!(waited.is_ok(), "{waited:?}: {:?}", run_of(world, event));
}

/// Waits until the lease of a run was lengthened several times; its holder must not change.
fn assert_stays_held(world: &World, event: &str) {
    let before = run_of(world, event).unwrap();
    let (mut lengthened, mut due_at) = (0, before["due_at"].clone());
    wait::until("the lease to be lengthened", PATIENCE, || {
        let run = run_of(world, event).unwrap();
        assert_eq!(run["token"], before["token"], "it was claimed again while it was executed: {run}");
        if run["due_at"] != due_at {
            due_at = run["due_at"].clone();
            lengthened += 1;
        }
        (lengthened >= 6).then_some(())
    })
    .unwrap();
    assert_eq!(world.observer.count(event, "long"), 1);
}

fn assert_idles(host: &Host) {
    let before = host.cpu_seconds();
    // Not a wait for a condition: what is measured is what happens in this time.
    std::thread::sleep(IDLE);
    let used = host.cpu_seconds() - before;
    assert!(used <= IDLE_CPU_SECONDS_MAX, "an idle engine used {used} s of processor time in {IDLE:?}");
}

fn jumps(mut world: World) {
    let settings = Settings { lease_ms: Some(LEASE_MILLISECONDS), ..Settings::default() };
    let mut host = Host::start(&world, &settings);
    world.observer.hold("long");
    world.publish("hour", "app/sleeper", json!({ "seconds": HOUR }));
    world.publish("year", "app/sleeper", json!({ "seconds": 360 * DAY }));
    world.publish("before", "app/long", json!({}));
    assert!(world.tend(&mut host));
    until_state(&world, "hour", "waiting");
    until_state(&world, "year", "waiting");

    let long_step = |world: &World, event: &str| {
        wait::until("the long step", PATIENCE, || (world.observer.count(event, "long") == 1).then_some(())).unwrap();
    };
    long_step(&world, "before");
    host.set_clock(-HOUR);
    assert_stays_held(&world, "before");
    world.publish("behind", "app/long", json!({}));
    world.publish("short", "app/sleeper", json!({ "seconds": 1 }));
    assert!(world.tend(&mut host));
    long_step(&world, "behind");
    assert_stays_held(&world, "behind");
    until_state(&world, "short", "succeeded");
    assert_idles(&host);
    assert_eq!(world.observer.count("hour", "woke"), 0, "its time has not come");

    host.set_clock(HOUR + 60);
    until_state(&world, "hour", "succeeded");
    for clock in [TEN_YEARS, -HOUR, TEN_YEARS, 0] {
        host.set_clock(clock);
        assert_stays_held(&world, "before");
        assert_stays_held(&world, "behind");
    }
    until_state(&world, "year", "succeeded");
    world.observer.let_go("long");
    until_state(&world, "before", "succeeded");
    until_state(&world, "behind", "succeeded");
    for event in ["hour", "year", "short"] {
        assert_eq!(world.observer.count(event, "woke"), 1, "{event}");
    }
    assert_idles(&host);
    world.check(&[]);
}

#[test]
fn c1_a_clock_that_jumps_fires_nothing_early_and_takes_no_run_from_its_holder_on_sqlite() {
    on_sqlite(jumps);
}

#[test]
fn c1_a_clock_that_jumps_fires_nothing_early_and_takes_no_run_from_its_holder_on_postgres() {
    on_postgres("c1_a_clock_that_jumps_fires_nothing_early_and_takes_no_run_from_its_holder_on_postgres", jumps);
}

fn sleeps_30_days(mut world: World) {
    const SLEEP: i64 = 30 * DAY;
    let seed = random::number();
    println!("seed {seed}");
    let mut random = Random::new(seed);
    let (restarts, began) = (rounds().unwrap_or(RESTARTS), Instant::now());
    world.publish("month", "app/sleeper", json!({ "seconds": SLEEP }));
    let mut host = Host::start(&world, &Settings::default());
    assert!(world.tend(&mut host));
    until_state(&world, "month", "waiting");
    let last = SLEEP - i64::try_from(began.elapsed().as_secs()).unwrap() - HOUR;
    for restart in 0..restarts {
        if restart % 2 == 0 {
            host.kill()
        } else {
            host.stop()
        }
        let clock_seconds = i64::try_from(random.between(0, (last + DAY).unsigned_abs())).unwrap() - DAY;
        host = Host::start(&world, &Settings { clock_seconds, ..Settings::default() });
        // When this one has ended, the engine has looked for what is due.
        let probe = format!("probe-{restart}");
        world.publish(&probe, "app/shipped", json!({}));
        assert!(world.tend(&mut host));
        until_state(&world, &probe, "succeeded");
        assert_eq!(world.observer.count("month", "woke"), 0, "it woke {clock_seconds} s after it lay down");
    }
    let due: jiff::Timestamp = run_of(&world, "month").unwrap()["due_at"].as_str().unwrap().parse().unwrap();
    host.set_clock(due.duration_since(jiff::Timestamp::now()).as_secs() - 1);
    until_state(&world, "month", "succeeded");
    let calls = world.observer.calls();
    let woke: Vec<i64> = calls.iter().filter(|call| call.step == "woke").map(|call| call.engine_time).collect();
    let late = woke[0] - due.as_microsecond();
    assert_eq!(woke.len(), 1);
    assert!((0..1_000_000).contains(&late), "it woke {late} µs after its time");
    println!("F5 on {}: {restarts} restarts, woke {late} µs after its time, in {:?}", world.dialect(), began.elapsed());
}

#[test]
fn f5_a_sleep_of_30_days_ends_once_and_in_its_time_on_sqlite() {
    on_sqlite(sleeps_30_days);
}

#[test]
fn f5_a_sleep_of_30_days_ends_once_and_in_its_time_on_postgres() {
    on_postgres("f5_a_sleep_of_30_days_ends_once_and_in_its_time_on_postgres", sleeps_30_days);
}

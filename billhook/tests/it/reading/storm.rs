//! The storm: thousands of changes with doubled, reordered, dropped and never generated events, a program that is killed and a
//! database that is restarted; and in the end nothing is left to repair.

use std::time::Duration;

use billhook_simulator::story::Storm;
use billhook_simulator::{ClockMode, EventFault, Limit};
use billhook_testkit::postgres::{Binaries, Cluster, ClusterSettings, Durability, MISSING, Stop};
use billhook_testkit::{Server, TestDatabase, skip};

use super::world::{World, until};

/// Names the first and the last seed, `1-20`; `cargo xtask faults` passes it on.
const SEEDS_VARIABLE: &str = "BILLHOOK_STORM_SEEDS";
/// Names the number of changes.
const CHANGES_VARIABLE: &str = "BILLHOOK_STORM_CHANGES";
/// Changes otherwise: what a change of the program can wait for.
const CHANGES: usize = 3_000;
/// Parts of the storm; between two of them something may happen to the program or its database.
const PARTS: usize = 12;
/// Before these parts the program is killed.
const KILLS: [usize; 3] = [3, 6, 9];
/// Before these parts the database is restarted.
const RESTARTS: [usize; 2] = [5, 8];
/// The storm's time lies in the past, so that no event is in the program's future: it moves the clock faster than the wall's.
const BEGIN_SECONDS_AGO: i64 = 5 * 86_400;

#[test]
fn storms_on_sqlite() {
    for seed in seeds() {
        let world = World::new(TestDatabase::sqlite().expect("a database"), seed).in_the_past(seed);
        storm(&world, seed, None);
    }
}

#[test]
fn storms_on_postgres() {
    if Binaries::find().is_none() {
        return skip::note("storms_on_postgres", MISSING);
    }
    for seed in seeds() {
        let settings = ClusterSettings { durability: Durability::Full, extra: Vec::new() };
        let mut cluster = Cluster::start_with(settings).expect("a cluster");
        let world = World::on(&cluster.create_database().expect("a database"), seed).in_the_past(seed);
        storm(&world, seed, Some(&mut cluster));
    }
}

fn seeds() -> std::ops::RangeInclusive<u64> {
    let text = std::env::var(SEEDS_VARIABLE).unwrap_or_else(|_| "1-1".to_owned());
    let (first, last) = text.split_once('-').expect("two numbers");
    first.parse().expect("a number")..=last.parse().expect("a number")
}

fn storm(world: &World, seed: u64, mut cluster: Option<&mut Cluster>) {
    let changes = std::env::var(CHANGES_VARIABLE).map_or(CHANGES, |text| text.parse().expect("a number"));
    let faults = world.simulator.faults();
    faults.events("", EventFault::Duplicate, Limit::Share(0.10));
    faults.events("", EventFault::Reorder(Duration::from_secs(2)), Limit::Share(0.30));
    faults.events("", EventFault::Drop, Limit::Share(0.05));
    faults.events("", EventFault::NeverGenerated, Limit::Share(0.01));
    let mut storm = Storm::new(seed);
    let mut server = world.serve();
    for part in 0..PARTS {
        if KILLS.contains(&part) {
            server.kill9().expect("it was running");
            server = world.serve();
        }
        if RESTARTS.contains(&part) {
            server = restart(world, server, cluster.as_deref_mut());
        }
        world.simulator.account(|account| storm.run(account, changes / PARTS));
        assert!(world.simulator.undelivered() > 0 || part > 0, "nothing is delivered");
    }
    faults.clear();
    world.simulator.settle();
    world.assert_becomes_equal(&format!("the storm with seed {seed}"));
    // Of a webhook endpoint no event tells: it is known when the comparison has come to its kind.
    until("verify finds nothing to repair", || {
        let verified = world.command(&["verify"]);
        (verified.status.success() && String::from_utf8_lossy(&verified.stdout).contains(" 0 differences"))
            .then_some(())
    });
    drop(server);
}

/// Restarts the database under the program. SQLite's is a file: there the program ends in order and begins again.
fn restart(world: &World, server: Server, cluster: Option<&mut Cluster>) -> Server {
    match cluster {
        Some(cluster) => {
            cluster.stop(Stop::Immediate).expect("it was running");
            cluster.begin().expect("it starts again");
            server
        }
        None => {
            let (status, _) = server.terminate().expect("it was running");
            assert!(status.success(), "{status}");
            world.serve()
        }
    }
}

impl World {
    /// A world whose account lives some days ago, so that a storm may hurry.
    fn in_the_past(self, seed: u64) -> Self {
        let start = jiff::Timestamp::now().as_second() - BEGIN_SECONDS_AGO;
        self.with_clock(ClockMode::Fast { start, factor: 1 }, seed).impatient()
    }
}

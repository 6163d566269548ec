//! The engine in a world that follows from one number: its time, its chance, what fails and who dies. The same seed has the same history.
//!
//! `cargo xtask sim --seed 17` shows what happens with seed 17.
#![expect(
    clippy::unwrap_used,
    reason = "these are tests: whatever goes wrong has to fail them, and seeds that fail say how to replay them"
)]

mod database;
mod driver;
mod functions;
mod node;
mod oracle;
mod plan;
mod simulation;
mod world;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use simulation::Simulator;

/// Says which seed is the first and how many there are; `cargo xtask sim` sets them.
const FROM: (&str, u64) = ("BILLHOOK_SIM_FROM", 0);
const SEEDS: (&str, u64) = ("BILLHOOK_SIM_SEEDS", 2_000);
/// Seeds between two lines about how far it is.
const PROGRESS: u64 = 1_000;

fn setting((variable, usual): (&str, u64)) -> u64 {
    std::env::var(variable).map_or(usual, |text| text.parse().unwrap())
}

#[test]
fn no_seed_breaks_a_promise() {
    let (from, seeds) = (setting(FROM), setting(SEEDS));
    let (next, failed) = (AtomicU64::new(0), AtomicBool::new(false));
    let work = || {
        let simulator = Simulator::new();
        while !failed.load(Ordering::Relaxed) {
            let number = next.fetch_add(1, Ordering::Relaxed);
            if number >= seeds {
                return;
            }
            let history = simulator.run(from + number);
            if let Err(failure) = history.verdict() {
                failed.store(true, Ordering::Relaxed);
                panic!("{failure}");
            }
            if seeds == 1 {
                println!("{}", history.lines.join("\n"));
            }
            if (number + 1).is_multiple_of(PROGRESS) {
                println!("{} of {seeds} seeds", number + 1);
            }
        }
    };
    let threads = std::thread::available_parallelism().unwrap().get();
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    println!("{seeds} seeds from {from} on: nothing is wrong");
}

#[test]
fn a_seed_decides_about_everything() {
    let simulator = Simulator::new();
    let digests = |seeds: std::ops::Range<u64>| seeds.map(|seed| simulator.run(seed).digest).collect::<Vec<u64>>();
    let first = digests(0..20);
    assert_eq!(first, digests(0..20));
    assert_eq!(first.iter().collect::<std::collections::HashSet<_>>().len(), first.len());
}

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

/// Seeds of each test in the test command.
const SEEDS: u64 = 500;

fn seeds_from(first: u64) {
    let simulator = Simulator::new();
    for seed in first..first + SEEDS {
        if let Err(failure) = simulator.run(seed).verdict() {
            panic!("{failure}");
        }
    }
}

#[test]
fn seeds_of_the_first_quarter() {
    seeds_from(0);
}

#[test]
fn seeds_of_the_second_quarter() {
    seeds_from(SEEDS);
}

#[test]
fn seeds_of_the_third_quarter() {
    seeds_from(2 * SEEDS);
}

#[test]
fn seeds_of_the_fourth_quarter() {
    seeds_from(3 * SEEDS);
}

/// Of which seeds `cargo xtask sim` wants to know.
const FROM_VARIABLE: &str = "BILLHOOK_SIM_FROM";
const SEEDS_VARIABLE: &str = "BILLHOOK_SIM_SEEDS";
/// Seeds between two lines about how far it is.
const PROGRESS: u64 = 1_000;

fn setting(variable: &str) -> u64 {
    let text = std::env::var(variable).unwrap_or_else(|_| panic!("{variable} is not set; use cargo xtask sim"));
    text.parse().unwrap()
}

#[test]
#[ignore = "cargo xtask sim says which seeds"]
fn seeds_of_the_command() {
    let (from, seeds) = (setting(FROM_VARIABLE), setting(SEEDS_VARIABLE));
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

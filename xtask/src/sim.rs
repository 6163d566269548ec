//! `cargo xtask sim`: the seeded simulation of the engine of functions, with as many seeds as one likes.

use anyhow::{Result, ensure};

use crate::shell::{self, Flags};

/// Tell the simulation which seed is the first, and how many there are.
const FROM_VARIABLE: &str = "BILLHOOK_SIM_FROM";
const SEEDS_VARIABLE: &str = "BILLHOOK_SIM_SEEDS";
/// Seeds without a flag: some minutes.
const SEEDS: u64 = 20_000;

/// Runs the command with the arguments behind its name.
///
/// `--seeds N` (20000) and `--from S` (0), or `--seed X` for one, whose history is printed.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let flags = Flags::parse(arguments, &["seeds", "from", "seed"], &[])?;
    let (from, seeds) = if flags.text("seed").is_some() {
        let is_alone = flags.text("seeds").is_none() && flags.text("from").is_none();
        ensure!(is_alone, "--seed is one seed; leave out --seeds and --from");
        (flags.number("seed", 0, 0..=u64::MAX)?, 1)
    } else {
        (flags.number("from", 0, 0..=u64::MAX)?, flags.number("seeds", SEEDS, 1..=u64::MAX)?)
    };
    ensure!(from.checked_add(seeds - 1).is_some(), "there is no seed behind {}", u64::MAX);
    let mut tests = shell::command("cargo");
    tests.args(["test", "--release", "--package", "billhook-flow", "--test", "sim"]);
    tests.args(["--", "--exact", "no_seed_breaks_a_promise", "--nocapture"]);
    tests.env(FROM_VARIABLE, from.to_string()).env(SEEDS_VARIABLE, seeds.to_string());
    shell::run(&mut tests)
}

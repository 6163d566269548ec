//! The project's own commands: `cargo xtask <command>`.
#![expect(clippy::print_stdout, clippy::print_stderr, reason = "a command talks to the person who called it")]

mod bench;
mod catalogue;
mod docs;
mod faults;
mod shell;
mod sim;
mod test;

use anyhow::{Result, bail};

const USAGE: &str = "usage: cargo xtask <command>

  test [filter]          all tests on both stores, with a PostgreSQL of its own, and the Node and Python tests
  bench ingest [flags]   throughput and latency of the release build; one JSON line a run on stdout
  bench backfill [flags] histories of the simulated account into the mirror, and missed events
  faults [flags]         the crash tests with more rounds than `test` runs
  sim [flags]            seeds of the simulated engine: --seeds N, --from S, or --seed X with its history
  catalogue [--check]    makes the catalogue of Stripe's resources, or checks that it is up to date
  docs                   the API documentation of the whole workspace, with warnings as errors";

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let Some((command, rest)) = arguments.split_first() else { bail!("{USAGE}") };
    match command.as_str() {
        "test" => test::run(rest),
        "bench" => bench::run(rest),
        "faults" => faults::run(rest),
        "sim" => sim::run(rest),
        "catalogue" => catalogue::run(rest),
        "docs" => docs::run(rest),
        "help" | "--help" | "-h" => {
            println!("{USAGE}");
            Ok(())
        }
        unknown => bail!("unknown command {unknown:?}\n{USAGE}"),
    }
}

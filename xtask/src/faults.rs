//! `cargo xtask faults`: the crash tests of `cargo xtask test`, with more rounds.

use anyhow::Result;
use billhook_testkit::database::URL_VARIABLE;

use crate::shell::{self, Flags};
use crate::test::server::TestServer;

/// Tells the crash tests how many rounds to run.
const ROUNDS_VARIABLE: &str = "BILLHOOK_FAULT_ROUNDS";
/// Rounds without a flag: what a night allows.
const ROUNDS: u64 = 500;
/// Most rounds; a round takes about a second on each store.
const ROUNDS_MAX: u64 = 100_000;

/// Tells the storm tests which seeds and how many changes to run; their defaults are short.
const STORM: [(&str, &str); 2] = [("BILLHOOK_STORM_SEEDS", "seeds"), ("BILLHOOK_STORM_CHANGES", "changes")];

/// Runs the command with the arguments behind its name.
///
/// `--rounds N` (500), `--filter text` (`crash`: which tests of the program and of the engine of functions to run; `k3_`, `k4_`, `d2_`,
/// `d12_`, `c1_`, `f3_`, `f4_` and `f5_` are those of the engine, for which 50 rounds are long). For `--filter storm` also `--seeds 1-20` and
/// `--changes 20000`.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    let flags = Flags::parse(arguments, &["rounds", "filter", "seeds", "changes"], &[])?;
    let rounds = flags.number("rounds", ROUNDS, 1..=ROUNDS_MAX)?;
    let server = TestServer::start()?;
    let mut tests = shell::command("cargo");
    // The figures are to be those of the program that ships, so this is the release build.
    tests.args(["test", "--release", "--package", "billhook", "--package", "billhook-flow"]);
    tests.args(["--", flags.text("filter").unwrap_or("crash")]);
    // Rounds of several tests at once would only measure how they disturb each other.
    tests.args(["--test-threads", "1", "--nocapture"]);
    tests.env(ROUNDS_VARIABLE, rounds.to_string());
    for (variable, flag) in STORM {
        tests.envs(flags.text(flag).map(|value| (variable, value)));
    }
    if let Some(url) = server.url() {
        tests.env(URL_VARIABLE, url);
    }
    shell::run(&mut tests)
}

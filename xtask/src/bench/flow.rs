//! `cargo xtask bench flow`: durable functions on either store, without Stripe.

use anyhow::Result;

use crate::shell;

/// The flags, for the usage message; the example itself reads them.
pub(super) const FLAGS: &str = "[--what queue|nodes|sleepers|noisy|all] [--store postgres|sqlite|both] [--runs 20000] \
                                [--steps 1,3] [--seconds 10] [--sleepers 1000000]";

/// Builds the release of the example and runs it with the arguments behind the command's name.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let example = ["run", "--release", "--package", "billhook-flow", "--example", "flow_speed", "--"];
    shell::run(shell::command("cargo").args(example).args(arguments))
}

//! `cargo xtask bench write`: pages of a backfill into either store, without Stripe and without the network.

use anyhow::Result;

use crate::shell;

/// The flags, for the usage message; the example itself reads them.
pub(super) const FLAGS: &str = "[--store postgres|sqlite|both] [--object customers|invoices|both] [--count 100000] \
                                [--page 100] [--pages 4] [--workers 2] [--shape plain|rich]";

/// Builds the release of the example and runs it with the arguments behind the command's name.
pub(super) fn run(arguments: &[String]) -> Result<()> {
    let example = ["run", "--release", "--package", "billhook-mirror", "--example", "bulk_write", "--"];
    shell::run(shell::command("cargo").args(example).args(arguments))
}

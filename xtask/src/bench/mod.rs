//! `cargo xtask bench <what>`: figures that anyone can make again with one command.

mod backfill;
mod database;
mod disk;
mod exchange;
mod flow;
mod ingest;
mod load;
mod report;
mod signed;
mod write;

use anyhow::{Result, bail};

/// Runs the command with the arguments behind its name.
pub(crate) fn run(arguments: &[String]) -> Result<()> {
    match arguments.split_first() {
        Some((what, rest)) if what == "ingest" => ingest::run(rest),
        Some((what, rest)) if what == "backfill" => backfill::run(rest),
        Some((what, rest)) if what == "flow" => flow::run(rest),
        Some((what, rest)) if what == "write" => write::run(rest),
        _ => {
            let (ingest, backfill, flow, write) = (ingest::FLAGS, backfill::FLAGS, flow::FLAGS, write::FLAGS);
            bail!(
                "usage: cargo xtask bench ingest {ingest}\n\nbench backfill {backfill}\n\nbench flow {flow}\n\nbench write {write}"
            )
        }
    }
}

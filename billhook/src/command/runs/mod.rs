//! `billhook runs`: executions of durable functions, one by one.

mod cancel;
mod list;
mod orders;
mod shown;
mod timeline;

use std::process::ExitCode;

use crate::logging;
use crate::settings::configuration::Configuration;

pub(super) use shown::{Run, moment};

/// What to do with runs.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List runs, newest first
    List(list::Arguments),
    /// Show one run: what happened when, and why it waits
    Show(timeline::Arguments),
    /// Call runs off, by id or all of a function
    Cancel(cancel::Arguments),
    /// Let failed or parked runs go on from the step that failed
    Retry(orders::Arguments),
    /// Start runs again from scratch, each under a new id
    Rerun(orders::Arguments),
    /// End a failed or parked run with a given result
    Resolve(orders::Resolution),
}

/// Runs the command.
pub fn run(command: &Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    crate::database::block_on(async {
        match command {
            Command::List(arguments) => list::run(arguments, configuration).await,
            Command::Show(arguments) => timeline::run(arguments, configuration).await,
            Command::Cancel(arguments) => cancel::run(arguments, configuration).await,
            Command::Retry(arguments) => orders::retry(arguments, configuration).await,
            Command::Rerun(arguments) => orders::rerun(arguments, configuration).await,
            Command::Resolve(arguments) => orders::resolve(arguments, configuration).await,
        }
    })
}

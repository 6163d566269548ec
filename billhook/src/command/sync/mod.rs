//! `billhook sync`: how reading from Stripe stands.

mod drift;
mod status;

use std::process::ExitCode;

use crate::logging;
use crate::settings::configuration::Configuration;

/// What to look at.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show runs, what waits to be read again, drift and gaps
    Status(status::Arguments),
    /// List what the comparison with Stripe found and no event had told
    Drift(drift::Arguments),
}

/// Runs the command.
pub fn run(command: &Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    crate::database::block_on(async {
        match command {
            Command::Status(arguments) => status::run(arguments, configuration).await,
            Command::Drift(arguments) => drift::run(arguments, configuration).await,
        }
    })
}

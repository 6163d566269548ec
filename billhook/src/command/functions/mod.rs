//! `billhook functions`: durable functions, as far as the database knows them from their runs.

mod list;
mod pause;
mod show;

use std::process::ExitCode;

use crate::logging;
use crate::settings::configuration::Configuration;

/// What to do with functions.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List functions with their runs by state
    List(list::Arguments),
    /// Show one function and its latest runs
    Show(show::Arguments),
    /// Start and continue no run of a function until it is resumed
    Pause(pause::Pause),
    /// End a pause
    Resume(pause::Resume),
}

/// Runs the command.
pub fn run(command: &Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    crate::database::block_on(async {
        match command {
            Command::List(arguments) => list::run(arguments, configuration).await,
            Command::Show(arguments) => show::run(arguments, configuration).await,
            Command::Pause(arguments) => pause::pause(arguments, configuration).await,
            Command::Resume(arguments) => pause::resume(arguments, configuration).await,
        }
    })
}

//! `billhook quarantine`: deliveries that were set aside for a person.

mod decide;
mod list;
mod show;

use std::process::ExitCode;

use billhook_mirror::quarantine::Reason;

use crate::settings::configuration::Configuration;
use crate::{database, logging};

/// Entries looked through for one event: more than a person would leave open.
const ENTRIES_MAX: usize = 10_000;

/// What to do with the quarantine.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List what is set aside, newest first
    List(list::Arguments),
    /// Show why a delivery is set aside and what can be done
    Show(show::Arguments),
    /// Apply deliveries again
    Retry(decide::Arguments),
    /// Close entries without applying them; the deliveries stay until retention removes them
    Drop(decide::Arguments),
}

/// Runs the command.
pub fn run(command: Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    database::block_on(async {
        match command {
            Command::List(arguments) => list::run(&arguments, configuration).await,
            Command::Show(arguments) => show::run(&arguments, configuration).await,
            Command::Retry(arguments) => decide::run(&arguments, decide::Decision::Retry, configuration).await,
            Command::Drop(arguments) => decide::run(&arguments, decide::Decision::Drop, configuration).await,
        }
    })
}

/// What a person can do about a reason, as the database names it.
fn advice(reason: &str) -> &'static str {
    let known = Reason::ALL.iter().find(|known| known.name() == reason);
    known.map_or("it was set aside by another version of Billhook", |known| known.advice())
}

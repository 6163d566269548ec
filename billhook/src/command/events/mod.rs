//! `billhook events`: deliveries, one by one.

mod list;
pub(super) mod post;
mod replay;
mod sample;
mod send;
mod send_test;
mod show;

use std::process::ExitCode;

use billhook_store::EventState;

use crate::logging;
use crate::settings::configuration::Configuration;

/// What to do with deliveries.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// List deliveries, newest first
    List(list::Arguments),
    /// Show one delivery
    Show(show::Arguments),
    /// Apply deliveries again; a state that is older than the mirror's changes nothing
    Replay(replay::Arguments),
    /// Send an event of your own, for functions
    Send(send::Arguments),
    /// Sign an event as Stripe does, send it, and wait for its row
    SendTest(send_test::Arguments),
}

/// Runs the command.
pub fn run(command: Command, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    logging::start(&configuration.log);
    crate::database::block_on(async {
        match command {
            Command::List(arguments) => list::run(arguments, configuration).await,
            Command::Show(arguments) => show::run(&arguments, configuration).await,
            Command::Replay(arguments) => replay::run(&arguments, configuration).await,
            Command::Send(arguments) => send::run(&arguments, configuration).await,
            Command::SendTest(arguments) => send_test::run(&arguments, configuration).await,
        }
    })
}

fn state_name(state: EventState) -> &'static str {
    match state {
        EventState::Pending => "pending",
        EventState::Applied => "applied",
        EventState::Quarantined => "quarantined",
    }
}

//! The commands, one file each.

mod backfill;
mod clock;
mod completions;
mod config;
mod demo;
mod docs;
mod doctor;
mod events;
mod functions;
mod migrate;
mod prisma;
mod quarantine;
mod rebuild;
mod runs;
mod serve;
mod simulator;
mod sync;
mod verify;
mod webhooks;

use std::process::ExitCode;

use billhook_flow::Functions;

use crate::failure::Refused;
use crate::functions::Hosted;
use crate::settings::Resolution;
use crate::settings::configuration::Configuration;

/// What the program can do.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show it all with a simulated account: no account, no network, no settings
    Demo(demo::Arguments),
    /// Take deliveries from Stripe and keep the mirror current
    Serve(serve::Arguments),
    /// Bring the database's schema up to this program
    Migrate,
    /// Read Stripe's objects into the mirror, and show how far it is
    Backfill(backfill::Arguments),
    /// Look at how reading from Stripe stands
    #[command(subcommand)]
    Sync(sync::Command),
    /// Compare every row with Stripe, and print what differs
    Verify(verify::Arguments),
    /// Look after the webhook endpoints at Stripe
    #[command(subcommand)]
    Webhooks(webhooks::Command),
    /// Run a simulated Stripe account to try things against
    Simulator(simulator::Arguments),
    /// Show or check the settings
    #[command(subcommand)]
    Config(config::Command),
    /// Check configuration, database, clock and secrets, and say what to do
    Doctor(doctor::Arguments),
    /// Look at deliveries, apply them again, or send one as a test
    #[command(subcommand)]
    Events(events::Command),
    /// Look at runs of durable functions, and steer them
    #[command(subcommand)]
    Runs(runs::Command),
    /// Look at durable functions, pause and resume them
    #[command(subcommand)]
    Functions(functions::Command),
    /// Show, freeze and advance the time of functions, for tests
    #[command(subcommand)]
    Clock(clock::Command),
    /// Look at deliveries that were set aside, and decide about them
    #[command(subcommand)]
    Quarantine(quarantine::Command),
    /// Derive the columns of mirrored rows again from their raw data
    Rebuild(rebuild::Arguments),
    /// Write a schema.prisma of the mirror
    Prisma(prisma::Arguments),
    /// Write a completion script for a shell
    Completions(completions::Arguments),
    /// Write the reference page of the settings
    #[command(hide = true)]
    Docs,
}

impl Command {
    /// Runs the command; `serve` and `demo` execute `functions`.
    ///
    /// # Errors
    /// Why it failed, for a person to read.
    pub fn run(self, resolution: &Resolution, functions: Functions<()>) -> anyhow::Result<ExitCode> {
        // Settings that are refused are told by the command itself.
        if let Ok(configuration) = configuration(resolution) {
            Hosted::new(functions.clone(), &configuration)?;
        }
        match self {
            Self::Demo(arguments) => demo::run(&arguments, resolution, functions),
            Self::Serve(arguments) => serve::run(&arguments, resolution, functions),
            Self::Migrate => migrate::run(&configuration(resolution)?),
            Self::Backfill(arguments) => backfill::run(&arguments, &configuration(resolution)?),
            Self::Sync(command) => sync::run(&command, &configuration(resolution)?),
            Self::Verify(arguments) => verify::run(&arguments, &configuration(resolution)?),
            Self::Webhooks(command) => webhooks::run(&command, &configuration(resolution)?),
            Self::Simulator(arguments) => simulator::run(&arguments, &configuration(resolution)?),
            Self::Config(command) => config::run(&command, resolution),
            Self::Doctor(arguments) => doctor::run(&arguments, resolution),
            Self::Events(command) => events::run(command, &configuration(resolution)?),
            Self::Runs(command) => runs::run(&command, &configuration(resolution)?),
            Self::Functions(command) => functions::run(&command, &configuration(resolution)?),
            Self::Clock(command) => clock::run(&command, &configuration(resolution)?),
            Self::Quarantine(command) => quarantine::run(command, &configuration(resolution)?),
            Self::Rebuild(arguments) => rebuild::run(&arguments, &configuration(resolution)?),
            Self::Prisma(arguments) => prisma::run(&arguments, &configuration(resolution)?),
            Self::Completions(arguments) => completions::run(&arguments),
            Self::Docs => docs::run(),
        }
    }
}

/// The checked configuration.
fn configuration(resolution: &Resolution) -> Result<Configuration, Refused> {
    Configuration::check(resolution).map_err(Refused)
}

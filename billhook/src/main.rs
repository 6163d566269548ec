//! Billhook's program: reads the command line and the settings, and runs one command.

mod cli;
mod command;
mod database;
mod failure;
mod local_secret;
mod logging;
mod output;
mod process;
mod reading;
mod settings;
mod signals;
mod stripe_api;

use std::process::ExitCode;

fn main() -> ExitCode {
    let (command, resolution) = match cli::parse() {
        Ok(parsed) => parsed,
        Err(code) => return code,
    };
    command.run(&resolution).unwrap_or_else(|error| failure::report(&error))
}

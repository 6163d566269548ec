//! `billhook completions`: completion scripts, from the same definition as parsing.

use std::process::ExitCode;

use clap_complete::Shell;

use crate::{cli, output};

/// For which shell.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The shell
    shell: Shell,
}

/// Prints the script.
pub fn run(arguments: &Arguments) -> anyhow::Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut cli::definition(), "billhook", &mut script);
    output::bytes(&script)?;
    Ok(ExitCode::SUCCESS)
}

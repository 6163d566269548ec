//! `billhook docs`: the reference page of the settings.

use std::process::ExitCode;

use crate::output;
use crate::settings::document;

/// Prints the page.
pub fn run() -> anyhow::Result<ExitCode> {
    output::bytes(document::page().as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

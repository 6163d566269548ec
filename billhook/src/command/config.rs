//! `billhook config`: shows and checks the settings.

use std::process::ExitCode;

use serde::Serialize;

use super::configuration;
use crate::failure::USAGE;
use crate::output::{self, Listing};
use crate::settings::configuration::Configuration;
use crate::settings::{Entry, Resolution};

/// What to do with the settings.
#[derive(Debug, clap::Subcommand)]
pub enum Command {
    /// Show every setting with its value, secrets masked, and the place it came from
    Print {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Say everything that is wrong with the settings
    Check,
}

/// Shows or checks.
pub fn run(command: &Command, resolution: &Resolution) -> anyhow::Result<ExitCode> {
    match command {
        Command::Print { json } => print(*json, resolution),
        Command::Check => check(resolution),
    }
}

/// One setting as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    key: &'static str,
    /// Masked when it is a secret; absent when it is unset or refused.
    value: Option<String>,
    /// `flag`, `environment`, `.env`, the configuration file, or `default`.
    source: String,
    /// The name under which it was found there.
    name: String,
    /// Why the value is not accepted.
    #[serde(skip_serializing_if = "Option::is_none")]
    refused: Option<String>,
}

impl Shown {
    fn of(entry: &Entry) -> Self {
        let (value, refused) = match &entry.value {
            Ok(value) => (value.as_ref().map(|value| value.shown(entry.setting)), None),
            Err(refusal) => (None, Some(refusal.to_string())),
        };
        Self { key: entry.setting.key, value, source: entry.origin.place(), name: entry.origin.name(), refused }
    }
}

fn print(json: bool, resolution: &Resolution) -> anyhow::Result<ExitCode> {
    let shown: Vec<Shown> = resolution.entries.iter().map(Shown::of).collect();
    if json {
        output::json(&shown)?;
    } else {
        let mut listing = Listing::new(&["SETTING", "VALUE", "SOURCE", "NAME"]);
        for setting in shown {
            let refused = setting.refused.map(|refused| format!("REFUSED: {refused}"));
            let value = setting.value.or(refused).unwrap_or_default();
            listing.add([setting.key.to_owned(), value, setting.source, setting.name]);
        }
        listing.print()?;
    }
    // Whatever is wrong is told as well, and by the exit code.
    configuration(resolution)?;
    Ok(ExitCode::SUCCESS)
}

fn check(resolution: &Resolution) -> anyhow::Result<ExitCode> {
    for warning in &resolution.warnings {
        output::line(&format!("warning: {warning}"))?;
    }
    match Configuration::check(resolution) {
        Ok(_) => {
            output::line("the settings are valid")?;
            Ok(ExitCode::SUCCESS)
        }
        Err(refusals) => {
            for refusal in refusals {
                output::line(&format!("refused: {refusal}"))?;
            }
            Ok(ExitCode::from(USAGE))
        }
    }
}

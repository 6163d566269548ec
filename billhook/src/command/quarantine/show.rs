//! `billhook quarantine show`.

use std::process::ExitCode;

use anyhow::Context as _;

use super::list::Entry;
use super::{ENTRIES_MAX, advice};
use crate::failure::Hinted;
use crate::settings::configuration::Configuration;
use crate::{database, output};

/// Which delivery.
#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The event's id
    event: String,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Shows the open entries of one delivery.
pub async fn run(arguments: &Arguments, configuration: &Configuration) -> anyhow::Result<ExitCode> {
    let store = database::open_current(configuration).await?;
    let entries = store.list_quarantine(ENTRIES_MAX).await.context("list the quarantine");
    store.close().await;
    let mut entries = entries?;
    entries.retain(|entry| entry.event_id == arguments.event);
    if entries.is_empty() {
        let message = format!("{} is not in the quarantine", output::printable(&arguments.event));
        return Err(Hinted::new(message, "`billhook quarantine list` shows what is").into());
    }
    if arguments.json {
        output::json(&entries.iter().map(Entry::from).collect::<Vec<_>>())?;
        return Ok(ExitCode::SUCCESS);
    }
    for entry in &entries {
        for (name, value) in [
            ("event", entry.event_id.as_str()),
            ("type", &entry.event_type),
            ("reason", &entry.reason),
            ("detail", &entry.detail),
            ("mirrored", if entry.applied { "yes" } else { "no" }),
            ("since", &entry.at.to_string()),
            ("what to do", advice(&entry.reason)),
        ] {
            output::line(&format!("{name:<12}{}", output::printable(value)))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}
